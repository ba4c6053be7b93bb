"""Transfers that tell how far they have come."""

import asyncio
import contextlib
import os
import pty
import subprocess
import sys
import termios
import threading

import numpy as np
import pytest
import tensord
import tensord.aio

COUNT = 6_000_000


class Seen:
    """Records what a transfer reports."""

    def __init__(self):
        self.calls = []
        self.threads = set()

    def __call__(self, done_bytes, total_bytes):
        self.calls.append((done_bytes, total_bytes))
        self.threads.add(threading.get_ident())

    def check(self, total_bytes):
        done = [call[0] for call in self.calls]
        assert {call[1] for call in self.calls} == {total_bytes}
        assert done == sorted(done)
        assert done[-1] == total_bytes
        assert self.threads == {threading.get_ident()}


@pytest.mark.parametrize("count", [1, 20_000, COUNT])
def test_every_transfer_reports_all_its_bytes(c, tmp_path, count):
    array = np.arange(count, dtype=np.float32)
    expected = {}
    calls = {
        "from_numpy": lambda p: c.from_numpy(array, progress=p),
        "tensor": lambda p: c.tensor(array, dtype="int8", progress=p),
        "Tensor": lambda p: c.Tensor(array, progress=p),
        "numpy": lambda p: c.tensor(array).numpy(progress=p),
        "save": lambda p: c.tensor(array).save(tmp_path / "a.npy", progress=p),
        "load": lambda p: c.load(tmp_path / "a.npy", progress=p),
    }
    for name, call in calls.items():
        expected[name] = Seen()
        call(expected[name])
        expected[name].check(array.nbytes)
    both = Seen()
    c.convert(array, "int16", progress=both)
    both.check(array.nbytes + array.nbytes // 2)
    cast = Seen()
    c.tensor(array).numpy(dtype="int8", progress=cast)
    cast.check(array.nbytes // 4)


def test_files_of_several_arrays_report_as_one(c, tmp_path):
    arrays = {"a": np.ones(50_000), "b": np.ones(7), "e": np.ones((0, 2))}
    total = sum(array.nbytes for array in arrays.values())
    for suffix in ("npz", "safetensors"):
        path = tmp_path / f"a.{suffix}"
        np.savez(tmp_path / "all.npz", **arrays)
        saved, loaded = Seen(), Seen()
        tensors = c.load(tmp_path / "all.npz")
        c.save(path, tensors, progress=saved)
        saved.check(total)
        c.load(path, progress=loaded)
        loaded.check(total)


def test_what_a_callback_raises_ends_the_transfer(c):
    array = np.ones(COUNT)
    before = c.list()

    def refuse(done_bytes, total_bytes):
        raise KeyError(done_bytes)

    with pytest.raises(KeyError):
        c.tensor(array, progress=refuse)
    with pytest.raises(KeyError):
        c.convert(array, "int8", progress=refuse)
    tensor = c.tensor(array)
    with pytest.raises(KeyError):
        tensor.numpy(progress=refuse)
    del tensor
    assert c.list() == before


def test_what_is_no_progress_is_refused(c, tmp_path):
    tensor = c.tensor([1])
    for call in (
        lambda: c.tensor([1], progress=1),
        lambda: c.convert([1], "int8", progress="bar"),
        lambda: tensor.numpy(progress=3),
        lambda: tensor.save(tmp_path / "a.npy", progress=3),
    ):
        with pytest.raises(TypeError, match="progress must be a callable"):
            call()


def test_a_failure_is_raised_as_without_progress(c):
    with pytest.raises(OverflowError):
        c.tensor(
            np.array([300]), dtype="int8", overflow="error", progress=Seen()
        )


def on_a_terminal(*lines):
    """What a script prints on a terminal of its own."""
    script = "\n".join(["import tensord, numpy as np, os", *lines])
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 80))
    with subprocess.Popen(
        [sys.executable, "-c", script],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    ) as process:
        os.close(theirs)
        printed = b""
        with contextlib.suppress(OSError):
            while piece := os.read(ours, 4096):
                printed += piece
        os.close(ours)
    assert process.returncode == 0, printed
    return printed.decode(errors="replace")


def test_bars_are_shown_on_terminals_for_large_transfers(server):
    pytest.importorskip("tqdm")
    connect = f"c = tensord.connect({server.target!r})"
    eager = "import tensord._progress as p; p._DELAY_SECONDS = 0"
    large = "a = np.zeros(64 << 20, np.int8)"
    assert "%" in on_a_terminal(connect, eager, large, "c.tensor(a)")
    assert "%" in on_a_terminal(connect, "c.tensor([1], progress=True)")
    for quiet in (
        "c.tensor(a, progress=False)",
        "c.tensor(a[1:])",
        "os.environ['TENSORD_PROGRESS'] = '0'; c.tensor(a)",
    ):
        assert not on_a_terminal(connect, eager, large, quiet)


def test_without_a_terminal_nothing_is_shown(c, capfd):
    c.tensor(np.zeros(64 << 20, np.int8))
    assert capfd.readouterr() == ("", "")


def test_a_bar_that_is_asked_for_needs_tqdm(c, monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    with pytest.raises(TypeError, match=r"pip install tensord\[progress\]"):
        c.tensor([1], progress=True)


def test_asyncio_reports_too(server):
    async def main():
        array = np.arange(COUNT, dtype=np.float32)
        async with await tensord.aio.connect(server.target) as client:
            up, down, both = Seen(), Seen(), Seen()
            tensor = await client.tensor(array, progress=up)
            await asyncio.gather(
                tensor.numpy(progress=down),
                client.convert(array, "float16", progress=both),
            )
            up.check(array.nbytes)
            down.check(array.nbytes)
            both.check(array.nbytes * 3 // 2)

            def refuse(done_bytes, total_bytes):
                raise KeyError

            before = {*await client.list()}
            with pytest.raises(KeyError):
                await client.tensor(array, progress=refuse)
            # In the background.
            while {*await client.list()} - before:
                await asyncio.sleep(0.005)

    asyncio.run(main())
