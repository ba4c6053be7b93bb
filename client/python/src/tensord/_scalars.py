"""The methods of a tensor that give Python's numbers."""

from __future__ import annotations

import builtins
import operator
from typing import TYPE_CHECKING, Any

import numpy as np

from tensord._dtype import from_numpy_dtype
from tensord.errors import InvalidArgumentError, InvalidTypeError, StateError

if TYPE_CHECKING:
    from tensord._dtype import dtype as DType


def _not_convertible(kind: str) -> StateError:
    return StateError(
        f"value cannot be converted to type {kind} without overflow",
        code="INVALID_ARGUMENT",
    )


def _widened(array: np.ndarray) -> np.ndarray:
    """The elements, as a dtype whose elements Python has."""
    known = from_numpy_dtype(array.dtype)
    if known is None or not known.is_floating_point or known.itemsize >= 4:
        return array
    return array.astype(np.float32)


def python_element(array: np.ndarray) -> builtins.bool | int | float | complex:
    """The one element as a Python number."""
    element: builtins.bool | int | float | complex = _widened(array).item()
    return element


def python_list(array: np.ndarray) -> Any:
    """The elements as nested lists; a number for a 0-d array."""
    return _widened(array).tolist()


class Scalars:
    """Elements as Python's numbers; see :class:`tensord.RemoteTensor`.

    As in PyTorch, these read from any device, and whether or not grad is
    required.

    Examples
    --------
    >>> t = c.tensor([1.5, 2.5], requires_grad=True)
    >>> float(t[0]), 2.5 in t, f"{t[1]:.3f}"
    (1.5, True, '2.500')
    """

    __slots__ = ()

    if TYPE_CHECKING:

        @property
        def dtype(self) -> DType: ...
        @property
        def ndim(self) -> int: ...
        def numel(self) -> int: ...
        def _check_item(self) -> None: ...
        def _read(self, *args: Any, **kwargs: Any) -> np.ndarray: ...

    def item(self) -> builtins.bool | int | float | complex:
        """The one element.

        Raises
        ------
        StateError
            There are more, or none.

        Examples
        --------
        >>> c.tensor([[2.5]], dtype="bfloat16").item()
        2.5
        """
        self._check_item()
        return python_element(self._read(force=True))

    def tolist(self) -> Any:
        """The elements as nested lists; a number for a 0-d tensor.

        Examples
        --------
        >>> c.tensor([[1, 2], [3, 4]], dtype="float16").tolist()
        [[1.0, 2.0], [3.0, 4.0]]
        """
        return python_list(self._read(force=True))

    def _only_element(self) -> Any:
        if self.numel() != 1:
            raise InvalidArgumentError(
                "only one element tensors can be converted to Python scalars"
            )
        return self.item()

    def __bool__(self) -> builtins.bool:
        count = self.numel()
        if count != 1:
            many = "more than one value" if count else "no values"
            raise StateError(
                f"Boolean value of Tensor with {many} is ambiguous",
                code="INVALID_ARGUMENT",
            )
        return bool(self.item())

    def __float__(self) -> float:
        value = self._only_element()
        if isinstance(value, complex):
            if value.imag != 0:
                raise _not_convertible("double")
            value = value.real
        return float(value)

    def __int__(self) -> int:
        value = self._only_element()
        if isinstance(value, complex):
            if value.imag != 0:
                raise _not_convertible("int64_t")
            value = value.real
        return int(value)

    def __complex__(self) -> complex:
        return complex(self._only_element())

    def __index__(self) -> int:
        dtype = self.dtype
        inexact = dtype.is_floating_point or dtype.is_complex
        if inexact or self.numel() != 1:
            raise InvalidTypeError(
                "only integer tensors of a single element can be converted to "
                "an index"
            )
        return operator.index(self._read(force=True).item())

    def __format__(self, spec: str) -> str:
        if self.ndim == 0:
            return format(self.item(), spec)
        return object.__format__(self, spec)

    def __contains__(self, element: object) -> builtins.bool:
        if not isinstance(element, (bool, int, float, complex, np.generic)):
            raise StateError(
                "Tensor.__contains__ only supports Tensor or scalar, but you "
                f"passed in a {type(element)}.",
                code="INVALID_ARGUMENT",
            )
        return bool((_widened(self._read(force=True)) == element).any())
