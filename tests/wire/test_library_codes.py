"""What the gRPC library refuses before tensord sees the call."""

import time

import grpc
import numpy as np
import pytest

import wire_harness as harness
from wire_harness import CALL_SECONDS
from wire_harness import DEADLINE_EXCEEDED
from wire_harness import INTERNAL
from wire_harness import INVALID_ARGUMENT
from wire_harness import RESOURCE_EXHAUSTED
from wire_harness import SENTINEL
from wire_harness import UNIMPLEMENTED
from wire_stubs import pb
from wire_stubs import pb_grpc

NAME = f"tensors/{SENTINEL}"


@pytest.fixture(autouse=True)
def unharmed(wire):
    """Whatever a test does, the server goes on as it was."""
    before = wire.state()
    yield
    wire.clear()
    wire.check_unharmed(before)


def code_of(call, *args, **kwargs):
    with pytest.raises(grpc.RpcError) as error:
        call(*args, timeout=CALL_SECONDS, **kwargs)
    return error.value.code(), error.value.details()


def create_request(message_bytes):
    """A request of exactly so many bytes."""
    request = pb.CreateTensorRequest(raw=pb.RawArray(
        spec=pb.ArraySpec(dtype=pb.DTYPE_UINT8)))
    size = message_bytes
    while True:
        request.raw.spec.shape[:] = [size]
        request.raw.data = bytes(size)
        excess = request.ByteSize() - message_bytes
        if excess == 0:
            return request
        size -= excess


def test_message_at_the_limit_is_accepted(wire):
    request = create_request(wire.limits.max_message_bytes)
    tensor = wire.stub.CreateTensor(request)
    assert tensor.size_bytes == len(request.raw.data)


def test_message_beyond_the_limit_is_refused(wire):
    limit = wire.limits.max_message_bytes
    code, text = code_of(wire.stub.CreateTensor, create_request(limit + 1))
    assert code == RESOURCE_EXHAUSTED
    assert f"({limit + 1} vs. {limit})" in text


def test_stream_message_beyond_the_limit_is_refused(wire):
    limit = wire.limits.max_message_bytes
    spec = pb.ArraySpec(dtype=pb.DTYPE_UINT8, shape=[limit + 1])
    messages = [
        harness.upload_head(harness.raw_declaration(spec, limit + 1)),
        pb.UploadTensorRequest(chunk=harness.chunk(bytes(limit + 1)))]
    code, text = code_of(wire.stub.UploadTensor, iter(messages))
    assert code == RESOURCE_EXHAUSTED
    assert "larger than max" in text


def test_gzip_bomb_is_refused(wire):
    """Sixty kilobytes that would become sixty megabytes."""
    spec = pb.ArraySpec(dtype=pb.DTYPE_UINT8, shape=[60 << 20])
    request = pb.CreateTensorRequest(
        raw=pb.RawArray(spec=spec, data=bytes(60 << 20)))
    code, _ = code_of(wire.stub.CreateTensor, request,
                      compression=grpc.Compression.Gzip)
    assert code in (RESOURCE_EXHAUSTED, UNIMPLEMENTED)


def test_metadata_beyond_the_limit_is_refused(wire):
    # gRPC 1.51 may drop the connection with the call, so the call has one.
    options = [("grpc.use_local_subchannel_pool", 1)]
    with grpc.insecure_channel(wire.server.address, options) as channel:
        stub = pb_grpc.TensorServiceStub(channel)
        code, text = code_of(stub.GetTensor, pb.GetTensorRequest(name=NAME),
                             metadata=[("x-large", "a" * 64_000)])
    assert code == RESOURCE_EXHAUSTED
    assert "metadata" in text


@pytest.mark.parametrize("path", [
    "/tensord.v1.TensorService/Nothing", "/tensord.v1.TensorService/",
    "/tensord.v2.TensorService/GetTensor", "/x", "/a/b/c",
    "/tensord.v1.TensorService/gettensor"])
def test_unknown_method_is_refused(wire, path):
    code, _ = code_of(wire.channel.unary_unary(path), b"")
    assert code == UNIMPLEMENTED


