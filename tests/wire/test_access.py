"""Tokens, tenants and scopes (group G of the bad inputs)."""

import collections
import os
import time

import grpc
import numpy as np
import pytest

import wire_harness as harness
from wire_harness import CALL_SECONDS
from wire_harness import INVALID_ARGUMENT
from wire_harness import MIB
from wire_harness import NOT_FOUND
from wire_harness import PERMISSION_DENIED
from wire_harness import RESOURCE_EXHAUSTED
from wire_harness import UNAUTHENTICATED
from wire_harness import UNIMPLEMENTED
from wire_stubs import pb
from wire_stubs import pb_grpc

ARRAY = np.arange(100, dtype=np.int32)
TENANT_LIMIT = 16 * MIB

# Tokens by their tenant and scopes.
TOKENS = {
    "alice-rw": "alice read,write",
    "alice-r": "alice read",
    "alice-w": "alice write",
    "alice-admin": "alice admin",
    "bob-rw": "bob read,write",
    "expired": "alice read,write 2020-01-01T00:00:00Z",
}


def replace_file(path, text):
    new = path.with_suffix(".new")
    new.write_text(text)
    os.replace(new, path)


@pytest.fixture(scope="module")
def tokens_path(tmp_path_factory):
    path = tmp_path_factory.mktemp("access") / "tokens"
    path.write_text(harness.token_file(TOKENS))
    return path


@pytest.fixture(scope="module")
def guarded(tokens_path):
    process = harness.ServerProcess(
        f"--memory_limit={harness.MEMORY_LIMIT}",
        f"--max_tensor_bytes={harness.MAX_TENSOR_BYTES}",
        f"--auth_tokens={tokens_path}",
        f"--tenant_memory_limit={TENANT_LIMIT}", "--tenant_max_calls=4",
        metrics=True)
    yield process
    assert process.stop() == 0, process.log()
    assert not any(token in process.log() for token in TOKENS)


class Wires(collections.UserDict):
    """Connections by token, made when they are first used."""

    def __init__(self, server):
        super().__init__()
        self._server = server

    def __missing__(self, token):
        self[token] = harness.Wire(self._server,
                                   metadata=harness.bearer(token))
        return self[token]


@pytest.fixture(scope="module")
def wires(guarded):
    wires = Wires(guarded)
    for token in ("alice-rw", "bob-rw"):
        wires[token].create(harness.sentinel_array(), harness.SENTINEL)
    yield wires
    for wire in wires.values():
        wire.close()


@pytest.fixture
def alice(wires):
    yield wires["alice-rw"]
    wires["alice-rw"].clear()


@pytest.fixture
def bob(wires):
    yield wires["bob-rw"]
    wires["bob-rw"].clear()


def stub(guarded, metadata=()):
    channel = grpc.insecure_channel(guarded.address)
    return channel, lambda request: pb_grpc.TensorServiceStub(
        channel).GetTensor(request, metadata=metadata, timeout=CALL_SECONDS)


@pytest.mark.parametrize("metadata, reason", [
    ((), "TOKEN_MISSING"),
    ((("authorization", "alice-rw"),), "TOKEN_MALFORMED"),
    ((("authorization", "Basic YTpi"),), "TOKEN_MALFORMED"),
    ((("authorization", "Bearer"),), "TOKEN_MALFORMED"),
    ((("authorization", "Bearer a b"),), "TOKEN_MALFORMED"),
    ((("authorization", "Bearer alice-rw"),) * 2, "TOKEN_MALFORMED"),
    ((("authorization", "Bearer " + "a" * 4096),), "TOKEN_MALFORMED"),
    ((("authorization", "Bearer alice-ro"),), "TOKEN_INVALID"),
    ((("authorization", "Bearer expired"),), "TOKEN_INVALID"),
], ids=lambda value: value if isinstance(value, str) else None)
@pytest.mark.parametrize("name", ["tensors/sentinel", "", "../.."])
def test_who_shows_no_token_is_nobody(guarded, alice, metadata, reason, name):
    """98 to 100, and 105: before anything else is looked at."""
    channel, get = stub(guarded, metadata)
    with channel, alice.refused(UNAUTHENTICATED, reason):
        get(pb.GetTensorRequest(name=name))


