"""The client for asyncio does what the blocking one does, while others wait."""

import asyncio
import gc
import inspect
import os
import pickle

import numpy as np
import pytest
import tensord
import tensord.aio

# What asyncio has no form of, and what stands for it.
NOT_AWAITABLE = {
    tensord.Client: {"__contains__", "__delitem__", "__enter__", "__exit__"},
    tensord.RemoteTensor: {
        "__copy__",
        "__deepcopy__",
        "__enter__",
        "__exit__",
        "__format__",
    },
}
ONLY_AWAITABLE = {
    tensord.Client: {"__aenter__", "__aexit__", "__aiter__", "exists", "get"},
    tensord.RemoteTensor: {"__aenter__", "__aexit__"},
}


@pytest.fixture
def run(server):
    """Runs ``test(client)`` in an event loop of its own."""

    async def connected(test):
        async with await tensord.aio.connect(server.target) as client:
            return await test(client)

    return lambda test: asyncio.run(connected(test))


async def settles(client, names):
    """Waits until there are these tensors; others go in the background."""
    for _ in range(1000):
        if await client.list() == names:
            break
        await asyncio.sleep(0.005)
    assert await client.list() == names


def surface(cls):
    """What users see of a class."""
    return {
        name
        for one in cls.__mro__[:-1]
        for name in vars(one)
        if not name.startswith("_") or name.endswith("__")
    } - {
        "__abstractmethods__",
        "__annotations__",
        "__class_getitem__",
        "__dict__",
        "__init_subclass__",
        "__module__",
        "__orig_bases__",
        "__parameters__",
        "__slots__",
        "__static_attributes__",
        "__firstlineno__",
        "__doc__",
        "__weakref__",
    }


@pytest.mark.parametrize(
    ("blocking", "awaited"),
    [
        (tensord.Client, tensord.aio.Client),
        (tensord.RemoteTensor, tensord.aio.RemoteTensor),
    ],
)
def test_the_surface_is_the_same(blocking, awaited):
    expected = surface(blocking) - NOT_AWAITABLE[blocking]
    if blocking is tensord.Client:
        expected |= {"delete"}
        expected -= {"__iter__"}
    assert surface(awaited) == expected | ONLY_AWAITABLE[blocking]
    for name in surface(awaited) & surface(blocking):
        mine, theirs = getattr(awaited, name), getattr(blocking, name)
        if not inspect.isfunction(theirs) or name.startswith("__"):
            continue
        parameters = [
            [
                (p.name, p.kind, p.default)
                for p in signature.parameters.values()
            ]
            for signature in map(inspect.signature, (mine, theirs))
        ]
        assert parameters[0] == parameters[1], name


def test_connect_takes_the_same_arguments():
    assert [
        (p.name, p.default)
        for p in inspect.signature(tensord.aio.connect).parameters.values()
    ] == [
        (p.name, p.default)
        for p in inspect.signature(tensord.connect).parameters.values()
    ]


METHODS = [
    ("half", ()),
    ("double", ()),
    ("bool", ()),
    ("cfloat", ()),
    ("to", ("int16",)),
    ("to", ("cpu",)),
    ("type", ("float16",)),
    ("cpu", ()),
    ("detach", ()),
    ("clone", ()),
    ("contiguous", ()),
    ("reshape", (3, -1)),
    ("view", (24,)),
    ("permute", (2, 0, 1)),
    ("transpose", (0, 1)),
    ("flatten", ()),
    ("squeeze", ()),
    ("unsqueeze", (1,)),
    ("__getitem__", ((slice(None), slice(0, 3, 2)),)),
    ("__getitem__", (1,)),
]


@pytest.mark.parametrize(("name", "arguments"), METHODS)
def test_methods_give_what_the_blocking_ones_give(c, run, name, arguments):
    array = np.arange(-12, 12).reshape(2, 3, 4)
    with c.tensor(array) as tensor:
        expected = getattr(tensor, name)(*arguments)
        values = expected.numpy()

        async def call(client):
            mine = await client.tensor(array)
            result = await getattr(mine, name)(*arguments)
            assert (result is mine) == (expected is tensor)
            facts = (result.shape, result.dtype, result.stride())
            return facts, await result.numpy()

        facts, read = run(call)
    assert facts == (expected.shape, expected.dtype, expected.stride())
    np.testing.assert_array_equal(read, values)
    assert read.dtype == values.dtype


