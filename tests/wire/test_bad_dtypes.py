"""Bad input, group C: dtypes, devices and what depends on them."""

import math

import numpy as np
import pytest

import wire_harness as harness
from wire_harness import FAILED_PRECONDITION
from wire_harness import INVALID_ARGUMENT
from wire_harness import OUT_OF_RANGE
from wire_harness import UNIMPLEMENTED
from wire_harness import npy_file
from wire_harness import npy_header
from wire_stubs import pb

UNKNOWN = "DTYPE_UNKNOWN"
UNSUPPORTED = "DTYPE_UNSUPPORTED"
STRUCTURED = "DTYPE_STRUCTURED_UNSUPPORTED"
OBJECT = "DTYPE_OBJECT_FORBIDDEN"


def quoted(*descrs):
    return [f"'{descr}'" for descr in descrs]


MANY_FIELDS = "[" + ", ".join(f"('f{i}', '<f4')" for i in range(400)) + "]"
DESCR_ROWS = [
    ("C41", UNKNOWN, quoted("<z9", "", "float33", "<", "f", "4", "<4f", "<f4 ",
                            "<f4,<f4", "<f-4", "<f+4", "<f04", "<<f4", "é")),
    ("C42", OBJECT, quoted("|O", "O", "|O8", "<O", "<O8")),
    ("C43", STRUCTURED, [
        "[('a', '<f4')]", "[('a', '<f4', (2,))]", "('<f4', (2,))",
        "[('a', [('b', '<f4')])]", MANY_FIELDS, "[]"]),
    ("C44", UNSUPPORTED, quoted("<U3", "|S3", "<M8[s]", "<m8", "<m8[ns]",
                                "<M8", "|S0", "|a3")),
    ("C45", UNSUPPORTED, quoted("<f16", "<c32", ">f16")),
    ("C46", "DTYPE_AMBIGUOUS", quoted("|V2", "|V1", "<V2", "V1", "<f1")),
    ("C48", UNKNOWN, quoted("<f3", "<i0", "<f99999999999", "<f0", "<i16",
                            "<c4", "<u3", "<b2", "<f" + "9" * 40)),
    ("C49", UNKNOWN, quoted("!f4")),
]


@pytest.mark.parametrize("way", harness.NPY_WAYS)
@pytest.mark.parametrize("descr, reason", [
    pytest.param(descr, reason, id=f"{row}-{descr[:24]}")
    for row, reason, descrs in DESCR_ROWS for descr in descrs])
def test_refuses_descr(wire, way, descr, reason):
    size = 3 * int(descr[-2]) if reason == "DTYPE_AMBIGUOUS" else 12
    file = npy_file(npy_header(descr=descr), bytes(size), (3, 0))
    with wire.refused(INVALID_ARGUMENT, reason,
                      "npy" if way == "create" and descr != "'é'" else None):
        harness.send_npy(wire, way, file)


def test_ambiguous_descr_is_told_what_to_do_C46(wire):
    file = npy_file(npy_header(descr="'|V2'"), b"\0" * 6)
    with wire.refused(INVALID_ARGUMENT, "DTYPE_AMBIGUOUS") as caught:
        wire.create_npy(file)
    assert "dtype=bfloat16" in caught.refusal.message


@pytest.mark.parametrize("way", harness.NPY_WAYS)
@pytest.mark.parametrize("descr, size, dtype", [
    ("'|V2'", 2, "float32"), ("'|V2'", 2, "uint8"),
    ("'|V2'", 2, "float8_e5m2"), ("'|V1'", 1, "bfloat16"),
    ("'<f1'", 1, "float16")])
def test_refuses_dtype_of_another_size_C47(wire, way, descr, size, dtype):
    file = npy_file(npy_header(descr=descr), bytes(3 * size))
    with wire.refused(INVALID_ARGUMENT, "DTYPE_SIZE_MISMATCH"):
        harness.send_npy(wire, way, file, harness.DTYPES[dtype])


@pytest.mark.parametrize("descr", ["f4", "=f4", "|f4", "<f4"])
def test_native_byte_order_marks_are_accepted_C49(wire, descr):
    data = np.array([1, -2, 3], "<f4").tobytes()
    tensor = wire.create_npy(npy_file(npy_header(descr=f"'{descr}'"), data))
    assert wire.read_bytes(tensor.name) == data


