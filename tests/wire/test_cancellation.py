"""Calls that end before they are done leave nothing behind."""

import os
import signal
import subprocess
import sys
import threading
import time

import grpc
import numpy as np
import pytest

import wire_harness as harness
from wire_harness import CANCELLED
from wire_harness import DEADLINE_EXCEEDED
from wire_harness import MIB
from wire_stubs import pb

SIZE = 8 * MIB
ARRAY = np.arange(SIZE // 4, dtype=np.int32)
DECLARATION = harness.raw_declaration(harness.array_spec(ARRAY), SIZE)


@pytest.fixture(autouse=True)
def unharmed(wire):
    before = wire.state()
    yield
    wire.clear()
    wire.check_unharmed(before)


def some_chunks(count):
    data = ARRAY.tobytes()
    return [pb.UploadTensorRequest(chunk=piece) for piece in
            list(harness.pieces(data, MIB))[:count]]


@pytest.fixture
def begun(wire):
    """Waits until the server holds the memory of the upload above."""
    used = wire.memory_used()
    return lambda: wire.await_memory(used + SIZE)


@pytest.mark.parametrize("chunks", [0, 1, 5])
def test_cancelled_upload(wire, begun, chunks):
    before = wire.state()
    head = harness.upload_head(DECLARATION, "cancelled")
    with harness.held_open(head, *some_chunks(chunks)) as messages:
        call = wire.stub.UploadTensor.future(messages)
        begun()
        call.cancel()
        with pytest.raises((grpc.RpcError, grpc.FutureCancelledError)):
            call.result()
    assert call.code() == CANCELLED
    wire.check_unharmed(before)
    wire.create(ARRAY[:10], "cancelled")


def test_upload_cancelled_before_its_declaration(wire):
    with harness.held_open() as messages:
        call = wire.stub.UploadTensor.future(messages)
        time.sleep(0.02)
        call.cancel()
    assert call.code() == CANCELLED


def test_many_uploads_cancelled_at_every_point(wire):
    """At any moment, not only where the client waits."""
    before = wire.state()
    for delay in np.linspace(0, 0.02, 40):
        messages = harness.upload_messages(
            DECLARATION, ARRAY.tobytes(), chunk_bytes=MIB // 2,
            dtype=pb.DTYPE_FLOAT32)
        call = wire.stub.UploadTensor.future(messages)
        time.sleep(delay)
        call.cancel()
    wire.clear()
    # A commit may still win over a cancellation that comes too late.
    time.sleep(0.1)
    wire.clear()
    wire.check_unharmed(before)


def uploaded(wire):
    return wire.upload(harness.upload_messages(DECLARATION,
                                               ARRAY.tobytes())).name


@pytest.mark.parametrize("responses", [0, 1, 3])
def test_cancelled_download(wire, responses):
    before = wire.memory_used()
    name = uploaded(wire)
    call = wire.stub.DownloadTensor(pb.DownloadTensorRequest(
        name=name, options=pb.ReadOptions(dtype=pb.DTYPE_FLOAT64)))
    for _ in range(responses):
        next(call)
    call.cancel()
    with pytest.raises(grpc.RpcError):
        list(call)
    assert call.code() == CANCELLED
    wire.stub.DeleteTensor(pb.DeleteTensorRequest(name=name))
    wire.await_memory(before)


def test_download_that_nobody_reads(wire):
    """Its memory is the tensor's alone, and comes back when it ends."""
    before = wire.memory_used()
    name = uploaded(wire)
    calls = [wire.stub.DownloadTensor(pb.DownloadTensorRequest(name=name))
             for _ in range(8)]
    for call in calls:
        next(call)
    assert wire.memory_used() == before + SIZE
    wire.stub.DeleteTensor(pb.DeleteTensorRequest(name=name))
    assert wire.memory_used() == before + SIZE
    for call in calls:
        call.cancel()
    wire.await_memory(before)


@pytest.mark.parametrize("read", [False, True])
def test_cancelled_convert(wire, read):
    messages = list(harness.convert_messages(DECLARATION, ARRAY.tobytes(),
                                             dtype=pb.DTYPE_FLOAT64))
    with harness.held_open(*messages[:5]) as requests:
        call = wire.stub.ConvertArray(requests)
        if read:
            next(call)
            next(call)
        call.cancel()
        with pytest.raises(grpc.RpcError):
            list(call)
    assert call.code() == CANCELLED


def test_convert_that_nobody_reads(wire):
    """What comes out is not piled up: the input is held back instead."""
    total = harness.MAX_TENSOR_BYTES
    spec = pb.ArraySpec(dtype=pb.DTYPE_UINT8, shape=[total])
    sent = []

    def messages():
        head, *rest = harness.convert_messages(
            harness.raw_declaration(spec, total), bytes(total),
            dtype=pb.DTYPE_COMPLEX128)
        yield head
        for message in rest:
            yield message
            sent.append(len(message.chunk.data))

    before = resident_bytes(wire.server.pid)
    call = wire.stub.ConvertArray(messages())
    time.sleep(1)
    grown = resident_bytes(wire.server.pid) - before
    assert sum(sent) < total
    # All of the result would be 256 MiB.
    assert grown < 96 * MIB
    call.cancel()
    with pytest.raises(grpc.RpcError):
        list(call)


def resident_bytes(pid):
    with open(f"/proc/{pid}/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_deadline_in_the_middle_of_an_upload(wire):
    before = wire.state()
    head = harness.upload_head(DECLARATION, "late")
    with harness.held_open(head, *some_chunks(2)) as messages:
        with pytest.raises(grpc.RpcError) as error:
            wire.stub.UploadTensor(messages, timeout=0.3)
    assert error.value.code() == DEADLINE_EXCEEDED
    wire.check_unharmed(before)


def test_deadline_in_the_middle_of_a_convert(wire):
    messages = list(harness.convert_messages(DECLARATION, ARRAY.tobytes()))
    with harness.held_open(*messages[:3]) as requests:
        with pytest.raises(grpc.RpcError) as error:
            list(wire.stub.ConvertArray(requests, timeout=0.3))
    assert error.value.code() == DEADLINE_EXCEEDED


def test_deadline_in_the_middle_of_a_download(wire):
    name = uploaded(wire)
    call = wire.stub.DownloadTensor(pb.DownloadTensorRequest(
        name=name, options=pb.ReadOptions(dtype=pb.DTYPE_COMPLEX128)),
        timeout=0.3)
    next(call)
    time.sleep(0.4)
    with pytest.raises(grpc.RpcError) as error:
        list(call)
    assert error.value.code() == DEADLINE_EXCEEDED


def test_deadline_in_the_past(wire):
    before = wire.state()
    calls = [
        lambda: wire.stub.UploadTensor(harness.upload_messages(
            DECLARATION, ARRAY.tobytes()), timeout=-1),
        lambda: list(wire.stub.DownloadTensor(pb.DownloadTensorRequest(
            name=f"tensors/{harness.SENTINEL}"), timeout=-1)),
        lambda: wire.stub.TransformTensor(pb.TransformTensorRequest(
            name=f"tensors/{harness.SENTINEL}",
            operations=[pb.Operation(clone={})]), timeout=-1),
    ]
    for call in calls:
        with pytest.raises(grpc.RpcError) as error:
            call()
        assert error.value.code() == DEADLINE_EXCEEDED
    wire.check_unharmed(before)


def test_closed_channel(server, wire, begun):
    before = wire.state()
    other = harness.Wire(server)
    with harness.held_open(harness.upload_head(DECLARATION, "closed"),
                           *some_chunks(2)) as messages:
        call = other.stub.UploadTensor.future(messages)
        begun()
        other.close()
        with pytest.raises((grpc.RpcError, grpc.FutureCancelledError)):
            call.result()
    wire.check_unharmed(before)
    wire.create(ARRAY[:10], "closed")


CLIENT = """
import sys, time
sys.path.insert(0, sys.argv[1])
import numpy as np
import test_cancellation as tests
import wire_harness as harness

class Server:
    address = sys.argv[2]

wire = harness.Wire(Server)
messages = [harness.upload_head(tests.DECLARATION, "killed"),
            *tests.some_chunks(3)]
with harness.held_open(*messages) as upload:
    call = wire.stub.UploadTensor.future(upload)
    time.sleep(60)
"""


def test_killed_client(server, wire, begun):
    """The connection breaks without a word."""
    before = wire.state()
    process = subprocess.Popen([
        sys.executable, "-c", CLIENT, os.path.dirname(__file__),
        server.address])
    try:
        deadline = time.monotonic() + 20
        while wire.memory_used() == before.memory_used_bytes:
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.01)
        begun()
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    wire.check_unharmed(before)
    wire.create(ARRAY[:10], "killed")


def test_cancellation_among_other_calls(wire):
    """Others that use the same tensor and connection do not notice."""
    name = uploaded(wire)
    failures = []

    def read():
        try:
            if wire.download(name)[1] != ARRAY.tobytes():
                failures.append("other bytes")
        except grpc.RpcError as error:
            failures.append(str(error))

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(20):
        call = wire.stub.DownloadTensor(pb.DownloadTensorRequest(name=name))
        next(call)
        call.cancel()
    for thread in threads:
        thread.join()
    assert not failures
