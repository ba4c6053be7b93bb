"""tensorctl as a process, and within this one, against a real server."""

import itertools
import json
import os
import subprocess
import sys
from typing import NamedTuple

import pytest
from tensord.tensorctl import main

VARIABLES = ("URL", "TOKEN", "CLIENT_TLS_CA", "CLIENT_TLS_CERT")
_NUMBERS = itertools.count()


class Ran(NamedTuple):
    """How a command ended, and what it wrote."""

    code: int
    out: str
    err: str

    @property
    def lines(self):
        return self.out.splitlines()

    @property
    def json(self):
        return json.loads(self.out)


@pytest.fixture(autouse=True)
def environment(monkeypatch, server):
    """The server of the session is that of the environment."""
    for name in VARIABLES:
        monkeypatch.delenv(f"TENSORD_{name}", raising=False)
    monkeypatch.setenv("TENSORD_URL", server.target)
    monkeypatch.setenv("COLUMNS", "80")
    return monkeypatch


@pytest.fixture
def prefix():
    """What names begin with that no other test uses."""
    return f"ctl-{next(_NUMBERS)}/"


@pytest.fixture
def ctl(capsys):
    """Runs a command line within this process."""

    def run(*arguments):
        code = main([str(one) for one in arguments])
        return Ran(code, *capsys.readouterr())

    return run


@pytest.fixture
def command():
    """The beginning of a command line of a process."""
    return [sys.executable, "-m", "tensord.tensorctl"]


@pytest.fixture
def process(command):
    """Runs a command line in a process of its own, with bytes for text."""

    def run(*arguments, stdin=b"", **options):
        done = subprocess.run(
            [*command, *map(str, arguments)],
            input=stdin,
            capture_output=True,
            timeout=60,
            check=False,
            **options,
        )
        return Ran(done.returncode, done.stdout, done.stderr.decode())

    return run


@pytest.fixture
def terminal(command):
    """Starts a command line on a terminal; gives the process and its end."""
    started = []

    def start(*arguments):
        ours, theirs = os.openpty()
        child = subprocess.Popen(
            [*command, *map(str, arguments)],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        started.append((child, ours))
        return child, ours

    yield start
    for child, ours in started:
        child.kill()
        child.wait()
        os.close(ours)
