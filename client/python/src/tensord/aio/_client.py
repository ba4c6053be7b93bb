"""The client for asyncio."""

from __future__ import annotations

import asyncio
import builtins
import contextlib
import os
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar, overload

import numpy as np

from tensord import _native as native
from tensord._arguments import Keeping, KeepingOptions, Lifetime
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
from tensord._connection import (
    Connection,
    Settings,
    checked_name,
    connect_call,
)
from tensord._constructors import Constructors, copy_steps
from tensord._device import device as Device
from tensord._dtype import BY_NAME
from tensord._dtype import dtype as DType
from tensord._endpoint import endpoint
from tensord._files import File, create_arrays
from tensord._info import (
    DeviceInfo,
    ServerInfo,
    TensorInfo,
    device_info,
    server_info,
    tensor_info,
)
from tensord._loading import Loading, Saving
from tensord._namespace import Namespace
from tensord._progress import Counter, check_progress, reporting
from tensord._side_by_side import MOST_AT_ONCE
from tensord.aio._calls import Calls
from tensord.aio._tensor import PendingTensor, RemoteTensor, pending
from tensord.errors import NotFoundError, TensordError

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from tensord._progress import Progress

_Result = TypeVar("_Result")


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
    calls = Calls()
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

    _calls: Calls

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

    @pending
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

    @pending
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

    @pending
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

    @pending
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
