"""Bad input, group A: headers of .npy files."""

import pytest

import wire_harness as harness
from wire_harness import INVALID_ARGUMENT
from wire_harness import npy_file
from wire_harness import npy_header
from wire_stubs import pb

BODY = b"\0" * 12
GOOD = npy_file(npy_header(), BODY)
MAGIC = b"\x93NUMPY"
MAX_HEADER = 10_000
GZIP = b"\x1f\x8b\x08\x00" + bytes(60)
HDF5 = b"\x89HDF\r\n\x1a\n" + bytes(60)
SAFETENSORS = (60).to_bytes(8, "little") + b'{"a":{"dtype":"F32"' + bytes(60)


def described(**parts):
    return npy_file(npy_header(**parts), BODY)


def deep(opening):
    """A header with as many brackets as fit."""
    return npy_file(opening * (MAX_HEADER - 200), BODY)


ROWS = [
    ("A1-empty", b"", "NPY_TRUNCATED"),
    ("A2-one-byte", MAGIC[:1], "NPY_TRUNCATED"),
    ("A2-five-bytes", MAGIC[:5], "NPY_TRUNCATED"),
    ("A3-wrong-magic", b"\x93NUMPZ" + GOOD[6:], "NPY_BAD_MAGIC"),
    ("A3-text", b"not an array at all", "NPY_BAD_MAGIC"),
    ("A4-npz", b"PK\3\4" + bytes(60), "NPZ_NOT_SUPPORTED"),
    ("A5-pickle", b"\x80\x04\x95" + bytes(60), "PICKLE_FORBIDDEN"),
    ("A6-gzip", GZIP, "NPY_BAD_MAGIC"),
    ("A6-hdf5", HDF5, "NPY_BAD_MAGIC"),
    ("A6-safetensors", SAFETENSORS, "NPY_BAD_MAGIC"),
    *((f"A7-version-{major}.{minor}", MAGIC + bytes([major, minor]) + GOOD[8:],
       "NPY_BAD_VERSION")
      for major, minor in [(0, 0), (1, 1), (2, 1), (4, 0), (255, 255)]),
    ("A8-no-version", MAGIC, "NPY_TRUNCATED"),
    ("A8-length-cut-v1", MAGIC + b"\1\0\x76", "NPY_TRUNCATED"),
    ("A8-length-cut-v2", MAGIC + b"\2\0\x76\0\0", "NPY_TRUNCATED"),
    ("A9-header-cut", GOOD[:40], "NPY_TRUNCATED"),
    ("A9-header-absent", MAGIC + b"\1\0\x10\x27", "NPY_TRUNCATED"),
    ("A10-header-4-gib", MAGIC + b"\2\0\xff\xff\xff\xff",
     "NPY_HEADER_TOO_LARGE"),
    ("A10-header-10001",
     MAGIC + b"\2\0" + (MAX_HEADER + 1).to_bytes(4, "little"),
     "NPY_HEADER_TOO_LARGE"),
    ("A10-header-10001-v1",
     MAGIC + b"\1\0" + (MAX_HEADER + 1).to_bytes(2, "little"),
     "NPY_HEADER_TOO_LARGE"),
    ("A11-header-empty", MAGIC + b"\1\0\0\0" + BODY, "NPY_HEADER_SYNTAX"),
    ("A12-no-newline", npy_file(npy_header() + " " * 20, BODY, alignment=0),
     "NPY_HEADER_SYNTAX"),
    ("A13-nul", described(descr="'<f4\0'"), "NPY_HEADER_SYNTAX"),
    ("A13-nul-padding", npy_file(npy_header() + "\0\n", BODY, alignment=0),
     "NPY_HEADER_SYNTAX"),
    ("A13-control", described(shape="(\x013,)"), "NPY_HEADER_SYNTAX"),
    ("A13-delete", npy_file(npy_header() + "\x7f", BODY), "NPY_HEADER_SYNTAX"),
    ("A14-utf8-v3", npy_file(
        npy_header().encode().replace(b"descr", b"desc\xff"), BODY, (3, 0)),
     "NPY_HEADER_SYNTAX"),
    ("A14-latin1-key", npy_file(
        npy_header().encode().replace(b"descr", b"d\xe9scr"), BODY),
     "NPY_HEADER_SYNTAX"),
    *((f"A15-not-a-dict-{name}", npy_file(header, BODY), "NPY_HEADER_SYNTAX")
      for name, header in [
          ("list", "['descr', '<f4']"), ("int", "1"), ("none", "None"),
          ("empty", ""), ("set", "{'descr', 'shape'}"), ("text", "'<f4'"),
          ("empty-dict", "{}")]),
    ("A16-no-descr", npy_file(
        "{'fortran_order': False, 'shape': (3,)}", BODY), "NPY_HEADER_SYNTAX"),
    ("A16-no-order", npy_file("{'descr': '<f4', 'shape': (3,)}", BODY),
     "NPY_HEADER_SYNTAX"),
    ("A16-no-shape", npy_file("{'descr': '<f4', 'fortran_order': False}", BODY),
     "NPY_HEADER_SYNTAX"),
    ("A17-extra-key", npy_file(npy_header()[:-1] + "'x': 1}", BODY),
     "NPY_HEADER_SYNTAX"),
    ("A17-wrong-case", npy_file(npy_header().replace("descr", "Descr"), BODY),
     "NPY_HEADER_SYNTAX"),
    ("A18-duplicate-descr", npy_file(
        npy_header()[:-1] + "'descr': '<f4'}", BODY), "NPY_HEADER_SYNTAX"),
    ("A18-duplicate-shape", npy_file(
        npy_header()[:-1] + "'shape': (1,)}", BODY), "NPY_HEADER_SYNTAX"),
    ("A19-text-after", npy_file(npy_header() + " x", BODY),
     "NPY_HEADER_SYNTAX"),
    ("A19-second-dict", npy_file(npy_header() * 2, BODY), "NPY_HEADER_SYNTAX"),
    ("A19-comment", npy_file(npy_header() + " # x", BODY), "NPY_HEADER_SYNTAX"),
    ("A20-open-string", npy_file("{'descr': '<f4", BODY), "NPY_HEADER_SYNTAX"),
    ("A20-open-brace", npy_file(npy_header()[:-1], BODY), "NPY_HEADER_SYNTAX"),
    ("A20-open-shape", npy_file(npy_header(shape="(3,")[:-1], BODY),
     {"NPY_HEADER_SYNTAX", "SHAPE_INVALID"}),
    ("A21-parentheses", deep("("), "NPY_HEADER_SYNTAX"),
    ("A21-braces", deep("{"), "NPY_HEADER_SYNTAX"),
    ("A21-in-shape", described(shape="(" * 9000),
     {"NPY_HEADER_SYNTAX", "SHAPE_INVALID"}),
    ("A21-in-descr", described(descr="[" * 9000),
     {"NPY_HEADER_SYNTAX", "DTYPE_STRUCTURED_UNSUPPORTED"}),
    *((f"A22-{name}", described(descr=descr), "NPY_HEADER_SYNTAX")
      for name, descr in [
          ("call", "__import__('os')"), ("f-string", "f'<f4'"),
          ("bytes", "b'<f4'"), ("sum", "'<f'+'4'"),
          ("concatenation", "'<' 'f4'"), ("triple-quotes", "'''<f4'''"),
          ("escape", r"'\x3cf4'"), ("octal-escape", r"'\074f4'"),
          ("parenthesised", "('<f4')")]),
    ("A22-sum-in-shape", described(shape="(1+1,)"),
     {"NPY_HEADER_SYNTAX", "SHAPE_INVALID"}),
    ("A22-conditional", described(fortran="False if 1 else True"),
     {"NPY_HEADER_SYNTAX", "NPY_BAD_ORDER"}),
    *((f"A23-order-{name}", described(fortran=order), "NPY_BAD_ORDER")
      for name, order in [("0", "0"), ("1", "1"), ("text", "'False'"),
                          ("none", "None")]),
    ("A35-body-short", GOOD[:-1], "NPY_TRUNCATED"),
    ("A35-body-absent", GOOD[:-len(BODY)], "NPY_TRUNCATED"),
    ("A36-body-long", GOOD + b"\0", "TRAILING_BYTES"),
]

