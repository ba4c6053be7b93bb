"""The server of this build, as a process."""

import os
import pathlib
import re
import subprocess
import tempfile
import time
import urllib.request

ROOT = pathlib.Path(__file__).parents[1]
START_SECONDS = 60
# A machine that runs tests side by side is overloaded, which servers would
# tell some of the calls.
SETTINGS = {"TENSORD_MAX_QUEUE_DELAY_MILLISECONDS": "0"}


def server_binary():
    """The server of this build."""
    built = os.environ.get("TENSORD_SERVER")
    return pathlib.Path(built or ROOT / "build/release/bin/tensord").absolute()


def is_sanitized():
    """Whether the server of this build is slow because of a sanitizer."""
    return bool({"asan", "tsan"} & {*server_binary().parts})


def environment(more=None):
    """What servers of tests inherit: SETTINGS, and no others of whoever runs
    the tests; with the variables of `more`."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("TENSORD_")
    }
    return {**inherited, **SETTINGS, **(more or {})}


class Server:
    """A server process on free ports of the loopback."""

    def __init__(self, folder, *flags, binary=None):
        binary = binary or server_binary()
        self._log = pathlib.Path(folder) / "server.log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [
                    binary,
                    "--listen",
                    "127.0.0.1:0",
                    "--metrics_listen",
                    "127.0.0.1:0",
                    *flags,
                ],
                stderr=log,
                env=environment(),
            )

    def wait_until_ready(self):
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

    def metrics(self):
        """All samples of /metrics, by name with labels."""
        address = re.search(r"metrics on (\S+)", self.log())[1]
        address = address.removeprefix("http://").removesuffix("/metrics")
        with urllib.request.urlopen(f"http://{address}/metrics") as page:
            lines = page.read().decode().splitlines()
        samples = (one.rsplit(" ", 1) for one in lines if one[:1] != "#")
        return {name: float(value) for name, value in samples}

    def handled(self):
        """How many calls of each method have ended."""
        counts = {}
        for name, value in self.metrics().items():
            if name.startswith("grpc_server_handled_total"):
                method = re.search(r'grpc_method="(\w+)"', name)[1]
                counts[method] = counts.get(method, 0) + int(value)
        return counts

    def stop(self):
        self._process.terminate()
        return self._process.wait(START_SECONDS)


def running(binary=None):
    """A server until the end of the session."""
    with tempfile.TemporaryDirectory() as folder:
        started = Server(folder, binary=binary)
        try:
            started.wait_until_ready()
            yield started
        finally:
            assert started.stop() == 0, started.log()
