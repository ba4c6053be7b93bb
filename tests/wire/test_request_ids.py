"""Requests that are repeated with their id, and uploads that are gone on with."""

import threading
import uuid

import grpc
import numpy as np
import pytest

import wire_harness as harness
from wire_harness import ABORTED
from wire_harness import INVALID_ARGUMENT
from wire_harness import NOT_FOUND
from wire_harness import chunk
from wire_stubs import pb

ARRAY = np.arange(6, dtype=np.float32)
DATA = ARRAY.tobytes()
DECLARATION = harness.raw_declaration(harness.array_spec(ARRAY), len(DATA))
FAILED_PRECONDITION = harness.FAILED_PRECONDITION
SOURCE = f"tensors/{harness.SENTINEL}"


def new_id():
    return str(uuid.uuid4())


def creation(**fields):
    return pb.CreateTensorRequest(raw=harness.raw_array(ARRAY), **fields)


def transformation(**fields):
    return pb.TransformTensorRequest(
        name=SOURCE, operations=[pb.Operation(clone={})], **fields)


MAKERS = {"CreateTensor": creation, "TransformTensor": transformation}


@pytest.mark.parametrize("method", MAKERS)
def test_repetitions_make_nothing_F97(wire, method):
    call = getattr(wire.stub, method)
    request = MAKERS[method](request_id=new_id())
    before = wire.names()
    first = call(request)
    assert [call(request) for _ in range(3)] == [first] * 3
    assert len(wire.names()) == len(before) + 1
    # Another id is another request.
    assert call(MAKERS[method](request_id=new_id())).name != first.name


@pytest.mark.parametrize("method", MAKERS)
def test_an_answer_outlives_what_it_tells_of(wire, method):
    call = getattr(wire.stub, method)
    request = MAKERS[method](request_id=new_id())
    first = call(request)
    wire.stub.DeleteTensor(pb.DeleteTensorRequest(name=first.name))
    assert call(request) == first
    with wire.refused(NOT_FOUND, "TENSOR_NOT_FOUND"):
        wire.read(first.name)


def test_deletes_once_F97(wire):
    tensor = wire.create(ARRAY, "own")
    request = pb.DeleteTensorRequest(name=tensor.name, request_id=new_id())
    wire.stub.DeleteTensor(request)
    wire.create(ARRAY, "own")
    wire.stub.DeleteTensor(request)
    assert wire.read_bytes(tensor.name) == DATA


def test_updates_once_F97(wire):
    tensor = wire.create(ARRAY, "own")
    request = pb.UpdateTensorRequest(
        tensor=pb.Tensor(name=tensor.name, etag=tensor.etag,
                         requires_grad=True), request_id=new_id())
    changed = wire.stub.UpdateTensor(request)
    assert changed.requires_grad
    assert wire.stub.UpdateTensor(request) == changed


def test_failures_may_be_tried_again_F97(wire):
    request = creation(tensor_id="own", request_id=new_id())
    wire.create(ARRAY, "own")
    with wire.refused(harness.ALREADY_EXISTS, "TENSOR_EXISTS"):
        wire.stub.CreateTensor(request)
    wire.stub.DeleteTensor(pb.DeleteTensorRequest(name="tensors/own"))
    wire.stub.CreateTensor(request)


@pytest.mark.parametrize("other", [
    creation(tensor_id="other"), transformation(),
    pb.CreateTensorRequest(raw=harness.raw_array(ARRAY + 1)),
], ids=["id", "method", "data"])
def test_refuses_reused_id_F97(wire, other):
    request = creation(request_id=new_id())
    wire.stub.CreateTensor(request)
    other.request_id = request.request_id
    call = (wire.stub.TransformTensor
            if isinstance(other, pb.TransformTensorRequest)
            else wire.stub.CreateTensor)
    with wire.refused(FAILED_PRECONDITION, "REQUEST_ID_REUSED"):
        call(other)


@pytest.mark.parametrize("bad", ["x", "0" * 36, "{" + str(uuid.UUID(int=1))[1:],
                                 str(uuid.UUID(int=1)) + "0", "é" * 18])
def test_refuses_bad_id_F97(wire, bad):
    stub = wire.stub
    calls = [
        (stub.CreateTensor, creation(request_id=bad)),
        (stub.TransformTensor, transformation(request_id=bad)),
        (stub.UpdateTensor, pb.UpdateTensorRequest(
            tensor=pb.Tensor(name=SOURCE), request_id=bad)),
        (stub.DeleteTensor, pb.DeleteTensorRequest(name=SOURCE,
                                                   request_id=bad)),
        (stub.QueryUpload, pb.QueryUploadRequest(request_id=bad)),
    ]
    for call, request in calls:
        with wire.refused(INVALID_ARGUMENT, "REQUEST_ID_INVALID",
                          "request_id"):
            call(request)
    with wire.refused(INVALID_ARGUMENT, "REQUEST_ID_INVALID",
                      "declaration.request_id"):
        wire.upload([head(bad)])


