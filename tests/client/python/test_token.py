"""Servers that ask who calls."""

import hashlib
import pickle

import numpy as np
import pytest
import tensord

TOKEN = "dGVuc29yZA=="
OTHERS = "b3RoZXJz"


@pytest.fixture
def guarded(tmp_path, start_server):
    """A server that knows a token of each of two tenants."""
    tokens = tmp_path / "tokens"
    tokens.write_text(
        "".join(
            f"sha256:{hashlib.sha256(token.encode()).hexdigest()} {tenant} "
            "read,write\n"
            for token, tenant in ((TOKEN, "alice"), (OTHERS, "bob"))
        )
    )
    return start_server(f"--auth_tokens={tokens}")


def test_every_call_says_who_calls(guarded):
    with tensord.connect(guarded.target, token=TOKEN) as c:
        large = np.arange(3 << 20, dtype=np.float32)
        assert np.array_equal(c.from_numpy(large).numpy(), large)
        assert c.tensor([1, 2]).to("float16").tolist() == [1, 2]
        assert c.convert(np.ones(3), "int8").tolist() == [1, 1, 1]
        made = c.create_batch([np.zeros(2), np.ones(2)])
        assert [one.tolist() for one in made] == [[0, 0], [1, 1]]


@pytest.mark.parametrize(
    ("token", "reason"), [(None, "TOKEN_MISSING"), ("b3RoZXI", "TOKEN_INVALID")]
)
def test_strangers_are_refused(guarded, token, reason):
    with pytest.raises(PermissionError) as caught:
        tensord.connect(guarded.target, token=token)
    assert isinstance(caught.value, tensord.PermissionDeniedError)
    assert (caught.value.code, caught.value.reason) == (
        "UNAUTHENTICATED",
        reason,
    )


def test_tensors_of_others_are_as_if_they_were_not_there(guarded):
    with (
        tensord.connect(guarded.target, token=TOKEN) as alice,
        tensord.connect(guarded.target, token=OTHERS) as bob,
    ):
        alice.tensor([1], name="a")
        assert "a" in alice
        assert "a" not in bob
        assert list(bob) == []
        for use in (lambda: bob["a"], lambda: bob.__delitem__("a")):
            with pytest.raises(KeyError) as caught:
                use()
            assert isinstance(caught.value, tensord.TensorDeniedError)
            assert isinstance(caught.value, PermissionError)
            assert caught.value.reason == "TENSOR_DENIED"
            copy = pickle.loads(pickle.dumps(caught.value))
            assert type(copy) is tensord.TensorDeniedError
            assert str(copy) == str(caught.value)
        bob.tensor([2], name="a")
        assert alice["a"].tolist() == [1]
        assert bob["a"].tolist() == [2]


@pytest.mark.parametrize("token", ["a b", "===", "ä", "a\n", "a\0b"])
def test_what_is_no_token(token):
    with pytest.raises(ValueError, match="RFC 6750") as caught:
        tensord.connect("localhost:1", token=token)
    assert caught.value.reason == "TOKEN_MALFORMED"
    assert token not in str(caught.value)


def test_tokens_are_shown_to_nobody():
    with pytest.raises(ValueError, match="use TLS") as caught:
        tensord.connect("192.0.2.1:1", token=TOKEN)
    assert caught.value.reason == "TOKEN_EXPOSED"
    assert TOKEN not in str(caught.value)
    # 192.0.2.0/24 belongs to nobody: nothing answers.
    with pytest.raises((tensord.DeadlineExceededError, ConnectionError)):
        tensord.connect("192.0.2.1:1", token=TOKEN, insecure=True, timeout=0.1)
