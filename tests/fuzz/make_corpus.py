#!/usr/bin/env python3
"""Writes the corpora of the fuzz targets for the server.

Usage: tests/fuzz/make_corpus.py [FOLDER]    (the folder beside this file)
"""

import hashlib
import pathlib
import random
import sys


def varint(value):
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7f | 0x80)
        value >>= 7
    return bytes(out + bytes([value]))


def tag(number, kind):
    return varint(number << 3 | kind)


def number(field, value):
    return tag(field, 0) + varint(value % (1 << 64))


def text(field, value):
    return tag(field, 2) + varint(len(value)) + value


def chunk(offset=None, crc=None, data=None):
    return ((b"" if offset is None else number(1, offset)) +
            (b"" if crc is None else tag(2, 5) + crc.to_bytes(4, "little")) +
            (b"" if data is None else text(3, data)))


def envelopes():
    spec = number(1, 12) + text(2, varint(3) + varint(1 << 40))
    raw = text(1, spec) + number(3, 24)
    declaration = (text(1, b"name/0") + text(2, raw) +
                   text(3, text(2, b"cpu") + number(1, 3)) +
                   text(4, b"0" * 36) + text(5, number(1, 8) + number(2, 16)))
    full = chunk(1 << 40, 0xdeadbeef, bytes(range(48)))
    longest = b"\xff" * 9 + b"\x01"
    return {
        "empty": b"",
        "finish": number(3, 1),
        "finish_twice": number(3, 1) + number(3, 0),
        "finish_long": tag(3, 0) + b"\x80" * 9 + b"\x00",
        "finish_too_long": tag(3, 0) + b"\x80" * 10 + b"\x00",
        "declaration": text(1, declaration),
        "declaration_finish": text(1, declaration) + number(3, 1),
        "declaration_merged": text(1, declaration[:8]) + text(1, declaration),
        "declaration_bad_text": text(1, text(1, b"\xff\xfe")),
        "declaration_unknown": text(1, declaration + text(99, b"?")),
        "chunk": text(2, full),
        "chunk_empty": text(2, b""),
        "chunk_reordered": text(2, text(3, b"abc") + number(1, 5)),
        "chunk_repeated": text(2, chunk(1, 2, b"a") + chunk(3, 4, b"bc")),
        "chunk_merged": text(2, chunk(7, data=b"one")) + text(2, chunk(crc=1)),
        "chunk_finish": number(3, 1) + text(2, full),
        "chunk_negative": text(2, tag(1, 0) + longest),
        "chunk_then_declaration": text(2, full) + text(1, declaration),
        "declaration_then_chunk": text(1, declaration) + text(2, full),
        "chunk_unknown": text(2, full + number(9, 1) + tag(10, 1) + b"8" * 8),
        "cut_data": text(2, full)[:-3],
        "cut_inner": tag(2, 2) + varint(4) + text(3, b"abcdef"),
        "length_huge": tag(2, 2) + b"\xff\xff\xff\xff\x0f",
        "length_too_long": tag(2, 2) + b"\x80\x80\x80\x80\x80\x00",
        "unknown": number(9, 300) + text(10, b"x" * 20) + tag(11, 5) + b"1234",
        "group": tag(9, 3) + number(1, 1) + tag(9, 4),
        "group_in_chunk": text(2, tag(4, 3) + tag(4, 4)),
        "group_end": tag(9, 4),
        "wrong_type": tag(3, 5) + b"1234",
        "wrong_type_in_chunk": text(2, tag(3, 0) + b"\x01"),
        "field_zero": b"\x00\x01",
        "wire_type_6": tag(1, 6) + b"\x00",
        "wire_type_7": tag(3, 7),
        "tag_large": tag((1 << 29) - 1, 0) + b"\x00",
        "tag_long": b"\x98\x80\x80\x80\x00\x01",
        "tag_too_long": b"\x98\x80\x80\x80\x80\x00\x01",
        "tag_bits": b"\x98\x80\x80\x80\x70\x01",
    }


