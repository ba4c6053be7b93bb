"""Arguments that PyTorch overloads, and those that every call shares."""

from __future__ import annotations

import datetime
import operator
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypedDict

from tensord._device import device, to_device
from tensord._dtype import dtype, find_dtype, to_dtype, type_name
from tensord._progress import check_progress
from tensord.errors import (
    InvalidArgumentError,
    InvalidTypeError,
    OutOfRangeError,
    StateError,
    UnimplementedError,
)

if TYPE_CHECKING:
    from tensord._progress import Progress

Lifetime = float | datetime.timedelta | None

_OVERFLOW = {"torch": 0, "saturate": 1, "error": 2}

_TO_SIGNATURES = """
 * (tensord.device device = None, tensord.dtype dtype = None, bool non_blocking\
 = False, bool copy = False, *, tensord.memory_format memory_format = None)
 * (tensord.dtype dtype, bool non_blocking = False, bool copy = False, *,\
 tensord.memory_format memory_format = None)
 * (Tensor tensor, bool non_blocking = False, bool copy = False, *,\
 tensord.memory_format memory_format = None)
"""


def overflow_code(overflow: object) -> int:
    """The native module's number of an overflow policy."""
    if isinstance(overflow, str) and overflow in _OVERFLOW:
        return _OVERFLOW[overflow]
    raise InvalidArgumentError(
        f"overflow has to be 'torch', 'saturate' or 'error' (got {overflow!r})",
        reason="OVERFLOW_INVALID",
    )


def check_bool(value: object, function: str, argument: str) -> bool:
    """Refuses what is no bool, as PyTorch does."""
    if isinstance(value, bool):
        return value
    raise InvalidTypeError(
        f"{function}(): argument '{argument}' must be bool, not "
        f"{type_name(value)}"
    )


def check_grad(wanted: dtype, requires_grad: bool) -> None:
    """Refuses to let integers and bools require grad, as PyTorch does."""
    if requires_grad and not wanted._can_require_grad:
        raise StateError(
            "Only Tensors of floating point and complex dtype can require "
            "gradients",
            code="INVALID_ARGUMENT",
            reason="GRAD_DTYPE",
        )


def _ttl_seconds(ttl: Lifetime) -> float | None:
    """A lifetime in seconds."""
    if isinstance(ttl, datetime.timedelta):
        return ttl.total_seconds()
    return None if ttl is None else float(ttl)


def tensor_id(name: str | None) -> str:
    """The id to ask for; empty for a tensor without a name."""
    if name is None:
        return ""
    if not isinstance(name, str):
        raise InvalidTypeError(f"name must be str, not {type_name(name)}")
    if not name:
        raise InvalidArgumentError(
            "a name needs at least 1 character", reason="NAME_INVALID"
        )
    return name


def _etag(if_match: str) -> str:
    if not isinstance(if_match, str):
        raise InvalidTypeError(
            f"if_match must be str, not {type_name(if_match)}"
        )
    if not if_match:
        raise InvalidArgumentError(
            "an etag needs at least 1 character", reason="ETAG_MISMATCH"
        )
    return if_match


class Keeping(NamedTuple):
    """How a new tensor is made and kept, as the native module takes it."""

    id: str
    overflow: int
    ttl: float | None
    lease: float | None
    replace: bool
    if_match: str
    report: bool
    progress: Progress


class KeepingOptions(TypedDict, total=False):
    """The keyword-only arguments that makers of tensors share."""

    name: str | None
    overflow: str
    ttl: Lifetime
    lease: Lifetime
    replace: bool
    if_match: str | None
    report: bool
    progress: Progress


def keeping(
    function: str,
    *,
    name: str | None = None,
    overflow: str = "torch",
    ttl: Lifetime = None,
    lease: Lifetime = None,
    replace: bool = False,
    if_match: str | None = None,
    report: bool = False,
    progress: Progress = None,
) -> Keeping:
    """Reads the keyword-only arguments that makers of tensors share."""
    return Keeping(
        tensor_id(name),
        overflow_code(overflow),
        _ttl_seconds(ttl),
        _ttl_seconds(lease),
        check_bool(replace, function, "replace"),
        "" if if_match is None else _etag(if_match),
        check_bool(report, function, "report"),
        check_progress(progress),
    )


class ToArguments(NamedTuple):
    """What a call of ``to`` asks for; None keeps what is."""

    dtype: dtype | None
    device: device | None
    copy: bool