UNARY_FIELD = "npy"


@pytest.mark.parametrize("way", harness.NPY_WAYS)
@pytest.mark.parametrize(
    "file, reason", [pytest.param(*row[1:], id=row[0]) for row in ROWS])
def test_refuses(wire, way, file, reason):
    field = UNARY_FIELD if way == "create" else None
    with wire.refused(INVALID_ARGUMENT, reason, field):
        harness.send_npy(wire, way, file)


def test_good_file_is_accepted(wire):
    """The file that the rows above spoil."""
    for way in harness.NPY_WAYS:
        harness.send_npy(wire, way, GOOD)


@pytest.mark.parametrize("start, reason", [
    pytest.param(b"\x93NUMPX", "NPY_BAD_MAGIC", id="magic"),
    pytest.param(b"PK\3\4", "NPZ_NOT_SUPPORTED", id="npz"),
    pytest.param(b"\x80\4\x95\0\0\0", "PICKLE_FORBIDDEN", id="pickle"),
    pytest.param(MAGIC + b"\4\0", "NPY_BAD_VERSION", id="version"),
    pytest.param(MAGIC + b"\2\0\xff\xff\xff\xff", "NPY_HEADER_TOO_LARGE",
                 id="header-length"),
    pytest.param(npy_file("{'descr': '<f4'}"), "NPY_HEADER_SYNTAX",
                 id="header"),
    pytest.param(npy_file(npy_header(shape="(4,)")), "NPY_TRUNCATED",
                 id="size"),
])
def test_refuses_before_the_rest_arrives(wire, start, reason):
    """What is wrong is said from the bytes that show it."""
    declaration = harness.npy_declaration(len(start) + 12)
    messages = [harness.upload_head(declaration),
                pb.UploadTensorRequest(chunk=harness.chunk(start))]
    with wire.refused(INVALID_ARGUMENT, reason):
        with harness.held_open(*messages) as upload:
            wire.upload(upload)


def test_npz_is_told_what_to_do(wire):
    with wire.refused(INVALID_ARGUMENT, "NPZ_NOT_SUPPORTED") as caught:
        wire.create_npy(b"PK\3\4" + bytes(60))
    assert ".npy" in caught.refusal.message
