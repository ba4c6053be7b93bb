"""Clients that die, stop, cancel or dawdle at every step of every stream.

All steps of all streams meet one kind of fault at the same time. Whatever it is,
nothing is left of those clients a second later, and nobody else notices.
"""

import socket
import threading
import time

import grpc
import numpy as np
import pytest

import wire_harness as harness
from wire_harness import CALL_SECONDS
from wire_harness import MIB
from wire_stubs import pb
from wire_stubs import pb_grpc

ARRAY = np.arange(MIB, dtype=np.float32)
DATA = ARRAY.tobytes()
DECLARATION = harness.raw_declaration(harness.array_spec(ARRAY), ARRAY.nbytes)
IDLE_SECONDS = 1
# Messages that a client sends or gets in any of the streams.
STEPS = 7


class Line:
    """A connection to a server that can be cut, held and slowed down."""

    def __init__(self, address):
        host, port = address.rsplit(":", 1)
        self._server = (host, int(port))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self._listener.getsockname()[1]
        self._sockets = [self._listener]
        self._may_pass = threading.Event()
        self._may_pass.set()
        self._pause = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        try:
            near, _ = self._listener.accept()
            far = socket.create_connection(self._server)
        except OSError:
            return
        self._sockets += [near, far]
        for source, sink in ((near, far), (far, near)):
            threading.Thread(target=self._pass_on, args=(source, sink),
                             daemon=True).start()

    def _pass_on(self, source, sink):
        try:
            while True:
                self._may_pass.wait()
                data = source.recv(32 << 10)
                self._may_pass.wait()
                time.sleep(self._pause)
                if not data:
                    break
                sink.sendall(data)
        except OSError:
            pass

    def stop(self):
        """As a client that is stopped by a signal: nothing passes any more."""
        self._may_pass.clear()

    def slow_down(self):
        self._pause = 0.002

    def cut(self):
        """As a client that is killed: its system hangs up."""
        for one in self._sockets:
            try:
                # Ends a thread that waits for it, too.
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            one.close()
        self._may_pass.set()


class Client(threading.Thread):
    """One call over a line of its own, with a fault at one of its steps."""

    def __init__(self, server, stream, step, fault):
        super().__init__(name=f"{stream.__name__} {step}")
        self.stream = stream
        self.id = f"{stream.__name__.strip('_')}/{step}"
        self._step = step
        self._fault = fault
        self._seen = 0
        self._line = Line(server.address)
        self._channel = grpc.insecure_channel(self._line.address, options=(
            ("grpc.max_receive_message_length", -1),
            ("grpc.use_local_subchannel_pool", 1)))
        self.stub = pb_grpc.TensorServiceStub(self._channel)
        self._call = None
        self._has_begun = threading.Event()
        self.failure = None
        # Whether the call did what it should.
        self.is_done = False

    def run(self):
        try:
            self.stream(self)
            self.is_done = True
        except (grpc.RpcError, grpc.FutureCancelledError):
            pass
        except AssertionError as error:
            self.failure = error

    def begin(self, method, request):
        self._call = method(request, timeout=CALL_SECONDS)
        self._has_begun.set()
        return self._call

    def pass_step(self):
        if self._seen == self._step:
            self._fault(self)
        self._seen += 1

    def steps(self, messages):
        for message in messages:
            self.pass_step()
            yield message
        self.pass_step()

    def stop(self):
        self._line.stop()

    def slow_down(self):
        self._line.slow_down()

    def cancel(self):
        self._has_begun.wait()
        self._call.cancel()

    def cut(self):
        self._line.cut()

    def close(self):
        self._line.cut()
        self.join(CALL_SECONDS)
        assert not self.is_alive(), self.name
        self._channel.close()


def upload(client):
    client.begin(client.stub.UploadTensor.future, client.steps(
        harness.upload_messages(DECLARATION, DATA, client.id))).result()


