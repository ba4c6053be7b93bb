"""What becomes of stored tensors: replaced, leased, counted, evicted."""

import hashlib
import threading
import time

import numpy as np
import pytest

import wire_harness as harness
from wire_harness import ABORTED
from wire_harness import ALREADY_EXISTS
from wire_harness import CALL_SECONDS
from wire_harness import INVALID_ARGUMENT
from wire_harness import NOT_FOUND
from wire_harness import RESOURCE_EXHAUSTED
from wire_stubs import pb

ARRAY = np.arange(6, dtype=np.float32)
DECLARATION = harness.raw_declaration(harness.array_spec(ARRAY), ARRAY.nbytes)
CLONE = pb.Operation(clone={})
SOURCE = f"tensors/{harness.SENTINEL}"
REQUEST_IDS = [f"01234567-89ab-cdef-0123-{number:012}" for number in range(9)]


def create(wire, array=ARRAY, tensor_id="a", **fields):
    return wire.stub.CreateTensor(
        pb.CreateTensorRequest(tensor_id=tensor_id,
                               raw=harness.raw_array(array), **fields),
        timeout=CALL_SECONDS)


def upload_messages(array=ARRAY, tensor_id="a", **fields):
    yield pb.UploadTensorRequest(declaration=pb.UploadDeclaration(
        tensor_id=tensor_id,
        array=harness.raw_declaration(harness.array_spec(array), array.nbytes),
        **fields))
    for piece in harness.pieces(array.tobytes(), harness.MIB):
        yield pb.UploadTensorRequest(chunk=piece)
    yield pb.UploadTensorRequest(finish=True)


def upload(wire, array=ARRAY, tensor_id="a", **fields):
    return wire.upload(upload_messages(array, tensor_id, **fields))


def transform(wire, array=None, tensor_id="a", source=SOURCE, **fields):
    """The result does not depend on the array."""
    return wire.stub.TransformTensor(
        pb.TransformTensorRequest(name=source, tensor_id=tensor_id,
                                  operations=[CLONE], **fields),
        timeout=CALL_SECONDS)


def batch(wire, array=ARRAY, tensor_id="a", **fields):
    """A batch of one; its refusal is raised as that of a call of its own."""
    call = pb.BatchCall(create_tensor=pb.CreateTensorRequest(
        tensor_id=tensor_id, raw=harness.raw_array(array), **fields))
    (response,) = wire.stub.Batch(iter([pb.BatchRequest(calls=[call])]),
                                  timeout=CALL_SECONDS)
    (result,) = response.results
    return result.tensor if result.HasField("tensor") else result.error


WAYS = {"create": create, "upload": upload, "transform": transform}
ID_FIELDS = {"create": "tensor_id", "upload": "declaration.tensor_id",
             "transform": "tensor_id"}


def get(wire, name="tensors/a"):
    return wire.stub.GetTensor(pb.GetTensorRequest(name=name),
                               timeout=CALL_SECONDS)


def delete(wire, name="tensors/a"):
    wire.stub.DeleteTensor(pb.DeleteTensorRequest(name=name),
                           timeout=CALL_SECONDS)


def update(wire, name="tensors/a", paths=None, **fields):
    mask = {"paths": paths} if paths is not None else None
    return wire.stub.UpdateTensor(
        pb.UpdateTensorRequest(tensor=pb.Tensor(name=name, **fields),
                               update_mask=mask), timeout=CALL_SECONDS)


def made_with(way, wire, **lifetime):
    """Makes a tensor in one of WAYS, with a ttl or a lease."""
    if way != "transform":
        lifetime = dict(options=pb.TensorOptions(**lifetime))
    return WAYS[way](wire, **lifetime)


def end_of(tensor):
    return tensor.expire_time.ToNanoseconds() / 1e9


def is_there(wire, name="tensors/a"):
    return name in wire.names()


# Replacing.