@pytest.mark.parametrize("number", [0, 18, 99, -1, 2**31 - 1, -2**31])
def test_refuses_enum_number_as_spec_dtype_C51(wire, number):
    spec = pb.ArraySpec(dtype=number, shape=[3])
    with wire.refused(INVALID_ARGUMENT, UNKNOWN, "raw.spec.dtype"):
        wire.stub.CreateTensor(pb.CreateTensorRequest(
            raw=pb.RawArray(spec=spec, data=b"\0" * 12)))
    declaration = harness.raw_declaration(spec, 12)
    field = "declaration.array.raw.dtype"
    with wire.refused(INVALID_ARGUMENT, UNKNOWN, field):
        wire.upload(harness.upload_messages(declaration, b"\0" * 12))
    with wire.refused(INVALID_ARGUMENT, UNKNOWN, field):
        wire.convert(harness.convert_messages(declaration, b"\0" * 12))


FLOATS = np.array([1.5, 2.5, -3], np.float32)


@pytest.mark.parametrize("number", [99, -1])
def test_refuses_enum_number_as_target_dtype_C51(wire, number):
    name = wire.create(FLOATS).name
    declaration = harness.raw_declaration(harness.array_spec(FLOATS), 12)
    data = FLOATS.tobytes()
    with wire.refused(INVALID_ARGUMENT, UNKNOWN, "options.dtype"):
        wire.create(FLOATS, dtype=number)
    with wire.refused(INVALID_ARGUMENT, UNKNOWN, "declaration.options.dtype"):
        wire.upload(harness.upload_messages(declaration, data, dtype=number))
    with wire.refused(INVALID_ARGUMENT, UNKNOWN, "declaration.dtype"):
        wire.convert(harness.convert_messages(declaration, data, dtype=number))
    with wire.refused(INVALID_ARGUMENT, UNKNOWN, "options.dtype"):
        wire.read(name, dtype=number)
    with wire.refused(INVALID_ARGUMENT, UNKNOWN, "options.dtype"):
        wire.download(name, dtype=number)
    with wire.refused(INVALID_ARGUMENT, UNKNOWN):
        wire.transform(name, pb.Operation(to=pb.Operation.To(dtype=number)))


@pytest.mark.parametrize("option, reason", [
    ("overflow", "OVERFLOW_INVALID"), ("byte_order", "BYTE_ORDER_INVALID"),
    ("order", "ORDER_INVALID"), ("encoding", "ENCODING_INVALID")])
def test_refuses_enum_number_as_read_option(wire, option, reason):
    name = wire.create(FLOATS).name
    for number in (99, -1):
        with wire.refused(INVALID_ARGUMENT, reason, f"options.{option}"):
            wire.read(name, **{option: number})
        with wire.refused(INVALID_ARGUMENT, reason, f"options.{option}"):
            wire.download(name, **{option: number})


@pytest.mark.parametrize("option, reason", [
    ("overflow", "OVERFLOW_INVALID"), ("byte_order", "BYTE_ORDER_INVALID"),
    ("encoding", "ENCODING_INVALID")])
def test_refuses_enum_number_as_convert_option(wire, option, reason):
    declaration = harness.raw_declaration(harness.array_spec(FLOATS), 12)
    with wire.refused(INVALID_ARGUMENT, reason, f"declaration.{option}"):
        wire.convert(harness.convert_messages(
            declaration, FLOATS.tobytes(), **{option: 99}))


def test_refuses_enum_number_as_overflow(wire):
    name = wire.create(FLOATS).name
    with wire.refused(INVALID_ARGUMENT, "OVERFLOW_INVALID", "options.overflow"):
        wire.create(FLOATS, dtype=pb.DTYPE_INT8, overflow=99)
    with wire.refused(INVALID_ARGUMENT, "OVERFLOW_INVALID"):
        wire.transform(name, pb.Operation(to=pb.Operation.To(
            dtype=pb.DTYPE_INT8, overflow=99)))


def test_all_violations_are_in_one_refusal(wire):
    """A client that made two mistakes is told of both."""
    name = wire.create(FLOATS).name
    with wire.refused(INVALID_ARGUMENT, {
            "DTYPE_UNKNOWN", "OVERFLOW_INVALID"}, "options.dtype") as caught:
        wire.read(name, dtype=99, overflow=99)
    assert "options.overflow" in caught.refusal.fields


