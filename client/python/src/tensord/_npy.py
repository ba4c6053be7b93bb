"""Arrays in .npy files, as they are and within other files."""

from __future__ import annotations

import os
from typing import IO

import numpy as np

from tensord import _native as native
from tensord._dtype import ALL_DTYPES, BY_NAME, dtype
from tensord.errors import InvalidArgumentError, InvalidTypeError

# What NumPy writes without saying what it is.
_NAMELESS = frozenset(
    BY_NAME[name] for name in ("bfloat16", "float8_e4m3fn", "float8_e5m2")
)


def map_array(
    file: IO[bytes], start: int, size_bytes: int, wanted: dtype | None
) -> np.ndarray:
    """The array of a .npy within a file, mapped read-only.

    `wanted` says what elements are that NumPy has no name for.
    """
    file.seek(start)
    code, big_endian, shape, fortran_order, header_bytes = (
        native.read_npy_header(
            file.read(min(native.MAX_NPY_HEADER_BYTES, size_bytes)),
            size_bytes,
            wanted._code if wanted in _NAMELESS else None,
        )
    )
    return map_elements(
        file,
        start + header_bytes,
        ALL_DTYPES[code],
        shape,
        big_endian=big_endian,
        fortran_order=fortran_order,
    )


def map_elements(
    file: IO[bytes],
    offset: int,
    element: dtype,
    shape: tuple[int, ...],
    *,
    big_endian: bool = False,
    fortran_order: bool = False,
) -> np.ndarray:
    """Elements that begin at `offset`, mapped read-only.

    The file has to have them all.
    """
    there = os.fstat(file.fileno()).st_size - offset
    needed = element.itemsize
    for size in shape:
        needed *= size
    if needed > there:
        raise InvalidArgumentError(
            f"{there} bytes of elements where shape {list(shape)} of "
            f"{element._name} has {needed}",
            reason="SIZE_MISMATCH",
        )
    kind = element.numpy_dtype
    if big_endian:
        kind = kind.newbyteorder(">")
    if needed == 0:
        return np.empty(shape, kind)
    order = "F" if fortran_order else "C"
    return map_region(file, "r", offset, kind, shape, order)


def map_region(
    file: IO[bytes],
    mode: str,
    offset: int,
    element: np.dtype,
    shape: tuple[int, ...],
    order: str = "C",
) -> np.ndarray:
    """Elements that begin at `offset`, mapped. REQUIRES: there are some."""
    # np.memmap does not take the types of ml_dtypes.
    raw = np.dtype(f"V{element.itemsize}")
    mapped: np.ndarray = np.memmap(  # type: ignore[call-overload]
        file, raw, mode, offset, shape, order
    )
    return mapped.view(element)


def header(element: dtype, shape: tuple[int, ...]) -> bytes:
    """The header of an array in C order, as NumPy writes it."""
    if element in _NAMELESS:
        raise InvalidTypeError(
            f"files of NumPy can not carry {element._name}: save as "
            ".safetensors, or with dtype='float32'",
            reason="DTYPE_UNSUPPORTED",
        )
    return native.write_npy_header(element._code, shape)
