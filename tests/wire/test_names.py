"""Bad input, group F: names, lists, masks and the life of a tensor."""

import time

import numpy as np
import pytest

import wire_harness as harness
from wire_harness import ABORTED
from wire_harness import ALREADY_EXISTS
from wire_harness import INVALID_ARGUMENT
from wire_harness import NOT_FOUND
from wire_stubs import pb

ARRAY = np.arange(6, dtype=np.float32)
DECLARATION = harness.raw_declaration(harness.array_spec(ARRAY), ARRAY.nbytes)
CLONE = pb.Operation(clone={})
SOURCE = f"tensors/{harness.SENTINEL}"

BAD_IDS = [
    "..", ".", "a/../b", "a/..", "../a", "a/./b", "/a", "a/", "a//b", "/",
    "a\0b", "\0", "a\nb", "a\tb", "a b", "a" * 256, "a/" * 127 + "ab",
    "\U0001F600", "\u00e9", "%2e%2e", "a%2fb", "a\\b", "a*", "a?b", "a#b",
    "{a}", "a\u202eb", "x" * 60_000,
]
GOOD_IDS = [
    "a", "A-Z.0_9~:", "w/0", "a/b/c/d", "...", "a..b", ".a", "a.", "-", "~",
    "a" * 255, "a/" * 127 + "a", "tensors/a",
]


def shown(text):
    return f"{len(text)}-{text[:12]!r}"


@pytest.mark.parametrize("tensor_id", BAD_IDS, ids=shown)
def test_refuses_id_F85(wire, tensor_id):
    with wire.refused(INVALID_ARGUMENT, "NAME_INVALID", "tensor_id"):
        wire.create(ARRAY, tensor_id)
    with wire.refused(INVALID_ARGUMENT, "NAME_INVALID",
                      "declaration.tensor_id"):
        with harness.held_open(harness.upload_head(
                DECLARATION, tensor_id)) as upload:
            wire.upload(upload)
    with wire.refused(INVALID_ARGUMENT, "NAME_INVALID", "tensor_id"):
        wire.transform(SOURCE, CLONE, tensor_id=tensor_id)


CALLS = {
    "get": lambda wire, name: wire.stub.GetTensor(
        pb.GetTensorRequest(name=name)),
    "read": lambda wire, name: wire.read(name),
    "download": lambda wire, name: wire.download(name),
    "transform": lambda wire, name: wire.transform(name, CLONE),
    "delete": lambda wire, name: wire.stub.DeleteTensor(
        pb.DeleteTensorRequest(name=name)),
    "delete-missing": lambda wire, name: wire.stub.DeleteTensor(
        pb.DeleteTensorRequest(name=name, allow_missing=True)),
    "update": lambda wire, name: wire.stub.UpdateTensor(
        pb.UpdateTensorRequest(tensor=pb.Tensor(name=name))),
}
BAD_NAMES = ["", "a", "tensors", "tensors/", "Tensors/a", "/tensors/a",
             "tensor/a", "models/a", *("tensors/" + i for i in BAD_IDS)]


@pytest.mark.parametrize("call", CALLS)
def test_refuses_name_F85(wire, call):
    field = "tensor.name" if call == "update" else "name"
    for name in BAD_NAMES:
        with wire.refused(INVALID_ARGUMENT, "NAME_INVALID", field):
            CALLS[call](wire, name)


@pytest.mark.parametrize("tensor_id", GOOD_IDS, ids=shown)
def test_good_ids_are_accepted_F85(wire, tensor_id):
    tensor = wire.create(ARRAY, tensor_id)
    assert tensor.name == f"tensors/{tensor_id}"
    assert wire.read_bytes(tensor.name) == ARRAY.tobytes()
    uploaded = tensor_id[::-1] if len(tensor_id) > 200 else tensor_id + "2"
    wire.stub.DeleteTensor(pb.DeleteTensorRequest(name=tensor.name))
    assert wire.upload(harness.upload_messages(
        DECLARATION, ARRAY.tobytes(), uploaded)).name == f"tensors/{uploaded}"


def test_made_up_ids_differ_and_are_valid_F85(wire):
    names = {wire.create(ARRAY).name for _ in range(20)}
    assert len(names) == 20
    for name in names:
        assert wire.read_bytes(name) == ARRAY.tobytes()


