"""A server process, a connection to it, and what has to hold after a refusal.
"""

import contextlib
import dataclasses
import hashlib
import itertools
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.request

import grpc
import numpy as np
import pytest
from google.rpc import error_details_pb2
from google.rpc import status_pb2

from wire_stubs import REPOSITORY
from wire_stubs import pb
from wire_stubs import pb_grpc

# For programs that pytest does not set the path of.
sys.path.insert(0, str(REPOSITORY / "tests"))

from server_process import environment
from server_process import is_sanitized
from server_process import server_binary

MIB = 1 << 20
# Limits of the server that most tests talk to: small, so that what is exactly
# at a limit is quick to send.
MEMORY_LIMIT = 64 * MIB
MAX_TENSOR_BYTES = 16 * MIB

SERVICE = "/tensord.v1.TensorService/"
SENTINEL = "sentinel"
# How long memory may take to come back after a call ended.
SETTLE_SECONDS = 2.0
# How long expired tensors may stay there: the server sweeps every second.
SWEEP_SECONDS = 5.0
# Nothing here takes long; what hangs fails instead.
CALL_SECONDS = 120 if is_sanitized() else 30

INVALID_ARGUMENT = grpc.StatusCode.INVALID_ARGUMENT
OUT_OF_RANGE = grpc.StatusCode.OUT_OF_RANGE
NOT_FOUND = grpc.StatusCode.NOT_FOUND
ALREADY_EXISTS = grpc.StatusCode.ALREADY_EXISTS
ABORTED = grpc.StatusCode.ABORTED
FAILED_PRECONDITION = grpc.StatusCode.FAILED_PRECONDITION
RESOURCE_EXHAUSTED = grpc.StatusCode.RESOURCE_EXHAUSTED
UNIMPLEMENTED = grpc.StatusCode.UNIMPLEMENTED
UNAUTHENTICATED = grpc.StatusCode.UNAUTHENTICATED
PERMISSION_DENIED = grpc.StatusCode.PERMISSION_DENIED
UNAVAILABLE = grpc.StatusCode.UNAVAILABLE
INTERNAL = grpc.StatusCode.INTERNAL
CANCELLED = grpc.StatusCode.CANCELLED
DEADLINE_EXCEEDED = grpc.StatusCode.DEADLINE_EXCEEDED

DTYPES = {
    "bool": pb.DTYPE_BOOL,
    "uint8": pb.DTYPE_UINT8,
    "uint16": pb.DTYPE_UINT16,
    "uint32": pb.DTYPE_UINT32,
    "uint64": pb.DTYPE_UINT64,
    "int8": pb.DTYPE_INT8,
    "int16": pb.DTYPE_INT16,
    "int32": pb.DTYPE_INT32,
    "int64": pb.DTYPE_INT64,
    "float16": pb.DTYPE_FLOAT16,
    "bfloat16": pb.DTYPE_BFLOAT16,
    "float32": pb.DTYPE_FLOAT32,
    "float64": pb.DTYPE_FLOAT64,
    "complex64": pb.DTYPE_COMPLEX64,
    "complex128": pb.DTYPE_COMPLEX128,
    "float8_e4m3fn": pb.DTYPE_FLOAT8_E4M3FN,
    "float8_e5m2": pb.DTYPE_FLOAT8_E5M2,
}


