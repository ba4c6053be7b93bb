"""Arrays that come in parts, over several streams."""

import concurrent.futures
import random
import threading
import uuid

import numpy as np
import pytest

import wire_harness as harness
from wire_harness import ABORTED
from wire_harness import CALL_SECONDS
from wire_harness import INVALID_ARGUMENT
from wire_harness import OUT_OF_RANGE
from wire_harness import chunk
from wire_stubs import pb

ARRAY = np.arange(6, dtype=np.float32)
DATA = ARRAY.tobytes()


def declaration(array):
    return harness.raw_declaration(harness.array_spec(array), array.nbytes)


def head(request_id, begin, end, array=None, **fields):
    """The first message of the stream that brings bytes [begin, end)."""
    return pb.UploadTensorRequest(declaration=pb.UploadDeclaration(
        array=declaration(ARRAY if array is None else array),
        request_id=request_id, part=pb.ArrayPart(begin=begin, end=end),
        **fields))


def data(begin, end, finish=True, source=DATA):
    return pb.UploadTensorRequest(chunk=chunk(source[begin:end], begin),
                                  finish=finish)


@pytest.fixture
def request_id():
    return str(uuid.uuid4())


def test_parts_in_any_order_make_a_tensor(wire, request_id):
    answers = [
        wire.upload([head(request_id, begin, end), data(begin, end)])
        for begin, end in ((8, 20), (20, 24), (0, 8))]
    assert [answer.name != "" for answer in answers] == [False, False, True]
    assert wire.read_bytes(answers[-1].name) == DATA


def test_parts_side_by_side_make_a_tensor(wire, request_id):
    generator = np.random.default_rng(5)
    array = generator.integers(0, 255, 3_000_000, dtype=np.uint8)
    cuts = [0, *sorted(random.Random(5).sample(range(1, array.size), 7)),
            array.size]
    source = array.tobytes()

    def bring(part):
        begin, end = part
        return wire.upload([
            head(request_id, begin, end, array),
            *(data(at, min(at + 100_000, end), False, source)
              for at in range(begin, end, 100_000)),
            pb.UploadTensorRequest(finish=True)])

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(bring, zip(cuts, cuts[1:])))
    [name] = [answer.name for answer in answers if answer.name]
    assert wire.download(name)[1] == source


def test_verdict_is_on_the_whole_array(wire, request_id):
    array = np.array([1, 2, 300, 4, 5, -7, 600, 8], np.float32)
    options = pb.TensorOptions(dtype=pb.DTYPE_UINT8,
                               overflow=pb.OVERFLOW_POLICY_ERROR)
    source = array.tobytes()
    before = wire.state()
    for begin, end in ((16, 32), (0, 8)):
        wire.upload([head(request_id, begin, end, array, options=options),
                     data(begin, end, source=source)])
    with harness.refusal_of() as caught:
        wire.upload([head(request_id, 8, 16, array, options=options),
                     data(8, 16, source=source)])
    harness.check_refusal(caught.refusal, OUT_OF_RANGE,
                          "CAST_VALUE_OUT_OF_RANGE",
                          metadata={"firstIndex": "2", "count": "3"})
    # Of the other parts nothing is left either.
    wire.check_unharmed(before)


def test_report_is_on_the_whole_array(wire, request_id):
    array = np.array([1.5, 2, 300, 4.5], np.float32)
    options = pb.TensorOptions(dtype=pb.DTYPE_UINT8, report_conversion=True)
    source = array.tobytes()
    for begin, end in ((0, 8), (8, 16)):
        tensor = wire.upload([
            head(request_id, begin, end, array, options=options),
            data(begin, end, source=source)])
    report = tensor.conversion_report
    assert (report.rounded, report.overflowed) == (2, 1)


@pytest.mark.parametrize("begin, end", [
    (0, 0), (8, 4), (-4, 4), (0, 28), (24, 28), (0, 2), (1, 4),
    (2**62, 2**63 - 1)])
def test_refuses_what_is_no_part(wire, request_id, begin, end):
    with wire.refused(INVALID_ARGUMENT, "PART_INVALID", "declaration.part"):
        wire.upload([head(request_id, begin, end)])


def test_refuses_a_part_without_a_request(wire):
    with wire.refused(INVALID_ARGUMENT, "PART_INVALID", "declaration.part"):
        wire.upload([head("", 0, 8), data(0, 8)])


def test_refuses_a_part_of_a_file(wire, request_id):
    file = harness.npy_file(harness.npy_header(), b"x" * 12)
    first = head(request_id, 0, len(file))
    first.declaration.array.CopyFrom(harness.npy_declaration(len(file)))
    with wire.refused(INVALID_ARGUMENT, "PART_INVALID", "declaration.part"):
        wire.upload([first])


def test_a_bad_part_harms_no_other(wire, request_id):
    go_on = threading.Event()

    def messages():
        yield head(request_id, 8, 16)
        yield data(8, 12, False)
        go_on.wait(CALL_SECONDS)
        yield data(12, 16)

    before = wire.memory_used()
    call = wire.stub.UploadTensor.future(messages(), timeout=CALL_SECONDS)
    wire.await_memory(before + len(DATA))
    for begin, end in ((0, 12), (12, 24), (4, 20), (0, 24)):
        with wire.refused(INVALID_ARGUMENT, "PART_INVALID",
                          "declaration.part"):
            wire.upload([head(request_id, begin, end)])
    with wire.refused(ABORTED, "REQUEST_IN_PROGRESS"):
        wire.upload([head(request_id, 8, 16)])
    with wire.refused(harness.FAILED_PRECONDITION, "REQUEST_ID_REUSED"):
        wire.upload([head(request_id, 0, 8, tensor_id="other")])
    for begin, end in ((0, 8), (16, 24)):
        assert wire.upload([head(request_id, begin, end),
                            data(begin, end)]).name == ""
    go_on.set()
    assert wire.read_bytes(call.result().name) == DATA


def test_more_parts_than_allowed_are_refused(wire, request_id):
    most = wire.stub.GetServerInfo(
        pb.GetServerInfoRequest()).limits.max_upload_parts
    array = np.zeros(most + 1, np.uint8)
    source = array.tobytes()
    for begin in range(most):
        wire.upload([head(request_id, begin, begin + 1, array, tensor_id="a"),
                     data(begin, begin + 1, source=source)])
    with wire.refused(INVALID_ARGUMENT, "PART_INVALID", "declaration.part"):
        wire.upload([head(request_id, most, most + 1, array, tensor_id="a")])
    # Takes the id of the upload, which ends that.
    wire.create(ARRAY, "a")
