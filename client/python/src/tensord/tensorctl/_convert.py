"""``tensorctl convert``: from file to file, as another dtype or format."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tensord.tensorctl._command import (
    Command,
    Example,
    add_dtype,
    add_overflow,
)
from tensord.tensorctl._exit import usage_error
from tensord.tensorctl._output import dtype_text, write_json
from tensord.tensorctl._session import Session
from tensord.tensorctl._transfer import (
    STANDARD,
    add_format,
    destination,
    file_format,
    progress_of,
    source,
)

if TYPE_CHECKING:
    import numpy as np

_DESCRIPTION = """\
Writes the arrays of one file to another. With --dtype the server casts them,
by PyTorch's rules, and stores nothing; without it only the format of the file
changes, and no server is asked.

A single array of a .npy gets the name of its file in a .npz or .safetensors.
A file of several arrays can not become a .npy. OUT appears when it is
complete, and takes the place of what had its name.
"""


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "input", metavar="IN", help="the file; - is the standard input"
    )
    parser.add_argument(
        "output", metavar="OUT", help="the file; - is the standard output"
    )
    add_dtype(parser, "the dtype of the results")
    add_overflow(parser)
    add_format(parser, "--from", "of IN (default: its suffix; npy for -)")
    add_format(parser, "--to", "of OUT (default: its suffix; npy for -)")


def _format(path: str, asked_for: str | None, option: str) -> str:
    if path == STANDARD:
        return asked_for or "npy"
    return file_format(path, asked_for, option)


def _named(
    arrays: Mapping[str, np.ndarray], path: str, format: str
) -> dict[str, np.ndarray]:
    """The arrays by the names that they get in a file of a format."""
    if format == "npy":
        if len(arrays) != 1:
            raise usage_error(
                f"{path} has {len(arrays)} arrays, and a .npy holds one; .npz "
                "and .safetensors hold several"
            )
        return dict(arrays)
    if path == STANDARD:
        stem = "array"
    else:
        stem = os.path.splitext(os.path.basename(path))[0]
    return {name or stem: array for name, array in arrays.items()}


def _run(args: argparse.Namespace, session: Session) -> None:
    from tensord._dtype import to_dtype
    from tensord._files import open_arrays, write_arrays

    input_format = _format(args.input, getattr(args, "from"), "--from")
    output_format = _format(args.output, args.to, "--to")
    file = destination(args.output)
    if args.output == STANDARD:
        session.refuse_json("arrays go to the standard output")
    wanted = None if args.dtype is None else to_dtype(args.dtype, "convert")
    arrays = _named(
        open_arrays(source(args.input), input_format, wanted),
        args.input,
        output_format,
    )
    if wanted is not None:
        arrays = _cast(args, session, arrays)
    write_arrays(file, arrays, output_format)
    if session.json:
        _tell(args.output, output_format, arrays)


def _cast(
    args: argparse.Namespace,
    session: Session,
    arrays: Mapping[str, np.ndarray],
) -> dict[str, np.ndarray]:
    """What the server makes of the arrays."""
    client = session.client
    cast = {}
    for name, array in arrays.items():
        with progress_of(session.progress) as progress:
            cast[name] = client.convert(
                array, args.dtype, args.overflow, progress=progress
            )
    return cast


def _tell(output: str, format: str, arrays: Mapping[str, np.ndarray]) -> None:
    from tensord._array import array_dtype

    facts: list[dict[str, Any]] = [
        {
            "name": name,
            "dtype": dtype_text(array_dtype(array)),
            "shape": list(array.shape),
        }
        for name, array in arrays.items()
    ]
    size_bytes = os.stat(output).st_size
    write_json(
        {
            "file": output,
            "format": format,
            "size_bytes": size_bytes,
            "arrays": facts,
        }
    )


COMMAND = Command(
    "convert",
    "arrays",
    "cast the arrays of a file, or change its format",
    _DESCRIPTION,
    (
        Example(
            "tensorctl convert w.npy w.safetensors --dtype bfloat16",
            "a cast, and another format",
        ),
        Example(
            "tensorctl convert in.npz out.npz --dtype uint8 "
            "--overflow saturate",
            "all arrays of a file",
        ),
        Example(
            "tensorctl convert model.safetensors model.npz",
            "the format alone, without a server",
        ),
    ),
    _add_arguments,
    _run,
)