class ServerProcess:
    """A tensord process on a free port of the loopback interface."""

    def __init__(self, *flags, metrics=False):
        self._process = subprocess.Popen(
            [server_binary(), "--listen=127.0.0.1:0",
             f"--metrics_listen={'127.0.0.1:0' if metrics else 'none'}",
             *flags],
            stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True,
            env=environment())
        # The latest of what the server said.
        self._lines = []
        self.address = None
        self.metrics_address = None
        self._ready = threading.Event()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        if not self._ready.wait(30) or self.address is None:
            self._process.kill()
            raise RuntimeError("the server did not start:\n" + self.log())

    def _read(self):
        for line in self._process.stderr:
            self._lines.append(line.rstrip("\n"))
            del self._lines[:-200]
            # In text, or in JSON.
            if match := re.match(
                    r'(?:\{"event":")?(listening|metrics)'
                    r'(?: on |.*"address":")([^\s"]+)', line):
                if match.group(1) == "listening":
                    self.address = match.group(2)
                else:
                    self.metrics_address = match.group(2)
            if re.search(r"\bready\b", line):
                self._ready.set()
        # The end: nobody needs to wait any longer.
        self._ready.set()

    @property
    def pid(self):
        return self._process.pid

    def log(self):
        return "\n".join(self._lines)

    def metrics(self):
        """Series of the metrics page, by name with labels: values."""
        with urllib.request.urlopen(
                f"http://{self.metrics_address}/metrics", timeout=30) as page:
            lines = page.read().decode().splitlines()
        pairs = (line.rsplit(" ", 1) for line in lines
                 if line and not line.startswith("#"))
        return {name: float(value) for name, value in pairs}

    def running(self):
        return self._process.poll() is None

    def stop(self):
        """Asks the server to end; returns its exit status."""
        if self.running():
            self._process.send_signal(signal.SIGTERM)
        return self.wait()

    def wait(self, seconds=60):
        """Waits for the server's end; returns its exit status."""
        try:
            status = self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            status = self._process.wait()
        self._reader.join(10)
        return status


@dataclasses.dataclass(frozen=True)
class State:
    """What a refused call must not change."""

    names: tuple
    memory_used_bytes: int


class Refusal:
    """A status that came back, with its details."""

    def __init__(self, error):
        self.code = error.code()
        self.message = error.details()
        self.details = {}
        trailers = dict(error.trailing_metadata() or ())
        self.raw_details = trailers.get("grpc-status-details-bin", b"")
        self.status = status_pb2.Status.FromString(self.raw_details)
        for detail in self.status.details:
            kind = detail.type_url.rpartition(".")[2]
            message = getattr(error_details_pb2, kind)()
            assert detail.Unpack(message), detail.type_url
            assert kind not in self.details, f"two {kind}"
            self.details[kind] = message

    @property
    def reason(self):
        info = self.details.get("ErrorInfo")
        return info.reason if info else ""

    @property
    def metadata(self):
        return dict(self.details["ErrorInfo"].metadata)

    @property
    def fields(self):
        bad_request = self.details.get("BadRequest")
        return ([violation.field for violation in bad_request.field_violations]
                if bad_request else [])

    def texts(self):
        yield self.message
        for message in self.details.values():
            yield from _strings(message)

    def __str__(self):
        return (f"{self.code} {self.reason} {self.message!r} "
                f"fields={self.fields}")

    __repr__ = __str__


def _strings(message):
    for field, value in message.ListFields():
        if field.message_type is not None:
            if field.message_type.GetOptions().map_entry:
                yield from itertools.chain(*value.items())
                continue
            for part in [value] if not field.is_repeated else value:
                yield from _strings(part)
        elif isinstance(value, str):
            yield value


# What belongs into a server's log at most: paths, addresses, C++ names.
_LEAKS = re.compile(
    r"(?<![\w.])/(?:home|root|usr|tmp|var|opt|etc|proc|work|build|src)/"
    r"|0x[0-9a-fA-F]{8,}|std::|absl::|bad_alloc|exception|\bterminate"
    r"|\.(?:cc|h):\d+")
# Of messages in a wrong order, or without any form: no field is at fault.
_WITHOUT_FIELD = {"DATA_AFTER_FINISH", "UPLOAD_INCOMPLETE",
                  "MESSAGE_MALFORMED"}
_REASON = re.compile(r"[A-Z][A-Z0-9_]{0,61}[A-Z0-9]")
_METADATA_KEY = re.compile(r"[a-z][a-zA-Z0-9_-]{0,63}")


def _field_exists(message_type, path):
    """Whether `path` ("array.raw.shape[1]") leads somewhere in a message."""
    *outer, last = re.sub(r"\[\d+\]", "", path).split(".")
    for name in outer:
        if name not in message_type.fields_by_name:
            return False
        message_type = message_type.fields_by_name[name].message_type
        if message_type is None:
            return False
    # What is missing may be any member of a oneof.
    return (last in message_type.fields_by_name or
            last in message_type.oneofs_by_name)


_REQUESTS = [method.input_type for method in
             pb.DESCRIPTOR.services_by_name["TensorService"].methods]
# In a stream of them a call is at fault by itself.
_REQUESTS.append(pb.BatchCall.DESCRIPTOR)


