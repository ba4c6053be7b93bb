"""Many arrays at once, of whatever kind."""

import array
import asyncio

import numpy as np
import pytest
import tensord
import tensord.aio


def test_put_many_takes_what_tensor_takes(c):
    data = [
        np.arange(3),
        [1.5, 2],
        7,
        True,
        array.array("i", [1, 2]),
        np.float16(1.5),
    ]
    made = c.put_many(data)
    for tensor, one in zip(made, data, strict=True):
        single = c.tensor(one)
        assert (tensor.dtype, tensor.tolist()) == (
            single.dtype,
            single.tolist(),
        )
    made = c.put_many(data, dtype="bfloat16", requires_grad=True)
    assert {t.dtype for t in made} == {tensord.bfloat16}
    assert all(t.requires_grad for t in made)
    assert c.put_many([]) == []


def test_put_many_by_names(c):
    made = c.put_many({"many/a": [1], "many/b": np.zeros((2, 2))}, ttl=60)
    assert [*made] == ["many/a", "many/b"]
    assert c["many/b"].shape == (2, 2)
    with pytest.raises(tensord.AlreadyExistsError):
        c.put_many({"many/c": [1], "many/a": [2]})
    assert "many/c" not in c
    c.put_many({"many/a": [3]}, replace=True)
    assert c["many/a"].tolist() == [3]
    c.delete_batch(made.values())


def test_get_many_takes_names_and_tensors(c):
    with c.tensor([1.5, 2.5], name="many/w") as w, c.tensor([7]) as n:
        first, second, third = c.get_many(["many/w", n, "many/w"])
        assert np.array_equal(first, w.numpy())
        assert np.array_equal(second, n.numpy())
        assert first is not third
        [read] = c.get_many([w], dtype="int8")
        assert read.dtype == np.int8
        with pytest.raises(tensord.NotFoundError, match="many/x"):
            c.get_many(["many/w", "many/x"])
    grad = c.tensor([1.0], requires_grad=True)
    with pytest.raises(RuntimeError, match="Can't call numpy"):
        c.get_many([grad])
    assert c.get_many([grad], force=True)[0].tolist() == [1]
    assert c.get_many([]) == []


def test_convert_many_is_convert_of_each(c):
    rng = np.random.default_rng(1)
    arrays = [
        rng.normal(size=rng.integers(0, 30_000)) * 1000 for _ in range(100)
    ]
    for overflow in ("torch", "saturate"):
        results = c.convert_many(arrays, "int8", overflow)
        for array_, result in zip(arrays, results, strict=True):
            assert np.array_equal(result, c.convert(array_, "int8", overflow))
    assert c.convert_many([], "int8") == []
    assert c.convert_many(iter([[1], 2]), "int8")[1].tolist() == 2


def test_one_refusal_ends_convert_many(c):
    arrays = [np.ones(10_000)] * 50 + [np.array([1e9])] + [np.ones(9)] * 50
    with pytest.raises(OverflowError):
        c.convert_many(arrays, "int8", "error")

    def some():
        yield from arrays[:5]
        raise KeyError

    with pytest.raises(KeyError):
        c.convert_many(some(), "int8")
    # Nothing is under way any more that could disturb what follows.
    assert c.convert([1.5], "int8").tolist() == [1]


def test_asyncio_has_them_too(server):
    async def main():
        async with await tensord.aio.connect(server.target) as client:
            made = await client.put_many({"aio/a": [1.5], "aio/b": 2})
            read = await client.get_many(["aio/a", made["aio/b"]])
            assert [one.tolist() for one in read] == [[1.5], 2]
            results = await client.convert_many([[1.5]] * 100, "int8")
            assert [one.tolist() for one in results] == [[1]] * 100
            with pytest.raises(OverflowError):
                await client.convert_many([[1.5], [1e9]] * 50, "int8", "error")
            await client.delete_batch(made.values())

    asyncio.run(main())