@pytest.mark.parametrize("call", [call for call in CALLS
                                  if call != "delete-missing"])
def test_refuses_unknown_F86(wire, call):
    with wire.refused(NOT_FOUND, "TENSOR_NOT_FOUND") as caught:
        CALLS[call](wire, "tensors/nowhere")
    info = caught.refusal.details["ResourceInfo"]
    assert info.resource_name == "tensors/nowhere"
    assert info.resource_type


def test_refuses_taken_id_F87(wire):
    first = wire.create(ARRAY, "taken")
    with wire.refused(ALREADY_EXISTS, "TENSOR_EXISTS"):
        wire.create(ARRAY + 1, "taken")
    with wire.refused(ALREADY_EXISTS, "TENSOR_EXISTS"):
        wire.upload(harness.upload_messages(
            DECLARATION, (ARRAY + 1).tobytes(), "taken"))
    with wire.refused(ALREADY_EXISTS, "TENSOR_EXISTS"):
        wire.transform(SOURCE, CLONE, tensor_id="taken")
    assert wire.read_bytes(first.name) == ARRAY.tobytes()


def test_refuses_other_etag_F88(wire):
    tensor = wire.create(ARRAY)
    assert tensor.etag
    update = pb.UpdateTensorRequest(
        tensor=pb.Tensor(name=tensor.name, requires_grad=True,
                         etag=tensor.etag),
        update_mask={"paths": ["requires_grad"]})
    updated = wire.stub.UpdateTensor(update)
    assert updated.requires_grad and updated.etag != tensor.etag
    with wire.refused(ABORTED, "ETAG_MISMATCH"):
        wire.stub.UpdateTensor(update)
    with wire.refused(ABORTED, "ETAG_MISMATCH"):
        wire.stub.DeleteTensor(pb.DeleteTensorRequest(name=tensor.name,
                                                      etag=tensor.etag))
    with wire.refused(ABORTED, "ETAG_MISMATCH"):
        wire.stub.DeleteTensor(pb.DeleteTensorRequest(
            name=tensor.name, etag="other", allow_missing=True))
    wire.stub.DeleteTensor(pb.DeleteTensorRequest(name=tensor.name,
                                                  etag=updated.etag))
    assert tensor.name not in wire.names()


def test_refuses_second_deletion_F89(wire):
    name = wire.create(ARRAY).name
    wire.stub.DeleteTensor(pb.DeleteTensorRequest(name=name))
    with wire.refused(NOT_FOUND, "TENSOR_NOT_FOUND"):
        wire.stub.DeleteTensor(pb.DeleteTensorRequest(name=name))
    wire.stub.DeleteTensor(pb.DeleteTensorRequest(name=name,
                                                  allow_missing=True))


TEN_YEARS = 10 * 365 * 24 * 3600
BAD_TTLS = [dict(seconds=0), dict(seconds=-1), dict(nanos=-1),
            dict(seconds=TEN_YEARS + 1), dict(seconds=TEN_YEARS, nanos=1),
            dict(seconds=2**63 - 1), dict(seconds=-2**63),
            dict(seconds=1, nanos=-1), dict(seconds=1, nanos=1_000_000_000)]


@pytest.mark.parametrize("ttl", BAD_TTLS, ids=str)
def test_refuses_ttl_F90(wire, ttl):
    name = wire.create(ARRAY).name
    with wire.refused(INVALID_ARGUMENT, "TTL_INVALID", "options.ttl"):
        wire.create(ARRAY, ttl=ttl)
    with wire.refused(INVALID_ARGUMENT, "TTL_INVALID",
                      "declaration.options.ttl"):
        wire.upload([harness.upload_head(DECLARATION, ttl=ttl)])
    with wire.refused(INVALID_ARGUMENT, "TTL_INVALID", "ttl"):
        wire.stub.TransformTensor(pb.TransformTensorRequest(
            name=SOURCE, operations=[CLONE], ttl=ttl))
    with wire.refused(INVALID_ARGUMENT, "TTL_INVALID", "tensor.ttl"):
        wire.stub.UpdateTensor(pb.UpdateTensorRequest(
            tensor=pb.Tensor(name=name, ttl=ttl)))


def test_longest_ttl_is_accepted_F90(wire):
    tensor = wire.create(ARRAY, ttl=dict(seconds=TEN_YEARS))
    kept = tensor.expire_time.seconds - tensor.create_time.seconds
    assert abs(kept - TEN_YEARS) <= 1