def check_refusal(refusal, code, reason, field=None, metadata=None):
    """What every refusal by tensord looks like."""
    assert refusal.code == code, refusal
    reasons = {reason} if isinstance(reason, str) else set(reason)
    assert refusal.reason in reasons, refusal
    assert refusal.status.code == code.value[0], refusal
    assert refusal.status.message == refusal.message, refusal
    assert len(refusal.raw_details) <= 4096, refusal

    info = refusal.details["ErrorInfo"]
    assert info.domain == "tensord"
    assert _REASON.fullmatch(info.reason), info.reason
    assert all(map(_METADATA_KEY.fullmatch, info.metadata)), info.metadata
    for key, value in (metadata or {}).items():
        assert refusal.metadata.get(key) == value, (key, refusal.metadata)

    if code == INVALID_ARGUMENT and refusal.reason not in _WITHOUT_FIELD:
        assert refusal.fields, refusal
    for path in refusal.fields:
        assert any(_field_exists(request, path) for request in _REQUESTS), path
    if field is not None:
        assert field in refusal.fields, refusal

    assert len(refusal.message) >= 10, refusal
    for text in refusal.texts():
        assert not _LEAKS.search(text), text
        assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f]", text), text


class _Metadata(grpc.UnaryUnaryClientInterceptor,
                grpc.UnaryStreamClientInterceptor,
                grpc.StreamUnaryClientInterceptor,
                grpc.StreamStreamClientInterceptor):
    """Sends metadata with every call."""

    def __init__(self, metadata):
        self._metadata = list(metadata)

    def _send(self, go_on, details, request):
        metadata = [*(details.metadata or ()), *self._metadata]
        return go_on(details._replace(metadata=metadata), request)

    intercept_unary_unary = _send
    intercept_unary_stream = _send
    intercept_stream_unary = _send
    intercept_stream_stream = _send


def token_file(tokens):
    """The file of --auth_tokens for tokens by their tenant and scopes."""
    return "# who may call\n" + "".join(
        f"sha256:{hashlib.sha256(token.encode()).hexdigest()} {rest}\n"
        for token, rest in tokens.items())


def bearer(token):
    return (("authorization", f"Bearer {token}"),)


