"""Many small calls at once give what single calls give."""

import gc

import numpy as np
import pytest
import tensord
from ml_dtypes import bfloat16


def arrays_of_every_kind():
    random = np.random.default_rng(5)
    cube = random.standard_normal((2, 3, 4))
    return [
        cube,
        cube.astype(">f4"),
        cube.T,
        cube[::-1, ::2],
        np.asfortranarray(cube[0]),
        np.array(3, np.int8),
        np.zeros((0, 3), np.uint16),
        cube.astype(bfloat16),
        np.broadcast_to(np.arange(4), (3, 4)),
        random.standard_normal(100_000),
        np.array([True, False]),
        cube.astype(np.complex64),
    ]


def same(array, other):
    return (
        array.dtype == other.dtype
        and array.shape == other.shape
        and array.strides == other.strides
        and array.tobytes() == other.tobytes()
    )


def test_arrays_come_back_as_from_single_calls(c):
    arrays = arrays_of_every_kind()
    tensors = c.create_batch(arrays)
    single = [c.tensor(array) for array in arrays]
    for one, other in zip(tensors, single, strict=True):
        assert (one.dtype, one.shape, one.stride(), one.name) == (
            other.dtype,
            other.shape,
            other.stride(),
            None,
        )
    read = c.numpy_batch(tensors)
    for one, other in zip(read, single, strict=True):
        assert same(one, other.numpy())
        assert one.flags.writeable


def test_a_thousand_arrays_take_one_call_of_each_kind(c, server):
    arrays = list(np.arange(256_000, dtype=np.int32).reshape(1000, 256))
    before = server.handled()
    tensors = c.create_batch(iter(arrays))
    shorts = c.to_batch(tensors, "int16", overflow="saturate")
    read = c.numpy_batch(shorts, dtype="float32")
    c.delete_batch(tensors)
    c.delete_batch(shorts)
    after = server.handled()
    assert after["Batch"] - before.get("Batch", 0) == 5
    used = {name for name in after if after[name] != before.get(name, 0)}
    assert used == {"Batch"}
    assert np.array_equal(read, np.minimum(np.array(arrays), 32767))


def test_options_are_those_of_all(c):
    names = [f"batch/{i}" for i in range(3)]
    tensors = c.create_batch(
        [np.array([1.5, i]) for i in range(3)],
        dtype="float32",
        device="cpu",
        requires_grad=True,
        names=names,
        ttl=3600,
        report=True,
    )
    assert [tensor.name for tensor in tensors] == names
    assert all(tensor.requires_grad for tensor in tensors)
    assert all(tensor.conversion_report for tensor in tensors)
    assert next(one.expire_time for one in c.infos() if one.name == names[0])
    found = c.get_batch(names)
    assert [one.id for one in found] == names
    with pytest.raises(tensord.StateError, match="requires grad"):
        c.numpy_batch(tensors)
    forced = c.numpy_batch(tensors, force=True)
    assert np.array_equal(forced[2], np.array([1.5, 2], np.float32))
    cast = c.to_batch(
        tensors, "int8", names=[f"cast/{i}" for i in range(3)], report=True
    )
    assert cast[1].name == "cast/1"
    assert cast[1].conversion_report.rounded == 1
    c.delete_batch(tensors + cast)
    assert not any(name in c for name in names)
    with pytest.raises(tensord.NotFoundError):
        c.get_batch(["batch/0"])


def test_to_batch_is_to_of_each(c):
    tensors = c.create_batch(
        [np.arange(3, dtype=dtype) for dtype in ("f4", "f8", "i2")]
    )
    tensors[1].requires_grad_()
    results = c.to_batch(tensors, tensord.float32)
    assert results[0] is tensors[0]
    assert results[1].grad_fn.name() == "ToCopyBackward0"
    assert [one.dtype for one in results] == [tensord.float32] * 3
    copies = c.to_batch(tensors, "cpu", copy=True)
    for tensor, copy in zip(tensors, copies, strict=True):
        assert copy is not tensor
        assert repr(copy) == repr(tensor.to("cpu", copy=True))
    named = c.to_batch(tensors, "float32", names=["to/0", "to/1", "to/2"])
    for tensor, result in zip(tensors, named, strict=True):
        alone = tensor.to("float32", name="to/alone")
        assert repr(result) == repr(alone)
        assert result.is_leaf == alone.is_leaf
        alone.delete()
    c.delete_batch(named)