@pytest.mark.parametrize("way", WAYS)
def test_replaces_what_is_there(wire, way):
    first = create(wire, ARRAY + 1)
    second = WAYS[way](wire, replace=True)
    assert second.name == first.name
    assert second.etag != first.etag
    assert (second.create_time.ToNanoseconds() >
            first.create_time.ToNanoseconds())
    assert second.create_time == second.update_time
    assert get(wire) == second
    third = WAYS[way](wire, if_match=second.etag)
    assert get(wire) == third != second


@pytest.mark.parametrize("way", WAYS)
def test_replaces_nothing_where_nothing_is(wire, way):
    made = WAYS[way](wire, replace=True)
    assert get(wire) == made


@pytest.mark.parametrize("way", WAYS)
def test_refuses_to_replace_without_being_asked(wire, way):
    create(wire)
    with wire.refused(ALREADY_EXISTS, "TENSOR_EXISTS"):
        WAYS[way](wire, ARRAY + 1)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("fields", [dict(replace=True), dict(if_match="x"),
                                    dict(replace=True, if_match="x")])
def test_refuses_to_replace_without_an_id(wire, way, fields):
    with wire.refused(INVALID_ARGUMENT, "NAME_INVALID", ID_FIELDS[way]):
        WAYS[way](wire, tensor_id="", **fields)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("replace", [False, True])
def test_refuses_to_replace_what_is_not_there(wire, way, replace):
    with wire.refused(NOT_FOUND, "TENSOR_NOT_FOUND",
                      metadata={"name": "tensors/a"}):
        WAYS[way](wire, replace=replace, if_match="0123456789abcdef")


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("replace", [False, True])
def test_refuses_to_replace_another(wire, way, replace):
    first = create(wire)
    second = create(wire, ARRAY + 1, replace=True)
    for etag in (first.etag, "other"):
        with wire.refused(ABORTED, "ETAG_MISMATCH"):
            WAYS[way](wire, ARRAY + 2, replace=replace, if_match=etag)
    assert get(wire) == second
    assert wire.read_bytes("tensors/a") == (ARRAY + 1).tobytes()


def test_a_batch_replaces_and_is_refused_alike(wire):
    first = batch(wire)
    second = batch(wire, ARRAY + 1, if_match=first.etag)
    assert get(wire) == second
    assert batch(wire, if_match=first.etag).code == ABORTED.value[0]
    assert get(wire) == second


def test_refusal_comes_before_any_data(wire):
    create(wire)
    for fields, code, reason in (
            (dict(if_match="other"), ABORTED, "ETAG_MISMATCH"),
            (dict(if_match="other", tensor_id="b"), NOT_FOUND,
             "TENSOR_NOT_FOUND")):
        head = next(upload_messages(**fields))
        with wire.refused(code, reason), harness.held_open(head) as messages:
            wire.upload(messages)


@pytest.mark.parametrize("meddle, code, reason", [
    (lambda wire: wire.stub.UpdateTensor(pb.UpdateTensorRequest(
        tensor=pb.Tensor(name="tensors/a", requires_grad=True))),
     ABORTED, "ETAG_MISMATCH"),
    (delete, NOT_FOUND, "TENSOR_NOT_FOUND"),
], ids=["updated", "deleted"])
def test_refuses_what_changed_during_the_upload(wire, meddle, code, reason):
    made = create(wire)
    sent, go_on = threading.Event(), threading.Event()

    def messages():
        head, *rest = upload_messages(ARRAY + 1, if_match=made.etag)
        yield head
        sent.set()
        go_on.wait(CALL_SECONDS)
        yield from rest

    before = wire.memory_used()
    call = wire.stub.UploadTensor.future(messages(), timeout=CALL_SECONDS)
    assert sent.wait(CALL_SECONDS)
    # The declaration is taken once the memory is.
    wire.await_memory(before + ARRAY.nbytes)
    assert wire.read_bytes("tensors/a") == ARRAY.tobytes()
    meddle(wire)
    left = wire.names()
    go_on.set()
    with harness.refusal_of() as caught:
        call.result()
    harness.check_refusal(caught.refusal, code, reason)
    assert wire.names() == left
    if "tensors/a" in left:
        assert wire.read_bytes("tensors/a", force=True) == ARRAY.tobytes()
    wire.reset()


