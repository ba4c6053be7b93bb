"""Casts beside those of NumPy and ml_dtypes, and of PyTorch where it is installed.

All values of the narrow dtypes and many of the wide ones, bit for bit. What is left
out, because libraries differ or leave it undefined, is named here and has a row in
client/semantics.md. NaNs are compared as NaNs: their bits are our own rule.
"""

import warnings

import numpy as np
import pytest
import tensord
from tensord._dtype import ALL_DTYPES

try:
    import torch
except ImportError:
    torch = None

WIDE_COUNT = 100_000
NAMES = [repr(dtype).removeprefix("tensord.") for dtype in ALL_DTYPES]
NARROW_FLOATS = ("float16", "bfloat16", "float8_e4m3fn", "float8_e5m2")


def numpy_dtype(name):
    return np.dtype(getattr(tensord, name).numpy_dtype)


def is_integer(name):
    return "int" in name


def is_complex(name):
    return "complex" in name


def all_values(name):
    dtype = numpy_dtype(name)
    if name == "bool":
        return np.array([False, True])
    if dtype.itemsize <= 2:
        codes = np.arange(256**dtype.itemsize, dtype=np.uint32)
        return codes.astype(f"u{dtype.itemsize}").view(dtype)
    rng = np.random.default_rng(dtype.num)
    if is_integer(name):
        bits = rng.integers(0, 2**64, WIDE_COUNT, np.uint64, endpoint=False)
        # Of every width, so that narrow destinations see what they hold.
        bits >>= rng.integers(0, 64, WIDE_COUNT).astype(np.uint64)
        numbers = bits.view(np.int64) * rng.choice([-1, 1], WIDE_COUNT)
        return numbers.astype(dtype)
    part = np.dtype(f"f{dtype.itemsize // 2}") if is_complex(name) else dtype
    raw = rng.bytes(WIDE_COUNT * part.itemsize)
    numbers = np.frombuffer(raw, part).copy()
    # Half of them where narrow floats and integers have values; some half way.
    some = WIDE_COUNT // 2
    small = np.exp2(rng.uniform(-30, 40, some)) * rng.choice([-1, 1], some)
    small[::2] = np.round(small[::2] * 16) / 16
    numbers[:some] = small
    return np.ascontiguousarray(
        np.stack([numbers, rng.permutation(numbers)], axis=-1)
    ).view(dtype)[:, 0] if is_complex(name) else numbers


def real_part(array):
    """What a real destination takes, as numbers that hold it exactly."""
    if array.dtype.kind == "c":
        return array.real
    if array.dtype.kind in "biu":
        return array
    with np.errstate(invalid="ignore"):
        return array.astype(np.float64)


def fits_integer(array, name):
    """Where the truncated values are among those of an integer dtype."""
    number = real_part(array)
    if number.dtype.kind in "biu":
        return np.ones(number.shape, bool)
    info = np.iinfo(numpy_dtype(name))
    end = np.ldexp(1.0, int(info.max).bit_length())
    with np.errstate(invalid="ignore"):
        return (np.trunc(number) >= float(info.min)) & (number < end)


def through_float(array):
    """PyTorch's rule: what becomes a narrow float is a float32 first."""
    number = array.real if array.dtype.kind == "c" else array
    return number.astype(np.float32)


def assert_same(ours, theirs, compared, source):
    """Equal bits, or NaN on both sides, where `compared`."""
    assert ours.dtype == theirs.dtype
    size = ours.dtype.itemsize
    parts = ours.dtype.kind == "c"
    a = ours.view(f"f{size // 2}") if parts else ours
    b = theirs.view(f"f{size // 2}") if parts else theirs
    unsigned = f"u{a.dtype.itemsize}"
    same = a.view(unsigned) == b.view(unsigned)
    if a.dtype.kind not in "biu":
        with np.errstate(invalid="ignore"):
            same |= np.isnan(a) & np.isnan(b)
    if parts:
        same = same.reshape(-1, 2).all(axis=1)
    wrong = np.flatnonzero(~same & compared)
    assert wrong.size == 0, (
        f"{wrong.size} differ, first {source[wrong[0]]!r}: "
        f"{ours[wrong[0]]!r}, not {theirs[wrong[0]]!r}"
    )


@pytest.mark.parametrize("name", NAMES)
def test_casts_as_numpy_and_ml_dtypes_do(c, name):
    values = all_values(name)
    for to in NAMES:
        ours = c.convert(values, to)
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore", np.exceptions.ComplexWarning)
            # NumPy and ml_dtypes round float64 to narrow floats once.
            taken = through_float(values) if to in NARROW_FLOATS else values
            if name == to:
                taken = values
            theirs = taken.astype(numpy_dtype(to))
        # What does not fit is undefined in NumPy.
        compared = (
            fits_integer(values, to)
            if is_integer(to)
            else np.ones(values.shape, bool)
        )
        assert_same(ours, theirs, compared, values)


def to_torch(array, name):
    raw = torch.from_numpy(array.view(np.uint8).copy())
    return raw.view(getattr(torch, name))


@pytest.mark.skipif(torch is None, reason="PyTorch is not installed")
@pytest.mark.parametrize("name", NAMES)
def test_casts_as_torch_does(c, name):
    values = all_values(name)
    source = to_torch(values, name)
    for to in NAMES:
        ours = c.convert(values, to)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            cast = source.to(getattr(torch, to))
        raw = cast.contiguous().view(torch.uint8).numpy()
        theirs = np.frombuffer(raw.tobytes(), numpy_dtype(to))
        compared = np.ones(values.shape, bool)
        if is_integer(to) and to in ("uint32", "uint64"):
            # Vector bodies and tails of PyTorch differ about what does not fit.
            compared = fits_integer(values, to)
        if to == "float8_e4m3fn" and name != to:
            # 2.15 saturates; others give NaN, as we do.
            with np.errstate(all="ignore"):
                compared = np.abs(through_float(values)) < 464
        assert_same(ours, theirs, compared, values)