def test_unnamed_tensors_go_with_their_handles(c):
    tensors = c.create_batch([np.arange(3)] * 2)
    ids = [tensor.id for tensor in tensors]
    kept = tensors.pop()
    del tensors
    gc.collect()
    assert ids[0] not in c
    assert ids[1] in c
    assert kept.tolist() == [0, 1, 2]


def test_what_is_refused_leaves_nothing(c):
    before = c.list()
    good, bad = np.array([1.0]), np.array([300.0])
    with pytest.raises(tensord.CastOverflowError) as info:
        c.create_batch([good, bad, good], "int8", overflow="error")
    with pytest.raises(tensord.CastOverflowError) as alone:
        c.tensor(bad, "int8", overflow="error")
    assert str(info.value) == str(alone.value)
    assert info.value.metadata == alone.value.metadata
    with pytest.raises(tensord.TensordError, match="'twice'"):
        c.create_batch([good] * 3, names=["twice", "other", "twice"])
    assert c.list() == before
    tensors = c.create_batch([good, bad])
    during = c.list()
    with pytest.raises(tensord.CastOverflowError):
        c.to_batch(tensors, "int8", overflow="error")
    assert c.list() == during
    with pytest.raises(tensord.CastOverflowError):
        c.numpy_batch(tensors, dtype="int8", overflow="error")


def test_bad_arguments_are_refused_before_anything_is_sent(c, server):
    tensors = c.create_batch([np.arange(3)] * 2)
    other = tensord.connect(server.target)
    stranger = other.tensor([1])
    before = server.handled().get("Batch", 0)
    refusals = [
        (TypeError, lambda: c.create_batch([[1, 2]])),
        (TypeError, lambda: c.create_batch([np.array(["a"])])),
        (TypeError, lambda: c.create_batch([np.arange(3)], "float33")),
        (RuntimeError, lambda: c.create_batch([np.arange(3)], "int8", "gpu")),
        (
            RuntimeError,
            lambda: c.create_batch([np.arange(3)], requires_grad=True),
        ),
        (TypeError, lambda: c.create_batch([np.arange(3)], requires_grad=1)),
        (ValueError, lambda: c.create_batch([np.arange(3)], names=["a", "b"])),
        (TypeError, lambda: c.create_batch([np.arange(3)], names="a")),
        (ValueError, lambda: c.create_batch([np.arange(3)], names=[""])),
        (TypeError, lambda: c.get_batch("ab")),
        (ValueError, lambda: c.to_batch(tensors, "int8", names=["a"])),
        (TypeError, lambda: c.to_batch([np.arange(3)], "int8")),
        (TypeError, lambda: c.to_batch(tensors, 3.5)),
        (ValueError, lambda: c.numpy_batch([*tensors, stranger])),
        (TypeError, lambda: c.numpy_batch(tensors, force=1)),
        (ValueError, lambda: c.numpy_batch(tensors, overflow="wrap")),
        (ValueError, lambda: c.delete_batch([*tensors, stranger])),
    ]
    for kind, call in refusals:
        with pytest.raises(kind) as info:
            call()
        assert isinstance(info.value, tensord.TensordError)
    assert server.handled().get("Batch", 0) == before
    assert tensors[0].tolist() == [0, 1, 2]
    other.close()


def test_deleting_twice_is_refused_and_deletes_nothing(c):
    first, second = c.create_batch([np.arange(3)] * 2)
    first.delete()
    with pytest.raises(tensord.StateError, match="deleted"):
        c.delete_batch([second, first])
    assert second.tolist() == [0, 1, 2]
    c.delete_batch([second, second])
    assert second.id not in c


def test_empty_batches_are_empty(c):
    assert c.create_batch([]) == []
    assert c.to_batch([], "int8") == []
    assert c.get_batch([]) == []
    assert c.numpy_batch([]) == []
    assert c.delete_batch([]) is None


def test_a_closed_client_refuses(server):
    client = tensord.connect(server.target)
    tensors = client.create_batch([np.arange(3)])
    client.close()
    for call in (
        lambda: client.create_batch([np.arange(3)]),
        lambda: client.create_batch([]),
        lambda: client.to_batch(tensors, "int8"),
        lambda: client.get_batch(["a"]),
        lambda: client.numpy_batch(tensors),
        lambda: client.delete_batch(tensors),
    ):
        with pytest.raises(tensord.StateError, match="closed"):
            call()