@pytest.mark.parametrize("way", WAYS)
def test_a_repeated_request_replaces_once(wire, way):
    create(wire, ARRAY + 1)
    fields = dict(replace=True, request_id=REQUEST_IDS[
        list(WAYS).index(way)])
    first = WAYS[way](wire, **fields)
    newer = create(wire, ARRAY + 2, replace=True)
    assert WAYS[way](wire, **fields) == first
    assert get(wire) == newer


def test_another_condition_is_another_request(wire):
    made = create(wire, request_id=REQUEST_IDS[3])
    with wire.refused(harness.FAILED_PRECONDITION, "REQUEST_ID_REUSED"):
        create(wire, request_id=REQUEST_IDS[3], replace=True)
    with wire.refused(harness.FAILED_PRECONDITION, "REQUEST_ID_REUSED"):
        create(wire, request_id=REQUEST_IDS[3], if_match=made.etag)


def test_a_resumed_upload_replaces(wire):
    array = np.arange(1 << 19, dtype=np.float32)
    old = create(wire, ARRAY)
    fields = dict(if_match=old.etag, request_id=REQUEST_IDS[4])
    head, first, *rest = upload_messages(array, **fields)
    with harness.refusal_of() as caught:
        wire.upload([head, first])
    assert caught.refusal.reason == "UPLOAD_INCOMPLETE"
    assert wire.read_bytes("tensors/a") == ARRAY.tobytes()
    assert wire.stub.QueryUpload(pb.QueryUploadRequest(
        request_id=REQUEST_IDS[4])).committed_bytes == harness.MIB
    wire.upload([head, *rest])
    assert wire.read_bytes("tensors/a") == array.tobytes()


def test_onto_itself_F95(wire):
    """The result takes the name of its own source."""
    create(wire)
    made = transform(wire, source="tensors/a", replace=True)
    assert get(wire) == made
    assert wire.read_bytes("tensors/a") == ARRAY.tobytes()


def test_readers_see_one_version_while_it_is_replaced(wire):
    """A read has all of one version, and there always is one."""
    size = 1 << 16
    create(wire, np.zeros(size, np.int32))
    stop = threading.Event()
    problems, reads = [], [0]

    def read(way):
        try:
            while not stop.is_set():
                data = (wire.read_bytes("tensors/a") if way == 0 else
                        wire.download("tensors/a")[1])
                array = np.frombuffer(data, np.int32)
                if array.size != size or (array != array[0]).any():
                    problems.append(array)
                reads[0] += 1
        except Exception as error:
            problems.append(error)

    readers = [threading.Thread(target=read, args=(way,)) for way in (0, 1)]
    for reader in readers:
        reader.start()
    version = 0
    while version < 200 or reads[0] < 50:
        version += 1
        way = create if version % 2 else upload
        way(wire, np.full(size, version, np.int32), replace=True)
        assert len(wire.names()) == 2
    stop.set()
    for reader in readers:
        reader.join(CALL_SECONDS)
    assert not problems, problems[:3]


# Leases.

TEN_YEARS = 10 * 365 * 24 * 3600
BAD_LEASES = [dict(seconds=0), dict(seconds=-1), dict(nanos=-1),
              dict(seconds=TEN_YEARS + 1), dict(seconds=TEN_YEARS, nanos=1),
              dict(seconds=2**63 - 1), dict(seconds=-2**63),
              dict(seconds=1, nanos=-1),
              dict(seconds=1, nanos=1_000_000_000)]
LEASE_FIELDS = {"create": "options.lease",
                "upload": "declaration.options.lease", "transform": "lease"}


@pytest.mark.parametrize("way", WAYS)
def test_refuses_lease(wire, way):
    for lease in BAD_LEASES:
        with wire.refused(INVALID_ARGUMENT, "LEASE_INVALID",
                          LEASE_FIELDS[way]):
            made_with(way, wire, lease=lease)


