"""What operators may look at and change."""

import time

import grpc
import numpy as np
import pytest

import wire_harness as harness
from wire_harness import CALL_SECONDS
from wire_harness import INVALID_ARGUMENT
from wire_harness import MIB
from wire_harness import PERMISSION_DENIED
from wire_harness import UNAUTHENTICATED
from wire_stubs import admin_pb
from wire_stubs import admin_pb_grpc
from wire_stubs import pb

TOKENS = {
    "alice-rw": "alice read,write",
    "alice-admin": "alice admin",
    "bob-rw": "bob read,write",
}
ARRAY = np.zeros(MIB, dtype=np.uint8)


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    path = tmp_path_factory.mktemp("admin") / "tokens"
    path.write_text(harness.token_file(TOKENS))
    process = harness.ServerProcess(
        f"--memory_limit={harness.MEMORY_LIMIT}", f"--auth_tokens={path}",
        "--tenant_memory_limit=25%", "--tenant_max_calls=7", metrics=True)
    yield process
    assert process.stop() == 0, process.log()


class Admin:
    def __init__(self, process, token=None):
        self.channel = grpc.insecure_channel(process.address)
        self.stub = admin_pb_grpc.AdminServiceStub(self.channel)
        self.metadata = harness.bearer(token) if token else ()

    def call(self, method, request):
        return getattr(self.stub, method)(request, metadata=self.metadata,
                                          timeout=CALL_SECONDS)


@pytest.fixture
def admin(guarded):
    admin = Admin(guarded, "alice-admin")
    yield admin
    admin.channel.close()


REQUESTS = {
    "ListTenants": admin_pb.ListTenantsRequest(),
    "TrimMemory": admin_pb.TrimMemoryRequest(),
    "SetLogLevel": admin_pb.SetLogLevelRequest(level=admin_pb.LOG_LEVEL_INFO),
}


def test_every_method_is_among_these():
    service = admin_pb.DESCRIPTOR.services_by_name["AdminService"]
    assert set(REQUESTS) == set(service.methods_by_name)


@pytest.mark.parametrize("method", REQUESTS)
@pytest.mark.parametrize("token, code, reason", [
    (None, UNAUTHENTICATED, "TOKEN_MISSING"),
    ("wrong", UNAUTHENTICATED, "TOKEN_INVALID"),
    ("alice-rw", PERMISSION_DENIED, "ROLE_MISSING"),
])
def test_others_are_refused(guarded, method, token, code, reason):
    admin = Admin(guarded, token)
    with harness.refusal_of() as caught:
        admin.call(method, REQUESTS[method])
    harness.check_refusal(caught.refusal, code, reason)
    admin.channel.close()


def test_shows_what_every_tenant_takes(guarded, admin):
    alice = harness.Wire(guarded, metadata=harness.bearer("alice-rw"))
    bob = harness.Wire(guarded, metadata=harness.bearer("bob-rw"))
    name = alice.create(ARRAY, "a").name
    alice.transform(name, pb.Operation(detach={}), tensor_id="view")
    bob.create(ARRAY, "b")
    answer = admin.call("ListTenants", REQUESTS["ListTenants"])
    usage = {tenant.tenant: tenant for tenant in answer.tenants}
    assert sorted(usage) == ["alice", "bob"]
    device, = usage["alice"].devices
    # The view shares what it shows.
    assert (device.device, device.tensors) == ("cpu", 2)
    assert device.stored_bytes == device.used_bytes == MIB
    assert device.limit_bytes == harness.MEMORY_LIMIT // 4
    assert usage["bob"].devices[0].tensors == 1
    assert usage["bob"].max_calls == 7
    for wire in (alice, bob):
        wire.clear()
        wire.close()


def test_gives_memory_back(guarded, admin):
    alice = harness.Wire(guarded, metadata=harness.bearer("alice-rw"))
    alice.create(ARRAY, "a")
    alice.clear()
    alice.close()
    assert admin.call("TrimMemory", REQUESTS["TrimMemory"]).freed_bytes >= MIB
    assert admin.call("TrimMemory", REQUESTS["TrimMemory"]).freed_bytes == 0


def test_gives_back_what_streams_kept(guarded, admin):
    alice = harness.Wire(guarded, metadata=harness.bearer("alice-rw"))
    name = alice.create(ARRAY, "a").name
    admin.call("TrimMemory", REQUESTS["TrimMemory"])
    assert guarded.metrics()["tensord_chunk_memory_bytes"] == 0
    alice.download(name, dtype=pb.DTYPE_FLOAT64)
    kept = guarded.metrics()["tensord_chunk_memory_bytes"]
    assert kept > 0
    assert admin.call("TrimMemory", REQUESTS["TrimMemory"]).freed_bytes == kept
    assert guarded.metrics()["tensord_chunk_memory_bytes"] == 0
    alice.clear()
    alice.close()


def test_sets_the_log_level(guarded, admin):
    def set_level(level):
        return admin.call("SetLogLevel", admin_pb.SetLogLevelRequest(
            level=level)).previous_level

    def await_line(text):
        deadline = time.monotonic() + 10
        while text not in guarded.log():
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def call_once(request_id):
        with harness.refusal_of():
            admin.stub.ListTenants(
                REQUESTS["ListTenants"], timeout=CALL_SECONDS,
                metadata=(("x-request-id", request_id),))

    call_once("at-info")
    await_line("at-info")
    assert set_level(admin_pb.LOG_LEVEL_ERROR) == admin_pb.LOG_LEVEL_INFO
    call_once("at-error")
    assert set_level(admin_pb.LOG_LEVEL_INFO) == admin_pb.LOG_LEVEL_ERROR
    call_once("at-info-again")
    await_line("at-info-again")
    assert "at-error" not in guarded.log()


@pytest.mark.parametrize("level", [0, 5, -1, 1000])
def test_refuses_levels_that_are_none(guarded, admin, level):
    with harness.refusal_of() as caught:
        admin.call("SetLogLevel", admin_pb.SetLogLevelRequest(level=level))
    assert caught.refusal.code == INVALID_ARGUMENT
    assert caught.refusal.reason == "LOG_LEVEL_INVALID"
    assert caught.refusal.fields == ["level"]


def test_everybody_is_an_operator_where_nobody_is_told_apart(server):
    admin = Admin(server)
    tenant, = admin.call("ListTenants", REQUESTS["ListTenants"]).tenants
    assert tenant.tenant == ""
    assert tenant.devices[0].limit_bytes == harness.MEMORY_LIMIT
    admin.channel.close()
