"""Keys of ``t[...]``: basic indexing."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from tensord._dtype import type_name
from tensord._infer import is_sequence
from tensord.errors import (
    InvalidArgumentError,
    InvalidTypeError,
    OutOfRangeError,
    UnimplementedError,
)

_INT64_MIN, _INT64_MAX = -(2**63), 2**63 - 1

# A term as the native module takes it: an int, a slice's three bounds,
# Ellipsis or None.
Term = Any


def _advanced(value: object) -> UnimplementedError:
    return UnimplementedError(
        "only basic indexing is supported: integers, slices (`:`), ellipsis "
        f"(`...`) and None (got {type_name(value)})"
    )


def _bound(value: Any) -> int | None:
    if value is None:
        return None
    try:
        number = operator.index(value)
    except TypeError:
        raise InvalidTypeError(
            "slice indices must be integers or None or have an __index__ method"
        ) from None
    return min(max(number, _INT64_MIN), _INT64_MAX)


def _slice_term(key: slice) -> Term:
    step = _bound(key.step)
    if step == 0:
        raise InvalidArgumentError(
            "slice step cannot be zero", reason="SLICE_INVALID"
        )
    return (_bound(key.start), _bound(key.stop), step)


def _integer_term(key: Any) -> Term:
    if isinstance(key, (bool, np.bool_)):
        raise _advanced(key)
    # Arrays and tensors without dimensions stand for their one element.
    if getattr(key, "ndim", 0) != 0 or isinstance(key, list):
        raise _advanced(key)
    try:
        number = operator.index(key)
    except TypeError:
        if is_sequence(key) and not isinstance(key, np.ndarray):
            raise _advanced(key) from None
        raise OutOfRangeError(
            "only integers, slices (`:`), ellipsis (`...`), None and long or "
            f"byte Variables are valid indices (got {type_name(key)})"
        ) from None
    if not _INT64_MIN <= number <= _INT64_MAX:
        raise InvalidArgumentError("Overflow when unpacking long long")
    return number


def _term(key: Any) -> Term:
    if key is None or key is Ellipsis:
        return key
    return _slice_term(key) if isinstance(key, slice) else _integer_term(key)


def _check_count(terms: list[Term], ndim: int) -> None:
    taken = [term for term in terms if term is not None and term is not ...]
    if len(taken) <= ndim:
        return
    message = f"too many indices for tensor of dimension {ndim}"
    if ndim == 0 and len(terms) == 1:
        message = (
            "slice() cannot be applied to a 0-dim tensor."
            if isinstance(terms[0], tuple)
            else "invalid index of a 0-dim tensor. Use `tensor.item()` in "
            "Python or `tensor.item<T>()` in C++ to convert a 0-dim tensor to "
            "a number"
        )
    raise OutOfRangeError(message, reason="SLICE_INVALID")


def index_terms(key: Any, ndim: int) -> list[Term]:
    """The terms of ``t[key]`` for a tensor of `ndim` dimensions.

    Whether integers lie inside their dimension is left to the server.
    """
    keys = key if isinstance(key, tuple) else (key,)
    terms = [_term(one) for one in keys]
    if sum(term is Ellipsis for term in terms) > 1:
        raise OutOfRangeError(
            "an index can only have a single ellipsis ('...')",
            reason="SLICE_INVALID",
        )
    _check_count(terms, ndim)
    return terms