OPTIONS = {
    "empty": "",
    "all": "\n".join([
        "--listen=127.0.0.1:0", "--metrics_listen=none", "--memory_limit=1GiB",
        "--cuda_memory_limit=50%", "--max_tensor_bytes", "64 MiB",
        "--upload_resume_seconds=0", "--tls_cert=cert.pem", "--tls_key", "key",
        "--tls_client_ca=ca.pem", "--insecure", "--log_format=json",
        "--noaccess_log", "--drain_seconds=3600",
        "--listener_watch_seconds=1"]),
    "addresses": "--listen=127.0.0.1:1,[::1]:2,localhost:3\n"
                 "--listen=unix:s,unix:///run/s",
    "open": "--listen=0.0.0.0:50051\n--insecure",
    "open_ipv6": "--listen\n[::]:65535\n--tls_cert=a\n--tls_key=b",
    "refused_open": "--listen=10.0.0.1:1",
    "port": "--listen=host:65536",
    "brackets": "--listen=[1.2.3.4]:1",
    "unix_relative": "--listen=unix://s",
    "unix_long": "--listen=unix:" + "p" * 108,
    "metrics": "--metrics_listen=localhost:9",
    "metrics_unix": "--metrics_listen=unix:m",
    "sizes": "TENSORD_MEMORY_LIMIT=1T\nTENSORD_MAX_TENSOR_BYTES=1TiB",
    "size_huge": "--memory_limit=9223372036854775807",
    "size_overflow": "--memory_limit=8388608TiB",
    "size_zero": "--memory_limit=0",
    "size_negative": "--memory_limit=-1",
    "size_text": "--memory_limit=lots of KiB",
    "percent": "--memory_limit=100%",
    "percent_much": "--cuda_memory_limit=101%",
    "environment": "TENSORD_LISTEN=unix:a\nTENSORD_INSECURE=1\n"
                   "TENSORD_ACCESS_LOG=false\nTENSORD_LOG_FORMAT=json",
    "environment_others": "TENSORD_PORT=tcp://10.0.0.1:1\nTENSORD_LISTEN=",
    "help": "--help",
    "version": "--version\n--bogus",
    "unknown": "--bogus=1",
    "no_value": "--listen",
    "no_flag": "serve",
    "negated": "--noinsecure\n--nolisten",
    "switch": "--insecure=maybe",
    "seconds": "--drain_seconds=3601\n--upload_resume_seconds=1e3",
    "control": "--log_format=\x1b[31m\x7f\xff",
}


def steps(*operations):
    """[stream, operation, arguments...] after another."""
    return bytes(value for operation in operations for value in operation)


OPEN, SEND, ALL, SPOIL, END, SUSPEND, REFUSE, CLOCK, DROP = (
    0, 3, 9, 10, 11, 12, 13, 14, 15)


