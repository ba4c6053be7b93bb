"""Names, listing, devices, conversion without storing."""

import re

import ml_dtypes
import numpy as np
import pytest
import tensord


def test_names_are_like_keys(c):
    tensor = c.tensor([1, 2], name="w/0")
    assert "w/0" in c
    assert c["w/0"].id == "w/0"
    assert c["w/0"].dtype is tensord.int64
    with pytest.raises(ValueError, match=".") as caught:
        c.tensor([1], name="w/0")
    assert isinstance(caught.value, tensord.AlreadyExistsError)
    del c["w/0"]
    assert "w/0" not in c
    for use in (lambda: c["w/0"], lambda: c.__delitem__("w/0")):
        with pytest.raises(KeyError) as caught:
            use()
        assert str(caught.value)[0] not in "'\""
    tensor.delete()


@pytest.mark.parametrize("name", ["", "/", "a//b", "..", "a b", "x" * 256, "é"])
def test_bad_names(c, name):
    with pytest.raises(ValueError, match=".") as caught:
        c.tensor([1], name=name)
    assert caught.value.reason == "NAME_INVALID"


def test_names_have_to_be_strings(c):
    for use in (lambda: c[3], lambda: c.tensor([1], name=3)):
        with pytest.raises(TypeError, match="name must be str, not int"):
            use()
    assert 3 not in c


@pytest.mark.parametrize(
    "make",
    [
        lambda c, **k: c.from_numpy(np.arange(3), **k),
        lambda c, **k: c.Tensor(np.arange(3), **k),
        lambda c, **k: c.tensor([0, 1, 2], **k),
        lambda c, **k: c.tensor(np.arange(3), **k),
        lambda c, **k: c.tensor([0.0, 1.0, 2.0]).to("int8", **k),
        lambda c, **k: c.tensor([0, 1, 2]).to("int64", **k),
    ],
)
def test_every_maker_takes_a_name(c, make):
    with make(c, name="made/here", ttl=60) as tensor:
        assert tensor.name == "made/here"
        assert c["made/here"].tolist() == [0, 1, 2]


def test_checksums_change_nothing_that_is_seen(server):
    array = np.arange(1 << 19, dtype=np.float32)
    with tensord.connect(server.target, checksums=True) as client:
        tensor = client.from_numpy(array)
        np.testing.assert_array_equal(tensor.numpy(), array)


@pytest.mark.parametrize("max_connections", [1, 2, 5])
def test_connections_change_nothing_that_is_seen(server, max_connections):
    array = np.arange(6 << 20, dtype=np.float32).reshape(3, -1)
    with tensord.connect(server.target,
                         max_connections=max_connections) as client:
        for source in (array, array.T, array[:, ::-1]):
            tensor = client.from_numpy(source)
            np.testing.assert_array_equal(tensor.numpy(), source)
        with pytest.raises(tensord.CastOverflowError, match="index 128 "):
            client.convert(array, "int8", overflow="error")
        with pytest.raises(tensord.CastOverflowError, match="index 128 "):
            client.from_numpy(array).to("int8", overflow="error")
        with pytest.raises(tensord.CastOverflowError, match="index 128 "):
            client.tensor(array, dtype="int8", overflow="error")


def test_listing_walks_all_pages(c):
    names = [f"list/{i:03}" for i in range(230)]
    for name in names:
        c.tensor([1], name=name)
    try:
        assert [n for n in c if n.startswith("list/")] == names
        assert [n for n in c.list() if n.startswith("list/")] == names
        info = next(i for i in c.infos() if i.name == "list/007")
        assert (info.dtype, info.shape) == (tensord.int64, tensord.Size([1]))
        assert (str(info.device), info.nbytes) == ("cpu", 8)
    finally:
        for name in names:
            del c[name]


def test_devices_and_server_info(c):
    first = c.devices()[0]
    assert first.device == tensord.device("cpu")
    assert 0 <= first.memory_used_bytes < first.memory_limit_bytes
    assert first.out_of_service == ""
    info = c.server_info()
    assert info.devices == tuple(one.device for one in c.devices())
    assert info.cuda_built or not info.cuda_unavailable
    info = c.server_info()
    assert info.version == tensord.__version__
    assert set(info.dtypes) >= {tensord.float32, tensord.float8_e5m2}
    assert len(info.dtypes) == 17
    assert info.max_dimensions == 64
    assert info.max_upload_parts == 64


