"""The harness notices what it is there to notice."""

import time

import numpy as np
import pytest

import wire_harness as harness
from server_process import environment
from wire_harness import INVALID_ARGUMENT
from wire_harness import NOT_FOUND
from wire_stubs import pb

ARRAY = np.zeros(3, np.float32)


def test_servers_have_no_settings_of_whoever_runs_the_tests(monkeypatch):
    monkeypatch.setenv("TENSORD_MAX_TENSOR_BYTES", "1")
    monkeypatch.setenv("TENSORD_MAX_QUEUE_DELAY_MILLISECONDS", "1")
    process = harness.ServerProcess()
    wire = harness.Wire(process)
    wire.create(ARRAY)
    wire.close()
    assert environment()["TENSORD_MAX_QUEUE_DELAY_MILLISECONDS"] == "0"
    assert process.stop() == 0


def get_unknown(wire):
    wire.stub.GetTensor(pb.GetTensorRequest(name="tensors/nowhere"))


def test_a_refusal_that_is_right_passes(wire):
    with wire.refused(NOT_FOUND, "TENSOR_NOT_FOUND"):
        get_unknown(wire)


def test_no_refusal_is_noticed(wire):
    with pytest.raises(pytest.fail.Exception):
        with wire.refused(NOT_FOUND, "TENSOR_NOT_FOUND"):
            wire.healthy()


@pytest.mark.parametrize("code, reason, field, metadata", [
    (INVALID_ARGUMENT, "TENSOR_NOT_FOUND", None, None),
    (NOT_FOUND, "NAME_INVALID", None, None),
    (NOT_FOUND, "TENSOR_NOT_FOUND", "name", None),
    (NOT_FOUND, "TENSOR_NOT_FOUND", None, {"name": "tensors/other"})])
def test_another_refusal_is_noticed(wire, code, reason, field, metadata):
    with pytest.raises(AssertionError):
        with wire.refused(code, reason, field, metadata):
            get_unknown(wire)


def test_what_a_refused_call_left_is_noticed(wire):
    with pytest.raises(AssertionError):
        with wire.refused(NOT_FOUND, "TENSOR_NOT_FOUND"):
            wire.create(ARRAY)
            get_unknown(wire)


def test_another_sentinel_is_noticed(wire):
    before = wire.state()
    name = f"tensors/{harness.SENTINEL}"
    wire.stub.DeleteTensor(pb.DeleteTensorRequest(name=name))
    wire.create(harness.sentinel_array() + 1, harness.SENTINEL)
    with pytest.raises(AssertionError):
        wire.check_unharmed(before)
    wire.stub.DeleteTensor(pb.DeleteTensorRequest(name=name))
    wire.create(harness.sentinel_array(), harness.SENTINEL)
    wire.check_unharmed(before)


def test_memory_that_does_not_come_back_is_noticed(wire, monkeypatch):
    monkeypatch.setattr(harness, "SETTLE_SECONDS", 0.05)
    before = wire.state()
    spec = harness.array_spec(ARRAY)
    head = harness.upload_head(harness.raw_declaration(spec, ARRAY.nbytes))
    with harness.held_open(head) as upload:
        call = wire.stub.UploadTensor.future(upload)
        wire.await_memory(before.memory_used_bytes + ARRAY.nbytes)
        with pytest.raises(AssertionError):
            wire.check_unharmed(before)
        call.cancel()
    monkeypatch.undo()
    wire.check_unharmed(before)


def test_expired_memory_is_gone_after_a_reset(wire):
    before = wire.memory_used()
    wire.create(ARRAY, ttl=dict(nanos=1_000_000))
    time.sleep(0.002)
    wire.reset()
    assert wire.memory_used() == before


class Failed:
    """A gRPC error, made up."""

    def __init__(self, text, *details):
        status = harness.status_pb2.Status(code=3, message=text)
        for detail in details:
            status.details.add().Pack(detail)
        self._text = text
        self._details = status.SerializeToString()

    def code(self):
        return INVALID_ARGUMENT

    def details(self):
        return self._text

    def trailing_metadata(self):
        return (("grpc-status-details-bin", self._details),)


def info(**fields):
    return harness.error_details_pb2.ErrorInfo(
        **{"reason": "SOME_REASON", "domain": "tensord", **fields})


def at(field, description="is bad"):
    bad = harness.error_details_pb2.BadRequest()
    bad.field_violations.add(field=field, description=description)
    return bad


GOOD = ("the shape is bad", info(), at("raw.spec.shape"))


def test_made_up_refusal_passes():
    harness.check_refusal(harness.Refusal(Failed(*GOOD)), INVALID_ARGUMENT,
                          "SOME_REASON", "raw.spec.shape")


@pytest.mark.parametrize("parts", [
    ("no details at all",),
    ("no field at all", info()),
    ("two of one kind", info(), info(), at("name")),
    ("another domain", info(domain="example.org"), at("name")),
    ("a reason in lower case", info(reason="some_reason"), at("name")),
    ("a key in upper case", info(metadata={"Key": ""}), at("name")),
    ("no such field", info(), at("raw.spec.shapes")),
    ("below a scalar", info(), at("name.x")),
    ("a path: /" + "home/x/server.cc", info(), at("name")),
    ("an address: 0x7ffd12345678", info(), at("name")),
    ("a name: std::bad_alloc", info(), at("name")),
    ("in a detail", info(), at("name", "at envelope.cc:12")),
    ("in metadata", info(metadata={"x": "std::string"}), at("name")),
    ("a control\x07character", info(), at("name")),
    ("far too long", info(), at("name", "x" * 5000)),
    ("short", info(), at("name")),
], ids=lambda parts: parts[0][:24])
def test_made_up_flaw_is_noticed(parts):
    with pytest.raises(AssertionError):
        harness.check_refusal(harness.Refusal(Failed(*parts)),
                              INVALID_ARGUMENT, {"SOME_REASON", "some_reason"})