@pytest.mark.parametrize("way", WAYS)
def test_refuses_lease_and_ttl(wire, way):
    with wire.refused(INVALID_ARGUMENT, "LEASE_INVALID", LEASE_FIELDS[way]):
        made_with(way, wire, lease=dict(seconds=1), ttl=dict(seconds=1))


def test_refuses_lease_in_updates(wire):
    made = create(wire)
    for lease in BAD_LEASES:
        with wire.refused(INVALID_ARGUMENT, "LEASE_INVALID", "tensor.lease"):
            update(wire, lease=lease)
    with wire.refused(INVALID_ARGUMENT, "LEASE_INVALID", "tensor.lease"):
        update(wire, lease=dict(seconds=1), ttl=dict(seconds=1))
    for other in ("ttl", "expire_time"):
        with wire.refused(INVALID_ARGUMENT, "LEASE_INVALID", "tensor.lease"):
            update(wire, paths=["lease", other], lease=dict(seconds=1))
    assert get(wire) == made


@pytest.mark.parametrize("way", WAYS)
def test_a_lease_is_shown_and_ends(wire, way):
    made = made_with(way, wire, lease=dict(seconds=60))
    assert made.lease.ToSeconds() == 60
    assert (made.expire_time.ToNanoseconds() -
            made.create_time.ToNanoseconds()) == 60_000_000_000
    assert get(wire) == made
    delete(wire)
    made_with(way, wire, lease=dict(nanos=20_000_000))
    time.sleep(0.025)
    assert not is_there(wire)
    # A sweep would change what a refusal must not.
    wire.reset()
    with wire.refused(NOT_FOUND, "TENSOR_NOT_FOUND"):
        get(wire)
    with wire.refused(NOT_FOUND, "TENSOR_NOT_FOUND"):
        wire.read("tensors/a")


def use_in_batch(**call):
    def use(wire):
        (response,) = wire.stub.Batch(
            iter([pb.BatchRequest(calls=[pb.BatchCall(**call)])]),
            timeout=CALL_SECONDS)
        assert not response.results[0].HasField("error")
    return use


READ = pb.ReadTensorRequest(name="tensors/a")
TRANSFORM = pb.TransformTensorRequest(name="tensors/a", operations=[CLONE])
USES = {
    "read": lambda wire: wire.read("tensors/a"),
    "download": lambda wire: wire.download("tensors/a"),
    "transform": lambda wire: transform(wire, tensor_id="",
                                        source="tensors/a"),
    "batch-read": use_in_batch(read_tensor=READ),
    "batch-transform": use_in_batch(transform_tensor=TRANSFORM),
    "update": lambda wire: update(wire, paths=["lease"],
                                  lease=dict(seconds=60)),
}
LOOKS = {
    "get": get,
    "list": lambda wire: wire.names(),
    "batch-get": use_in_batch(
        get_tensor=pb.GetTensorRequest(name="tensors/a")),
    "update": lambda wire: update(wire, requires_grad=True),
}


@pytest.mark.parametrize("use", USES)
def test_use_renews_a_lease(wire, use):
    made = made_with("create", wire, lease=dict(seconds=60))
    time.sleep(0.01)
    start = time.time()
    USES[use](wire)
    renewed = get(wire)
    assert end_of(renewed) >= start + 59.99
    assert (renewed.etag == made.etag) == (use != "update")


@pytest.mark.parametrize("look", LOOKS)
def test_looking_renews_no_lease(wire, look):
    made = made_with("create", wire, lease=dict(seconds=60))
    time.sleep(0.01)
    LOOKS[look](wire)
    assert end_of(get(wire)) == end_of(made)