def _combination_error(
    args: Sequence[Any], kwargs: Mapping[str, Any]
) -> InvalidTypeError:
    got = ", ".join(map(_kind, args))
    named = ", ".join(f"{key}={_kind(value)}" for key, value in kwargs.items())
    if got and named:
        got = f"{got}, {named}"
    elif named:
        got = f"{named}, "
    return InvalidTypeError(
        f"to() received an invalid combination of arguments - got ({got}), "
        f"but expected one of:{_TO_SIGNATURES}"
    )


def _kind(value: object) -> str:
    if isinstance(value, (dtype, device)):
        return f"tensord.{type(value).__name__}"
    return "Tensor" if is_tensor(value) else type_name(value)


class OnServer:
    """Base of tensors in a server, which modules below that one can name."""

    __slots__ = ()


def is_tensor(value: object) -> bool:
    """Whether a value is a tensor in a server."""
    return isinstance(value, OnServer)


def _names_of(args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[str]:
    """The parameters of the overload that the arguments call for."""
    first = args[0] if args else None
    if is_tensor(first) or "other" in kwargs or "tensor" in kwargs:
        return ["tensor", "non_blocking", "copy"]
    if find_dtype(first) is not None:
        return ["dtype", "non_blocking", "copy"]
    return ["device", "dtype", "non_blocking", "copy"]


def _check_memory_format(value: object) -> None:
    if value is not None and str(value) != "torch.preserve_format":
        raise UnimplementedError(f"memory_format {value} is not supported")


def parse_to(args: Sequence[Any], kwargs: Mapping[str, Any]) -> ToArguments:
    """Sorts the arguments of ``to`` into PyTorch's overloads."""
    if len(args) > 4:
        raise InvalidTypeError(
            "to() takes from 0 to 4 positional arguments but "
            f"{len(args)} were given"
        )
    names = _names_of(args, kwargs)
    given = dict(zip(names, args))  # noqa: B905 - lengths are checked below
    for key, value in kwargs.items():
        name = "tensor" if key == "other" else key
        if name not in (*names, "memory_format") or name in given:
            raise _combination_error(args, kwargs)
        given[name] = value
    flags = [given.get("non_blocking", False), given.get("copy", False)]
    if len(args) > len(names) or not all(type(f) is bool for f in flags):
        raise _combination_error(args, kwargs)
    _check_memory_format(given.get("memory_format"))
    if "tensor" in given:
        like = given["tensor"]
        if not is_tensor(like):
            raise _combination_error(args, kwargs)
        return ToArguments(like.dtype, like.device, flags[1])
    return _parse_plain(given, flags[1], args, kwargs)


def _parse_plain(
    given: Mapping[str, Any],
    copy: bool,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
) -> ToArguments:
    chosen_dtype, chosen_device = given.get("dtype"), given.get("device")
    if chosen_dtype is not None:
        if not isinstance(chosen_dtype, str) and not find_dtype(chosen_dtype):
            raise _combination_error(args, kwargs)
        chosen_dtype = to_dtype(chosen_dtype, "to")
    if chosen_device is not None:
        try:
            chosen_device = to_device(chosen_device, "to")
        except InvalidTypeError:
            raise _combination_error(args, kwargs) from None
    return ToArguments(chosen_dtype, chosen_device, copy)


def dimension(dim: Any, ndim: int, function: str) -> int:
    """A dimension counted from the front; negative ones count from the end.

    As in PyTorch, 0 and -1 name the dimension that a 0-d tensor lacks.
    """
    try:
        number = operator.index(dim)
    except TypeError:
        raise InvalidTypeError(
            f"{function}(): argument 'dim' must be int, not {type_name(dim)}"
        ) from None
    size = max(ndim, 1)
    if not -size <= number < size:
        raise OutOfRangeError(
            f"Dimension out of range (expected to be in range of [{-size}, "
            f"{size - 1}], but got {number})"
        )
    return number % size


def sizes(args: Sequence[Any], function: str, argument: str) -> list[int]:
    """Ints given one by one, or as one sequence of them."""
    given: Any = args[0] if len(args) == 1 else args
    if not isinstance(given, (tuple, list)):
        given = (given,)
    try:
        return [operator.index(one) for one in given]
    except TypeError:
        wrong = args[0] if len(args) == 1 else args
        raise InvalidTypeError(
            f"{function}(): argument '{argument}' (position 1) must be tuple "
            f"of ints, not {type_name(wrong)}"
        ) from None
