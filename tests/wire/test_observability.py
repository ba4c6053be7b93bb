"""Logs, traces and metrics: what an operator sees of calls."""

import json
import time

import grpc
import numpy as np
import pytest

import wire_harness as harness
from wire_harness import CALL_SECONDS
from wire_stubs import pb

ARRAY = np.arange(100, dtype=np.float32)
TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"


@pytest.fixture(scope="module")
def observed():
    process = harness.ServerProcess(
        f"--memory_limit={harness.MEMORY_LIMIT}",
        f"--max_tensor_bytes={harness.MAX_TENSOR_BYTES}", "--log_format=json",
        metrics=True)
    yield process
    assert process.stop() == 0


@pytest.fixture(scope="module")
def stub(observed):
    wire = harness.Wire(observed)
    yield wire.stub
    wire.close()


def line_of(process, request_id):
    """The log line of the call with an id, as an object."""
    deadline = time.monotonic() + 10
    while True:
        for line in process.log().splitlines():
            entry = json.loads(line)
            if entry.get("id") == request_id:
                return entry
        assert time.monotonic() < deadline, process.log()
        time.sleep(0.02)


def call_with(method, request, *metadata):
    response, call = method.with_call(request, timeout=CALL_SECONDS,
                                      metadata=metadata)
    return response, dict(call.trailing_metadata())


def test_a_call_has_a_line_with_all_that_is_known(observed, stub):
    request = pb.CreateTensorRequest(tensor_id="a",
                                     raw=harness.raw_array(ARRAY))
    response, trailers = call_with(
        stub.CreateTensor, request, ("x-request-id", "job-7/step.3"),
        ("traceparent", f"00-{TRACE}-{PARENT}-01"))
    line = line_of(observed, "job-7/step.3")
    assert line["event"] == "call"
    assert line["method"] == "/tensord.v1.TensorService/CreateTensor"
    assert line["code"] == "OK"
    assert line["peer"].startswith("ipv4:127.0.0.1:")
    assert line["received_bytes"] == request.ByteSize()
    assert line["sent_bytes"] == response.ByteSize()
    assert line["duration_ms"] >= 0
    assert (line["trace_id"], line["parent_id"]) == (TRACE, PARENT)
    assert "reason" not in line and "tenant" not in line
    # Both come back, the trace with the span of this call.
    assert trailers["x-request-id"] == "job-7/step.3"
    assert trailers["traceparent"] == f"00-{TRACE}-{line['span_id']}-01"
    assert line["span_id"] != PARENT


def test_a_refusal_has_its_reason(observed, stub):
    with pytest.raises(grpc.RpcError) as error:
        stub.GetTensor(pb.GetTensorRequest(name="tensors/none"),
                       metadata=(("x-request-id", "missing"),))
    assert dict(error.value.trailing_metadata())["x-request-id"] == "missing"
    line = line_of(observed, "missing")
    assert (line["code"], line["reason"]) == ("NotFound", "TENSOR_NOT_FOUND")


@pytest.mark.parametrize("metadata", [
    (("traceparent", f"00-{TRACE}-{PARENT}"),),
    (("traceparent", f"00-{'0' * 32}-{PARENT}-01"),),
    (("traceparent", "x" * 500),),
    (("x-request-id", "with blank"),),
    (("x-request-id", "x" * 129),),
    (),
])
def test_what_is_not_valid_is_ignored(observed, stub, metadata):
    _, trailers = call_with(stub.GetServerInfo, pb.GetServerInfoRequest(),
                            *metadata)
    assert "traceparent" not in trailers
    assert "x-request-id" not in trailers


