"""TLS: authorities of the caller's and of the system, and certificates."""

import pathlib

import numpy as np
import pytest
import tensord

FILES = pathlib.Path(__file__).parents[2] / "server/testdata/tls"
ARRAY = np.arange(3 << 18, dtype=np.float32)

# Says whether it could connect, trusting whom the system trusts.
TRUSTING = """
import sys, tensord
try:
    with tensord.connect(f"tensords://{sys.argv[1]}", timeout=5) as c:
        print(c.tensor([1, 2]).tolist())
except (tensord.UnavailableError, tensord.DeadlineExceededError):
    print("refused")
"""


def port(server):
    return server.target.rsplit(":", 1)[1]


@pytest.fixture
def encrypted(start_server):
    return start_server(
        f"--tls_cert={FILES / 'server.pem'}",
        f"--tls_key={FILES / 'server.key'}",
    )


@pytest.fixture
def choosy(start_server):
    """A server that wants certificates of its callers."""
    return start_server(
        f"--tls_cert={FILES / 'server.pem'}",
        f"--tls_key={FILES / 'server.key'}",
        f"--tls_client_ca={FILES / 'ca.pem'}",
    )


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_arrays_travel_encrypted(encrypted, host):
    target = f"tensords://{host}:{port(encrypted)}"
    with tensord.connect(target, tls_ca=FILES / "ca.pem") as c:
        assert np.array_equal(c.from_numpy(ARRAY).numpy(), ARRAY)


def test_only_the_given_authorities_are_trusted(encrypted):
    with pytest.raises((ConnectionError, TimeoutError)):
        tensord.connect(
            encrypted.target, timeout=1, tls_ca=FILES / "stranger.pem"
        )


def test_servers_may_ask_who_calls(choosy):
    def connect(who):
        return tensord.connect(
            choosy.target,
            timeout=5,
            tls_ca=FILES / "ca.pem",
            tls_cert=FILES / f"{who}.pem",
            tls_key=FILES / f"{who}.key",
        )

    with connect("client") as c:
        assert c.tensor([1, 2]).tolist() == [1, 2]
    with pytest.raises((ConnectionError, TimeoutError)):
        connect("stranger")


@pytest.mark.parametrize("trusted", [True, False])
def test_the_system_says_whom_to_trust(
    encrypted, run_python, tmp_path, monkeypatch, trusted
):
    name = "ca" if trusted else "stranger"
    (tmp_path / "ca.pem").write_bytes((FILES / f"{name}.pem").read_bytes())
    # In place of the file of Debian and of the folders of other systems.
    monkeypatch.setenv("GRPC_DEFAULT_SSL_ROOTS_FILE_PATH", "/nowhere.pem")
    monkeypatch.setenv("GRPC_SYSTEM_SSL_ROOTS_DIR", str(tmp_path))
    code, shown, errors = run_python(TRUSTING, f"localhost:{port(encrypted)}")
    assert (code, shown) == (0, "[1, 2]\n" if trusted else "refused\n"), errors