def test_storms_of_one_request_make_one_tensor_F97(wire):
    request = creation(request_id=new_id())
    before = len(wire.names())
    made = []

    def storm():
        for _ in range(20):
            made.append(wire.stub.CreateTensor(request).name)

    threads = [threading.Thread(target=storm) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(made) == {made[0]}
    assert len(wire.names()) == before + 1


# ---- Uploads ------------------------------------------------------------------


def head(request_id, tensor_id="", array=DECLARATION):
    return pb.UploadTensorRequest(declaration=pb.UploadDeclaration(
        array=array, tensor_id=tensor_id, request_id=request_id))


def part(begin, end, finish=False):
    return pb.UploadTensorRequest(chunk=chunk(DATA[begin:end], begin),
                                  finish=finish)


def query(wire, request_id):
    return wire.stub.QueryUpload(pb.QueryUploadRequest(request_id=request_id))


def stop_early(wire, *messages):
    """Sends parts of an upload, which the server keeps."""
    with harness.refusal_of() as caught:
        wire.upload(messages)
    assert caught.refusal.reason == "UPLOAD_INCOMPLETE"


def test_goes_on_with_a_broken_upload(wire):
    request_id = new_id()
    # The stream ends without finish: the server kept what came.
    for begin, end in ((0, 5), (5, 11), (11, 24)):
        stop_early(wire, head(request_id, "resumed"), part(begin, end))
        assert query(wire, request_id).committed_bytes == end
        with wire.refused(NOT_FOUND, "TENSOR_NOT_FOUND"):
            wire.read("tensors/resumed")
    finish = pb.UploadTensorRequest(finish=True)
    tensor = wire.upload([head(request_id, "resumed"), finish])
    assert wire.read_bytes(tensor.name) == DATA
    # Complete: told, and not stored again.
    assert query(wire, request_id).tensor == tensor
    assert wire.upload([head(request_id, "resumed")]) == tensor
    whole = [head(request_id, "resumed"), part(0, 24, True)]
    assert wire.upload(whole) == tensor


def test_cancelled_uploads_go_on(wire):
    request_id = new_id()
    before = wire.memory_used()
    with harness.held_open(head(request_id), part(0, 7)) as upload:
        call = wire.stub.UploadTensor.future(upload)
        wire.await_memory(before + len(DATA))
        with wire.refused(ABORTED, "REQUEST_IN_PROGRESS"):
            query(wire, request_id)
        with wire.refused(ABORTED, "REQUEST_IN_PROGRESS"):
            wire.upload([head(request_id)])
        call.cancel()
    committed = None
    while committed is None:
        try:
            committed = query(wire, request_id).committed_bytes
        except grpc.RpcError as error:
            assert error.code() == ABORTED
    assert committed in (0, 7)
    tensor = wire.upload([head(request_id), part(committed, 24, True)])
    assert wire.read_bytes(tensor.name) == DATA


def test_refused_uploads_are_gone(wire):
    request_id = new_id()
    with wire.refused(harness.OUT_OF_RANGE, "OFFSET_MISMATCH"):
        wire.upload([head(request_id), part(3, 5)])
    with wire.refused(NOT_FOUND, "UPLOAD_NOT_FOUND"):
        query(wire, request_id)


def test_unknown_uploads_are_not_found_D75(wire):
    with wire.refused(NOT_FOUND, "UPLOAD_NOT_FOUND"):
        query(wire, new_id())


def test_another_declaration_is_another_upload_F97(wire):
    request_id = new_id()
    stop_early(wire, head(request_id), part(0, 5))
    with wire.refused(FAILED_PRECONDITION, "REQUEST_ID_REUSED"):
        wire.upload([head(request_id, "other")])
    assert query(wire, request_id).committed_bytes == 5
    wire.upload([head(request_id), part(5, 24, True)])


def test_kept_uploads_are_in_nobodys_way(wire):
    request_id = new_id()
    stop_early(wire, head(request_id, "own"), part(0, 5))
    wire.create(ARRAY, "own")
    with wire.refused(NOT_FOUND, "UPLOAD_NOT_FOUND"):
        query(wire, request_id)
