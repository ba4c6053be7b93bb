"""Every cast, bit by bit beside PyTorch, NumPy and ml_dtypes.

All values of 8 and 16 bits, and of the wider dtypes random ones and those at
the edges of what others hold. PyTorch is compared where it is installed.
"""

import pathlib
import warnings
from collections.abc import Callable
from typing import NamedTuple

import ml_dtypes
import numpy as np
import pytest
from tensord._dtype import ALL_DTYPES, BY_NAME

try:
    import torch
except ImportError:
    torch = None

SEMANTICS = pathlib.Path(__file__).parents[3] / "client/SEMANTICS.md"
RANDOM_ELEMENTS = 100_000
SMALL_FLOATS = (
    np.float16,
    ml_dtypes.bfloat16,
    ml_dtypes.float8_e4m3fn,
    ml_dtypes.float8_e5m2,
)


# What is legitimate.


def is_integer(dtype):
    return dtype.numpy_dtype.kind in "iu"


def is_real_float(dtype):
    return dtype.is_floating_point


def is_inexact(dtype):
    return is_real_float(dtype) or dtype.is_complex


def real_parts(array):
    return (array.real if array.dtype.kind == "c" else array).astype(float)


def is_nan(array, to):
    return np.isnan(real_parts(array))


def is_signalling_nan(array, to):
    return np.isnan(array) & (array.view(np.uint16) & 0x200 == 0)


def truncates_to_none(array, to):
    limits = np.iinfo(to.numpy_dtype)
    whole = np.trunc(real_parts(array))
    return ~((whole >= float(limits.min)) & (whole < float(limits.max + 1)))


def leaves_int32_and_uint32(array, to):
    whole = np.trunc(real_parts(array))
    return ~((whole >= -(2.0**31)) & (whole < 2.0**32))


def is_beyond_448(array, to):
    return np.abs(real_parts(array)) > 464


def is_rounded_twice(array, to):
    once = array.astype(np.float16)
    return once != array.astype(np.float32).astype(np.float16)


class Difference(NamedTuple):
    """Elements whose results differ, and the row of SEMANTICS.md about it."""

    row: str
    applies: Callable  # to a source and a destination
    where: Callable  # of an array of the source, given the destination


TORCH_DIFFERENCES = [
    Difference(
        "NaN → float16, from the other floats",
        lambda source, to: is_inexact(source) and to.numpy_dtype == np.float16,
        is_nan,
    ),
    Difference(
        "NaN → bfloat16",
        lambda source, to: is_inexact(source) and repr(to) == "tensord.bfloat16",
        is_nan,
    ),
    Difference(
        "float16 NaN → float32",
        lambda source, to: (
            source.numpy_dtype == np.float16 and to.numpy_dtype == np.float32
        ),
        is_nan,
    ),
    Difference(
        "beyond 448, and infinity, → float8_e4m3fn",
        lambda source, to: repr(to) == "tensord.float8_e4m3fn",
        is_beyond_448,
    ),
    Difference(
        "float → uint32, outside -2^31 … 2^32",
        lambda source, to: is_inexact(source) and to.numpy_dtype == np.uint32,
        leaves_int32_and_uint32,
    ),
]

NUMPY_DIFFERENCES = [
    Difference(
        "float → integer, of what does not fit",
        lambda source, to: is_inexact(source) and is_integer(to),
        truncates_to_none,
    ),
    Difference(
        "float64 → float16",
        lambda source, to: (
            source.numpy_dtype in (np.float64, np.complex128)
            and to.numpy_dtype == np.float16
        ),
        is_rounded_twice,
    ),
    Difference(
        "NaN → float16, from float32 and float64",
        lambda source, to: (
            source.numpy_dtype.kind in "fc" and to.numpy_dtype == np.float16
        ),
        is_nan,
    ),
    Difference(
        "NaN → float8_e5m2",
        lambda source, to: is_inexact(source) and repr(to) == "tensord.float8_e5m2",
        is_nan,
    ),
    Difference(
        "float16 signalling NaN → wider floats",
        lambda source, to: (
            source.numpy_dtype == np.float16 and to.numpy_dtype.kind in "fc"
        ),
        is_signalling_nan,
    ),
    Difference(
        "float8 NaN → wider floats",
        lambda source, to: (
            source.itemsize == 1 and is_inexact(source) and to.numpy_dtype.kind in "fc"
        ),
        is_nan,
    ),
]


@pytest.mark.parametrize(
    "row", [one.row for one in TORCH_DIFFERENCES + NUMPY_DIFFERENCES]
)
def test_differences_are_documented(row):
    assert f"\n| {row} |" in SEMANTICS.read_text(encoding="utf-8")


# What is cast.


def edges():
    """Numbers of the small floats, and those half way between two of them."""
    found = [[0.0, np.inf, np.nan]]
    for small in SMALL_FLOATS:
        bits = np.dtype(small).itemsize * 8
        codes = np.arange(2 ** (bits - 1), dtype=f"u{bits // 8}").view(small)
        numbers = codes.astype(float)
        numbers = numbers[np.isfinite(numbers)]
        beyond = 2 * numbers[-1] - numbers[-2]
        numbers = np.append(numbers, beyond)
        found += [numbers, (numbers[:-1] + numbers[1:]) / 2]
    found += [2.0 ** np.arange(-160, 130)]
    magnitudes = np.unique(np.concatenate(found))
    return np.concatenate([magnitudes, -magnitudes])


