"""What runs out: calls, memory, the disk of the log (group H, and faults)."""

import concurrent.futures
import contextlib
import os
import resource
import signal
import subprocess
import threading
import time

import grpc
import numpy as np
import pytest

import wire_harness as harness
from wire_harness import CALL_SECONDS
from wire_harness import MIB
from wire_harness import RESOURCE_EXHAUSTED
from wire_harness import UNAVAILABLE
from wire_stubs import pb
from wire_stubs import pb_grpc

ARRAY = np.arange(100, dtype=np.int32)


def pushback(error):
    return int(dict(error.trailing_metadata())["grpc-retry-pushback-ms"])


@pytest.fixture(scope="module")
def narrow():
    """A server that takes three calls at a time."""
    process = harness.ServerProcess(
        f"--memory_limit={harness.MEMORY_LIMIT}",
        f"--max_tensor_bytes={harness.MAX_TENSOR_BYTES}", "--max_calls=3",
        metrics=True)
    yield process
    assert process.stop() == 0, process.log()


def await_metric(process, name, value):
    deadline = time.monotonic() + 10
    while process.metrics()[name] != value:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def inflight(process, count):
    await_metric(process, "tensord_inflight_rpcs", count)


@contextlib.contextmanager
def held_uploads(process, wire, count):
    """As many uploads under way."""
    head = harness.upload_head(harness.raw_declaration(
        harness.array_spec(ARRAY), ARRAY.nbytes))
    with contextlib.ExitStack() as stack:
        calls = [wire.stub.UploadTensor.future(
            stack.enter_context(harness.held_open(head)))
            for _ in range(count)]
        # Calls that came are not admitted yet; those that hold memory are.
        await_metric(process,
                     'tensord_memory_bytes{device="cpu",kind="reserved"}',
                     count * ARRAY.nbytes)
        yield calls
        for call in calls:
            call.cancel()
    inflight(process, 0)


def test_too_many_calls_are_told_to_come_again(narrow):
    """111: at once, and until one of the others ends."""
    wire = harness.Wire(narrow)
    with held_uploads(narrow, wire, 3) as calls:
        for _ in range(20):
            start = time.monotonic()
            with pytest.raises(grpc.RpcError) as error:
                wire.read("tensors/none")
            assert time.monotonic() - start < 1
            harness.check_refusal(harness.Refusal(error.value),
                                  RESOURCE_EXHAUSTED, "TOO_MANY_REQUESTS",
                                  metadata={"limitCalls": "3"})
            assert 50 <= pushback(error.value) <= 500
        # Health is no such call.
        assert wire.healthy()
        calls[0].cancel()
        inflight(narrow, 2)
        wire.create(ARRAY, "now")
    wire.clear()
    wire.close()


def test_refusals_are_quick_while_the_server_is_full(narrow):
    """Of twice as many clients as it takes, all get an answer."""
    wire = harness.Wire(narrow)
    wire.create(ARRAY, "a")

    def ask(_):
        with grpc.insecure_channel(narrow.address, options=(
                ("grpc.use_local_subchannel_pool", 1),)) as channel:
            stub = pb_grpc.TensorServiceStub(channel)
            codes = []
            for _ in range(50):
                try:
                    stub.ReadTensor(pb.ReadTensorRequest(name="tensors/a"),
                                    timeout=5)
                    codes.append("OK")
                except grpc.RpcError as error:
                    codes.append(error.code().name)
            return codes

    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        codes = [code for answer in pool.map(ask, range(6)) for code in answer]
    assert set(codes) <= {"OK", "RESOURCE_EXHAUSTED"}
    assert codes.count("OK") > 0
    wire.clear()
    wire.close()


def test_reads_and_deletes_go_on_while_memory_is_full(wire):
    """108."""
    fill = [wire.upload(harness.upload_messages(
        harness.raw_declaration(
            pb.ArraySpec(dtype=pb.DTYPE_UINT8, shape=[15 * MIB]), 15 * MIB),
        bytes(15 * MIB))).name for _ in range(4)]
    with pytest.raises(grpc.RpcError) as error:
        wire.upload(harness.upload_messages(
            harness.raw_declaration(
                pb.ArraySpec(dtype=pb.DTYPE_UINT8, shape=[15 * MIB]),
                15 * MIB), bytes(15 * MIB)))
    harness.check_refusal(harness.Refusal(error.value), RESOURCE_EXHAUSTED,
                          "MEMORY_EXHAUSTED")
    assert 50 <= pushback(error.value) <= 500
    assert wire.read_bytes(fill[0], index=[pb.IndexTerm(
        slice=pb.Slice(stop=10))]) == bytes(10)
    wire.stub.DeleteTensor(pb.DeleteTensorRequest(name=fill[0]))


def test_a_log_that_can_not_be_written_ends_nothing(tmp_path):
    """The disk of the log is full."""
    socket = tmp_path / "s"
    with open("/dev/full", "w") as full:
        process = subprocess.Popen(
            [harness.server_binary(), f"--listen=unix:{socket}",
             "--metrics_listen=none"], stderr=full, stdout=full)
    try:
        with grpc.insecure_channel(f"unix:{socket}") as channel:
            stub = pb_grpc.TensorServiceStub(channel)
            stub.GetServerInfo(pb.GetServerInfoRequest(), timeout=CALL_SECONDS,
                               wait_for_ready=True)
            for _ in range(100):
                stub.CreateTensor(pb.CreateTensorRequest(
                    raw=harness.raw_array(ARRAY)), timeout=CALL_SECONDS)
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0