class Wire:
    """A connection to a server, and short forms of what tests often do."""

    def __init__(self, server, options=(
            ("grpc.max_receive_message_length", -1),), metadata=(),
            credentials=None, channel=None):
        self.server = server
        # Connections of their own, so that tests do not meet in one.
        options = (*options, ("grpc.use_local_subchannel_pool", 1))
        if channel is None:
            channel = (
                grpc.secure_channel(server.address, credentials,
                                    options=options)
                if credentials else
                grpc.insecure_channel(server.address, options=options))
        self.channel = channel
        if metadata:
            self.channel = grpc.intercept_channel(self.channel,
                                                  _Metadata(metadata))
        self.stub = pb_grpc.TensorServiceStub(self.channel)
        self.limits = self.stub.GetServerInfo(
            pb.GetServerInfoRequest(), timeout=CALL_SECONDS,
            wait_for_ready=True).limits

    def close(self):
        self.channel.close()

    # Calls as bytes, for messages that no stub would send.

    def raw_unary(self, method, data, **kwargs):
        call = self.channel.unary_unary(SERVICE + method)
        return call(data, timeout=CALL_SECONDS, **kwargs)

    def raw_upload(self, messages):
        call = self.channel.stream_unary(SERVICE + "UploadTensor")
        return pb.Tensor.FromString(call(iter(messages), timeout=CALL_SECONDS))

    def raw_convert(self, messages):
        call = self.channel.stream_stream(SERVICE + "ConvertArray")
        return list(call(iter(messages), timeout=CALL_SECONDS))

    # Creation.

    def create(self, array, tensor_id="", **options):
        """Stores a NumPy array in one message, as it lies in memory."""
        return self.stub.CreateTensor(
            pb.CreateTensorRequest(
                tensor_id=tensor_id, raw=raw_array(array),
                options=pb.TensorOptions(**options)), timeout=CALL_SECONDS)

    def create_npy(self, file, tensor_id="", **options):
        return self.stub.CreateTensor(
            pb.CreateTensorRequest(tensor_id=tensor_id, npy=file,
                                   options=pb.TensorOptions(**options)),
            timeout=CALL_SECONDS)

    def upload(self, messages, timeout=CALL_SECONDS):
        return self.stub.UploadTensor(iter(messages), timeout=timeout)

    def convert(self, messages):
        """Returns the header and the joined bytes of the chunks."""
        return join_download(
            self.stub.ConvertArray(iter(messages), timeout=CALL_SECONDS))

    def transform(self, name, *operations, tensor_id=""):
        return self.stub.TransformTensor(
            pb.TransformTensorRequest(name=name, tensor_id=tensor_id,
                                      operations=operations),
            timeout=CALL_SECONDS)

    # Reading.

    def read(self, name, **options):
        return self.stub.ReadTensor(
            pb.ReadTensorRequest(name=name,
                                 options=pb.ReadOptions(**options)),
            timeout=CALL_SECONDS)

    def read_bytes(self, name, **options):
        return self.read(name, **options).data

    def download(self, name, read_offset=0, read_limit=0, **options):
        return join_download(self.stub.DownloadTensor(
            pb.DownloadTensorRequest(
                name=name, read_offset=read_offset, read_limit=read_limit,
                options=pb.ReadOptions(**options)), timeout=CALL_SECONDS),
            read_offset)

    # The server's state.

    def healthy(self):
        check = self.channel.unary_unary("/grpc.health.v1.Health/Check")
        # HealthCheckRequest{} -> HealthCheckResponse{status: SERVING}
        return check(b"", timeout=CALL_SECONDS) == b"\x08\x01"

    def tensors(self):
        tensors, token = [], ""
        while True:
            page = self.stub.ListTensors(
                pb.ListTensorsRequest(page_size=1000, page_token=token),
                timeout=CALL_SECONDS)
            tensors += page.tensors
            token = page.next_page_token
            if not token:
                return tensors

    def names(self):
        return tuple(tensor.name for tensor in self.tensors())

    def memory_used(self):
        devices = self.stub.ListDevices(pb.ListDevicesRequest(),
                                        timeout=CALL_SECONDS).devices
        return sum(device.memory_used_bytes for device in devices)

    def state(self):
        return State(self.names(), self.memory_used())

    def await_memory(self, expected, seconds=None):
        """Waits until as many bytes are in use; fails if that never is."""
        deadline = time.monotonic() + (seconds or SETTLE_SECONDS)
        while (used := self.memory_used()) != expected:
            assert time.monotonic() < deadline, (
                f"{used} bytes in use, not {expected}")
            time.sleep(0.005)

    def check_unharmed(self, before):
        """The server serves, and holds what it held."""
        assert self.server.running(), self.server.log()
        assert self.healthy()
        if f"tensors/{SENTINEL}" in before.names:
            assert (self.read_bytes(f"tensors/{SENTINEL}") ==
                    sentinel_array().tobytes())
        assert self.names() == before.names
        self.await_memory(before.memory_used_bytes)

    @contextlib.contextmanager
    def refused(self, code, reason, field=None, metadata=None):
        """Passes if the block is refused like this and leaves no trace.

        `reason` may be a set, where order of checks is free; `field` is a path
        in the request that the refusal has to name.
        """
        before = self.state()
        with refusal_of() as caught:
            yield caught
        check_refusal(caught.refusal, code, reason, field, metadata)
        self.check_unharmed(before)

    def clear(self):
        for tensor in self.tensors():
            if tensor.name != f"tensors/{SENTINEL}":
                self.stub.DeleteTensor(
                    pb.DeleteTensorRequest(name=tensor.name,
                                           allow_missing=True),
                    timeout=CALL_SECONDS)

    def reset(self):
        """Leaves the sentinel alone, also in memory."""
        self.clear()
        self.await_memory(sentinel_array().nbytes, SWEEP_SECONDS)


class Caught:
    refusal = None


@contextlib.contextmanager
def refusal_of():
    """Passes if the block ends with a gRPC error, whatever it is."""
    caught = Caught()
    with pytest.raises(grpc.RpcError) as error:
        yield caught
    caught.refusal = Refusal(error.value)


def sentinel_array():
    return np.arange(1024, dtype=np.int32) * 7


def dtype_of(array):
    return DTYPES[array.dtype.name]


