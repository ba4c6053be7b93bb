"""``tensorctl get``: from the server into a file."""

from __future__ import annotations

import argparse
import os
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tensord.tensorctl._command import (
    Command,
    Example,
    add_dtype,
    add_overflow,
)
from tensord.tensorctl._completion import complete_names, completed
from tensord.tensorctl._exit import usage_error
from tensord.tensorctl._index import (
    Selection,
    format_index,
    parse_index,
    parse_selection,
)
from tensord.tensorctl._names import expand, handles, is_pattern
from tensord.tensorctl._output import write_json
from tensord.tensorctl._session import Session
from tensord.tensorctl._transfer import (
    STANDARD,
    add_format,
    destination,
    file_format,
    progress_of,
)

if TYPE_CHECKING:
    import numpy as np

    from tensord import Client, RemoteTensor

_DESCRIPTION = """\
Writes tensors, or parts of them, to a .npy, .npz or .safetensors file, or to
the standard output where that is no terminal. Tensors may be on any device,
and may require grad. Several are called by their names in the file.

NAME[INDEX] is a part, as in NumPy: w/0[0, 10:20, ...]. Quote it from the
shell. Only what is asked for travels. A name may also be a pattern, in which
'*' stands for anything, slashes included, and '?' for one character.

The file appears under its name when it is complete.
"""


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    completed(
        parser.add_argument(
            "names",
            nargs="+",
            metavar="NAME",
            help="names, NAME[INDEX], or patterns in quotes",
        ),
        complete_names,
    )
    parser.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        help="the file; - is the standard output",
    )
    add_format(
        parser,
        "--format",
        "of the file (default: its suffix; for the standard output npy, and "
        "npz for several tensors)",
    )
    parser.add_argument(
        "--index",
        metavar="INDEX",
        help="the part of every tensor whose NAME has none",
    )
    add_dtype(parser, "the dtype to write (default: that of the tensor)")
    add_overflow(parser)


def _selections(args: argparse.Namespace, client: Client) -> list[Selection]:
    """What is to be written, each under a name of its own."""
    shared = None if args.index is None else parse_index(args.index)
    selections: list[Selection] = []
    for text in args.names:
        name, index = parse_selection(text)
        names = expand(client, name) if is_pattern(name) else [name]
        part = shared if index is None else index
        selections += (Selection(one, part) for one in names)
    counts = Counter(one.name for one in selections)
    for name, count in counts.items():
        if count > 1:
            raise usage_error(
                f"{name} would be in the file twice; write its parts to "
                "files of their own"
            )
    return selections


def _format(args: argparse.Namespace) -> str | None:
    """The format of the file; None if the number of tensors decides."""
    if args.output in (None, STANDARD):
        format: str | None = args.format
        return format
    return file_format(args.output, args.format, "--format")


def _format_for(format: str | None, count: int) -> str:
    """The format of a file with so many tensors."""
    if format == "npy" and count > 1:
        raise usage_error(
            f"{count} tensors do not fit in one .npy; .npz and .safetensors "
            "hold several"
        )
    return format or ("npy" if count == 1 else "npz")


def _run(args: argparse.Namespace, session: Session) -> None:
    output = args.output or STANDARD
    file = destination(output)
    if output == STANDARD:
        session.refuse_json("arrays go to the standard output")
    asked_for = _format(args)
    selections = _selections(args, session.client)
    format = _format_for(asked_for, len(selections))
    names = [one.name for one in selections]
    tensors = [*handles(session.client, names)]
    if any(one.part is not None for one in selections):
        _write_parts(args, file, format, selections, tensors)
    else:
        _write_whole(args, session, file, format, tensors)
    if session.json:
        _tell(output, format, selections)


def _write_whole(
    args: argparse.Namespace,
    session: Session,
    file: Any,
    format: str,
    tensors: Sequence[RemoteTensor],
) -> None:
    with progress_of(session.progress) as progress:
        session.client.save(
            file,
            {one.id: one for one in tensors},
            format=format,
            dtype=args.dtype,
            overflow=args.overflow,
            progress=progress,
        )


def _part(
    args: argparse.Namespace, selection: Selection, tensor: RemoteTensor
) -> np.ndarray:
    """A part of a tensor, without making a tensor of it in the server."""
    from tensord._dtype import to_dtype
    from tensord._index import index_terms

    dtype = None if args.dtype is None else to_dtype(args.dtype, "get")
    terms = index_terms(selection.part or (), tensor.ndim)
    return tensor._read(terms, dtype, args.overflow, force=True)


def _write_parts(
    args: argparse.Namespace,
    file: Any,
    format: str,
    selections: Sequence[Selection],
    tensors: Sequence[RemoteTensor],
) -> None:
    from tensord._files import write_arrays

    arrays = {
        one.name: _part(args, one, tensor)
        for one, tensor in zip(selections, tensors, strict=True)
    }
    write_arrays(file, arrays, format)


def _tell(output: str, format: str, selections: Sequence[Selection]) -> None:
    facts = [
        {
            "name": one.name,
            "index": None if one.part is None else format_index(one.part),
        }
        for one in selections
    ]
    size_bytes = os.stat(output).st_size
    write_json(
        {
            "file": output,
            "format": format,
            "size_bytes": size_bytes,
            "tensors": facts,
        }
    )


COMMAND = Command(
    "get",
    "arrays",
    "write tensors, or parts of them, to a file",
    _DESCRIPTION,
    (
        Example("tensorctl get w/0 -o w.npy", "one tensor"),
        Example(
            "tensorctl get 'model/*' -o model.safetensors --dtype bfloat16",
            "many in one file, as another dtype",
        ),
        Example(
            "tensorctl get 'w/0[0, :100]' -o head.npy",
            "a hundred elements, of which only these travel",
        ),
        Example(
            "tensorctl get w/0 | tensorctl -t other:50051 put - w/0",
            "to another server",
        ),
    ),
    _add_arguments,
    _run,
)
