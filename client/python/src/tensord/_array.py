"""NumPy arrays on their way to and from the native module."""

from __future__ import annotations

import math
import sys
from typing import Any, NamedTuple

import numpy as np

from tensord import _native
from tensord._dtype import ALL_DTYPES, BY_NAME, dtype, from_numpy_dtype
from tensord.errors import InvalidArgumentError, InvalidTypeError

_SUPPORTED = (
    "float64, float32, float16, complex64, complex128, int64, int32, int16, "
    "int8, uint64, uint32, uint16, uint8, and bool"
)

_REASONS = {"O": "DTYPE_OBJECT_FORBIDDEN", "V": "DTYPE_STRUCTURED_UNSUPPORTED"}


def array_dtype(array: np.ndarray) -> dtype:
    """The dtype of an array; refuses those that tensors can not have."""
    found = from_numpy_dtype(array.dtype)
    if found is not None:
        return found
    scalar = array.dtype.type
    raise InvalidTypeError(
        f"can't convert np.ndarray of type {scalar.__module__}."
        f"{scalar.__name__}. The only supported types are: {_SUPPORTED}.",
        reason=_REASONS.get(array.dtype.kind, "DTYPE_UNSUPPORTED"),
    )


class Source(NamedTuple):
    """An array as the native module takes it."""

    # The elements as raw bytes of their size, because NumPy exports no buffers
    # of ml_dtypes' types.
    buffer: np.ndarray
    dtype: int
    big_endian: bool


def to_source(array: np.ndarray) -> Source:
    """Makes an array ready to be sent, without a copy if it can be."""
    element = array_dtype(array)
    plain = np.asarray(array)
    itemsize = element.itemsize
    if any(stride % itemsize for stride in plain.strides):
        plain = plain.copy()
    order = plain.dtype.byteorder
    big_endian = order == ">" or (order == "=" and sys.byteorder == "big")
    return Source(plain.view(f"V{itemsize}"), element._code, big_endian)


class Destination(NamedTuple):
    """An array to be filled, and its memory as the native module takes it."""

    array: np.ndarray
    memory: np.ndarray


# The native module's layout of an array: dtype, shape, strides in bytes, size.
Layout = tuple[int, tuple[int, ...], tuple[int, ...], int]


def allocate(layout: Layout) -> Destination:
    """A writable array of a layout, not filled yet."""
    code, shape, strides, size_bytes = layout
    element = ALL_DTYPES[code].numpy_dtype
    memory = np.empty(size_bytes, np.uint8)
    if size_bytes == 0:
        return Destination(np.empty(shape, element), memory)
    return Destination(
        np.ndarray(shape, element, buffer=memory, strides=strides), memory
    )


def check_out(out: Any, layout: Layout) -> None:
    """Refuses an ``out=`` that can not take what a read returns."""
    if not isinstance(out, np.ndarray):
        raise InvalidTypeError(
            f"out has to be an np.ndarray (got {type(out).__name__})"
        )
    wanted = ALL_DTYPES[layout[0]].numpy_dtype
    if out.dtype != wanted or out.shape != layout[1]:
        raise InvalidArgumentError(
            f"out has dtype {out.dtype} and shape {list(out.shape)}; the "
            f"result has dtype {wanted} and shape {list(layout[1])}"
        )
    if not out.flags.writeable:
        raise InvalidArgumentError("out is not writable")


def memory_of(out: np.ndarray, layout: Layout) -> np.ndarray | None:
    """The bytes of `out`, if they lie as a read of `layout` writes them."""
    _, shape, strides, size_bytes = layout
    lies_alike = out.dtype.isnative and all(
        size <= 1 or mine == theirs
        for size, mine, theirs in zip(shape, out.strides, strides, strict=True)
    )
    if not lies_alike or size_bytes == 0 or math.prod(shape) == 0:
        return None
    # Of raw bytes, as stride_tricks does not take the types of ml_dtypes.
    return np.lib.stride_tricks.as_strided(
        out.view(f"V{out.itemsize}"),
        (out.size,),
        (out.itemsize,),
        writeable=True,
    )


# What NumPy can not export through DLPack: the codes that DLPack has for it.
DLPACK_TYPES = {
    BY_NAME["bfloat16"]: 4,
    BY_NAME["float8_e4m3fn"]: 10,
    BY_NAME["float8_e5m2"]: 12,
}


def to_dlpack(array: np.ndarray, element: dtype) -> object:
    """A DLPack capsule of an array of one of DLPACK_TYPES."""
    raw = array.view(f"V{element.itemsize}")
    return _native.to_dlpack(raw, DLPACK_TYPES[element])
