"""When tensors are deleted, and what handles say afterwards."""

import copy
import gc
import subprocess
import sys
import threading

import numpy as np
import pytest
import tensord


def test_unnamed_tensors_go_with_their_handle(c):
    tensor = c.tensor([1, 2])
    id = tensor.id
    assert id in c
    assert tensor.name is None
    del tensor
    gc.collect()
    assert id not in c


def test_results_of_methods_go_with_their_handle(c):
    tensor = c.tensor([1.0, 2.0])
    made = [tensor.half(), tensor[0], tensor.detach(), tensor.reshape(2, 1)]
    ids = [one.id for one in made]
    assert all(id in c for id in ids)
    del made
    gc.collect()
    assert not any(id in c for id in ids)
    assert tensor.id in c


def test_a_view_outlives_its_base(c):
    view = c.tensor([1, 2, 3])[1:]
    gc.collect()
    assert view.tolist() == [2, 3]


def test_named_tensors_stay(c):
    tensor = c.tensor([1, 2], name="stays/1")
    assert tensor.name == "stays/1"
    del tensor
    gc.collect()
    assert c["stays/1"].tolist() == [1, 2]
    del c["stays/1"]
    assert "stays/1" not in c


def test_with_deletes_named_and_unnamed(c):
    with c.tensor([1], name="block/1") as named, c.tensor([2]) as unnamed:
        ids = [named.id, unnamed.id]
        assert all(id in c for id in ids)
    assert not any(id in c for id in ids)


def test_with_accepts_a_tensor_that_was_deleted_inside(c):
    with c.tensor([1]) as tensor:
        tensor.delete()
    with c.tensor([1], name="block/2"):
        del c["block/2"]


def test_a_deleted_tensor_says_so(c):
    tensor = c.tensor([1, 2])
    tensor.delete()
    assert tensor.shape == (2,)
    assert repr(tensor) == (
        f"<tensord.RemoteTensor '{tensor.id}', deleted or closed>"
    )
    for use in (tensor.numpy, tensor.float, tensor.delete, tensor.detach):
        with pytest.raises(tensord.StateError, match="the tensor was deleted"):
            use()


def test_a_tensor_deleted_elsewhere_is_not_found(c):
    tensor = c.tensor([1, 2], name="elsewhere")
    del c["elsewhere"]
    with pytest.raises(KeyError) as caught:
        tensor.numpy()
    assert caught.value.reason == "TENSOR_NOT_FOUND"


def test_closing_deletes_what_is_unnamed(server, c):
    client = tensord.connect(server.target)
    unnamed = client.tensor([1])
    named = client.tensor([1], name="closing/1")
    client.close()
    client.close()
    assert unnamed.id not in c
    assert "closing/1" in c
    del c["closing/1"]
    for use in (named.numpy, unnamed.half, client.devices, client.list):
        with pytest.raises(tensord.StateError, match="the client is closed"):
            use()
    with pytest.raises(RuntimeError, match="the client is closed"):
        client.tensor([1])
    assert repr(client).endswith("(closed)>")
    assert "closed" in repr(named)


def test_a_client_in_a_with_block_is_closed(server):
    with tensord.connect(server.target) as client:
        assert client.tensor([1]).item() == 1
    with pytest.raises(tensord.StateError, match="closed"):
        client.list()


def test_handles_keep_their_client_alive(server):
    tensor = tensord.connect(server.target).tensor([4])
    gc.collect()
    assert tensor.item() == 4


@pytest.mark.parametrize(
    "ending", ["pass", "del t, n", "c.close()", "del c", "c = t.__class__"]
)
def test_the_interpreter_ends_quietly_and_cleans_up(
    server, c, run_python, ending
):
    before = set(c.list())
    script = (
        "import sys, tensord\n"
        "c = tensord.connect(sys.argv[1])\n"
        "t = c.tensor([1.0, 2.0]); u = t.half()\n"
        "n = c.tensor([1], name='exits')\n"
        f"{ending}\n"
    )
    code, output, errors = run_python(script, server.target)
    assert (code, output, errors) == (0, "", "")
    assert set(c.list()) - before == {"exits"}
    del c["exits"]


