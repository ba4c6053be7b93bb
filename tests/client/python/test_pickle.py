"""Handles that travel to other processes."""

import copyreg
import hashlib
import multiprocessing
import pickle
import secrets
import subprocess
import sys

import numpy as np
import pytest
import tensord

READ = """
import pickle, sys
tensor = pickle.load(sys.stdin.buffer)
print(type(tensor).__name__, tensor.tolist(), tensor.name is None)
"""


def read_elsewhere(data, **environment):
    done = subprocess.run(
        [sys.executable, "-c", READ],
        input=data,
        capture_output=True,
        timeout=60,
        check=False,
        env=environment,
    )
    return done.stdout.decode(), done.stderr.decode()


def test_a_handle_works_in_another_process(c):
    with c.tensor([1.5, 2.5], name="shared") as tensor:
        printed, errors = read_elsewhere(pickle.dumps(tensor))
        assert (printed, errors) == ("RemoteTensor [1.5, 2.5] False\n", "")
        # It does not own the tensor.
        assert "shared" in c


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_handle_in_the_same_process_is_of_the_same_client(server, protocol):
    with tensord.connect(server.target) as client:
        tensor = client.tensor([1, 2])
        again = pickle.loads(pickle.dumps(tensor, protocol))
        assert again is not tensor
        assert again._client._where == client._where
        assert again.id == tensor.id
        del again
        assert tensor.tolist() == [1, 2]


def test_processes_of_a_pool_take_handles(c):
    tensors = [c.tensor(np.full(3, n), name=f"pool/{n}") for n in range(4)]
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        sums = pool.map(tensord.RemoteTensor.tolist, tensors)
    assert sums == [[n] * 3 for n in range(4)]
    c.delete_batch(tensors)


def test_what_is_gone_is_not_found(c):
    tensor = c.tensor([1], name="gone")
    pickled = pickle.dumps(tensor)
    tensor.delete()
    with pytest.raises(tensord.NotFoundError, match="gone"):
        pickle.loads(pickled)
    with pytest.raises(RuntimeError, match="was deleted"):
        pickle.dumps(tensor)


def test_tokens_are_not_pickled(start_server, tmp_path):
    secret = secrets.token_urlsafe()
    digest = hashlib.sha256(secret.encode()).hexdigest()
    tokens = tmp_path / "tokens"
    tokens.write_text(f"sha256:{digest} team read,write\n")
    tokens.chmod(0o600)
    server = start_server("--auth_tokens", str(tokens))
    with tensord.connect(server.target, token=secret) as client:
        pickled = pickle.dumps(client.tensor([1, 2], name="t"))
        assert secret.encode() not in pickled
        printed, errors = read_elsewhere(pickled, TENSORD_TOKEN=secret)
        assert "TOKEN_MISSING" in errors or "token" in errors
        assert secret not in errors
        printed, errors = read_elsewhere(
            pickled, TENSORD_TOKEN=secret, TENSORD_URL=server.target
        )
        assert (printed, errors) == ("RemoteTensor [1, 2] False\n", "")


def test_nothing_private_is_named_in_pickles(c):
    # Private modules may move between versions.
    pickled = pickle.dumps(c.tensor([1]))
    assert b"tensord._" not in pickled
    assert copyreg.__name__.encode() not in pickled
