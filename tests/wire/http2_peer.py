"""A client of HTTP/2 that sends whatever it is told to, frame by frame."""

import itertools
import socket
import ssl
import struct
import time

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

DATA, HEADERS, RST_STREAM, SETTINGS = 0, 1, 3, 4
PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 6, 7, 8, 9
END_STREAM = ACK = 1
END_HEADERS = 4

ENHANCE_YOUR_CALM = 11
CANCEL = 8


def frame(kind, payload=b"", flags=0, stream=0):
    return (len(payload).to_bytes(3, "big") + bytes([kind, flags]) +
            stream.to_bytes(4, "big") + payload)


def _integer(value, prefix_bits):
    limit = (1 << prefix_bits) - 1
    if value < limit:
        return bytes([value])
    out = bytearray([limit])
    value -= limit
    while value >= 0x80:
        out.append(value & 0x7f | 0x80)
        value >>= 7
    return bytes(out + bytes([value]))


def _string(value):
    return _integer(len(value), 7) + value


def header(name, value):
    """A field of HPACK that enters no table."""
    return b"\x00" + _string(name) + _string(value)


def call_headers(path="/tensord.v1.TensorService/GetServerInfo"):
    return b"".join(header(name, value) for name, value in (
        (b":method", b"POST"), (b":scheme", b"http"),
        (b":path", path.encode()), (b":authority", b"localhost"),
        (b"content-type", b"application/grpc"), (b"te", b"trailers")))


def header_frames(block, stream, frame_bytes=16384):
    """A block of any size, in HEADERS and CONTINUATION."""
    pieces = [block[i:i + frame_bytes]
              for i in range(0, len(block), frame_bytes)]
    for index, piece in enumerate(pieces):
        last = END_HEADERS if index == len(pieces) - 1 else 0
        yield frame(CONTINUATION if index else HEADERS, piece, last, stream)


def open_socket(address, source=None, tls=None):
    """Connects to "host:port" or "unix:PATH", with TLS if a context is given.
    """
    if address.startswith("unix:"):
        connected = socket.socket(socket.AF_UNIX)
        connected.settimeout(30)
        connected.connect(address.removeprefix("unix:"))
        return connected
    host, _, port = address.rpartition(":")
    connected = socket.create_connection(
        (host, int(port)), timeout=30,
        source_address=(source, 0) if source else None)
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if tls:
        connected = tls.wrap_socket(connected, server_hostname="localhost")
    return connected


def tls_context(authority):
    context = ssl.create_default_context(cafile=authority)
    context.set_alpn_protocols(["h2"])
    return context


def is_closed(connected, seconds):
    """Whether the peer hangs up within so long, whatever it sends before."""
    deadline = time.monotonic() + seconds
    try:
        while (left := deadline - time.monotonic()) > 0:
            connected.settimeout(left)
            if not connected.recv(1 << 16):
                return True
    except TimeoutError:
        return False
    except OSError:
        return True
    return False


class Peer:
    """A connection that has said hello."""

    def __init__(self, address, source=None, tls=None):
        self.socket = open_socket(address, source, tls)
        self._received = bytearray()
        self.send(PREFACE + frame(SETTINGS))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data):
        """False if the peer hung up."""
        try:
            self.socket.sendall(data)
            return True
        except OSError:
            return False

    def take(self):
        """Takes what has come: a peer whose answers nobody reads stops reading
        as well."""
        self.socket.settimeout(0.0)
        try:
            while more := self.socket.recv(1 << 16):
                self._received += more
        except (OSError, ValueError):
            # Nothing more now, or never.
            pass
        finally:
            self.socket.settimeout(30)

    def frames(self, seconds):
        """(kind, flags, stream, payload) until the peer hangs up, or says
        nothing for so long."""
        self.socket.settimeout(seconds)
        while True:
            while len(self._received) >= 9:
                size = int.from_bytes(self._received[:3], "big")
                if len(self._received) < 9 + size:
                    break
                kind, flags = self._received[3], self._received[4]
                stream = struct.unpack(">I", self._received[5:9])[0]
                payload = bytes(self._received[9:9 + size])
                del self._received[:9 + size]
                yield kind, flags, stream, payload
            try:
                more = self.socket.recv(1 << 16)
            except OSError:
                return
            if not more:
                return
            self._received += more

    def await_ping(self, seconds):
        """Whether the peer, having taken all that was sent, answers a ping."""
        self.send(frame(PING, b"the last"))
        return any(kind == PING and flags & ACK and payload == b"the last"
                   for kind, flags, _, payload in self.frames(seconds))

    def goaway(self, seconds):
        """The error code that the peer says goodbye with, or None."""
        for kind, _, _, payload in self.frames(seconds):
            if kind == GOAWAY:
                return int.from_bytes(payload[4:8], "big")
        return None


def reset_streams(peer, count, with_message=False, batch=200):
    """Begins calls and takes them back at once; False if the peer hung up."""
    block = call_headers()
    code = CANCEL.to_bytes(4, "big")

    def call(stream):
        message = (frame(DATA, bytes(5), END_STREAM, stream) if with_message
                   else b"")
        return (frame(HEADERS, block, END_HEADERS, stream) + message +
                frame(RST_STREAM, code, stream=stream))

    return _send_batches(peer, (call(2 * i + 1) for i in range(count)), batch)


def flood(peer, data, count, batch=500):
    """Sends it again and again; False if the peer hung up."""
    return _send_batches(peer, itertools.repeat(data, count), batch)


def _send_batches(peer, pieces, batch):
    pieces = iter(pieces)
    while data := b"".join(itertools.islice(pieces, batch)):
        if not peer.send(data):
            return False
        peer.take()
    return True


def send_large_header(peer, size_bytes):
    """One call with a header of that size; False if the peer hung up."""
    block = call_headers() + header(b"x-large", b"x" * size_bytes)
    return all(peer.send(piece) for piece in header_frames(block, 1))