def test_a_server_that_is_gone_does_not_disturb_the_end(start_server):
    server = start_server()
    script = (
        "import sys, tensord\n"
        "c = tensord.connect(sys.argv[1])\n"
        "t = [c.tensor([i]) for i in range(20)]\n"
        "print('made', flush=True)\n"
        "sys.stdin.read()\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", script, server.target],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert child.stdout.readline() == b"made\n"
    server.stop()
    _, errors = child.communicate(timeout=30)
    assert (child.returncode, errors) == (0, b"")


def test_a_forked_child_leaves_the_parent_s_tensors_alone(
    server, c, run_python
):
    script = (
        "import gc, os, sys, tensord\n"
        "c = tensord.connect(sys.argv[1])\n"
        "t = c.tensor([1.0, 2.0])\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    try: t.numpy()\n"
        "    except RuntimeError as error: print(error, flush=True)\n"
        "    del t; gc.collect(); sys.exit(0)\n"
        "assert os.waitpid(child, 0)[1] == 0\n"
        "print(t.tolist())\n"
    )
    code, output, errors = run_python(script, server.target)
    assert (code, errors) == (0, "")
    message, elements = output.splitlines()
    assert message.startswith("the client is one of the process that this one")
    assert elements == "[1.0, 2.0]"


# gRPC would wait for threads that are not there.
@pytest.mark.parametrize(
    "connect",
    ["tensord.connect(t)", "asyncio.run(tensord.aio.connect(t))"],
)
def test_a_forked_child_does_not_connect(server, run_python, connect):
    script = (
        "import asyncio, os, sys, tensord, tensord.aio\n"
        "t = sys.argv[1]\n"
        "c = tensord.connect(t)\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        f"    try: {connect}\n"
        "    except tensord.StateError as error:\n"
        "        print(error.reason, error, flush=True)\n"
        "    os._exit(0)\n"
        "assert os.waitpid(child, 0)[1] == 0\n"
        "print(c.tensor([1]).tolist())\n"
    )
    code, output, errors = run_python(script, server.target)
    assert (code, errors) == (0, "")
    message, elements = output.splitlines()
    assert message.startswith("FORKED this process was forked from one that")
    assert "'spawn' or 'forkserver'" in message
    assert elements == "[1]"


def test_processes_that_fork_first_connect_on_their_own(server, run_python):
    script = (
        "import multiprocessing, sys, tensord\n"
        "def total(number):\n"
        "    with tensord.connect(sys.argv[1]) as c:\n"
        "        return int(c.tensor([number, 1]).numpy().sum())\n"
        "with multiprocessing.get_context('fork').Pool(3) as pool:\n"
        "    print(pool.map(total, range(6)))\n"
        "c = tensord.connect(sys.argv[1])\n"
        "print(c.tensor([1]).tolist())\n"
    )
    code, output, errors = run_python(script, server.target)
    assert (code, errors) == (0, "")
    assert output == "[1, 2, 3, 4, 5, 6]\n[1]\n"


def test_copies_share_storage_and_deep_copies_do_not(c):
    tensor = c.tensor([1.0, 2.0], requires_grad=True)
    shallow, deep = copy.copy(tensor), copy.deepcopy(tensor)
    storage = [t._info["storage_id"] for t in (tensor, shallow, deep)]
    assert storage[0] == storage[1] != storage[2]
    for one in (shallow, deep):
        assert one is not tensor
        assert (one.requires_grad, one.is_leaf) == (True, True)
        assert one.tolist() == [1, 2]
    same = copy.deepcopy([tensor, tensor])
    assert same[0] is same[1]
    with pytest.raises(RuntimeError, match="explicitly by the user"):
        copy.deepcopy(tensor.half())


