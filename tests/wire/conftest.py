"""One server for all tests that need no special flags."""

import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
pytest.register_assert_rewrite("wire_harness")

import wire_harness as harness  # noqa: E402


@pytest.fixture(scope="session")
def server():
    process = harness.ServerProcess(
        f"--memory_limit={harness.MEMORY_LIMIT}",
        f"--max_tensor_bytes={harness.MAX_TENSOR_BYTES}")
    yield process
    status = process.stop()
    assert status == 0, process.log()


@pytest.fixture(scope="session")
def connection(server):
    wire = harness.Wire(server)
    wire.create(harness.sentinel_array(), harness.SENTINEL)
    yield wire
    wire.close()


@pytest.fixture
def wire(connection):
    """A connection to a server that holds the sentinel tensor alone."""
    yield connection
    connection.reset()


@pytest.fixture(scope="session")
def roomy():
    """A server whose limits are far beyond what the machine has."""
    process = harness.ServerProcess(f"--memory_limit={1 << 40}",
                                    f"--max_tensor_bytes={1 << 40}")
    wire = harness.Wire(process)
    wire.create(harness.sentinel_array(), harness.SENTINEL)
    yield wire
    wire.close()
    status = process.stop()
    assert status == 0, process.log()