def test_a_download_renews_at_its_end(wire):
    array = np.zeros(harness.MAX_TENSOR_BYTES, np.uint8)
    upload(wire, array, options=pb.TensorOptions(lease=dict(seconds=60)))
    # Little may come ahead of what is read, lest all of it does.
    reader = harness.Wire(wire.server, options=(
        ("grpc.max_receive_message_length", -1),
        ("grpc.http2.bdp_probe", 0), ("grpc.http2.lookahead_bytes", 65536)))
    responses = reader.stub.DownloadTensor(
        pb.DownloadTensorRequest(name="tensors/a"), timeout=CALL_SECONDS)
    next(responses)
    begun = get(wire)
    time.sleep(0.05)
    for _ in responses:
        pass
    reader.close()
    deadline = time.monotonic() + harness.SETTLE_SECONDS
    while end_of(get(wire)) < end_of(begun) + 0.05:
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_a_used_lease_outlives_its_first_end(wire):
    made_with("create", wire, lease=dict(seconds=1, nanos=200_000_000))
    # Long enough for the sweeper, which comes by every second.
    for _ in range(9):
        time.sleep(0.25)
        assert wire.read_bytes("tensors/a") == ARRAY.tobytes()
    time.sleep(1.21)
    assert not is_there(wire)
    wire.reset()


def test_an_update_begins_and_ends_a_lease(wire):
    made_with("create", wire, ttl=dict(seconds=5))
    leased = update(wire, lease=dict(seconds=100))
    assert leased.lease.seconds == 100
    assert end_of(leased) > time.time() + 90
    # What a client got, it may send back.
    assert update(wire, lease=leased.lease,
                  expire_time=leased.expire_time).lease.seconds == 100
    fixed = update(wire, ttl=dict(seconds=50))
    assert not fixed.HasField("lease")
    assert end_of(fixed) < time.time() + 60
    wire.read("tensors/a")
    assert end_of(get(wire)) == end_of(fixed)
    update(wire, lease=dict(seconds=100))
    kept = update(wire, paths=["lease"])
    assert not kept.HasField("lease") and not kept.HasField("expire_time")
    update(wire, lease=dict(seconds=100))
    kept = update(wire, paths=["ttl"])
    assert not kept.HasField("lease") and not kept.HasField("expire_time")


def test_longest_lease_is_accepted(wire):
    made = made_with("create", wire, lease=dict(seconds=TEN_YEARS))
    assert made.lease.seconds == TEN_YEARS


# Limits on their number.


@pytest.fixture(scope="module")
def few_server():
    process = harness.ServerProcess("--max_tensors=4")
    yield process
    assert process.stop() == 0, process.log()


@pytest.fixture
def few(few_server):
    """A connection to a server that holds three tensors beside the sentinel."""
    wire = harness.Wire(few_server)
    create(wire, harness.sentinel_array(), harness.SENTINEL, replace=True)
    yield wire
    wire.clear()
    wire.close()


@pytest.mark.parametrize("way", WAYS)
def test_refuses_too_many_tensors(few, way):
    assert few.limits.max_tensors == 4
    for name in "abc":
        create(few, tensor_id=name)
    for tensor_id in ("", "d"):
        with few.refused(RESOURCE_EXHAUSTED, "QUOTA_EXCEEDED",
                         metadata=dict(limitTensors="4",
                                       usedTensors="4")) as caught:
            WAYS[way](few, tensor_id=tensor_id)
        assert "QuotaFailure" in caught.refusal.details
        assert caught.refusal.details["RetryInfo"].retry_delay.ToSeconds() < 5
    WAYS[way](few, replace=True)
    delete(few)
    WAYS[way](few, tensor_id="d")


def test_uploads_under_way_count(few):
    create(few)
    create(few, tensor_id="b")
    sent = threading.Event()

    def messages():
        yield next(upload_messages(tensor_id="c"))
        sent.set()
        time.sleep(CALL_SECONDS)

    before = few.memory_used()
    call = few.stub.UploadTensor.future(messages(), timeout=CALL_SECONDS)
    assert sent.wait(CALL_SECONDS)
    few.await_memory(before + ARRAY.nbytes)
    with few.refused(RESOURCE_EXHAUSTED, "QUOTA_EXCEEDED"):
        create(few, tensor_id="d")
    call.cancel()
    few.await_memory(before)
    create(few, tensor_id="d")