def test_wrong_and_expired_tokens_get_the_same_text(guarded):
    texts = set()
    for token in ("wrong", "expired"):
        channel, get = stub(guarded, harness.bearer(token))
        with channel, harness.refusal_of() as caught:
            get(pb.GetTensorRequest(name="tensors/sentinel"))
        texts.add((caught.refusal.message, caught.refusal.raw_details))
    assert len(texts) == 1


# Every method, with the scopes that it needs.
_NAME = "tensors/sentinel"
CALLS = {
    "CreateTensor": (pb.CreateTensorRequest(raw=harness.raw_array(ARRAY)),
                     {"write"}),
    "QueryUpload": (pb.QueryUploadRequest(
        request_id="01234567-89ab-cdef-0123-456789abcdef"), {"write"}),
    "ReadTensor": (pb.ReadTensorRequest(name=_NAME), {"read"}),
    "TransformTensor": (pb.TransformTensorRequest(
        name=_NAME, operations=[pb.Operation(detach={})]), {"read", "write"}),
    "GetTensor": (pb.GetTensorRequest(name=_NAME), {"read"}),
    "ListTensors": (pb.ListTensorsRequest(), {"read"}),
    "UpdateTensor": (pb.UpdateTensorRequest(
        tensor=pb.Tensor(name=_NAME, requires_grad=True)), {"read", "write"}),
    "DeleteTensor": (pb.DeleteTensorRequest(name="tensors/none",
                                            allow_missing=True), {"write"}),
    "ListDevices": (pb.ListDevicesRequest(), {"read"}),
    "GetServerInfo": (pb.GetServerInfoRequest(), {"read"}),
    "DownloadTensor": (pb.DownloadTensorRequest(name=_NAME), {"read"}),
    "UploadTensor": (harness.upload_head(
        harness.raw_declaration(harness.array_spec(ARRAY), ARRAY.nbytes)),
        {"write"}),
    "ConvertArray": (pb.ConvertArrayRequest(), {"read"}),
    "Batch": (pb.BatchRequest(), set()),
}
SERVICE = pb.DESCRIPTOR.services_by_name["TensorService"]


def test_every_method_is_among_these():
    assert set(CALLS) == set(SERVICE.methods_by_name)


def code_of(guarded, method, token):
    """The refusal that a call with a token ends with, or None."""
    request, _ = CALLS[method]
    descriptor = SERVICE.methods_by_name[method]
    kinds = ("stream" if descriptor.client_streaming else "unary",
             "stream" if descriptor.server_streaming else "unary")
    with grpc.insecure_channel(guarded.address) as channel:
        call = getattr(channel, "_".join(kinds))(harness.SERVICE + method)
        data = request.SerializeToString()
        try:
            result = call(iter([data]) if kinds[0] == "stream" else data,
                          timeout=CALL_SECONDS,
                          metadata=harness.bearer(token))
            if kinds[1] == "stream":
                list(result)
        except grpc.RpcError as error:
            return harness.Refusal(error)
    return None


@pytest.mark.parametrize("method", CALLS)
@pytest.mark.parametrize("token, scopes", [
    ("alice-r", {"read"}), ("alice-w", {"write"}), ("alice-admin", {"admin"}),
    ("alice-rw", {"read", "write"})])
def test_methods_need_their_scopes(guarded, alice, method, token, scopes):
    """101: the scope is asked for before the request is looked at."""
    refusal = code_of(guarded, method, token)
    missing = CALLS[method][1] - scopes
    if missing:
        harness.check_refusal(refusal, PERMISSION_DENIED, "ROLE_MISSING")
        assert refusal.metadata["scope"] in missing
    elif refusal is not None:
        assert refusal.reason != "ROLE_MISSING", refusal


@pytest.mark.parametrize("token, allowed", [
    ("alice-r", [False, True, True, False, False]),
    ("alice-w", [True, False, False, False, True]),
    ("alice-rw", [True, True, True, True, True])])
