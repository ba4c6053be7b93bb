"""What clients have in common: a connection, and handles on its tensors."""

from __future__ import annotations

import atexit
import os
import weakref
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from tensord import _native as native
from tensord._dtype import type_name
from tensord._endpoint import Endpoint
from tensord.errors import InvalidTypeError, StateError

if TYPE_CHECKING:
    from typing import Self

    from tensord._described import Described


class Settings(NamedTuple):
    """The arguments of :func:`tensord.connect` beside the endpoint."""

    timeout: float
    insecure: bool
    max_attempts: int
    checksums: bool
    max_connections: int


class Connection:
    """A connection to a server, and the handles on its tensors."""

    _native: native.Client | None
    _where: Endpoint
    _settings: Settings
    _closed: bool
    _forked: bool
    # By id(), because handles are compared by identity alone.
    _handles: weakref.WeakValueDictionary[int, Described]

    def __init__(self) -> None:
        raise TypeError("clients are made by tensord.connect(...)")

    @classmethod
    def _make(
        cls, connection: native.Client, where: Endpoint, settings: Settings
    ) -> Self:
        made = object.__new__(cls)
        made._native = connection
        made._where = where
        made._settings = settings
        made._closed = False
        made._forked = False
        made._handles = weakref.WeakValueDictionary()
        _CONNECTIONS.add(made)
        return made

    def _check_open(self) -> None:
        if self._forked:
            raise StateError(
                "the client is one of the process that this one was forked "
                "from, and gRPC does not outlive that: connect after forking "
                "only, or start processes with 'spawn' or 'forkserver'",
                reason="FORKED",
            )
        if self._closed:
            raise StateError("the client is closed")

    @property
    def _open(self) -> native.Client:
        self._check_open()
        assert self._native is not None
        return self._native

    def _living_handles(self) -> Iterator[Described]:
        # A snapshot, which other threads and the garbage collector leave alone.
        for reference in self._handles.valuerefs():
            handle = reference()
            if handle is not None:
                yield handle

    def __repr__(self) -> str:
        kind = type(self)
        state = " (closed)" if self._closed else ""
        return f"<{kind.__module__}.Client of {self._where.target}{state}>"

    def _close_at_exit(self) -> None:
        """Deletes unnamed tensors, as closing does."""
        raise NotImplementedError

    def _abandon(self) -> None:
        """Leaves everything to the process that this one was forked from."""
        if self._native is None:
            return
        # Taking a connection down in the child would wait for threads that
        # are not there.
        self._native.leak()
        self._closed = True
        self._forked = True
        for handle in self._living_handles():
            handle._release()
        self._native = None


def connect_call(where: Endpoint, settings: Settings) -> native.ConnectCall:
    """What connects, with the arguments of :func:`tensord.connect`."""
    return native.ConnectCall(
        where.target,
        float(settings.timeout),
        where.tls,
        where.tls_ca,
        where.tls_cert,
        where.tls_key,
        where.token,
        bool(settings.insecure),
        int(settings.max_attempts),
        bool(settings.checksums),
        int(settings.max_connections),
    )


def open_connection(
    kind: type[_ConnectionT], where: Endpoint
) -> _ConnectionT | None:
    """A connection of this process to a server; None if there is none."""
    for connection in tuple(_CONNECTIONS):
        if (
            type(connection) is kind
            and not connection._closed
            and connection._where.without_token() == where
        ):
            return connection
    return None


def checked_name(name: object) -> str:
    """Refuses what is no name of a tensor."""
    if not isinstance(name, str):
        raise InvalidTypeError(f"name must be str, not {type_name(name)}")
    return name


_ConnectionT = TypeVar("_ConnectionT", bound=Connection)

_CONNECTIONS: weakref.WeakSet[Connection] = weakref.WeakSet()


def _close_all() -> None:
    for connection in tuple(_CONNECTIONS):
        connection._close_at_exit()


def _abandon_all() -> None:
    for connection in tuple(_CONNECTIONS):
        connection._abandon()


atexit.register(_close_all)
os.register_at_fork(after_in_child=_abandon_all)
