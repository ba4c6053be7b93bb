"""Bad input, group D: order and size of the messages of a stream."""

import time

import grpc
import numpy as np
import pytest

import wire_harness as harness
from wire_harness import ABORTED
from wire_harness import INVALID_ARGUMENT
from wire_harness import OUT_OF_RANGE
from wire_harness import RESOURCE_EXHAUSTED
from wire_harness import chunk
from wire_stubs import pb

ARRAY = np.arange(6, dtype=np.float32)
DATA = ARRAY.tobytes()
DECLARATION = harness.raw_declaration(harness.array_spec(ARRAY), len(DATA))


class Upload:
    """Messages of UploadTensor, and how to send them."""

    head = harness.upload_head(DECLARATION, "streamed")
    message = pb.UploadTensorRequest

    @staticmethod
    def send(wire, messages):
        return wire.upload(messages)


class Convert:
    """The same of ConvertArray."""

    head = pb.ConvertArrayRequest(
        declaration=pb.ConvertDeclaration(array=DECLARATION))
    message = pb.ConvertArrayRequest

    @staticmethod
    def send(wire, messages):
        return wire.convert(messages)


METHODS = [pytest.param(Upload, id="upload"),
           pytest.param(Convert, id="convert")]


def rows():
    whole, half = chunk(DATA), chunk(DATA[:12])
    rest = chunk(DATA[12:], 12)
    end = {"finish": True}
    incomplete = (INVALID_ARGUMENT, "UPLOAD_INCOMPLETE")
    missing = (INVALID_ARGUMENT, "HEADER_MISSING")
    return [
        ("D59-chunk-first", False, [{"chunk": whole}, end], *missing),
        ("D59-chunk-with-finish-first", False, [{"chunk": whole, **end}],
         *missing),
        ("D59-finish-first", False, [end], *missing),
        ("D60-second-header", True, ["head"], INVALID_ARGUMENT,
         "HEADER_REPEATED"),
        ("D60-header-after-data", True, [{"chunk": half}, "head"],
         INVALID_ARGUMENT, "HEADER_REPEATED"),
        ("D61-empty-message", True, [{}, {"chunk": whole}, end],
         INVALID_ARGUMENT, "MESSAGE_EMPTY"),
        ("D61-empty-message-between", True, [{"chunk": half}, {}],
         INVALID_ARGUMENT, "MESSAGE_EMPTY"),
        ("D63-chunk-after-finish", True,
         [{"chunk": whole}, end, {"chunk": chunk(b"x", len(DATA))}],
         INVALID_ARGUMENT, "DATA_AFTER_FINISH"),
        ("D63-finish-twice", True, [{"chunk": whole, **end}, end],
         INVALID_ARGUMENT, "DATA_AFTER_FINISH"),
        ("D63-header-after-finish", True, [{"chunk": whole, **end}, "head"],
         INVALID_ARGUMENT, {"DATA_AFTER_FINISH", "HEADER_REPEATED"}),
        ("D64-no-message", False, [], *missing),
        ("D65-header-alone", True, [], *incomplete),
        ("D65-half", True, [{"chunk": half}], *incomplete),
        ("D65-whole-without-finish", True, [{"chunk": whole}], *incomplete),
        ("D66-finish-after-half", True, [{"chunk": half, **end}], *incomplete),
        ("D66-finish-at-once", True, [end], *incomplete),
        ("D67-one-chunk-too-long", True, [{"chunk": chunk(DATA + b"x")}, end],
         OUT_OF_RANGE, "UPLOAD_OVERRUN"),
        ("D67-last-chunk-too-long", True,
         [{"chunk": half}, {"chunk": chunk(DATA[12:] + bytes(100), 12)}, end],
         OUT_OF_RANGE, "UPLOAD_OVERRUN"),
        ("D67-chunk-too-many", True,
         [{"chunk": half}, {"chunk": rest},
          {"chunk": chunk(b"x", len(DATA)), **end}],
         OUT_OF_RANGE, "UPLOAD_OVERRUN"),
        ("D71-checksum", True, [{"chunk": chunk(DATA, crc32c=1), **end}],
         INVALID_ARGUMENT, "CHECKSUM_MISMATCH"),
        ("D71-checksum-0", True, [{"chunk": chunk(DATA, crc32c=0), **end}],
         INVALID_ARGUMENT, "CHECKSUM_MISMATCH"),
        ("D71-second-checksum", True,
         [{"chunk": chunk(DATA[:12], crc32c=crc32c(DATA[:12]))},
          {"chunk": chunk(DATA[12:], 12, crc32c=crc32c(DATA[12:]) ^ 1)}],
         INVALID_ARGUMENT, "CHECKSUM_MISMATCH"),
    ]


def crc32c(data):
    """CRC-32C, bit by bit."""
    remainder = 0xFFFFFFFF
    for byte in data:
        remainder ^= byte
        for _ in range(8):
            remainder = (remainder >> 1) ^ (0x82F63B78 * (remainder & 1))
    return remainder ^ 0xFFFFFFFF


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "headed, steps, code, reason",
    [pytest.param(*row[1:], id=row[0]) for row in rows()])
def test_refuses(wire, method, headed, steps, code, reason):
    messages = [method.head] if headed else []
    messages += [method.head if step == "head" else method.message(**step)
                 for step in steps]
    with wire.refused(code, reason):
        method.send(wire, messages)


@pytest.mark.parametrize("method", METHODS)
def test_right_checksums_are_accepted(wire, method):
    assert crc32c(b"123456789") == 0xE3069283
    steps = [{"chunk": chunk(DATA[:7], crc32c=crc32c(DATA[:7]))},
             {"chunk": chunk(DATA[7:], 7, crc32c=crc32c(DATA[7:]))},
             {"finish": True}]
    method.send(wire, [method.head, *(method.message(**s) for s in steps)])


