"""Many calls in one stream, as a stock stub makes them."""

import contextlib
import random
import time

import grpc
import numpy as np
import pytest

import process_usage
import wire_harness as harness
from wire_harness import ALREADY_EXISTS
from wire_harness import CALL_SECONDS
from wire_harness import CANCELLED
from wire_harness import FAILED_PRECONDITION
from wire_harness import INVALID_ARGUMENT
from wire_harness import MIB
from wire_harness import NOT_FOUND
from wire_stubs import pb

SENTINEL = "tensors/" + harness.SENTINEL
# What gRPC's clients take if they are not told otherwise.
DEFAULT_MESSAGE_BYTES = 4 * MIB


def create(array, tensor_id="", **options):
    return pb.BatchCall(create_tensor=pb.CreateTensorRequest(
        tensor_id=tensor_id, raw=harness.raw_array(array),
        options=pb.TensorOptions(**options)))


def cast(name, dtype, tensor_id=""):
    to = pb.Operation(to=pb.Operation.To(dtype=dtype))
    return pb.BatchCall(transform_tensor=pb.TransformTensorRequest(
        name=name, tensor_id=tensor_id, operations=[to]))


def read(name, **options):
    return pb.BatchCall(read_tensor=pb.ReadTensorRequest(
        name=name, options=pb.ReadOptions(**options)))


def get(name):
    return pb.BatchCall(get_tensor=pb.GetTensorRequest(name=name))


def delete(name, **options):
    return pb.BatchCall(delete_tensor=pb.DeleteTensorRequest(name=name,
                                                             **options))


def request(*calls):
    return pb.BatchRequest(calls=calls)


def run(wire, *calls):
    """The results of one message of calls."""
    return results_of(wire, [request(*calls)])


def results_of(wire, requests):
    responses = wire.stub.Batch(iter(requests), timeout=CALL_SECONDS)
    return [result for response in responses for result in response.results]


class BatchRefusal:
    """A result that is an error, with the face of an exception of gRPC."""

    def __init__(self, error):
        self._error = error

    def code(self):
        return next(code for code in grpc.StatusCode
                    if code.value[0] == self._error.code)

    def details(self):
        return self._error.message

    def trailing_metadata(self):
        return [("grpc-status-details-bin", self._error.SerializeToString())]


def check_refused(result, code, reason, **more):
    assert result.WhichOneof("result") == "error", result
    refusal = harness.Refusal(BatchRefusal(result.error))
    harness.check_refusal(refusal, code, reason, **more)


def test_calls_run_in_order(wire):
    array = np.arange(3, dtype=np.float32)
    results = run(wire, create(array, "a"),
                  cast("tensors/a", pb.DTYPE_INT16, "b"), read("tensors/b"),
                  delete("tensors/a"), get("tensors/a"), get("tensors/b"),
                  delete("tensors/b"))
    kinds = [result.WhichOneof("result") for result in results]
    assert kinds == ["tensor", "tensor", "array", "deleted", "error", "tensor",
                     "deleted"]
    assert results[0].tensor.dtype == pb.DTYPE_FLOAT32
    assert results[2].array.data == array.astype(np.int16).tobytes()
    assert results[5].tensor == results[1].tensor


def test_refusals_do_not_end_a_batch(wire):
    array = np.arange(3, dtype=np.float32)
    before = wire.state()
    results = run(wire, create(array, harness.SENTINEL), pb.BatchCall(),
                  create(array, "a\nb", device="gpu"), get("tensors/none"),
                  read("nonsense"), get(SENTINEL))
    check_refused(results[0], ALREADY_EXISTS, "TENSOR_EXISTS")
    check_refused(results[1], INVALID_ARGUMENT, "MESSAGE_EMPTY", field="call")
    check_refused(results[2], INVALID_ARGUMENT, "NAME_INVALID",
                  field="options.device")
    check_refused(results[3], NOT_FOUND, "TENSOR_NOT_FOUND",
                  metadata={"name": "tensors/none"})
    check_refused(results[4], INVALID_ARGUMENT, "NAME_INVALID", field="name")
    assert results[5].tensor.name == SENTINEL
    assert wire.state() == before


