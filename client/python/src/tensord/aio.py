"""The client for asyncio: what :mod:`tensord` has, to be awaited.

>>> import asyncio, numpy as np, tensord.aio
>>> async def main():
...     async with await tensord.aio.connect("localhost:50051") as c:
...         t = await c.tensor(np.array([5, 7, 1]), dtype="float32")
...         return await t.detach().cpu().numpy()
>>> asyncio.run(main())
array([5., 7., 1.], dtype=float32)

Methods follow each other as in PyTorch, with one ``await`` for all of them.
Calls that are awaited at once, as by :func:`asyncio.gather`, run at once; no
call has a thread of its own. A task that is cancelled gives its call up, and
ends when the call has let go of the arrays that it was given. What needs no
server, such as ``t.shape``, is not awaited.
"""

from __future__ import annotations

import asyncio
import builtins
import contextlib
import functools
import inspect
import itertools
import os
from collections.abc import (
    AsyncIterator,
    Callable,
    Coroutine,
    Generator,
    Iterable,
    Mapping,
)
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, overload

import numpy as np

from tensord import _native as native
from tensord._arguments import (
    Keeping,
    KeepingOptions,
    Lifetime,
    check_bool,
)
from tensord._batch import (
    CreateBatch,
    DeleteBatch,
    PutOptions,
    Putting,
    ReadBatch,
    TransformBatch,
    batch_ids,
    with_handles,
)
from tensord._casts import Casts
from tensord._connection import (
    Connection,
    Settings,
    checked_name,
    connect_call,
)
from tensord._constructors import Constructors, copy_steps
from tensord._described import Described
from tensord._device import device as Device
from tensord._dtype import BY_NAME, to_dtype
from tensord._dtype import dtype as DType
from tensord._endpoint import endpoint
from tensord._files import File, create_arrays, format_of
from tensord._info import (
    DeviceInfo,
    ServerInfo,
    TensorInfo,
    device_info,
    server_info,
    tensor_info,
)
from tensord._interchange import to_torch
from tensord._loading import Loading, Saving
from tensord._namespace import Namespace
from tensord._progress import (
    INTERVAL_SECONDS,
    Counter,
    check_progress,
    reporting,
)
from tensord._scalars import python_element, python_list
from tensord._side_by_side import MOST_AT_ONCE
from tensord._views import Views
from tensord.errors import (
    InvalidTypeError,
    NotFoundError,
    StateError,
    TensordError,
)

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from tensord._progress import Progress

__all__ = ["Client", "PendingTensor", "RemoteTensor", "connect"]

_Result = TypeVar("_Result")
_Arguments = ParamSpec("_Arguments")


