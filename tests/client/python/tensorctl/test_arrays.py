"""put, get and convert."""

import contextlib
import io
import os
import signal
import socket
import stat
import subprocess
import threading

import ml_dtypes
import numpy as np
import pytest
from tensord import _files, _progress

FORMATS = ("npy", "npz", "safetensors")
ARRAY = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
ARRAYS = {"w": ARRAY, "deep/b": np.array([1, -2], np.int16)}


@pytest.fixture(autouse=True)
def cleaned(c, prefix):
    yield
    for name in c.list(filter=f'name = "tensors/{prefix}*"'):
        del c[name]


def bytes_of(arrays, format):
    file = io.BytesIO()
    _files.write_arrays(file, arrays, format)
    return file.getvalue()


def read(path):
    """Copies of the arrays of a file."""
    return {
        name: np.array(array)
        for name, array in _files.open_arrays(str(path)).items()
    }


def same(one, other):
    assert one.keys() == other.keys()
    for name, array in one.items():
        assert array.dtype == other[name].dtype
        np.testing.assert_array_equal(array, other[name])


@pytest.fixture
def npy(tmp_path):
    path = tmp_path / "some.array.npy"
    np.save(path, ARRAY)
    return path


# put


def test_put_a_npy(ctl, c, prefix, npy):
    name = f"{prefix}w"
    assert ctl("put", npy, name) == (0, f"{name}\n", "")
    np.testing.assert_array_equal(c[name].numpy(), ARRAY)


def test_put_names_as_the_file(ctl, c, npy):
    assert ctl("put", npy).lines == ["some.array"]
    del c["some.array"]


@pytest.mark.parametrize("format", FORMATS[1:])
def test_put_many(ctl, c, prefix, tmp_path, format):
    path = tmp_path / f"arrays.{format}"
    path.write_bytes(bytes_of(ARRAYS, format))
    assert {*ctl("put", path, prefix).lines} == {
        f"{prefix}{key}" for key in ARRAYS
    }
    same({key: c[f"{prefix}{key}"].numpy() for key in ARRAYS}, ARRAYS)


def test_put_many_without_a_prefix(ctl, c, prefix, tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, **{f"{prefix}x": ARRAY})
    assert ctl("put", path).lines == [f"{prefix}x"]
    assert f"{prefix}x" in c


@pytest.mark.parametrize("format", FORMATS)
def test_put_of_the_standard_input(process, c, prefix, format):
    arrays = {"": ARRAY} if format == "npy" else ARRAYS
    chosen = [] if format == "npy" else ["--format", format]
    name = f"{prefix}w" if format == "npy" else prefix
    ran = process("put", "-", name, *chosen, stdin=bytes_of(arrays, format))
    assert (ran.code, ran.err) == (0, "")
    np.testing.assert_array_equal(c[f"{prefix}w"].numpy(), ARRAY)


def test_put_with_all_options(ctl, c, prefix, npy):
    name = f"{prefix}w"
    c.tensor(1, name=name)
    line = "--dtype uint8 --overflow saturate --device cpu --ttl 1h --replace"
    [made] = ctl("put", npy, name, *line.split(), "--json").json
    assert (made["name"], made["dtype"]) == (name, "uint8")
    assert made["shape"] == [2, 3, 4]
    assert made["expire_time"] > made["create_time"]
    line = "--dtype bfloat16 --lease 90 --replace --requires-grad"
    [made] = ctl("put", npy, name, *line.split(), "--json").json
    assert (made["lease_seconds"], made["requires_grad"]) == (90, True)
    assert ctl("put", "-q", npy, name, "--replace") == (0, "", "")


def test_put_saturates(ctl, c, prefix, tmp_path):
    path = tmp_path / "x.npy"
    np.save(path, [300.0, -1.0])
    line = ("put", path, f"{prefix}x", "--dtype", "uint8", "--overflow")
    assert ctl(*line, "saturate").code == 0
    assert c[f"{prefix}x"].tolist() == [255, 0]
    ran = ctl(*line, "error", "--replace")
    assert ran.code == 5
    assert "300" in ran.err
    assert c[f"{prefix}x"].tolist() == [255, 0]


