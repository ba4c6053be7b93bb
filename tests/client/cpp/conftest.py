"""A server of this build for what is tested as programs of their own."""

import os
import pathlib
import re
import subprocess
import time

import pytest

ROOT = pathlib.Path(__file__).parents[3]
START_SECONDS = 60


@pytest.fixture(scope="session")
def build():
    """The build folder."""
    server = os.environ.get("TENSORD_SERVER")
    return (
        pathlib.Path(server).parents[1] if server else ROOT / "build/release"
    )


@pytest.fixture(scope="session")
def cached(build):
    """Finds variables in the cache of the build; "" where there is none."""
    cache = (build / "CMakeCache.txt").read_text()

    def find(name):
        found = re.search(rf"^{name}:\w+=(.*)$", cache, re.MULTILINE)
        return found[1] if found else ""

    return find


class Server:
    """A server process on free ports of the loopback."""

    def __init__(self, binary, log):
        self._log = log
        with log.open("wb") as file:
            self._process = subprocess.Popen(
                [binary, "--listen=127.0.0.1:0", "--metrics_listen="],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=file,
            )
        deadline = time.monotonic() + START_SECONDS
        while not re.search(r"^ready", self.log(), re.MULTILINE):
            assert self._process.poll() is None, self.log()
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.01)

    def log(self):
        return self._log.read_text(errors="replace")

    @property
    def target(self):
        return re.search(r"^listening on (\S+)", self.log(), re.MULTILINE)[1]

    def stop(self):
        self._process.terminate()
        return self._process.wait(START_SECONDS)


@pytest.fixture(scope="session")
def server(build, tmp_path_factory):
    log = tmp_path_factory.mktemp("server") / "server.log"
    started = Server(build / "bin/tensord", log)
    yield started
    assert started.stop() == 0, started.log()
