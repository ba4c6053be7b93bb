"""Where to connect to: an address, a URL, or what the environment says."""

from __future__ import annotations

import os
from typing import NamedTuple
from urllib.parse import urlsplit

from tensord._dtype import type_name
from tensord.errors import InvalidArgumentError, InvalidTypeError

_DEFAULT_TARGET = "localhost:50051"
_DEFAULT_PORT = 50051
_PLAIN, _ENCRYPTED = "tensord", "tensords"


class Endpoint(NamedTuple):
    """A server, and what it takes to connect to it. Empty for none."""

    target: str
    tls: bool
    tls_ca: str
    tls_cert: str
    tls_key: str
    token: str

    def without_token(self) -> Endpoint:
        """What may be told to others."""
        return self._replace(token="")

    def with_own_token(self) -> Endpoint:
        """With the token that the environment has for this server, if any."""
        own = endpoint(None, False, None, None, None, None)
        is_same = (own.target, own.tls) == (self.target, self.tls)
        return self._replace(token=own.token) if is_same else self


def endpoint(
    target: str | None,
    tls: bool,
    tls_ca: str | os.PathLike[str] | None,
    tls_cert: str | os.PathLike[str] | None,
    tls_key: str | os.PathLike[str] | None,
    token: str | None,
) -> Endpoint:
    """What the arguments of :func:`tensord.connect` and the environment say.

    Examples
    --------
    >>> from tensord._endpoint import endpoint
    >>> where = endpoint("tensords://a.example", False, None, None, None, None)
    >>> where.target, where.tls
    ('a.example:50051', True)
    """
    fallback = os.environ if target is None else {}
    if target is None:
        target = fallback.get("TENSORD_URL") or _DEFAULT_TARGET
    address, encrypted = _address(target)
    return Endpoint(
        address,
        tls or encrypted,
        os.fspath(tls_ca or fallback.get("TENSORD_CLIENT_TLS_CA", "")),
        os.fspath(tls_cert or fallback.get("TENSORD_CLIENT_TLS_CERT", "")),
        os.fspath(tls_key or fallback.get("TENSORD_CLIENT_TLS_KEY", "")),
        token or fallback.get("TENSORD_TOKEN", ""),
    )


def _refuse(target: str, why: str) -> InvalidArgumentError:
    return InvalidArgumentError(
        f"{target!r} {why}; a target is 'host:port', 'unix:PATH', "
        f"'{_PLAIN}://host:port' or '{_ENCRYPTED}://host:port'",
        reason="TARGET_INVALID",
    )


def _address(target: str) -> tuple[str, bool]:
    """The address behind a URL, and whether it asks for TLS."""
    if not isinstance(target, str):
        raise InvalidTypeError(f"target must be str, not {type_name(target)}")
    if target.startswith("unix:///"):
        return f"unix:{target.removeprefix('unix://')}", False
    scheme, separator, _ = target.partition("://")
    if not separator:
        return target, False
    if scheme not in (_PLAIN, _ENCRYPTED):
        raise _refuse(target, f"has the unknown scheme {scheme!r}")
    try:
        url = urlsplit(target)
        host, port = url.hostname, url.port
    except ValueError as error:
        raise _refuse(target, f"is no URL ({error})") from None
    if "@" in url.netloc:
        # Not repeated: it would be in logs.
        raise InvalidArgumentError(
            "the URL holds a user or a token, which others would read in logs "
            "and lists of processes: use token= or TENSORD_TOKEN",
            reason="TARGET_INVALID",
        )
    if not host:
        raise _refuse(target, "has no host")
    if url.path not in ("", "/") or url.query or url.fragment:
        raise _refuse(target, "has more than a host and a port")
    shown = f"[{host}]" if ":" in host else host
    return f"{shown}:{port or _DEFAULT_PORT}", scheme == _ENCRYPTED