def test_calls_of_a_batch_need_their_scopes(guarded, alice, token, allowed):
    calls = [
        pb.BatchCall(create_tensor=CALLS["CreateTensor"][0]),
        pb.BatchCall(read_tensor=CALLS["ReadTensor"][0]),
        pb.BatchCall(get_tensor=CALLS["GetTensor"][0]),
        pb.BatchCall(transform_tensor=CALLS["TransformTensor"][0]),
        pb.BatchCall(delete_tensor=CALLS["DeleteTensor"][0]),
    ]
    with grpc.insecure_channel(guarded.address) as channel:
        batch = pb_grpc.TensorServiceStub(channel).Batch
        responses = list(batch(iter([pb.BatchRequest(calls=calls)]),
                               metadata=harness.bearer(token),
                               timeout=CALL_SECONDS))
    results = [result for response in responses for result in response.results]
    assert [result.WhichOneof("result") != "error" for result in results] == (
        allowed)
    assert all(result.error.code in (0, PERMISSION_DENIED.value[0])
               for result in results)


def test_a_batch_needs_a_token(guarded, alice):
    with grpc.insecure_channel(guarded.address) as channel:
        with alice.refused(UNAUTHENTICATED, "TOKEN_MISSING"):
            list(pb_grpc.TensorServiceStub(channel).Batch(
                iter([pb.BatchRequest()]), timeout=CALL_SECONDS))


def test_tenants_have_names_of_their_own(alice, bob):
    alice.create(ARRAY, "same")
    bob.create(ARRAY + 1, "same")
    assert alice.read_bytes("tensors/same") == ARRAY.tobytes()
    assert bob.read_bytes("tensors/same") == (ARRAY + 1).tobytes()
    alice.stub.DeleteTensor(pb.DeleteTensorRequest(name="tensors/same"))
    assert bob.names() == ("tensors/same", "tensors/sentinel")
    assert alice.names() == ("tensors/sentinel",)


def _touch(wire, name):
    """Every call that names a tensor."""
    yield lambda: wire.stub.GetTensor(pb.GetTensorRequest(name=name))
    yield lambda: wire.read(name)
    yield lambda: wire.download(name)
    yield lambda: wire.transform(name, pb.Operation(detach={}))
    yield lambda: wire.stub.UpdateTensor(pb.UpdateTensorRequest(
        tensor=pb.Tensor(name=name, requires_grad=False),
        update_mask={"paths": ["requires_grad"]}))
    yield lambda: wire.stub.DeleteTensor(pb.DeleteTensorRequest(name=name))


def test_what_is_anothers_is_not_told_from_what_is_not(alice, bob):
    """102: same code, reason and text, and nothing in them of the other."""
    alice.create(ARRAY, "there")
    answers = {}
    for name in ("tensors/there", "tensors/where"):
        for index, call in enumerate(_touch(bob, name)):
            with bob.refused(PERMISSION_DENIED, "TENSOR_DENIED",
                             metadata={"name": name}) as caught:
                call()
            assert "(or it might not exist)" in caught.refusal.message
            answers.setdefault(index, set()).add((
                caught.refusal.message.replace("there", "where"),
                caught.refusal.raw_details.replace(b"there", b"where")))
    assert all(len(same) == 1 for same in answers.values()), answers
    assert alice.read_bytes("tensors/there") == ARRAY.tobytes()


def test_what_is_anothers_takes_as_long_as_what_is_not(alice, bob):
    """102: by the median of many; far from what a difference in the work
    would be."""
    alice.create(ARRAY, "there")
    times = {"tensors/there": [], "tensors/where": []}
    for _ in range(300):
        for name, taken in times.items():
            start = time.perf_counter()
            with pytest.raises(grpc.RpcError):
                bob.stub.GetTensor(pb.GetTensorRequest(name=name))
            taken.append(time.perf_counter() - start)
    there, where = (np.median(taken) for taken in times.values())
    assert 0.5 < there / where < 2


def test_anothers_id_can_be_taken_and_is_not_missed(alice, bob):
    alice.create(ARRAY, "there")
    bob.create(ARRAY, "there")
    bob.stub.DeleteTensor(pb.DeleteTensorRequest(name="tensors/where",
                                                 allow_missing=True))