@pytest.mark.parametrize("target", ["float32", "int64", "bool", "bfloat16"])
@pytest.mark.parametrize("source", ["complex64", "complex128"])
def test_complex_drops_its_imaginary_part_C52(wire, source, target):
    array = np.array([1 + 2j, -3j, 4], source)
    tensor = wire.create(array, dtype=harness.DTYPES[target])
    got = np.frombuffer(
        wire.read_bytes(tensor.name, dtype=pb.DTYPE_FLOAT32), np.float32)
    want = [1, 1, 1] if target == "bool" else [1, 0, 4]
    assert got.tolist() == want


OVERFLOWS = [
    ("float32", [1, math.nan, 3e9, 7], "int32", "1", "nan", "2"),
    ("float64", [1, 2, math.inf], "int64", "2", "inf", "1"),
    ("float64", [-1], "uint8", "0", "-1.0", "1"),
    ("int64", [0, 127, 128, -129, 300], "int8", "2", "128", "3"),
    ("uint64", [2**63], "int64", "0", str(2**63), "1"),
    ("float32", [0, 449], "float8_e4m3fn", "1", None, None),
    ("float32", [0, 1e9], "float8_e4m3fn", "1", "1000000000.0", "1"),
]


@pytest.mark.parametrize("source, values, target, index, first, count", [
    row for row in OVERFLOWS if row[4] is not None])
def test_refuses_values_that_do_not_fit_C53(wire, source, values, target,
                                            index, first, count):
    array = np.array(values, source)
    dtype = harness.DTYPES[target]
    policy = pb.OVERFLOW_POLICY_ERROR
    metadata = {"firstIndex": index, "firstValue": first, "count": count}
    reason = "CAST_VALUE_OUT_OF_RANGE"
    name = wire.create(array).name
    declaration = harness.raw_declaration(harness.array_spec(array),
                                          array.nbytes)
    with wire.refused(OUT_OF_RANGE, reason, metadata=metadata):
        wire.create(array, dtype=dtype, overflow=policy)
    with wire.refused(OUT_OF_RANGE, reason, metadata=metadata):
        wire.upload(harness.upload_messages(
            declaration, array.tobytes(), chunk_bytes=3, dtype=dtype,
            overflow=policy))
    with wire.refused(OUT_OF_RANGE, reason, metadata=metadata):
        wire.convert(harness.convert_messages(
            declaration, array.tobytes(), chunk_bytes=5, dtype=dtype,
            overflow=policy))
    with wire.refused(OUT_OF_RANGE, reason, metadata=metadata):
        wire.read(name, dtype=dtype, overflow=policy)
    with wire.refused(OUT_OF_RANGE, reason, metadata=metadata):
        wire.download(name, dtype=dtype, overflow=policy)
    with wire.refused(OUT_OF_RANGE, reason, metadata=metadata):
        wire.transform(name, pb.Operation(to=pb.Operation.To(
            dtype=dtype, overflow=policy)))


def test_other_policies_take_every_value_C53(wire):
    array = np.array([1.5, math.nan, math.inf, -math.inf, 1e30, -1e30],
                     np.float64)
    for target in harness.DTYPES.values():
        for policy in (pb.OVERFLOW_POLICY_UNSPECIFIED,
                       pb.OVERFLOW_POLICY_TORCH, pb.OVERFLOW_POLICY_SATURATE):
            wire.create(array, dtype=target, overflow=policy)
    saturated = wire.create(array, dtype=pb.DTYPE_INT8,
                            overflow=pb.OVERFLOW_POLICY_SATURATE)
    assert (np.frombuffer(wire.read_bytes(saturated.name), np.int8).tolist() ==
            [1, 0, 127, -128, 127, -128])


def test_bools_are_normalised_C54(wire):
    data = bytes(range(256))
    spec = pb.ArraySpec(dtype=pb.DTYPE_BOOL, shape=[256])
    want = b"\0" + b"\1" * 255
    created = wire.stub.CreateTensor(pb.CreateTensorRequest(
        raw=pb.RawArray(spec=spec, data=data)))
    assert wire.read_bytes(created.name) == want
    assert (wire.read_bytes(created.name, dtype=pb.DTYPE_INT32) ==
            np.frombuffer(want, np.bool_).astype(np.int32).tobytes())
    declaration = harness.raw_declaration(spec, len(data))
    uploaded = wire.upload(harness.upload_messages(declaration, data,
                                                   chunk_bytes=10))
    assert wire.read_bytes(uploaded.name) == want
    _, converted = wire.convert(harness.convert_messages(declaration, data))
    assert converted == want
    from_npy = wire.create_npy(npy_file(
        npy_header(descr="'|b1'", shape="(256,)"), data))
    assert wire.read_bytes(from_npy.name) == want


