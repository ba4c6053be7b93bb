"""One run of a command: the server that it talks to, and how it prints."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from tensord.tensorctl._exit import CommandError, Exit, usage_error

if TYPE_CHECKING:
    from tensord import Client

# Of the options that all commands share.
_DEFAULTS: dict[str, Any] = {
    "target": None,
    "token_file": None,
    "tls": False,
    "tls_ca": None,
    "tls_cert": None,
    "tls_key": None,
    "insecure": False,
    "timeout": 30.0,
    "json": False,
    "quiet": False,
    "no_progress": False,
}


def with_defaults(args: argparse.Namespace) -> argparse.Namespace:
    """A copy in which the options that all commands share are set."""
    return argparse.Namespace(**{**_DEFAULTS, **vars(args)})


class Session:
    """What the options that all commands share ask for.

    Connects when a command first asks for the client, and not at all for
    commands that need no server.
    """

    def __init__(self, args: argparse.Namespace) -> None:
        self._args = args
        self._client: Client | None = None
        self.json: bool = args.json
        self.quiet: bool = args.quiet

    @property
    def progress(self) -> bool | None:
        """Whether to show progress bars; None for where they make sense."""
        return False if self._args.no_progress or self.quiet else None

    @property
    def target(self) -> str:
        """Where the server is: an address, without a scheme."""
        from tensord._endpoint import endpoint

        return endpoint(self._args.target, False, "", "", "", "").target

    @property
    def timeout(self) -> float:
        """Most seconds that a call takes that moves no array."""
        seconds: float = self._args.timeout
        return seconds

    @property
    def client(self) -> Client:
        """A connection to the server.

        Raises
        ------
        TensordError
            There is none, or it can not be used.
        CommandError
            The file with the token can not be used.
        """
        if self._client is None:
            self._client = self._connect()
        return self._client

    def _connect(self) -> Client:
        import tensord

        args = self._args
        return tensord.connect(
            args.target,
            args.timeout,
            tls=args.tls,
            tls_ca=args.tls_ca,
            tls_cert=args.tls_cert,
            tls_key=args.tls_key,
            token=_token(args.token_file),
            insecure=args.insecure,
        )

    def close(self) -> None:
        """Lets the connection go."""
        if self._client is not None:
            self._client.close()

    def refuse_json(self, why: str) -> None:
        """Refuses ``--json`` where there is nothing that it could print."""
        if self.json:
            raise usage_error(f"--json can not be used here: {why}")


def _token(path: str | None) -> str | None:
    """The token in a file; None without a file."""
    if path is None:
        return None
    with open(path, encoding="utf-8", errors="replace") as file:
        token = file.read().strip()
    if not token:
        raise CommandError(Exit.FILE, f"{path}: there is no token in it")
    return token
