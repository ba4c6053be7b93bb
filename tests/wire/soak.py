"""Keeps a server busy with everything at once, and cancels at random.

Run by test_soak.py for some seconds; for longer by hand:

    build/venv/bin/python tests/wire/soak.py --seconds 600

At the end nothing may be left of what was cancelled, and the server's memory has
to be what it was after a quarter of the time: it takes minutes until what lives
on lies where it stays. Exit status 0 says that it is.
"""

import argparse
import collections
import dataclasses
import pathlib
import random
import sys
import threading
import time

import grpc
import numpy as np

import wire_harness as harness
from wire_harness import MIB
from wire_stubs import admin_pb
from wire_stubs import admin_pb_grpc
from wire_stubs import pb
from wire_stubs import pb_grpc

# Of what the server may take.
MEMORY_LIMIT = 256 * MIB
MAX_ARRAY_BYTES = 6 * MIB
# Memory at the end, as a part of that at the beginning.
MAX_GROWTH = 1.05

# What calls may end with where clients give up, names are taken and memory
# is short.
EXPECTED = {
    grpc.StatusCode.CANCELLED, grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.ALREADY_EXISTS, grpc.StatusCode.ABORTED,
}


@dataclasses.dataclass
class Result:
    calls: collections.Counter
    failures: list
    resident_bytes: list


def array_of(seed):
    """An array that its id alone says."""
    generator = np.random.default_rng(seed)
    size = int(generator.integers(1, MAX_ARRAY_BYTES) if seed % 4 == 0
               else generator.integers(1, 20_000))
    return generator.integers(0, 100, size, dtype=np.uint8)


class Client(threading.Thread):
    """Makes calls until told to stop."""

    def __init__(self, address, seed, stop):
        super().__init__(name=f"client {seed}")
        self._address = address
        self._random = random.Random(seed)
        self._halt = stop
        self.calls = collections.Counter()
        self.failures = []

    def run(self):
        while not self._halt.is_set():
            # Connections come and go as well.
            with grpc.insecure_channel(self._address, options=(
                    ("grpc.max_receive_message_length", -1),
                    ("grpc.use_local_subchannel_pool", 1))) as channel:
                stub = pb_grpc.TensorServiceStub(channel)
                for _ in range(50):
                    if self._halt.is_set():
                        break
                    self._call(stub)

    def _call(self, stub):
        seed = self._random.randrange(200)
        work = self._random.choice([
            self._create, self._upload, self._upload, self._read,
            self._download, self._download, self._transform, self._convert,
            self._batch, self._remove, self._remove, self._list])
        try:
            work(stub, seed)
            self.calls["OK"] += 1
        except grpc.RpcError as error:
            self.calls[error.code().name] += 1
            if error.code() not in EXPECTED:
                self.failures.append(f"{work.__name__}: {error}")
        except grpc.FutureCancelledError:
            self.calls["CANCELLED"] += 1
        except AssertionError as error:
            self.failures.append(f"{work.__name__}: {error}")

    def _give_up(self, call):
        """Cancels a call now and then, at any moment of it."""
        if self._random.random() < 0.3:
            timer = threading.Timer(self._random.random() * 0.02, call.cancel)
            timer.daemon = True
            timer.start()
        return call

    def _declaration(self, array):
        return harness.raw_declaration(harness.array_spec(array), array.nbytes)

    def _create(self, stub, seed):
        array = array_of(seed)[:20_000]
        self._give_up(stub.CreateTensor.future(pb.CreateTensorRequest(
            tensor_id=f"small/{seed}", raw=harness.raw_array(array)),
            timeout=20)).result()

    def _upload(self, stub, seed):
        array = array_of(seed)
        self._give_up(stub.UploadTensor.future(harness.upload_messages(
            self._declaration(array), array.tobytes(), f"large/{seed}",
            dtype=pb.DTYPE_FLOAT32), timeout=20)).result()

    def _read(self, stub, seed):
        array = array_of(seed)[:20_000]
        data = self._give_up(stub.ReadTensor.future(pb.ReadTensorRequest(
            name=f"tensors/small/{seed}"), timeout=20)).result().data
        assert data == array.tobytes(), f"small/{seed} has other bytes"

    def _download(self, stub, seed):
        call = self._give_up(stub.DownloadTensor(pb.DownloadTensorRequest(
            name=f"tensors/large/{seed}",
            options=pb.ReadOptions(dtype=pb.DTYPE_UINT8)), timeout=20))
        _, data = harness.join_download(call)
        assert data == array_of(seed).tobytes(), f"large/{seed} has other bytes"

    def _transform(self, stub, seed):
        self._give_up(stub.TransformTensor.future(pb.TransformTensorRequest(
            name=f"tensors/large/{seed}",
            ttl={"seconds": self._random.randrange(1, 5)},
            operations=[pb.Operation(to={"dtype": pb.DTYPE_FLOAT64})]),
            timeout=20)).result()

    def _convert(self, stub, seed):
        array = array_of(seed)
        call = self._give_up(stub.ConvertArray(harness.convert_messages(
            self._declaration(array), array.tobytes(),
            dtype=pb.DTYPE_INT16), timeout=20))
        _, data = harness.join_download(call)
        assert data == array.astype(np.int16).tobytes(), f"{seed} converts"

    def _batch(self, stub, seed):
        calls = [pb.BatchCall(get_tensor=pb.GetTensorRequest(
            name=f"tensors/small/{seed + i}")) for i in range(20)]
        list(self._give_up(stub.Batch(iter([pb.BatchRequest(calls=calls)] * 5),
                                      timeout=20)))

    def _remove(self, stub, seed):
        for kind in ("small", "large"):
            stub.DeleteTensor(pb.DeleteTensorRequest(
                name=f"tensors/{kind}/{seed}", allow_missing=True), timeout=20)

    def _list(self, stub, seed):
        stub.ListTensors(pb.ListTensorsRequest(page_size=seed + 1), timeout=20)


