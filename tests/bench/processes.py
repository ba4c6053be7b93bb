"""Servers and clients as processes, and what they cost."""

import dataclasses
import os
import pathlib
import re
import selectors
import subprocess
import tempfile
import time

TICKS = os.sysconf("SC_CLK_TCK")


class ProcessError(Exception):
    """A process died, or did not answer in time."""


class Deadline:
    """The end of the time that everything may take."""

    def __init__(self, seconds):
        self._end = time.monotonic() + seconds

    def left(self):
        left = self._end - time.monotonic()
        if left <= 0:
            raise ProcessError("out of time")
        return left


@dataclasses.dataclass(frozen=True)
class Usage:
    """What processes have taken so far, or between two moments."""

    cpu_seconds: float = 0
    page_faults: int = 0
    context_switches: int = 0

    def __add__(self, other):
        return Usage(*(a + b for a, b in zip(dataclasses.astuple(self),
                                             dataclasses.astuple(other))))

    def __sub__(self, other):
        return Usage(*(a - b for a, b in zip(dataclasses.astuple(self),
                                             dataclasses.astuple(other))))


class Process:
    """A process that ends with this one, and when the block is left."""

    def __init__(self, command, deadline):
        self.name = " ".join(str(word) for word in command)
        self._deadline = deadline
        self._errors = tempfile.TemporaryFile()
        environment = {name: value for name, value in os.environ.items()
                       if not name.startswith("TENSORD_")}
        self._process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "TERM", "--", *map(str, command)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=self._errors, env=environment)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.stdin.close()
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        self._errors.close()

    @property
    def pid(self):
        return self._process.pid

    def errors(self):
        """What was written to the standard error stream."""
        size = os.fstat(self._errors.fileno()).st_size
        return os.pread(self._errors.fileno(), size, 0).decode(
            errors="replace")

    def failure(self, what):
        return ProcessError(
            f"{self.name}: {what}; exit code {self._process.poll()}\n"
            + self.errors()[-2000:])

    def check_running(self):
        if self._process.poll() is not None:
            raise self.failure("ended")

    def _proc(self, path):
        return pathlib.Path(f"/proc/{self.pid}/{path}")

    def usage(self):
        fields = self._proc("stat").read_text().rsplit(")", 1)[1].split()
        switches = 0
        for task in self._proc("task").iterdir():
            try:
                status = (task / "status").read_text()
            except (FileNotFoundError, ProcessLookupError):
                # A thread that has just ended.
                continue
            switches += sum(map(int, re.findall(r"ctxt_switches:\s+(\d+)",
                                                status)))
        return Usage(cpu_seconds=(int(fields[11]) + int(fields[12])) / TICKS,
                     page_faults=int(fields[7]), context_switches=switches)

    def forget_peak(self):
        """Makes peak_bytes count from now."""
        self._proc("clear_refs").write_text("5")

    def peak_bytes(self):
        """The most memory that was resident."""
        status = self._proc("status").read_text()
        return int(re.search(r"VmHWM:\s+(\d+) kB", status).group(1)) * 1024


class Server(Process):
    """Says `listening on ADDRESS` and `ready` once it serves."""

    def __init__(self, command, deadline):
        super().__init__(command, deadline)
        try:
            self.address = self._wait_for_address()
        except ProcessError:
            self.__exit__()
            raise
        self.port = self.address.rsplit(":", 1)[1]

    def _wait_for_address(self):
        while not re.search(r"\bready\b", text := self.errors()):
            self.check_running()
            self._deadline.left()
            time.sleep(0.005)
        return re.search(r"listening on (\S+)", text).group(1)


class Client(Process):
    """Obeys commands, as support.h says."""

    def ask(self, *words):
        """Gives a command; returns the numbers of the answer."""
        line = " ".join(map(str, words))
        try:
            self._process.stdin.write(line.encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self.failure(f"can not be told to {line}") from None
        answer = b""
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            while not answer.endswith(b"\n"):
                if not selector.select(self._deadline.left()):
                    raise self.failure(f"took too long to {line}")
                got = os.read(self._process.stdout.fileno(), 65536)
                if not got:
                    self._process.wait(10)
                    raise self.failure(f"died when told to {line}")
                answer += got
        return [float(word) for word in answer.split()]
