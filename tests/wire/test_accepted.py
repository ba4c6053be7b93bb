"""Unusual input that has to be accepted: refusing it would be a defect too."""

import io
import itertools

import ml_dtypes
import numpy as np
import pytest

import wire_harness as harness
from wire_harness import DTYPES
from wire_harness import npy_file
from wire_harness import npy_header
from wire_stubs import pb

ARRAY = np.array([1.5, -2, 3], "<f4")
BODY = ARRAY.tobytes()

HEADERS = {
    "v1": npy_file(npy_header(), BODY, (1, 0)),
    "v2": npy_file(npy_header(), BODY, (2, 0)),
    "v3": npy_file(npy_header(), BODY, (3, 0)),
    "aligned-16": npy_file(npy_header(), BODY, alignment=16),
    "aligned-64": npy_file(npy_header(), BODY, alignment=64),
    "aligned-4096": npy_file(npy_header(), BODY, alignment=4096),
    "not-aligned": npy_file(npy_header() + "   \n", BODY, alignment=0),
    "no-padding": npy_file(npy_header() + "\n", BODY, alignment=0),
    "longest": npy_file(npy_header().ljust(9999) + "\n", BODY, (2, 0), 0),
    "longest-v1": npy_file(npy_header().ljust(9999) + "\n", BODY, (1, 0), 0),
    "double-quotes": npy_file(npy_header().replace("'", '"'), BODY),
    "mixed-quotes": npy_file(npy_header(descr='"<f4"'), BODY),
    "no-trailing-comma": npy_file(
        "{'descr': '<f4', 'fortran_order': False, 'shape': (3,)}", BODY),
    "no-spaces": npy_file(npy_header().replace(" ", ""), BODY),
    "many-spaces": npy_file(
        "  {  'descr'  :  '<f4'  ,  'fortran_order'  :  False  ,  'shape'"
        "  :  (  3  ,  )  ,  }  ", BODY),
    "tabs": npy_file("{'descr':\t'<f4',\t'fortran_order': False, "
                     "'shape':\t(3,)}", BODY),
    "newlines-inside": npy_file("{'descr': '<f4',\n 'fortran_order': False,\n "
                                "'shape': (3,)}\r\n", BODY),
    "python-2-long-v1": npy_file(npy_header(shape="(3L,)"), BODY, (1, 0)),
    "python-2-long-v2": npy_file(npy_header(shape="(3L,)"), BODY, (2, 0)),
    **{"-".join(order): npy_file("{" + ", ".join(
        f"'{key}': " + {"descr": "'<f4'", "fortran_order": "False",
                        "shape": "(3,)"}[key] for key in order) + "}", BODY)
       for order in itertools.permutations(
           ["descr", "fortran_order", "shape"])},
}


@pytest.mark.parametrize("way", harness.NPY_WAYS)
@pytest.mark.parametrize("file", HEADERS.values(), ids=HEADERS.keys())
def test_header(wire, way, file):
    result = harness.send_npy(wire, way, file)
    if way == "convert":
        assert result[1] == BODY
        return
    assert (result.dtype, list(result.shape)) == (pb.DTYPE_FLOAT32, [3])
    assert wire.read_bytes(result.name) == BODY


@pytest.mark.parametrize("way", harness.NPY_WAYS)
@pytest.mark.parametrize("fortran", ["False", "True"])
@pytest.mark.parametrize("shape", [
    (), (0,), (1,), (5,), (3, 0, 2), (2, 3), (2, 3, 4), (1, 1, 1),
    (1,) * 64, (2**40, 0), (0, 2**61)], ids=str)
def test_shape(wire, way, shape, fortran):
    size = int(np.prod(shape, dtype=np.float64))
    body = np.arange(size, dtype="<i2").tobytes()
    result = harness.send_npy(wire, way, npy_file(
        npy_header("'<i2'", fortran, str(shape)), body))
    if way == "convert":
        header, data = result
        assert tuple(header.spec.shape) == shape
        assert data == body
        return
    assert tuple(result.shape) == shape
    assert result.size_bytes == len(body)
    got = wire.read(result.name)
    assert (tuple(got.spec.shape), got.data) == (shape, body)
    if size > 1 and len([side for side in shape if side > 1]) > 1:
        assert (got.spec.order == pb.ORDER_F) == (fortran == "True")
    in_c_order = np.frombuffer(body, "<i2").reshape(
        shape, order="F" if fortran == "True" else "C")
    assert (wire.read_bytes(result.name, order=pb.ORDER_C) ==
            in_c_order.tobytes("C"))


DESCRS = ["?", "|b1", "|i1", "|u1", "i1", "u1"] + [
    mark + kind for mark in "<>=" for kind in (
        "f2", "f4", "f8", "c8", "c16", "i2", "i4", "i8", "u2", "u4", "u8")]


