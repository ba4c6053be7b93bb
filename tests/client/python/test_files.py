"""Arrays between files and a server."""

import asyncio
import io
import json
import os
import pathlib
import resource
import subprocess
import zipfile

import ml_dtypes
import numpy as np
import pytest
import tensord
import tensord.aio
from tensord._dtype import ALL_DTYPES
from tensord._files import create_arrays, open_arrays, write_arrays

NAMELESS = {"bfloat16", "float8_e4m3fn", "float8_e5m2"}
SHAPES = [(), (0,), (3,), (2, 0, 3), (4, 5), (2, 3, 4)]


def some(dtype, shape, seed=0):
    """An array of any dtype."""
    rng = np.random.default_rng(seed)
    numbers = rng.integers(0, 2 if dtype._name == "bool" else 100, shape)
    return np.asarray(numbers).astype(dtype.numpy_dtype)


def same(a, b):
    return (
        a.dtype == b.dtype
        and a.shape == b.shape
        and a.tobytes() == (b.tobytes())
    )


@pytest.mark.parametrize("dtype", ALL_DTYPES, ids=repr)
def test_every_dtype_comes_back_from_a_file(c, tmp_path, dtype):
    for number, shape in enumerate(SHAPES):
        array = some(dtype, shape, number)
        tensor = c.from_numpy(array)
        for suffix in ("npy", "npz", "safetensors"):
            path = tmp_path / f"{number}.{suffix}"
            unsupported = (
                {"complex128"} if suffix == "safetensors" else NAMELESS
            )
            if dtype._name in unsupported:
                with pytest.raises(TypeError, match="can not carry"):
                    tensor.save(path)
                assert not [*tmp_path.glob(f"{number}.{suffix}*")]
                continue
            tensor.save(path)
            loaded = c.load(path)
            if suffix != "npy":
                [loaded] = loaded.values()
            assert same(loaded.numpy(), array)


def test_numpy_reads_what_is_saved_byte_for_byte(c, tmp_path):
    for number, shape in enumerate(SHAPES):
        array = some(tensord.int16, shape)
        c.from_numpy(array).save(tmp_path / "ours.npy")
        np.save(tmp_path / "theirs.npy", array)
        ours = (tmp_path / "ours.npy").read_bytes()
        assert ours == (tmp_path / "theirs.npy").read_bytes(), number
    arrays = {"w": some(tensord.float32, (3, 4)), "b/0": np.array(1.5)}
    c.save(tmp_path / "a.npz", {k: c.from_numpy(v) for k, v in arrays.items()})
    with np.load(tmp_path / "a.npz") as archive:
        assert set(archive) == set(arrays)
        for name, array in arrays.items():
            assert same(archive[name], array)


def test_what_numpy_saves_is_loaded(c, tmp_path):
    arrays = {
        "big_endian": np.arange(6, dtype=">i4").reshape(2, 3),
        "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "scalar": np.array(7, np.uint8),
    }
    for save in (np.savez, np.savez_compressed):
        save(tmp_path / "a.npz", **arrays)
        loaded = c.load(tmp_path / "a.npz")
        assert [*loaded] == [*arrays]
        for name, array in arrays.items():
            assert np.array_equal(loaded[name].numpy(), array)
    for array in arrays.values():
        np.save(tmp_path / "a.npy", array)
        loaded = c.load(tmp_path / "a.npy", dtype="float16")
        assert loaded.dtype is tensord.float16
        assert np.array_equal(loaded.numpy(), array)


@pytest.mark.parametrize("name", sorted(NAMELESS))
def test_elements_without_a_name_in_numpy_need_a_dtype(c, tmp_path, name):
    array = some(getattr(tensord, name), (2, 3))
    np.save(tmp_path / "a.npy", array)
    loaded = c.load(tmp_path / "a.npy", dtype=name)
    assert same(loaded.numpy(), array)
    with pytest.raises(TypeError, match="a.npy: .* pass dtype=") as refused:
        c.load(tmp_path / "a.npy")
    assert refused.value.reason == "DTYPE_AMBIGUOUS"
    wrong = "bfloat16" if array.itemsize == 1 else "float8_e5m2"
    with pytest.raises(TypeError) as refused:
        c.load(tmp_path / "a.npy", dtype=wrong)
    assert refused.value.reason == "DTYPE_SIZE_MISMATCH"