def test_put_refuses_what_is_there(ctl, c, prefix, npy):
    c.tensor(1, name=f"{prefix}w")
    ran = ctl("put", npy, f"{prefix}w")
    assert ran.code == 4
    assert "--replace" in ran.err
    assert c[f"{prefix}w"].item() == 1


def test_put_stores_all_or_none(ctl, c, prefix, tmp_path):
    c.tensor(1, name=f"{prefix}b")
    np.savez(tmp_path / "x.npz", a=ARRAY, b=ARRAY)
    assert ctl("put", tmp_path / "x.npz", prefix).code == 4
    assert c.list(filter=f'name = "tensors/{prefix}*"') == [f"{prefix}b"]


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("put {0}/missing.npy x", 11),
        ("put {0} x", 2),
        ("put {0}/some.txt x", 2),
        ("put - --format npy", 2),
        ("put {0}/damaged.npy x", 5),
        ("put {0}/damaged.npz x", 5),
        ("put {0}/damaged.safetensors x", 5),
        ("put {0}/fine.npy a//b", 5),
        ("put {0}/fine.npy x --dtype float5", 5),
        ("put {0}/fine.npy x --device cuda:77", 9),
        ("put {0}/fine.npy x --device gpu", 5),
        ("put {0}/fine.npy x --dtype int8 --requires-grad", 5),
        ("get missing -o {0}/x.npy", 3),
        ("get missing* -o {0}/x.npy", 3),
        ("get x[0 -o {0}/x.npy", 5),
        ("get x --index a -o {0}/x.npy", 5),
        ("get x x -o {0}/x.npz", 2),
        ("get x y -o {0}/x.npy", 2),
        ("get x -o {0}/x.txt", 2),
        ("get x -o {0}/x", 2),
        ("get x --json", 2),
        ("convert {0}/missing.npy {0}/x.npz", 11),
        ("convert {0}/fine.npy {0}/missing/x.npz", 11),
        ("convert {0}/damaged.npy {0}/x.npz", 5),
        ("convert {0}/fine.npy {0}/x.npz --dtype float5", 5),
        ("convert {0}/two.npz {0}/x.npy", 2),
        ("convert {0}/fine.npy {0}/x", 2),
        ("convert {0}/fine.npy - --json", 2),
    ],
)
def test_refusals(ctl, tmp_path, line, code):
    """Each has its exit code, says why, and leaves no file."""
    np.save(tmp_path / "fine.npy", ARRAY)
    np.savez(tmp_path / "two.npz", a=ARRAY, b=ARRAY)
    for suffix in FORMATS:
        (tmp_path / f"damaged.{suffix}").write_bytes(b"\x93NUMPY\1\0garbage")
    before = {*os.listdir(tmp_path)}
    ran = ctl(*line.format(tmp_path).split())
    assert (ran.code, ran.out) == (code, ""), ran.err
    assert ran.err.startswith("tensorctl: ")
    assert ran.err.count("\n") == 1
    assert {*os.listdir(tmp_path)} == before


# get


@pytest.fixture
def tensors(c, prefix):
    return {
        key: c.tensor(array, name=f"{prefix}{key}")
        for key, array in ARRAYS.items()
    }


def test_get_a_npy(ctl, prefix, tensors, tmp_path):
    path = tmp_path / "w.npy"
    assert ctl("get", f"{prefix}w", "-o", path) == (0, "", "")
    np.testing.assert_array_equal(np.load(path), ARRAY)
    assert os.listdir(tmp_path) == ["w.npy"]


@pytest.mark.parametrize("format", FORMATS[1:])
def test_get_many(ctl, prefix, tensors, tmp_path, format):
    path = tmp_path / f"x.{format}"
    assert ctl("get", f"{prefix}*", "-o", path).code == 0
    same(read(path), {f"{prefix}{key}": one for key, one in ARRAYS.items()})


def test_get_into_any_name_with_a_format(ctl, prefix, tensors, tmp_path):
    path = tmp_path / "x"
    line = ("get", f"{prefix}w", "-o", path, "--format", "safetensors")
    assert ctl(*line).code == 0
    same(_files.open_arrays(str(path), "safetensors"), {f"{prefix}w": ARRAY})