@pytest.mark.parametrize("way", harness.NPY_WAYS)
@pytest.mark.parametrize("descr", DESCRS)
def test_descr(wire, way, descr):
    array = np.array([0, 1, 2, 100], descr)
    result = harness.send_npy(wire, way, npy_file(
        npy_header(f"'{descr}'", shape="(4,)"), array.tobytes()))
    native = array.astype(array.dtype.newbyteorder("<")).tobytes()
    if way == "convert":
        assert result[1] == native
        return
    assert result.dtype == harness.dtype_of(array)
    assert wire.read_bytes(result.name) == native


@pytest.mark.parametrize("way", harness.NPY_WAYS)
@pytest.mark.parametrize("descr, dtype", [
    ("|V2", "bfloat16"), ("<V2", "bfloat16"), ("|V1", "float8_e4m3fn"),
    ("|V1", "float8_e5m2"), ("<f1", "float8_e5m2"), ("<V2", "float16"),
    ("|V2", "int16"), ("|V1", "bool")])
def test_raw_descr_with_dtype(wire, way, descr, dtype):
    size = int(descr[2])
    body = b"\0" * size + b"\1" * size
    result = harness.send_npy(wire, way, npy_file(
        npy_header(f"'{descr}'", shape="(2,)"), body), DTYPES[dtype])
    if way == "convert":
        assert result[1] == body
        return
    assert result.dtype == DTYPES[dtype]
    assert wire.read_bytes(result.name) == body


def every_pattern(dtype):
    """All values of a small dtype; the notable ones of a large one."""
    dtype = np.dtype(dtype)
    if dtype.itemsize <= 2:
        bits = np.arange(2 ** (8 * dtype.itemsize),
                         dtype=f"<u{dtype.itemsize}")
        return bits.tobytes()
    notable = {
        "float32": [0, 1 << 31, 1, 0x807FFFFF, 0x7F800001, 0xFFC12345,
                    0x7FC00000, 0x7F800000, 0xFF800000, 0x7F7FFFFF],
        "float64": [0, 1 << 63, 1, 0x800FFFFFFFFFFFFF, 0x7FF0000000000001,
                    0xFFF8123456789ABC, 0x7FF0000000000000],
    }
    part = {"complex64": "float32", "complex128": "float64"}.get(
        dtype.name, dtype.name)
    bits = np.array(notable[part], f"<u{np.dtype(part).itemsize}")
    if part != dtype.name:
        bits = np.array(list(itertools.product(bits, bits)), bits.dtype)
    return bits.tobytes()


FLOATS = {
    "float16": np.float16, "bfloat16": ml_dtypes.bfloat16,
    "float8_e4m3fn": ml_dtypes.float8_e4m3fn,
    "float8_e5m2": ml_dtypes.float8_e5m2, "float32": np.float32,
    "float64": np.float64, "complex64": np.complex64,
    "complex128": np.complex128}