def resident_bytes(pid):
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    line = next(line for line in status.splitlines()
                if line.startswith("VmRSS:"))
    return int(line.split()[1]) * 1024


def at_rest(process):
    """The server's memory once nothing is in it; fails if that never is."""
    wire = harness.Wire(process)
    deadline = time.monotonic() + 30
    # What clients gave up may just be about to be stored.
    while wire.tensors() or wire.memory_used():
        assert time.monotonic() < deadline, (
            f"{len(wire.tensors())} tensors, {wire.memory_used()} bytes")
        wire.clear()
        time.sleep(0.1)
    admin_pb_grpc.AdminServiceStub(wire.channel).TrimMemory(
        admin_pb.TrimMemoryRequest())
    wire.close()
    time.sleep(0.5)
    return resident_bytes(process.pid)


def spell(process, seconds, clients, seed):
    stop = threading.Event()
    crowd = [Client(process.address, seed + i, stop) for i in range(clients)]
    for client in crowd:
        client.start()
    stop.wait(seconds)
    stop.set()
    for client in crowd:
        client.join()
    return crowd


def soak(process, seconds, clients=6):
    """Two spells: one to warm up, for a quarter of the time, and the rest."""
    result = Result(collections.Counter(), [], [])
    for index, part in enumerate((0.25, 0.75)):
        for client in spell(process, seconds * part, clients, 1000 * index):
            result.calls += client.calls
            result.failures += client.failures
        result.resident_bytes.append(at_rest(process))
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--clients", type=int, default=6)
    arguments = parser.parse_args()
    process = harness.ServerProcess(f"--memory_limit={MEMORY_LIMIT}",
                                    "--noaccess_log", metrics=True)
    result = soak(process, arguments.seconds, arguments.clients)
    metrics = process.metrics()
    status = process.stop()
    before, after = result.resident_bytes
    print(f"calls: {dict(result.calls)}")
    print(f"resident: {before / MIB:.1f} MiB after the first quarter, "
          f"{after / MIB:.1f} MiB at the end ({after / before:.3f})")
    print(f"in flight: {metrics['tensord_inflight_rpcs']:.0f}, "
          f"suspended: {metrics['tensord_suspended_uploads']:.0f}")
    for failure in result.failures[:10]:
        print("failed:", failure)
    return int(status != 0 or bool(result.failures) or
               after > before * MAX_GROWTH)


if __name__ == "__main__":
    sys.exit(main())
