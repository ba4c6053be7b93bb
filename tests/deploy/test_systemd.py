"""The service of systemd, as far as it can be tried without systemd running."""

import errno
import os
import pathlib
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time

import pytest
from server_process import is_sanitized, server_binary

sys.path.insert(0, str(pathlib.Path(__file__).parent))

import confined
from deploy_harness import run

ROOT = pathlib.Path(__file__).parents[2]
FOLDER = ROOT / "deploy/systemd"
UNIT = FOLDER / "tensord.service"
# Tenths of what `systemd-analyze security` counts, of 10 at most. With GPUs
# the service sees devices, and the driver makes code.
MOST_EXPOSED = 12
MOST_EXPOSED_WITH_CUDA = 16
PATIENCE = 60

pytestmark = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="there is no systemd"
)


def settings():
    return confined.settings_of(UNIT.read_text())


@pytest.fixture(params=[False, True], ids=["cpu", "cuda"])
def unit(request, tmp_path):
    """The unit, whose program is there, and how exposed it may be."""
    path = tmp_path / "tensord.service"
    text = UNIT.read_text()
    program = "ExecStart=/usr/local/bin/tensord"
    assert program in text
    path.write_text(text.replace(program, f"ExecStart={server_binary()}"))
    if request.param:
        (tmp_path / "tensord.service.d").mkdir()
        shutil.copy(FOLDER / "cuda.conf", tmp_path / "tensord.service.d")
        return path, MOST_EXPOSED_WITH_CUDA
    return path, MOST_EXPOSED


def test_has_no_mistakes(unit):
    path, _ = unit
    done = run("systemd-analyze", "verify", "--man=no", path)
    assert (done.returncode, done.stdout) == (0, "")


def test_is_exposed_to_little(unit):
    path, most = unit
    done = run(
        *("systemd-analyze", "security", "--no-pager", "--offline=true"),
        *(f"--threshold={most}", path),
    )
    assert done.returncode == 0, done.stdout


def test_makes_its_user(tmp_path):
    (tmp_path / "etc").mkdir()
    done = run(
        "systemd-sysusers",
        f"--root={tmp_path}",
        FOLDER / "tensord.sysusers",
    )
    assert done.returncode == 0, done.stdout
    users = (tmp_path / "etc/passwd").read_text()
    (user,) = settings()["User"]
    assert re.match(rf"{user}:.*:/usr/sbin/nologin$", users)
    (group,) = settings()["Group"]
    assert f"{group}:" in (tmp_path / "etc/group").read_text()


def test_knows_the_exit_codes_of_the_server():
    bad = run(server_binary(), "--bogus")
    (never,) = settings()["RestartPreventExitStatus"]
    assert never.split() == [str(bad.returncode)]
    (good,) = settings()["SuccessExitStatus"]
    assert {*map(int, good.split())} == {
        128 + signal.SIGINT,
        128 + signal.SIGTERM,
    }
    assert settings()["Restart"] == ["on-failure"]


def test_waits_longer_than_the_server_drains():
    reference = run(server_binary(), "--help").stdout
    drain = re.search(
        r"--drain_seconds=.*?Default: (\d+)\.", reference, re.DOTALL
    )
    (patience,) = settings()["TimeoutStopSec"]
    assert int(patience) >= int(drain[1]) + 5


def test_allows_as_many_files_as_the_pages_say():
    (files,) = settings()["LimitNOFILE"]
    page = (ROOT / "deploy/operating.md").read_text()
    assert f"`ulimit -Hn` of {files}" in page


def test_the_settings_are_those_of_the_server():
    text = (FOLDER / "tensord.env").read_text()
    variables = re.findall(r"^#?(TENSORD_\w+)=\S+$", text, re.MULTILINE)
    assert len(variables) == text.count("TENSORD_") > 3
    reference = run(server_binary(), "--help").stdout
    assert {*variables} <= {*re.findall(r"TENSORD_\w+", reference)}
    (path,) = settings()["EnvironmentFile"]
    assert path == "-/etc/tensord/tensord.env"
    assert "/run/tensord/" in text
    assert settings()["RuntimeDirectory"] == ["tensord"]