def uploads():
    whole = {
        f"whole_{plan}": steps((0, OPEN, plan, 0), (0, ALL), (0, END))
        for plan in range(12)}
    return whole | {
        "chunks": steps((0, OPEN, 0, 0), *[(0, SEND, 50, 2)] * 8, (0, END)),
        "finish_alone": steps((0, OPEN, 1, 0), *[(0, SEND, 60, 0)] * 5,
                              (0, SPOIL, 0, 4, 1), (0, END)),
        "empty_array": steps((0, OPEN, 9, 0, 3), (0, END)),
        "parts": steps(*[(s, OPEN, 0, 4 + s) for s in (0, 2, 3)],
                       (2, OPEN, 0, 6), (3, OPEN, 0, 7),
                       *[(s, ALL) for s in (3, 0, 2)]),
        "part_resumed": steps((0, OPEN, 0, 4), (0, SEND, 40, 0), (0, SUSPEND),
                              (1, OPEN, 0, 4), (1, ALL), (2, OPEN, 0, 6),
                              (2, ALL), (3, OPEN, 0, 7), (3, ALL)),
        "part_repeated": steps((0, OPEN, 0, 4), (0, ALL), (1, OPEN, 0, 4, 3),
                               (1, END),
                               (2, OPEN, 0, 6), (2, ALL)),
        "resumed": steps((0, OPEN, 0, 0), (0, SEND, 61, 0), (0, SUSPEND),
                         (1, OPEN, 0, 0), (1, ALL)),
        "resumed_otherwise": steps((0, OPEN, 0, 0), (0, SEND, 61, 0),
                                   (0, SUSPEND), (1, OPEN, 2, 0), (1, ALL)),
        "ended_early": steps((0, OPEN, 3, 0), (0, SEND, 30, 0), (0, END),
                             (0, OPEN, 3, 0), (0, ALL)),
        "expired": steps((0, OPEN, 3, 0), (0, SEND, 30, 0), (0, SUSPEND),
                         (0, CLOCK, 11), (0, OPEN, 3, 0), (0, ALL)),
        "repeated": steps((0, OPEN, 0, 0), (0, ALL), (1, OPEN, 0, 0)),
        "conflict": steps((0, OPEN, 0, 0), (1, OPEN, 3, 0), (2, OPEN, 0, 0)),
        "replaced": steps((0, OPEN, 0, 0), (0, SUSPEND), (1, OPEN, 4, 0),
                          (1, ALL), (0, OPEN, 0, 0)),
        "deleted": steps((0, OPEN, 1, 0), (0, ALL), (0, DROP, 1, 2),
                         (1, OPEN, 7, 0), (1, ALL)),
        "refused": steps((0, OPEN, 0, 4), (1, OPEN, 0, 6), (0, REFUSE, 1),
                         (1, SEND, 9, 0)),
        "dropped": steps((0, OPEN, 0, 4), (1, OPEN, 0, 6), (0, REFUSE, 0),
                         (1, ALL)),
        "crowd": steps(*[(s, OPEN, p, 0) for s, p in
                         enumerate((0, 1, 5, 6, 8, 3))],
                       *[(s, SEND, 40, 0) for s in range(6)],
                       *[(s, SUSPEND) for s in range(6)],
                       *[(s, OPEN, p, 0) for s, p in
                         enumerate((10, 5, 8, 1, 0, 6))],
                       *[(s, ALL) for s in range(6)]),
        **{f"spoilt_{kind}": steps((0, OPEN, 1, 0), (0, SEND, 9, 0),
                                   (0, SPOIL, 20, kind, 0), (0, ALL))
           for kind in range(6)},
    }


def random_uploads(count):
    source = random.Random(1)
    for i in range(count):
        yield f"random_{i}", bytes(
            source.choice((source.randrange(8), source.randrange(16),
                           source.randrange(256)))
            for _ in range(source.choice((60, 200, 400))))


def access_lists():
    def token(text, rest):
        return f"sha256:{hashlib.sha256(text.encode()).hexdigest()} {rest}"

    first = token("a", "team-a read,write")
    second = token("token", "ops admin 2030-01-31T12:00:00Z")
    return {name: "\n".join(lines).encode("latin-1") for name, lines in {
        "all": ["# who may call", "", first, second + " # until then",
                "\tcert:trainer.example  team_b.1\tread\r",
                token("", "t read,read,write,admin")],
        "empty": [],
        "comments": ["#", " ", "\t# " + first],
        "twice": [first, first.replace("sha256:c", "sha256:C")],
        "certificate_twice": ["cert:a t read", "cert:a t write"],
        "upper_case": [second.replace("e", "E")],
        "scopes": [first.replace("read,write", "read,,write")],
        "no_scopes": ["cert:a t"],
        "five_words": [second + " admin"],
        "tenant": [first.replace("team-a", "x" * 64)],
        "expired": [first + " 1970-01-01T00:00:00.5+14:00"],
        "for_ever": [first + " infinite-future"],
        "never": ["cert:a t read infinite-past"],
        "short_hash": [first[:70] + " t read"],
        "no_name": ["cert: t read"],
        "bytes": ["cert:\xff\0\x80 t read"],
    }.items()}


def main():
    folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else
                          pathlib.Path(__file__).parent / "corpus")
    corpora = {
        "access_list": access_lists(),
        "envelope": {name: bytes([index * 7 % 256]) + data for
                     index, (name, data) in enumerate(envelopes().items())},
        "options": {name: data.encode("latin-1")
                    for name, data in OPTIONS.items()},
        "upload_stream": uploads() | dict(random_uploads(12)),
    }
    for target, inputs in corpora.items():
        (folder / target).mkdir(parents=True, exist_ok=True)
        for name, data in inputs.items():
            (folder / target / name).write_bytes(data)


if __name__ == "__main__":
    main()
