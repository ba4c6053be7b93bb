"""Hand-made protobuf messages on the streams: what no stub would send."""

import numpy as np
import pytest

import wire_harness as harness
from wire_harness import INVALID_ARGUMENT
from wire_stubs import pb

ARRAY = np.arange(6, dtype=np.float32)
DATA = ARRAY.tobytes()
DECLARATION = harness.raw_declaration(harness.array_spec(ARRAY), len(DATA))

VARINT, FIXED64, LENGTH, GROUP, END_GROUP, FIXED32 = range(6)
# Numbers of fields, equal in UploadTensorRequest and ConvertArrayRequest.
DECLARATION_FIELD, CHUNK_FIELD, FINISH_FIELD = 1, 2, 3
OFFSET_FIELD, CRC_FIELD, DATA_FIELD = 1, 2, 3


def varint(number):
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def tag(field, wire_type):
    return varint(field << 3 | wire_type)


def delimited(field, data):
    return tag(field, LENGTH) + varint(len(data)) + data


def number(field, value):
    return tag(field, VARINT) + varint(value)


FINISH = number(FINISH_FIELD, 1)


def chunk_message(*parts):
    return delimited(CHUNK_FIELD, b"".join(parts))


def head(method):
    if method == "upload":
        return harness.upload_head(DECLARATION).SerializeToString()
    return pb.ConvertArrayRequest(declaration=pb.ConvertDeclaration(
        array=DECLARATION)).SerializeToString()


def send(wire, method, messages):
    """Returns the bytes of the array that the server made of them."""
    if method == "upload":
        return wire.read_bytes(wire.raw_upload(messages).name)
    responses = map(pb.ConvertArrayResponse.FromString,
                    wire.raw_convert(messages))
    return harness.join_download(responses)[1]


METHODS = ["upload", "convert"]
BODY = delimited(DATA_FIELD, DATA)
FAR = varint(2**62)

