"""Bad input, group B: shapes, sizes, strides and slices."""

import numpy as np
import pytest

import wire_harness as harness
from wire_harness import FAILED_PRECONDITION
from wire_harness import INVALID_ARGUMENT
from wire_harness import OUT_OF_RANGE
from wire_harness import npy_file
from wire_harness import npy_header
from wire_stubs import pb

MAX_DIMENSIONS = 64


def shaped(shape, descr="'<f4'", body=b"\0" * 12):
    return npy_file(npy_header(descr=descr, shape=shape), body)


NPY_ROWS = [
    ("B24-list", "[3]", "SHAPE_INVALID"),
    ("B24-int", "3", "SHAPE_INVALID"),
    ("B24-parenthesised-int", "(3)", "SHAPE_INVALID"),
    ("B24-text", "'3'", "SHAPE_INVALID"),
    ("B24-none", "None", "SHAPE_INVALID"),
    ("B24-text-within", "('3',)", "SHAPE_INVALID"),
    ("B24-nested", "((3,),)", "SHAPE_INVALID"),
    ("B25-negative", "(-1,)", "SHAPE_INVALID"),
    ("B25-negative-pair", "(-3, -1)", "SHAPE_INVALID"),
    ("B26-float", "(3.0,)", "SHAPE_INVALID"),
    ("B26-bool", "(True,)", "SHAPE_INVALID"),
    ("B26-hex", "(0x3,)", "SHAPE_INVALID"),
    ("B26-underscore", "(0_3,)", "SHAPE_INVALID"),
    ("B26-thousands", "(1_000,)", "SHAPE_INVALID"),
    ("B26-exponent", "(1e3,)", "SHAPE_INVALID"),
    ("B26-negative-zero", "(-0,)", "SHAPE_INVALID"),
    ("B26-plus", "(+3,)", "SHAPE_INVALID"),
    ("B26-leading-zeros", "(003,)", "SHAPE_INVALID"),
    ("B27-thirty-digits", f"({'9' * 30},)", "SHAPE_OVERFLOW"),
    ("B27-2^63", f"({2**63},)", "SHAPE_OVERFLOW"),
    ("B27-2^64", f"({2**64},)", "SHAPE_OVERFLOW"),
    ("B27-2^64+3", f"({2**64 + 3},)", "SHAPE_OVERFLOW"),
    ("B28-square", f"({2**32}, {2**32})", "SHAPE_OVERFLOW"),
    ("B28-oblong", f"({2**33}, {2**31})", "SHAPE_OVERFLOW"),
    ("B30-behind-zero", f"(0, {2**62}, {2**62})", "SHAPE_OVERFLOW"),
    ("B30-before-zero", f"({2**62}, {2**62}, 0)", "SHAPE_OVERFLOW"),
    ("B31-65-dimensions", f"({'1, ' * 65})", "SHAPE_INVALID"),
    ("B32-thousands", f"({'1,' * 4000})", "SHAPE_INVALID"),
]


@pytest.mark.parametrize("way", harness.NPY_WAYS)
@pytest.mark.parametrize(
    "shape, reason", [pytest.param(*row[1:], id=row[0]) for row in NPY_ROWS])
def test_refuses_shape_in_npy(wire, way, shape, reason):
    field = "npy" if way == "create" else None
    with wire.refused(INVALID_ARGUMENT, reason, field):
        harness.send_npy(wire, way, shaped(shape))


@pytest.mark.parametrize("way", harness.NPY_WAYS)
def test_refuses_shape_times_item_size_B29(wire, way):
    with wire.refused(INVALID_ARGUMENT, "SHAPE_OVERFLOW"):
        harness.send_npy(wire, way, shaped(f"({2**61},)", "'<f8'"))


@pytest.mark.parametrize("way", harness.NPY_WAYS)
def test_refuses_declared_size_that_never_fits_B34(wire, way):
    """Said before the file is found too short for it."""
    too_many = harness.MAX_TENSOR_BYTES // 8 + 1
    with wire.refused(INVALID_ARGUMENT, "TENSOR_TOO_LARGE"):
        harness.send_npy(wire, way, shaped(f"({too_many},)", "'<f8'"))


@pytest.mark.parametrize("way", harness.NPY_WAYS)
def test_refuses_declared_size_far_beyond_the_file_B33(roomy, way):
    with roomy.refused(INVALID_ARGUMENT, "NPY_TRUNCATED"):
        harness.send_npy(roomy, way, shaped("(65536, 65536)", "'<f8'", b""))