def test_request_ids_are_a_tenants_own(alice, bob):
    request = pb.CreateTensorRequest(
        tensor_id="once", raw=harness.raw_array(ARRAY),
        request_id="01234567-89ab-cdef-0123-456789abcdef")
    first = alice.stub.CreateTensor(request)
    assert alice.stub.CreateTensor(request) == first
    other = bob.stub.CreateTensor(request)
    assert other.storage_id != first.storage_id


def test_anothers_upload_can_not_be_gone_on_with(alice, bob):
    """76: nor is it told from one that is not there."""
    request_id = "00000000-89ab-cdef-0123-456789abcdef"
    declaration = pb.UploadDeclaration(
        tensor_id="part", request_id=request_id,
        array=harness.raw_declaration(harness.array_spec(ARRAY),
                                      ARRAY.nbytes))
    half = [pb.UploadTensorRequest(declaration=declaration),
            pb.UploadTensorRequest(chunk=harness.chunk(ARRAY.tobytes()[:200]))]
    with harness.refusal_of():
        alice.upload(iter(half))
    query = pb.QueryUploadRequest(request_id=request_id)
    assert alice.stub.QueryUpload(query).committed_bytes == 200
    with bob.refused(PERMISSION_DENIED, "UPLOAD_DENIED") as mine:
        bob.stub.QueryUpload(query)
    unknown = request_id.replace("0000", "1111")
    with bob.refused(PERMISSION_DENIED, "UPLOAD_DENIED") as none:
        bob.stub.QueryUpload(pb.QueryUploadRequest(request_id=unknown))
    assert mine.refusal.message.replace("0000", "1111") == (
        none.refusal.message)
    alice.upload(iter([
        half[0], pb.UploadTensorRequest(
            chunk=harness.chunk(ARRAY.tobytes()[200:], 200), finish=True)]))


def test_a_tenant_takes_its_share_and_no_more(alice, bob):
    """110."""
    big = np.zeros(6 * MIB, dtype=np.uint8)
    declaration = harness.raw_declaration(harness.array_spec(big), big.nbytes)
    for _ in range(2):
        alice.upload(harness.upload_messages(declaration, big.tobytes()))
    with alice.refused(RESOURCE_EXHAUSTED, "QUOTA_EXCEEDED",
                       metadata={"limitBytes": str(TENANT_LIMIT),
                                 "requestedBytes": str(6 * MIB)}) as caught:
        alice.upload(harness.upload_messages(declaration, big.tobytes()))
    assert {"QuotaFailure", "RetryInfo"} <= set(caught.refusal.details)
    bob.upload(harness.upload_messages(declaration, big.tobytes()))


def test_tenants_see_their_own_share(alice, bob):
    before = bob.memory_used()
    alice.create(np.zeros(MIB, dtype=np.uint8))
    assert bob.memory_used() == before
    device, = alice.stub.ListDevices(pb.ListDevicesRequest()).devices
    assert device.memory_limit_bytes == TENANT_LIMIT
    assert alice.limits.memory_limit_bytes == TENANT_LIMIT


def test_a_tenant_makes_so_many_calls_and_no_more(alice, bob):
    """111: of one tenant; the other does not notice."""
    head = harness.upload_head(harness.raw_declaration(
        harness.array_spec(ARRAY), ARRAY.nbytes))
    used = alice.memory_used()
    with harness.held_open(head) as first, harness.held_open(
            head) as second, harness.held_open(
            head) as third, harness.held_open(head) as fourth:
        calls = [alice.stub.UploadTensor.future(messages)
                 for messages in (first, second, third)]
        alice.await_memory(used + 3 * ARRAY.nbytes)
        calls.append(alice.stub.UploadTensor.future(fourth))
        with harness.refusal_of() as caught:
            for _ in range(1000):
                alice.stub.GetTensor(
                    pb.GetTensorRequest(name="tensors/sentinel"))
                time.sleep(0.001)
        harness.check_refusal(caught.refusal, RESOURCE_EXHAUSTED,
                              "TOO_MANY_REQUESTS",
                              metadata={"limitCalls": "4"})
        assert "RetryInfo" in caught.refusal.details
        assert bob.read_bytes("tensors/sentinel")
        for call in calls:
            call.cancel()
    deadline = time.monotonic() + harness.SETTLE_SECONDS
    while alice_is_refused(alice):
        assert time.monotonic() < deadline


