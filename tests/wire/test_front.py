"""Through HAProxy, as it is configured for untrusted networks: everything
works, and attacks do not get through."""

import concurrent.futures
import itertools
import os
import subprocess
import sys
import tempfile
import threading
import time

import grpc
import numpy as np
import pytest

import front as fronts
import http2_peer as http2
import process_usage
import wire_harness as harness
from wire_harness import MIB
from wire_harness import NOT_FOUND
from wire_stubs import pb

EXHAUSTIVE = os.environ.get("TENSORD_EXHAUSTIVE") == "1"
# Not as distinct as bytes of /dev/urandom, and as quick to make.
LARGE = np.random.default_rng(1).integers(
    0, 1 << 62, (256 if EXHAUSTIVE else 64) * MIB // 8, dtype=np.int64)


@pytest.fixture(scope="module")
def folder():
    # Paths of sockets are short.
    with tempfile.TemporaryDirectory(prefix="tensord-") as path:
        yield path


def start_server(folder):
    return harness.ServerProcess(f"--listen=unix:{folder}/s",
                                 f"--memory_limit={1024 * MIB}",
                                 "--listener_watch_seconds=2")


@pytest.fixture(scope="module")
def front(folder):
    server = start_server(folder)
    process = fronts.Front(folder, f"{folder}/s")
    process.server = server
    yield process
    process.stop()
    assert server.stop() == 0, server.log()


@pytest.fixture(scope="module")
def wire(front):
    channel = front.channel()
    fronts.wait_until_it_serves(channel)
    connected = harness.Wire(front.server, channel=channel)
    connected.create(harness.sentinel_array(), harness.SENTINEL)
    yield connected
    connected.close()


@pytest.fixture(scope="module")
def tls():
    return http2.tls_context(fronts.AUTHORITY)


@pytest.fixture
def attacker(count=itertools.count(1)):
    """An address for each test, as each has limits of its own."""
    return f"127.0.2.{next(count)}"


# What has to work.


def test_the_configuration_gives_no_cause_for_a_warning(front):
    for settings in ({}, {"TENSORD_FRONT_CLIENT_CA": str(fronts.AUTHORITY)}):
        front.environment.update(settings)
        status, output = front.check_configuration()
        assert status == 0, output
        assert "WARNING" not in output and "ALERT" not in output
    del front.environment["TENSORD_FRONT_CLIENT_CA"]


def test_refusals_arrive_with_their_details(wire):
    with wire.refused(NOT_FOUND, "TENSOR_NOT_FOUND",
                      metadata={"name": "tensors/nowhere"}):
        wire.stub.GetTensor(pb.GetTensorRequest(name="tensors/nowhere"))
    with wire.refused(harness.INVALID_ARGUMENT, "UPLOAD_INCOMPLETE"):
        wire.upload([harness.upload_head(harness.raw_declaration(
            harness.array_spec(np.zeros(3)), 24))])


def test_large_arrays_arrive_byte_for_byte(wire):
    data = LARGE.tobytes()
    tensor = wire.upload(harness.upload_messages(
        harness.raw_declaration(harness.array_spec(LARGE), len(data)), data))
    assert wire.download(tensor.name)[1] == data
    header, converted = wire.convert(harness.convert_messages(
        harness.raw_declaration(harness.array_spec(LARGE), len(data)), data,
        dtype=pb.DTYPE_FLOAT32))
    assert converted == LARGE.astype(np.float32).tobytes()
    wire.clear()


# In a process of its own, as the libraries of both clients do not get along.
PYTHON_CLIENT = """
import sys
import numpy as np
import tensord
address, authority, mebibytes = sys.argv[1:]
array = np.random.default_rng(2).integers(
    0, 1 << 62, int(mebibytes) << 17, dtype=np.int64)
with tensord.connect(address, tls_ca=authority, checksums=True) as client:
    tensor = client.from_numpy(array)
    assert np.array_equal(tensor.numpy(), array)
    assert np.array_equal(tensor[5:9].numpy(), array[5:9])
    try:
        client["nowhere"]
    except KeyError as error:
        assert "nowhere" in str(error)
    del tensor
    batch = client.create_batch([array[i:i + 9] for i in range(500)])
    assert np.array_equal(client.numpy_batch(batch)[499], array[499:508])
    client.delete_batch(batch)
print("passed")
"""


def test_large_arrays_of_the_python_client(front, wire):
    done = subprocess.run(
        [sys.executable, "-c", PYTHON_CLIENT, front.address, fronts.AUTHORITY,
         str(LARGE.nbytes // MIB)],
        capture_output=True, text=True, check=False, timeout=120)
    assert done.stdout == "passed\n", done.stderr


def test_clients_show_a_certificate_where_that_is_asked_for(folder, wire):
    front = fronts.Front(folder, f"{folder}/s",
                         TENSORD_FRONT_CLIENT_CA=str(fronts.AUTHORITY))
    try:
        with front.channel(fronts.TLS / "client.pem") as channel:
            fronts.wait_until_it_serves(channel)
        for certificate in (None, fronts.TLS / "stranger.pem"):
            with front.channel(certificate) as channel:
                with pytest.raises(grpc.RpcError) as error:
                    harness.pb_grpc.TensorServiceStub(channel).GetServerInfo(
                        pb.GetServerInfoRequest(), timeout=5)
                assert error.value.code() == grpc.StatusCode.UNAVAILABLE
    finally:
        front.stop()


def test_what_is_no_call_is_not_passed_on(front, wire, tls):
    fields = (http2.header(b":method", b"GET"), http2.header(b":scheme", b"https"),
              http2.header(b":path", b"/"), http2.header(b":authority", b"a"))
    with http2.Peer(front.address, tls=tls) as peer:
        peer.send(next(http2.header_frames(b"".join(fields), 1)))
        kinds = {kind: payload for kind, _, _, payload in peer.frames(1)}
        # The index of ":status: 400" in HPACK's table.
        assert kinds[http2.HEADERS][0] == 0x8c
    assert "GET" not in front.server.log()


def test_calls_wait_out_a_server_that_starts_again(folder):
    with tempfile.TemporaryDirectory(prefix="tensord-") as other:
        server = start_server(other)
        front = fronts.Front(other, f"{other}/s")
        try:
            with front.channel() as channel:
                fronts.wait_until_it_serves(channel)
                assert server.stop() == 0
                stub = harness.pb_grpc.TensorServiceStub(channel)
                begin = time.monotonic()
                with pytest.raises(grpc.RpcError) as error:
                    stub.GetServerInfo(pb.GetServerInfoRequest(), timeout=20)
                assert error.value.code() == grpc.StatusCode.UNAVAILABLE
                assert time.monotonic() - begin < 10
                server = start_server(other)
                fronts.wait_until_it_serves(channel)
        finally:
            front.stop()
            server.stop()


# What must not get through.


def test_connections_of_one_peer_are_capped(front, wire, tls, attacker):
    def connect(_):
        try:
            peer = http2.Peer(front.address, attacker, tls)
        except OSError:
            return None
        for frame in (*http2.header_frames(http2.call_headers(), 1),
                      http2.frame(http2.DATA, bytes(5), http2.END_STREAM, 1)):
            peer.send(frame)
        for kind, _, _, _ in peer.frames(10):
            if kind == http2.HEADERS:
                return peer
        peer.socket.close()
        return None

    before = process_usage.open_files(front.server.pid)
    with fronts.well_behaved_client(wire) as seen:
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            peers = [peer for peer in pool.map(connect, range(200)) if peer]
        assert len(peers) == fronts.CONNECTIONS_PER_SOURCE
        opened = process_usage.open_files(front.server.pid) - before
        assert opened <= len(peers) + 2
        for peer in peers:
            peer.socket.close()
    seen.check()


def test_thousands_of_connections_are_not_noticed(front, wire):
    """From ten addresses, of which each has its share."""
    count = 2000 if EXHAUSTIVE else 300
    with fronts.unnoticed(wire):
        opened = []
        for i in range(count):
            try:
                opened.append(http2.open_socket(front.address,
                                                f"127.0.1.{1 + i % 10}"))
            except OSError:
                continue
        time.sleep(0.5)
        for connected in opened:
            connected.close()


def test_a_large_header_is_not_noticed(front, wire, tls, attacker):
    with fronts.unnoticed(wire), http2.Peer(front.address, attacker, tls) as peer:
        assert not http2.send_large_header(peer, 9 * MIB)


@pytest.mark.parametrize("with_message", [False, True])
def test_rapid_resets_are_not_noticed(front, wire, tls, attacker,
                                      with_message):
    """Of calls that never said anything, and of calls that are complete."""
    count = 100_000 if EXHAUSTIVE else 10_000
    with fronts.unnoticed(wire), http2.Peer(front.address, attacker, tls) as peer:
        http2.reset_streams(peer, count, with_message=with_message)
        assert peer.await_ping(60)


@pytest.mark.parametrize("frame", [
    http2.frame(http2.PING, bytes(8)), http2.frame(http2.SETTINGS),
    http2.frame(http2.WINDOW_UPDATE, b"\0\0\0\1")],
    ids=["ping", "settings", "window_update"])
def test_floods_are_not_noticed(front, wire, tls, attacker, frame):
    with fronts.unnoticed(wire), http2.Peer(front.address, attacker, tls) as peer:
        http2.flood(peer, frame, 20_000)
        assert peer.await_ping(10)


def test_the_silent_go_and_the_slow_stay(front, wire, tls, attacker):
    """Who does not come to a call in 10 seconds has to go; a call may take as
    long as it likes."""
    call = http2.frame(http2.HEADERS, http2.call_headers(), stream=1)
    silent = {name: http2.open_socket(front.address, attacker, tls)
              for name in ("nothing", "preface", "half a header")}
    for name in ("preface", "half a header"):
        silent[name].sendall(http2.PREFACE + http2.frame(http2.SETTINGS))
    silent["half a header"].sendall(call)
    array = np.arange(6, dtype=np.uint8)

    def slowly():
        messages = list(harness.upload_messages(
            harness.raw_declaration(harness.array_spec(array), 6),
            array.tobytes(), "slow", chunk_bytes=2))
        for index, message in enumerate(messages):
            if index == 2:
                over.wait(12)
            yield message

    over = threading.Event()
    upload = wire.stub.UploadTensor.future(slowly(), timeout=60)
    begin = time.monotonic()
    for name, connected in silent.items():
        assert http2.is_closed(connected, 20), name
        assert time.monotonic() - begin > 5, name
        connected.close()
    assert time.monotonic() - begin < 15
    upload.result()
    assert wire.read_bytes("tensors/slow") == array.tobytes()
    wire.clear()