def test_safetensors_and_their_library_agree(tmp_path):
    library = pytest.importorskip("safetensors.numpy")
    both = [
        dtype
        for dtype in ALL_DTYPES
        if dtype._name not in NAMELESS | {"complex64", "complex128"}
    ]
    arrays = {
        f"{dtype._name}/{number}": some(dtype, shape)
        for dtype in both
        for number, shape in enumerate(SHAPES)
    }
    ours, theirs = tmp_path / "ours.safetensors", tmp_path / "theirs"
    write_arrays(ours, arrays)
    library.save_file(arrays, theirs, metadata={"made": "elsewhere"})
    read = library.load_file(ours)
    opened = open_arrays(theirs, "safetensors")
    assert set(read) == set(opened) == set(arrays)
    for name, array in arrays.items():
        assert same(read[name], array), name
        assert same(opened[name], array), name


def test_bfloat16_of_safetensors_is_that_of_torch(tmp_path):
    torch = pytest.importorskip("torch")
    library = pytest.importorskip("safetensors.torch")
    numbers = torch.arange(12).reshape(3, 4).to(torch.bfloat16)
    library.save_file({"w": numbers}, tmp_path / "w.safetensors")
    opened = open_arrays(tmp_path / "w.safetensors")["w"]
    assert opened.dtype == ml_dtypes.bfloat16
    assert opened.tolist() == numbers.tolist()


def test_elements_in_safetensors_are_aligned(tmp_path):
    arrays = {
        "a": some(tensord.uint8, (3,)),
        "b": some(tensord.float64, (2,)),
        "c": some(tensord.int16, (1,)),
    }
    path = tmp_path / "a.safetensors"
    write_arrays(path, arrays)
    length = int.from_bytes(path.read_bytes()[:8], "little")
    assert length % 8 == 0
    header = json.loads(path.read_bytes()[8 : 8 + length])
    for name, entry in header.items():
        assert entry["data_offsets"][0] % arrays[name].itemsize == 0


def test_names_of_several_arrays_begin_with_name(c, tmp_path):
    np.savez(tmp_path / "a.npz", w=np.ones(2), b=np.zeros(2))
    loaded = c.load(tmp_path / "a.npz", name="run-1/", ttl=60)
    assert {t.name for t in loaded.values()} == {"run-1/w", "run-1/b"}
    assert c["run-1/w"].tolist() == [1, 1]
    with pytest.raises(tensord.AlreadyExistsError):
        c.load(tmp_path / "a.npz", name="run-1/")
    assert {*c.load(tmp_path / "a.npz", name="run-1/", replace=True)} == {
        "w",
        "b",
    }
    with pytest.raises(ValueError, match="if_match"):
        c.load(tmp_path / "a.npz", name="run-1/", if_match="x")
    for tensor in loaded.values():
        tensor.delete()


def test_of_a_file_whose_tensor_is_refused_nothing_is_kept(c, tmp_path):
    before = c.list()
    np.savez(tmp_path / "a.npz", good=np.ones(2), bad=np.array([300]))
    with pytest.raises(OverflowError):
        c.load(tmp_path / "a.npz", name="x/", dtype="int8", overflow="error")
    assert c.list() == before


def test_saving_reads_any_device_layout_and_history(c, gpu, tmp_path):
    array = np.arange(24.0, dtype=np.float32).reshape(2, 3, 4)
    tensors = [
        c.tensor(array, requires_grad=True),
        c.tensor(array).permute(2, 0, 1),
        c.tensor(array)[:, ::2, 1:3],
        c.tensor(array)[:, 1, 1].unsqueeze(1),
        gpu.tensor(array, device="cuda:0"),
    ]
    for tensor in tensors:
        for suffix in ("npy", "safetensors"):
            path = tmp_path / f"t.{suffix}"
            tensor.save(path)
            [read] = open_arrays(path).values()
            assert np.array_equal(read, tensor.numpy(force=True))
    tensors[0].save(tmp_path / "h.npy", dtype="int8")
    assert np.load(tmp_path / "h.npy").dtype == np.int8
    with pytest.raises(OverflowError):
        c.tensor([300]).save(
            tmp_path / "h.npy", dtype="int8", overflow="error"
        )
    # What was there stays.
    assert np.load(tmp_path / "h.npy").shape == (2, 3, 4)
    assert len([*tmp_path.iterdir()]) == 3