def test_the_page_installs_what_the_service_names(tmp_path):
    page = (ROOT / "deploy/operating.md").read_text()
    commands = re.findall(r"^\$ (install .*)$", page, re.MULTILINE)
    assert len(commands) == 4
    (tmp_path / "usr/local/bin").mkdir(parents=True)
    for command in commands:
        words = [
            f"{tmp_path}{word}" if word.startswith("/") else word
            for word in shlex.split(command)
        ]
        # Of a sanitized tree, another one.
        words = [
            str(server_binary())
            if word == "build/release/bin/tensord"
            else word
            for word in words
        ]
        done = run(*words)
        assert done.returncode == 0, done.stdout
    (program,) = settings()["ExecStart"]
    assert os.access(f"{tmp_path}{program}", os.X_OK)
    (variables,) = settings()["EnvironmentFile"]
    assert pathlib.Path(f"{tmp_path}{variables[1:]}").is_file()
    systemd = tmp_path / "etc/systemd/system"
    assert (systemd / "tensord.service").read_text() == UNIT.read_text()
    assert (systemd / "tensord.service.d/cuda.conf").is_file()


class Service:
    """The server, started as the unit has it as far as seccomp goes."""

    def __init__(self, folder):
        self._folder = folder
        self._supervisor = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._supervisor.bind(str(folder / "notify"))
        self._supervisor.settimeout(PATIENCE)
        with (folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                confined_command(
                    server_binary(),
                    "--listen=127.0.0.1:0",
                    f"--listen=unix:{folder}/tensord.sock",
                    "--metrics_listen=127.0.0.1:0",
                ),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, "NOTIFY_SOCKET": str(folder / "notify")},
            )

    def log(self):
        return (self._folder / "log").read_text()

    def next_state(self):
        """What it tells its supervisor next."""
        end = time.monotonic() + PATIENCE
        self._supervisor.settimeout(0.1)
        while True:
            try:
                return self._supervisor.recv(256).decode()
            except TimeoutError:
                assert self._process.poll() is None, self.log()
                assert time.monotonic() < end, self.log()

    @property
    def address(self):
        return re.search(r"^listening on (\S+)", self.log(), re.MULTILINE)[1]

    def stop(self):
        self._process.terminate()
        return self._process.wait(PATIENCE)

    def close(self):
        self._process.kill()
        self._process.wait(PATIENCE)
        self._supervisor.close()


def confined_command(*command):
    script = pathlib.Path(confined.__file__)
    return [sys.executable, script, UNIT, *map(str, command)]


@pytest.fixture
def service(tmp_path):
    if is_sanitized():
        pytest.skip("sanitizers make system calls of their own")
    started = Service(tmp_path)
    yield started
    started.close()


def test_the_server_needs_no_more_than_it_may(service, tmp_path):
    assert service.next_state() == "READY=1"
    for address in (service.address, f"unix:{tmp_path}/tensord.sock"):
        tour = run(sys.executable, ROOT / "deploy/tour.py", address)
        assert tour.returncode == 0, tour.stdout
        probe = run(
            *confined_command(
                server_binary(), "--probe", f"--listen={address}"
            )
        )
        assert (probe.returncode, probe.stdout) == (0, "")
    code = service.stop()
    assert service.next_state() == "STOPPING=1"
    assert code == 0, service.log()
    assert "severity=error" not in service.log()


@pytest.mark.parametrize(
    "forbidden",
    [
        "os.nice(1)",
        "os.chroot('/')",
        "socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)",
        "mmap.mmap(-1, 4096, prot=mmap.PROT_WRITE | mmap.PROT_EXEC)",
    ],
)
def test_what_confines_it_does(forbidden):
    program = (
        "import mmap, os, socket, sys\n"
        "socket.socket(socket.AF_INET).close()\n"
        "mmap.mmap(-1, 4096, prot=mmap.PROT_WRITE).close()\n"
        f"try:\n    {forbidden}\n"
        "except OSError as error:\n    sys.exit(error.errno)\n"
    )
    done = run(*confined_command(sys.executable, "-c", program))
    assert done.returncode == errno.EPERM, done.stdout
