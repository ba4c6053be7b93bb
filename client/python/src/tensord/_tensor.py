"""A tensor that lives in a server."""

from __future__ import annotations

import builtins
from typing import TYPE_CHECKING, Any

import numpy as np

from tensord import _native as native
from tensord._arguments import Keeping, check_bool
from tensord._array import DLPACK_TYPES, to_dlpack
from tensord._casts import Casts
from tensord._described import Described
from tensord._dtype import dtype as DType
from tensord._dtype import to_dtype
from tensord._files import File, format_of
from tensord._format import printable, tensor_text
from tensord._interchange import to_torch
from tensord._progress import check_progress, run_call
from tensord._scalars import Scalars
from tensord._views import Views
from tensord.errors import StateError

if TYPE_CHECKING:
    from tensord._client import Client
    from tensord._loading import Saving
    from tensord._progress import Progress


class RemoteTensor(
    Described, Casts["RemoteTensor"], Views["RemoteTensor"], Scalars
):
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

    __slots__ = ()
    __module__ = "tensord"

    _client: Client

    # Autograd's flags.

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
        if self._must_change(
            value,
            "only Tensors of floating point and complex dtype can require "
            "gradients",
        ):
            self._set_requires_grad(value)

    def requires_grad_(
        self, requires_grad: builtins.bool = True
    ) -> RemoteTensor:
        """Changes whether it requires grad, and returns this tensor."""
        if self._grad_changes(requires_grad):
            self._set_requires_grad(requires_grad)
        return self

    def _set_requires_grad(self, value: builtins.bool) -> None:
        call = native.SetRequiresGradCall(self._handle, value)
        self._changed(call.run())

    def _itself(self) -> RemoteTensor:
        return self

    # New tensors.

    def _transform(
        self,
        *operations: tuple[Any, ...],
        kept: Keeping | None = None,
        grad_fn: str | None = None,
    ) -> RemoteTensor:
        call = self._transform_call(operations, kept)
        return RemoteTensor._make(self._client, call.run(), grad_fn)

    # Elements.

    def _read(
        self,
        index: Any = (),
        dtype: DType | None = None,
        overflow: str = "torch",
        force: builtins.bool = False,
        out: np.ndarray | None = None,
        progress: Progress = False,
    ) -> np.ndarray:
        """The elements, or some of them, in one call."""
        read = self._read_call(index, dtype, overflow, force, out)
        run_call(read.call, progress, read.array.nbytes)
        return read.result()

    def _read_to(self, destination: np.ndarray, saving: Saving) -> None:
        """Reads into a file's array, in C order, without more memory."""
        if not self._fills(destination, saving.dtype):
            # The server lays it out.
            with self.contiguous() as dense:
                return dense._read_to(destination, saving)
        self._read(
            (),
            saving.dtype,
            saving.overflow,
            True,
            destination,
            saving.next_part(destination.nbytes),
        )

    def numpy(
        self,
        *,
        force: builtins.bool = False,
        dtype: Any = None,
        overflow: str = "torch",
        out: np.ndarray | None = None,
        progress: Progress = None,
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
        progress
            As of the constructors of :class:`Client`.

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

        Examples
        --------
        >>> t = c.tensor([1.5, 2.5], requires_grad=True)
        >>> t.detach().cpu().numpy()
        array([1.5, 2.5], dtype=float32)
        >>> t.numpy(force=True, dtype="int8")
        array([1, 2], dtype=int8)
        """
        wanted = None if dtype is None else to_dtype(dtype, "numpy")
        check_progress(progress)
        if not check_bool(force, "numpy", "force"):
            self._check_readable()
        return self._read((), wanted, overflow, force, out, progress)

    def torch(self) -> Any:
        """The elements as a tensor of PyTorch, which shares nothing.

        In the memory of this host, a leaf that requires no grad.

        Raises
        ------
        InvalidTypeError
            The tensor is not in CPU memory; PyTorch is not installed.
        StateError
            The tensor requires grad.
        """
        return to_torch(self.numpy())

    def save(
        self,
        file: File,
        *,
        format: str | None = None,
        dtype: Any = None,
        overflow: str = "torch",
        progress: Progress = None,
    ) -> None:
        """Writes the tensor to a .npy, .npz or .safetensors file.

        From any device, and whether or not it requires grad. In .npz it is
        called ``arr_0``, in .safetensors by its name, or ``tensor``. See
        :meth:`Client.save` for arguments, errors and files of several tensors.

        Examples
        --------
        >>> c.tensor([1.5, 2.5]).save("halves.npy", dtype="float16")
        >>> np.load("halves.npy")
        array([1.5, 2.5], dtype=float16)
        """
        found = format_of(file, format)
        self._client.save(
            file,
            {self._name_in(found): self},
            format=found,
            dtype=dtype,
            overflow=overflow,
            progress=progress,
        )

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

    # Copies.

    def __reduce__(self) -> Any:
        """A handle on the same tensor, for other processes and hosts.

        It does not own the tensor: one without a name goes with the handle
        that was pickled. The pickle has the address, without the token: where
        it is loaded, a client of the same server is used that is connected
        already; without one it connects, with the token that the environment
        has for that server (see :func:`connect`).
        """
        client = self._client
        self._handle  # noqa: B018 - refuses what was deleted or closed
        where = client._where.without_token()
        how = (tuple(where), tuple(client._settings), self.id)
        return type(client)._handle_in, how

    def __copy__(self) -> RemoteTensor:
        """A tensor that shares storage, as PyTorch's."""
        return self._leaf(self._transform(("detach",)))

    def __deepcopy__(self, memo: dict[int, Any]) -> RemoteTensor:
        """A tensor with storage of its own, as PyTorch's: of leaves only."""
        if not self.is_leaf:
            raise StateError(
                "Only Tensors created explicitly by the user (graph leaves) "
                "support the deepcopy protocol at the moment.  If you were "
                "attempting to deepcopy a module, this may be because of a "
                "torch.nn.utils.weight_norm usage, see "
                "https://github.com/pytorch/pytorch/pull/103001"
            )
        copy = self._leaf(self._transform(("detach",), ("clone",)))
        memo[id(self)] = copy
        return copy

    def _leaf(self, copy: RemoteTensor) -> RemoteTensor:
        return copy.requires_grad_() if self._requires_grad else copy

    # Lifetime.

    def delete(self) -> None:
        """Deletes the tensor from the server, named or not."""
        handle, self._native = self._handle, None
        native.DeleteTensorCall(handle).run()

    def __enter__(self) -> RemoteTensor:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._native is not None and not self._client._closed:
            self.delete()


# Dtypes that a list of Python numbers gets, which go without saying.
_SILENT_DTYPES = frozenset({"float32", "int64", "bool", "complex64"})
