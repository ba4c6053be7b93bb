"""HAProxy with the configuration that is shipped, in front of a server."""

import contextlib
import os
import pathlib
import shutil
import socket
import statistics
import subprocess
import tempfile
import threading
import time

import grpc

import process_usage
import wire_harness as harness
from wire_stubs import REPOSITORY
from wire_stubs import pb

CONFIGURATION = REPOSITORY / "deploy/haproxy/haproxy.cfg"
TLS = REPOSITORY / "tests/server/testdata/tls"
AUTHORITY = TLS / "ca.pem"
# As configured.
CONNECTIONS_PER_SOURCE = 100


def free_address():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return "127.0.0.1:%d" % taken.getsockname()[1]


def haproxy_binary():
    # Debian puts it where only root looks.
    path = os.environ["PATH"] + os.pathsep + "/usr/sbin"
    return shutil.which("haproxy", path=path)


class Front:
    """HAProxy in front of a server on a Unix socket."""

    def __init__(self, folder, socket_path, **settings):
        certificate = pathlib.Path(folder) / "front.pem"
        certificate.write_text((TLS / "server.pem").read_text() +
                               (TLS / "server.key").read_text())
        self.address = free_address()
        self.environment = {
            "PATH": os.environ["PATH"],
            "TENSORD_FRONT_LISTEN": self.address,
            "TENSORD_FRONT_CERT": str(certificate),
            "TENSORD_FRONT_SERVER": f"unix@{socket_path}",
            **settings}
        self._log = tempfile.TemporaryFile("w+")
        self._process = subprocess.Popen(
            [haproxy_binary(), "-db", "-f", CONFIGURATION],
            env=self.environment, stdout=self._log, stderr=self._log)

    @property
    def pid(self):
        return self._process.pid

    def log(self):
        self._log.seek(0)
        return self._log.read()

    def check_configuration(self):
        """What HAProxy has to say about it."""
        done = subprocess.run(
            [haproxy_binary(), "-c", "-f", CONFIGURATION],
            env=self.environment, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout + done.stderr

    def channel(self, certificate=None, options=()):
        key = certificate and certificate.with_suffix(".key").read_bytes()
        return grpc.secure_channel(
            self.address,
            grpc.ssl_channel_credentials(
                AUTHORITY.read_bytes(), key,
                certificate and certificate.read_bytes()),
            options=(("grpc.max_receive_message_length", -1), *options))

    def stop(self):
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()


class WellBehaved:
    """What a client saw that read the sentinel all the while."""

    def __init__(self):
        self.seconds = []
        self.errors = []

    def check(self):
        assert not self.errors, self.errors[:3]
        assert len(self.seconds) >= 10
        # A tenth of a second is a hundred times what it takes.
        assert statistics.median(self.seconds) < 0.1, self.seconds


@contextlib.contextmanager
def well_behaved_client(wire):
    seen = WellBehaved()
    over = threading.Event()
    expected = harness.sentinel_array().tobytes()

    def run():
        while not over.wait(0.01):
            begin = time.monotonic()
            try:
                data = wire.read_bytes(f"tensors/{harness.SENTINEL}")
                if data != expected:
                    seen.errors.append("other bytes")
            except grpc.RpcError as error:
                seen.errors.append(str(error))
            seen.seconds.append(time.monotonic() - begin)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        # Before, during and after what the block does.
        time.sleep(0.3)
        yield seen
        time.sleep(0.3)
    finally:
        over.set()
        thread.join()


@contextlib.contextmanager
def unnoticed(wire):
    """The block takes nothing of the server, and its clients see nothing."""
    pid = wire.server.pid
    before = wire.state()
    resident = process_usage.resident_bytes(pid)
    files = process_usage.open_files(pid)
    with well_behaved_client(wire) as seen:
        cpu = process_usage.cpu_seconds(pid)
        calls = len(seen.seconds)
        yield
        cpu = process_usage.cpu_seconds(pid) - cpu
        calls = len(seen.seconds) - calls
    seen.check()
    if not process_usage.is_sanitized(pid):
        # A call takes less than a millisecond, and the sweeper its part.
        assert cpu < 0.1 + 0.001 * calls, (cpu, calls)
        assert process_usage.resident_bytes(pid) - resident < 16 << 20
    # Those of the attacker, if he made calls.
    assert process_usage.open_files(pid) - files <= CONNECTIONS_PER_SOURCE + 2
    wire.check_unharmed(before)


def wait_until_it_serves(channel, seconds=15):
    stub = harness.pb_grpc.TensorServiceStub(channel)
    deadline = time.monotonic() + seconds
    while True:
        try:
            stub.GetServerInfo(pb.GetServerInfoRequest(), timeout=2)
            return
        except grpc.RpcError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