@pytest.mark.parametrize("method", METHODS)
def test_refuses_empty_declarations(wire, method):
    declaration = method.head.WhichOneof("payload")
    empty = method.message(**{declaration: {}})
    with wire.refused(INVALID_ARGUMENT, "ARRAY_MISSING"):
        method.send(wire, [empty])
    formless = method.message(**{declaration: {
        "array": pb.ArrayDeclaration(total_bytes=24)}})
    with wire.refused(INVALID_ARGUMENT, "ARRAY_MISSING"):
        method.send(wire, [formless])


def test_refuses_creation_without_array(wire):
    with wire.refused(INVALID_ARGUMENT, "ARRAY_MISSING"):
        wire.stub.CreateTensor(pb.CreateTensorRequest(tensor_id="a"))
    with wire.refused(INVALID_ARGUMENT, {"ARRAY_MISSING", "DTYPE_UNKNOWN"}):
        wire.stub.CreateTensor(pb.CreateTensorRequest(raw=pb.RawArray()))


@pytest.mark.parametrize("method", METHODS)
def test_refuses_chunk_beyond_limit_D68(wire, method):
    size = wire.limits.max_chunk_bytes + 1
    assert size < wire.limits.max_message_bytes
    array = np.zeros(2 * size, np.uint8)
    head = type(method.head)()
    head.CopyFrom(method.head)
    head.declaration.array.CopyFrom(harness.raw_declaration(
        harness.array_spec(array), array.nbytes))
    with wire.refused(INVALID_ARGUMENT, "CHUNK_TOO_LARGE"):
        method.send(wire, [head, method.message(chunk=chunk(bytes(size)))])


@pytest.mark.parametrize("method", METHODS)
def test_refuses_endless_empty_chunks_D69(wire, method):
    """A client that sends nothing, busily."""
    def endless():
        yield method.head
        deadline = time.monotonic() + 20
        empty = method.message(chunk=chunk(b""))
        while time.monotonic() < deadline:
            yield empty

    with wire.refused(RESOURCE_EXHAUSTED, "CHUNK_RATE"):
        method.send(wire, endless())


@pytest.mark.parametrize("method", METHODS)
def test_some_empty_chunks_keep_alive_D69(wire, method):
    empty = method.message(chunk=chunk(b""))
    late = method.message(chunk=chunk(b"", len(DATA)))
    method.send(wire, [
        method.head, *[empty] * 10, method.message(chunk=chunk(DATA)),
        *[late] * 10, method.message(finish=True)])


def test_one_byte_chunks_D70(wire):
    count = 100_000
    array = np.arange(count // 4, dtype=np.int32)
    declaration = harness.raw_declaration(harness.array_spec(array),
                                          array.nbytes)
    messages = harness.upload_messages(
        declaration, array.tobytes(), chunk_bytes=1, dtype=pb.DTYPE_INT64)
    # A stock client takes a while to make them.
    tensor = wire.upload(messages, timeout=4 * harness.CALL_SECONDS)
    assert (wire.read_bytes(tensor.name) ==
            array.astype(np.int64).tobytes())


def test_refuses_second_upload_of_a_name_D74(wire):
    before = wire.memory_used()
    sent = pb.UploadTensorRequest(chunk=chunk(DATA[:12]))
    with harness.held_open(Upload.head, sent) as upload:
        first = wire.stub.UploadTensor.future(upload)
        wire.await_memory(before + len(DATA))
        with wire.refused(ABORTED, "UPLOAD_CONFLICT"):
            wire.upload([Upload.head])
        with wire.refused(ABORTED, "UPLOAD_CONFLICT"):
            wire.create(ARRAY, "streamed")
        with wire.refused(ABORTED, "UPLOAD_CONFLICT"):
            wire.transform(f"tensors/{harness.SENTINEL}",
                           pb.Operation(clone={}), tensor_id="streamed")
        # Nothing is seen of it yet.
        with wire.refused(harness.NOT_FOUND, "TENSOR_NOT_FOUND"):
            wire.read("tensors/streamed")
        first.cancel()
    wire.await_memory(before)
    wire.create(ARRAY, "streamed")


def test_first_of_two_uploads_is_undisturbed_D74(wire):
    """The loser of a race for a name leaves no mark on the winner."""
    before = wire.memory_used()

    def messages():
        yield Upload.head
        yield pb.UploadTensorRequest(chunk=chunk(DATA[:12]))
        # The server has seen the above once it counts the memory.
        wire.await_memory(before + len(DATA))
        with wire.refused(ABORTED, "UPLOAD_CONFLICT"):
            wire.upload([Upload.head,
                         pb.UploadTensorRequest(chunk=chunk(bytes(24)),
                                                finish=True)])
        yield pb.UploadTensorRequest(chunk=chunk(DATA[12:], 12), finish=True)

    tensor = wire.upload(messages())
    assert wire.read_bytes(tensor.name) == DATA


def test_refuses_upload_to_taken_name_before_data(wire):
    wire.create(ARRAY, "streamed")
    with wire.refused(harness.ALREADY_EXISTS, "TENSOR_EXISTS"):
        with harness.held_open(Upload.head) as upload:
            wire.upload(upload)


def test_answers_reach_a_client_that_goes_on_sending(wire):
    """A refusal in the middle does not wait for the end of the stream."""
    def endless():
        yield Upload.head
        while True:
            yield pb.UploadTensorRequest(chunk=chunk(bytes(1000), 5))

    started = time.monotonic()
    with pytest.raises(grpc.RpcError):
        wire.upload(endless())
    assert time.monotonic() - started < 5
