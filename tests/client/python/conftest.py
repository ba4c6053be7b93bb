"""More servers, and a client of the session's."""

import subprocess
import sys

import pytest
import tensord
from server_process import Server, running, server_binary


@pytest.fixture(scope="session")
def server():
    yield from running()


@pytest.fixture(scope="session")
def empty_server():
    """A server that tests leave without tensors."""
    yield from running()


@pytest.fixture(scope="session")
def gpu_server():
    """A server with two stand-ins for CUDA devices, of 256 MiB each."""
    yield from running(server_binary().parents[1] / "tests/tensord_stand_in")


@pytest.fixture(scope="session")
def gpu(gpu_server):
    with tensord.connect(gpu_server.target) as client:
        yield client


@pytest.fixture
def start_server(tmp_path):
    """Starts servers with flags of their own, which a test may spoil."""
    started = []

    def start(*flags):
        folder = tmp_path / str(len(started))
        folder.mkdir()
        started.append(Server(folder, *flags))
        started[-1].wait_until_ready()
        return started[-1]

    yield start
    for server in started:
        server.stop()


@pytest.fixture(scope="session")
def c(server):
    with tensord.connect(server.target) as client:
        yield client


@pytest.fixture
def run_python():
    """Runs a script in an interpreter of its own; gives what it printed."""

    def run(script, *arguments):
        done = subprocess.run(
            [sys.executable, "-c", script, *arguments],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return done.returncode, done.stdout, done.stderr

    return run
