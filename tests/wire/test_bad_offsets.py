"""Bad input, group E: offsets and ranges."""

import numpy as np
import pytest

import wire_harness as harness
from wire_harness import INVALID_ARGUMENT
from wire_harness import OUT_OF_RANGE
from wire_harness import chunk
from wire_stubs import pb

ARRAY = np.arange(6, dtype=np.float32)
DATA = ARRAY.tobytes()
DECLARATION = harness.raw_declaration(harness.array_spec(ARRAY), len(DATA))
GREATEST = 2**63 - 1

WRITES = [
    ("E78-negative", 12, -1, INVALID_ARGUMENT, "OFFSET_INVALID"),
    ("E78-least", 12, -2**63, INVALID_ARGUMENT, "OFFSET_INVALID"),
    ("E79-gap", 12, 16, OUT_OF_RANGE, "OFFSET_MISMATCH"),
    ("E79-overlap", 12, 8, OUT_OF_RANGE, "OFFSET_MISMATCH"),
    ("E79-again", 12, 0, OUT_OF_RANGE, "OFFSET_MISMATCH"),
    ("E79-beyond-end", 12, 100, OUT_OF_RANGE, "OFFSET_MISMATCH"),
    ("E79-first-chunk", 0, 4, OUT_OF_RANGE, "OFFSET_MISMATCH"),
    ("E80-overflow", 12, GREATEST, INVALID_ARGUMENT, "OFFSET_INVALID"),
    ("E80-overflow-by-one", 12, GREATEST - 11, INVALID_ARGUMENT,
     "OFFSET_INVALID"),
    ("E80-just-no-overflow", 12, GREATEST - 12, OUT_OF_RANGE,
     "OFFSET_MISMATCH"),
]


@pytest.mark.parametrize(
    "committed, offset, code, reason",
    [pytest.param(*row[1:], id=row[0]) for row in WRITES])
def test_refuses_write(wire, committed, offset, code, reason):
    steps = [{"chunk": chunk(DATA[:committed])}] if committed else []
    steps.append({"chunk": chunk(DATA[12:], offset), "finish": True})
    metadata = ({"committedBytes": str(committed)}
                if reason == "OFFSET_MISMATCH" else None)
    field = "chunk.offset" if code == INVALID_ARGUMENT else None
    with wire.refused(code, reason, field, metadata):
        wire.upload([harness.upload_head(DECLARATION),
                     *(pb.UploadTensorRequest(**step) for step in steps)])
    with wire.refused(code, reason, field, metadata):
        wire.convert([
            pb.ConvertArrayRequest(
                declaration=pb.ConvertDeclaration(array=DECLARATION)),
            *(pb.ConvertArrayRequest(**step) for step in steps)])


READS = [
    ("E81-past-end", dict(read_offset=25), OUT_OF_RANGE, "READ_PAST_END",
     None),
    ("E81-far-past-end", dict(read_offset=GREATEST, read_limit=GREATEST),
     OUT_OF_RANGE, "READ_PAST_END", None),
    ("E82-negative-offset", dict(read_offset=-1), INVALID_ARGUMENT,
     "OFFSET_INVALID", "read_offset"),
    ("E82-least-offset", dict(read_offset=-2**63), INVALID_ARGUMENT,
     "OFFSET_INVALID", "read_offset"),
    ("E83-negative-limit", dict(read_limit=-1), INVALID_ARGUMENT,
     "OFFSET_INVALID", "read_limit"),
    ("E83-least-limit", dict(read_limit=-2**63), INVALID_ARGUMENT,
     "OFFSET_INVALID", "read_limit"),
]


@pytest.mark.parametrize(
    "read, code, reason, field",
    [pytest.param(*row[1:], id=row[0]) for row in READS])
def test_refuses_read(wire, read, code, reason, field):
    name = wire.create(ARRAY).name
    with wire.refused(code, reason, field):
        wire.download(name, **read)


def test_past_end_counts_encoded_bytes_E81(wire):
    """A .npy file has a header before its elements."""
    name = wire.create(ARRAY).name
    header, _ = wire.download(name, encoding=pb.ENCODING_NPY)
    size = header.total_bytes
    assert size > len(DATA)
    assert wire.download(name, read_offset=size,
                         encoding=pb.ENCODING_NPY)[1] == b""
    with wire.refused(OUT_OF_RANGE, "READ_PAST_END"):
        wire.download(name, read_offset=size + 1, encoding=pb.ENCODING_NPY)
    with wire.refused(OUT_OF_RANGE, "READ_PAST_END"):
        wire.download(name, read_offset=13, dtype=pb.DTYPE_FLOAT16)


@pytest.mark.parametrize("encoding", [pb.ENCODING_RAW, pb.ENCODING_NPY])
@pytest.mark.parametrize("dtype", [pb.DTYPE_FLOAT32, pb.DTYPE_FLOAT64])
def test_every_range_is_cut_from_the_whole(wire, encoding, dtype):
    """Ranges may begin and end inside elements, or inside the header."""
    name = wire.create(ARRAY).name
    options = dict(encoding=encoding, dtype=dtype)
    header, whole = wire.download(name, **options)
    assert header.total_bytes == len(whole)
    size = len(whole)
    offsets = sorted({0, 1, 3, 5, size // 2, size - 5, size - 1, size})
    for offset in offsets:
        for limit in (0, 1, 7, size // 2, size, GREATEST):
            head, data = wire.download(name, read_offset=offset,
                                       read_limit=limit, **options)
            assert head == header
            end = offset + limit if limit else size
            assert data == whole[offset:end], (offset, limit)