SHAPE = "raw.spec.shape"
RAW_ROWS = [
    ("B25-negative", dict(shape=[-1]), 4, "SHAPE_INVALID", SHAPE),
    ("B25-least", dict(shape=[-2**63]), 4, "SHAPE_INVALID", SHAPE),
    ("B27-2^63-1", dict(shape=[2**63 - 1]), 4, "SHAPE_OVERFLOW", SHAPE),
    ("B28-product", dict(shape=[2**32, 2**32]), 4, "SHAPE_OVERFLOW", SHAPE),
    ("B28-product-2^63", dict(shape=[2**32, 2**29]), 4, "SHAPE_OVERFLOW",
     SHAPE),
    ("B29-item-size", dict(shape=[2**61]), 4, "SHAPE_OVERFLOW", SHAPE),
    ("B30-behind-zero", dict(shape=[0, 2**62, 2**62]), 0, "SHAPE_OVERFLOW",
     SHAPE),
    ("B31-65-dimensions", dict(shape=[1] * 65), 4, "SHAPE_INVALID", SHAPE),
    ("B34-too-large", dict(shape=[harness.MAX_TENSOR_BYTES // 4 + 1]), 4,
     "TENSOR_TOO_LARGE", None),
    ("B37-too-few-bytes", dict(shape=[3]), 11, "SIZE_MISMATCH", "raw.data"),
    ("B37-too-many-bytes", dict(shape=[3]), 13, "SIZE_MISMATCH", "raw.data"),
    ("B37-no-bytes", dict(shape=[3]), 0, "SIZE_MISMATCH", "raw.data"),
    ("B37-scalar", dict(), 0, "SIZE_MISMATCH", "raw.data"),
    ("B37-empty-with-bytes", dict(shape=[0]), 4, "SIZE_MISMATCH", "raw.data"),
    *((f"B38-strides-{name}", dict(shape=[2, 3], strides=strides), 24,
       "STRIDES_INVALID", "raw.spec.strides")
      for name, strides in [
          ("too-few", [1]), ("too-many", [3, 1, 1]), ("negative", [-3, 1]),
          ("negative-inner", [3, -1]), ("overlapping", [1, 1]),
          ("zero", [0, 1]), ("gaps", [4, 1]), ("beyond", [300, 1]),
          ("extreme", [2**63 - 1, 2**62]), ("least", [-2**63, 1])]),
    ("B38-order", dict(shape=[3], order=7), 12, "ORDER_INVALID",
     "raw.spec.order"),
    ("B38-byte-order", dict(shape=[3], byte_order=-1), 12,
     "BYTE_ORDER_INVALID", "raw.spec.byte_order"),
]


@pytest.mark.parametrize(
    "spec, size, reason, field",
    [pytest.param(*row[1:], id=row[0]) for row in RAW_ROWS])
@pytest.mark.parametrize("way", ["create", "upload", "convert"])
def test_refuses_raw(wire, way, spec, size, reason, field):
    spec = pb.ArraySpec(dtype=pb.DTYPE_FLOAT32, **spec)
    data = bytes(size)
    if way == "create":
        with wire.refused(INVALID_ARGUMENT, reason, field):
            wire.stub.CreateTensor(pb.CreateTensorRequest(
                raw=pb.RawArray(spec=spec, data=data)))
        return
    declaration = harness.raw_declaration(spec, size)
    if field is not None:
        field = ("declaration.array" if field == "raw.data"
                 else f"declaration.array.{field.replace('spec.', '')}")
    with wire.refused(INVALID_ARGUMENT, reason, field):
        if way == "upload":
            wire.upload(harness.upload_messages(declaration, data))
        else:
            wire.convert(harness.convert_messages(declaration, data))


def test_refuses_negative_total(wire):
    spec = pb.ArraySpec(dtype=pb.DTYPE_FLOAT32, shape=[3])
    for declaration in (harness.raw_declaration(spec, -1),
                        harness.npy_declaration(-1),
                        harness.npy_declaration(-2**63)):
        with wire.refused(INVALID_ARGUMENT, {
                "SIZE_MISMATCH", "OFFSET_INVALID", "NPY_TRUNCATED"},
                          "declaration.array"):
            wire.upload(harness.upload_messages(declaration, b""))


def test_refuses_npy_stream_that_never_fits(wire):
    """From the declaration alone."""
    head = harness.upload_head(harness.npy_declaration(2**63 - 1))
    with wire.refused(INVALID_ARGUMENT, "TENSOR_TOO_LARGE",
                      "declaration.array"):
        with harness.held_open(head) as upload:
            wire.upload(upload)


def test_refuses_cast_that_never_fits_B34(wire):
    """What arrives is small enough; what would be stored is not."""
    count = harness.MAX_TENSOR_BYTES // 4
    spec = pb.ArraySpec(dtype=pb.DTYPE_UINT8, shape=[count])
    head = harness.upload_head(harness.raw_declaration(spec, count),
                               dtype=pb.DTYPE_FLOAT64)
    with wire.refused(INVALID_ARGUMENT, "TENSOR_TOO_LARGE"):
        with harness.held_open(head) as upload:
            wire.upload(upload)


@pytest.fixture
def source(wire):
    return wire.create(np.arange(24, dtype=np.float32).reshape(4, 6)).name


def term(**fields):
    return pb.IndexTerm(**fields)


def sliced(**fields):
    return pb.IndexTerm(slice=pb.Slice(**fields))


INDEX_ROWS = [
    ("B40-step-0", [sliced(step=0)], INVALID_ARGUMENT, "SLICE_INVALID"),
    ("B40-term-empty", [term()], INVALID_ARGUMENT, "SLICE_INVALID"),
    ("B40-two-ellipses", [term(ellipsis={}), term(ellipsis={})],
     INVALID_ARGUMENT, "SLICE_INVALID"),
    ("B40-too-many", [term(index=0)] * 3, INVALID_ARGUMENT, "SLICE_INVALID"),
    ("B40-beyond", [term(index=4)], OUT_OF_RANGE, "SLICE_OUT_OF_RANGE"),
    ("B40-before", [term(index=-5)], OUT_OF_RANGE, "SLICE_OUT_OF_RANGE"),
    ("B40-greatest", [term(index=2**63 - 1)], OUT_OF_RANGE,
     "SLICE_OUT_OF_RANGE"),
    ("B40-least", [term(index=-2**63)], OUT_OF_RANGE, "SLICE_OUT_OF_RANGE"),
    ("B40-new-axes", [term(new_axis={})] * MAX_DIMENSIONS, INVALID_ARGUMENT,
     "SHAPE_INVALID"),
    ("B40-many-new-axes", [term(new_axis={})] * 100_000, INVALID_ARGUMENT,
     {"SHAPE_INVALID", "SLICE_INVALID"}),
]


@pytest.mark.parametrize("way", ["read", "download", "transform"])
@pytest.mark.parametrize(
    "terms, code, reason",
    [pytest.param(*row[1:], id=row[0]) for row in INDEX_ROWS])
def test_refuses_index(wire, source, way, terms, code, reason):
    field = "options.index" if way != "transform" else "operations[0]"
    with wire.refused(code, reason) as caught:
        if way == "transform":
            wire.transform(source, pb.Operation(
                index=pb.Operation.Index(terms=terms)))
        elif way == "read":
            wire.read(source, index=terms)
        else:
            wire.download(source, index=terms)
    assert all(path.startswith(field) for path in caught.refusal.fields)
    assert caught.refusal.fields


EXTREME = [None, 0, 1, 3, 4, 5, -1, -4, -5, 2**63 - 1, -2**63]


def test_slice_bounds_are_clamped_B40(wire, source):
    array = np.arange(24, dtype=np.float32).reshape(4, 6)
    for start in EXTREME:
        for stop in EXTREME:
            for step in (None, 1, -1, 3, -2**63, 2**63 - 1):
                fields = {name: value for name, value in
                          [("start", start), ("stop", stop), ("step", step)]
                          if value is not None}
                got = wire.read(source, index=[sliced(**fields)],
                                order=pb.ORDER_C)
                want = array[start:stop:step]
                assert tuple(got.spec.shape) == want.shape, fields
                assert got.data == want.tobytes(), fields


RESHAPES = [
    ("B39-other-count", [5, 5], "SIZE_MISMATCH"),
    ("B39-not-divisible", [-1, 5], "SIZE_MISMATCH"),
    ("B39-scalar", [], "SIZE_MISMATCH"),
    ("B39-two-inferred", [-1, -1], "SHAPE_INVALID"),
    ("B39-negative", [-2, 12], "SHAPE_INVALID"),
    ("B39-65-dimensions", [24] + [1] * 64, "SHAPE_INVALID"),
    ("B39-overflow", [2**62, 2**62], {"SHAPE_OVERFLOW", "SIZE_MISMATCH"}),
    ("B39-overflow-to-count", [2**32, 2**32, 24],
     {"SHAPE_OVERFLOW", "SIZE_MISMATCH"}),
    ("B39-zero", [0, -1], {"SHAPE_INVALID", "SIZE_MISMATCH"}),
]
EMPTY_RESHAPES = [
    ("B39-not-empty", [1], "SIZE_MISMATCH"),
    ("B39-undetermined", [0, -1], "SHAPE_INVALID"),
    ("B39-behind-zero", [0, 2**62, 2**62], "SHAPE_OVERFLOW"),
    ("B39-before-zero", [2**62, 2**62, 0], "SHAPE_OVERFLOW"),
    ("B39-item-size", [2**62, 0], "SHAPE_OVERFLOW"),
]


@pytest.mark.parametrize(
    "shape, reason", [pytest.param(*row[1:], id=row[0]) for row in RESHAPES])
def test_refuses_reshape(wire, source, shape, reason):
    with wire.refused(INVALID_ARGUMENT, reason):
        wire.transform(source, pb.Operation(
            reshape=pb.Operation.Reshape(shape=shape)))


@pytest.mark.parametrize(
    "shape, reason",
    [pytest.param(*row[1:], id=row[0]) for row in EMPTY_RESHAPES])
def test_refuses_reshape_of_nothing(wire, shape, reason):
    name = wire.create(np.zeros((3, 0), np.float32)).name
    with wire.refused(INVALID_ARGUMENT, reason):
        wire.transform(name, pb.Operation(
            reshape=pb.Operation.Reshape(shape=shape)))


def test_cast_can_make_an_empty_shape_overflow(wire):
    """The limit holds for the result, whoever asks for it."""
    spec = pb.ArraySpec(dtype=pb.DTYPE_INT8, shape=[0, 2**62])
    name = wire.stub.CreateTensor(pb.CreateTensorRequest(
        raw=pb.RawArray(spec=spec))).name
    wide = {"dtype": pb.DTYPE_FLOAT64}
    with wire.refused(INVALID_ARGUMENT, "SHAPE_OVERFLOW"):
        wire.transform(name, pb.Operation(to=pb.Operation.To(**wide)))
    with wire.refused(INVALID_ARGUMENT, "SHAPE_OVERFLOW"):
        wire.upload(harness.upload_messages(
            harness.raw_declaration(spec, 0), b"", **wide))
    for read in (wire.read, wire.download):
        with wire.refused(INVALID_ARGUMENT, "SHAPE_OVERFLOW"):
            read(name, encoding=pb.ENCODING_NPY, **wide)


def test_refuses_view_that_needs_a_copy(wire, source):
    turned = pb.Operation(permute=pb.Operation.Permute(dims=[1, 0]))
    flat = pb.Operation(reshape=pb.Operation.Reshape(shape=[24],
                                                     view_only=True))
    with wire.refused(FAILED_PRECONDITION, "VIEW_NEEDS_COPY"):
        wire.transform(source, turned, flat)


@pytest.mark.parametrize("dims", [
    [], [0], [0, 0], [0, 1, 2], [0, 2], [-3, 0], [0, -2], [2**31 - 1, 0],
    [-2**31, 0], [0] * 100_000], ids=lambda dims: f"{len(dims)}-{dims[:3]}")
def test_refuses_permutation(wire, source, dims):
    with wire.refused(INVALID_ARGUMENT, "DIMS_INVALID"):
        wire.transform(source, pb.Operation(
            permute=pb.Operation.Permute(dims=dims)))


@pytest.mark.parametrize("operations", [
    [], [pb.Operation()], [pb.Operation(clone={}), pb.Operation()],
    [pb.Operation(clone={})] * 65], ids=["none", "empty", "late", "too-many"])
def test_refuses_operations(wire, source, operations):
    with wire.refused(INVALID_ARGUMENT, "OPERATION_INVALID"):
        wire.transform(source, *operations)


def test_failed_step_leaves_no_earlier_one(wire, source):
    """The first step alone would have stored a tensor."""
    with wire.refused(OUT_OF_RANGE, "SLICE_OUT_OF_RANGE"):
        wire.transform(
            source, pb.Operation(clone={}),
            pb.Operation(to=pb.Operation.To(dtype=pb.DTYPE_FLOAT64)),
            pb.Operation(index=pb.Operation.Index(terms=[term(index=9)])))
