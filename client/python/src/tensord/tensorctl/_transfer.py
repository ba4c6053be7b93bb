"""What moves arrays between files and the server, and how it is told of."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from tensord.tensorctl._command import FORMATS
from tensord.tensorctl._exit import usage_error

if TYPE_CHECKING:
    from tensord._files import File

STANDARD = "-"


def add_format(
    parser: argparse.ArgumentParser, option: str, purpose: str
) -> None:
    """Adds an option for the format of a file."""
    parser.add_argument(option, choices=FORMATS, help=purpose)


def suffix_of(path: str) -> str | None:
    """The format that the name of a file says; None for any other."""
    suffix = os.path.splitext(path)[1].removeprefix(".")
    return suffix if suffix in FORMATS else None


def file_format(path: str, asked_for: str | None, option: str) -> str:
    """The format of a file: what was asked for, or what its name says.

    Raises
    ------
    CommandError
        Neither says one.
    """
    found = asked_for or suffix_of(path)
    if found is None:
        raise usage_error(
            f"{path} ends in none of .{', .'.join(FORMATS)}: give {option}"
        )
    return found


def source(path: str) -> File:
    """What is read: a path, or the standard input."""
    return path if path != STANDARD else sys.stdin.buffer


def destination(path: str) -> File:
    """What is written: a path, or the standard output."""
    if path != STANDARD:
        return path
    if sys.stdout.isatty():
        raise usage_error(
            "arrays are no text for a terminal: give -o FILE, or send the "
            "output somewhere"
        )
    return sys.stdout.buffer


@contextlib.contextmanager
def progress_of(
    wanted: bool | None,
) -> Iterator[Callable[[int, int], None]]:
    """What is told how far a transfer has come, and draws a bar if wanted.

    A transfer that tells somebody can be interrupted.
    """
    from tensord._progress import reporting

    with contextlib.ExitStack() as stack:
        report: Callable[[int, int], object] | None = None
        entered = False

        def tell(done_bytes: int, total_bytes: int) -> None:
            nonlocal report, entered
            if not entered:
                report = stack.enter_context(reporting(wanted, total_bytes))
                entered = True
            if report is not None:
                report(done_bytes, total_bytes)

        yield tell
