"""What a command is, and the options that several have in common."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import NamedTuple

from tensord.tensorctl._completion import complete_dtypes, completed
from tensord.tensorctl._session import Session
from tensord.tensorctl._units import parse_duration

FORMATS = ("npy", "npz", "safetensors")


class Example(NamedTuple):
    """A command line, and what it is for."""

    line: str
    purpose: str


class Command(NamedTuple):
    """A command of tensorctl."""

    name: str
    # The heading of the top-level help that it stands under.
    group: str
    summary: str
    description: str
    examples: Sequence[Example]
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace, Session], None]


def add_dtype(parser: argparse.ArgumentParser, purpose: str) -> None:
    """Adds ``--dtype``."""
    completed(
        parser.add_argument("--dtype", metavar="DTYPE", help=purpose),
        complete_dtypes,
    )


def add_overflow(parser: argparse.ArgumentParser) -> None:
    """Adds ``--overflow``."""
    parser.add_argument(
        "--overflow",
        choices=("torch", "saturate", "error"),
        default="torch",
        help="what becomes of values that the dtype can not hold: what "
        "PyTorch makes of them, the nearest that fits, or a refusal "
        "(default: torch)",
    )


def add_lifetime(parser: argparse.ArgumentParser) -> None:
    """Adds ``--ttl`` and ``--lease``."""
    group = parser.add_mutually_exclusive_group()
    group.add_argument(
        "--ttl",
        type=parse_duration,
        metavar="TIME",
        help="delete the tensor after this: 90, 10m, 1h30m, 2d",
    )
    group.add_argument(
        "--lease",
        type=parse_duration,
        metavar="TIME",
        help="delete it when it was not used for this long",
    )
