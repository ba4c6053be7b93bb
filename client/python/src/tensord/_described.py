"""What is known of a tensor in a server without asking it."""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tensord import _native as native
from tensord._arguments import Keeping, OnServer, dimension, overflow_code
from tensord._array import allocate, check_out, memory_of
from tensord._device import Size
from tensord._device import device as Device
from tensord._dtype import ALL_DTYPES
from tensord._dtype import dtype as DType
from tensord._files import unnamed
from tensord._info import ConversionReport
from tensord.errors import InvalidTypeError, OutOfRangeError, StateError

if TYPE_CHECKING:
    from typing import Self

    from tensord._connection import Connection


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


class Read(NamedTuple):
    """A read, and where its elements go."""

    call: native.ReadCall
    array: np.ndarray
    # Takes them from there, if it can not take them at once.
    out: np.ndarray | None

    def result(self) -> np.ndarray:
        """The elements, once the call is over."""
        if self.out is None:
            return self.array
        self.out[...] = self.array
        return self.out


class Described(OnServer):
    """A handle on a tensor, and what it tells of it."""

    __slots__ = (
        "__weakref__",
        "_client",
        "_grad_fn",
        "_info",
        "_native",
        "_requires_grad",
    )

    _client: Connection
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
        cls,
        client: Connection,
        native: native.Tensor,
        grad_fn: str | None = None,
    ) -> Self:
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
        return self._info["etag"]

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
        """Whether it requires grad."""
        return self._requires_grad

    def _grad_changes(self, requires_grad: object) -> builtins.bool:
        """Whether ``requires_grad_(requires_grad)`` needs a call."""
        if not isinstance(requires_grad, bool):
            raise InvalidTypeError(
                "requires_grad_(): argument 'requires_grad' (position 1) must "
                f"be bool, not {type(requires_grad).__name__}"
            )
        return self._must_change(
            requires_grad,
            "only Tensors of floating point dtype can require gradients",
        )

    def _must_change(
        self, value: builtins.bool, refusal: str
    ) -> builtins.bool:
        """Whether setting requires_grad to `value` needs a call."""
        if value and not self.dtype._can_require_grad:
            raise StateError(
                refusal, code="INVALID_ARGUMENT", reason="GRAD_DTYPE"
            )
        return value != self._requires_grad

    def _changed(self, info: native.Info) -> None:
        """Takes note of a change on the server."""
        info["conversion_report"] = self._info["conversion_report"]
        self._info = info
        self._requires_grad = info["requires_grad"]

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

    def _check_item(self) -> None:
        """Refuses to be one number where there is not one element."""
        count = self.numel()
        if count != 1:
            raise StateError(
                f"a Tensor with {count} elements cannot be converted to Scalar",
                code="INVALID_ARGUMENT",
            )

    # Calls.

    def _transform_call(
        self, operations: Sequence[tuple[Any, ...]], kept: Keeping | None
    ) -> native.TransformCall:
        how = (
            ("", None, None, False, "")
            if kept is None
            else (kept.id, kept.ttl, kept.lease, kept.replace, kept.if_match)
        )
        return native.TransformCall(self._handle, operations, *how)

    def _read_call(
        self,
        index: Any,
        dtype: DType | None,
        overflow: str,
        force: builtins.bool,
        out: np.ndarray | None,
    ) -> Read:
        code = None if dtype is None else dtype._code
        options = (index, code, overflow_code(overflow), force)
        handle = self._handle
        layout = handle.read_layout(*options)
        if out is not None:
            check_out(out, layout)
            memory = memory_of(out, layout)
            if memory is not None:
                call = native.ReadCall(handle, memory, *options)
                return Read(call, out, None)
        array, memory = allocate(layout)
        return Read(native.ReadCall(handle, memory, *options), array, out)

    def _name_in(self, format: str) -> str:
        """What a file of this format calls it that has no other name."""
        name = self.name if format == "safetensors" else None
        return unnamed(format) if name is None else name

    def _fills(
        self, destination: np.ndarray, dtype: DType | None
    ) -> builtins.bool:
        """Whether a read into this array needs no memory beside it."""
        code = None if dtype is None else dtype._code
        layout = self._handle.read_layout((), code, 0, True)
        return (
            destination.size == 0 or memory_of(destination, layout) is not None
        )

    # Lifetime.

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
            f"cannot pickle a {type(self).__module__}.RemoteTensor: it belongs "
            "to an event loop; pickle its id, and get() it where it is used"
        )