def download(client):
    call = client.begin(client.stub.DownloadTensor, pb.DownloadTensorRequest(
        name=f"tensors/{harness.SENTINEL}-large"))
    _, data = harness.join_download(client.steps(call))
    assert data == DATA, client.name


def convert(client):
    """The client meets the fault as it sends, ahead of what it gets."""
    call = client.begin(client.stub.ConvertArray, client.steps(
        harness.convert_messages(DECLARATION, DATA, dtype=pb.DTYPE_FLOAT64)))
    _, data = harness.join_download(call)
    assert data == ARRAY.astype(np.float64).tobytes(), client.name


def results_of_convert(client):
    """The same as it gets what comes back."""
    call = client.begin(client.stub.ConvertArray, harness.convert_messages(
        DECLARATION, DATA, dtype=pb.DTYPE_FLOAT64))
    _, data = harness.join_download(client.steps(call))
    assert data == ARRAY.astype(np.float64).tobytes(), client.name


def batch(client):
    read = pb.BatchCall(read_tensor=pb.ReadTensorRequest(
        name=f"tensors/{harness.SENTINEL}"))
    requests = [pb.BatchRequest(calls=[read] * 3) for _ in range(STEPS - 1)]
    call = client.begin(client.stub.Batch, client.steps(requests))
    results = [result for response in call
               for result in response.results]
    assert len(results) == 3 * len(requests), client.name
    assert all(result.array.data == harness.sentinel_array().tobytes()
               for result in results), client.name


@pytest.fixture(scope="module")
def impatient():
    process = harness.ServerProcess(
        f"--memory_limit={harness.MEMORY_LIMIT}",
        f"--max_tensor_bytes={harness.MAX_TENSOR_BYTES}",
        f"--stream_idle_seconds={IDLE_SECONDS}", metrics=True)
    yield process
    assert process.stop() == 0, process.log()


def await_rest(server, seconds):
    deadline = time.monotonic() + seconds
    while True:
        metrics = server.metrics()
        if metrics["tensord_inflight_rpcs"] == 0:
            return
        assert time.monotonic() < deadline, metrics["tensord_inflight_rpcs"]
        time.sleep(0.02)


@pytest.mark.parametrize("fault", ["cut", "cancel", "stop", "slow_down"])
def test_nothing_is_left_of_a_client(impatient, fault):
    wire = harness.Wire(impatient)
    wire.create(harness.sentinel_array(), harness.SENTINEL)
    wire.upload(harness.upload_messages(DECLARATION, DATA,
                                        f"{harness.SENTINEL}-large"))
    before = wire.state()
    streams = [upload, download, convert, results_of_convert, batch]
    if fault == "stop":
        # Batches may pause. Who answers no pings, too, is hung up on by gRPC.
        streams.remove(batch)
    clients = [Client(impatient, stream, step, lambda one: getattr(one, fault)())
               for stream in streams for step in range(STEPS)]
    for client in clients:
        client.start()
    if fault == "stop":
        # What is stopped knows nothing. The server looks every second; then
        # the system waits as long for a socket that takes no more.
        await_rest(impatient, 10)
    else:
        for client in clients:
            client.join(CALL_SECONDS)
        await_rest(impatient, harness.SETTLE_SECONDS)
    for client in clients:
        client.close()
        assert client.failure is None, client.failure
        # Nothing but what is whole.
        if client.stream is upload and (f"tensors/{client.id}" in
                                        wire.names()):
            assert wire.download(f"tensors/{client.id}")[1] == DATA
        else:
            assert not (client.stream is upload and client.is_done)
        if fault == "slow_down":
            assert client.is_done, client.name
    for client in clients:
        if client.stream is upload:
            wire.stub.DeleteTensor(pb.DeleteTensorRequest(
                name=f"tensors/{client.id}", allow_missing=True))
    wire.check_unharmed(before)
    wire.clear()
    wire.stub.DeleteTensor(pb.DeleteTensorRequest(
        name=f"tensors/{harness.SENTINEL}"))
    wire.close()
