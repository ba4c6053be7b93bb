"""The whole service, as a client sees it that has nothing but our proto."""

import io
import time

import ml_dtypes
import numpy as np
import pytest

import wire_harness as harness
from wire_harness import CALL_SECONDS
from wire_harness import DTYPES
from wire_stubs import pb

SWAPPED = pb.BYTE_ORDER_BIG_ENDIAN


def dtype_named(name):
    return np.dtype(getattr(ml_dtypes, name, None) or name)


def sample(name, shape=(3, 4)):
    values = np.arange(np.prod(shape)).reshape(shape)
    return values.astype(dtype_named(name))


def load(data):
    return np.load(io.BytesIO(data), allow_pickle=False)


def to(**fields):
    return pb.Operation(to=pb.Operation.To(**fields))


def index(*terms):
    return pb.Operation(index=pb.Operation.Index(terms=terms))


def part(start=None, stop=None, step=None):
    fields = {"start": start, "stop": stop, "step": step}
    return pb.IndexTerm(slice=pb.Slice(
        **{name: value for name, value in fields.items()
           if value is not None}))


@pytest.mark.parametrize("name", DTYPES)
def test_array_of_every_dtype_comes_back(wire, name):
    array = sample(name)
    tensor = wire.create(array)
    assert tensor.dtype == DTYPES[name]
    assert list(tensor.shape) == [3, 4]
    assert list(tensor.strides) == [4, 1]
    assert tensor.size_bytes == array.nbytes
    response = wire.read(tensor.name)
    assert response.data == array.tobytes()
    assert response.spec.dtype == DTYPES[name]
    assert list(response.spec.shape) == [3, 4]
    loaded = load(wire.read_bytes(tensor.name, encoding=pb.ENCODING_NPY))
    assert loaded.shape == array.shape
    assert loaded.tobytes() == array.tobytes()
    if array.dtype.isbuiltin == 1:
        assert loaded.dtype == array.dtype


def test_new_tensor_says_what_it_is(wire):
    before = time.time()
    tensor = wire.create(sample("float32"), "w/0", requires_grad=True,
                         ttl={"seconds": 60})
    assert tensor.name == "tensors/w/0"
    assert tensor.device == "cpu"
    assert (tensor.requires_grad, tensor.is_leaf) == (True, True)
    assert tensor.grad_fn == ""
    assert tensor.storage_id and tensor.etag
    assert tensor.storage_offset == 0
    assert before - 5 <= tensor.create_time.seconds <= time.time() + 5
    assert tensor.update_time == tensor.create_time
    assert tensor.WhichOneof("expiration") == "expire_time"
    assert 58 <= tensor.expire_time.seconds - tensor.create_time.seconds <= 61
    assert wire.stub.GetTensor(pb.GetTensorRequest(name=tensor.name)) == tensor
    forever = wire.create(sample("float32"))
    assert forever.WhichOneof("expiration") is None


