"""The constructors of tensors."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np

from tensord import _native as native
from tensord._arguments import (
    Keeping,
    KeepingOptions,
    Lifetime,
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
from tensord._interchange import (
    buffer_as_numbers,
    exported_buffer,
    is_torch,
    shared_array,
)
from tensord.errors import InvalidTypeError

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from tensord._progress import Progress

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
        progress: Progress = None,
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
            "from_numpy",
            name=name,
            overflow=overflow,
            ttl=ttl,
            lease=lease,
            replace=replace,
            if_match=if_match,
            report=report,
            progress=progress,
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
        progress: Progress = None,
    ) -> TensorT:
        """Stores a copy of an array, nested lists or a tensor as float32."""
        kept = keeping(
            "new",
            name=name,
            overflow=overflow,
            ttl=ttl,
            lease=lease,
            replace=replace,
            if_match=if_match,
            report=report,
            progress=progress,
        )
        if is_tensor(data):
            return self._as_float32(data, kept)
        if isinstance(data, (str, bytes)):
            raise InvalidTypeError(
                f"new(): invalid data type '{type_name(data)}'"
            )
        target = BY_NAME["float32"]
        array = shared_array(data)
        if array is None and is_sequence(data):
            array, _ = _from_numbers(data, target)
        if array is None:
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
        progress: Progress = None,
    ) -> TensorT:
        """Stores a copy of an array, nested lists, a number or a tensor.

        Parameters
        ----------
        data
            Arrays, and NumPy's scalars, keep their dtype; Python's floats
            become float32, ints int64, bools bool and complex numbers
            complex64, also those in an `array.array` or another buffer.
            Arrays are NumPy's and PyTorch's, and what has
            ``__array_interface__`` or ``__dlpack__``, as those of JAX and
            CuPy; they go without a copy.
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

        Examples
        --------
        >>> c.tensor([[1.5, 2], [3, 4]], dtype="float16")
        tensor([[1.5000, 2.0000],
                [3.0000, 4.0000]], dtype=tensord.float16)
        >>> c.tensor(np.arange(3), requires_grad=True)
        Traceback (most recent call last):
        tensord.StateError: Only Tensors of floating point and complex dtype\
 can require gradients
        """
        check_bool(requires_grad, "tensor", "requires_grad")
        target = None if dtype is None else to_dtype(dtype, "tensor")
        place = None if device is None else to_device(device, "tensor")
        kept = keeping(
            "tensor",
            name=name,
            overflow=overflow,
            ttl=ttl,
            lease=lease,
            replace=replace,
            if_match=if_match,
            report=report,
            progress=progress,
        )
        if is_tensor(data):
            warn_of_copy(stacklevel=2)
            check_grad(target or data.dtype, requires_grad)
            return self._copy(data, kept, target, place, requires_grad)
        array, target = _from_data(data, target)
        return self._create(array, kept, target, place, requires_grad)

    def as_tensor(
        self,
        data: Any,
        dtype: Any = None,
        device: Any = None,
        **kept: Unpack[KeepingOptions],
    ) -> TensorT:
        """As :meth:`tensor`, but for a tensor of the server: as its ``to``.

        That gives the very same tensor if nothing changes.
        """
        if not is_tensor(data):
            return self.tensor(data, dtype, device, **kept)
        given = {"dtype": dtype, "device": device, **kept}
        wanted = {key: one for key, one in given.items() if one is not None}
        made: TensorT = data.to(**wanted) if wanted else data._itself()
        return made

    def asarray(
        self,
        obj: Any,
        *,
        dtype: Any = None,
        device: Any = None,
        requires_grad: bool = False,
        **kept: Unpack[KeepingOptions],
    ) -> TensorT:
        """Stores a copy of an array, which keeps its dtype, or takes one.

        As :meth:`tensor`, but for `array.array` and other buffers: these keep
        their dtype, too.

        Examples
        --------
        >>> import array
        >>> numbers = array.array("h", [1, 2])
        >>> c.asarray(numbers), c.tensor(numbers)
        (tensor([1, 2], dtype=tensord.int16), tensor([1, 2]))
        """
        shared = shared_array(obj)
        data = exported_buffer(obj) if shared is None else shared
        return self.tensor(
            obj if data is None else data,
            dtype,
            device,
            requires_grad,
            **kept,
        )

    def from_dlpack(
        self, ext_tensor: Any, **kept: Unpack[KeepingOptions]
    ) -> TensorT:
        """Stores a copy of what has ``__dlpack__``, with its dtype.

        Raises
        ------
        InvalidTypeError
            `ext_tensor` has none, lives on a device that its library does not
            copy from, or has elements that tensors can not have.
        """
        if is_tensor(ext_tensor) or not hasattr(ext_tensor, "__dlpack__"):
            raise InvalidTypeError(
                "from_dlpack(): argument 'ext_tensor' must have __dlpack__, "
                f"which {type_name(ext_tensor)} has not"
            )
        return self.tensor(ext_tensor, **kept)

    def from_torch(
        self,
        tensor: Any,
        *,
        device: Any = None,
        **kept: Unpack[KeepingOptions],
    ) -> TensorT:
        """Stores a copy of a tensor of PyTorch, with its dtype.

        The copy requires grad if `tensor` does, as a leaf.

        Parameters
        ----------
        tensor : torch.Tensor
            Dense. From a GPU it comes by way of this host's memory.
        device : device or str, optional
            Where to store it; ``"cpu"`` if not given.

        Raises
        ------
        InvalidTypeError
            `tensor` is none of PyTorch, or a sparse or quantized one.
        """
        if not is_torch(tensor):
            raise InvalidTypeError(
                "from_torch(): argument 'tensor' must be torch.Tensor, not "
                f"{type_name(tensor)}"
            )
        return self.tensor(
            tensor,
            device=device,
            requires_grad=bool(tensor.requires_grad),
            **kept,
        )

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
    ) -> tuple[native.ConvertCall, np.ndarray, int]:
        """A conversion, the array of its result, and the bytes of both."""
        target = to_dtype(wanted, "convert")
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
        return call, result.array, array.nbytes + result.array.nbytes


def _from_data(
    data: Any, target: dtype | None
) -> tuple[np.ndarray, dtype | None]:
    """An array of `data`, and the dtype to ask for, as torch.tensor has it."""
    array = shared_array(data)
    if array is not None:
        return array, target
    if isinstance(data, np.generic) and target is None:
        return np.asarray(data), None
    return _from_numbers(data, target)


def to_array(data: Any, target: dtype | None) -> np.ndarray:
    """An array of `data`, with the dtype that :meth:`tensor` stores.

    But for a `target`, which is left to the server.
    """
    array, wanted = _from_data(data, target)
    if target is None and wanted is not None:
        return array.astype(wanted.numpy_dtype, copy=False)
    return array


def _from_numbers(data: Any, target: dtype | None) -> tuple[np.ndarray, dtype]:
    return buffer_as_numbers(data, target) or array_from_data(data, target)


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
