"""Devices and sizes, as PyTorch's."""

from __future__ import annotations

import math
import re
import sys
from typing import SupportsIndex, overload

from tensord._dtype import type_name
from tensord.errors import InvalidTypeError, StateError

_TYPES = ("cpu", "cuda")
_INDEX = re.compile(r"0|[1-9][0-9]{0,5}")


def _invalid(text: str) -> StateError:
    return StateError(
        f"Invalid device string: '{text}'",
        code="INVALID_ARGUMENT",
        reason="DEVICE_INVALID",
    )


def _parse(text: str) -> tuple[str, int | None]:
    if not text:
        raise StateError(
            "Device string must not be empty",
            code="INVALID_ARGUMENT",
            reason="DEVICE_INVALID",
        )
    kind, colon, index = text.partition(":")
    if not re.fullmatch(r"[A-Za-z_]+", kind):
        raise _invalid(text)
    if colon and not _INDEX.fullmatch(index):
        raise _invalid(text)
    if kind not in _TYPES:
        raise StateError(
            "Expected one of cpu, cuda device type at start of device string: "
            f"{kind}",
            code="INVALID_ARGUMENT",
            reason="DEVICE_INVALID",
        )
    return kind, int(index) if colon else None


class device:
    """A place that holds tensors: a type and, for CUDA, an index.

    Parameters
    ----------
    type
        ``"cpu"``, ``"cuda"``, ``"cuda:1"``, another device, or the index of a
        CUDA device.
    index
        Which one, where `type` does not say it.

    Raises
    ------
    StateError
        `type` names no device.
    InvalidTypeError
        `type` is none of these.

    Examples
    --------
    >>> tensord.device("cuda:1")
    device(type='cuda', index=1)
    >>> tensord.device("cuda", 1) == tensord.device(1)
    True
    >>> c.tensor([1.0]).device
    device(type='cpu')
    >>> tensord.device("cuda:x")
    Traceback (most recent call last):
        ...
    tensord.StateError: Invalid device string: 'cuda:x'
    """

    __slots__ = ("_index", "_type")
    __module__ = "tensord"

    _type: str
    _index: int | None

    def __init__(
        self, type: str | int | device, index: int | None = None
    ) -> None:
        if isinstance(type, device):
            self._type, self._index = type._type, type._index
        elif isinstance(type, int) and not isinstance(type, bool):
            self._type, self._index = _parse(f"cuda:{type}")
        elif isinstance(type, str):
            self._type, self._index = _parse(type)
        else:
            raise InvalidTypeError(
                f"device(): argument 'type' must be str, not {type_name(type)}"
            )
        if index is not None:
            if self._index is not None:
                raise StateError(
                    "type (string) must not include an index because index "
                    f"was passed explicitly: {type}",
                    code="INVALID_ARGUMENT",
                )
            self._type, self._index = _parse(f"{self._type}:{index}")

    @property
    def type(self) -> str:
        """``"cpu"`` or ``"cuda"``."""
        return self._type

    @property
    def index(self) -> int | None:
        """Which device of its type; None where it does not say."""
        return self._index

    def __str__(self) -> str:
        if self._index is None:
            return self._type
        return f"{self._type}:{self._index}"

    def __repr__(self) -> str:
        if self._index is None:
            return f"device(type='{self._type}')"
        return f"device(type='{self._type}', index={self._index})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, device):
            return NotImplemented
        return (self._type, self._index) == (other._type, other._index)

    def __hash__(self) -> int:
        return hash((self._type, self._index))

    def __reduce__(self) -> tuple[object, ...]:
        return (device, (str(self),))

    @property
    def _canonical(self) -> str:
        """The name under which a server knows it."""
        if self._type == "cpu" and not self._index:
            return "cpu"
        return f"{self._type}:{self._index or 0}"


def to_device(value: object, function: str) -> device:
    """The device that `value` stands for; PyTorch's devices are taken too."""
    if isinstance(value, device):
        return value
    if isinstance(value, (str, int)) and not isinstance(value, bool):
        return device(value)
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(value, torch.device):
        return device(str(value))
    raise InvalidTypeError(
        f"{function}(): argument 'device' must be tensord.device, not "
        f"{type_name(value)}"
    )


class Size(tuple[int, ...]):
    """A shape: a tuple of ints that prints as PyTorch's.

    Examples
    --------
    >>> shape = c.tensor(np.zeros((4, 3, 2))).shape
    >>> shape
    tensord.Size([4, 3, 2])
    >>> shape == (4, 3, 2), shape[1:], shape.numel()
    (True, tensord.Size([3, 2]), 24)
    """

    __slots__ = ()
    __module__ = "tensord"

    def __repr__(self) -> str:
        return f"tensord.Size([{', '.join(map(str, self))}])"

    @overload
    def __getitem__(self, key: SupportsIndex) -> int: ...
    @overload
    def __getitem__(self, key: slice) -> Size: ...
    def __getitem__(self, key: SupportsIndex | slice) -> int | Size:
        if isinstance(key, slice):
            return Size(super().__getitem__(key))
        return super().__getitem__(key)

    def __add__(self, other: object) -> Size:
        if not isinstance(other, tuple):
            return NotImplemented
        return Size((*self, *other))

    def __radd__(self, other: object) -> Size:
        if not isinstance(other, tuple):
            return NotImplemented
        return Size((*other, *self))

    def __mul__(self, count: SupportsIndex) -> Size:
        return Size(super().__mul__(count))

    __rmul__ = __mul__

    def numel(self) -> int:
        """Number of elements of a tensor of this shape."""
        return math.prod(self)