def test_what_stands_between_always_goes(run):
    async def call(client):
        tensor = await client.tensor([[1.5, 2], [3, 4]])
        before = await client.list()

        async def read():
            return await tensor.detach().half().T[1:].reshape(-1).tolist()

        for _ in range(20):
            results = await asyncio.gather(*(read() for _ in range(10)))
            assert results == [[2, 4]] * 10
        await settles(client, before)

    run(call)


@pytest.mark.filterwarnings("ignore:coroutine:RuntimeWarning")
def test_methods_follow_each_other(run):
    async def call(client):
        array = np.arange(6).reshape(2, 3)
        tensor = await client.tensor(array, dtype="float32").requires_grad_()
        assert tensor.requires_grad
        before = await client.list()
        pending = tensor.detach().half().T[1:].reshape(-1)
        assert await pending.tolist() == [1, 4, 2, 5]
        assert await tensor.detach().cpu().numpy() is not None
        assert await client.tensor([2.5]).bfloat16().item() == 2.5
        half = await client.tensor([1]).half().detach()
        assert half.dtype == tensord.float16
        del half
        gc.collect()
        await settles(client, before)
        assert asyncio.iscoroutine(tensor.half())
        async with await asyncio.create_task(tensor.double()) as made:
            assert made.dtype == tensord.float64
        with pytest.raises(AttributeError, match="await it first"):
            tensor.clone().shape  # noqa: B018
        with pytest.raises(AttributeError, match="no_such"):
            tensor.clone().no_such  # noqa: B018
        with pytest.raises(IndexError):
            await tensor.half()[5].numpy()
        with pytest.raises(RuntimeError, match="Use tensor.detach"):
            await tensor.half().numpy()

    run(call)


def test_properties_that_make_tensors(run):
    async def call(client):
        tensor = await client.tensor([[1, 2], [3, 4]])
        assert await (await tensor.T).tolist() == [[1, 3], [2, 4]]
        assert await (await tensor.mT).tolist() == [[1, 3], [2, 4]]
        rows = [await row for row in tensor]
        assert [await row.tolist() for row in rows] == [[1, 2], [3, 4]]

    run(call)


def test_constructors(run):
    async def call(client):
        array = np.array([1.5, -2])
        assert await (await client.from_numpy(array)).tolist() == [1.5, -2]
        assert (await client.Tensor([1, 2])).dtype == tensord.float32
        source = await client.tensor(array, requires_grad=True)
        copied = await client.Tensor(source)
        assert (copied.dtype, copied.requires_grad) == (tensord.float32, False)
        with pytest.warns(UserWarning, match="copy construct"):
            copied = await client.tensor(source, requires_grad=True)
        assert copied.requires_grad
        assert await copied.tolist() == [1.5, -2]
        half = await client.convert(array, "float16")
        assert half.dtype == np.float16
        target = client._where.target
        async with await tensord.aio.connect(target) as other:
            with pytest.warns(UserWarning, match="copy construct"):
                copied = await other.tensor(source)
            assert await copied.tolist() == [1.5, -2]

    run(call)


def test_elements(run):
    async def call(client):
        tensor = await client.tensor([1.5], dtype="bfloat16")
        assert await tensor.item() == 1.5
        out = np.empty(1, np.float64)
        assert await tensor.numpy(dtype="float64", out=out) is out
        assert out[0] == 1.5
        reversed_out = np.empty(4, np.int64)[::-1]
        four = await client.tensor([1, 2, 3, 4])
        await four.numpy(out=reversed_out)
        assert reversed_out.tolist() == [1, 2, 3, 4]
        with pytest.raises(RuntimeError, match="2 elements cannot be conv"):
            await (await client.tensor([1, 2])).item()

    run(call)


def test_requires_grad(run):
    async def call(client):
        tensor = await client.tensor([1.0], name="aio/grad", replace=True)
        before = tensor.etag
        assert await tensor.requires_grad_() is tensor
        assert tensor.requires_grad
        assert tensor.etag != before
        assert (await client["aio/grad"]).etag == tensor.etag
        with pytest.raises(RuntimeError, match="Use tensor.detach"):
            await tensor.numpy()
        with pytest.raises(RuntimeError, match="floating point"):
            await (await client.tensor([1])).requires_grad_()
        await tensor.delete()

    run(call)


def test_names(run):
    async def call(client):
        await client.tensor([1], name="aio/a")
        assert await client.exists("aio/a")
        assert not await client.exists("aio/b")
        assert await (await client["aio/a"]).tolist() == [1]
        named = 'name = "tensors/aio/*"'
        assert await client.list(filter=named) == ["aio/a"]
        assert [i.name async for i in client.infos(filter=named)] == ["aio/a"]
        assert "aio/a" in [name async for name in client]
        await client.delete("aio/a")
        with pytest.raises(KeyError):
            await client["aio/a"]

    run(call)


