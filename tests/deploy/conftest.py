"""What tests of deployments share: above all, servers that are watched."""

import pathlib
import sys
import tempfile

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
pytest.register_assert_rewrite("deploy_harness", "watched_servers")

import deploy_harness as harness  # noqa: E402
import watched_servers  # noqa: E402


@pytest.fixture(scope="session")
def help_text():
    return harness.help_text()


@pytest.fixture(scope="session")
def watched():
    """Servers under load and the Prometheus that watched it, to the end."""
    with tempfile.TemporaryDirectory() as folder:
        with watched_servers.watched(pathlib.Path(folder)) as seen:
            yield seen
