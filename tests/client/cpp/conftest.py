"""The build folder, for what is tested as programs of their own."""

import re

import pytest
from server_process import running, server_binary


@pytest.fixture(scope="session")
def server():
    """One of their own, as programs leave tensors in it."""
    yield from running()


@pytest.fixture(scope="session")
def build():
    """The build folder."""
    return server_binary().parents[1]


@pytest.fixture(scope="session")
def cached(build):
    """Finds variables in the cache of the build; "" where there is none."""
    cache = (build / "CMakeCache.txt").read_text()

    def find(name):
        found = re.search(rf"^{name}:\w+=(.*)$", cache, re.MULTILINE)
        return found[1] if found else ""

    return find
