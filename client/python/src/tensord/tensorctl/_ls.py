"""``tensorctl ls``: which tensors there are."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from tensord.tensorctl._command import Command, Example
from tensord.tensorctl._completion import complete_names, completed
from tensord.tensorctl._names import matching
from tensord.tensorctl._output import (
    dtype_text,
    shape_text,
    tensor_facts,
    write_json,
    write_table,
)
from tensord.tensorctl._session import Session
from tensord.tensorctl._units import format_duration, format_size

if TYPE_CHECKING:
    from tensord import TensorInfo

_DESCRIPTION = """\
Prints the names of all tensors, or of those that match PATTERN and pass the
filter; if there are none, that is no error. In a pattern, '*' stands for
anything, slashes included, and '?' for one character; quote them from the
shell.

A filter is made of terms such as size_bytes > 1000 or dtype = float32, joined
by AND. Fields are name, dtype, device, requires_grad, size_bytes,
create_time, update_time and expire_time; times are written as
"2026-11-28T12:00:00Z", in double quotes. The server applies it.
"""

_ORDERS = ("name", "create_time", "update_time", "size_bytes")


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    completed(
        parser.add_argument(
            "pattern",
            nargs="?",
            default="*",
            metavar="PATTERN",
            help="names, with '*' and '?' (default: all)",
        ),
        complete_names,
    )
    parser.add_argument(
        "--filter", default="", metavar="EXPR", help="which tensors"
    )
    parser.add_argument(
        "--order-by",
        default="",
        metavar="FIELD",
        help=f"{', '.join(_ORDERS)}; with ' desc' behind it descending "
        "(default: name)",
    )
    parser.add_argument(
        "-l",
        "--long",
        action="store_true",
        help="a table: dtypes, shapes, devices, sizes, ages, lifetimes",
    )


def expiry_text(info: TensorInfo, now: float) -> str:
    """When a tensor goes: in how long, and whether reading it puts it off."""
    if info.expire_time is None:
        return "never"
    rest = format_duration(info.expire_time - now)
    if info.lease is None:
        return f"in {rest}"
    return f"in {rest}, lease of {format_duration(info.lease)}"


def _rows(infos: Iterable[TensorInfo], now: float) -> Iterator[list[str]]:
    for info in infos:
        yield [
            info.name,
            dtype_text(info.dtype),
            shape_text(info.shape),
            str(info.device),
            "yes" if info.requires_grad else "no",
            format_size(info.nbytes),
            format_duration(now - info.create_time),
            expiry_text(info, now),
        ]


_HEAD = ("NAME", "DTYPE", "SHAPE", "DEVICE", "GRAD", "SIZE", "AGE", "EXPIRES")


def _run(args: argparse.Namespace, session: Session) -> None:
    infos = matching(session.client, args.pattern, args.filter, args.order_by)
    if session.json:
        write_json([tensor_facts(info) for info in infos])
    elif args.long:
        write_table(_HEAD, _rows(infos, time.time()), right="lllllrrl")
    else:
        for info in infos:
            print(info.name)


COMMAND = Command(
    "ls",
    "tensors in the server",
    "list names, or a table of tensors",
    _DESCRIPTION,
    (
        Example("tensorctl ls", "all names"),
        Example("tensorctl ls -l 'model/*'", "a table of some of them"),
        Example(
            "tensorctl ls -l --filter 'size_bytes > 1000000' "
            "--order-by 'size_bytes desc'",
            "what takes the memory",
        ),
        Example(
            "tensorctl ls --json | jq '[.[].size_bytes] | add'",
            "their bytes together",
        ),
    ),
    _add_arguments,
    _run,
)