def test_many_messages_both_ways(wire):
    arrays = np.random.default_rng(1).integers(0, 99, (3000, 100), np.int32)
    requests = (request(*(create(arrays[i], f"many/{i}")
                          for i in range(first, first + 100)))
                for first in range(0, 3000, 100))
    made = results_of(wire, requests)
    assert [one.tensor.name for one in made] == [
        f"tensors/many/{i}" for i in range(3000)]
    got = run(wire, *(read(one.tensor.name) for one in made))
    assert b"".join(one.array.data for one in got) == arrays.tobytes()
    gone = run(wire, *(delete(one.tensor.name) for one in made))
    assert all(one.WhichOneof("result") == "deleted" for one in gone)


def test_results_fit_into_what_any_client_takes(server, wire):
    """More than a message, one by one and together, and beyond it alone."""
    array = np.random.default_rng(2).bytes(3 * MIB)
    name = wire.create(np.frombuffer(array, np.uint8)).name
    # The rest is left for what goes beside the elements.
    most = DEFAULT_MESSAGE_BYTES - 64
    spec = pb.ArraySpec(dtype=pb.DTYPE_UINT8, shape=[most])
    fits = wire.upload(harness.upload_messages(
        harness.raw_declaration(spec, most), bytes(most))).name
    plain = harness.Wire(server, options=())
    try:
        results = run(plain, read(name), read(name), read(fits), get(name),
                      read(name, dtype=pb.DTYPE_INT16), read(fits),
                      read(name))
    finally:
        plain.close()
    for place in (0, 1, 6):
        assert results[place].array.data == array
    for place in (2, 5):
        assert len(results[place].array.data) == most
    assert results[3].tensor.name == name
    check_refused(results[4], FAILED_PRECONDITION, "RESULT_TOO_LARGE")


def test_results_of_a_message_come_before_the_next_is_sent(wire):
    with harness.held_open(request(get(SENTINEL))) as requests:
        responses = wire.stub.Batch(requests, timeout=CALL_SECONDS)
        assert next(responses).results[0].tensor.name == SENTINEL
        responses.cancel()


@pytest.mark.parametrize("requests", [[], [request()], [request()] * 100],
                         ids=["nothing", "empty", "many-empty"])
def test_half_close_without_calls(wire, requests):
    assert results_of(wire, requests) == []


def test_random_calls_give_what_they_give_alone(wire):
    """Apart from etags, storage and times."""
    choose = random.Random(3)

    def name():
        return "tensors/" + choose.choice("abc")

    def call():
        data = np.arange(choose.randrange(20), dtype=np.int16)
        kinds = [lambda: create(data, choose.choice("abc")),
                 lambda: create(data, "a/../b"),
                 lambda: cast(name(), choose.randrange(20),
                              choose.choice("abc")),
                 lambda: read(name(), dtype=choose.randrange(19)),
                 lambda: get(name()), lambda: delete(name()),
                 lambda: delete(name(), allow_missing=True)]
        return choose.choice(kinds)()

    def comparable(result):
        if result.HasField("tensor"):
            for field in ("etag", "storage_id", "create_time", "update_time"):
                result.tensor.ClearField(field)
        return result

    calls = [call() for _ in range(500)]
    together = run(wire, *calls)
    wire.clear()
    alone = [run(wire, one)[0] for one in calls]
    wire.clear()
    methods = {"create_tensor": (wire.stub.CreateTensor, "tensor"),
               "transform_tensor": (wire.stub.TransformTensor, "tensor"),
               "read_tensor": (wire.stub.ReadTensor, "array"),
               "get_tensor": (wire.stub.GetTensor, "tensor"),
               "delete_tensor": (wire.stub.DeleteTensor, "deleted")}
    unary = []
    for one in calls:
        kind = one.WhichOneof("call")
        method, field = methods[kind]
        try:
            result = method(getattr(one, kind), timeout=CALL_SECONDS)
            unary.append(pb.BatchResult(**{field: result}))
        except grpc.RpcError as error:
            unary.append(pb.BatchResult(error=pb.BatchError.FromString(
                harness.Refusal(error).raw_details)))
    for place, results in enumerate(zip(together, alone, unary, strict=True)):
        first, second, third = map(comparable, results)
        assert first == second == third, calls[place]


def test_a_client_that_does_not_read_is_not_read_from(wire):
    """What is under way for it is a few messages, however much it asks."""
    name = wire.create(np.zeros(MIB, np.uint8)).name
    sent = 0

    def requests():
        nonlocal sent
        for _ in range(100):
            sent += 1
            yield request(read(name), create(np.zeros(MIB, np.uint8), "large"),
                          delete("tensors/large"))

    responses = wire.stub.Batch(requests(), timeout=CALL_SECONDS)
    time.sleep(0.5)
    stalled = sent
    time.sleep(0.3)
    assert sent == stalled < 60
    assert wire.read(SENTINEL).data
    results = [one for response in responses for one in response.results]
    assert len(results) == 300
    assert not any(one.HasField("error") for one in results)


