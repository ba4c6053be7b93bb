"""Arrays in files: .npy, .npz and .safetensors.

Files are mapped into memory, both ways: arrays travel between the disk and the
network piece by piece, however large they are. Who truncates a file while it is
read ends the process, as with every mapped file (SIGBUS).

The format of .npy and .npz is NumPy's (NEP 1); that of .safetensors is
https://github.com/huggingface/safetensors#format.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator, Mapping
from typing import IO, NamedTuple

import numpy as np

from tensord import _npy, _safetensors, _zip
from tensord._array import array_dtype
from tensord._dtype import dtype, type_name
from tensord.errors import InvalidArgumentError, InvalidTypeError

FORMATS = ("npy", "npz", "safetensors")

# What an array of a file is called that holds several, if it has no name.
_UNNAMED = {"npy": "", "npz": "arr_0", "safetensors": "tensor"}

File = str | os.PathLike[str] | IO[bytes]


def format_of(file: File, format: str | None) -> str:
    """The format of a file: as asked for, or as its name ends."""
    if format is None:
        if not isinstance(file, (str, os.PathLike)):
            raise InvalidArgumentError(
                "an open file does not tell its format: format= has to be "
                f"one of {', '.join(FORMATS)}",
                reason="FILE_FORMAT_UNKNOWN",
            )
        format = os.path.splitext(os.fspath(file))[1].removeprefix(".")
    if format not in FORMATS:
        raise InvalidArgumentError(
            f"{_shown(file)}: {format!r} is no format of files; "
            f"they are {', '.join(FORMATS)}",
            reason="FILE_FORMAT_UNKNOWN",
        )
    return format


def _shown(file: File) -> str:
    return str(file if isinstance(file, (str, os.PathLike)) else "the file")


def unnamed(format: str) -> str:
    """What a file of this format calls an array without a name."""
    return _UNNAMED[format]


# Reading.


def open_arrays(
    file: File, format: str | None = None, dtype: dtype | None = None
) -> dict[str, np.ndarray]:
    """The arrays of a file, read-only and mapped into memory.

    Parameters
    ----------
    file
        A path, or a binary file, of which everything is read from where it
        stands.
    format : {"npy", "npz", "safetensors"}, optional
        As the name ends, if not given.
    dtype : dtype, optional
        What elements are that .npy has no name for, as those of ml_dtypes.

    Returns
    -------
    dict of numpy.ndarray
        By name, in the order of the file; that of a .npy is empty.

    Raises
    ------
    InvalidArgumentError
        The file is damaged, or of another format.
    InvalidTypeError
        Elements are objects, or of no dtype that tensors can have.
    OSError
        The file can not be read.
    """
    format = format_of(file, format)
    with _mappable(file) as mappable:
        try:
            if format == "npy":
                size_bytes = os.fstat(mappable.fileno()).st_size
                return {"": _npy.map_array(mappable, 0, size_bytes, dtype)}
            if format == "npz":
                return _zip.map_arrays(mappable, dtype)
            return _safetensors.map_arrays(mappable)
        except (InvalidArgumentError, InvalidTypeError) as error:
            error.message = f"{_shown(file)}: {error.message}"
            raise


@contextlib.contextmanager
def _mappable(file: File) -> Iterator[IO[bytes]]:
    """A file that can be mapped: itself, or a copy of what comes from a pipe."""
    with contextlib.ExitStack() as stack:
        if isinstance(file, (str, os.PathLike)):
            opened: IO[bytes] = stack.enter_context(open(file, "rb"))
            if stat.S_ISREG(os.fstat(opened.fileno()).st_mode):
                yield opened
                return
            file = opened
        elif not hasattr(file, "read"):
            raise InvalidTypeError(
                "a file is a path or a binary file, not " + type_name(file)
            )
        copy = stack.enter_context(tempfile.TemporaryFile())
        shutil.copyfileobj(file, copy, _PIECE_BYTES)
        copy.seek(0)
        yield copy


_PIECE_BYTES = 1 << 20

# Writing.


class ArraySpec(NamedTuple):
    """An array that is to be written, in C order."""

    dtype: dtype
    shape: tuple[int, ...]

    @property
    def size_bytes(self) -> int:
        count = 1
        for size in self.shape:
            count *= size
        return count * self.dtype.itemsize


@contextlib.contextmanager
def create_arrays(
    file: File, specs: Mapping[str, ArraySpec], format: str | None = None
) -> Iterator[Iterator[tuple[str, np.ndarray]]]:
    """Writes a file, whose arrays are filled by the caller.

    Gives pairs of a name and of the array to be filled before the next pair is
    asked for. A path gets the new file when the ``with`` block ends; until
    then, and if it ends by an exception, the path keeps what it had.

    Parameters
    ----------
    file
        A path, or a binary file to be written to.
    specs
        By name. A .npy has one, whatever it is called.
    format : {"npy", "npz", "safetensors"}, optional
        As the name ends, if not given.

    Raises
    ------
    InvalidTypeError
        The format can not carry a dtype.
    InvalidArgumentError
        The format can not carry several arrays, or not such names.
    OSError
        The file can not be written, or the disk is full.
    """
    format = format_of(file, format)
    fill = _FILLERS[format]
    if format == "npy" and len(specs) != 1:
        raise InvalidArgumentError(
            f"{_shown(file)}: a .npy file holds one array, not {len(specs)}; "
            ".npz and .safetensors hold several",
            reason="FILE_FORMAT_UNKNOWN",
        )
    with _output(file) as output:
        filling = fill(output, specs)
        yield filling
        # Those that the caller did not ask for, and the end of the file.
        for _ in filling:
            pass


@contextlib.contextmanager
def _output(file: File) -> Iterator[IO[bytes]]:
    if not isinstance(file, (str, os.PathLike)):
        yield file
        return
    # Through links, as other writers go.
    path = os.path.realpath(os.fspath(file))
    if os.path.exists(path) and not os.path.isfile(path):
        with open(path, "wb") as special:
            yield special
        return
    draft = f"{path}.{secrets.token_hex(4)}.part"
    with open(draft, "x+b") as output:
        try:
            yield output
            output.flush()
            os.replace(draft, path)
        except BaseException:
            os.unlink(draft)
            raise


def _is_mappable(output: IO[bytes]) -> bool:
    """Whether arrays can be filled in their place in the file."""
    try:
        return output.readable() and stat.S_ISREG(
            os.fstat(output.fileno()).st_mode
        )
    except OSError:
        # No file of the system.
        return False


def _map_region(output: IO[bytes], spec: ArraySpec, offset: int) -> np.ndarray:
    """An array that is a region of a file, which grows to hold it."""
    if spec.size_bytes == 0:
        return np.empty(spec.shape, spec.dtype.numpy_dtype)
    output.flush()
    # A full disk is an error now, not a signal when a page is written.
    os.posix_fallocate(output.fileno(), offset, spec.size_bytes)
    return _npy.map_region(
        output, "r+", offset, spec.dtype.numpy_dtype, spec.shape
    )


@contextlib.contextmanager
def _spool(spec: ArraySpec) -> Iterator[tuple[np.ndarray, IO[bytes]]]:
    """An array to be filled, and the file that it is then read from."""
    with tempfile.TemporaryFile() as file:
        array = _map_region(file, spec, 0)
        file.seek(0)
        yield array, file


def _fill(
    output: IO[bytes], name: str, spec: ArraySpec
) -> Iterator[tuple[str, np.ndarray]]:
    """Gives the array that follows in `output`."""
    if _is_mappable(output):
        offset = output.tell()
        yield name, _map_region(output, spec, offset)
        output.seek(offset + spec.size_bytes)
        return
    with _spool(spec) as (array, file):
        yield name, array
        shutil.copyfileobj(file, output, _PIECE_BYTES)


def _fill_npy(
    output: IO[bytes], specs: Mapping[str, ArraySpec]
) -> Iterator[tuple[str, np.ndarray]]:
    for name, spec in specs.items():
        output.write(_npy.header(spec.dtype, spec.shape))
        yield from _fill(output, name, spec)


def _fill_npz(
    output: IO[bytes], specs: Mapping[str, ArraySpec]
) -> Iterator[tuple[str, np.ndarray]]:
    headers = {
        name: _npy.header(spec.dtype, spec.shape)
        for name, spec in specs.items()
    }
    with _zip.create(output) as archive:
        for name, spec in specs.items():
            with _spool(spec) as (array, file):
                yield name, array
                with _zip.open_member(archive, name) as member:
                    member.write(headers[name])
                    shutil.copyfileobj(file, member, _PIECE_BYTES)


def _fill_safetensors(
    output: IO[bytes], specs: Mapping[str, ArraySpec]
) -> Iterator[tuple[str, np.ndarray]]:
    plan = _safetensors.plan(
        {name: (spec.dtype, spec.shape) for name, spec in specs.items()}
    )
    output.write(plan.header)
    for name in plan.names:
        yield from _fill(output, name, specs[name])


_FILLERS: dict[
    str,
    Callable[
        [IO[bytes], Mapping[str, ArraySpec]], Iterator[tuple[str, np.ndarray]]
    ],
] = {
    "npy": _fill_npy,
    "npz": _fill_npz,
    "safetensors": _fill_safetensors,
}


def write_arrays(
    file: File, arrays: Mapping[str, np.ndarray], format: str | None = None
) -> None:
    """Writes arrays to a file; see :func:`create_arrays`."""
    specs = {
        name: ArraySpec(array_dtype(array), array.shape)
        for name, array in arrays.items()
    }
    with create_arrays(file, specs, format) as destinations:
        for name, destination in destinations:
            destination[...] = arrays[name]