def test_get_as_another_dtype(ctl, c, prefix, tmp_path):
    c.tensor([300.0, -1.0], name=f"{prefix}x", requires_grad=True)
    path = tmp_path / "x.npy"
    line = ("get", f"{prefix}x", "-o", path, "--dtype", "uint8", "--overflow")
    assert ctl(*line, "saturate").code == 0
    assert np.load(path).tolist() == [255, 0]
    ran = ctl(*line, "error")
    assert ran.code == 5
    # What was there stays.
    assert np.load(path).tolist() == [255, 0]
    assert os.listdir(tmp_path) == ["x.npy"]
    path = tmp_path / "x.safetensors"
    assert (
        ctl("get", f"{prefix}x", "-o", path, "--dtype", "bfloat16").code == 0
    )
    assert read(path)[f"{prefix}x"].dtype == ml_dtypes.bfloat16


@pytest.mark.parametrize(
    ("index", "expected"),
    [
        ("0", ARRAY[0]),
        ("1, ..., ::2", ARRAY[1, ..., ::2]),
        (":, 1:3, None, -1", ARRAY[:, 1:3, None, -1]),
        ("::-1, 2:0:-1", ARRAY[::-1, 2:0:-1]),
        ("1, 2, 3", ARRAY[1, 2, 3]),
        ("5:", ARRAY[5:]),
        ("...", ARRAY),
    ],
)
def test_get_parts(ctl, server, prefix, tensors, tmp_path, index, expected):
    before = server.handled().get("TransformTensor", 0)
    for number, line in enumerate(
        [(f"{prefix}w[{index}]",), (f"{prefix}w", "--index", index)]
    ):
        path = tmp_path / f"{number}.npy"
        assert ctl("get", *line, "-o", path, "--dtype", "float64").code == 0
        found = np.load(path)
        assert found.dtype == np.float64
        np.testing.assert_array_equal(found, expected)
    # Reading needs no right to write.
    assert server.handled().get("TransformTensor", 0) == before


def test_get_parts_and_wholes(ctl, prefix, tensors, tmp_path):
    path = tmp_path / "x.npz"
    line = (f"{prefix}w[0, 0]", f"{prefix}deep/b", "--index", ":1")
    found = ctl("get", *line, "-o", path, "--json").json
    assert found.pop("size_bytes") == path.stat().st_size
    assert found == {
        "file": str(path),
        "format": "npz",
        "tensors": [
            {"name": f"{prefix}w", "index": "0, 0"},
            {"name": f"{prefix}deep/b", "index": ":1"},
        ],
    }
    same(
        read(path),
        {
            f"{prefix}w": ARRAY[0, 0],
            f"{prefix}deep/b": ARRAYS["deep/b"][:1],
        },
    )


def test_get_index_beyond_the_end(ctl, prefix, tensors, tmp_path):
    for index in ("2", "0,0,0,0"):
        ran = ctl("get", f"{prefix}w[{index}]", "-o", tmp_path / "x.npy")
        assert ran.code == 5
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("format", FORMATS)
def test_get_to_the_standard_output(process, prefix, tensors, format):
    chosen = [] if format == "npy" else ["--format", format, "-o", "-"]
    ran = process("get", f"{prefix}w", *chosen)
    assert (ran.code, ran.err) == (0, "")
    [array] = _files.open_arrays(io.BytesIO(ran.out), format).values()
    np.testing.assert_array_equal(array, ARRAY)
    part = process("get", f"{prefix}w[0]", *chosen)
    [array] = _files.open_arrays(io.BytesIO(part.out), format).values()
    np.testing.assert_array_equal(array, ARRAY[0])


def test_get_many_to_the_standard_output_is_a_npz(process, prefix, tensors):
    ran = process("get", f"{prefix}*")
    found = _files.open_arrays(io.BytesIO(ran.out), "npz")
    same(found, {f"{prefix}{key}": one for key, one in ARRAYS.items()})


def test_get_writes_no_arrays_to_a_terminal(terminal, prefix, tensors):
    child, ours = terminal("get", f"{prefix}w")
    assert child.wait(60) == 2
    assert b"no text for a terminal" in os.read(ours, 4096)