def array_spec(array):
    """What the bytes of array.tobytes("A") are."""
    fortran = array.flags.f_contiguous and not array.flags.c_contiguous
    big = array.dtype.byteorder == ">"
    return pb.ArraySpec(
        dtype=dtype_of(array), shape=array.shape,
        order=pb.ORDER_F if fortran else pb.ORDER_C,
        byte_order=(pb.BYTE_ORDER_BIG_ENDIAN if big
                    else pb.BYTE_ORDER_LITTLE_ENDIAN))


def raw_array(array):
    return pb.RawArray(spec=array_spec(array), data=array.tobytes("A"))


def chunk(data, offset=0, **fields):
    return pb.Chunk(offset=offset, data=data, **fields)


def pieces(data, chunk_bytes):
    """Chunks that cover `data`."""
    for offset in range(0, len(data), chunk_bytes):
        yield chunk(data[offset:offset + chunk_bytes], offset)


def raw_declaration(spec, total_bytes):
    return pb.ArrayDeclaration(raw=spec, total_bytes=total_bytes)


def npy_declaration(total_bytes):
    return pb.ArrayDeclaration(npy=pb.NpyFile(), total_bytes=total_bytes)


def upload_head(array, tensor_id="", **options):
    return pb.UploadTensorRequest(declaration=pb.UploadDeclaration(
        tensor_id=tensor_id, array=array,
        options=pb.TensorOptions(**options)))


def upload_messages(array, data, tensor_id="", chunk_bytes=MIB, **options):
    """A whole upload; `array` is an ArrayDeclaration."""
    yield upload_head(array, tensor_id, **options)
    for piece in pieces(data, chunk_bytes):
        yield pb.UploadTensorRequest(chunk=piece)
    yield pb.UploadTensorRequest(finish=True)


def convert_messages(array, data, chunk_bytes=MIB, **declaration):
    yield pb.ConvertArrayRequest(declaration=pb.ConvertDeclaration(
        array=array, **declaration))
    for piece in pieces(data, chunk_bytes):
        yield pb.ConvertArrayRequest(chunk=piece)
    yield pb.ConvertArrayRequest(finish=True)


@contextlib.contextmanager
def held_open(*messages):
    """An iterator of messages that does not end before the block does."""
    release = threading.Event()

    def generate():
        yield from messages
        release.wait(CALL_SECONDS)

    try:
        yield generate()
    finally:
        release.set()


def join_download(responses, offset=0):
    """Checks the order of messages; returns the header and all bytes."""
    header, data = None, bytearray()
    for response in responses:
        kind = response.WhichOneof("payload")
        if header is None:
            assert kind == "header"
            header = response.header
            continue
        assert kind == "chunk"
        assert response.chunk.offset == offset + len(data)
        data += response.chunk.data
    assert header is not None
    return header, bytes(data)


def npy_header(descr="'<f4'", fortran="False", shape="(3,)"):
    return (f"{{'descr': {descr}, 'fortran_order': {fortran}, "
            f"'shape': {shape}, }}")


def npy_file(header, body=b"", version=(1, 0), alignment=64):
    """A .npy file around any header; alignment 0 leaves it as it is."""
    text = header if isinstance(header, bytes) else header.encode()
    length_bytes = 2 if version == (1, 0) else 4
    if alignment:
        start = 8 + length_bytes
        text += b" " * (-(start + len(text) + 1) % alignment) + b"\n"
    return (b"\x93NUMPY" + bytes(version) +
            len(text).to_bytes(length_bytes, "little") + text + body)


def send_npy(wire, way, file, dtype=pb.DTYPE_UNSPECIFIED, tensor_id=""):
    """Sends a .npy file by one of NPY_WAYS."""
    if way == "create":
        return wire.create_npy(file, tensor_id, dtype=dtype)
    # Small and odd, so that boundaries fall everywhere.
    chunk_bytes = max(7, len(file) // 40)
    declaration = npy_declaration(len(file))
    if way == "upload":
        return wire.upload(upload_messages(
            declaration, file, tensor_id, chunk_bytes, dtype=dtype))
    return wire.convert(convert_messages(
        declaration, file, chunk_bytes, dtype=dtype))


NPY_WAYS = ("create", "upload", "convert")