def test_expired_tensors_make_room(few):
    for name in "abc":
        create(few, tensor_id=name,
               options=pb.TensorOptions(ttl=dict(nanos=100_000_000)))
    time.sleep(0.12)
    for name in "def":
        create(few, tensor_id=name)


def test_tenants_have_limits_of_their_own(tmp_path):
    tokens = tmp_path / "tokens"
    tokens.write_text("".join(
        f"sha256:{hashlib.sha256(name.encode()).hexdigest()} {name} "
        "read,write\n" for name in ("alice", "bob")))
    process = harness.ServerProcess(
        f"--auth_tokens={tokens}", "--max_tensors=3", "--tenant_max_tensors=2")
    wires = {name: harness.Wire(process, metadata=harness.bearer(name))
             for name in ("alice", "bob")}
    alice, bob = wires["alice"], wires["bob"]
    assert alice.limits.max_tensors == 2
    for name in "ab":
        create(alice, tensor_id=name)
    with alice.refused(RESOURCE_EXHAUSTED, "QUOTA_EXCEEDED",
                       metadata=dict(limitTensors="2", usedTensors="2")):
        create(alice, tensor_id="c")
    create(bob)
    with bob.refused(RESOURCE_EXHAUSTED, "QUOTA_EXCEEDED",
                     metadata=dict(limitTensors="3", usedTensors="3")):
        create(bob, tensor_id="b")
    # What is not there is denied alike, whatever it is wanted for.
    with bob.refused(harness.PERMISSION_DENIED, "TENSOR_DENIED"):
        create(bob, tensor_id="b", if_match="other")
    delete(alice)
    create(bob, tensor_id="b")
    for wire in wires.values():
        wire.close()
    assert process.stop() == 0, process.log()


# Eviction.

BLOCK = np.zeros(harness.MIB, np.uint8)


@pytest.fixture(scope="module")
def lru_server():
    process = harness.ServerProcess("--memory_limit=8MiB", "--max_tensors=16",
                                    "--eviction=lru", metrics=True)
    yield process
    assert process.stop() == 0, process.log()


@pytest.fixture
def lru(lru_server):
    """A server without a sentinel: it would be evicted."""
    wire = harness.Wire(lru_server)
    wire.clear()
    yield wire
    wire.clear()
    wire.close()


def ids(wire):
    return "".join(sorted(name.removeprefix("tensors/")
                          for name in wire.names()))


def evictions(wire):
    return wire.server.metrics().get(
        'tensord_evictions_total{device="cpu"}', 0)


@pytest.mark.parametrize("way", ["create", "upload"])
def test_evicts_the_least_recently_used(lru, way):
    before = evictions(lru)
    for name in "abcdefgh":
        WAYS[way](lru, BLOCK, name)
    lru.read("tensors/a")
    get(lru, "tensors/b")
    WAYS[way](lru, BLOCK, "i")
    assert ids(lru) == "acdefghi"
    WAYS[way](lru, np.zeros(3 * harness.MIB, np.uint8), "j")
    assert ids(lru) == "afghij"
    assert evictions(lru) == before + 4


def test_evicts_for_transformed_tensors_but_not_their_source(lru):
    for name in "abcdefgh":
        create(lru, BLOCK, name)
    transform(lru, tensor_id="i", source="tensors/a")
    assert ids(lru) == "acdefghi"


def test_evicts_where_there_are_too_many(lru):
    for number in range(20):
        create(lru, tensor_id=f"n{number:02}")
    assert lru.names() == tuple(
        f"tensors/n{number:02}" for number in range(4, 20))


def test_never_evicts_leased_tensors(lru):
    for name in "abcdefgh":
        create(lru, BLOCK, name, options=pb.TensorOptions(
            lease=dict(seconds=60)))
    with harness.refusal_of() as caught:
        create(lru, BLOCK, "i")
    harness.check_refusal(caught.refusal, RESOURCE_EXHAUSTED,
                          "MEMORY_EXHAUSTED")
    assert ids(lru) == "abcdefgh"
    update(lru, "tensors/c", paths=["lease"])
    create(lru, BLOCK, "i")
    assert ids(lru) == "abdefghi"