def test_get_into_a_broken_pipe(c, command, prefix):
    c.tensor(np.zeros(1 << 20), name=f"{prefix}large")
    child = subprocess.Popen(
        [*command, "get", f"{prefix}large"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert child.stdout.read(6) == b"\x93NUMPY"
    child.stdout.close()
    assert child.stderr.read() == b""
    assert child.wait(60) == 141


def test_put_and_get_in_a_pipe(process, c, prefix):
    c.tensor(ARRAY, "bfloat16", name=f"{prefix}a")
    first = process("get", f"{prefix}a", "--format", "safetensors")
    line = ("put", "-", "--format", "safetensors", f"{prefix}copy/")
    second = process(*line, stdin=first.out)
    assert second.out.decode() == f"{prefix}copy/{prefix}a\n"
    made = c[f"{prefix}copy/{prefix}a"]
    assert made.dtype == c[f"{prefix}a"].dtype
    np.testing.assert_array_equal(made.numpy(), c[f"{prefix}a"].numpy())


# convert


@pytest.mark.parametrize("source", FORMATS)
@pytest.mark.parametrize("target", FORMATS)
@pytest.mark.parametrize("dtype", [None, "float16"])
def test_convert(ctl, c, tmp_path, source, target, dtype):
    name = "" if source == "npy" else "x"
    expected = "" if target == "npy" else name or "in"
    (tmp_path / f"in.{source}").write_bytes(bytes_of({name: ARRAY}, source))
    chosen = [] if dtype is None else ["--dtype", dtype]
    line = (tmp_path / f"in.{source}", tmp_path / f"out.{target}")
    before = c.list()
    assert ctl("convert", *line, *chosen) == (0, "", "")
    wanted = ARRAY.astype(dtype or ARRAY.dtype)
    same(read(tmp_path / f"out.{target}"), {expected: wanted})
    assert c.list() == before


def test_convert_many(ctl, tmp_path):
    np.savez(tmp_path / "in.npz", **ARRAYS)
    path = tmp_path / "out.safetensors"
    line = ("convert", tmp_path / "in.npz", path, "--dtype", "int8", "--json")
    found = ctl(*line).json
    assert found.pop("size_bytes") == path.stat().st_size
    assert found == {
        "file": str(path),
        "format": "safetensors",
        "arrays": [
            {"name": "w", "dtype": "int8", "shape": [2, 3, 4]},
            {"name": "deep/b", "dtype": "int8", "shape": [2]},
        ],
    }
    same(
        dict(sorted(read(path).items())),
        dict(sorted((k, a.astype(np.int8)) for k, a in ARRAYS.items())),
    )


def test_convert_overflow(ctl, tmp_path):
    np.save(tmp_path / "in.npy", [300.0, -1.0])
    line = ("convert", tmp_path / "in.npy", tmp_path / "out.npy")
    options = ("--dtype", "uint8", "--overflow")
    assert ctl(*line, *options, "saturate").code == 0
    assert np.load(tmp_path / "out.npy").tolist() == [255, 0]
    assert ctl(*line, *options, "error").code == 5
    assert np.load(tmp_path / "out.npy").tolist() == [255, 0]


def test_converting_a_format_needs_no_server(ctl, npy, tmp_path):
    path = tmp_path / "out.npz"
    assert ctl("-t", "127.0.0.1:1", "convert", npy, path).code == 0
    same(read(path), {"some.array": ARRAY})


def test_convert_in_a_pipe(process):
    ran = process(
        "convert",
        "-",
        "-",
        "--dtype",
        "int8",
        stdin=bytes_of({"": ARRAY}, "npy"),
    )
    assert (ran.code, ran.err) == (0, "")
    np.testing.assert_array_equal(
        np.load(io.BytesIO(ran.out)), ARRAY.astype(np.int8)
    )
    line = ("convert", "-", "-", "--to", "npz", "--from", "npy")
    ran = process(*line, stdin=bytes_of({"": ARRAY}, "npy"))
    same(np.load(io.BytesIO(ran.out)), {"array": ARRAY})


def test_convert_in_place(ctl, npy):
    """The file is read as it is replaced."""
    assert ctl("convert", npy, npy, "--dtype", "int16").code == 0
    np.testing.assert_array_equal(np.load(npy), ARRAY.astype(np.int16))


# Interrupted


class Stalling:
    """Goes between a client and a server, and stops at some point."""

    def __init__(self, target, budget):
        host, port = target.rsplit(":", 1)
        self._target = (host, int(port))
        self._budget = budget
        self.stalled = threading.Event()
        self._sockets = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.target = f"127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._target)
                self._sockets += [client, server]
                for ends in ((client, server), (server, client)):
                    threading.Thread(
                        target=self._forward, args=ends, daemon=True
                    ).start()

    def _forward(self, source, sink):
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                self._budget -= len(data)
                if self._budget < 0:
                    self.stalled.set()
                    return
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)

    def close(self):
        for one in (self._listener, *self._sockets):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()


@pytest.fixture
def stalling(server):
    """Stops after 4 MiB."""
    made = Stalling(server.target, 4 << 20)
    yield made
    made.close()


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)]
)
def test_get_that_is_interrupted_leaves_the_file_as_it_was(
    c, command, stalling, prefix, tmp_path, number, code
):
    c.tensor(np.zeros(4 << 20), name=f"{prefix}large")
    path = tmp_path / "x.npy"
    path.write_bytes(b"before")
    child = subprocess.Popen(
        [*command, "-t", stalling.target, "get", f"{prefix}large", "-o", path],
        stderr=subprocess.PIPE,
    )
    assert stalling.stalled.wait(60)
    # There is a file of another name that is being filled.
    assert len(os.listdir(tmp_path)) == 2
    child.send_signal(number)
    _, err = child.communicate(timeout=60)
    assert (child.returncode, err) == (code, b"")
    assert os.listdir(tmp_path) == ["x.npy"]
    assert path.read_bytes() == b"before"


