"""A tensor that lives in a server."""

from __future__ import annotations

import builtins
from typing import TYPE_CHECKING, Any

import numpy as np

from tensord._arguments import (
    Keeping,
    OnServer,
    check_bool,
    dimension,
    overflow_code,
)
from tensord._array import (
    DLPACK_TYPES,
    allocate,
    check_out,
    memory_of,
    to_dlpack,
)
from tensord._casts import Casts
from tensord._device import Size
from tensord._device import device as Device
from tensord._dtype import ALL_DTYPES, to_dtype
from tensord._dtype import dtype as DType
from tensord._format import printable, tensor_text
from tensord._info import ConversionReport
from tensord._scalars import Scalars
from tensord._views import Views
from tensord.errors import InvalidTypeError, OutOfRangeError, StateError

if TYPE_CHECKING:
    from tensord import _native as native
    from tensord._client import Client


class GradFn:
    """Stands for the autograd function that would have made a tensor."""

    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        self._name = name

    def name(self) -> str:
        """Its name in PyTorch, such as ``"ToCopyBackward0"``."""
        return self._name

    def __repr__(self) -> str:
        return f"<{self._name} object at {id(self):#x}>"


class RemoteTensor(Casts, Views, Scalars, OnServer):
    """A handle on a tensor in a server, with PyTorch's face.

    Made by the constructors of :class:`tensord.Client`, and by the methods of
    other tensors. Tensors are immutable but for ``requires_grad``. A tensor
    without a name is deleted with its handle: when the last reference to the
    handle goes, or at the end of a ``with`` block. A named tensor stays when
    its handle goes, and is deleted by ``with``, :meth:`delete` and
    ``del client[name]``.

    Several threads may use a handle, but only one at a time may change
    ``requires_grad`` or delete. Methods that have a namesake in PyTorch do
    what that does, and raise what that raises.
    """

    __slots__ = (
        "__weakref__",
        "_client",
        "_grad_fn",
        "_info",
        "_native",
        "_requires_grad",
    )
    __module__ = "tensord"

    _client: Client
    _native: native.Tensor | None
    _info: native.Info
    _grad_fn: GradFn | None
    _requires_grad: builtins.bool

    def __init__(self) -> None:
        raise TypeError(
            "tensors are made by a client: tensord.connect(...).tensor(...)"
        )

    @classmethod
    def _make(
        cls, client: Client, native: native.Tensor, grad_fn: str | None = None
    ) -> RemoteTensor:
        made = object.__new__(cls)
        made._client = client
        made._native = native
        made._info = native.info()
        made._requires_grad = made._info["requires_grad"]
        name = made._info["grad_fn"]
        made._grad_fn = GradFn(grad_fn or name) if name else None
        client._handles[id(made)] = made
        return made

    @property
    def _handle(self) -> native.Tensor:
        """The native handle; refuses if there is none any more."""
        self._client._check_open()
        native = self._native
        if native is None:
            raise StateError("the tensor was deleted")
        return native

    # What it is.

    @property
    def id(self) -> str:
        """Its id on the server, whether it was given a name or not."""
        return self._info["id"]

    @property
    def etag(self) -> str:
        """Changes with every change of the tensor; for ``if_match``.

        As of the call that made this handle, or its last change by it.
        """
        return self._handle.info()["etag"]

    @property
    def name(self) -> str | None:
        """The name it was given; None if it goes with its handle."""
        native = self._native
        if native is not None and native.owned():
            return None
        return self.id

    @property
    def dtype(self) -> DType:
        """The type of its elements."""
        return ALL_DTYPES[self._info["dtype"]]

    @property
    def device(self) -> Device:
        """Where it lives."""
        return Device(self._info["device"])

    @property
    def shape(self) -> Size:
        """Its size along each dimension."""
        return Size(self._info["shape"])

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        return len(self._info["shape"])

    def dim(self) -> int:
        """Number of dimensions."""
        return self.ndim

    def numel(self) -> int:
        """Number of elements."""
        return self.shape.numel()

    def nelement(self) -> int:
        """Number of elements."""
        return self.numel()

    @property
    def itemsize(self) -> int:
        """Bytes of one element."""
        return self.dtype.itemsize

    def element_size(self) -> int:
        """Bytes of one element."""
        return self.itemsize

    @property
    def nbytes(self) -> int:
        """Bytes of all elements."""
        return self.numel() * self.itemsize

    def _size_of(self, sizes: tuple[int, ...], dim: Any, function: str) -> int:
        if self.ndim == 0:
            raise OutOfRangeError(
                f"Dimension specified as {dim} but tensor has no dimensions"
            )
        return sizes[dimension(dim, self.ndim, function)]

    def size(self, dim: int | None = None) -> Size | int:
        """Its shape, or its size along `dim`."""
        if dim is None:
            return self.shape
        return self._size_of(self.shape, dim, "size")

    def stride(self, dim: int | None = None) -> tuple[int, ...] | int:
        """Its strides in elements, or the one along `dim`."""
        strides = self._info["strides"]
        if dim is None:
            return strides
        return self._size_of(strides, dim, "stride")

    def storage_offset(self) -> int:
        """Where its first element lies in its storage, in elements."""
        return self._info["storage_offset"]

    def is_contiguous(self) -> builtins.bool:
        """Whether its elements lie in C order, without gaps."""
        if self.numel() == 0:
            return True
        expected = 1
        shape, strides = self._info["shape"], self._info["strides"]
        for size, stride in zip(shape[::-1], strides[::-1], strict=True):
            if size != 1 and stride != expected:
                return False
            expected *= size
        return True

    @property
    def is_cuda(self) -> builtins.bool:
        """Whether it lives on a CUDA device."""
        return self.device.type == "cuda"

    @property
    def is_cpu(self) -> builtins.bool:
        """Whether it lives in CPU memory."""
        return self.device.type == "cpu"

    def is_floating_point(self) -> builtins.bool:
        """Whether its elements are floats."""
        return self.dtype.is_floating_point

    def is_complex(self) -> builtins.bool:
        """Whether its elements are complex."""
        return self.dtype.is_complex

    def is_signed(self) -> builtins.bool:
        """Whether its elements can be negative."""
        return self.dtype.is_signed

    @property
    def conversion_report(self) -> ConversionReport | None:
        """What the call that made this handle did to the values.

        None unless that call was given ``report=True``.
        """
        report = self._info["conversion_report"]
        return None if report is None else ConversionReport(*report)

    # Autograd's flags.

    @property
    def is_leaf(self) -> builtins.bool:
        """Whether it is at the start of a graph, as PyTorch has it."""
        return self._info["is_leaf"]

    @property
    def grad_fn(self) -> GradFn | None:
        """What would have made it; None for leaves."""
        return self._grad_fn

    @property
    def requires_grad(self) -> builtins.bool:
        """Whether it requires grad; can be set on leaves."""
        return self._requires_grad

    @requires_grad.setter
    def requires_grad(self, value: builtins.bool) -> None:
        if not isinstance(value, bool):
            raise StateError(
                "requires_grad must be a bool", code="INVALID_ARGUMENT"
            )
        self._set_requires_grad(
            value,
            "only Tensors of floating point and complex dtype can require "
            "gradients",
        )

    def requires_grad_(
        self, requires_grad: builtins.bool = True
    ) -> RemoteTensor:
        """Changes whether it requires grad, and returns this tensor."""
        if not isinstance(requires_grad, bool):
            raise InvalidTypeError(
                "requires_grad_(): argument 'requires_grad' (position 1) must "
                f"be bool, not {type(requires_grad).__name__}"
            )
        self._set_requires_grad(
            requires_grad,
            "only Tensors of floating point dtype can require gradients",
        )
        return self

    def _set_requires_grad(self, value: builtins.bool, refusal: str) -> None:
        if value and not self.dtype._can_require_grad:
            raise StateError(
                refusal, code="INVALID_ARGUMENT", reason="GRAD_DTYPE"
            )
        if value == self._requires_grad:
            return
        self._handle.set_requires_grad(value)
        self._requires_grad = value

    # New tensors.

    def _transform(
        self,
        *operations: tuple[Any, ...],
        kept: Keeping | None = None,
        grad_fn: str | None = None,
    ) -> RemoteTensor:
        """A new tensor; `grad_fn` is for steps that PyTorch has a name for."""
        how = (
            ("", None, None, False, "")
            if kept is None
            else (kept.id, kept.ttl, kept.lease, kept.replace, kept.if_match)
        )
        native = self._handle.transform(operations, *how)
        return RemoteTensor._make(self._client, native, grad_fn)

    # Elements.

    def _read(
        self,
        index: Any = (),
        dtype: DType | None = None,
        overflow: str = "torch",
        force: builtins.bool = False,
        out: np.ndarray | None = None,
    ) -> np.ndarray:
        """The elements, or some of them, in one call."""
        code = None if dtype is None else dtype._code
        options = (index, code, overflow_code(overflow), force)
        handle = self._handle
        layout = handle.read_layout(*options)
        if out is not None:
            check_out(out, layout)
            memory = memory_of(out, layout)
            if memory is not None:
                handle.read_into(memory, *options)
                return out
        array, memory = allocate(layout)
        handle.read_into(memory, *options)
        if out is None:
            return array
        out[...] = array
        return out

    def _check_readable(self) -> None:
        """PyTorch's two refusals, in its order."""
        if self.is_cuda:
            raise InvalidTypeError(
                f"can't convert {self.device} device type tensor to numpy. "
                "Use Tensor.cpu() to copy the tensor to host memory first.",
                code="FAILED_PRECONDITION",
                reason="NEEDS_CPU",
            )
        if self._requires_grad:
            raise StateError(
                "Can't call numpy() on Tensor that requires grad. Use "
                "tensor.detach().numpy() instead.",
                reason="NEEDS_DETACH",
            )

    def numpy(
        self,
        *,
        force: builtins.bool = False,
        dtype: Any = None,
        overflow: str = "torch",
        out: np.ndarray | None = None,
    ) -> np.ndarray:
        """The elements as a NumPy array of their own, which is writable.

        Parameters
        ----------
        force
            Reads from any device, and whether or not grad is required.
        dtype : dtype, optional
            Reads the elements as this dtype.
        overflow : {"torch", "saturate", "error"}
            What becomes of values that `dtype` can not hold.
        out : numpy.ndarray, optional
            Takes the elements, and is returned. Has to have the dtype and
            shape of the result.

        Returns
        -------
        numpy.ndarray
            In the memory order of the tensor, where that is dense. bfloat16
            and float8 come as ml_dtypes' types.

        Raises
        ------
        InvalidTypeError
            The tensor is not in CPU memory.
        StateError
            The tensor requires grad.
        """
        wanted = None if dtype is None else to_dtype(dtype, "numpy")
        if not check_bool(force, "numpy", "force"):
            self._check_readable()
        return self._read((), wanted, overflow, force, out)

    def __array__(
        self, dtype: Any = None, copy: builtins.bool | None = None
    ) -> np.ndarray:
        if copy is False:
            raise ValueError(
                "Unable to avoid copy while creating an array as requested."
            )
        array = self.numpy()
        return array if dtype is None else array.astype(dtype, copy=False)

    def __dlpack__(self, **options: Any) -> Any:
        if self._requires_grad:
            raise BufferError(
                "Can't export tensors that require gradient, use "
                "tensor.detach()"
            )
        array = self.numpy()
        if self.dtype in DLPACK_TYPES:
            return to_dlpack(array, self.dtype)
        try:
            return array.__dlpack__(**options)
        except TypeError:
            # NumPy before 2.1 knows none of the newer options.
            return array.__dlpack__()

    def __dlpack_device__(self) -> tuple[int, int]:
        if self.is_cuda:
            self._check_readable()
        return np.empty(0).__dlpack_device__()

    def __repr__(self) -> str:
        if self._native is None or self._client._closed:
            return f"<tensord.RemoteTensor '{self.id}', deleted or closed>"
        place = [] if self.is_cpu else [f"device='{self.device}'"]
        if self._grad_fn is not None:
            history = [f"grad_fn=<{self._grad_fn.name()}>"]
        else:
            history = ["requires_grad=True"] if self._requires_grad else []
        return tensor_text(
            self.shape, self._fetch, place, self._dtype_note, history
        )

    def _fetch(self, parts: tuple[slice, ...]) -> np.ndarray:
        index = [(part.start, part.stop, None) for part in parts]
        return printable(self._read(index, force=True))

    def _dtype_note(self, empty: builtins.bool) -> str | None:
        silent = {"float32"} if empty else _SILENT_DTYPES
        return None if self.dtype._name in silent else f"dtype={self.dtype}"

    # Lifetime.

    def delete(self) -> None:
        """Deletes the tensor from the server, named or not."""
        native, self._native = self._handle, None
        native.delete()

    def __enter__(self) -> RemoteTensor:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._native is not None and not self._client._closed:
            self.delete()

    def _drop(self) -> None:
        """Lets go; deletes an unnamed tensor, without complaint."""
        self._native = None

    def _release(self) -> None:
        """Lets go and leaves the tensor where it is."""
        native, self._native = self._native, None
        if native is not None:
            native.release()

    def __reduce__(self) -> Any:
        raise TypeError(
            "cannot pickle a tensord.RemoteTensor: it is a handle on a tensor "
            "in a server; pickle its numpy()"
        )


# Dtypes that a list of Python numbers gets, which go without saying.
_SILENT_DTYPES = frozenset({"float32", "int64", "bool", "complex64"})
