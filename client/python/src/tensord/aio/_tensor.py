"""Tensors in a server, and tensors that are yet to be made."""

from __future__ import annotations

import builtins
import functools
import inspect
from collections.abc import Callable, Coroutine, Generator
from typing import TYPE_CHECKING, Any, ParamSpec

import numpy as np

from tensord import _native as native
from tensord._arguments import Keeping, check_bool
from tensord._casts import Casts
from tensord._described import Described
from tensord._dtype import dtype as DType
from tensord._dtype import to_dtype
from tensord._files import File, format_of
from tensord._interchange import to_torch
from tensord._loading import Saving
from tensord._progress import check_progress
from tensord._scalars import python_element, python_list
from tensord._views import Views
from tensord.errors import InvalidTypeError

if TYPE_CHECKING:
    from tensord._progress import Progress
    from tensord.aio._client import Client

_Arguments = ParamSpec("_Arguments")

if TYPE_CHECKING:

    class _Methods(Casts["PendingTensor"], Views["PendingTensor"]):
        async def numpy(
            self,
            *,
            force: builtins.bool = False,
            dtype: Any = None,
            overflow: str = "torch",
            out: np.ndarray | None = None,
            progress: Progress = None,
        ) -> np.ndarray: ...
        async def torch(self) -> Any: ...
        async def save(
            self,
            file: File,
            *,
            format: str | None = None,
            dtype: Any = None,
            overflow: str = "torch",
            progress: Progress = None,
        ) -> None: ...
        async def item(self) -> builtins.bool | int | float | complex: ...
        async def tolist(self) -> Any: ...
        async def delete(self) -> None: ...
        def requires_grad_(
            self, requires_grad: builtins.bool = True
        ) -> PendingTensor: ...

else:

    class _Methods:
        pass


# What gives a tensor.
_MAKERS = {
    name
    for name in (*vars(Casts), *vars(Views), "requires_grad_")
    if not name.startswith("_")
}


class PendingTensor(_Methods, Coroutine[Any, Any, "RemoteTensor"]):
    """A tensor that is yet to be made: a coroutine with a tensor's methods.

    ``await t.half()`` gives the tensor; ``t.half().detach()`` is another that
    is yet to be made, and ``await t.half().numpy()`` reads it and lets it go.
    """

    __slots__ = ("_coroutine",)
    __module__ = "tensord.aio"

    def __init__(self, coroutine: Coroutine[Any, Any, RemoteTensor]) -> None:
        self._coroutine = coroutine

    def send(self, value: Any) -> Any:
        return self._coroutine.send(value)

    def throw(self, *exception: Any) -> Any:
        return self._coroutine.throw(*exception)

    def close(self) -> None:
        self._coroutine.close()

    def __await__(self) -> Generator[Any, Any, RemoteTensor]:
        return self._coroutine.__await__()

    def __getitem__(self, key: Any) -> PendingTensor:
        return PendingTensor(self._then("__getitem__", key))

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            what = getattr(RemoteTensor, name)
            if inspect.iscoroutinefunction(what):
                return functools.partial(self._then, name)
            if name not in _MAKERS:
                raise AttributeError(
                    f"'{name}' of a tensor that is yet to be made: await it "
                    "first"
                )
            if isinstance(what, property):
                return PendingTensor(self._then(name))
            return lambda *args, **kwargs: PendingTensor(
                self._then(name, *args, **kwargs)
            )

    async def _then(self, name: str, *args: Any, **kwargs: Any) -> Any:
        """What an attribute of the tensor gives, once that is made."""
        what = getattr(await self, name)
        return await (what(*args, **kwargs) if callable(what) else what)


def pending(
    make: Callable[_Arguments, Coroutine[Any, Any, RemoteTensor]],
) -> Callable[_Arguments, PendingTensor]:
    """Has a coroutine function that makes a tensor give a PendingTensor."""

    @functools.wraps(make)
    def begin(
        *args: _Arguments.args, **kwargs: _Arguments.kwargs
    ) -> PendingTensor:
        return PendingTensor(make(*args, **kwargs))

    return begin