def test_never_evicts_what_is_being_read(lru):
    array = np.random.default_rng(1).integers(
        0, 255, 7 * harness.MIB, np.uint8)
    upload(lru, array, "a")
    # Takes no more than it reads, so that the server is not done before.
    reader = harness.Wire(lru.server, options=(
        ("grpc.max_receive_message_length", -1),
        ("grpc.http2.bdp_probe", 0),
        ("grpc.http2.lookahead_bytes", 64 << 10)))
    responses = reader.stub.DownloadTensor(
        pb.DownloadTensorRequest(name="tensors/a"), timeout=CALL_SECONDS)
    first = next(responses)
    with harness.refusal_of() as caught:
        upload(lru, np.zeros(2 * harness.MIB, np.uint8), "b")
    harness.check_refusal(caught.refusal, RESOURCE_EXHAUSTED,
                          "MEMORY_EXHAUSTED")
    assert ids(lru) == "a"
    _, data = harness.join_download([first, *responses])
    assert data == array.tobytes()
    reader.close()


def test_evicts_nothing_for_what_can_never_fit(lru):
    before = evictions(lru)
    for name in "ab":
        create(lru, BLOCK, name)
    for size, code, reason in (
            (8 * harness.MIB + 1, INVALID_ARGUMENT, "TENSOR_TOO_LARGE"),
            (1 << 40, INVALID_ARGUMENT, "TENSOR_TOO_LARGE")):
        spec = pb.ArraySpec(dtype=pb.DTYPE_UINT8, shape=[size])
        with harness.refusal_of() as caught:
            lru.upload([harness.upload_head(
                harness.raw_declaration(spec, size))])
        harness.check_refusal(caught.refusal, code, reason)
    assert ids(lru) == "ab"
    assert evictions(lru) == before


def test_counts_expiries(lru):
    series = 'tensord_expiries_total{device="cpu"}'
    before = lru.server.metrics().get(series, 0)
    create(lru, options=pb.TensorOptions(ttl=dict(nanos=1_000_000)))
    time.sleep(0.01)
    create(lru, options=pb.TensorOptions(lease=dict(nanos=1_000_000)))
    time.sleep(0.01)
    create(lru)
    assert lru.server.metrics()[series] == before + 2


def test_evicts_nothing_unless_asked(wire):
    array = np.zeros(harness.MAX_TENSOR_BYTES, np.uint8)
    for name in "abc":
        upload(wire, array, name)
    with wire.refused(RESOURCE_EXHAUSTED, "MEMORY_EXHAUSTED"):
        upload(wire, array, "d")


# Listing.


def list_pages(wire, page_size=0, **request):
    """Names, page by page, without their prefix."""
    pages, token = [], ""
    while True:
        page = wire.stub.ListTensors(pb.ListTensorsRequest(
            page_size=page_size, page_token=token, **request),
            timeout=CALL_SECONDS)
        pages.append([tensor.name.removeprefix("tensors/")
                      for tensor in page.tensors])
        token = page.next_page_token
        if not token:
            return pages


def listed(wire, **request):
    return [name for page in list_pages(wire, **request) for name in page]


@pytest.mark.parametrize("text", [
    "name", "name = a", "shape = 1", "dtype = float31", "dtype < int8",
    "size_bytes = x", "create_time > 5", "name = tensors/a OR dtype = int8",
    'name = "', "\0", "a" * 2000, "dtype = int8 AND", "(dtype = int8)",
    "dtype = int8 \u2603"])
def test_refuses_filter(wire, text):
    with wire.refused(INVALID_ARGUMENT, "FILTER_INVALID", "filter"):
        list_pages(wire, filter=text)


@pytest.mark.parametrize("text", ["id", "name asc", "name,dtype", "desc",
                                  "shape", "name  desc", "\0", "a" * 5000])
