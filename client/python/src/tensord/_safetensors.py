"""Headers of .safetensors files.

A file is eight bytes with the length of the header, the header in JSON, and
the elements of all tensors without gaps, little-endian and in C order.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import IO, Any, NamedTuple

import numpy as np

from tensord import _npy
from tensord._dtype import BY_NAME, dtype
from tensord.errors import InvalidArgumentError, InvalidTypeError

_LENGTH_BYTES = 8
# That of the format's own library.
_MAX_HEADER_BYTES = 100_000_000
_METADATA = "__metadata__"

_NAMES = {
    "bool": "BOOL",
    "uint8": "U8",
    "uint16": "U16",
    "uint32": "U32",
    "uint64": "U64",
    "int8": "I8",
    "int16": "I16",
    "int32": "I32",
    "int64": "I64",
    "float16": "F16",
    "bfloat16": "BF16",
    "float32": "F32",
    "float64": "F64",
    "complex64": "C64",
    "float8_e4m3fn": "F8_E4M3",
    "float8_e5m2": "F8_E5M2",
}
_DTYPES = {theirs: BY_NAME[ours] for ours, theirs in _NAMES.items()}


def _damaged(why: str) -> InvalidArgumentError:
    return InvalidArgumentError(
        f"no .safetensors: {why}", reason="FILE_DAMAGED"
    )


class _Entry(NamedTuple):
    name: str
    dtype: dtype
    shape: tuple[int, ...]
    begin: int
    end: int


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands there twice")
    return found


def _is_natural(value: object) -> bool:
    return type(value) is int and 0 <= value < 2**63


def _entry(name: str, value: Any) -> _Entry:
    try:
        element, shape = value["dtype"], value["shape"]
        begin, end = value["data_offsets"]
        natural = all(map(_is_natural, [*shape, begin, end]))
    except (TypeError, KeyError, ValueError):
        natural = False
    if not natural:
        raise _damaged(f"no dtype, shape and data_offsets of {name!r}")
    if element not in _DTYPES:
        raise InvalidTypeError(
            f"{name!r} has elements of type {str(element)[:40]!r}, which "
            "tensors can not have",
            reason="DTYPE_UNSUPPORTED",
        )
    found = _DTYPES[element]
    size_bytes = found.itemsize
    for size in shape:
        size_bytes *= size
    if end - begin != size_bytes:
        raise _damaged(
            f"{name!r} has {end - begin} bytes where shape {shape} of "
            f"{found._name} has {size_bytes}"
        )
    return _Entry(name, found, tuple(shape), begin, end)


def _parse_header(file: IO[bytes]) -> list[_Entry]:
    length = int.from_bytes(file.read(_LENGTH_BYTES), "little")
    there = os.fstat(file.fileno()).st_size - _LENGTH_BYTES
    limit = min(there, _MAX_HEADER_BYTES)
    if not 0 < length <= limit:
        raise _damaged(
            f"a header of {length} bytes, where it can have {max(limit, 0)}"
        )
    try:
        parsed = json.loads(
            file.read(length), object_pairs_hook=_without_repeats
        )
    except (ValueError, RecursionError) as error:
        raise _damaged(f"a header that can not be read ({error})") from None
    if not isinstance(parsed, dict):
        raise _damaged("the header is no JSON object")
    parsed.pop(_METADATA, None)
    entries = [_entry(name, value) for name, value in parsed.items()]
    _check_gaps(entries, there - length)
    return entries


def _check_gaps(entries: list[_Entry], size_bytes: int) -> None:
    """Refuses bytes that belong to no tensor, or to two."""
    position = 0
    for entry in sorted(entries, key=lambda entry: (entry.begin, entry.end)):
        if entry.begin != position:
            raise _damaged(
                f"{entry.name!r} begins at byte {entry.begin}, where "
                f"{position} follows"
            )
        position = entry.end
    if position != size_bytes:
        raise _damaged(
            f"{size_bytes} bytes of elements where the header has {position}"
        )


def map_arrays(file: IO[bytes]) -> dict[str, np.ndarray]:
    """The arrays of a file by name, mapped read-only."""
    entries = _parse_header(file)
    start = file.tell()
    return {
        entry.name: _npy.map_elements(
            file,
            start + entry.begin,
            entry.dtype,
            entry.shape,
        )
        for entry in entries
    }


class Plan(NamedTuple):
    """How a file is laid out."""

    header: bytes
    # In the order of their elements.
    names: list[str]


def plan(specs: Mapping[str, tuple[dtype, tuple[int, ...]]]) -> Plan:
    """Lays a file out so that all elements are aligned to their size."""
    names = sorted(specs, key=lambda name: (-specs[name][0].itemsize, name))
    entries: dict[str, Any] = {}
    position = 0
    for name in names:
        element, shape = specs[name]
        if element._name not in _NAMES:
            raise InvalidTypeError(
                f".safetensors can not carry {element._name}: save as .npy, "
                "or with dtype='complex64'",
                reason="DTYPE_UNSUPPORTED",
            )
        if name == _METADATA:
            raise InvalidArgumentError(
                f"no tensor of a .safetensors can be called {name}",
                reason="NAME_INVALID",
            )
        end = position + element.itemsize * int(np.prod(shape, dtype=object))
        entries[name] = {
            "dtype": _NAMES[element._name],
            "shape": list(shape),
            "data_offsets": [position, end],
        }
        position = end
    text = json.dumps(entries, ensure_ascii=False, separators=(",", ":"))
    header = text.encode()
    header += b" " * (-len(header) % _LENGTH_BYTES)
    return Plan(len(header).to_bytes(_LENGTH_BYTES, "little") + header, names)