def float_inputs(rng, numpy_type):
    near = edges().astype(numpy_type)
    bits = rng.bytes(RANDOM_ELEMENTS * near.itemsize)
    scales = 10.0 ** rng.integers(-10, 25, RANDOM_ELEMENTS)
    return np.concatenate(
        [
            np.frombuffer(bits, numpy_type),
            (rng.normal(size=RANDOM_ELEMENTS) * scales).astype(numpy_type),
            near,
            np.nextafter(near, numpy_type(np.inf)),
            np.nextafter(near, numpy_type(-np.inf)),
        ]
    )


def integer_inputs(rng, dtype):
    width = 8 * dtype.itemsize
    unsigned = np.dtype(f"u{dtype.itemsize}")
    bits = np.frombuffer(rng.bytes(RANDOM_ELEMENTS * dtype.itemsize), unsigned)
    narrow = bits >> rng.integers(0, width, bits.size).astype(unsigned)
    whole = edges()
    whole = whole[(whole >= 0) & (whole < 2.0**width)].astype(unsigned)
    beside = [whole + unsigned.type(one) for one in (0, 1, 2)]
    beside += [whole - unsigned.type(one) for one in (1, 2)]
    some = np.concatenate([bits, narrow, *beside])
    return np.concatenate([some, ~some + unsigned.type(1)]).view(dtype.numpy_dtype)


def inputs(dtype):
    rng = np.random.default_rng(dtype._code)
    numpy_dtype = dtype.numpy_dtype
    if numpy_dtype == np.bool_:
        return np.array([False, True] * 40)
    if dtype.itemsize <= 2:
        codes = np.arange(256**dtype.itemsize, dtype=f"u{dtype.itemsize}")
        return codes.view(numpy_dtype)
    if is_integer(dtype):
        return integer_inputs(rng, dtype)
    if not dtype.is_complex:
        return float_inputs(rng, numpy_dtype.type)
    part = np.float32 if dtype.itemsize == 8 else np.float64
    parts = rng.permutation(float_inputs(rng, part))
    return parts[: parts.size // 2 * 2].view(numpy_dtype)


# Who casts.


def bytes_of(array):
    flat = np.ascontiguousarray(array).reshape(-1)
    return flat.view(np.uint8).reshape(flat.size, flat.itemsize)


def torch_cast(array, source, to):
    def torch_dtype(dtype):
        return getattr(torch, repr(dtype).removeprefix("tensord."))

    theirs = torch.from_numpy(bytes_of(array).reshape(-1).copy())
    theirs = theirs.view(torch_dtype(source)).to(torch_dtype(to))
    return theirs.view(torch.uint8).numpy().view(to.numpy_dtype)


def expect_same(array, ours, theirs, to, differences):
    """Fails with the first element that differs where none of them says so."""
    unlike = (bytes_of(ours) != bytes_of(theirs)).any(axis=1)
    source = BY_NAME[str(array.dtype)]
    for one in differences:
        if one.applies(source, to):
            unlike &= ~one.where(array, to)
    if not unlike.any():
        return
    at = int(np.flatnonzero(unlike)[0])
    element = bytes_of(array[at : at + 1])[0, ::-1].tobytes().hex()
    pytest.fail(
        f"{source} {array[at]!r} ({element}) to {to} is {ours[at]!r}, not"
        f" {theirs[at]!r}; {int(unlike.sum())} differ"
    )


@pytest.fixture(autouse=True)
def quiet():
    """Dropped imaginary parts and values out of range are the subject."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        yield


@pytest.mark.parametrize("source", ALL_DTYPES, ids=repr)
def test_casts_are_numpys(c, source):
    array = inputs(source)
    for to in ALL_DTYPES:
        theirs = array.astype(to.numpy_dtype)
        expect_same(array, c.convert(array, to), theirs, to, NUMPY_DIFFERENCES)


@pytest.mark.skipif(torch is None, reason="PyTorch is not installed")
@pytest.mark.parametrize("source", ALL_DTYPES, ids=repr)
def test_casts_are_torchs(c, source):
    array = inputs(source)
    for to in ALL_DTYPES:
        theirs = torch_cast(array, source, to)
        expect_same(array, c.convert(array, to), theirs, to, TORCH_DIFFERENCES)


@pytest.mark.parametrize("small", SMALL_FLOATS, ids=lambda one: one.__name__)
@pytest.mark.parametrize("wide", ["float64", "int64", "uint64"])
def test_wide_numbers_are_rounded_twice(c, wide, small):
    array = inputs(BY_NAME[wide])
    array = array[~np.isnan(array.astype(float))]
    theirs = array.astype(np.float32).astype(small)
    to = BY_NAME[str(np.dtype(small))]
    expect_same(array, c.convert(array, to), theirs, to, [])