def test_a_log_that_nobody_reads_ends_nothing(tmp_path):
    """Whoever read it is gone."""
    socket = tmp_path / "s"
    process = subprocess.Popen(
        [harness.server_binary(), f"--listen=unix:{socket}",
         "--metrics_listen=none"], stderr=subprocess.PIPE)
    try:
        with grpc.insecure_channel(f"unix:{socket}") as channel:
            stub = pb_grpc.TensorServiceStub(channel)
            stub.GetServerInfo(pb.GetServerInfoRequest(), timeout=CALL_SECONDS,
                               wait_for_ready=True)
            process.stderr.close()
            for _ in range(100):
                stub.GetServerInfo(pb.GetServerInfoRequest(),
                                   timeout=CALL_SECONDS)
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0


def test_memory_that_the_system_does_not_have_is_a_refusal():
    """113: the limit says more than there is."""
    process = harness.ServerProcess(f"--memory_limit={1 << 40}",
                                    f"--max_tensor_bytes={1 << 40}")
    wire = harness.Wire(process)
    wire.create(harness.sentinel_array(), harness.SENTINEL)
    # Half a gigabyte more of address space than it has now.
    status = open(f"/proc/{process.pid}/status").read()
    size = int(status.split("VmSize:")[1].split()[0]) * 1024
    resource.prlimit(process.pid, resource.RLIMIT_AS,
                     (size + 512 * MIB, resource.RLIM_INFINITY))
    spec = pb.ArraySpec(dtype=pb.DTYPE_UINT8, shape=[4 << 30])
    with wire.refused(RESOURCE_EXHAUSTED, "MEMORY_EXHAUSTED"):
        wire.upload(iter([harness.upload_head(
            harness.raw_declaration(spec, 4 << 30))]))
    wire.create(ARRAY, "still")
    wire.close()
    assert process.stop() == 0, process.log()


def test_calls_while_it_drains(tmp_path):
    """135, 136: what is under way finishes, what is new is refused, and the
    rest is cancelled when the time is over."""
    process = harness.ServerProcess("--drain_seconds=3")
    wire = harness.Wire(process)
    data = ARRAY.tobytes()
    declaration = harness.raw_declaration(harness.array_spec(ARRAY), len(data))
    go_on = threading.Event()

    def slowly():
        yield harness.upload_head(declaration, "late")
        go_on.wait(CALL_SECONDS)
        yield pb.UploadTensorRequest(chunk=harness.chunk(data), finish=True)

    finishing = wire.stub.UploadTensor.future(slowly(), timeout=CALL_SECONDS)
    with harness.held_open(harness.upload_head(declaration)) as messages:
        hanging = wire.stub.UploadTensor.future(messages, timeout=CALL_SECONDS)
        deadline = time.monotonic() + 10
        while wire.memory_used() != 2 * len(data):
            assert time.monotonic() < deadline
        os.kill(process.pid, signal.SIGTERM)
        while "draining" not in process.log():
            time.sleep(0.01)
        with pytest.raises(grpc.RpcError) as error:
            wire.memory_used()
        assert error.value.code() == UNAVAILABLE
        go_on.set()
        assert finishing.result().name == "tensors/late"
        assert hanging.exception().code() in (UNAVAILABLE,
                                              grpc.StatusCode.CANCELLED)
    assert process.wait() == 0
    wire.close()


def test_a_killed_server_is_unavailable_and_comes_back_empty(tmp_path):
    """137."""
    socket = tmp_path / "s"
    for _ in range(2):
        process = harness.ServerProcess(f"--listen=unix:{socket}")
        channel = grpc.insecure_channel(f"unix:{socket}")
        stub = pb_grpc.TensorServiceStub(channel)
        started = stub.GetServerInfo(pb.GetServerInfoRequest(),
                                     wait_for_ready=True).start_time
        assert abs(started.seconds - time.time()) < 60
        assert not stub.ListTensors(pb.ListTensorsRequest()).tensors
        stub.CreateTensor(pb.CreateTensorRequest(
            tensor_id="a", raw=harness.raw_array(ARRAY)))
        os.kill(process.pid, signal.SIGKILL)
        with pytest.raises(grpc.RpcError) as error:
            while True:
                stub.GetTensor(pb.GetTensorRequest(name="tensors/a"),
                               timeout=CALL_SECONDS)
        assert error.value.code() == UNAVAILABLE
        channel.close()
        process.stop()


def test_restarts_under_load_lose_nothing_that_was_acknowledged(tmp_path):
    """What a server acknowledged is there for as long as that server runs."""
    socket = tmp_path / "s"
    stop = threading.Event()
    # What was acknowledged, by the start of the server that did.
    made, wrong = [], []

    def client(index):
        while not stop.is_set():
            with grpc.insecure_channel(f"unix:{socket}") as channel:
                stub = pb_grpc.TensorServiceStub(channel)
                try:
                    before = stub.GetServerInfo(pb.GetServerInfoRequest(),
                                                timeout=5).start_time
                    array = np.full(1000, index, dtype=np.int32)
                    name = stub.CreateTensor(pb.CreateTensorRequest(
                        raw=harness.raw_array(array)), timeout=5).name
                    read = stub.ReadTensor(pb.ReadTensorRequest(name=name),
                                           timeout=5)
                    if read.data != array.tobytes():
                        wrong.append(name)
                    made.append(before.seconds)
                except grpc.RpcError as error:
                    if error.code() == grpc.StatusCode.NOT_FOUND:
                        after = stub.GetServerInfo(pb.GetServerInfoRequest(),
                                                   timeout=5).start_time
                        if after == before:
                            wrong.append(name)

    threads = [threading.Thread(target=client, args=(i,)) for i in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(4):
        process = harness.ServerProcess(f"--listen=unix:{socket}")
        count = len(made)
        deadline = time.monotonic() + 20
        while len(made) < count + 50:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert process.stop() == 0, process.log()
    stop.set()
    for thread in threads:
        thread.join()
    assert not wrong
