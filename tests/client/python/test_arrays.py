"""Arrays of every dtype and layout, there and back; and what is accepted
beyond PyTorch."""

import itertools

import ml_dtypes
import numpy as np
import pytest
import tensord
from tensord._dtype import ALL_DTYPES

NUMPY_DTYPES = [one.numpy_dtype for one in ALL_DTYPES]


def random_array(rng, dtype, shape):
    """Any bits, but for bools."""
    count = int(np.prod(shape)) * dtype.itemsize
    data = rng.integers(0, 256, count, np.uint8)
    if dtype == np.bool_:
        data &= 1
    return data.view(dtype).reshape(shape)


def same(a, b):
    return (
        a.dtype.newbyteorder("=") == b.dtype.newbyteorder("=")
        and a.shape == b.shape
        and a.astype(a.dtype.newbyteorder("="), order="C").tobytes()
        == b.astype(b.dtype.newbyteorder("="), order="C").tobytes()
    )


LAYOUTS = {
    "C": lambda a: a,
    "F": np.asfortranarray,
    "reversed": lambda a: a[::-1],
    "stepped": lambda a: a[:, ::-2],
    "transposed": lambda a: a.transpose(2, 0, 1),
    "broadcast": lambda a: np.broadcast_to(a[:1], (3, *a.shape[1:])),
    "0-d": lambda a: a[1, 2, 3],
    "one": lambda a: a[:1, :1, :1],
    "empty": lambda a: a[:, 2:2],
    "none": lambda a: a[:0, :0, :0],
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", NUMPY_DTYPES, ids=str)
def test_arrays_arrive_intact(c, dtype, layout):
    rng = np.random.default_rng(7)
    array = np.asarray(LAYOUTS[layout](random_array(rng, dtype, (4, 5, 6))))
    back = c.from_numpy(array).numpy()
    assert same(back, array)
    assert back.flags.writeable
    assert same(c.tensor(array).numpy(), array)


@pytest.mark.parametrize(
    "dtype",
    [d for d in NUMPY_DTYPES if d.itemsize > 1 and d.kind != "V"],
    ids=str,
)
def test_big_endian_arrays_arrive_intact(c, dtype):
    array = random_array(np.random.default_rng(8), dtype, (3, 4))
    if dtype == ml_dtypes.bfloat16:
        pytest.skip("ml_dtypes has no big-endian dtypes")
    swapped = array.astype(dtype.newbyteorder(">"))[::-1, ::2]
    tensor = c.from_numpy(swapped)
    assert same(tensor.numpy(), array[::-1, ::2])
    assert same(c.convert(swapped, tensor.dtype), array[::-1, ::2])


def test_strides_that_are_no_multiples_of_the_item_size(c):
    record = np.zeros(5, [("a", "u1"), ("b", "<f4")])
    record["b"] = np.arange(5)
    assert record["b"].strides == (5,)
    assert c.from_numpy(record["b"]).tolist() == [0, 1, 2, 3, 4]


def test_read_only_arrays_and_subclasses(c):
    data = np.frombuffer(b"\1\2\3", np.uint8)
    assert c.from_numpy(data).tolist() == [1, 2, 3]
    masked = np.ma.array([1, 2], mask=[True, False])
    assert c.from_numpy(masked).tolist() == [1, 2]


def test_the_sender_s_array_stays_its_own(c):
    array = np.arange(3)
    tensor = c.from_numpy(array)
    array[0] = 9
    assert tensor.tolist() == [0, 1, 2]
    tensor.numpy()[0] = 9
    assert tensor.tolist() == [0, 1, 2]


@pytest.mark.parametrize("size", [10, 70_000, 5_000_000])
def test_sizes_around_messages_and_chunks(c, size):
    array = np.random.default_rng(size).integers(-9, 9, size, np.int16)
    tensor = c.from_numpy(array)
    assert np.array_equal(tensor.numpy(), array)
    assert np.array_equal(tensor[size // 3 :: 7].numpy(), array[size // 3 :: 7])


def test_memory_order_is_kept_by_stores_and_casts(c):
    array = np.asfortranarray(np.arange(24.0).reshape(2, 3, 4))
    tensor = c.from_numpy(array)
    assert tensor.stride() == (1, 2, 6)
    assert tensor.half().stride() == (1, 2, 6)
    assert tensor.numpy().flags.f_contiguous
    moved = c.from_numpy(array.transpose(1, 0, 2))
    assert moved.numpy().strides == array.transpose(1, 0, 2).strides


def test_random_reads_equal_numpy(c):
    rng = np.random.default_rng(3)
    array = rng.normal(size=(6, 7, 8)).astype(np.float32)
    tensor = c.from_numpy(array)

    def random_term():
        kind = rng.integers(5)
        if kind == 0:
            return int(rng.integers(-6, 6))
        if kind == 1:
            return None
        bounds = [
            None if rng.random() < 0.3 else int(rng.integers(-9, 10))
            for _ in range(2)
        ]
        step = int(rng.choice([-3, -2, -1, 1, 2, 5]))
        return slice(*bounds, None if rng.random() < 0.4 else step)

    for _ in range(150):
        key = [random_term() for _ in range(rng.integers(0, 4))]
        if rng.random() < 0.3:
            key.insert(int(rng.integers(len(key) + 1)), Ellipsis)
        key = tuple(key)
        view = tensor[key]
        assert same(view.numpy(), np.asarray(array[key])), key
        assert view.shape == array[key].shape, key


def test_negative_steps_are_numpy_s(c):
    tensor = c.tensor([[0, 1, 2], [3, 4, 5]])
    assert tensor[::-1, ::-2].tolist() == [[5, 3], [2, 0]]
    assert tensor[::-1].stride() == (-3, 1)
    assert tensor[::-1].contiguous().stride() == (3, 1)


@pytest.mark.parametrize(
    "key",
    [
        True,
        np.True_,
        [0],
        [True, False],
        (0, [1]),
        np.array([0]),
        np.array([[True, False, True]]),
        (slice(None), np.array([0, 1])),
        range(2),
    ],
)
def test_advanced_indexing_is_refused_clearly(c, key):
    with pytest.raises(NotImplementedError, match="only basic indexing"):
        c.tensor([[0, 1, 2], [3, 4, 5]])[key]


def test_two_ellipses_are_refused(c):
    with pytest.raises(IndexError, match="single ellipsis"):
        c.tensor([[1]])[..., ...]


def test_narrow_floats_come_as_ml_dtypes(c):
    for dtype in (tensord.bfloat16, tensord.float8_e4m3fn, tensord.float8_e5m2):
        array = c.tensor([1.0, -2.5, 0.0], dtype=dtype).numpy()
        assert array.dtype == dtype.numpy_dtype
        assert array.astype(np.float32).tolist() == [1.0, -2.5, 0.0]
        assert np.asarray(c.from_numpy(array)).dtype == dtype.numpy_dtype


def test_reads_cast_and_take_an_overflow_policy(c):
    tensor = c.tensor([300.0, -1.5, 7.0])
    assert tensor.numpy(dtype="int16").tolist() == [300, -1, 7]
    assert tensor.numpy(dtype="uint8", overflow="saturate").tolist() == [
        255,
        0,
        7,
    ]
    with pytest.raises(OverflowError):
        tensor.numpy(dtype="uint8", overflow="error")
    assert tensor.dtype is tensord.float32


@pytest.mark.parametrize(
    "method",
    [
        "bool",
        "byte",
        "char",
        "short",
        "int",
        "long",
        "half",
        "bfloat16",
        "float",
        "double",
        "cfloat",
        "cdouble",
    ],
)
def test_cast_methods_take_an_overflow_policy(c, method):
    tensor = c.tensor([1e300, 0.0])
    cast = getattr(tensor, method)(overflow="saturate")
    assert cast.tolist() == tensor.to(cast.dtype, overflow="saturate").tolist()
    with pytest.raises(ValueError, match="overflow has to be"):
        getattr(tensor, method)(overflow="clamp")


def test_saturating_casts(c):
    tensor = c.tensor([1e300, -1e300, float("nan")], dtype="float64")
    assert tensor.int(overflow="saturate").tolist() == [2**31 - 1, -(2**31), 0]
    assert tensor.type("int8", overflow="saturate").tolist() == [127, -128, 0]
    assert c.tensor(
        np.array([300.0]), dtype="uint8", overflow="saturate"
    ).tolist() == [255]
    with pytest.raises(OverflowError):
        c.tensor(np.array([300.0]), dtype="uint8", overflow="error")


def test_conversion_reports(c):
    array = np.array([1.0, 2.5, -0.0, np.nan, 300.0, np.inf])
    tensor = c.from_numpy(array)
    assert tensor.conversion_report is None
    assert tensor.to("uint8").conversion_report is None
    told = tensor.to("uint8", overflow="saturate", report=True)
    expected = tensord.ConversionReport(
        rounded=1, overflowed=2, nan_to_integer=1, max_absolute_error=45.0
    )
    assert told.conversion_report == expected
    assert repr(expected) == (
        "ConversionReport(rounded=1, overflowed=2, nan_to_integer=1, "
        "max_absolute_error=45.0)"
    )
    made = c.tensor(array, "uint8", overflow="saturate", report=True)
    assert made.conversion_report == expected
    assert c[made.id].conversion_report is None
    assert made.detach().conversion_report is None


@pytest.mark.parametrize("count", [1000, 300_000])
def test_conversion_reports_agree_with_numpy(c, count):
    array = np.random.default_rng(7).normal(scale=300, size=count)
    for dtype in ("float32", "int16"):
        result = array.astype(dtype).astype(np.float64)
        error = np.abs(result - array)
        wanted = tensord.ConversionReport(
            int((error > 0).sum()), 0, 0, float(error.max())
        )
        made = c.tensor(array[::-1], dtype=dtype, report=True)
        assert made.conversion_report == wanted
    single = c.Tensor(array, report=True).conversion_report
    cast = c.tensor(array).type("torch.FloatTensor", report=True)
    assert cast.conversion_report == single
    assert single.rounded == count


def test_every_maker_that_is_asked_reports(c):
    nothing = tensord.ConversionReport(0, 0, 0, 0.0)
    array = np.arange(3.0)
    tensor = c.from_numpy(array, report=True)
    assert tensor.conversion_report == nothing
    # Even where nothing changes, there is a report.
    same = tensor.to("float64", report=True)
    assert same is not tensor
    assert same.conversion_report == nothing
    with pytest.warns(UserWarning):
        copy = c.tensor(tensor, "int8", report=True)
    assert copy.conversion_report == nothing
    with pytest.raises(TypeError, match="argument 'report' must be bool"):
        tensor.to("int8", report=1)
    with pytest.raises(TypeError, match=r"type\(\): argument 'report'"):
        tensor.type("int8", report="yes")
    with pytest.raises(OverflowError):
        c.tensor(np.array([300]), "uint8", overflow="error", report=True)


def test_out_takes_the_elements_without_a_copy(c):
    array = np.arange(12.0).reshape(3, 4)
    tensor = c.from_numpy(array)
    out = np.zeros((3, 4))
    assert tensor.numpy(out=out) is out
    assert np.array_equal(out, array)
    strided = np.zeros((3, 8))[:, ::2]
    assert tensor.numpy(out=strided) is strided
    assert np.array_equal(strided, array)
    narrow = np.zeros((3, 4), np.float16, order="F")
    assert np.array_equal(tensor.numpy(dtype="half", out=narrow), array)
    swapped = np.zeros((3, 4), ">f8")
    with pytest.raises(ValueError, match="out has dtype"):
        tensor.numpy(out=swapped)


@pytest.mark.parametrize(
    ("out", "error"),
    [
        (np.zeros((3, 4), np.float32), ValueError),
        (np.zeros((4, 3)), ValueError),
        ([0.0], TypeError),
        (np.broadcast_to(np.zeros(4), (3, 4)), ValueError),
    ],
)
def test_out_has_to_fit(c, out, error):
    with pytest.raises(error, match="out"):
        c.from_numpy(np.arange(12.0).reshape(3, 4)).numpy(out=out)


def test_asarray_and_dlpack(c):
    tensor = c.tensor([[1.0, 2.0]])
    assert np.asarray(tensor).tolist() == [[1.0, 2.0]]
    assert np.asarray(tensor, dtype=np.int8).dtype == np.int8
    assert np.array(tensor, copy=True).tolist() == [[1.0, 2.0]]
    assert np.from_dlpack(tensor).tolist() == [[1.0, 2.0]]
    assert tensor.__dlpack_device__() == (1, 0)
    with pytest.raises(ValueError, match="Unable to avoid copy"):
        tensor.__array__(copy=False)
    with pytest.raises(BufferError):
        np.from_dlpack(c.tensor([1.0], requires_grad=True))


def test_0_d_arrays_keep_their_shape_in_tensor(c):
    assert c.Tensor(np.array(3)).shape == ()
    assert repr(c.Tensor(np.array(3))) == "tensor(3.)"


def test_wide_unsigned_integers_are_integers(c):
    for data in (np.uint64(2**64 - 1), [np.uint64(2**64 - 1)]):
        tensor = c.tensor(data)
        assert tensor.dtype is tensord.uint64
        assert np.ravel(tensor.tolist()).tolist() == [2**64 - 1]
    wide = c.tensor(2**63, dtype="uint64")
    assert (int(wide), bool(wide), wide.__index__()) == (2**63, True, 2**63)
    assert c.tensor([0, 2.5], dtype="uint64").tolist() == [0, 2]


def test_views_share_storage_and_clones_do_not(c):
    tensor = c.tensor([[0.0, 1.0], [2.0, 3.0]])
    storage = tensor._info["storage_id"]
    for view in (tensor.T, tensor[1], tensor.detach(), tensor.view(4)):
        assert view._info["storage_id"] == storage
    for other in (tensor.clone(), tensor.double(), tensor.T.contiguous()):
        assert other._info["storage_id"] != storage


def test_requires_grad_reaches_other_handles(c):
    with c.tensor([1.0], name="grad/1") as tensor:
        tensor.requires_grad_()
        assert c["grad/1"].requires_grad
        tensor.requires_grad = False
        assert not c["grad/1"].requires_grad


def test_sixty_four_dimensions(c):
    tensor = c.from_numpy(np.ones((1,) * 64))
    assert tensor.ndim == 64
    assert tensor.numpy().shape == (1,) * 64
    with pytest.raises(RuntimeError):
        tensor[None]


def test_every_pair_of_dtypes_casts(c):
    source = np.array([0, 1, 100])
    for a, b in itertools.product(ALL_DTYPES, repeat=2):
        first = source.astype(a.numpy_dtype)
        back = c.from_numpy(first).to(b).numpy()
        assert back.dtype == b.numpy_dtype
        values = back.real if back.dtype.kind == "c" else back
        wanted = first.real if a.is_complex else first
        wanted = wanted.astype(np.float64)
        exact = b.is_complex or b.itemsize > 1 or not b.is_floating_point
        if exact and b is not tensord.bool:
            assert values.astype(np.float64).tolist() == wanted.tolist(), (a, b)