@pytest.mark.parametrize("responses", [0, 1, 5])
def test_cancelled_batch(wire, responses):
    name = wire.create(np.zeros(MIB, np.uint8)).name
    before = wire.memory_used()
    calls = [cast(name, pb.DTYPE_FLOAT32, "cancelled"), read(name),
             delete("tensors/cancelled")]
    with harness.held_open(request(*calls * 100)) as requests:
        call = wire.stub.Batch(requests)
        for _ in range(responses):
            next(call)
        call.cancel()
        with pytest.raises(grpc.RpcError):
            list(call)
    assert call.code() == CANCELLED
    time.sleep(0.2)
    run(wire, delete("tensors/cancelled", allow_missing=True))
    wire.await_memory(before)


def test_an_end_at_any_moment_leaves_whole_tensors(wire):
    before = wire.state()
    calls = [create(np.arange(1000), f"ended/{i}") for i in range(300)]
    for delay in np.linspace(0, 0.02, 20):
        call = wire.stub.Batch(iter([request(*calls)]))
        time.sleep(delay)
        call.cancel()
    time.sleep(0.1)
    wire.clear()
    assert wire.state() == before


BATCH = "/tensord.v1.TensorService/Batch"
GET = get(SENTINEL).SerializeToString()


def delimited(data, size=None):
    return b"\x0a" + bytes([len(data) if size is None else size]) + data


@pytest.mark.parametrize("tail", {
    "tag-cut": b"\x8a",
    "length-absent": b"\x0a",
    "length-beyond-message": delimited(GET, 120),
    "length-2^64-1": b"\x0a" + b"\xff" * 9 + b"\x01" + GET,
    "length-2^31": b"\x0a\x80\x80\x80\x80\x08" + GET,
    "field-number-0": b"\x00\x00",
    "wire-type-7": b"\x0f\x00",
    "end-of-no-group": b"\x14",
    "group-without-end": b"\x13",
    "deep-groups": b"\x13" * 100_000,
    "unknown-length-beyond": b"\x12\x7fabc",
    "call-cut": delimited(GET[:-1]),
    "call-field-number-0": delimited(b"\x00"),
    "call-end-of-group": delimited(b"\x24"),
    "call-of-ones": delimited(b"\xff" * 20),
    "name-not-utf-8": delimited(b"\x22\x03\x0a\x01\xff"),
}.items(), ids=lambda item: item[0])
def test_what_comes_before_a_malformed_call_runs(wire, tail):
    _, data = tail
    before = wire.state()
    message = request(create(np.arange(3), "made"),
                      delete("tensors/made")).SerializeToString() + data
    results = []
    with wire.refused(INVALID_ARGUMENT, "MESSAGE_MALFORMED"):
        responses = wire.channel.stream_stream(BATCH)(
            iter([message, message]), timeout=CALL_SECONDS)
        for response in responses:
            results += pb.BatchResponse.FromString(response).results
    assert [one.WhichOneof("result") for one in results] == ["tensor",
                                                             "deleted"]
    assert wire.state() == before


def test_messages_of_the_future_are_read(wire):
    message = b"\x12\x03abc" + delimited(b"\x32\x00" + GET) + b"\x18\x05"
    responses = wire.channel.stream_stream(BATCH)(iter([message]),
                                                  timeout=CALL_SECONDS)
    (response,) = map(pb.BatchResponse.FromString, responses)
    assert response.results[0].tensor.name == SENTINEL


def test_small_tensors_take_a_kib_each():
    """As --help and deploy/operating.md say."""
    count = 30_000
    process = harness.ServerProcess(f"--memory_limit={64 * MIB}")
    with contextlib.closing(harness.Wire(process)) as wire:
        def store(kind):
            messages = (request(*(create(np.zeros(2), f"{kind}/{start + i}")
                                  for i in range(1000)))
                        for start in range(0, count, 1000))
            for result in results_of(wire, messages):
                assert result.WhichOneof("result") == "tensor"
        # What calls leave behind is there from then on.
        store("first")
        before = process_usage.resident_bytes(process.pid)
        store("second")
        taken = process_usage.resident_bytes(process.pid) - before
        if not process_usage.is_sanitized(process.pid):
            assert taken < 1.1 * 1024 * count, taken / count
    assert process.stop() == 0
