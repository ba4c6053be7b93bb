"""Exceptions.

Every refusal, of the server or of this package, is a :class:`TensordError`
and also the built-in exception that PyTorch or NumPy would have raised, so
``except RuntimeError`` written for PyTorch keeps working.

Examples
--------
>>> t = c.tensor([1.0, 2.0], requires_grad=True)
>>> try:
...     t.numpy()
... except RuntimeError as error:
...     print(error)
Can't call numpy() on Tensor that requires grad. ...
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = [
    "AlreadyExistsError",
    "CastOverflowError",
    "DeadlineExceededError",
    "InvalidArgumentError",
    "InvalidTypeError",
    "NotFoundError",
    "OutOfRangeError",
    "PermissionDeniedError",
    "ResourceExhaustedError",
    "StateError",
    "TensorDeniedError",
    "TensordError",
    "UnavailableError",
    "UnimplementedError",
]


class TensordError(Exception):
    """Base of all exceptions of this package.

    Parameters
    ----------
    message
        What was wrong, the value and the limit.
    code
        Name of the gRPC status code; what it would have been, for refusals
        that needed no call.
    reason
        Stable upper-case word for programs to tell refusals apart; empty
        where there is none.
    metadata
        Values that belong to the refusal, such as ``firstIndex``.
    violations
        Pairs of a request's field and what is wrong with it.

    Examples
    --------
    Programs look at the class or at `reason`; messages are for people:

    >>> try:
    ...     c.tensor([1.0], device="cuda:99999")
    ... except tensord.TensordError as error:
    ...     print(type(error).__name__, error.code, error.reason)
    StateError FAILED_PRECONDITION DEVICE_NOT_PRESENT
    """

    _default_code = "UNKNOWN"

    def __init__(
        self,
        message: str = "",
        *,
        code: str = "",
        reason: str = "",
        metadata: Mapping[str, str] | None = None,
        violations: Sequence[tuple[str, str]] = (),
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self._default_code
        self.reason = reason
        self.metadata = dict(metadata or {})
        self.violations = tuple(violations)

    def __str__(self) -> str:
        # KeyError would quote the message.
        return self.message

    def __reduce__(self) -> tuple[Any, ...]:
        return (_rebuild, (type(self), self.message, dict(self.__dict__)))


def _rebuild(
    cls: type[TensordError], message: str, state: dict[str, Any]
) -> TensordError:
    error = cls(message)
    error.__dict__.update(state)
    return error


class InvalidArgumentError(TensordError, ValueError):
    """An argument has a value that can not be used.

    Examples
    --------
    >>> c.tensor([1.0], overflow="wrap")
    Traceback (most recent call last):
        ...
    tensord.InvalidArgumentError: overflow has to be 'torch', 'saturate' or ...
    """

    _default_code = "INVALID_ARGUMENT"


class InvalidTypeError(TensordError, TypeError):
    """An argument, or the dtype or device of a tensor, is of the wrong kind.

    Examples
    --------
    >>> c.from_numpy([1, 2])
    Traceback (most recent call last):
        ...
    tensord.InvalidTypeError: expected np.ndarray (got list)
    """

    _default_code = "INVALID_ARGUMENT"


class StateError(TensordError, RuntimeError):
    """A tensor, or the client, is not in the state that a call needs.

    Examples
    --------
    >>> c.tensor([1.0], requires_grad=True).numpy()
    Traceback (most recent call last):
        ...
    tensord.StateError: Can't call numpy() on Tensor that requires grad. ...
    """

    _default_code = "FAILED_PRECONDITION"


class OutOfRangeError(TensordError, IndexError):
    """An index lies beyond the end.

    Examples
    --------
    >>> c.tensor([1, 2, 3])[3]
    Traceback (most recent call last):
        ...
    tensord.OutOfRangeError: index 3 is out of bounds for dimension 0 with ...
    """

    _default_code = "OUT_OF_RANGE"


class CastOverflowError(TensordError, OverflowError):
    """A value does not fit its new dtype, under ``overflow="error"``.

    ``metadata`` has ``firstIndex``, ``firstValue`` and ``count``.

    Examples
    --------
    >>> array = np.array([1.0, 300.0, 1e9])
    >>> try:
    ...     c.tensor(array, "uint8", overflow="error")
    ... except OverflowError as error:
    ...     print(error.metadata["count"], error.metadata["firstValue"])
    2 300.0
    """

    _default_code = "OUT_OF_RANGE"


class NotFoundError(TensordError, KeyError):
    """There is no tensor of that name.

    Examples
    --------
    >>> c["w/0"]
    Traceback (most recent call last):
        ...
    tensord.NotFoundError: there is no tensor 'w/0'
    """

    _default_code = "NOT_FOUND"


class AlreadyExistsError(TensordError, ValueError):
    """There is a tensor of that name already.

    Examples
    --------
    >>> _ = c.tensor([1.0], name="w/0")
    >>> c.tensor([2.0], name="w/0")
    Traceback (most recent call last):
        ...
    tensord.AlreadyExistsError: there is a tensor 'w/0'
    >>> c.tensor([2.0], name="w/0", replace=True)
    tensor([2.])
    """

    _default_code = "ALREADY_EXISTS"


class ResourceExhaustedError(TensordError, MemoryError):
    """The server has no room for the request."""

    _default_code = "RESOURCE_EXHAUSTED"


class DeadlineExceededError(TensordError, TimeoutError):
    """The server took too long."""

    _default_code = "DEADLINE_EXCEEDED"


class UnavailableError(TensordError, ConnectionError):
    """The server can not be reached, or is about to stop.

    Examples
    --------
    >>> tensord.connect("localhost:1", max_attempts=1)
    Traceback (most recent call last):
        ...
    tensord.UnavailableError: failed to connect to all addresses; ...
    """

    _default_code = "UNAVAILABLE"


class UnimplementedError(TensordError, NotImplementedError):
    """The server, or this package, can not do that.

    Examples
    --------
    >>> c.tensor([1.0]).view(tensord.int32)
    Traceback (most recent call last):
        ...
    tensord.UnimplementedError: view(dtype) is not supported
    """

    _default_code = "UNIMPLEMENTED"


class PermissionDeniedError(TensordError, PermissionError):
    """The server does not let this caller do that."""

    _default_code = "PERMISSION_DENIED"


class TensorDeniedError(NotFoundError, PermissionDeniedError):
    """There is no tensor of that name that this caller may have.

    What servers that ask for tokens say both of names that are not taken and
    of those that others have taken.
    """

    _default_code = "PERMISSION_DENIED"


_BY_CODE: dict[str, type[TensordError]] = {
    "INVALID_ARGUMENT": InvalidArgumentError,
    "NOT_FOUND": NotFoundError,
    "ALREADY_EXISTS": AlreadyExistsError,
    "OUT_OF_RANGE": OutOfRangeError,
    "RESOURCE_EXHAUSTED": ResourceExhaustedError,
    "DEADLINE_EXCEEDED": DeadlineExceededError,
    "UNAVAILABLE": UnavailableError,
    "UNIMPLEMENTED": UnimplementedError,
    "PERMISSION_DENIED": PermissionDeniedError,
    "UNAUTHENTICATED": PermissionDeniedError,
}

# Reasons for which PyTorch raises something else than their code suggests.
_BY_REASON: dict[str, type[TensordError]] = {
    "NEEDS_CPU": InvalidTypeError,
    "TENSOR_DENIED": TensorDeniedError,
    "CAST_VALUE_OUT_OF_RANGE": CastOverflowError,
    "GRAD_DTYPE": StateError,
    "DEVICE_INVALID": StateError,
    "SHAPE_INVALID": StateError,
    "SHAPE_OVERFLOW": StateError,
    "SIZE_MISMATCH": StateError,
    "DIMS_INVALID": StateError,
}


def _class_of(code: str, reason: str) -> type[TensordError]:
    if reason in _BY_REASON:
        return _BY_REASON[reason]
    if reason.startswith("DTYPE_"):
        return InvalidTypeError
    # FAILED_PRECONDITION, ABORTED, INTERNAL and the like are RuntimeErrors.
    return _BY_CODE.get(code, StateError)


def from_status(
    code: str,
    message: str,
    reason: str = "",
    metadata: Mapping[str, str] | None = None,
    violations: Sequence[tuple[str, str]] = (),
) -> TensordError:
    """Makes the exception for a status that a call ended with."""
    cls = _class_of(code, reason)
    return cls(
        message,
        code=code,
        reason=reason,
        metadata=metadata,
        violations=violations,
    )


# Tracebacks show the names under which users know them.
for _name in __all__:
    globals()[_name].__module__ = "tensord"