def test_open_files_and_pipes(c, tmp_path):
    array = some(tensord.int32, (100, 7))
    for format in ("npy", "npz", "safetensors"):
        memory = io.BytesIO()
        c.from_numpy(array).save(memory, format=format)
        memory.seek(0)
        loaded = c.load(memory, format=format)
        if format != "npy":
            [loaded] = loaded.values()
        assert same(loaded.numpy(), array)
        path = tmp_path / f"a.{format}"
        path.write_bytes(memory.getvalue())
        with subprocess.Popen(
            ["/bin/cat", path], stdout=subprocess.PIPE
        ) as cat:
            [read] = open_arrays(cat.stdout, format).values()
            assert same(read, array)
    with pytest.raises(ValueError, match="format="):
        c.load(io.BytesIO())
    with pytest.raises(TypeError, match="path or a binary file"):
        c.load(7, format="npy")


def test_a_fifo_is_written_and_read(c, tmp_path):
    array = some(tensord.int32, (1000,))
    path = tmp_path / "fifo"
    os.mkfifo(path)
    with subprocess.Popen(["/bin/cat", path], stdout=subprocess.PIPE) as cat:
        c.from_numpy(array).save(path, format="npy")
        assert same(np.load(io.BytesIO(cat.stdout.read())), array)
    assert path.is_fifo()


def test_links_stay_and_modes_are_as_usual(c, tmp_path):
    (tmp_path / "real").mkdir()
    link = tmp_path / "a.npy"
    link.symlink_to("real/a.npy")
    c.tensor([1]).save(link)
    assert link.is_symlink()
    np.save(tmp_path / "b.npy", [1])
    ours = (tmp_path / "real/a.npy").stat().st_mode
    assert ours == (tmp_path / "b.npy").stat().st_mode


def test_unknown_formats_are_refused(c, tmp_path):
    for file in ("a.txt", "a", "npy"):
        with pytest.raises(ValueError, match="no format") as refused:
            c.load(tmp_path / file)
        assert refused.value.reason == "FILE_FORMAT_UNKNOWN"
        with pytest.raises(ValueError, match="no format"):
            c.tensor([1]).save(tmp_path / file)
    with pytest.raises(FileNotFoundError):
        c.load(tmp_path / "a.npy")
    with pytest.raises(ValueError, match="holds one array, not 2"):
        c.save(tmp_path / "a.npy", {"a": c.tensor([1]), "b": c.tensor([1])})
    with pytest.raises(FileNotFoundError):
        c.tensor([1]).save(tmp_path / "no/a.npy")
    assert not [*tmp_path.iterdir()]


def test_a_full_disk_is_an_error(c, tmp_path, run_python):
    # Limited in a process of its own, as the limit stays.
    script = f"""
import resource, signal, sys
import numpy as np, tensord
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
t = tensord.connect({c._where.target!r}).tensor(np.zeros(10_000))
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
for suffix in ("npy", "npz", "safetensors"):
    try:
        t.save(sys.argv[1] + "/a." + suffix)
    except OSError as error:
        print(error.errno)
"""
    status, printed, errors = run_python(script, str(tmp_path))
    assert (status, errors) == (0, "")
    assert len(printed.split()) == 3
    assert not [*tmp_path.iterdir()]


def damaged(data):
    """A file with every kind of damage that one byte and a cut can do."""
    for place in range(0, min(len(data), 400), 3):
        yield data[:place]
        for byte in (0, 0x22, 0xFF):
            yield data[:place] + bytes([byte]) + data[place + 1 :]


@pytest.mark.parametrize("suffix", ["npy", "npz", "safetensors"])
def test_damaged_files_are_errors(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    arrays = {"w": np.arange(6, dtype=np.int16).reshape(2, 3)}
    if suffix != "npy":
        arrays["b"] = np.ones(2, np.float32)
    write_arrays(path, arrays)
    whole = path.read_bytes()
    refusals = 0
    for data in damaged(whole):
        path.write_bytes(data)
        try:
            for array in open_arrays(path).values():
                array.sum()
        except (tensord.InvalidArgumentError, tensord.InvalidTypeError) as e:
            assert str(path) in str(e)
            refusals += 1
    assert refusals > 130
    path.write_bytes(whole)
    open_arrays(path)


def safetensors_file(header, elements):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + elements


def entry(begin, end, dtype="U8", shape=None):
    return {
        "dtype": dtype,
        "shape": [end - begin] if shape is None else shape,
        "data_offsets": [begin, end],
    }


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "header of 0 bytes"),
        ((2**63).to_bytes(8, "little"), "header of"),
        (safetensors_file(b"[]", b""), "no JSON object"),
        (safetensors_file(b"[" * 100_000, b""), "can not be read"),
        (safetensors_file({"a": entry(0, 4)}, b"123"), "3 bytes of elements"),
        (safetensors_file({"a": entry(1, 4)}, b"1234"), "begins at byte 1"),
        (
            safetensors_file({"a": entry(0, 3), "b": entry(2, 4)}, b"1234"),
            "begins at byte 2",
        ),
        (safetensors_file({"a": entry(0, 3)}, b"1234"), "4 bytes of elements"),
        (safetensors_file({"a": entry(0, 4, shape=[-4])}, b"1234"), "shape"),
        (safetensors_file({"a": entry(0, 4, shape=[True])}, b""), "shape"),
        (safetensors_file({"a": entry(0, 4, shape=[2**62, 4])}, b""), "bytes"),
        (safetensors_file({"a": {}}, b""), "no dtype"),
        (safetensors_file({"a": 7}, b""), "no dtype"),
        (
            safetensors_file(
                b'{"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},'
                b'"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}',
                b"",
            ),
            "twice",
        ),
    ],
)
def test_senseless_safetensors_are_refused(tmp_path, data, why):
    path = tmp_path / "a.safetensors"
    path.write_bytes(data)
    with pytest.raises(tensord.InvalidArgumentError, match=why):
        open_arrays(path)