def test_nothing_is_made_without_a_client():
    with pytest.raises(TypeError, match="made by a client"):
        tensord.RemoteTensor()
    with pytest.raises(TypeError, match="tensord.connect"):
        tensord.Client()


def test_ttl(c):
    import datetime

    tensor = c.tensor([1], name="ttl/1", ttl=0.15)
    other = c.tensor([1], name="ttl/2", ttl=datetime.timedelta(days=1))
    lasting = c.tensor([1], name="ttl/3")
    expiry = {info.name: info.expire_time for info in c.infos()}
    assert expiry["ttl/2"] - expiry["ttl/1"] == pytest.approx(86400, abs=5)
    assert expiry["ttl/3"] is None
    gone = threading.Event()
    for _ in range(100):
        if "ttl/1" not in c:
            break
        gone.wait(0.05)
    assert "ttl/1" not in c
    assert "ttl/2" in c
    del tensor
    other.delete()
    lasting.delete()
    with pytest.raises(ValueError, match=".") as caught:
        c.tensor([1], ttl=-1)
    assert caught.value.reason == "TTL_INVALID"


def test_threads_share_a_client(c):
    failures = []

    def work(seed):
        try:
            for i in range(10):
                values = np.full(1000, seed * 100 + i, np.int32)
                tensor = c.from_numpy(values)
                assert np.array_equal(tensor.double()[5:].numpy(), values[5:])
        except BaseException as error:  # noqa: BLE001 - reported below
            failures.append(error)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_replace(c):
    old = c.tensor([1.0, 2.0], name="replaced")
    with pytest.raises(tensord.AlreadyExistsError):
        c.tensor([3], name="replaced")
    new = c.tensor([3], name="replaced", replace=True)
    assert c["replaced"].tolist() == [3]
    assert new.etag != old.etag
    for make in (
        lambda **k: c.from_numpy(np.arange(2), **k),
        lambda **k: c.Tensor([0, 1], **k),
        lambda **k: c.tensor([0, 1], **k),
        lambda **k: c.tensor([0, 1]).to("int8", **k),
        lambda **k: c.tensor([0, 1]).to("int64", **k),
        lambda **k: c.create_batch([np.arange(2)], names=[k["name"]],
                                   replace=k["replace"])[0],
    ):
        new.requires_grad_(False)
        new = make(name="replaced", replace=True)
        assert c["replaced"].tolist() == [0, 1]
    c["replaced"].delete()


def test_if_match(c):
    with pytest.raises(tensord.NotFoundError):
        c.tensor([1], name="matched", if_match="0")
    first = c.tensor([1.0], name="matched")
    second = c.tensor([2.0], name="matched", if_match=first.etag)
    for make in (
        lambda **k: c.from_numpy(np.arange(2), **k),
        lambda **k: c.Tensor([0, 1], **k),
        lambda **k: c.tensor([0, 1], **k),
        lambda **k: c.tensor([0, 1]).to("int64", **k),
        lambda **k: c.from_numpy(np.zeros(1 << 20), **k),
    ):
        with pytest.raises(tensord.TensordError) as caught:
            make(name="matched", if_match=first.etag)
        assert caught.value.reason == "ETAG_MISMATCH"
    assert c["matched"].tolist() == [2.0]
    second.requires_grad_()
    assert second.etag == c["matched"].etag
    c.tensor([3.0], name="matched", if_match=second.etag)
    assert c["matched"].tolist() == [3.0]
    c["matched"].delete()


def test_replacing_is_checked(c):
    for arguments in (dict(replace=True), dict(if_match="0")):
        for make in (
            lambda **k: c.tensor([1], **k),
            lambda **k: c.tensor([1]).to("int64", **k),
        ):
            with pytest.raises(tensord.InvalidArgumentError) as caught:
                make(**arguments)
            assert caught.value.reason == "NAME_INVALID"
    with pytest.raises(tensord.InvalidTypeError):
        c.tensor([1], name="a", replace=1)
    with pytest.raises(tensord.InvalidTypeError):
        c.tensor([1], name="a", if_match=1)
    with pytest.raises(tensord.InvalidArgumentError):
        c.tensor([1], name="a", if_match="")
    with pytest.raises(tensord.InvalidArgumentError):
        c.tensor([1], name="a", if_match="\u2603")


