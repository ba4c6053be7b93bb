"""``tensorctl put``: from a file into the server."""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING

from tensord.tensorctl._command import (
    Command,
    Example,
    add_dtype,
    add_lifetime,
    add_overflow,
)
from tensord.tensorctl._completion import complete_devices, completed
from tensord.tensorctl._exit import usage_error
from tensord.tensorctl._output import tensor_facts, write_json
from tensord.tensorctl._session import Session
from tensord.tensorctl._transfer import (
    STANDARD,
    add_format,
    file_format,
    progress_of,
    source,
)

if TYPE_CHECKING:
    from tensord import RemoteTensor

_DESCRIPTION = """\
Stores the arrays of a .npy, .npz or .safetensors file, or of the standard
input, and prints the names of the tensors.

The array of a .npy is called NAME, or as the file without its suffix. The
arrays of the others are called as in the file, with NAME put before it: give
a prefix with its slash, as model/. If one can not be stored, none is.
"""


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "file", metavar="FILE", help="the file; - is the standard input"
    )
    parser.add_argument(
        "name",
        nargs="?",
        metavar="NAME",
        help="name of the tensor, or what is put before names of the file",
    )
    add_format(
        parser,
        "--format",
        "of the file (default: its suffix; npy for the standard input)",
    )
    add_dtype(parser, "the dtype to store (default: that of the file)")
    add_overflow(parser)
    completed(
        parser.add_argument(
            "--device", metavar="DEVICE", help="where to store (default: cpu)"
        ),
        complete_devices,
    )
    add_lifetime(parser)
    parser.add_argument(
        "--replace",
        action="store_true",
        help="take the place of tensors of these names",
    )
    parser.add_argument(
        "--requires-grad",
        action="store_true",
        help="let the tensors require grad",
    )


def _name(args: argparse.Namespace, format: str) -> str:
    """The tensor's name, or what the names of a file's arrays begin with."""
    name: str | None = args.name
    if name is None and format != "npy":
        return ""
    if name is None and args.file == STANDARD:
        raise usage_error("an array of the standard input needs a NAME")
    return name or os.path.splitext(os.path.basename(args.file))[0]


def _run(args: argparse.Namespace, session: Session) -> None:
    if args.file == STANDARD:
        format = args.format or "npy"
    else:
        format = file_format(args.file, args.format, "--format")
    name = _name(args, format)
    with progress_of(session.progress) as progress:
        loaded = session.client.load(
            source(args.file),
            format=format,
            name=name,
            dtype=args.dtype,
            device=args.device,
            overflow=args.overflow,
            ttl=args.ttl,
            lease=args.lease,
            replace=args.replace,
            requires_grad=args.requires_grad,
            progress=progress,
        )
    made = [*loaded.values()] if isinstance(loaded, dict) else [loaded]
    _tell(made, session)


def _tell(made: list[RemoteTensor], session: Session) -> None:
    from tensord._info import tensor_info

    if session.json:
        write_json([tensor_facts(tensor_info(one._info)) for one in made])
    elif not session.quiet:
        for one in made:
            print(one.id)


COMMAND = Command(
    "put",
    "arrays",
    "store the arrays of a file",
    _DESCRIPTION,
    (
        Example("tensorctl put w.npy w/0", "one array, as w/0"),
        Example(
            "tensorctl put model.safetensors model/ --dtype bfloat16",
            "all arrays of a file, as model/...",
        ),
        Example(
            "tensorctl put frame.npy camera/0 --replace --lease 10m",
            "the newest of many, deleted when nobody reads it any more",
        ),
        Example("make-array | tensorctl put - w/1", "from a pipe"),
    ),
    _add_arguments,
    _run,
)
