"""Nested lists and numbers become arrays, by the rules of torch.tensor."""

from __future__ import annotations

import functools
import itertools
import operator
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from tensord._arguments import is_tensor
from tensord._array import array_dtype
from tensord._dtype import BY_NAME, dtype, promote, to_dtype, type_name
from tensord.errors import InvalidArgumentError, InvalidTypeError, StateError

# NumPy's limit, and the server's.
_MAX_DIMENSIONS = 64
_INT64_MIN, _INT64_MAX = -(2**63), 2**63 - 1


def _is_text(value: object) -> bool:
    return isinstance(value, (str, bytes))


def is_sequence(value: object) -> bool:
    """Whether a value is a list of values, in the widest sense.

    Tensors in a server are not: each stands for its one element.
    """
    if _is_text(value) or isinstance(value, (np.generic, Mapping)):
        return False
    if is_tensor(value):
        return False
    cls = type(value)
    return hasattr(cls, "__len__") and hasattr(cls, "__getitem__")


def _length(value: Any, expected: int | None, dim: int) -> int:
    if not is_sequence(value):
        raise InvalidTypeError("not a sequence")
    try:
        length = len(value)
    except TypeError as error:
        raise InvalidTypeError(str(error)) from None
    if expected is not None and length != expected:
        raise InvalidArgumentError(
            f"expected sequence of length {expected} at dim {dim} "
            f"(got {length})"
        )
    return length


def _flatten(data: Any) -> tuple[tuple[int, ...], list[Any]]:
    """The shape of nested sequences, and what is in the innermost ones."""
    shape: list[int] = []
    level = [data]
    while level and is_sequence(level[0]):
        if len(shape) == _MAX_DIMENSIONS:
            raise InvalidArgumentError(
                f"too many dimensions '{type_name(level[0])}'"
            )
        dim = len(shape)
        length = _length(level[0], None, dim)
        for value in level:
            _length(value, length, dim)
        shape.append(length)
        level = list(itertools.chain.from_iterable(level))
    return tuple(shape), level


def _dtype_of_scalar(value: Any) -> dtype:
    if isinstance(value, np.generic):
        return array_dtype(np.asarray(value))
    if is_tensor(value):
        return to_dtype(value.dtype, "tensor")
    for python_type, name in (
        (bool, "bool"),
        (int, "int64"),
        (float, "float32"),
        (complex, "complex64"),
    ):
        if isinstance(value, python_type):
            return BY_NAME[name]
    raise StateError(
        f"Could not infer dtype of {type_name(value)}",
        code="INVALID_ARGUMENT",
    )


def _infer_dtype(leaves: list[Any]) -> dtype:
    one_of_each = {
        (type(leaf), leaf.dtype if is_tensor(leaf) else None): leaf
        for leaf in leaves
    }
    scalars = [v for v in one_of_each.values() if not is_sequence(v)]
    found = list(map(_dtype_of_scalar, scalars))
    return functools.reduce(promote, found) if found else BY_NAME["float32"]


def _to_float(value: Any) -> float:
    if isinstance(value, complex) or not hasattr(value, "__float__"):
        try:
            return float(operator.index(value))
        except TypeError:
            raise InvalidTypeError(
                f"must be real number, not {type_name(value)}"
            ) from None
    return float(value)


def _to_complex(value: Any) -> complex:
    if hasattr(type(value), "__complex__"):
        return complex(value)
    return complex(_to_float(value))


def _overflow(target: dtype) -> StateError:
    return StateError(
        f"value cannot be converted to type {target._name} without overflow",
        code="INVALID_ARGUMENT",
    )


def _whole_number(value: Any, target: dtype) -> int | float:
    """A value as an int; floats keep their fraction, which counts for the
    range."""
    if isinstance(value, (float, np.floating)):
        return float(value)
    try:
        return operator.index(value)
    except TypeError as error:
        raise InvalidTypeError(str(error)) from None


def _check_wide(value: int, target: dtype) -> None:
    """Refuses what no 64 bits hold."""
    if target._name == "uint64":
        if value < 0:
            raise OverflowError("can't convert negative int to unsigned")
        if value >= 2**64:
            raise OverflowError("int too big to convert")
    elif not _INT64_MIN <= value <= _INT64_MAX:
        raise InvalidArgumentError("Overflow when unpacking long long")


def _to_integer(value: Any, target: dtype) -> int:
    number = _whole_number(value, target)
    if isinstance(number, int):
        _check_wide(number, target)
    limits = np.iinfo(target.numpy_dtype)
    low, high = int(limits.min), int(limits.max)
    # Negative ints wrap around in unsigned types; negative floats do not.
    if isinstance(number, int) and not target.is_signed:
        low = -high
    # Floats lose their fraction; NaN is refused, too.
    if not low <= number < high + 1:
        raise _overflow(target)
    return int(number) & high if number < 0 and low == -high else int(number)


def _converter(target: dtype) -> tuple[Callable[[Any], Any], Any]:
    """What turns a leaf into Python's number, and the array that takes it."""
    if target._name == "bool":
        return bool, np.bool_
    if target.is_complex:
        return _to_complex, np.complex128
    if target.is_floating_point:
        return _to_float, np.float64
    return functools.partial(_to_integer, target=target), target.numpy_dtype


def _check_text(leaves: list[Any], nested: bool) -> None:
    text = next(filter(_is_text, leaves), None)
    if text is None:
        return
    if nested:
        raise InvalidArgumentError(f"too many dimensions '{type_name(text)}'")
    raise InvalidTypeError(f"new(): invalid data type '{type_name(text)}'")


def array_from_data(
    data: Any, target: dtype | None
) -> tuple[np.ndarray, dtype]:
    """An array of the elements of `data`, and the dtype they are to get.

    The array has that dtype, but for floats of 16 and 8 bits: those come as
    float64, and narrowing them is the server's business.
    """
    shape, leaves = _flatten(data)
    _check_text(leaves, bool(shape))
    chosen = target or _infer_dtype(leaves)
    convert, holder = _converter(chosen)
    array = np.fromiter(map(convert, leaves), holder, len(leaves))
    array = array.reshape(shape)
    if chosen.is_complex or chosen.itemsize >= 4:
        with np.errstate(over="ignore"):
            array = array.astype(chosen.numpy_dtype, copy=False)
    return array, chosen