def test_batches(run):
    async def call(client):
        arrays = [np.arange(i) for i in range(20)]
        before = await client.list()
        tensors = await client.create_batch(arrays)
        read = await client.numpy_batch(tensors)
        assert all(map(np.array_equal, read, arrays))
        cast = await client.to_batch(tensors, "int64")
        assert all(a is b for a, b in zip(cast, tensors, strict=True))
        names = [f"aio/{i}" for i in range(20)]
        cast = await client.to_batch(tensors, "float32", names=names)
        found = await client.get_batch(iter(names))
        assert [one.etag for one in found] == [one.etag for one in cast]
        await client.delete_batch(found + tensors)
        assert await client.list() == before

    run(call)


def test_a_batch_that_is_refused_keeps_nothing(run):
    async def call(client):
        before = await client.list()
        with pytest.raises(tensord.TensordError) as caught:
            await client.create_batch(
                [np.array([1]), np.array([1e9])], "int8", overflow="error"
            )
        del caught
        await settles(client, before)

    run(call)


def test_the_server(run):
    async def call(client):
        assert [str(one.device) for one in await client.devices()] == ["cpu"]
        assert (await client.server_info()).max_dimensions == 64

    run(call)


def threads():
    return len(os.listdir("/proc/self/task"))


def test_a_thousand_conversions_at_once_take_no_threads(run):
    arrays = [np.arange(i, i + 3000) for i in range(1000)]

    async def call(client):
        await client.convert(arrays[0], "float32")
        before = threads()
        pending = [
            asyncio.ensure_future(client.convert(array, "float32"))
            for array in arrays
        ]
        during = before
        while not all(one.done() for one in pending):
            during = max(during, threads())
            await asyncio.sleep(0.001)
        assert during == before
        return await asyncio.gather(*pending)

    for array, result in zip(arrays, run(call), strict=True):
        np.testing.assert_array_equal(result, array.astype(np.float32))


# NumPy's own threads, one for each core, are not ours.
def test_a_program_takes_fewer_than_ten_threads(server, run_python):
    script = (
        "import asyncio, os, sys, numpy as np, tensord.aio\n"
        "before = len(os.listdir('/proc/self/task'))\n"
        "async def main():\n"
        "    async with await tensord.aio.connect(sys.argv[1]) as c:\n"
        "        a = np.arange(1000)\n"
        "        todo = [c.convert(a, 'float16') for _ in range(1000)]\n"
        "        await asyncio.gather(*todo)\n"
        "        return len(os.listdir('/proc/self/task'))\n"
        "print(asyncio.run(main()) - before + 1)\n"
    )
    code, output, errors = run_python(script, server.target)
    assert (code, errors) == (0, "")
    if os.cpu_count() <= 4:
        assert int(output) < 10


def test_calls_overlap(run):
    """All are begun before the first ends."""

    async def call(client):
        array = np.zeros(4 << 20, np.uint8)
        order = []

        async def convert(number):
            await client.convert(array, "int16")
            order.append(number)

        await asyncio.gather(*map(convert, range(8)))
        small = await client.tensor([1])
        slow = asyncio.create_task(convert(8))
        await asyncio.sleep(0)
        await small.numpy()
        assert not slow.done()
        await slow

    run(call)


def test_a_cancelled_task_gives_its_call_up(run):
    async def call(client):
        array = np.ones(64 << 20, np.uint8)
        stored = await client.tensor(array)
        before = await client.list()
        for number, begin in enumerate(
            [
                lambda: client.tensor(array),
                lambda: client.convert(array, "int16"),
                lambda: stored.numpy(),
            ]
            * 5
        ):
            task = asyncio.create_task(begin())
            await asyncio.sleep(0.001 * number)
            task.cancel()
            try:
                await task
            except asyncio.CancelledError:
                pass
        assert np.array_equal(await stored.numpy(), array)
        del task
        gc.collect()
        await settles(client, before)

    run(call)


def test_cancelling_twice_waits_for_the_memory_even_so(run):
    async def call(client):
        out = np.zeros(64 << 20, np.uint8)
        stored = await client.tensor(np.ones(64 << 20, np.uint8))
        task = asyncio.create_task(stored.numpy(out=out))
        await asyncio.sleep(0.005)
        task.cancel()
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        seen = out.copy()
        await asyncio.sleep(0.05)
        assert np.array_equal(out, seen)

    run(call)


