"""``tensorctl rm``: deletes tensors."""

from __future__ import annotations

import argparse
import contextlib
import select
import sys
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from tensord.tensorctl._command import Command, Example
from tensord.tensorctl._completion import complete_names, completed
from tensord.tensorctl._exit import CommandError, Exit, usage_error
from tensord.tensorctl._names import (
    expand,
    handles,
    is_pattern,
    matching,
    unique,
)
from tensord.tensorctl._output import write_json
from tensord.tensorctl._session import Session

if TYPE_CHECKING:
    from tensord import Client

_DESCRIPTION = """\
Deletes tensors; who reads them finishes undisturbed. Names may be patterns,
in which '*' stands for anything, slashes included, and '?' for one character.

All names are looked up first: if one is not there, or a pattern matches
nothing, nothing is deleted. Names that are written out are deleted without a
question. Before it deletes what a pattern or --all stands for, it asks on a
terminal; where there is none, as in scripts, it wants --yes.
"""

_PATIENCE_SECONDS = 0.1


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    completed(
        parser.add_argument(
            "names",
            nargs="*",
            metavar="NAME",
            help="names, or patterns in quotes",
        ),
        complete_names,
    )
    parser.add_argument("--all", action="store_true", help="all tensors")
    parser.add_argument("-y", "--yes", action="store_true", help="do not ask")
    parser.add_argument(
        "-n",
        "--dry-run",
        action="store_true",
        help="print the names, and delete nothing",
    )
    parser.add_argument(
        "--ignore-missing",
        action="store_true",
        help="what is not there is no error",
    )


def _existing(client: Client, names: list[str]) -> Iterator[str]:
    from tensord import NotFoundError

    for name in names:
        try:
            client[name]
        except NotFoundError:
            continue
        yield name


def _selected(args: argparse.Namespace, client: Client) -> list[str]:
    """The names of the tensors that are to be deleted."""
    if args.all:
        return [info.name for info in matching(client)]
    names: list[str] = []
    for name in args.names:
        if not is_pattern(name):
            names.append(name)
        elif args.ignore_missing:
            names += (info.name for info in matching(client, name))
        else:
            names += expand(client, name)
    names = unique(names)
    if args.ignore_missing:
        return [*_existing(client, names)]
    for _ in handles(client, names):
        pass
    return names


def _is_terminal() -> bool:
    return sys.stdin.isatty() and sys.stderr.isatty()


def _confirm(count: int, session: Session) -> None:
    """Asks whether to delete so many tensors; ends the command if not."""
    what = f"{count} tensor{'s' if count != 1 else ''}"
    print(
        f"delete {what} from {session.target}? [y/N] ",
        end="",
        file=sys.stderr,
        flush=True,
    )
    # A read can not be interrupted, but this can.
    while not select.select([sys.stdin], [], [], _PATIENCE_SECONDS)[0]:
        pass
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise CommandError(Exit.INTERRUPTED, "nothing was deleted")


def _run(args: argparse.Namespace, session: Session) -> None:
    if args.all == bool(args.names):
        raise usage_error("give names, or --all, and not both")
    broad = args.all or any(map(is_pattern, args.names))
    asks = broad and not args.yes and not args.dry_run
    if asks and not _is_terminal():
        raise usage_error(
            "a pattern or --all may stand for many tensors, and there is no "
            "terminal to ask: give --yes, or --dry-run to see which"
        )
    names = _selected(args, session.client)
    if asks and names:
        _confirm(len(names), session)
    if not args.dry_run:
        _delete(session.client, names)
    if session.json:
        key = "would_delete" if args.dry_run else "deleted"
        write_json({key: names})
    elif args.dry_run or not session.quiet:
        for name in names:
            print(name)


def _delete(client: Client, names: Iterable[str]) -> None:
    from tensord import NotFoundError

    for name in names:
        # It was there a moment ago: somebody else has deleted it.
        with contextlib.suppress(NotFoundError):
            del client[name]


COMMAND = Command(
    "rm",
    "tensors in the server",
    "delete tensors",
    _DESCRIPTION,
    (
        Example("tensorctl rm w/0 w/1", "two tensors"),
        Example("tensorctl rm 'model/*'", "many, after a question"),
        Example("tensorctl rm --dry-run 'model/*'", "what that would delete"),
        Example("tensorctl rm --yes --all", "all of them, from a script"),
    ),
    _add_arguments,
    _run,
)