def test_expired_is_not_found_F91(wire):
    before = wire.memory_used()
    tensor = wire.create(ARRAY, ttl=dict(nanos=50_000_000))
    time.sleep(0.06)
    for call in CALLS:
        if call == "delete-missing":
            continue
        with harness.refusal_of() as caught:
            CALLS[call](wire, tensor.name)
        harness.check_refusal(caught.refusal, NOT_FOUND, "TENSOR_NOT_FOUND")
    assert tensor.name not in wire.names()
    # The name is free again, whether or not the memory is yet.
    wire.create(ARRAY, tensor.name.removeprefix("tensors/"))
    wire.clear()
    wire.await_memory(before)


@pytest.mark.parametrize("page_size", [-1, -2**31])
def test_refuses_page_size_F92(wire, page_size):
    with wire.refused(INVALID_ARGUMENT, "PAGE_SIZE_INVALID", "page_size"):
        wire.stub.ListTensors(pb.ListTensorsRequest(page_size=page_size))


def test_large_page_size_is_coerced_F92(wire):
    page = wire.stub.ListTensors(pb.ListTensorsRequest(page_size=2**31 - 1))
    assert [tensor.name for tensor in page.tensors] == [SOURCE]


@pytest.mark.parametrize("token", [
    "x", "0", "AAAA", "!!!!", "tensors/sentinel", "sentinel", "=", "\0",
    "A" * 10_000, "\u2603", "../../a"], ids=shown)
def test_refuses_page_token_F93(wire, token):
    with wire.refused(INVALID_ARGUMENT, "PAGE_TOKEN_INVALID", "page_token"):
        wire.stub.ListTensors(pb.ListTensorsRequest(page_token=token))


def test_refuses_spoiled_page_token_F93(wire):
    for number in range(3):
        wire.create(ARRAY, f"page{number}")
    token = wire.stub.ListTensors(
        pb.ListTensorsRequest(page_size=1)).next_page_token
    for spoiled in (token + "A", token[:-1], token[1:], token * 2,
                    token.swapcase()):
        with wire.refused(INVALID_ARGUMENT, "PAGE_TOKEN_INVALID"):
            wire.stub.ListTensors(pb.ListTensorsRequest(page_token=spoiled))
    wire.stub.ListTensors(pb.ListTensorsRequest(page_token=token))


@pytest.mark.parametrize("path", [
    "nothing", "name", "dtype", "shape", "strides", "device", "is_leaf",
    "grad_fn", "size_bytes", "storage_id", "etag", "create_time", "*", "",
    "requires_grad.x", "expiration", "Requires_grad", "a" * 5000])
def test_refuses_mask_F94(wire, path):
    name = wire.create(ARRAY).name
    for paths in ([path], ["requires_grad", path]):
        with wire.refused(INVALID_ARGUMENT, "FIELD_MASK_INVALID",
                          "update_mask"):
            wire.stub.UpdateTensor(pb.UpdateTensorRequest(
                tensor=pb.Tensor(name=name, requires_grad=True),
                update_mask={"paths": paths}))
    assert not wire.stub.GetTensor(
        pb.GetTensorRequest(name=name)).requires_grad


def test_refuses_update_without_tensor_F94(wire):
    with wire.refused(INVALID_ARGUMENT, "NAME_INVALID", "tensor.name"):
        wire.stub.UpdateTensor(pb.UpdateTensorRequest())


def test_reader_keeps_what_was_deleted_F96(wire):
    """A download that began goes on, undisturbed by the deletion."""
    array = np.random.default_rng(1).integers(
        0, 255, harness.MAX_TENSOR_BYTES, np.uint8)
    before = wire.memory_used()
    declaration = harness.raw_declaration(harness.array_spec(array),
                                          array.nbytes)
    name = wire.upload(harness.upload_messages(
        declaration, array.tobytes(), "going")).name
    responses = wire.stub.DownloadTensor(pb.DownloadTensorRequest(name=name))
    first = next(responses)
    wire.stub.DeleteTensor(pb.DeleteTensorRequest(name=name))
    wire.create(ARRAY, "going")
    _, data = harness.join_download([first, *responses])
    assert data == array.tobytes()
    wire.await_memory(before + ARRAY.nbytes)
