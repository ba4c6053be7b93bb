"""TLS: certificates of both sides, tenants by certificate, reloading."""

import os
import shutil
import ssl
import time

import grpc
import numpy as np
import pytest

import wire_harness as harness
from wire_harness import CALL_SECONDS
from wire_stubs import REPOSITORY
from wire_stubs import pb
from wire_stubs import pb_grpc

FILES = REPOSITORY / "tests/server/testdata/tls"
ARRAY = np.arange(100, dtype=np.int32)


def read(name):
    return (FILES / name).read_bytes()


@pytest.fixture
def folder(tmp_path):
    for name in ("server.pem", "server.key", "ca.pem"):
        shutil.copy(FILES / name, tmp_path)
    return tmp_path


def start(folder, *flags):
    process = harness.ServerProcess(
        f"--tls_cert={folder / 'server.pem'}",
        f"--tls_key={folder / 'server.key'}", *flags, metrics=True)
    host, port = process.address.rsplit(":", 1)
    return process, (host, int(port))


def credentials(client=None):
    if client is None:
        return grpc.ssl_channel_credentials(read("ca.pem"))
    return grpc.ssl_channel_credentials(
        read("ca.pem"), read(f"{client}.key"), read(f"{client}.pem"))


def shown(address):
    """The certificate that a server shows to who connects."""
    return ssl.PEM_cert_to_DER_cert(ssl.get_server_certificate(address))


def replace(folder, name, content):
    new = folder / "new"
    new.write_bytes(content)
    os.replace(new, folder / name)


def await_log(process, text, count=1):
    deadline = time.monotonic() + 20
    while process.log().count(text) < count:
        assert time.monotonic() < deadline, process.log()
        time.sleep(0.05)


def der(name):
    return ssl.PEM_cert_to_DER_cert(read(name).decode())


def test_certificates_are_reloaded_and_broken_ones_are_not(folder):
    process, address = start(folder)
    wire = harness.Wire(process, credentials=credentials())
    wire.create(ARRAY, "kept")
    assert shown(address) == der("server.pem")

    # A key of another certificate, and what is none.
    replace(folder, "server.key", read("client.key"))
    await_log(process, "reload_failed")
    replace(folder, "server.key", b"nonsense")
    await_log(process, "reload_failed", 2)
    assert shown(address) == der("server.pem")

    replace(folder, "server.key", read("client.key"))
    replace(folder, "server.pem", read("client.pem"))
    await_log(process, "reloaded files=tls")
    assert shown(address) == der("client.pem")
    # Connections that are there stay.
    assert wire.read_bytes("tensors/kept") == ARRAY.tobytes()

    replace(folder, "server.key", read("server.key"))
    replace(folder, "server.pem", read("server.pem"))
    await_log(process, "reloaded files=tls", 2)
    other = harness.Wire(process, credentials=credentials())
    assert other.read_bytes("tensors/kept") == ARRAY.tobytes()
    wire.close()
    other.close()
    assert process.stop() == 0
    assert process.log().count("BEGIN") == 0


def test_certificates_change_under_load(folder):
    """No handshake fails while both are replaced again and again."""
    process, _ = start(folder)
    for index in range(40):
        name = ("client", "server")[index % 2]
        replace(folder, "server.pem", read(f"{name}.pem"))
        replace(folder, "server.key", read(f"{name}.key"))
        host, port = process.address.rsplit(":", 1)
        assert shown((host, int(port))) in (der("server.pem"),
                                            der("client.pem"))
        time.sleep(0.05)
    assert process.stop() == 0


def test_clients_without_a_good_certificate_do_not_get_in(folder):
    """104: the handshake fails."""
    process, _ = start(folder, f"--tls_client_ca={folder / 'ca.pem'}")
    for client in (None, "stranger"):
        with grpc.secure_channel(process.address,
                                 credentials(client)) as channel:
            with pytest.raises(grpc.RpcError) as error:
                pb_grpc.TensorServiceStub(channel).GetServerInfo(
                    pb.GetServerInfoRequest(), timeout=5)
            assert error.value.code() == harness.UNAVAILABLE
    wire = harness.Wire(process, credentials=credentials("client"))
    wire.create(ARRAY, "mine")
    tenants = [name for name in process.metrics() if
               name.startswith("tensord_tensors{") and "tenant=" in name]
    assert len(tenants) == 1
    assert process.metrics()[tenants[0]] == 1
    wire.close()
    assert process.stop() == 0


def test_a_certificate_in_the_list_stands_for_a_token(folder):
    # What the certificate is called is what its tenant is called without one.
    process, _ = start(folder, f"--tls_client_ca={folder / 'ca.pem'}")
    wire = harness.Wire(process, credentials=credentials("client"))
    wire.create(ARRAY, "mine")
    series = next(name for name in process.metrics()
                  if name.startswith("tensord_tensors{") and "tenant" in name)
    name = series.split('tenant="')[1].split('"')[0]
    wire.close()
    assert process.stop() == 0

    tokens = folder / "tokens"
    tokens.write_text(f"cert:{name} team read\n")
    process, _ = start(folder, f"--tls_client_ca={folder / 'ca.pem'}",
                       f"--auth_tokens={tokens}")
    wire = harness.Wire(process, credentials=credentials("client"))
    with harness.refusal_of() as caught:
        wire.create(ARRAY)
    harness.check_refusal(caught.refusal, harness.PERMISSION_DENIED,
                          "ROLE_MISSING")
    wire.close()
    assert process.stop() == 0


def test_a_plaintext_client_does_not_harm_others(folder):
    process, address = start(folder)
    with grpc.insecure_channel(process.address) as channel:
        with pytest.raises(grpc.RpcError):
            pb_grpc.TensorServiceStub(channel).GetServerInfo(
                pb.GetServerInfoRequest(), timeout=2)
    with grpc.secure_channel(process.address, credentials()) as channel:
        pb_grpc.TensorServiceStub(channel).GetServerInfo(
            pb.GetServerInfoRequest(), timeout=CALL_SECONDS)
    assert shown(address) == der("server.pem")
    assert process.stop() == 0