def test_without_cuda_the_refusal_is_a_runtime_error(c):
    if len(c.devices()) > 1:
        pytest.skip("there is a CUDA device")
    for use in (
        lambda: c.tensor([1], device="cuda:0"),
        lambda: c.tensor([1]).cuda(),
        lambda: c.tensor([1]).to("cuda:0"),
        lambda: c.tensor([1]).type("tensord.cuda.LongTensor"),
    ):
        with pytest.raises(RuntimeError) as caught:
            use()
        assert caught.value.reason in ("CUDA_NOT_BUILT", "DEVICE_NOT_PRESENT")
        assert re.match(
            "tensord not compiled with CUDA enabled; its devices are: cpu$|"
            "Found no NVIDIA driver on your system|No CUDA GPUs are available",
            str(caught.value),
        )


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("target", ["uint8", "bfloat16", "complex128"])
def test_convert_stores_nothing_and_keeps_the_layout(c, order, target):
    array = np.asarray(np.arange(24.0).reshape(2, 3, 4), order=order)
    before = c.list()
    converted = c.convert(array, target)
    assert c.list() == before
    wanted = getattr(tensord, target).numpy_dtype
    assert converted.dtype == wanted
    assert np.array_equal(converted, array.astype(wanted))
    assert converted.flags[f"{order}_CONTIGUOUS"]
    assert converted.flags.writeable


def test_convert_takes_overflow(c):
    array = np.array([300.0, -1.0, np.nan])
    saturated = c.convert(array, tensord.uint8, overflow="saturate")
    assert saturated.tolist() == [255, 0, 0]
    with pytest.raises(OverflowError) as caught:
        c.convert(array, np.uint8, overflow="error")
    assert caught.value.metadata["count"] == "3"
    with pytest.raises(ValueError, match="overflow has to be") as caught:
        c.convert(array, "uint8", overflow="wrap")
    assert caught.value.reason == "OVERFLOW_INVALID"


def test_convert_of_lists_and_large_arrays(c):
    assert c.convert([1, 2, 3], "float16").dtype == np.float16
    large = np.random.default_rng(1).normal(size=(300, 9001))
    converted = c.convert(large[::2, ::-1], "float32")
    assert np.array_equal(converted, large[::2, ::-1].astype(np.float32))


@pytest.mark.parametrize(
    ("given", "dtype"),
    [
        ("float32", tensord.float32),
        ("float", tensord.float32),
        ("half", tensord.float16),
        ("cdouble", tensord.complex128),
        (np.float16, tensord.float16),
        (np.dtype(">i4"), tensord.int32),
        (np.dtype("?"), tensord.bool),
        (np.longlong, tensord.int64),
        (ml_dtypes.bfloat16, tensord.bfloat16),
        (np.dtype(ml_dtypes.float8_e5m2), tensord.float8_e5m2),
        (float, tensord.float64),
        (int, tensord.int64),
        (bool, tensord.bool),
        (complex, tensord.complex128),
        (tensord.uint16, tensord.uint16),
    ],
)
def test_what_is_taken_for_a_dtype(c, given, dtype):
    assert c.tensor([1], dtype=given).dtype is dtype
    assert c.tensor([1]).to(given).dtype is dtype
    assert c.tensor([1]).to(dtype=given).dtype is dtype
    assert c.tensor([1]).numpy(dtype=given).dtype == dtype.numpy_dtype


@pytest.mark.parametrize(
    "given", ["float33", "torch.float32", "<f4", np.object_, np.floating, [1]]
)
def test_what_is_not_taken_for_a_dtype(c, given):
    with pytest.raises(TypeError):
        c.tensor([1], dtype=given)


def test_options_have_no_positions(c):
    with pytest.raises(TypeError):
        c.from_numpy(np.arange(3), "name")
    with pytest.raises(TypeError):
        c.from_numpy(np.arange(3), dtype="float32")
    with pytest.raises(TypeError):
        c.Tensor(np.arange(3), dtype="float32")


def test_a_unix_socket(tmp_path, start_server):
    path = tmp_path / "socket"
    start_server(f"--listen=unix:{path}")
    with tensord.connect(f"unix:{path}") as client:
        assert client.tensor([3]).item() == 3


def test_tensors_travel_between_clients(server, c):
    with tensord.connect(server.target) as other:
        source = other.tensor([1.5, 2.5], requires_grad=True)
        with pytest.warns(UserWarning, match="To copy construct"):
            copied = c.tensor(source, dtype="float64")
        assert copied.tolist() == [1.5, 2.5]
        assert not copied.requires_grad