def test_lease(c):
    import datetime

    tensor = c.tensor([1.5], name="leased", lease=0.5)
    cast = tensor.to("int8", name="leased/cast",
                     lease=datetime.timedelta(days=1))
    batch = c.create_batch([np.arange(2)], names=["leased/2"], lease=60)
    leases = {info.name: info.lease for info in c.infos()}
    assert leases["leased"] == 0.5
    assert leases["leased/cast"] == 86400
    assert leases["leased/2"] == 60
    for _ in range(4):
        threading.Event().wait(0.25)
        assert tensor.tolist() == [1.5]
    threading.Event().wait(0.6)
    assert "leased" not in c
    for kept in (cast, *batch):
        kept.delete()
    with pytest.raises(ValueError, match="lease") as caught:
        c.tensor([1], lease=1, ttl=1)
    assert caught.value.reason == "LEASE_INVALID"


def test_lists_with_filter_and_order(c):
    made = [c.from_numpy(np.zeros(size, np.int8), name=f"ordered/{size:03}")
            for size in (3, 1, 2)]
    mine = 'name = "tensors/ordered/*"'
    assert c.list(filter=mine) == ["ordered/001", "ordered/002", "ordered/003"]
    assert c.list(filter=mine, order_by="size_bytes desc") == [
        "ordered/003", "ordered/002", "ordered/001"]
    assert c.list(filter=mine, order_by="create_time") == [
        "ordered/003", "ordered/001", "ordered/002"]
    assert [info.nbytes for info in c.infos(
        filter=mine + " AND size_bytes > 1")] == [2, 3]
    with pytest.raises(tensord.InvalidArgumentError) as caught:
        c.list(filter="nonsense")
    assert caught.value.reason == "FILTER_INVALID"
    with pytest.raises(tensord.InvalidArgumentError) as caught:
        c.list(order_by="nonsense")
    assert caught.value.reason == "ORDER_BY_INVALID"
    c.delete_batch(made)


def test_the_interpreter_ends_while_daemon_threads_call(server, run_python):
    script = (
        "import sys, threading, time\n"
        "import numpy as np\n"
        "import tensord\n"
        "c = tensord.connect(sys.argv[1])\n"
        "array = np.zeros(100_000)\n"
        "def call():\n"
        "    while True:\n"
        "        try:\n"
        "            c.convert(array, 'float16')\n"
        "        except tensord.StateError:\n"
        "            pass\n"
        "for _ in range(8):\n"
        "    threading.Thread(target=call, daemon=True).start()\n"
        "time.sleep(0.1)\n"
    )
    assert run_python(script, server.target) == (0, "", "")


def test_the_threads_of_grpc_outlive_the_last_client(server, run_python):
    # gRPC 1.51 may abort the process when it takes them down.
    script = (
        "import os, sys, time\n"
        "import tensord\n"
        "def engine():\n"
        "    threads = os.listdir('/proc/self/task')\n"
        "    names = {t: open(f'/proc/self/task/{t}/comm').read()\n"
        "             for t in threads}\n"
        "    return {t for t in names if names[t] == 'timer_manager\\n'}\n"
        "tensord.connect(sys.argv[1]).close()\n"
        # They name themselves in their own time, and more may come.
        "deadline = time.monotonic() + 10\n"
        "while not (before := engine()) and time.monotonic() < deadline:\n"
        "    time.sleep(0.01)\n"
        "time.sleep(0.3)\n"
        "print(set() < before <= engine())\n"
    )
    assert run_python(script, server.target) == (0, "True\n", "")