# What the library says of a message that it can not parse: UNIMPLEMENTED is the
# callback interface's word for a handler that was never called.
LIBRARY_REFUSES = (INTERNAL, UNIMPLEMENTED)
UNARY = ["ReadTensor", "TransformTensor", "GetTensor", "ListTensors",
         "UpdateTensor", "DeleteTensor", "CreateTensor", "ListDevices",
         "GetServerInfo"]
UNDECODABLE = [b"\xff", b"\x0a\x05a", b"\x0a\xff\xff\xff\xff\x0f", b"\x00",
               b"\x80" * 11, b"\x0f"]


@pytest.mark.parametrize("method", UNARY)
@pytest.mark.parametrize("data", UNDECODABLE, ids=bytes.hex)
def test_undecodable_message_is_refused(wire, method, data):
    with harness.refusal_of() as caught:
        wire.raw_unary(method, data)
    refusal = caught.refusal
    if refusal.code == INVALID_ARGUMENT:
        harness.check_refusal(refusal, INVALID_ARGUMENT, "MESSAGE_MALFORMED")
    else:
        assert refusal.code in LIBRARY_REFUSES, refusal


@pytest.mark.parametrize("method", ["GetTensor", "ReadTensor", "DeleteTensor",
                                    "CreateTensor"])
@pytest.mark.parametrize("name", [
    b"tensors/\xff\xfe", b"\xc0\xaf", b"tensors/\xed\xa0\x80"])
def test_name_that_is_no_utf8_is_refused_F85(wire, method, name):
    with harness.refusal_of() as caught:
        wire.raw_unary(method, b"\x0a" + bytes([len(name)]) + name)
    refusal = caught.refusal
    if refusal.code == INVALID_ARGUMENT:
        harness.check_refusal(refusal, INVALID_ARGUMENT,
                              {"MESSAGE_MALFORMED", "NAME_INVALID"})
    else:
        assert refusal.code in LIBRARY_REFUSES, refusal


@pytest.mark.parametrize("method", UNARY)
def test_unary_call_without_message_is_refused(wire, method):
    call = wire.channel.stream_unary(harness.SERVICE + method)
    code, _ = code_of(call, iter([]))
    assert code in LIBRARY_REFUSES


def test_unary_call_with_two_messages_answers_the_first(wire):
    call = wire.channel.stream_unary(harness.SERVICE + "GetTensor")
    first = pb.GetTensorRequest(name=NAME).SerializeToString()
    second = pb.GetTensorRequest(name="tensors/b").SerializeToString()
    response = call(iter([first, second]), timeout=CALL_SECONDS)
    assert pb.Tensor.FromString(response).name == NAME


def test_compressed_messages_are_understood_or_refused(wire):
    """Compression is the client's choice; the array is the same."""
    array = np.zeros(1000, np.int32)
    try:
        tensor = wire.stub.CreateTensor(
            pb.CreateTensorRequest(raw=harness.raw_array(array)),
            compression=grpc.Compression.Gzip)
    except grpc.RpcError as error:
        assert error.code() == UNIMPLEMENTED
        return
    assert wire.read_bytes(tensor.name) == array.tobytes()
    declaration = harness.raw_declaration(harness.array_spec(array),
                                          array.nbytes)
    tensor = wire.stub.UploadTensor(
        harness.upload_messages(declaration, array.tobytes()),
        compression=grpc.Compression.Gzip)
    assert wire.read_bytes(tensor.name) == array.tobytes()


def test_deadline_is_kept_to_the_microsecond(wire):
    """What is too late is refused, and leaves nothing or all of it."""
    array = np.arange(500_000, dtype=np.float32)
    codes = set()
    for number, seconds in enumerate((-1, 0, 1e-6, 1e-4, 1e-3)):
        try:
            wire.stub.CreateTensor(pb.CreateTensorRequest(
                tensor_id=f"late{number}", raw=harness.raw_array(array)),
                timeout=seconds)
        except grpc.RpcError as error:
            codes.add(error.code())
    assert codes == {DEADLINE_EXCEEDED}
    # What is under way when the client gives up may still be stored.
    time.sleep(0.1)
    for name in wire.names():
        if name != NAME:
            assert wire.read_bytes(name) == array.tobytes()


def test_health_of_unknown_service_is_not_found(wire):
    check = wire.channel.unary_unary("/grpc.health.v1.Health/Check")
    code, _ = code_of(check, b"\x0a\x07nothing")
    assert code == harness.NOT_FOUND