def test_unknown_elements_of_safetensors_are_named(tmp_path):
    path = tmp_path / "a.safetensors"
    path.write_bytes(safetensors_file({"scale": entry(0, 1, "F8_E8M0")}, b"1"))
    with pytest.raises(TypeError, match="'scale' has .* 'F8_E8M0'"):
        open_arrays(path)


def test_archives_of_other_things_are_refused(tmp_path):
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("notes.txt", "no array")
    with pytest.raises(ValueError, match="'notes.txt' is no .npy"):
        open_arrays(path)
    np.savez(path, w=np.array([{}], dtype=object))
    with pytest.raises((TypeError, ValueError), match="w.npy"):
        open_arrays(path)


def test_a_flipped_bit_of_an_archive_is_found(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, w=np.zeros(100))
    data = bytearray(path.read_bytes())
    data[400] ^= 1
    path.write_bytes(data)
    with pytest.raises(ValueError, match="CRC-32"):
        open_arrays(path)


def test_what_is_saved_is_whole_or_not_there(tmp_path):
    path = tmp_path / "a.npy"
    spec = {"": tensord._files.ArraySpec(tensord.int8, (3,))}
    with (
        pytest.raises(KeyError),
        create_arrays(path, spec) as destinations,
    ):
        next(destinations)
        raise KeyError
    assert not [*tmp_path.iterdir()]


def test_large_files_are_not_held_in_memory(c, tmp_path):
    # Pages of mapped files are not the process's own.
    path = tmp_path / "large.npy"
    array = np.lib.format.open_memmap(path, "w+", np.uint8, (96 << 20,))
    array[::4096] = 1
    del array

    def own_bytes():
        status = pathlib.Path("/proc/self/status").read_text()
        return int(status.split("RssAnon:")[1].split()[0]) << 10

    c.load(path).save(tmp_path / "first.npy")
    before = own_bytes()
    peak = 0

    def watch(*_):
        nonlocal peak
        peak = max(peak, own_bytes())

    with c.load(path, progress=watch) as tensor:
        tensor.save(tmp_path / "copy.npy", progress=watch)
    assert (tmp_path / "copy.npy").stat().st_size == path.stat().st_size
    assert peak - before < 48 << 20
    assert resource.getpagesize() <= 1 << 16


def test_asyncio_loads_and_saves(server, tmp_path):
    async def main():
        arrays = {"w": np.ones((2, 3)), "b": np.arange(4)}
        np.savez(tmp_path / "a.npz", **arrays)
        async with await tensord.aio.connect(server.target) as client:
            loaded = await client.load(tmp_path / "a.npz", dtype="float32")
            assert {*loaded} == {*arrays}
            await client.save(tmp_path / "a.safetensors", loaded)
            await (await loaded["w"].permute(1, 0)).save(tmp_path / "w.npy")
            await loaded["b"].half().save(tmp_path / "b.npz")
            again = await client.load(tmp_path / "w.npy")
            assert again.shape == (3, 2)
            with pytest.raises(OverflowError):
                np.savez(tmp_path / "x.npz", a=[1], b=[1e9])
                await client.load(
                    tmp_path / "x.npz",
                    name="x/",
                    dtype="int8",
                    overflow="error",
                )
            assert not [n for n in await client.list() if n[:2] == "x/"]

    asyncio.run(main())
    assert np.array_equal(np.load(tmp_path / "w.npy"), np.ones((3, 2)))
    assert np.load(tmp_path / "b.npz")["arr_0"].dtype == np.float16
    assert {*open_arrays(tmp_path / "a.safetensors")} == {"w", "b"}
