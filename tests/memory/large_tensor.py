"""A large float32 array goes to the server as bfloat16 and comes back.

Sent and read with the Python client, cast on the way in and on the way out;
every value is verified. Fails if, at any time, the server took more memory than
the stored tensor and 64 MiB, or the client more than its arrays and 64 MiB.

    build/venv/bin/python tests/memory/large_tensor.py --size-gib 3
"""

import argparse
import contextlib
import os
import pathlib
import re
import signal
import subprocess
import sys
import threading
import time

import ml_dtypes
import numpy as np
import tensord

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
MIB = 1 << 20
# What either side may take beside its arrays.
SLACK_BYTES = 64 * MIB
# Elements that are made and verified at a time.
BLOCK = 1 << 20
# Elements of a slice that is read.
SLICE = 2 << 20


@contextlib.contextmanager
def running_server(binary, limit_bytes):
    """Yields the process and its address."""
    process = subprocess.Popen(
        [binary, "--listen=127.0.0.1:0", "--metrics_listen=none",
         f"--memory_limit={limit_bytes}", f"--max_tensor_bytes={limit_bytes}"],
        stderr=subprocess.PIPE, text=True)
    try:
        address = None
        for line in process.stderr:
            if match := re.search(r"listening on (\S+)", line):
                address = match.group(1)
            if re.search(r"\bready\b", line):
                break
        if address is None:
            raise RuntimeError("the server did not start")
        threading.Thread(target=process.stderr.read, daemon=True).start()
        yield process, address
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def peak_bytes(pid="self"):
    """The most memory that a process ever had resident."""
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status).group(1)) * 1024


def is_sanitized(pid):
    """Whether the process runs with shadow memory, which no bound holds for."""
    return "libasan" in (maps := pathlib.Path(
        f"/proc/{pid}/maps").read_text()) or "libtsan" in maps


def filled_array(count):
    """Values that differ everywhere, most of which bfloat16 has to round."""
    array = np.empty(count, np.float32)
    base = np.random.default_rng(5).standard_normal(BLOCK, np.float32)
    for number, begin in enumerate(range(0, count, BLOCK)):
        block = array[begin:begin + BLOCK]
        np.multiply(base[:len(block)], np.float32(1 + number / 7), out=block)
    return array


def check_values(got, sent):
    """Compares block by block, so that no large temporary is counted."""
    assert got.dtype == np.float32 and got.shape == sent.shape
    for begin in range(0, len(sent), BLOCK):
        block = sent[begin:begin + BLOCK]
        want = block.astype(ml_dtypes.bfloat16).astype(np.float32)
        if not np.array_equal(got[begin:begin + BLOCK], want):
            raise SystemExit(f"wrong values at or after element {begin}")


class Ledger:
    """Compares peaks with bounds, and remembers whether any was exceeded."""

    def __init__(self, checked):
        self.checked = checked
        self.ok = True

    def check(self, what, peak, bound):
        over = peak > bound
        self.ok = self.ok and not (over and self.checked)
        verdict = "OVER" if over else "ok"
        print(f"{what:36} {peak / MIB:9.1f} MiB, bound {bound / MIB:9.1f} MiB "
              f"{verdict if self.checked else 'not checked'}", flush=True)


def exercise(client, ledger, server_pid, count):
    baseline = peak_bytes()
    array = filled_array(count)
    stored_bytes = count * 2
    server_bound = stored_bytes + SLACK_BYTES
    print(f"client before its arrays: {baseline / MIB:.1f} MiB")

    def check(phase, array_bytes):
        ledger.check(f"server, {phase}", peak_bytes(server_pid), server_bound)
        ledger.check(f"client, {phase}", peak_bytes(),
                     baseline + array_bytes + SLACK_BYTES)

    def timed(phase, size_bytes, started):
        seconds = time.monotonic() - started
        print(f"{phase}: {seconds:.2f} s, {size_bytes / seconds / 1e9:.2f} "
              "GB/s of float32", flush=True)

    started = time.monotonic()
    tensor = client.tensor(array, dtype="bfloat16")
    timed("upload", array.nbytes, started)
    check("after upload", array.nbytes)

    started = time.monotonic()
    for begin in range(0, count, SLICE):
        part = slice(begin, begin + SLICE)
        check_values(tensor[part].float().numpy(), array[part])
    timed("slices, verified", array.nbytes, started)
    check("after slices", array.nbytes + SLICE * 4)

    started = time.monotonic()
    whole = tensor.numpy(dtype="float32")
    timed("whole", array.nbytes, started)
    check("after whole read", 2 * array.nbytes)
    check_values(whole, array)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size-gib", type=float, default=3,
                        help="size of the float32 array")
    parser.add_argument(
        "--server", default=os.environ.get(
            "TENSORD_SERVER", REPOSITORY / "build/release/bin/tensord"))
    arguments = parser.parse_args()
    count = int(arguments.size_gib * (1 << 30)) // 4
    # What arrives has to be within the limits too, though it is never stored.
    limit = count * 4 + SLACK_BYTES
    with running_server(arguments.server, limit) as (
            process, address), tensord.connect(address) as client:
        ledger = Ledger(checked=not is_sanitized(process.pid))
        exercise(client, ledger, process.pid, count)
    return 0 if ledger.ok else 1


if __name__ == "__main__":
    sys.exit(main())