def saved(array, version=None):
    file = io.BytesIO()
    np.lib.format.write_array(file, array, version=version,
                              allow_pickle=False)
    return file.getvalue()


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)], ids=str)
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("byte_order", "<>")
def test_numpy_files_come_back(wire, version, order, byte_order):
    for kind in ("f2", "f4", "f8", "i2", "i4", "i8", "u2", "u4", "u8", "c8",
                 "c16", "b1", "i1", "u1"):
        for shape in ((), (0,), (5,), (3, 4), (2, 3, 2), (3, 0, 2)):
            array = np.asarray(
                sample(kind, shape).astype(byte_order + kind), order=order)
            file = saved(array, version)
            created = wire.create_npy(file)
            uploaded = wire.upload(harness.upload_messages(
                harness.npy_declaration(len(file)), file,
                chunk_bytes=max(len(file) // 3, 1)))
            for tensor in (created, uploaded):
                back = load(wire.read_bytes(
                    tensor.name, encoding=pb.ENCODING_NPY,
                    byte_order=SWAPPED if byte_order == ">" else 1))
                assert back.dtype == array.dtype
                assert back.shape == array.shape
                assert back.flags.f_contiguous == array.flags.f_contiguous
                assert np.array_equal(back, array)
            wire.clear()


def test_numpy_files_of_ml_dtypes_come_back(wire):
    for name in ("bfloat16", "float8_e4m3fn", "float8_e5m2"):
        array = sample(name)
        tensor = wire.create_npy(saved(array), dtype=DTYPES[name])
        assert tensor.dtype == DTYPES[name]
        back = load(wire.read_bytes(tensor.name, encoding=pb.ENCODING_NPY))
        assert back.tobytes() == array.tobytes()
        assert back.dtype == f"V{array.itemsize}"


def test_creation_casts(wire):
    array = np.array([1.5, -2.5, 1e6], np.float64)
    tensor = wire.create(array, dtype=pb.DTYPE_BFLOAT16)
    want = array.astype(np.float32).astype(ml_dtypes.bfloat16)
    assert wire.read_bytes(tensor.name) == want.tobytes()
    tensor = wire.create_npy(saved(array), dtype=pb.DTYPE_INT32)
    assert (wire.read_bytes(tensor.name) ==
            array.astype(np.int32).tobytes())


def test_conversions_are_reported_to_who_asks(wire):
    array = np.array([1.5, 70000, np.inf, np.nan], np.float64)
    want = pb.ConversionReport(overflowed=1)
    created = wire.create(array, dtype=pb.DTYPE_FLOAT16,
                          report_conversion=True)
    assert created.conversion_report == want
    uploaded = wire.upload(harness.upload_messages(
        harness.raw_declaration(harness.array_spec(array), array.nbytes),
        array.tobytes(), chunk_bytes=7, dtype=pb.DTYPE_FLOAT16,
        report_conversion=True))
    assert uploaded.conversion_report == want
    source = wire.create(array)
    transformed = wire.stub.TransformTensor(pb.TransformTensorRequest(
        name=source.name, operations=[to(dtype=pb.DTYPE_INT64)],
        report_conversion=True), timeout=CALL_SECONDS)
    assert transformed.conversion_report == pb.ConversionReport(
        rounded=1, overflowed=1, nan_to_integer=1, max_absolute_error=0.5)
    for quiet in (source, wire.create(array, dtype=pb.DTYPE_FLOAT16),
                  wire.transform(source.name, to(dtype=pb.DTYPE_INT64)),
                  wire.stub.GetTensor(pb.GetTensorRequest(name=created.name))):
        assert not quiet.HasField("conversion_report")


def test_strides_of_dense_arrays_are_kept(wire):
    array = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    spec = pb.ArraySpec(dtype=pb.DTYPE_INT16, shape=[4, 2, 3],
                        strides=[1, 12, 4])
    tensor = wire.stub.CreateTensor(pb.CreateTensorRequest(
        raw=pb.RawArray(spec=spec, data=array.tobytes())))
    assert list(tensor.strides) == [1, 12, 4]
    turned = array.transpose(2, 0, 1)
    assert (wire.read_bytes(tensor.name, order=pb.ORDER_C) ==
            turned.tobytes())
    as_stored = wire.read(tensor.name)
    assert list(as_stored.spec.strides) == [1, 12, 4]
    assert as_stored.data == array.tobytes()
    assert np.array_equal(load(wire.read_bytes(
        tensor.name, encoding=pb.ENCODING_NPY)), turned)


def test_upload_and_download_streams(wire):
    array = np.random.default_rng(3).standard_normal((700, 1000), np.float32)
    tensor = wire.upload(harness.upload_messages(
        harness.raw_declaration(harness.array_spec(array), array.nbytes),
        array.tobytes(), chunk_bytes=100_003, dtype=pb.DTYPE_FLOAT16))
    assert tensor.dtype == pb.DTYPE_FLOAT16
    half = array.astype(np.float16)
    header, data = wire.download(tensor.name)
    assert header.spec.dtype == pb.DTYPE_FLOAT16
    assert list(header.spec.shape) == [700, 1000]
    assert header.total_bytes == half.nbytes
    assert data == half.tobytes()
    _, data = wire.download(tensor.name, dtype=pb.DTYPE_FLOAT64,
                            index=[part(10, 600, 7), part(None, None, -3)])
    assert data == half[10:600:7, ::-3].astype(np.float64).tobytes()
    header, data = wire.download(tensor.name, encoding=pb.ENCODING_NPY)
    assert header.encoding == pb.ENCODING_NPY
    assert np.array_equal(load(data), half)


def test_default_limits_of_a_stub_suffice(server, wire):
    """Nothing has to be configured to download, or to read what fits."""
    array = np.zeros(harness.MAX_TENSOR_BYTES, np.uint8)
    name = wire.upload(harness.upload_messages(
        harness.raw_declaration(harness.array_spec(array), array.nbytes),
        array.tobytes())).name
    plain = harness.Wire(server, options=())
    try:
        assert plain.download(name)[1] == array.tobytes()
        assert plain.download(name, encoding=pb.ENCODING_NPY,
                              dtype=pb.DTYPE_INT8)[0].total_bytes > array.size
        with wire.refused(harness.FAILED_PRECONDITION, "RESULT_TOO_LARGE"):
            plain.read(name)
    finally:
        plain.close()


@pytest.mark.parametrize("encoding", [pb.ENCODING_RAW, pb.ENCODING_NPY])
def test_convert(wire, encoding):
    array = np.random.default_rng(4).standard_normal((500, 300))
    before = wire.state()
    header, data = wire.convert(harness.convert_messages(
        harness.raw_declaration(harness.array_spec(array), array.nbytes),
        array.tobytes(), chunk_bytes=65_537, dtype=pb.DTYPE_FLOAT32,
        byte_order=SWAPPED, encoding=encoding))
    want = array.astype(">f4")
    assert header.spec.dtype == pb.DTYPE_FLOAT32
    assert header.total_bytes == len(data)
    if encoding == pb.ENCODING_NPY:
        assert np.array_equal(load(data), want)
        assert load(data).dtype == want.dtype
    else:
        assert data == want.tobytes()
    assert wire.state() == before


def test_convert_keeps_the_order_of_elements(wire):
    array = np.asfortranarray(np.arange(12, dtype=np.int32).reshape(3, 4))
    file = saved(array)
    header, data = wire.convert(harness.convert_messages(
        harness.npy_declaration(len(file)), file, dtype=pb.DTYPE_INT64))
    assert header.spec.order == pb.ORDER_F
    assert data == array.astype(np.int64).tobytes("F")


def test_convert_answers_while_input_arrives(wire):
    """More than any buffer holds goes in before the input has ended."""
    array = np.zeros(harness.MAX_TENSOR_BYTES, np.uint8)
    declaration = harness.raw_declaration(harness.array_spec(array),
                                          array.nbytes)
    messages = list(harness.convert_messages(declaration, array.tobytes()))
    with harness.held_open(*messages[:4]) as requests:
        responses = wire.stub.ConvertArray(requests, timeout=CALL_SECONDS)
        assert next(responses).WhichOneof("payload") == "header"
        assert next(responses).chunk.data
        responses.cancel()


def test_transform(wire):
    array = sample("float32", (4, 6))
    source = wire.create(array, requires_grad=True)
    result = wire.transform(
        source.name, pb.Operation(detach={}), index(part(1, 4), part(0, 6, 2)),
        pb.Operation(permute=pb.Operation.Permute(dims=[-1, 0])),
        to(dtype=pb.DTYPE_INT64), pb.Operation(contiguous={}),
        pb.Operation(reshape=pb.Operation.Reshape(shape=[-1])),
        tensor_id="result")
    assert result.name == "tensors/result"
    assert not result.requires_grad
    assert (wire.read_bytes(result.name) ==
            array[1:4, 0:6:2].T.astype(np.int64).tobytes())


def test_views_share_storage_and_copies_do_not(wire):
    before = wire.memory_used()
    array = sample("float32", (4, 6))
    source = wire.create(array)
    row = wire.transform(source.name, index(pb.IndexTerm(index=-1)))
    same = wire.transform(source.name, to(dtype=pb.DTYPE_FLOAT32))
    assert row.storage_id == same.storage_id == source.storage_id
    assert (row.storage_offset, list(row.strides)) == (18, [1])
    wire.await_memory(before + array.nbytes)
    clone = wire.transform(source.name, pb.Operation(clone={}))
    copy = wire.transform(source.name, to(copy=True))
    assert len({clone.storage_id, copy.storage_id, source.storage_id}) == 3
    wire.await_memory(before + 3 * array.nbytes)
    for name in (source.name, clone.name, copy.name):
        wire.stub.DeleteTensor(pb.DeleteTensorRequest(name=name))
    # The views keep what they show.
    wire.await_memory(before + array.nbytes)
    assert wire.read_bytes(row.name) == array[-1].tobytes()


def test_cast_of_a_leaf_is_recorded(wire):
    leaf = wire.create(sample("float32"), requires_grad=True)
    cast = wire.transform(leaf.name, to(dtype=pb.DTYPE_FLOAT64))
    assert (cast.requires_grad, cast.is_leaf) == (True, False)
    assert cast.grad_fn == "ToCopyBackward0"
    whole = wire.transform(leaf.name, to(dtype=pb.DTYPE_INT32))
    assert (whole.requires_grad, whole.is_leaf) == (False, True)


def test_read_of_a_part(wire):
    array = sample("int32", (4, 6))
    name = wire.create(array).name
    response = wire.read(
        name, index=[pb.IndexTerm(ellipsis={}), pb.IndexTerm(index=2),
                     pb.IndexTerm(new_axis={})],
        dtype=pb.DTYPE_FLOAT32, byte_order=SWAPPED)
    want = array[..., 2, None].astype(">f4")
    assert list(response.spec.shape) == [4, 1]
    assert response.spec.byte_order == SWAPPED
    assert response.data == want.tobytes()


@pytest.mark.parametrize("order", [pb.ORDER_C, pb.ORDER_F])
@pytest.mark.parametrize("stored", "CF")
def test_read_in_the_order_asked_for(wire, stored, order):
    array = np.asarray(sample("int32", (3, 4)), order=stored)
    name = wire.create(array).name
    response = wire.read(name, order=order)
    assert response.spec.order == order
    assert response.data == array.tobytes("F" if order == pb.ORDER_F else "C")
    assert (wire.download(name, order=order)[1] ==
            array.tobytes("F" if order == pb.ORDER_F else "C"))
    loaded = load(wire.read_bytes(name, order=order,
                                  encoding=pb.ENCODING_NPY))
    assert loaded.flags.f_contiguous == (order == pb.ORDER_F)
    assert np.array_equal(loaded, array)


def test_lists_pages_in_order(wire):
    names = {f"page/{number:02}" for number in range(25)}
    for name in names:
        wire.create(sample("uint8"), name)
    want = sorted([f"tensors/{name}" for name in names] +
                  [f"tensors/{harness.SENTINEL}"])
    for page_size in (1, 7, 25, 26, 27, 1000):
        got, token = [], ""
        while True:
            page = wire.stub.ListTensors(pb.ListTensorsRequest(
                page_size=page_size, page_token=token))
            assert 0 < len(page.tensors) <= page_size
            got += [tensor.name for tensor in page.tensors]
            token = page.next_page_token
            if not token:
                break
        assert got == want


def test_page_has_a_hundred_when_not_asked(wire):
    for _ in range(120):
        wire.create(sample("uint8", (1,)))
    page = wire.stub.ListTensors(pb.ListTensorsRequest())
    assert len(page.tensors) == 100
    rest = wire.stub.ListTensors(pb.ListTensorsRequest(
        page_token=page.next_page_token))
    assert len(rest.tensors) == 21


def test_pages_go_on_past_a_deleted_tensor(wire):
    for number in range(4):
        wire.create(sample("uint8"), f"a{number}")
    page = wire.stub.ListTensors(pb.ListTensorsRequest(page_size=2))
    wire.stub.DeleteTensor(pb.DeleteTensorRequest(name=page.tensors[-1].name))
    rest = wire.stub.ListTensors(pb.ListTensorsRequest(
        page_token=page.next_page_token))
    assert ([tensor.name for tensor in rest.tensors] ==
            ["tensors/a2", "tensors/a3", f"tensors/{harness.SENTINEL}"])


def test_update(wire):
    tensor = wire.create(sample("float32"))
    stub = wire.stub
    updated = stub.UpdateTensor(pb.UpdateTensorRequest(
        tensor=pb.Tensor(name=tensor.name, requires_grad=True,
                         ttl={"seconds": 100}),
        update_mask={"paths": ["requires_grad"]}))
    assert updated.requires_grad
    assert updated.WhichOneof("expiration") is None
    assert updated.etag != tensor.etag
    updated = stub.UpdateTensor(pb.UpdateTensorRequest(
        tensor=pb.Tensor(name=tensor.name, ttl={"seconds": 100})))
    assert updated.requires_grad
    assert 95 <= updated.expire_time.seconds - time.time() <= 105
    updated = stub.UpdateTensor(pb.UpdateTensorRequest(
        tensor=pb.Tensor(name=tensor.name),
        update_mask={"paths": ["ttl", "requires_grad"]}))
    assert not updated.requires_grad
    assert updated.WhichOneof("expiration") is None
    assert stub.GetTensor(pb.GetTensorRequest(name=tensor.name)) == updated


def test_delete_frees_memory(wire):
    before = wire.memory_used()
    array = np.zeros(1_000_000, np.uint8)
    name = wire.create(array).name
    assert wire.memory_used() == before + array.nbytes
    wire.stub.DeleteTensor(pb.DeleteTensorRequest(name=name))
    wire.await_memory(before)
    assert name not in wire.names()


def test_server_info(wire):
    info = wire.stub.GetServerInfo(pb.GetServerInfoRequest())
    assert len(info.version.split(".")) == 3
    assert sorted(info.dtypes) == sorted(DTYPES.values())
    assert info.limits.max_tensor_bytes == harness.MAX_TENSOR_BYTES
    assert info.limits.memory_limit_bytes == harness.MEMORY_LIMIT
    assert info.limits.max_dimensions == 64
    assert info.devices[0] == "cpu"
    assert info.cuda_built or not info.cuda_unavailable
    assert (0 < info.limits.max_chunk_bytes <
            info.limits.max_message_bytes < 64 << 20)
    assert 0 <= time.time() - info.start_time.seconds < 3600


def test_devices(wire):
    devices = wire.stub.ListDevices(pb.ListDevicesRequest()).devices
    cpu = devices[0]
    assert cpu.name == "cpu"
    assert cpu.description
    assert cpu.memory_limit_bytes == harness.MEMORY_LIMIT
    assert cpu.out_of_service == ""
    assert cpu.memory_used_bytes == harness.sentinel_array().nbytes


def test_health(wire):
    assert wire.healthy()
    check = wire.channel.unary_unary("/grpc.health.v1.Health/Check")
    name = b"tensord.v1.TensorService"
    assert check(b"\x0a" + bytes([len(name)]) + name) == b"\x08\x01"


def test_reflection(wire):
    reflect = wire.channel.stream_stream(
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo")
    # ServerReflectionRequest{list_services: "*"}, and then
    # {file_containing_symbol: ...}
    symbol = b"tensord.v1.TensorService"
    services, file = reflect(iter([
        b"\x3a\x01*", b"\x22" + bytes([len(symbol)]) + symbol]),
        timeout=CALL_SECONDS)
    assert symbol in services
    assert b"grpc.health.v1.Health" in services
    assert b"tensord/v1/tensord.proto" in file
    assert b"UploadTensorRequest" in file
