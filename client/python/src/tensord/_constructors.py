"""The constructors of tensors."""

from __future__ import annotations

import datetime
import warnings
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np

from tensord import _native as native
from tensord._arguments import (
    Keeping,
    check_bool,
    check_grad,
    is_tensor,
    keeping,
    overflow_code,
)
from tensord._array import Destination, allocate, to_source
from tensord._device import device, to_device
from tensord._dtype import ALL_DTYPES, BY_NAME, dtype, to_dtype, type_name
from tensord._infer import array_from_data, is_sequence
from tensord.errors import InvalidTypeError

Lifetime = float | datetime.timedelta | None

# What a constructor gives: the tensor, or what is to be awaited.
TensorT = TypeVar("TensorT")


class Constructors(Generic[TensorT]):
    """The constructors of tensors; see :class:`tensord.Client`."""

    if TYPE_CHECKING:

        @property
        def _open(self) -> native.Client: ...

    def from_numpy(
        self,
        array: np.ndarray,
        *,
        name: str | None = None,
        overflow: str = "torch",
        ttl: Lifetime = None,
        lease: Lifetime = None,
        replace: bool = False,
        if_match: str | None = None,
        report: bool = False,
    ) -> TensorT:
        """Stores a copy of an array with its dtype.

        Raises
        ------
        InvalidTypeError
            `array` is no NumPy array, or one of objects, strings, dates or
            records.
        """
        if not isinstance(array, np.ndarray):
            got = "Tensor" if is_tensor(array) else type_name(array)
            raise InvalidTypeError(f"expected np.ndarray (got {got})")
        kept = keeping(
            name,
            overflow,
            ttl,
            report,
            "from_numpy",
            lease=lease,
            replace=replace,
            if_match=if_match,
        )
        return self._create(array, kept)

    def Tensor(
        self,
        data: Any = (),
        *,
        name: str | None = None,
        overflow: str = "torch",
        ttl: Lifetime = None,
        lease: Lifetime = None,
        replace: bool = False,
        if_match: str | None = None,
        report: bool = False,
    ) -> TensorT:
        """Stores a copy of an array, nested lists or a tensor as float32."""
        kept = keeping(
            name,
            overflow,
            ttl,
            report,
            "new",
            lease=lease,
            replace=replace,
            if_match=if_match,
        )
        if is_tensor(data):
            return self._as_float32(data, kept)
        if isinstance(data, (str, bytes)):
            raise InvalidTypeError(
                f"new(): invalid data type '{type_name(data)}'"
            )
        target = BY_NAME["float32"]
        if isinstance(data, np.ndarray):
            array = data
        elif is_sequence(data):
            array, _ = array_from_data(data, target)
        else:
            raise InvalidTypeError(
                f"new(): data must be a sequence (got {type_name(data)})"
            )
        return self._create(array, kept, target)

    def tensor(
        self,
        data: Any,
        dtype: Any = None,
        device: Any = None,
        requires_grad: bool = False,
        *,
        name: str | None = None,
        overflow: str = "torch",
        ttl: Lifetime = None,
        lease: Lifetime = None,
        replace: bool = False,
        if_match: str | None = None,
        report: bool = False,
    ) -> TensorT:
        """Stores a copy of an array, nested lists, a number or a tensor.

        Parameters
        ----------
        data
            Arrays and NumPy's scalars keep their dtype; Python's floats become
            float32, ints int64, bools bool and complex numbers complex64.
        dtype : dtype, optional
            The dtype to store. A :class:`tensord.dtype`, its name, or a dtype
            of NumPy, ml_dtypes or PyTorch.
        device : device or str, optional
            Where to store it; ``"cpu"`` if not given.
        requires_grad
            Whether the tensor requires grad.

        Raises
        ------
        InvalidTypeError
            There is no tensor of such data, or no such dtype.
        StateError
            The dtype can not require grad; there is no such device.
        CastOverflowError
            A value does not fit, under ``overflow="error"``.
        """
        check_bool(requires_grad, "tensor", "requires_grad")
        target = None if dtype is None else to_dtype(dtype, "tensor")
        place = None if device is None else to_device(device, "tensor")
        kept = keeping(
            name,
            overflow,
            ttl,
            report,
            "tensor",
            lease=lease,
            replace=replace,
            if_match=if_match,
        )
        if is_tensor(data):
            warn_of_copy(stacklevel=2)
            check_grad(target or data.dtype, requires_grad)
            return self._copy(data, kept, target, place, requires_grad)
        array = data
        if not isinstance(data, np.ndarray):
            array, target = _from_data(data, target)
        return self._create(array, kept, target, place, requires_grad)

    def _create(
        self,
        array: np.ndarray,
        kept: Keeping,
        target: dtype | None = None,
        place: device | None = None,
        requires_grad: bool = False,
    ) -> TensorT:
        """Stores an array."""
        raise NotImplementedError

    def _copy(
        self,
        source: Any,
        kept: Keeping,
        target: dtype | None,
        place: device | None,
        requires_grad: bool,
    ) -> TensorT:
        """A copy of a tensor, as ``torch.tensor(tensor)`` makes it."""
        raise NotImplementedError

    def _as_float32(self, source: Any, kept: Keeping) -> TensorT:
        """A copy of a tensor, as ``torch.Tensor(tensor)`` makes it."""
        raise NotImplementedError

    def _create_call(
        self,
        array: np.ndarray,
        kept: Keeping,
        target: dtype | None,
        place: device | None,
        requires_grad: bool,
    ) -> native.CreateCall:
        source = to_source(array)
        check_grad(target or ALL_DTYPES[source.dtype], requires_grad)
        return native.CreateCall(
            self._open,
            *source,
            kept.id,
            None if target is None else target._code,
            "" if place is None else place._canonical,
            requires_grad,
            kept.overflow,
            kept.ttl,
            kept.lease,
            kept.replace,
            kept.if_match,
            kept.report,
        )

    def _convert_call(
        self, array: Any, wanted: Any, overflow: str
    ) -> tuple[native.ConvertCall, np.ndarray]:
        """A conversion, and the array that its result goes to."""
        target = to_dtype(wanted, "convert")
        if not isinstance(array, np.ndarray):
            array, _ = _from_data(array, None)
        source = to_source(array)
        connection = self._open
        layout = native.convert_layout(
            source.buffer, source.dtype, target._code
        )
        result: Destination = allocate(layout)
        call = native.ConvertCall(
            connection,
            *source,
            target._code,
            overflow_code(overflow),
            result.memory,
        )
        return call, result.array


def _from_data(
    data: Any, target: dtype | None
) -> tuple[np.ndarray, dtype | None]:
    if isinstance(data, np.generic) and target is None:
        return np.asarray(data), None
    return array_from_data(data, target)


def copy_steps(
    wanted: dtype, place: device | None, kept: Keeping
) -> list[tuple[Any, ...]]:
    """What makes a copy of a tensor of this client."""
    where = "" if place is None else place._canonical
    to = ("to", wanted._code, where, True, kept.overflow, kept.report)
    return [("detach",), to]


def warn_of_copy(stacklevel: int) -> None:
    """Warns of ``tensor(tensor)``, as PyTorch does."""
    warnings.warn(
        "To copy construct from a tensor, it is recommended to use "
        "sourceTensor.detach().clone() or "
        "sourceTensor.detach().clone().requires_grad_(True), rather than "
        "tensord.tensor(sourceTensor).",
        UserWarning,
        stacklevel=stacklevel + 1,
    )
