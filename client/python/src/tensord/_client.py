"""A connection to a server, and the constructors of tensors."""

from __future__ import annotations

import builtins
import contextlib
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from tensord import _native as native
from tensord._arguments import Keeping, KeepingOptions
from tensord._batch import Batches
from tensord._connection import (
    Settings,
    checked_name,
    connect_call,
    open_connection,
)
from tensord._constructors import Constructors, copy_steps
from tensord._device import device
from tensord._dtype import BY_NAME, dtype
from tensord._endpoint import Endpoint, endpoint
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
from tensord._progress import check_progress, reporting, run_call
from tensord._side_by_side import run_side_by_side
from tensord._tensor import RemoteTensor
from tensord.errors import NotFoundError, TensordError

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from tensord._progress import Progress

# How long closing waits for one tensor to be deleted before it leaves the rest
# to the server.
_PATIENCE_SECONDS = 1.0


def connect(
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
    """Connects to a server.

    The first call sets glibc's allocator up for the whole process: it keeps up
    to 64 MiB of freed memory per heap, and takes blocks of up to 32 MiB from
    its heaps. ``TENSORD_KEEP_FREED_MEMORY=0`` in the environment prevents it.

    Parameters
    ----------
    target
        ``"host:port"``, ``"unix:PATH"``, ``"tensord://host:port"``, or with
        TLS ``"tensords://host:port"``. Without one the environment says:
        ``TENSORD_URL`` (``localhost:50051`` if not), ``TENSORD_TOKEN`` and
        ``TENSORD_CLIENT_TLS_CA``, ``_CERT`` and ``_KEY`` stand for this
        argument and those below that are not given.
    timeout
        Most seconds that connecting may take, and each call that moves no
        array.
    tls
        Encrypts; implied by any of the files below.
    tls_ca
        PEM file of the authorities to trust; the system's if not given.
    tls_cert, tls_key
        PEM files of this client, for servers that ask for them.
    token
        Says who calls, to servers that ask for it; goes with every call.
        Without TLS only to a Unix socket or to this host.
    insecure
        Lets the token go to other hosts without TLS, as where a proxy on the
        way encrypts.
    max_attempts
        How often a call is made at most where the connection fails, or the
        server asks to come again: after 0.1 s, then twice as long each time, a
        second at most. No call is done twice by it. Transfers go on where they
        stopped, and count anew once they get further.
    checksums
        Lets server and client check a CRC-32C of every piece of an array that
        travels in pieces. Makes transfers an eighth slower.
    max_connections
        Most connections that one array is created or read over at a time, from
        8 MiB on; 1 to 64. The others than the first are opened when they are
        needed, and stay.

    Returns
    -------
    Client

    Raises
    ------
    InvalidArgumentError
        `target` is none of these, a file can not be used, or `token` is none
        of RFC 6750, or could be read by others on its way.
    UnavailableError, DeadlineExceededError
        No server answers there.
    """
    where = endpoint(target, tls, tls_ca, tls_cert, tls_key, token)
    settings = Settings(
        timeout, insecure, max_attempts, checksums, max_connections
    )
    return Client._connect(where, settings)


class Client(Constructors[RemoteTensor], Batches, Namespace):
    """A connection to a server. Thread-safe; made by :func:`tensord.connect`.

    ``client[name]`` is a handle on a named tensor, ``del client[name]``
    deletes it, ``name in client`` tells whether it is there, and iteration
    gives all names.

    The keyword-only arguments of the constructors:

    ``name``
        Keeps the tensor on the server under this name, until it is deleted.
        Without one it goes with its handle.
    ``overflow``
        What becomes of values that the dtype can not hold: ``"torch"``,
        ``"saturate"`` or ``"error"``.
    ``ttl``
        Seconds, or a `datetime.timedelta`, after which the server deletes the
        tensor.
    ``lease``
        The same from the last use on: reading the tensor, or transforming it,
        renews the lease. Not together with ``ttl``.
    ``replace``
        Takes the place of the tensor of that name, if there is one; who reads
        that finishes undisturbed.
    ``if_match``
        Takes the place of the tensor of that name only while its
        :attr:`RemoteTensor.etag` is this.
    ``report``
        Asks what the conversion on the server did to the values, for
        :attr:`RemoteTensor.conversion_report`. Costs some time.
    ``progress``
        Tells how far the transfer has come: a callable is called with the
        bytes that have travelled and with how many there are, some times a
        second, on this thread; what it raises ends the transfer. True shows a
        bar, which needs tqdm. None does that only on a terminal, for transfers
        of 64 MiB and more that take long, and where the environment does not
        have ``TENSORD_PROGRESS=0``; False never.
    """

    __module__ = "tensord"

    @classmethod
    def _connect(cls, where: Endpoint, settings: Settings) -> Client:
        call = connect_call(where, settings)
        return cls._make(call.run(), where, settings)

    @classmethod
    def _handle_in(
        cls, where: tuple[Any, ...], settings: tuple[Any, ...], id: str
    ) -> RemoteTensor:
        """The handle that a pickle stands for."""
        place = Endpoint(*where)
        client = open_connection(cls, place)
        if client is None:
            how = Settings(*settings)
            client = cls._connect(place.with_own_token(), how)
        return client[id]

    # Constructors.

    def _create(
        self,
        array: np.ndarray,
        kept: Keeping,
        target: dtype | None = None,
        place: device | None = None,
        requires_grad: bool = False,
    ) -> RemoteTensor:
        call = self._create_call(array, kept, target, place, requires_grad)
        made = run_call(call, kept.progress, array.nbytes)
        return RemoteTensor._make(self, made)

    def _copy(
        self,
        source: RemoteTensor,
        kept: Keeping,
        target: dtype | None,
        place: device | None,
        requires_grad: bool,
    ) -> RemoteTensor:
        wanted = target or source.dtype
        if source._client is not self:
            array = source.numpy(force=True)
            return self._create(array, kept, wanted, place, requires_grad)
        copy = source._transform(*copy_steps(wanted, place, kept), kept=kept)
        return copy.requires_grad_() if requires_grad else copy

    def _as_float32(self, source: RemoteTensor, kept: Keeping) -> RemoteTensor:
        array = source.numpy(force=True)
        return self._create(array, kept, BY_NAME["float32"])

    def convert(
        self,
        array: Any,
        dtype: Any,
        overflow: str = "torch",
        *,
        progress: Progress = None,
    ) -> np.ndarray:
        """Casts an array on the server, which stores nothing.

        Parameters
        ----------
        array
            What :meth:`tensor` takes.
        dtype : dtype
            The dtype of the result.
        overflow : {"torch", "saturate", "error"}
            What becomes of values that it can not hold.
        progress
            As of a constructor; both arrays count.

        Returns
        -------
        numpy.ndarray
            Writable, in the memory order of a dense `array`.

        Examples
        --------
        >>> c.convert(np.array([1.9, -1, 300]), "uint8")
        array([  1, 255,  44], dtype=uint8)
        >>> c.convert(np.array([1.9, -1, 300]), "uint8", "saturate")
        array([  1,   0, 255], dtype=uint8)
        """
        check_progress(progress)
        call, result, travels = self._convert_call(array, dtype, overflow)
        run_call(call, progress, travels)
        return result

    def convert_many(
        self, arrays: Iterable[Any], dtype: Any, overflow: str = "torch"
    ) -> builtins.list[np.ndarray]:
        """Casts many arrays on the server, several at a time.

        Parameters
        ----------
        arrays
            Of what :meth:`tensor` takes.
        dtype, overflow
            Of all results, as of :meth:`convert`.

        Returns
        -------
        list of numpy.ndarray
            In the order of `arrays`.

        Raises
        ------
        TensordError
            What :meth:`convert` raises for an array that is refused; the
            conversions that are under way are given up.

        Examples
        --------
        >>> c.convert_many([[1.9, -1], [300]], "int16")
        [array([ 1, -1], dtype=int16), array([300], dtype=int16)]
        """
        results: builtins.list[np.ndarray] = []

        def calls() -> Iterator[native.ConvertCall]:
            for array in arrays:
                call, result, _ = self._convert_call(array, dtype, overflow)
                results.append(result)
                yield call

        run_side_by_side(calls())
        return results

    # Files.

    def load(
        self,
        file: File,
        *,
        format: str | None = None,
        dtype: Any = None,
        device: Any = None,
        requires_grad: bool = False,
        **kept: Unpack[KeepingOptions],
    ) -> Any:
        """Stores the arrays of a .npy, .npz or .safetensors file.

        Files of any size: they go from the disk to the server piece by piece.
        Pickled objects are never read. The file may not be truncated
        meanwhile.

        Parameters
        ----------
        file
            A path, or a binary file.
        format : {"npy", "npz", "safetensors"}, optional
            As the name ends, if not given.
        dtype : dtype, optional
            The dtype to store. A .npy of bfloat16 or float8 does not say what
            it is, and needs it.
        device, requires_grad, **kept
            As of :meth:`tensor`. For a file of several arrays, ``name`` is
            what their names begin with, which may be empty.

        Returns
        -------
        RemoteTensor or dict of RemoteTensor
            The array of a .npy; those of other files by name. If one of these
            is refused, none is kept.

        Raises
        ------
        InvalidArgumentError
            The file is damaged, or of another format.
        InvalidTypeError
            It has elements that tensors can not have.
        OSError
            It can not be read.

        Examples
        --------
        >>> np.savez("weights.npz", w=np.ones((2, 2)), b=np.zeros(2))
        >>> c.load("weights.npz", dtype="float16")["b"]
        tensor([0., 0.], dtype=tensord.float16)
        """
        loading = Loading(file, format, dtype, kept)
        if loading.single is not None:
            return self.tensor(
                loading.single, dtype, device, requires_grad, **loading.kept
            )
        made: dict[str, RemoteTensor] = {}
        with reporting(loading.progress, loading.size_bytes) as report:
            loading.report_to(report)
            try:
                for key, array in loading.arrays.items():
                    options = loading.options_of(key)
                    made[key] = self.tensor(
                        array, dtype, device, requires_grad, **options
                    )
            except BaseException:
                for tensor in made.values():
                    with contextlib.suppress(TensordError):
                        tensor.delete()
                raise
        return made

    def save(
        self,
        file: File,
        tensors: Mapping[str, RemoteTensor],
        *,
        format: str | None = None,
        dtype: Any = None,
        overflow: str = "torch",
        progress: Progress = None,
    ) -> None:
        """Writes tensors to a .npz or .safetensors file, from any device.

        They go from the server to the disk piece by piece. A path has the new
        file when it is complete, and what it had until then.

        Parameters
        ----------
        file
            A path, or a binary file.
        tensors
            By the names that the file has for them.
        format : {"npy", "npz", "safetensors"}, optional
            As the name ends, if not given.
        dtype : dtype, optional
            Writes the elements as this dtype.
        overflow : {"torch", "saturate", "error"}
            What becomes of values that `dtype` can not hold.
        progress
            As of a constructor.

        Raises
        ------
        InvalidTypeError
            The format can not carry a dtype: .npz not bfloat16 and float8,
            .safetensors not complex128.
        OSError
            The file can not be written.

        Examples
        --------
        >>> c.save("w.safetensors", {"w": c.tensor([1.5]), "n": c.tensor([7])})
        >>> {name: t.dtype for name, t in c.load("w.safetensors").items()}
        {'n': tensord.int64, 'w': tensord.float32}
        """
        saving = Saving(tensors, dtype, overflow, progress)
        with (
            saving.reporting(),
            create_arrays(file, saving.specs, format) as destinations,
        ):
            for name, destination in destinations:
                tensors[name]._read_to(destination, saving)

    # Names.

    def __getitem__(self, name: str) -> RemoteTensor:
        """A handle on the tensor of that name."""
        call = native.GetCall(self._open, checked_name(name))
        return RemoteTensor._make(self, call.run())

    def __delitem__(self, name: str) -> None:
        """Deletes the tensor of that name."""
        native.DeleteCall(self._open, checked_name(name)).run()

    def __contains__(self, name: object) -> bool:
        if not isinstance(name, str):
            return False
        try:
            native.GetCall(self._open, name).run()
        except NotFoundError:
            return False
        return True

    def __iter__(self) -> Iterator[str]:
        """The names of all tensors, in ascending order."""
        return (info.name for info in self.infos())

    def list(
        self, *, filter: str = "", order_by: str = ""
    ) -> builtins.list[str]:
        """The names of all tensors, or of those that pass a filter.

        Those that the server made up for tensors without a name are among
        them. See :meth:`infos` for the arguments.
        """
        infos = self.infos(filter=filter, order_by=order_by)
        return [info.name for info in infos]

    def infos(
        self, *, filter: str = "", order_by: str = ""
    ) -> Iterator[TensorInfo]:
        """What is known of all tensors, or of those that pass a filter.

        Parameters
        ----------
        filter
            Terms joined by ``AND``, such as
            ``'name = "tensors/run-1/*" AND size_bytes > 1000'``. Fields are
            ``name``, ``dtype``, ``device``, ``requires_grad``,
            ``size_bytes``, ``create_time``, ``update_time`` and
            ``expire_time``.
        order_by
            ``"name"`` (the default), ``"create_time"``, ``"update_time"`` or
            ``"size_bytes"``, with ``" desc"`` behind it for descending order.

        Raises
        ------
        InvalidArgumentError
            The filter or the order can not be understood.
        """
        connection, token = self._open, ""
        while True:
            call = native.ListCall(connection, 0, token, filter, order_by)
            page, token = call.run()
            yield from map(tensor_info, page)
            if not token:
                return

    # The server.

    def devices(self) -> builtins.list[DeviceInfo]:
        """The devices that can hold tensors."""
        return [*map(device_info, native.DevicesCall(self._open).run())]

    def server_info(self) -> ServerInfo:
        """The server's version, capabilities and limits."""
        return server_info(native.ServerInfoCall(self._open).run())

    # Lifetime.

    def close(self) -> None:
        """Deletes this client's unnamed tensors and lets the connection go.

        Closing twice is fine. Handles of a closed client refuse calls.
        """
        if self._closed:
            return
        self._closed = True
        release = False
        for handle in self._living_handles():
            started = time.monotonic()
            if release:
                handle._release()
            handle._drop()
            # A server that does not answer will not answer the next one.
            release |= time.monotonic() - started > _PATIENCE_SECONDS
        self._native = None

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _close_at_exit(self) -> None:
        self.close()
