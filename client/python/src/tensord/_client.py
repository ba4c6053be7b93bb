"""A connection to a server, and the constructors of tensors."""

from __future__ import annotations

import atexit
import builtins
import datetime
import os
import time
import warnings
import weakref
from collections.abc import Iterator
from typing import Any

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
from tensord._array import Source, allocate, to_source
from tensord._batch import Batches
from tensord._device import device, to_device
from tensord._dtype import (
    ALL_DTYPES,
    BY_NAME,
    dtype,
    to_dtype,
    type_name,
)
from tensord._infer import array_from_data, is_sequence
from tensord._info import (
    DeviceInfo,
    ServerInfo,
    TensorInfo,
    device_info,
    server_info,
    tensor_info,
)
from tensord._tensor import RemoteTensor
from tensord.errors import InvalidTypeError, NotFoundError, StateError

# How long closing waits for one tensor to be deleted before it leaves the rest
# to the server.
_PATIENCE_SECONDS = 1.0

Lifetime = float | datetime.timedelta | None


def connect(
    target: str = "localhost:50051",
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
        ``"host:port"`` or ``"unix:PATH"``.
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
        `target` is neither of the two, a file can not be used, or `token` is
        none of RFC 6750, or could be read by others on its way.
    UnavailableError, DeadlineExceededError
        No server answers there.
    """
    connection = native.Client.connect(
        target,
        float(timeout),
        tls,
        os.fspath(tls_ca or ""),
        os.fspath(tls_cert or ""),
        os.fspath(tls_key or ""),
        token or "",
        bool(insecure),
        int(max_attempts),
        bool(checksums),
        int(max_connections),
    )
    return Client._make(connection, target)


class Client(Batches):
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
    """

    __module__ = "tensord"

    _native: native.Client | None
    _target: str
    _closed: bool
    # By id(), because handles are compared by identity alone.
    _handles: weakref.WeakValueDictionary[int, RemoteTensor]

    def __init__(self) -> None:
        raise TypeError("clients are made by tensord.connect(...)")

    @classmethod
    def _make(cls, connection: native.Client, target: str) -> Client:
        made = object.__new__(cls)
        made._native = connection
        made._target = target
        made._closed = False
        made._handles = weakref.WeakValueDictionary()
        _CLIENTS.add(made)
        return made

    def _check_open(self) -> None:
        if self._closed:
            raise StateError("the client is closed")

    @property
    def _open(self) -> native.Client:
        self._check_open()
        assert self._native is not None
        return self._native

    # Constructors.

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
    ) -> RemoteTensor:
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
    ) -> RemoteTensor:
        """Stores a copy of an array or nested lists as float32."""
        if is_tensor(data):
            data = data.numpy(force=True)
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
    ) -> RemoteTensor:
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
            return self._copy(data, kept, target, place, requires_grad)
        array = data
        if not isinstance(data, np.ndarray):
            array, target = self._from_data(data, target)
        return self._create(array, kept, target, place, requires_grad)

    def _from_data(
        self, data: Any, target: dtype | None
    ) -> tuple[np.ndarray, dtype | None]:
        if isinstance(data, np.generic) and target is None:
            return np.asarray(data), None
        return array_from_data(data, target)

    def _create(
        self,
        array: np.ndarray,
        kept: Keeping,
        target: dtype | None = None,
        place: device | None = None,
        requires_grad: bool = False,
    ) -> RemoteTensor:
        source = to_source(array)
        check_grad(target or ALL_DTYPES[source.dtype], requires_grad)
        made = self._open.create(
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
        return RemoteTensor._make(self, made)

    def _copy(
        self,
        source: RemoteTensor,
        kept: Keeping,
        target: dtype | None,
        place: device | None,
        requires_grad: bool,
    ) -> RemoteTensor:
        """A copy of a tensor, as ``torch.tensor(tensor)`` makes it."""
        warnings.warn(
            "To copy construct from a tensor, it is recommended to use "
            "sourceTensor.detach().clone() or "
            "sourceTensor.detach().clone().requires_grad_(True), rather than "
            "tensord.tensor(sourceTensor).",
            UserWarning,
            stacklevel=3,
        )
        wanted = target or source.dtype
        check_grad(wanted, requires_grad)
        if source._client is not self:
            array = source.numpy(force=True)
            return self._create(array, kept, wanted, place, requires_grad)
        where = "" if place is None else place._canonical
        copy = source._transform(
            ("detach",),
            ("to", wanted._code, where, True, kept.overflow, kept.report),
            kept=kept,
        )
        return copy.requires_grad_() if requires_grad else copy

    def convert(
        self, array: Any, dtype: Any, overflow: str = "torch"
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

        Returns
        -------
        numpy.ndarray
            Writable, in the memory order of a dense `array`.
        """
        target = to_dtype(dtype, "convert")
        if not isinstance(array, np.ndarray):
            array, _ = self._from_data(array, None)
        source: Source = to_source(array)
        connection = self._open
        layout = connection.convert_layout(
            source.buffer, source.dtype, target._code
        )
        result, memory = allocate(layout)
        policy = overflow_code(overflow)
        connection.convert(*source, target._code, policy, memory)
        return result

    # Names.

    def __getitem__(self, name: str) -> RemoteTensor:
        """A handle on the tensor of that name."""
        return RemoteTensor._make(self, self._open.get(_checked(name)))

    def __delitem__(self, name: str) -> None:
        """Deletes the tensor of that name."""
        self._open.delete(_checked(name), False)

    def __contains__(self, name: object) -> bool:
        if not isinstance(name, str):
            return False
        try:
            self._open.get(name)
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
            page, token = connection.list(0, token, filter, order_by)
            yield from map(tensor_info, page)
            if not token:
                return

    # The server.

    def devices(self) -> builtins.list[DeviceInfo]:
        """The devices that can hold tensors."""
        return [*map(device_info, self._open.devices())]

    def server_info(self) -> ServerInfo:
        """The server's version, capabilities and limits."""
        return server_info(self._open.server_info())

    # Lifetime.

    def _living_handles(self) -> Iterator[RemoteTensor]:
        # A snapshot, which other threads and the garbage collector leave alone.
        for reference in self._handles.valuerefs():
            handle = reference()
            if handle is not None:
                yield handle

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

    def __repr__(self) -> str:
        state = " (closed)" if self._closed else ""
        return f"<tensord.Client of {self._target}{state}>"

    def _abandon(self) -> None:
        """Leaves everything to the process that this one was forked from."""
        if self._native is None:
            return
        # Taking a connection down in the child would wait for threads that
        # are not there.
        self._native.leak()
        self._closed = True
        for handle in self._living_handles():
            handle._release()
        self._native = None


def _checked(name: object) -> str:
    if not isinstance(name, str):
        raise InvalidTypeError(f"name must be str, not {type_name(name)}")
    return name


_CLIENTS: weakref.WeakSet[Client] = weakref.WeakSet()


def _close_all() -> None:
    for client in tuple(_CLIENTS):
        client.close()


def _abandon_all() -> None:
    for client in tuple(_CLIENTS):
        client._abandon()


atexit.register(_close_all)
os.register_at_fork(after_in_child=_abandon_all)