class RemoteTensor(Described, Casts[PendingTensor], Views[PendingTensor]):
    """A handle on a tensor in a server, as :class:`tensord.RemoteTensor` is.

    Methods that make a tensor give a :class:`PendingTensor`, which is to be
    awaited, as are those that read one. A tensor without a name is deleted in
    the background when its handle goes; ``async with`` and :meth:`delete` wait
    for that.
    """

    __slots__ = ()
    __module__ = "tensord.aio"

    _client: Client

    @pending
    async def requires_grad_(
        self, requires_grad: builtins.bool = True
    ) -> RemoteTensor:
        """Changes whether it requires grad, and returns this tensor."""
        if self._grad_changes(requires_grad):
            call = native.SetRequiresGradCall(self._handle, requires_grad)
            self._changed(await self._client._run(call))
        return self

    @pending
    async def _itself(self) -> RemoteTensor:
        return self

    @pending
    async def _transform(
        self,
        *operations: tuple[Any, ...],
        kept: Keeping | None = None,
        grad_fn: str | None = None,
    ) -> RemoteTensor:
        call = self._transform_call(operations, kept)
        made = await self._client._run(call)
        return RemoteTensor._make(self._client, made, grad_fn)

    async def _read(
        self,
        index: Any = (),
        dtype: DType | None = None,
        overflow: str = "torch",
        force: builtins.bool = False,
        out: np.ndarray | None = None,
        progress: Progress = False,
    ) -> np.ndarray:
        read = self._read_call(index, dtype, overflow, force, out)
        await self._client._run(read.call, progress, read.array.nbytes)
        return read.result()

    async def _read_to(self, destination: np.ndarray, saving: Saving) -> None:
        if not self._fills(destination, saving.dtype):
            # The server lays it out.
            async with await self.contiguous() as dense:
                return await dense._read_to(destination, saving)
        await self._read(
            (),
            saving.dtype,
            saving.overflow,
            True,
            destination,
            saving.next_part(destination.nbytes),
        )

    async def numpy(
        self,
        *,
        force: builtins.bool = False,
        dtype: Any = None,
        overflow: str = "torch",
        out: np.ndarray | None = None,
        progress: Progress = None,
    ) -> np.ndarray:
        """The elements; see :meth:`tensord.RemoteTensor.numpy`."""
        wanted = None if dtype is None else to_dtype(dtype, "numpy")
        check_progress(progress)
        if not check_bool(force, "numpy", "force"):
            self._check_readable()
        return await self._read((), wanted, overflow, force, out, progress)

    async def torch(self) -> Any:
        """A tensor of PyTorch; see :meth:`tensord.RemoteTensor.torch`."""
        return to_torch(await self.numpy())

    async def save(
        self,
        file: File,
        *,
        format: str | None = None,
        dtype: Any = None,
        overflow: str = "torch",
        progress: Progress = None,
    ) -> None:
        """Writes a file; see :meth:`tensord.RemoteTensor.save`."""
        found = format_of(file, format)
        await self._client.save(
            file,
            {self._name_in(found): self},
            format=found,
            dtype=dtype,
            overflow=overflow,
            progress=progress,
        )

    async def item(self) -> builtins.bool | int | float | complex:
        """The one element; see :meth:`tensord.RemoteTensor.item`."""
        self._check_item()
        return python_element(await self._read(force=True))

    async def tolist(self) -> Any:
        """The elements as nested lists; a number for a 0-d tensor."""
        return python_list(await self._read(force=True))

    async def delete(self) -> None:
        """Deletes the tensor from the server, named or not."""
        handle, self._native = self._handle, None
        await self._client._run(native.DeleteTensorCall(handle))

    async def __aenter__(self) -> RemoteTensor:
        return self

    async def __aexit__(self, *exception: object) -> None:
        if self._native is not None and not self._client._closed:
            await self.delete()

    def _needs_await(self, *_: Any, **__: Any) -> Any:
        raise InvalidTypeError(
            "the elements of a tensord.aio.RemoteTensor have to be awaited: "
            "await t.numpy(), t.item() or t.tolist()"
        )

    __array__ = __bool__ = __complex__ = __float__ = __index__ = __int__ = (
        _needs_await
    )
    __contains__ = __dlpack__ = __dlpack_device__ = _needs_await

    def __repr__(self) -> str:
        if self._native is None or self._client._closed:
            return f"<tensord.aio.RemoteTensor '{self.id}', deleted or closed>"
        return (
            f"<tensord.aio.RemoteTensor '{self.id}', shape "
            f"{list(self.shape)}, {self.dtype}, on {self.device}>"
        )
