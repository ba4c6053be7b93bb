"""Attacks on a server that nothing stands in front of.

gRPC 1.51 has faults that no code above it mends. What is asked for here is that
the server outlives them and serves others, or that it ends by itself, with the
exit code that says why; whoever can not live with that puts HAProxy in front
(test_front.py).
"""

import contextlib
import os
import resource
import subprocess
import time

import grpc
import pytest

import http2_peer as http2
import process_usage
import wire_harness as harness
from front import well_behaved_client
from wire_harness import MIB

EXHAUSTIVE = os.environ.get("TENSORD_EXHAUSTIVE") == "1"
EXIT_NOT_ACCEPTING = 3


@pytest.fixture
def victim(request):
    """A server of its own for each test, with the sentinel, and with the flags
    that the test is parametrized with."""
    server = harness.ServerProcess(f"--memory_limit={64 * MIB}",
                                   *getattr(request, "param", ()))
    wire = harness.Wire(server)
    wire.create(harness.sentinel_array(), harness.SENTINEL)
    yield wire
    wire.close()
    server.stop()


@contextlib.contextmanager
def survived(wire, cpu_seconds):
    """The block takes no more than that, and others are served all the while.
    """
    before = wire.state()
    cpu = process_usage.cpu_seconds(wire.server.pid)
    with well_behaved_client(wire) as seen:
        yield
        cpu = process_usage.cpu_seconds(wire.server.pid) - cpu
    assert not seen.errors, seen.errors[:3]
    if not process_usage.is_sanitized(wire.server.pid):
        assert cpu < cpu_seconds
    wire.check_unharmed(before)


@pytest.mark.parametrize("victim", [["--listener_watch_seconds=2"]],
                         indirect=True, ids=["watched"])
def test_connections_use_up_the_file_descriptors(victim):
    files, connections = (4096, 4500) if EXHAUSTIVE else (200, 300)
    pid = victim.server.pid
    if process_usage.is_sanitized(pid):
        pytest.skip("sanitizers need file descriptors themselves")
    own_soft, own_hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (own_hard, own_hard))
    _, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (files, hard))
    opened = [http2.open_socket(victim.server.address)
              for _ in range(connections)]
    # Who is connected is served still.
    assert (victim.read_bytes(f"tensors/{harness.SENTINEL}") ==
            harness.sentinel_array().tobytes())
    try:
        status = victim.server.wait(10)
    except subprocess.TimeoutExpired:
        # A gRPC without the fault.
        status = None
    for connected in opened:
        connected.close()
    resource.setrlimit(resource.RLIMIT_NOFILE, (own_soft, own_hard))
    if status is None:
        with grpc.insecure_channel(victim.server.address) as channel:
            assert harness.Wire(victim.server, channel=channel).healthy()
    else:
        assert status == EXIT_NOT_ACCEPTING
        assert "not_accepting" in victim.server.log()


def test_a_large_header(victim):
    size = (9 if EXHAUSTIVE else 2) * MIB
    # Quadratic in the size.
    with survived(victim, 30 if EXHAUSTIVE else 3):
        with http2.Peer(victim.server.address) as peer:
            http2.send_large_header(peer, size)
            peer.goaway(1)


def test_rapid_resets(victim):
    count = 100_000 if EXHAUSTIVE else 5_000
    with survived(victim, count / 2000):
        with http2.Peer(victim.server.address) as peer:
            http2.reset_streams(peer, count)
            assert peer.await_ping(60)
    if process_usage.is_sanitized(victim.server.pid):
        return
    # gRPC keeps some 20 KiB of each, until its turn comes.
    assert (process_usage.resident_bytes(victim.server.pid) <
            128 * MIB + 32 * 1024 * count)


def test_a_flood_of_pings_ends_the_connection(victim):
    with survived(victim, 3), http2.Peer(victim.server.address) as peer:
        http2.flood(peer, http2.frame(http2.PING, bytes(8)), 20_000)
        assert peer.goaway(5) == http2.ENHANCE_YOUR_CALM


@pytest.mark.parametrize("frame", [
    http2.frame(http2.SETTINGS),
    http2.frame(http2.DATA, stream=1)], ids=["settings", "empty_data"])
def test_a_flood_of_frames_takes_little(victim, frame):
    with survived(victim, 3), http2.Peer(victim.server.address) as peer:
        for piece in http2.header_frames(http2.call_headers(
                harness.SERVICE + "UploadTensor"), 1):
            peer.send(piece)
        http2.flood(peer, frame, 20_000)
        assert peer.await_ping(10)


@pytest.mark.parametrize("data", [
    b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    # The beginning of TLS.
    bytes.fromhex("1603010200010001fc0303") + bytes(range(256)) * 2,
    bytes(range(7, 251)) * 4],
    ids=["http1", "tls", "bytes"])
def test_what_is_no_http2_is_hung_up_on(victim, data):
    with survived(victim, 1):
        connected = http2.open_socket(victim.server.address)
        connected.sendall(data)
        assert http2.is_closed(connected, 5)
        connected.close()


def test_who_says_nothing_is_hung_up_on(victim):
    """Whoever has not introduced himself within 10 seconds."""
    begin = time.monotonic()
    with survived(victim, 3):
        silent = [http2.open_socket(victim.server.address) for _ in range(2)]
        silent[1].sendall(http2.PREFACE)
        for connected in silent:
            assert http2.is_closed(connected, 15)
            connected.close()
    assert time.monotonic() - begin > 8


@pytest.mark.skipif(not EXHAUSTIVE, reason="takes 80 seconds")
def test_who_answers_no_ping_is_hung_up_on(victim):
    with http2.Peer(victim.server.address) as peer:
        assert http2.is_closed(peer.socket, 100)
