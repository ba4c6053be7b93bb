"""Where clients connect to: addresses, URLs, and the environment."""

import asyncio
import hashlib

import pytest
import tensord
import tensord.aio
from tensord._endpoint import Endpoint, endpoint

ENVIRONMENT = {
    "TENSORD_URL": "tensords://tensors.example:1234",
    "TENSORD_TOKEN": "abc",
    "TENSORD_CLIENT_TLS_CA": "/ca",
    "TENSORD_CLIENT_TLS_CERT": "/cert",
    "TENSORD_CLIENT_TLS_KEY": "/key",
}
NOTHING = (False, None, None, None, None)


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    for name in ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


@pytest.mark.parametrize(
    ("target", "address", "tls"),
    [
        ("localhost:1", "localhost:1", False),
        ("unix:/run/tensord.sock", "unix:/run/tensord.sock", False),
        ("unix:///run/tensord.sock", "unix:/run/tensord.sock", False),
        ("unix:relative", "unix:relative", False),
        ("tensord://localhost:1", "localhost:1", False),
        ("tensord://localhost", "localhost:50051", False),
        ("tensord://localhost/", "localhost:50051", False),
        ("tensords://a.example:7", "a.example:7", True),
        ("tensord://[::1]:9", "[::1]:9", False),
        ("tensords://[::1]", "[::1]:50051", True),
    ],
)
def test_targets(target, address, tls):
    assert endpoint(target, *NOTHING) == Endpoint(address, tls, "", "", "", "")


@pytest.mark.parametrize(
    ("target", "why"),
    [
        ("http://localhost:1", "unknown scheme 'http'"),
        ("tensord://", "no host"),
        ("tensord://:1", "no host"),
        ("tensord://localhost:99999", "no URL"),
        ("tensord://localhost:x", "no URL"),
        ("tensord://[::1", "no URL"),
        ("tensord://localhost/w", "more than a host"),
        ("tensord://localhost?tls=1", "more than a host"),
        ("tensord://localhost#a", "more than a host"),
        ("tensord://secret@localhost", "use token="),
        ("localhost", "localhost"),
        ("", "''"),
    ],
)
def test_what_is_no_target(target, why):
    for connect in (
        lambda: tensord.connect(target),
        lambda: asyncio.run(tensord.aio.connect(target)),
    ):
        with pytest.raises(ValueError, match="target|URL|host") as caught:
            connect()
        assert caught.value.reason == "TARGET_INVALID"
        assert "secret" not in str(caught.value)
        if target:
            assert why in str(caught.value)


def test_a_target_is_text():
    with pytest.raises(TypeError, match="target must be str, not int"):
        tensord.connect(50051)


def test_the_environment_is_asked_where_no_target_is_given(environment):
    assert endpoint(None, *NOTHING).target == "localhost:50051"
    for name, value in ENVIRONMENT.items():
        environment.setenv(name, value)
    assert endpoint(None, *NOTHING) == Endpoint(
        "tensors.example:1234", True, "/ca", "/cert", "/key", "abc"
    )
    assert endpoint(None, False, "/mine", None, None, "mine") == Endpoint(
        "tensors.example:1234", True, "/mine", "/cert", "/key", "mine"
    )


# A token is for its server, not for whichever one a program connects to.
def test_a_target_hides_the_environment(environment):
    for name, value in ENVIRONMENT.items():
        environment.setenv(name, value)
    plain = Endpoint("localhost:1", False, "", "", "", "")
    assert endpoint("localhost:1", *NOTHING) == plain


def test_connects_by_the_environment(environment, tmp_path, start_server):
    tokens = tmp_path / "tokens"
    digest = hashlib.sha256(b"abc").hexdigest()
    tokens.write_text(f"sha256:{digest} alice read,write\n")
    server = start_server(f"--auth_tokens={tokens}")
    environment.setenv("TENSORD_URL", f"tensord://{server.target}")
    environment.setenv("TENSORD_TOKEN", "abc")
    with tensord.connect() as client:
        assert client.tensor([1]).tolist() == [1]
        assert repr(client) == f"<tensord.Client of {server.target}>"

    async def call():
        async with await tensord.aio.connect() as client:
            return await client.tensor([2]).tolist()

    assert asyncio.run(call()) == [2]