@pytest.mark.parametrize("device", [
    "gpu", "cuda:-1", "cuda:x", "cuda:", "cpu:x", "CPU", "cuda:99999999999",
    "cuda:1:1", " cpu", "cuda:01x", "cuda\n", "☃", "cuda:" + "1" * 3000])
def test_refuses_malformed_device_C56(wire, device):
    name = wire.create(FLOATS).name
    with wire.refused(INVALID_ARGUMENT, "DEVICE_INVALID", "options.device"):
        wire.create(FLOATS, device=device)
    declaration = harness.raw_declaration(harness.array_spec(FLOATS), 12)
    with wire.refused(INVALID_ARGUMENT, "DEVICE_INVALID",
                      "declaration.options.device"):
        with harness.held_open(harness.upload_head(
                declaration, device=device)) as upload:
            wire.upload(upload)
    with wire.refused(INVALID_ARGUMENT, "DEVICE_INVALID"):
        wire.transform(name, pb.Operation(to=pb.Operation.To(device=device)))


def test_refuses_absent_device_C56(wire):
    name = wire.create(FLOATS).name
    cuda_built = wire.stub.GetServerInfo(pb.GetServerInfoRequest()).cuda_built
    code, reason = ((FAILED_PRECONDITION, "DEVICE_NOT_PRESENT") if cuda_built
                    else (UNIMPLEMENTED, "CUDA_NOT_BUILT"))
    for device in ("cuda:77",) if cuda_built else ("cuda", "cuda:7"):
        with wire.refused(code, reason) as caught:
            wire.create(FLOATS, device=device)
        if cuda_built:
            assert "PreconditionFailure" in caught.refusal.details
        with wire.refused(code, reason):
            wire.transform(name, pb.Operation(to=pb.Operation.To(
                device=device)))


NO_GRAD = ["bool", "uint8", "uint16", "uint32", "uint64", "int8", "int16",
           "int32", "int64"]


@pytest.mark.parametrize("dtype", NO_GRAD)
def test_refuses_grad_on_integers_C57(wire, dtype):
    array = np.zeros(3, dtype)
    with wire.refused(INVALID_ARGUMENT, "GRAD_DTYPE", "options.requires_grad"):
        wire.create(array, requires_grad=True)
    with wire.refused(INVALID_ARGUMENT, "GRAD_DTYPE",
                      "options.requires_grad"):
        wire.create(FLOATS, dtype=harness.DTYPES[dtype], requires_grad=True)
    name = wire.create(array).name
    with wire.refused(INVALID_ARGUMENT, "GRAD_DTYPE", "tensor.requires_grad"):
        wire.stub.UpdateTensor(pb.UpdateTensorRequest(
            tensor=pb.Tensor(name=name, requires_grad=True),
            update_mask={"paths": ["requires_grad"]}))
    assert wire.create(array, dtype=pb.DTYPE_COMPLEX64,
                       requires_grad=True).requires_grad


def test_refuses_read_of_what_requires_grad_C58(wire):
    name = wire.create(FLOATS, requires_grad=True).name
    with wire.refused(FAILED_PRECONDITION, "NEEDS_DETACH"):
        wire.read(name)
    with wire.refused(FAILED_PRECONDITION, "NEEDS_DETACH"):
        wire.download(name)
    assert wire.read_bytes(name, force=True) == FLOATS.tobytes()
    detached = wire.transform(name, pb.Operation(detach={}))
    assert wire.read_bytes(detached.name) == FLOATS.tobytes()


def test_refuses_to_take_grad_from_a_result(wire):
    leaf = wire.create(FLOATS, requires_grad=True)
    cast = wire.transform(leaf.name, pb.Operation(
        to=pb.Operation.To(dtype=pb.DTYPE_FLOAT64)))
    assert (cast.requires_grad, cast.is_leaf) == (True, False)
    with wire.refused(FAILED_PRECONDITION, "GRAD_NON_LEAF"):
        wire.stub.UpdateTensor(pb.UpdateTensorRequest(
            tensor=pb.Tensor(name=cast.name),
            update_mask={"paths": ["requires_grad"]}))
