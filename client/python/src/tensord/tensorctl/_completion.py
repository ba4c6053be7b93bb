"""What shells complete on a command line, and the script that sets it up."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from tensord.tensorctl._exit import missing_package
from tensord.tensorctl._session import Session, with_defaults

if TYPE_CHECKING:
    from tensord import Client

SHELLS = ("bash", "zsh", "fish")

# Who presses Tab waits for no server.
_TIMEOUT_SECONDS = 1.0
# More than anybody reads; a longer prefix finds the others.
_MOST_NAMES = 500


def _ask(
    parsed_args: argparse.Namespace,
    question: Callable[[Client], Iterable[str]],
) -> list[str]:
    """What the server of a command line tells; nothing if it does not.

    A shell has no place for errors.
    """
    args = with_defaults(parsed_args)
    args.timeout = min(args.timeout, _TIMEOUT_SECONDS)
    session = Session(args)
    try:
        return [*question(session.client)]
    except Exception:  # noqa: BLE001
        return []
    finally:
        session.close()


def complete_names(
    prefix: str, parsed_args: argparse.Namespace, **others: Any
) -> list[str]:
    """The names of tensors that begin with `prefix`."""
    from itertools import islice

    from tensord.tensorctl._names import is_pattern, matching

    if is_pattern(prefix) or "[" in prefix:
        return []
    return _ask(
        parsed_args,
        lambda client: (
            info.name
            for info in islice(matching(client, f"{prefix}*"), _MOST_NAMES)
        ),
    )


def complete_devices(
    prefix: str, parsed_args: argparse.Namespace, **others: Any
) -> list[str]:
    """The devices of the server."""
    return _ask(
        parsed_args,
        lambda client: (str(one.device) for one in client.devices()),
    )


def complete_dtypes(prefix: str, **others: Any) -> list[str]:
    """The names of dtypes."""
    from tensord._dtype import BY_NAME

    return sorted(BY_NAME)


def completed(
    action: argparse.Action, completer: Callable[..., list[str]]
) -> None:
    """Lets shells complete an argument; argcomplete looks for this."""
    action.completer = completer  # type: ignore[attr-defined]


def complete(parser: argparse.ArgumentParser) -> None:
    """Answers the shell and exits, if it is one that asks."""
    try:
        import argcomplete
    except ImportError:
        return
    argcomplete.autocomplete(parser)


def script(shell: str) -> str:
    """What a shell has to evaluate to complete command lines.

    Raises
    ------
    CommandError
        argcomplete is not installed.
    """
    try:
        from argcomplete.shell_integration import shellcode
    except ImportError:
        raise missing_package("argcomplete", "completion") from None
    return shellcode(["tensorctl"], shell=shell)
