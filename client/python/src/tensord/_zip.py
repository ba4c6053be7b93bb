"""Archives of .npy files, which .npz are."""

from __future__ import annotations

import shutil
import tempfile
import zipfile
import zlib
from typing import IO

import numpy as np

from tensord import _npy
from tensord._dtype import dtype
from tensord.errors import InvalidArgumentError, InvalidTypeError

_PIECE_BYTES = 1 << 20
_LOCAL_HEADER_BYTES = 30


def _damaged(why: str) -> InvalidArgumentError:
    return InvalidArgumentError(f"no .npz: {why}", reason="FILE_DAMAGED")


def _data_offset(file: IO[bytes], member: zipfile.ZipInfo) -> int:
    """Where the bytes of a stored member begin (APPNOTE.TXT, 4.3.7)."""
    file.seek(member.header_offset)
    header = file.read(_LOCAL_HEADER_BYTES)
    if len(header) != _LOCAL_HEADER_BYTES or header[:4] != b"PK\x03\x04":
        raise _damaged(f"nothing where {member.filename!r} should be")
    name_bytes = int.from_bytes(header[26:28], "little")
    extra_bytes = int.from_bytes(header[28:30], "little")
    return (
        member.header_offset + _LOCAL_HEADER_BYTES + name_bytes + extra_bytes
    )


def _check_crc32(file: IO[bytes], member: zipfile.ZipInfo) -> None:
    crc, left = 0, member.file_size
    while left:
        piece = file.read(min(left, _PIECE_BYTES))
        if not piece:
            raise _damaged(f"it ends within {member.filename!r}")
        crc = zlib.crc32(piece, crc)
        left -= len(piece)
    if crc != member.CRC:
        raise _damaged(f"{member.filename!r} is not what was written (CRC-32)")


def _map_member(
    archive: zipfile.ZipFile,
    file: IO[bytes],
    member: zipfile.ZipInfo,
    wanted: dtype | None,
) -> np.ndarray:
    if member.flag_bits & 1:
        raise _damaged(f"{member.filename!r} is encrypted")
    if member.compress_type == zipfile.ZIP_STORED:
        offset = _data_offset(file, member)
        file.seek(offset)
        _check_crc32(file, member)
        return _npy.map_array(file, offset, member.file_size, wanted)
    with tempfile.TemporaryFile() as unpacked:
        with archive.open(member) as packed:
            shutil.copyfileobj(packed, unpacked, _PIECE_BYTES)
        unpacked.flush()
        return _npy.map_array(unpacked, 0, member.file_size, wanted)


def map_arrays(file: IO[bytes], wanted: dtype | None) -> dict[str, np.ndarray]:
    """The arrays of an archive by name.

    Those that are compressed are unpacked into temporary files.
    """
    arrays: dict[str, np.ndarray] = {}
    try:
        with zipfile.ZipFile(file) as archive:
            for member in archive.infolist():
                name = member.filename
                if not name.endswith(".npy"):
                    raise _damaged(f"{name!r} is no .npy")
                key = name.removesuffix(".npy")
                if key in arrays:
                    raise _damaged(f"there are two {name!r}")
                try:
                    arrays[key] = _map_member(archive, file, member, wanted)
                except (InvalidArgumentError, InvalidTypeError) as error:
                    error.message = f"{name}: {error.message}"
                    raise
    except (
        zipfile.BadZipFile,
        zlib.error,
        NotImplementedError,
        EOFError,
    ) as error:
        raise _damaged(str(error)) from None
    return arrays


def create(output: IO[bytes]) -> zipfile.ZipFile:
    """An archive to be written, whose members are not compressed."""
    return zipfile.ZipFile(output, "w", zipfile.ZIP_STORED)


def open_member(archive: zipfile.ZipFile, name: str) -> IO[bytes]:
    """The member of the array of this name, to be written.

    Has the time that NumPy gives, so that equal arrays make equal files.
    """
    info = zipfile.ZipInfo(f"{name}.npy", (1980, 1, 1, 0, 0, 0))
    return archive.open(info, "w", force_zip64=True)
