"""Peers that stand still are cut off (rows 123 to 125 of the bad inputs)."""

import itertools
import threading
import time

import grpc
import numpy as np
import pytest

import http2_peer as http2
import wire_harness as harness
from wire_harness import CALL_SECONDS
from wire_harness import DEADLINE_EXCEEDED
from wire_harness import MIB
from wire_stubs import pb

ARRAY = np.arange(4 * MIB // 4, dtype=np.int32)
DECLARATION = harness.raw_declaration(harness.array_spec(ARRAY), ARRAY.nbytes)
IDLE_SECONDS = 1


@pytest.fixture(scope="module")
def impatient():
    process = harness.ServerProcess(
        f"--memory_limit={harness.MEMORY_LIMIT}",
        f"--max_tensor_bytes={harness.MAX_TENSOR_BYTES}",
        f"--stream_idle_seconds={IDLE_SECONDS}", "--upload_resume_seconds=1",
        metrics=True)
    yield process
    assert process.stop() == 0, process.log()


@pytest.fixture
def wire(impatient):
    wire = harness.Wire(impatient)
    wire.create(harness.sentinel_array(), harness.SENTINEL)
    before = wire.state()
    yield wire
    wire.clear()
    wire.check_unharmed(before)
    wire.stub.DeleteTensor(pb.DeleteTensorRequest(
        name=f"tensors/{harness.SENTINEL}"))
    wire.close()


def check_cut_off(error):
    harness.check_refusal(
        harness.Refusal(error), DEADLINE_EXCEEDED, "STREAM_IDLE",
        metadata={"idleSeconds": str(IDLE_SECONDS)})


def chunks_of(data, size):
    return (pb.UploadTensorRequest(chunk=piece)
            for piece in harness.pieces(data, size))


@pytest.mark.parametrize("head", [
    [],
    [harness.upload_head(DECLARATION)],
    [harness.upload_head(DECLARATION),
     *itertools.islice(chunks_of(ARRAY.tobytes(), MIB), 2)],
    [harness.upload_head(DECLARATION), *chunks_of(ARRAY.tobytes(), MIB),
     pb.UploadTensorRequest(finish=True)],
], ids=["nothing", "declaration", "some chunks", "all but the end"])
def test_an_upload_that_stops_is_cut_off(wire, head):
    with harness.held_open(*head) as messages:
        start = time.monotonic()
        with pytest.raises(grpc.RpcError) as error:
            wire.stub.UploadTensor(messages, timeout=CALL_SECONDS)
        check_cut_off(error.value)
        assert time.monotonic() - start < 10 * IDLE_SECONDS


def test_an_upload_of_a_byte_a_time_is_cut_off(wire):
    """123: it never stops, and gets nowhere."""
    def drip():
        yield harness.upload_head(DECLARATION)
        for offset in range(10_000):
            time.sleep(0.02)
            yield pb.UploadTensorRequest(
                chunk=harness.chunk(b"\1", offset))

    with pytest.raises(grpc.RpcError) as error:
        wire.stub.UploadTensor(drip(), timeout=CALL_SECONDS)
    check_cut_off(error.value)


def test_empty_chunks_keep_an_upload_alive(wire):
    """69: for longer than anybody waits otherwise."""
    data = ARRAY.tobytes()

    def slowly():
        yield harness.upload_head(DECLARATION, "kept")
        for piece in harness.pieces(data, MIB):
            yield pb.UploadTensorRequest(chunk=piece)
            for _ in range(3):
                time.sleep(IDLE_SECONDS / 4)
                yield pb.UploadTensorRequest(
                    chunk=harness.chunk(b"", piece.offset + MIB))
        yield pb.UploadTensorRequest(finish=True)

    wire.stub.UploadTensor(slowly(), timeout=CALL_SECONDS)
    assert wire.download("tensors/kept")[1] == data


def test_an_upload_that_may_be_gone_on_with_is_kept_for_its_time(wire):
    declaration = pb.UploadDeclaration(
        array=DECLARATION, tensor_id="resumed",
        request_id="01234567-89ab-cdef-0123-456789abcdef")
    data = ARRAY.tobytes()
    head = pb.UploadTensorRequest(declaration=declaration)
    with harness.held_open(head, *itertools.islice(
            chunks_of(data, MIB), 2)) as messages:
        with pytest.raises(grpc.RpcError) as error:
            wire.stub.UploadTensor(messages, timeout=CALL_SECONDS)
        check_cut_off(error.value)
    query = pb.QueryUploadRequest(request_id=declaration.request_id)
    assert wire.stub.QueryUpload(query).committed_bytes == 2 * MIB
    rest = itertools.islice(chunks_of(data, MIB), 2, None)
    wire.upload(iter([head, *rest, pb.UploadTensorRequest(finish=True)]))
    assert wire.download("tensors/resumed")[1] == data


def test_a_conversion_that_stops_is_cut_off(wire):
    head = pb.ConvertArrayRequest(
        declaration=pb.ConvertDeclaration(array=DECLARATION))
    with harness.held_open(head) as messages:
        with pytest.raises(grpc.RpcError) as error:
            list(wire.stub.ConvertArray(messages, timeout=CALL_SECONDS))
        check_cut_off(error.value)


def cut_offs(impatient):
    return impatient.metrics().get(
        'tensord_rejected_total{reason="STREAM_IDLE"}', 0)


def await_cut_off(impatient, before):
    deadline = time.monotonic() + 10 * IDLE_SECONDS
    while cut_offs(impatient) == before:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_download_that_nobody_reads_is_cut_off(impatient, wire):
    """124 and 125: it holds no more than a chunk meanwhile."""
    big = np.zeros(16 * MIB, dtype=np.uint8)
    name = wire.upload(harness.upload_messages(
        harness.raw_declaration(harness.array_spec(big), big.nbytes),
        big.tobytes())).name
    before = cut_offs(impatient)
    call = wire.stub.DownloadTensor(pb.DownloadTensorRequest(name=name),
                                    timeout=CALL_SECONDS)
    next(call)
    await_cut_off(impatient, before)
    with pytest.raises(grpc.RpcError):
        list(call)
    assert call.code() in (DEADLINE_EXCEEDED, harness.CANCELLED)
    # The tensor is free to go.
    wire.clear()


@pytest.mark.parametrize("kind", ["convert", "batch"])
def test_results_that_nobody_reads_end_the_stream(impatient, wire, kind):
    before = cut_offs(impatient)
    stop = threading.Event()
    if kind == "convert":
        call = wire.stub.ConvertArray(harness.convert_messages(
            DECLARATION, ARRAY.tobytes(), dtype=pb.DTYPE_FLOAT64),
            timeout=CALL_SECONDS)
    else:
        name = wire.create(ARRAY[:MIB // 4]).name
        read = pb.BatchCall(read_tensor=pb.ReadTensorRequest(name=name))

        def requests():
            for _ in range(40):
                yield pb.BatchRequest(calls=[read])
            stop.wait(CALL_SECONDS)

        call = wire.stub.Batch(requests(), timeout=CALL_SECONDS)
    await_cut_off(impatient, before)
    with pytest.raises(grpc.RpcError):
        list(call)
    stop.set()


@pytest.mark.parametrize("size", [10_000, 4 * MIB])
def test_answers_that_nobody_takes_are_cut_off(impatient, wire, size):
    """125: a window of nothing, which never opens."""
    name = wire.upload(harness.upload_messages(
        harness.raw_declaration(harness.array_spec(np.zeros(size, np.uint8)),
                                size), bytes(size))).name
    request = pb.ReadTensorRequest(name=name).SerializeToString()
    message = b"\0" + len(request).to_bytes(4, "big") + request
    no_window = (4).to_bytes(2, "big") + bytes(4)
    headers = http2.call_headers(harness.SERVICE + "ReadTensor")
    with http2.Peer(impatient.address) as peer:
        peer.send(http2.frame(http2.SETTINGS, no_window))
        for stream in range(1, 41, 2):
            peer.send(b"".join(http2.header_frames(headers, stream)) +
                      http2.frame(http2.DATA, message, http2.END_STREAM,
                                  stream))
        deadline = time.monotonic() + 10 * IDLE_SECONDS
        was_busy = False
        while True:
            peer.take()
            in_flight = impatient.metrics()["tensord_inflight_rpcs"]
            if was_busy and in_flight == 0:
                break
            was_busy |= in_flight > 0
            assert time.monotonic() < deadline, in_flight
            time.sleep(0.02)


def test_who_reads_slowly_is_not_cut_off(wire):
    big = np.arange(4 * MIB, dtype=np.uint8)
    name = wire.upload(harness.upload_messages(
        harness.raw_declaration(harness.array_spec(big), big.nbytes),
        big.tobytes())).name
    call = wire.stub.DownloadTensor(pb.DownloadTensorRequest(name=name),
                                    timeout=CALL_SECONDS)
    received = b""
    for response in call:
        received += response.chunk.data
        time.sleep(IDLE_SECONDS / 2)
    assert received == big.tobytes()


def test_a_batch_may_pause(wire):
    def requests():
        yield pb.BatchRequest(calls=[pb.BatchCall(
            create_tensor=pb.CreateTensorRequest(
                tensor_id="first", raw=harness.raw_array(ARRAY[:10])))])
        time.sleep(3 * IDLE_SECONDS)
        yield pb.BatchRequest(calls=[pb.BatchCall(
            get_tensor=pb.GetTensorRequest(name="tensors/first"))])

    responses = list(wire.stub.Batch(requests(), timeout=CALL_SECONDS))
    assert len(responses) == 2