def test_timeouts_of_asyncio(run):
    async def call(client):
        array = np.ones(64 << 20, np.uint8)
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(client.convert(array, "complex128"), 0.01)

    run(call)


def test_unnamed_tensors_go_in_the_background(run):
    async def call(client):
        tensor = await client.tensor([1])
        name = tensor.id
        del tensor
        gc.collect()
        for _ in range(1000):
            if not await client.exists(name):
                return
            await asyncio.sleep(0.005)
        raise AssertionError("it is still there")

    run(call)


def test_async_with_and_closing_delete(run, server, c):
    async def call(client):
        async with await client.tensor([1], name="aio/with") as tensor:
            assert await client.exists("aio/with")
        assert not await client.exists("aio/with")
        assert "deleted" in repr(tensor)
        other = await tensord.aio.connect(server.target)
        unnamed = await other.tensor([1])
        named = await other.tensor([1], name="aio/named")
        await other.close()
        await other.close()
        assert not await client.exists(unnamed.id)
        assert await client.exists("aio/named")
        assert "closed" in repr(other)
        with pytest.raises(tensord.StateError, match="closed"):
            await named.numpy()
        with pytest.raises(tensord.StateError, match="closed"):
            await other.list()
        await client.delete("aio/named")

    run(call)


def test_closing_waits_for_calls_under_way(server):
    array = np.ones(16 << 20, np.uint8)

    async def call():
        async with await tensord.aio.connect(server.target) as client:
            pending = asyncio.create_task(client.convert(array, "int16"))
            await asyncio.sleep(0)
        return await asyncio.wait_for(pending, 20)

    assert asyncio.run(call()).sum() == array.size


def test_what_has_to_be_awaited_says_so(run):
    async def call(client):
        tensor = await client.tensor([1])
        for use in (bool, int, float, complex, np.asarray):
            with pytest.raises(TypeError, match="await"):
                use(tensor)
        with pytest.raises(TypeError, match="await"):
            1 in tensor  # noqa: B015
        with pytest.raises(TypeError, match="pickle"):
            pickle.dumps(tensor)
        assert repr(tensor).startswith("<tensord.aio.RemoteTensor 't-")

    run(call)


def test_a_client_belongs_to_its_event_loop(server):
    client = asyncio.run(tensord.aio.connect(server.target))

    async def use():
        with pytest.raises(tensord.StateError, match="another event loop"):
            await client.list()

    asyncio.run(use())
    client._close_at_exit()


def test_refusals_are_the_blocking_ones(run):
    async def call(client):
        with pytest.raises(TypeError, match="expected np.ndarray"):
            await client.from_numpy([1])
        with pytest.raises(KeyError) as caught:
            await client["aio/none"]
        assert caught.value.reason == "TENSOR_NOT_FOUND"
        with pytest.raises(OverflowError):
            await client.tensor(
                np.array([1e9]), dtype="int8", overflow="error"
            )

    run(call)


def test_nobody_listens():
    async def connect():
        await tensord.aio.connect("127.0.0.1:1")

    with pytest.raises(tensord.UnavailableError):
        asyncio.run(connect())


@pytest.mark.parametrize("ending", ["pass", "del t, n", "await c.close()"])
def test_the_interpreter_ends_quietly_and_cleans_up(
    server, c, run_python, ending
):
    before = set(c.list())
    script = (
        "import asyncio, sys, tensord.aio\n"
        "async def main():\n"
        "    global c, t, n, pending\n"
        "    c = await tensord.aio.connect(sys.argv[1])\n"
        "    t = await c.tensor([1.0, 2.0])\n"
        "    n = await c.tensor([1], name='aio/exits')\n"
        f"    {ending}\n"
        "asyncio.run(main())\n"
    )
    code, output, errors = run_python(script, server.target)
    assert (code, output, errors) == (0, "", "")
    for _ in range(200):
        if set(c.list()) - before == {"aio/exits"}:
            break
    assert set(c.list()) - before == {"aio/exits"}
    del c["aio/exits"]


def test_the_interpreter_ends_while_calls_run(server, run_python):
    script = (
        "import asyncio, os, sys, numpy as np, tensord.aio\n"
        "async def main():\n"
        "    c = await tensord.aio.connect(sys.argv[1])\n"
        "    a = np.zeros(64 << 20, np.uint8)\n"
        "    for _ in range(4):\n"
        "        asyncio.ensure_future(c.convert(a, 'int16'))\n"
        "    await asyncio.sleep(0.01)\n"
        "    sys.exit(3)\n"
        "asyncio.run(main())\n"
    )
    code, output, _ = run_python(script, server.target)
    assert (code, output) == (3, "")