def alice_is_refused(alice):
    try:
        alice.memory_used()
        return False
    except grpc.RpcError as error:
        assert error.code() == RESOURCE_EXHAUSTED
        return True


def test_series_by_tenant(guarded, alice, bob):
    alice.create(np.zeros(1000, dtype=np.uint8), "a")
    metrics = guarded.metrics()
    assert metrics['tensord_tensors{device="cpu",tenant="alice"}'] == 2
    assert metrics['tensord_tensors{device="cpu",tenant="bob"}'] == 1
    sentinel = harness.sentinel_array().nbytes
    stored = 'tensord_memory_bytes{device="cpu",kind="stored",tenant="%s"}'
    assert metrics[stored % "alice"] == sentinel + 1000
    assert metrics[stored % "bob"] == sentinel


def test_health_needs_no_token_and_reflection_is_off(guarded):
    """106."""
    with grpc.insecure_channel(guarded.address) as channel:
        check = channel.unary_unary("/grpc.health.v1.Health/Check")
        assert check(b"", timeout=CALL_SECONDS) == b"\x08\x01"
        info = channel.stream_stream(
            "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo")
        with pytest.raises(grpc.RpcError) as error:
            list(info(iter([b""]), timeout=CALL_SECONDS))
        assert error.value.code() == UNIMPLEMENTED


def await_log(process, text):
    deadline = time.monotonic() + 20
    while text not in process.log():
        assert time.monotonic() < deadline, process.log()
        time.sleep(0.05)


def test_tokens_are_reloaded_and_broken_files_are_not(tmp_path):
    path = tmp_path / "tokens"
    path.write_text(harness.token_file({"one": "t read,write"}))
    process = harness.ServerProcess(f"--auth_tokens={path}", metrics=True)
    wire = harness.Wire(process, metadata=harness.bearer("one"))
    wire.create(ARRAY, "kept")

    replace_file(path, "hunter2\n")
    await_log(process, "reload_failed")
    assert "hunter2" not in process.log()
    assert wire.read_bytes("tensors/kept") == ARRAY.tobytes()

    replace_file(path, harness.token_file({"two": "t read,write"}))
    await_log(process, "reloaded files=auth_tokens")
    with harness.refusal_of() as caught:
        wire.read("tensors/kept")
    harness.check_refusal(caught.refusal, UNAUTHENTICATED, "TOKEN_INVALID")
    other = harness.Wire(process, metadata=harness.bearer("two"))
    assert other.read_bytes("tensors/kept") == ARRAY.tobytes()
    reloads = 'tensord_reloads_total{files="auth_tokens",result="%s"}'
    metrics = process.metrics()
    assert metrics[reloads % "refused"] == 1
    assert metrics[reloads % "used"] == 1
    wire.close()
    other.close()
    assert process.stop() == 0


def test_tokens_want_tls_where_it_is_required(tmp_path):
    """103."""
    path = tmp_path / "tokens"
    path.write_text(harness.token_file({"one": "t read,write"}))
    socket = tmp_path / "s"
    process = harness.ServerProcess(f"--auth_tokens={path}", "--require_tls",
                                    f"--listen=unix:{socket}")
    get = pb.GetServerInfoRequest()
    with grpc.insecure_channel(f"unix:{socket}") as channel:
        pb_grpc.TensorServiceStub(channel).GetServerInfo(
            get, metadata=harness.bearer("one"), timeout=CALL_SECONDS)
    tcp = next(line.split()[-1] for line in process.log().splitlines()
               if line.startswith("listening on 127."))
    with grpc.insecure_channel(tcp) as channel:
        with harness.refusal_of() as caught:
            pb_grpc.TensorServiceStub(channel).GetServerInfo(
                get, metadata=harness.bearer("one"), timeout=CALL_SECONDS)
    harness.check_refusal(caught.refusal, UNAUTHENTICATED, "TOKEN_EXPOSED")
    assert process.stop() == 0


def test_without_tokens_a_missing_tensor_is_not_found(wire):
    with wire.refused(NOT_FOUND, "TENSOR_NOT_FOUND"):
        wire.read("tensors/none")
    with wire.refused(INVALID_ARGUMENT, "NAME_INVALID"):
        wire.read("none")