@pytest.mark.parametrize("name", FLOATS)
def test_every_bit_of_floats_survives(wire, name):
    """NaN payloads, signalling NaNs, negative zeros and subnormals."""
    data = every_pattern(FLOATS[name])
    count = len(data) // np.dtype(FLOATS[name]).itemsize
    spec = pb.ArraySpec(dtype=DTYPES[name], shape=[count])
    declaration = harness.raw_declaration(spec, len(data))
    created = wire.stub.CreateTensor(pb.CreateTensorRequest(
        raw=pb.RawArray(spec=spec, data=data)))
    assert wire.read_bytes(created.name) == data
    uploaded = wire.upload(harness.upload_messages(
        declaration, data, chunk_bytes=max(5, len(data) // 50)))
    assert wire.download(uploaded.name)[1] == data
    copied = wire.transform(created.name, pb.Operation(clone={}))
    assert wire.read_bytes(copied.name) == data
    _, converted = wire.convert(harness.convert_messages(declaration, data))
    assert converted == data
    swapped = wire.read_bytes(created.name,
                              byte_order=pb.BYTE_ORDER_BIG_ENDIAN)
    spec.byte_order = pb.BYTE_ORDER_BIG_ENDIAN
    back = wire.stub.CreateTensor(pb.CreateTensorRequest(
        raw=pb.RawArray(spec=spec, data=swapped)))
    assert wire.read_bytes(back.name) == data


def test_ten_thousand_chunks(wire):
    array = np.random.default_rng(2).integers(0, 255, 70_001, np.uint8)
    declaration = harness.raw_declaration(harness.array_spec(array),
                                          array.nbytes)
    tensor = wire.upload(harness.upload_messages(
        declaration, array.tobytes(), chunk_bytes=7))
    assert wire.read_bytes(tensor.name) == array.tobytes()


@pytest.mark.parametrize("method", ["upload", "convert"])
@pytest.mark.parametrize("dtype", [pb.DTYPE_UNSPECIFIED, pb.DTYPE_FLOAT64,
                                   pb.DTYPE_INT8])
def test_two_chunks_divided_anywhere(wire, method, dtype):
    """Inside the magic, the header, and every byte of an element."""
    file = npy_file(npy_header(shape="(3,)", descr="'>f4'"),
                    ARRAY.astype(">f4").tobytes(), alignment=16)
    want = ARRAY.astype({pb.DTYPE_FLOAT64: "<f8", pb.DTYPE_INT8: "i1"}.get(
        dtype, "<f4")).tobytes()
    declaration = harness.npy_declaration(len(file))
    for place in range(len(file) + 1):
        chunks = [harness.chunk(file[:place]),
                  harness.chunk(file[place:], place)]
        if method == "upload":
            tensor = wire.upload([
                harness.upload_head(declaration, dtype=dtype),
                *(pb.UploadTensorRequest(chunk=chunk) for chunk in chunks),
                pb.UploadTensorRequest(finish=True)])
            data = wire.read_bytes(tensor.name)
            wire.clear()
        else:
            _, data = wire.convert([
                pb.ConvertArrayRequest(declaration=pb.ConvertDeclaration(
                    array=declaration, dtype=dtype)),
                *(pb.ConvertArrayRequest(chunk=chunk) for chunk in chunks),
                pb.ConvertArrayRequest(finish=True)])
        assert data == want, place


@pytest.mark.parametrize("with_last_chunk", [False, True])
def test_finish_with_or_after_the_last_chunk(wire, with_last_chunk):
    declaration = harness.raw_declaration(harness.array_spec(ARRAY), len(BODY))
    messages = [harness.upload_head(declaration)]
    if with_last_chunk:
        messages += [pb.UploadTensorRequest(chunk=harness.chunk(BODY),
                                            finish=True)]
    else:
        messages += [pb.UploadTensorRequest(chunk=harness.chunk(BODY)),
                     pb.UploadTensorRequest(finish=True)]
    assert wire.read_bytes(wire.upload(messages).name) == BODY


def test_largest_array(wire):
    """Exactly at the limit, as it arrives and as it is stored."""
    size = wire.limits.max_tensor_bytes
    array = np.arange(size // 4, dtype=np.int32)
    tensor = wire.upload(harness.upload_messages(
        harness.raw_declaration(harness.array_spec(array), size),
        array.tobytes(), chunk_bytes=wire.limits.max_chunk_bytes))
    assert tensor.size_bytes == size
    assert wire.download(tensor.name)[1] == array.tobytes()
    wire.clear()
    small = array[:size // 8].astype(np.int8)
    tensor = wire.upload(harness.upload_messages(
        harness.raw_declaration(harness.array_spec(small), small.nbytes),
        small.tobytes(), dtype=pb.DTYPE_FLOAT64))
    assert tensor.size_bytes == size


def test_memory_can_be_filled_to_the_last_byte(wire):
    used = wire.memory_used()
    each = wire.limits.max_tensor_bytes
    free = wire.limits.memory_limit_bytes - used
    names = []
    while free > 0:
        size = min(each, free)
        array = np.zeros(size, np.uint8)
        names.append(wire.upload(harness.upload_messages(
            harness.raw_declaration(harness.array_spec(array), size),
            array.tobytes())).name)
        free -= size
    with wire.refused(harness.RESOURCE_EXHAUSTED,
                      "MEMORY_EXHAUSTED") as caught:
        wire.create(np.zeros(1, np.uint8))
    assert {"QuotaFailure", "RetryInfo"} <= set(caught.refusal.details)
    spec = pb.ArraySpec(dtype=pb.DTYPE_UINT8, shape=[each])
    head = harness.upload_head(harness.raw_declaration(spec, each))
    with wire.refused(harness.RESOURCE_EXHAUSTED, "MEMORY_EXHAUSTED"):
        with harness.held_open(head) as upload:
            wire.upload(upload)
    # Reads and deletions still work.
    assert wire.download(names[-1])[1] == bytes(size)
    wire.clear()
    wire.await_memory(used)
    wire.create(np.zeros(1, np.uint8))


def test_numpy_and_tensord_write_the_same_files(wire):
    """Files written by numpy.save go in, and come back byte for byte."""
    for array in (np.arange(6, dtype="<f4").reshape(2, 3),
                  np.asfortranarray(np.arange(6, dtype="<i8").reshape(2, 3)),
                  np.array(7, "<u2"), np.zeros((0, 3), "<c8"),
                  np.ones((2, 2), "?")):
        file = io.BytesIO()
        np.save(file, array)
        tensor = wire.create_npy(file.getvalue())
        assert (wire.read_bytes(tensor.name, encoding=pb.ENCODING_NPY) ==
                file.getvalue())