class _Calls:
    """The calls of a client that are under way in an event loop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._completions = native.Completions()
        self._keys = itertools.count()
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._loop.add_reader(self._completions.fileno(), self._take)

    async def run(
        self, call: native._Call[_Result], counter: Counter | None = None
    ) -> _Result:
        if asyncio.get_running_loop() is not self._loop:
            raise StateError("the client belongs to another event loop")
        key = next(self._keys)
        progress = None if counter is None else counter.native
        cancellation = call.begin(self._completions, key, progress)
        ended: asyncio.Future[_Result] = self._loop.create_future()
        self._waiting[key] = ended
        try:
            while counter is not None and not ended.done():
                await asyncio.wait([ended], timeout=INTERVAL_SECONDS)
                counter.tell()
            return await asyncio.shield(ended)
        except BaseException:
            cancellation.cancel()
            while not ended.done():
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.wait([ended])
            # Nobody asks for it any more.
            ended.exception()
            raise

    def _take(self) -> None:
        for key, result, exception in self._completions.drain():
            ended = self._waiting.pop(key)
            if exception is None:
                ended.set_result(result)
            else:
                ended.set_exception(exception)

    async def stop(self) -> None:
        """Waits for what is under way, and takes nothing any more."""
        while self._waiting:
            await asyncio.wait([*self._waiting.values()])
        if not self._loop.is_closed():
            self._loop.remove_reader(self._completions.fileno())


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


def _pending(
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

    @_pending
    async def requires_grad_(
        self, requires_grad: builtins.bool = True
    ) -> RemoteTensor:
        """Changes whether it requires grad, and returns this tensor."""
        if self._grad_changes(requires_grad):
            call = native.SetRequiresGradCall(self._handle, requires_grad)
            self._changed(await self._client._run(call))
        return self

    @_pending
    async def _itself(self) -> RemoteTensor:
        return self

    @_pending
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


async def connect(
    target: str | None = None,
    timeout: float = 30.0,
    *,
    tls: bool = False,
    tls_ca: str | os.PathLike[str] | None = None,
    tls_cert: str | os.PathLike[str] | None = None,
    tls_key: str | os.PathLike[str] | None = None,
    token: str | None = None,
    insecure: bool = False,
    max_attempts: int = 4,
    checksums: bool = False,
    max_connections: int = 2,
) -> Client:
    """Connects to a server; see :func:`tensord.connect`.

    The client belongs to the running event loop.
    """
    where = endpoint(target, tls, tls_ca, tls_cert, tls_key, token)
    settings = Settings(
        timeout, insecure, max_attempts, checksums, max_connections
    )
    call = connect_call(where, settings)
    calls = _Calls()
    try:
        connection = await calls.run(call)
    except BaseException:
        await calls.stop()
        raise
    client = Client._make(connection, where, settings)
    client._calls = calls
    return client


class Client(Constructors[PendingTensor], Connection, Namespace):
    """A connection to a server, as :class:`tensord.Client` is.

    Made by :func:`tensord.aio.connect`; belongs to one event loop. ``await
    client[name]`` is a handle on a named tensor, and ``async for`` gives all
    names.
    """

    __module__ = "tensord.aio"

    _calls: _Calls

    async def _run(
        self,
        call: native._Call[_Result],
        progress: Progress = False,
        total_bytes: int = 0,
    ) -> _Result:
        with reporting(progress, total_bytes) as report:
            counter = report and Counter(report, total_bytes)
            return await self._calls.run(call, counter)

    # Constructors.

    @_pending
    async def _create(
        self,
        array: np.ndarray,
        kept: Keeping,
        target: DType | None = None,
        place: Device | None = None,
        requires_grad: bool = False,
    ) -> RemoteTensor:
        call = self._create_call(array, kept, target, place, requires_grad)
        made = await self._run(call, kept.progress, array.nbytes)
        return RemoteTensor._make(self, made)

    @_pending
    async def _copy(
        self,
        source: RemoteTensor,
        kept: Keeping,
        target: DType | None,
        place: Device | None,
        requires_grad: bool,
    ) -> RemoteTensor:
        wanted = target or source.dtype
        if source._client is not self:
            array = await source.numpy(force=True)
            return await self._create(
                array, kept, wanted, place, requires_grad
            )
        steps = copy_steps(wanted, place, kept)
        copy = await source._transform(*steps, kept=kept)
        return await copy.requires_grad_() if requires_grad else copy

    @_pending
    async def _as_float32(
        self, source: RemoteTensor, kept: Keeping
    ) -> RemoteTensor:
        array = await source.numpy(force=True)
        return await self._create(array, kept, BY_NAME["float32"])

    async def convert(
        self,
        array: Any,
        dtype: Any,
        overflow: str = "torch",
        *,
        progress: Progress = None,
    ) -> np.ndarray:
        """Casts an array on the server; see :meth:`tensord.Client.convert`."""
        check_progress(progress)
        call, result, travels = self._convert_call(array, dtype, overflow)
        await self._run(call, progress, travels)
        return result

    # Files.

    async def load(
        self,
        file: File,
        *,
        format: str | None = None,
        dtype: Any = None,
        device: Any = None,
        requires_grad: bool = False,
        **kept: Unpack[KeepingOptions],
    ) -> Any:
        """Stores the arrays of a file; see :meth:`tensord.Client.load`."""
        loading = await asyncio.to_thread(Loading, file, format, dtype, kept)
        if loading.single is not None:
            return await self.tensor(
                loading.single, dtype, device, requires_grad, **loading.kept
            )
        made: dict[str, RemoteTensor] = {}
        with reporting(loading.progress, loading.size_bytes) as report:
            loading.report_to(report)
            try:
                for key, array in loading.arrays.items():
                    options = loading.options_of(key)
                    made[key] = await self.tensor(
                        array, dtype, device, requires_grad, **options
                    )
            except BaseException:
                for tensor in made.values():
                    with contextlib.suppress(TensordError):
                        await tensor.delete()
                raise
        return made

    async def save(
        self,
        file: File,
        tensors: Mapping[str, RemoteTensor],
        *,
        format: str | None = None,
        dtype: Any = None,
        overflow: str = "torch",
        progress: Progress = None,
    ) -> None:
        """Writes tensors to a file; see :meth:`tensord.Client.save`."""
        saving = Saving(tensors, dtype, overflow, progress)
        with (
            saving.reporting(),
            create_arrays(file, saving.specs, format) as destinations,
        ):
            # What is written in between takes a while, and must not stop the
            # event loop.
            while pair := await asyncio.to_thread(next, destinations, None):
                name, destination = pair
                await tensors[name]._read_to(destination, saving)

    # Many at once.

    async def create_batch(
        self,
        arrays: Iterable[np.ndarray],
        dtype: Any = None,
        device: Any = None,
        requires_grad: bool = False,
        *,
        names: Iterable[str] | None = None,
        overflow: str = "torch",
        ttl: Lifetime = None,
        lease: Lifetime = None,
        replace: bool = False,
        report: bool = False,
    ) -> builtins.list[RemoteTensor]:
        """Stores many arrays; see :meth:`tensord.Client.create_batch`."""
        batch = CreateBatch(
            self,
            arrays,
            dtype,
            device,
            requires_grad,
            names,
            overflow,
            ttl,
            lease,
            replace,
            report,
        )
        return self._handles_on(await self._run(batch.call))

    async def to_batch(
        self,
        tensors: Iterable[RemoteTensor],
        *args: Any,
        names: Iterable[str] | None = None,
        overflow: str = "torch",
        ttl: Lifetime = None,
        report: bool = False,
        **kwargs: Any,
    ) -> builtins.list[RemoteTensor]:
        """Casts many tensors; see :meth:`tensord.Client.to_batch`."""
        batch = TransformBatch(
            self, tensors, args, kwargs, names, overflow, ttl, report
        )
        made = self._handles_on(await self._run(batch.call))
        return batch.results(made)

    async def get_batch(
        self, names: Iterable[str]
    ) -> builtins.list[RemoteTensor]:
        """Handles on tensors; see :meth:`tensord.Client.get_batch`."""
        call = native.GetBatchCall(self._open, batch_ids(names))
        return self._handles_on(await self._run(call))

    async def numpy_batch(
        self,
        tensors: Iterable[RemoteTensor],
        *,
        force: bool = False,
        dtype: Any = None,
        overflow: str = "torch",
    ) -> builtins.list[np.ndarray]:
        """The elements of many; see :meth:`tensord.Client.numpy_batch`."""
        batch = ReadBatch(self, tensors, force, dtype, overflow)
        await self._run(batch.call)
        return batch.arrays

    async def delete_batch(self, tensors: Iterable[RemoteTensor]) -> None:
        """Deletes many; see :meth:`tensord.Client.delete_batch`."""
        await self._run(DeleteBatch(self, tensors).call)

    def _handles_on(
        self, made: builtins.list[native.Tensor]
    ) -> builtins.list[RemoteTensor]:
        return [RemoteTensor._make(self, one) for one in made]

    @overload
    async def put_many(
        self, arrays: Mapping[str, Any], **options: Unpack[PutOptions]
    ) -> dict[str, RemoteTensor]: ...
    @overload
    async def put_many(
        self, arrays: Iterable[Any], **options: Unpack[PutOptions]
    ) -> builtins.list[RemoteTensor]: ...
    async def put_many(
        self,
        arrays: Mapping[str, Any] | Iterable[Any],
        **options: Unpack[PutOptions],
    ) -> dict[str, RemoteTensor] | builtins.list[RemoteTensor]:
        """Stores many arrays; see :meth:`tensord.Client.put_many`."""
        putting = Putting(arrays, options)
        return putting.results(
            await self.create_batch(
                putting.arrays, names=putting.names, **putting.options
            )
        )

    async def get_many(
        self,
        tensors: Iterable[str | RemoteTensor],
        *,
        force: bool = False,
        dtype: Any = None,
        overflow: str = "torch",
    ) -> builtins.list[np.ndarray]:
        """The elements of many; see :meth:`tensord.Client.get_many`."""
        mixed = [*tensors]
        found = await self.get_batch(
            one for one in mixed if isinstance(one, str)
        )
        return await self.numpy_batch(
            with_handles(mixed, found),
            force=force,
            dtype=dtype,
            overflow=overflow,
        )

    async def convert_many(
        self, arrays: Iterable[Any], dtype: Any, overflow: str = "torch"
    ) -> builtins.list[np.ndarray]:
        """Casts many arrays; see :meth:`tensord.Client.convert_many`."""
        room = asyncio.Semaphore(MOST_AT_ONCE)

        async def convert(array: Any) -> np.ndarray:
            async with room:
                return await self.convert(
                    array, dtype, overflow, progress=False
                )

        tasks = [asyncio.create_task(convert(array)) for array in arrays]
        try:
            return [*await asyncio.gather(*tasks)]
        except BaseException:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            raise

    # Names.

    def __getitem__(self, name: str) -> PendingTensor:
        """A handle on the tensor of that name, to be awaited."""
        return self.get(name)

    @_pending
    async def get(self, name: str) -> RemoteTensor:
        """A handle on the tensor of that name."""
        call = native.GetCall(self._open, checked_name(name))
        return RemoteTensor._make(self, await self._run(call))

    async def exists(self, name: str) -> bool:
        """Whether there is a tensor of that name."""
        try:
            await self.get(name)
        except NotFoundError:
            return False
        return True

    async def delete(self, name: str) -> None:
        """Deletes the tensor of that name."""
        await self._run(native.DeleteCall(self._open, checked_name(name)))

    async def __aiter__(self) -> AsyncIterator[str]:
        """The names of all tensors, in ascending order."""
        async for info in self.infos():
            yield info.name

    async def list(
        self, *, filter: str = "", order_by: str = ""
    ) -> builtins.list[str]:
        """The names of tensors; see :meth:`tensord.Client.list`."""
        infos = self.infos(filter=filter, order_by=order_by)
        return [info.name async for info in infos]

    async def infos(
        self, *, filter: str = "", order_by: str = ""
    ) -> AsyncIterator[TensorInfo]:
        """What is known of tensors; see :meth:`tensord.Client.infos`."""
        connection, token = self._open, ""
        while True:
            call = native.ListCall(connection, 0, token, filter, order_by)
            page, token = await self._run(call)
            for info in page:
                yield tensor_info(info)
            if not token:
                return

    # The server.

    async def devices(self) -> builtins.list[DeviceInfo]:
        """The devices that can hold tensors."""
        devices = await self._run(native.DevicesCall(self._open))
        return [*map(device_info, devices)]

    async def server_info(self) -> ServerInfo:
        """The server's version, capabilities and limits."""
        return server_info(await self._run(native.ServerInfoCall(self._open)))

    # Lifetime.

    async def close(self) -> None:
        """Deletes this client's unnamed tensors and lets the connection go.

        Calls that are under way come to their end first. Closing twice is
        fine. Handles of a closed client refuse calls.
        """
        if self._closed:
            return
        self._closed = True
        call = self._forget_all()
        with contextlib.suppress(Exception):
            await self._run(call)
        await self._calls.stop()
        self._native = None

    def _forget_all(self) -> native.DeleteBatchCall:
        """Drops all handles; gives the call that deletes their tensors."""
        doomed = []
        for handle in self._living_handles():
            tensor, handle._native = handle._native, None
            if tensor is not None and tensor.owned():
                doomed.append(tensor)
        assert self._native is not None
        return native.DeleteBatchCall(self._native, doomed)

    def _close_at_exit(self) -> None:
        if self._closed:
            return
        self._closed = True
        with contextlib.suppress(Exception):
            self._forget_all().run()
        self._native = None

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.close()