def test_refuses_order(wire, text):
    with wire.refused(INVALID_ARGUMENT, "ORDER_BY_INVALID", "order_by"):
        list_pages(wire, order_by=text)


def test_filters_and_orders_like_a_model(wire):
    rng = np.random.default_rng(1)
    dtypes = ["float32", "int8", "bool"]
    made = {}
    for number in range(57):
        name = f"run-{rng.integers(3)}/{number}"
        array = np.zeros(rng.integers(1, 5), dtypes[rng.integers(3)])
        made[name] = create(wire, array, name)
    sentinel = get(wire, SOURCE)
    made[harness.SENTINEL] = sentinel
    middle = sorted(tensor.create_time.ToNanoseconds()
                    for tensor in made.values())[20]
    stamp = next(tensor.create_time.ToJsonString() for tensor in made.values()
                 if tensor.create_time.ToNanoseconds() == middle)
    filters = {
        "": lambda name, tensor: True,
        'name = "tensors/run-1/*"': lambda name, tensor:
            name.startswith("run-1/"),
        "name != tensors/run-1/*": lambda name, tensor:
            not name.startswith("run-1/"),
        "dtype = int8 AND size_bytes >= 2": lambda name, tensor:
            tensor.dtype == pb.DTYPE_INT8 and tensor.size_bytes >= 2,
        f'create_time < "{stamp}"': lambda name, tensor:
            tensor.create_time.ToNanoseconds() < middle,
        "device = cuda:0": lambda name, tensor: False,
    }
    orders = {
        "": lambda name: name,
        "name": lambda name: name,
        "create_time": lambda name: (
            made[name].create_time.ToNanoseconds(), name),
        "size_bytes": lambda name: (made[name].size_bytes, name),
        "size_bytes desc": lambda name: (-made[name].size_bytes, name),
        "update_time desc": lambda name: (
            -made[name].update_time.ToNanoseconds(), name),
    }
    for text, passes in filters.items():
        matching = [name for name in made if passes(name, made[name])]
        for order, key in orders.items():
            expected = sorted(matching, key=key)
            for page_size in (1, 7, 100):
                pages = list_pages(wire, page_size, filter=text,
                                   order_by=order)
                assert sum(pages, []) == expected, (text, order, page_size)
                assert all(len(page) == page_size for page in pages[:-1])
        assert listed(wire, filter=text, order_by="name desc") == sorted(
            matching, reverse=True)


def test_page_tokens_are_those_of_their_request_F93(wire):
    for name in "abc":
        create(wire, tensor_id=name)
    requests = [dict(), dict(filter="dtype = float32"),
                dict(filter="dtype = float32 "), dict(order_by="size_bytes"),
                dict(order_by="size_bytes desc"),
                dict(filter="dtype = float32", order_by="size_bytes")]
    tokens = [wire.stub.ListTensors(pb.ListTensorsRequest(
        page_size=1, **request)).next_page_token for request in requests]
    for token, mine in zip(tokens, requests):
        for request in requests:
            if request == mine:
                page = wire.stub.ListTensors(pb.ListTensorsRequest(
                    page_token=token, **request))
                assert len(page.tensors) >= 2
                continue
            with wire.refused(INVALID_ARGUMENT, "PAGE_TOKEN_INVALID",
                              "page_token"):
                wire.stub.ListTensors(pb.ListTensorsRequest(
                    page_token=token, **request))


def test_a_page_shows_no_tensor_twice_while_they_change(wire):
    for number in range(50):
        create(wire, tensor_id=f"n{number}")
    stop = threading.Event()

    def change():
        number = 0
        while not stop.is_set():
            number = (number + 7) % 50
            create(wire, ARRAY[:1 + number % 6], f"n{number}", replace=True)

    changer = threading.Thread(target=change)
    changer.start()
    try:
        for _ in range(30):
            for order in ("", "size_bytes", "update_time desc"):
                for page in list_pages(wire, 20, order_by=order):
                    assert len(page) == len(set(page))
    finally:
        stop.set()
        changer.join(CALL_SECONDS)