def test_streams_are_counted_in_messages_and_bytes(observed, stub):
    before = observed.metrics()
    data = ARRAY.tobytes()
    messages = list(harness.upload_messages(
        harness.raw_declaration(harness.array_spec(ARRAY), len(data)), data,
        chunk_bytes=100))
    name = stub.UploadTensor(iter(messages), timeout=CALL_SECONDS,
                             metadata=(("x-request-id", "up"),)).name
    line = line_of(observed, "up")
    assert line["received_bytes"] == sum(m.ByteSize() for m in messages)
    responses = list(stub.DownloadTensor(
        pb.DownloadTensorRequest(name=name), timeout=CALL_SECONDS,
        metadata=(("x-request-id", "down"),)))
    assert line_of(observed, "down")["sent_bytes"] == sum(
        m.ByteSize() for m in responses)

    after = observed.metrics()

    def grown(series):
        return after.get(series, 0) - before.get(series, 0)

    labels = ('grpc_method="UploadTensor",'
              'grpc_service="tensord.v1.TensorService",'
              'grpc_type="client_stream"')
    assert grown(f"grpc_server_msg_received_total{{{labels}}}") == len(messages)
    assert grown(f"grpc_server_msg_sent_total{{{labels}}}") == 1
    assert grown('tensord_call_received_bytes_total{grpc_code="OK",'
                 f'{labels}}}') == line["received_bytes"]
    labels = labels.replace("UploadTensor", "DownloadTensor").replace(
        "client_stream", "server_stream")
    assert grown(f"grpc_server_msg_sent_total{{{labels}}}") == len(responses)


def test_conversions_are_counted_by_dtypes_and_devices(observed, stub):
    request = pb.CreateTensorRequest(
        raw=harness.raw_array(ARRAY),
        options=pb.TensorOptions(dtype=pb.DTYPE_INT16))
    stub.CreateTensor(request, timeout=CALL_SECONDS)
    request.options.dtype = pb.DTYPE_FLOAT64
    stub.CreateTensor(request, timeout=CALL_SECONDS)
    metrics = observed.metrics()
    for to in ("int16", "float64"):
        assert metrics['tensord_conversions_total{destination="cpu",'
                       f'from="float32",source="cpu",to="{to}"}}'] == 1
    lossy = 'tensord_lossy_conversions_total{from="float32",to="%s"}'
    assert metrics[lossy % "int16"] == 1
    assert lossy % "float64" not in metrics


def test_what_there_was_no_memory_for_is_counted(observed, stub):
    before = observed.metrics().get("tensord_refused_bytes_total", 0)
    size = harness.MAX_TENSOR_BYTES
    held = []
    try:
        for _ in range(harness.MEMORY_LIMIT // size + 1):
            messages = harness.held_open(harness.upload_head(
                harness.raw_declaration(
                    pb.ArraySpec(dtype=pb.DTYPE_UINT8, shape=[size]), size)))
            held.append((messages, stub.UploadTensor.future(
                messages.__enter__())))
        refused = next(call for _, call in reversed(held)
                       if call.exception(timeout=CALL_SECONDS))
        assert refused.code() == harness.RESOURCE_EXHAUSTED
    finally:
        for messages, call in held:
            call.cancel()
            messages.__exit__(None, None, None)
    grown = observed.metrics()["tensord_refused_bytes_total"] - before
    assert grown > 0 and grown % size == 0


def test_a_flood_of_refusals_does_not_flood_the_log(observed, stub):
    """120."""
    lines = observed.log().count("\n")
    calls = [stub.GetTensor.future(pb.GetTensorRequest(name="tensors/none"))
             for _ in range(1500)]
    for call in calls:
        assert call.exception() is not None
    assert "calls_left_out" in observed.log() or (
        observed.log().count("\n") - lines < 1500)


def test_every_line_is_an_object_and_all_metrics_are_ours(observed, stub):
    for line in observed.log().splitlines():
        assert json.loads(line)["event"]
    names = {series.partition("{")[0] for series in observed.metrics()}
    assert all(name.startswith(("tensord_", "grpc_server_", "process_",
                                "exposer_")) for name in names), names


def servers_in_channelz(process):
    with grpc.insecure_channel(process.address) as channel:
        # GetServersRequest{} -> GetServersResponse{repeated Server server = 1}
        return channel.unary_unary("/grpc.channelz.v1.Channelz/GetServers")(
            b"", timeout=CALL_SECONDS)


def test_channelz_is_there_where_it_is_asked_for(wire):
    with pytest.raises(grpc.RpcError) as error:
        servers_in_channelz(wire.server)
    assert error.value.code() == grpc.StatusCode.UNIMPLEMENTED
    process = harness.ServerProcess("--channelz")
    assert servers_in_channelz(process)[:1] == b"\x0a"
    assert process.stop() == 0, process.log()