MALFORMED = {
    "tag-cut": b"\x80",
    "tag-too-long": b"\x92" + b"\x80" * 10 + b"\x01",
    "field-number-0": b"\x00\x00",
    "wire-type-6": tag(CHUNK_FIELD, 6) + b"\0",
    "wire-type-7": tag(9, 7) + b"\0",
    "end-of-no-group": tag(9, END_GROUP),
    "group-without-end": tag(9, GROUP) + number(1, 1),
    # No version of our messages has groups.
    "group": tag(50, GROUP) + number(1, 7) + tag(50, END_GROUP),
    "deep-groups": tag(50, GROUP) * 100_000,
    "length-cut": tag(CHUNK_FIELD, LENGTH) + b"\x80",
    "length-absent": tag(CHUNK_FIELD, LENGTH),
    "length-beyond-message": tag(CHUNK_FIELD, LENGTH) + varint(100) + b"abc",
    "length-2^62": tag(CHUNK_FIELD, LENGTH) + FAR + b"abc",
    "length-2^64-1": tag(CHUNK_FIELD, LENGTH) + b"\xff" * 9 + b"\1" + b"abc",
    "length-2^32": tag(CHUNK_FIELD, LENGTH) + varint(2**32 + 3) + b"abc",
    "finish-cut": tag(FINISH_FIELD, VARINT),
    "finish-too-long": tag(FINISH_FIELD, VARINT) + b"\xff" * 11,
    "unknown-length-beyond": tag(20, LENGTH) + varint(50) + b"abc",
    "unknown-fixed64-cut": tag(20, FIXED64) + bytes(7),
    "unknown-fixed32-cut": tag(20, FIXED32) + bytes(3),
    "unknown-varint-cut": tag(20, VARINT) + b"\x80\x80",
    "chunk-tag-cut": chunk_message(b"\x80"),
    "chunk-offset-cut": chunk_message(tag(OFFSET_FIELD, VARINT) + b"\xff"),
    "chunk-offset-too-long": chunk_message(
        tag(OFFSET_FIELD, VARINT) + b"\xff" * 10 + b"\1", BODY),
    "chunk-crc-cut": chunk_message(BODY, tag(CRC_FIELD, FIXED32) + b"\0\0\0"),
    "chunk-data-beyond-chunk": chunk_message(
        tag(DATA_FIELD, LENGTH) + varint(100) + b"abc") + bytes(200),
    "chunk-data-2^62": chunk_message(tag(DATA_FIELD, LENGTH) + FAR + b"abc"),
    "chunk-data-2^64-1": chunk_message(
        tag(DATA_FIELD, LENGTH) + b"\xff" * 9 + b"\1" + b"abc"),
    "chunk-field-number-0": chunk_message(b"\0\0", BODY),
    "chunk-wire-type-7": chunk_message(tag(3, 7), BODY),
    "chunk-unknown-beyond": chunk_message(
        BODY, tag(20, LENGTH) + varint(50) + b"abc"),
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("message", MALFORMED.values(), ids=MALFORMED.keys())
def test_refuses_malformed_message(wire, method, message):
    with wire.refused(INVALID_ARGUMENT, "MESSAGE_MALFORMED"):
        send(wire, method, [head(method), message])


# Stock parsers take a known field of another wire type for an unknown field;
# what must not happen is that its bytes are taken for something they are not.
WRONG_WIRE_TYPES = {
    "chunk-as-varint": number(CHUNK_FIELD, 5),
    "chunk-as-fixed32": tag(CHUNK_FIELD, FIXED32) + bytes(4),
    "finish-as-length": delimited(FINISH_FIELD, b"\1"),
    "D72-crc-as-varint": chunk_message(number(CRC_FIELD, 5), BODY),
    "D72-crc-as-length": chunk_message(delimited(CRC_FIELD, bytes(4)), BODY),
    "D72-crc-as-fixed64": chunk_message(tag(CRC_FIELD, FIXED64) + bytes(8),
                                        BODY),
    "offset-as-fixed64": chunk_message(tag(OFFSET_FIELD, FIXED64) + bytes(8),
                                       BODY),
    "data-as-varint": chunk_message(number(DATA_FIELD, 7)),
    "data-as-fixed32": chunk_message(tag(DATA_FIELD, FIXED32) + bytes(4)),
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("message", WRONG_WIRE_TYPES.values(),
                         ids=WRONG_WIRE_TYPES.keys())
def test_refuses_wrong_wire_type(wire, method, message):
    with wire.refused(INVALID_ARGUMENT, "MESSAGE_MALFORMED"):
        send(wire, method, [head(method), message])


CUT_SPEC = delimited(1, tag(2, LENGTH) + FAR)
MALFORMED_HEADS = {
    "tag-cut": b"\x80",
    "declaration-cut": tag(DECLARATION_FIELD, LENGTH) + varint(50) + b"ab",
    "declaration-2^62": tag(DECLARATION_FIELD, LENGTH) + FAR,
    "declaration-as-varint": number(DECLARATION_FIELD, 1),
    "inside": delimited(DECLARATION_FIELD, b"\xff"),
    "array-cut": delimited(DECLARATION_FIELD,
                           tag(2, LENGTH) + varint(9) + b"ab"),
    # The array is field 2 of one declaration and 1 of the other.
    "spec-cut": delimited(DECLARATION_FIELD, delimited(1, CUT_SPEC) +
                          delimited(2, CUT_SPEC)),
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("message", MALFORMED_HEADS.values(),
                         ids=MALFORMED_HEADS.keys())
def test_refuses_malformed_declaration(wire, method, message):
    with wire.refused(INVALID_ARGUMENT, "MESSAGE_MALFORMED"):
        send(wire, method, [message])


def unknown_fields():
    return (number(100, 2**63) + delimited(101, b"later") +
            tag(102, FIXED32) + bytes(4) + tag(2**29 - 1, FIXED64) + bytes(8))


ACCEPTED = {
    "plain": [chunk_message(BODY) + FINISH],
    "offset-written": [chunk_message(number(OFFSET_FIELD, 0), BODY) + FINISH],
    "finish-first": [FINISH + chunk_message(BODY)],
    "data-before-offset": [
        chunk_message(delimited(DATA_FIELD, DATA[:10])),
        chunk_message(delimited(DATA_FIELD, DATA[10:]),
                      number(OFFSET_FIELD, 10)) + FINISH],
    "unknown-fields": [unknown_fields() + chunk_message(BODY) +
                       unknown_fields() + FINISH + unknown_fields()],
    "unknown-fields-in-chunk": [chunk_message(
        unknown_fields(), BODY, unknown_fields()) + FINISH],
    "padded-varints": [
        chunk_message(tag(OFFSET_FIELD, VARINT) + b"\x80\x80\x00",
                      tag(DATA_FIELD, LENGTH) + b"\x98\x80\x00" + DATA) +
        tag(FINISH_FIELD, VARINT) + b"\x81\x00"],
    "finish-is-any-number": [chunk_message(BODY) + number(FINISH_FIELD, 77)],
    "finish-false-then-true": [chunk_message(BODY) + number(FINISH_FIELD, 0) +
                               FINISH],
    "explicit-unfinished": [chunk_message(BODY) + number(FINISH_FIELD, 0),
                            FINISH],
    "offset-repeated": [chunk_message(
        number(OFFSET_FIELD, 9), BODY, number(OFFSET_FIELD, 0)) + FINISH],
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("messages", ACCEPTED.values(), ids=ACCEPTED.keys())
def test_accepts_unusual_message(wire, method, messages):
    assert send(wire, method, [head(method), *messages]) == DATA


@pytest.mark.parametrize("method", METHODS)
def test_accepts_unusual_declaration(wire, method):
    plain = head(method)
    body = [chunk_message(BODY) + FINISH]
    assert send(wire, method, [unknown_fields() + plain, *body]) == DATA
    assert send(wire, method, [plain + unknown_fields(), *body]) == DATA


@pytest.mark.parametrize("method", METHODS)
def test_survives_every_cut_and_every_spoiled_byte(wire, method):
    """Any answer will do; the server has to go on as before."""
    before = wire.state()
    messages = [head(method), chunk_message(number(OFFSET_FIELD, 0),
                                            BODY) + FINISH]
    for which, message in enumerate(messages):
        for place in range(len(message)):
            cut = message[:place]
            spoiled = (message[:place] + bytes([message[place] ^ 0xFF]) +
                       message[place + 1:])
            for bad in (cut, spoiled):
                sent = list(messages)
                sent[which] = bad
                try:
                    send(wire, method, sent)
                except harness.grpc.RpcError as error:
                    harness.check_refusal(
                        harness.Refusal(error), error.code(),
                        harness.Refusal(error).reason)
    wire.clear()
    wire.check_unharmed(before)