def test_put_that_is_interrupted_stores_nothing(
    c, command, stalling, prefix, tmp_path
):
    np.save(tmp_path / "x.npy", np.zeros(4 << 20))
    line = ("put", tmp_path / "x.npy", f"{prefix}large")
    child = subprocess.Popen(
        [*command, "-t", stalling.target, *line], stderr=subprocess.PIPE
    )
    assert stalling.stalled.wait(60)
    child.send_signal(signal.SIGINT)
    _, err = child.communicate(timeout=60)
    assert (child.returncode, err) == (130, b"")
    assert f"{prefix}large" not in c


# Devices and progress


def test_tensors_of_a_gpu(ctl, gpu_server, gpu, prefix, npy, tmp_path):
    line = ("-t", gpu_server.target)
    name = f"{prefix}w"
    assert ctl(*line, "put", npy, name, "--device", "cuda:1").code == 0
    assert str(gpu[name].device) == "cuda:1"
    for what in (name, f"{name}[0]"):
        path = tmp_path / "out.npy"
        assert ctl(*line, "get", what, "-o", path).code == 0
    np.testing.assert_array_equal(np.load(path), ARRAY[0])
    values = ctl(*line, "show", "--json", name).json["values"]
    assert values["max"] == 23.0
    assert len(ctl(*line, "devices").lines) == 4
    del gpu[name]


class Bar:
    """Stands for a bar of tqdm, and for its module's class."""

    def __init__(self):
        self.n = 0
        self.drawn = []

    def __call__(self, **options):
        self.drawn.append(options["total"])
        return contextlib.nullcontext(self)

    def update(self, count):
        self.n += count


@pytest.mark.parametrize(
    ("option", "bars"), [(None, 1), ("--no-progress", 0), ("-q", 0)]
)
def test_large_transfers_have_a_bar(
    ctl, prefix, tensors, tmp_path, monkeypatch, option, bars
):
    """As on a terminal, where everything is large."""
    bar = Bar()
    monkeypatch.setattr(_progress, "_wants_bar", lambda _: True)
    monkeypatch.setattr(_progress, "_tqdm", lambda: bar)
    options = [option] if option else []
    path = tmp_path / "w.npy"
    assert ctl("get", f"{prefix}w", "-o", path, *options).code == 0
    assert bar.drawn == [ARRAY.nbytes] * bars
    assert bar.n == ARRAY.nbytes * bars
    bar.drawn.clear()
    assert ctl("put", path, f"{prefix}w2", *options).code == 0
    assert bar.drawn == [ARRAY.nbytes] * bars


def test_files_get_the_usual_mode(ctl, prefix, tensors, tmp_path):
    before = os.umask(0o022)
    try:
        assert ctl("get", f"{prefix}w", "-o", tmp_path / "w.npy").code == 0
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "w.npy").stat().st_mode) == 0o644
