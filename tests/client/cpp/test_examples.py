"""The examples of the C++ client, run against a server."""

import io
import pathlib
import re
import subprocess
import time

import numpy as np
import pytest
import tensord


@pytest.fixture
def client(server):
    with tensord.connect(server.target) as connected:
        yield connected


@pytest.fixture
def run(build, server):
    """Runs an example to its end."""

    def run_example(name, *arguments, target=server.target):
        return subprocess.run(
            [build / "examples" / name, f"--target={target}", *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    return run_example


def frame(number, height, width):
    """What the camera draws."""
    y, x, channel = np.ogrid[:height, :width, :3]
    return (y + x + channel + number).astype(np.uint8)


@pytest.mark.parametrize(
    "name", ["camera", "convert_files", "load_generator", "tour"]
)
def test_help_explains(run, name):
    said = run(name, "--help")
    assert "--target" in said.stdout
    assert f"\n{name} --target=" in said.stdout


@pytest.mark.parametrize("name", ["camera", "load_generator", "tour"])
def test_no_server_is_an_error(run, name):
    done = run(name, target="unix:/tmp/nobody-listens-here")
    assert done.returncode == 1
    assert done.stderr.startswith(f"{name}: UNAVAILABLE: ")


def test_camera_puts_its_newest_frame(run, client):
    size = ["--height=48", "--width=64"]
    done = run("camera", *size, "--frames=20", "--rate=50", "--ttl=60s")
    assert done.returncode == 0, done.stderr
    counts = re.findall(r"(\d+) (?:frames|put|dropped|refused)", done.stdout)
    frames, put, dropped, refused = map(int, counts)
    assert frames == 20 == put + dropped + refused
    newest = client["camera/0"]
    assert newest.dtype == tensord.float16
    pixels = newest.byte().numpy()
    first = int(pixels[0, 0, 0])
    assert 0 < first < 20 or put == 1
    assert np.array_equal(pixels, frame(first, 48, 64))


def test_last_frame_goes_after_the_camera(run, client):
    arguments = ["--frames=1", "--id=camera/gone", "--ttl=50ms"]
    assert run("camera", *arguments).returncode == 0
    deadline = time.monotonic() + 30
    while "camera/gone" in set(client):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_camera_drops_what_comes_too_fast(run):
    arguments = ["--frames=100", "--rate=10000", "--id=camera/fast"]
    done = run("camera", *arguments)
    assert done.returncode == 0, done.stderr
    put = int(re.search(r"(\d+) put", done.stdout)[1])
    dropped = int(re.search(r"(\d+) dropped", done.stdout)[1])
    assert put >= 1
    assert dropped >= 1
    assert put + dropped == 100


@pytest.mark.parametrize(
    "flag, said",
    [
        ("--dtype=float17", "--dtype=float17 is no dtype"),
        ("--rate=0", "have to be positive"),
        ("--id=not valid", "id"),
    ],
)
def test_camera_tells_what_is_wrong(run, flag, said):
    done = run("camera", "--frames=1", flag)
    assert done.returncode == 1
    assert "INVALID_ARGUMENT" in done.stderr
    assert said in done.stderr


def test_files_are_converted(run, client, tmp_path):
    arrays = {
        "a": np.linspace(-300, 300, 50),
        "b": np.asfortranarray(np.arange(12.0).reshape(3, 4)),
        "c": np.arange(200_000, dtype=">i4").reshape(100, -1),
        "empty": np.zeros((0, 3)),
        "scalar": np.array(2.5),
    }
    (tmp_path / "in").mkdir()
    for name, array in arrays.items():
        np.save(tmp_path / f"in/{name}.npy", array)
    (tmp_path / "in/notes.txt").write_text("not an array")
    before = set(client)
    done = run("convert_files", tmp_path / "in", tmp_path / "out")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "5 converted, 0 failed\n"
    saved = {path.stem: np.load(path) for path in (tmp_path / "out").iterdir()}
    assert saved.keys() == arrays.keys()
    for name, array in arrays.items():
        with np.errstate(over="ignore"):
            expected = array.astype(np.float16)
        assert saved[name].dtype == np.float16
        assert np.array_equal(saved[name], expected), name
    assert set(client) == before


def test_one_bad_file_keeps_no_other_from_being_converted(run, tmp_path):
    (tmp_path / "in").mkdir()
    for name in "aceg":
        np.save(tmp_path / f"in/{name}.npy", np.array([-1.0, 256.0]))
    (tmp_path / "in/b.npy").write_text("no array")
    np.save(tmp_path / "in/d.npy", np.array(["text"]))
    flags = ["--dtype=uint8", "--saturate", "--at_once=3"]
    done = run("convert_files", *flags, tmp_path / "in", tmp_path / "out")
    assert done.returncode == 1
    assert done.stdout == "4 converted, 2 failed\n"
    errors = done.stderr.splitlines()
    assert [line.split(": ")[1] for line in errors] == ["INVALID_ARGUMENT"] * 2
    assert errors[0].startswith(f"{tmp_path}/in/b.npy: ")
    assert errors[1].startswith(f"{tmp_path}/in/d.npy: ")
    saved = sorted((tmp_path / "out").iterdir())
    assert [path.name for path in saved] == [f"{name}.npy" for name in "aceg"]
    for path in saved:
        assert np.load(path).tolist() == [0, 255]


def memory_bytes(process):
    """What of a process is in memory and in no file; 0 once it has ended."""
    try:
        status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    found = re.search(r"^RssAnon:\s+(\d+) kB", status, re.MULTILINE)
    return int(found[1]) << 10 if found else 0


def test_no_file_is_held_in_memory(build, cached, server, tmp_path):
    if cached("TENSORD_SANITIZE"):
        pytest.skip("sanitizers keep memory that was freed")
    rows = 32
    (tmp_path / "in").mkdir()
    header = io.BytesIO()
    described = np.lib.format.header_data_from_array_1_0(
        np.zeros((0, 1 << 20))
    )
    np.lib.format.write_array_header_1_0(
        header, described | {"shape": (rows, 1 << 20)}
    )
    size = rows * (8 << 20)
    with (tmp_path / "in/a.npy").open("wb") as file:
        file.write(header.getvalue())
        file.truncate(file.tell() + size)
    peak = 0
    with subprocess.Popen(
        [
            *(build / "examples/convert_files", f"--target={server.target}"),
            *("--dtype=float32", tmp_path / "in", tmp_path / "out"),
        ],
        stdin=subprocess.DEVNULL,
    ) as process:
        while process.poll() is None:
            peak = max(peak, memory_bytes(process))
            time.sleep(0.001)
    assert process.returncode == 0
    assert (tmp_path / "out/a.npy").stat().st_size > size / 2
    assert 0 < peak < size / 4


@pytest.mark.parametrize(
    "arguments, said",
    [
        ([], "two folders are needed"),
        (["in", "out", "more"], "two folders are needed"),
        (["none", "out"], "can not read the folder none"),
        (["--dtype=x", "in", "out"], "--dtype=x is no dtype"),
    ],
)
def test_conversion_that_can_not_begin(run, arguments, said, tmp_path):
    done = run("convert_files", *arguments)
    assert done.returncode == 2
    assert done.stderr.startswith("convert_files: ")
    assert said in done.stderr


@pytest.mark.parametrize("call", ["put", "get", "convert"])
@pytest.mark.parametrize("rate", [0, 200])
def test_load_is_made_and_measured(run, client, call, rate):
    flags = [f"--call={call}", f"--rate={rate}", "--elements=1000"]
    done = run("load_generator", *flags, "--duration=200ms", "--workers=2")
    assert done.returncode == 0, done.stderr
    calls, failed = re.match(
        r"(\d+) calls .*, (\d+) failed", done.stdout
    ).groups()
    assert int(calls) > 0
    assert int(failed) == 0
    if rate:
        assert int(calls) == rate * 0.2
    rows = re.findall(r"^p(\S+) +(\S+) ms$", done.stdout, re.MULTILINE)
    assert [row[0] for row in rows] == ["50", "90", "99", "99.9", "100"]
    times = [float(row[1]) for row in rows]
    assert 0 < times[0]
    assert times == sorted(times)
    if call != "convert":
        stored = client["load/1"]
        assert stored.dtype == tensord.bfloat16
        assert stored.float().numpy().tolist() == [1.5] * 1000


def test_load_generator_tells_what_is_wrong(run):
    done = run("load_generator", "--call=push")
    assert done.returncode == 1
    assert "--call=push is not put, get or convert" in done.stderr
    done = run("load_generator", "--workers=0")
    assert done.returncode == 1
    assert "--workers has to be positive" in done.stderr


def test_the_tour_goes_through_the_calls(run, client, tmp_path):
    path = tmp_path / "tour.npy"
    done = run("tour", f"--file={path}")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (
        "as double: 5 7 1 2 4 4\n"
        "a column: 7 4\n"
        "a row: 5 7 1\n"
        "from a file: 5 7 1 2 4 4\n"
    )
    assert np.load(path).tolist() == [[5, 7, 1], [2, 4, 4]]
    assert "tour" not in client
