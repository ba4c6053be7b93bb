"""Side by side with PyTorch, where it is installed."""

import numpy as np
import pytest
import tensord
from tensord._dtype import ALL_DTYPES

torch = pytest.importorskip("torch", minversion="2.3")


def to_torch(tensor):
    dtype = getattr(torch, repr(tensor.dtype).removeprefix("tensord."))
    raw = np.frombuffer(tensor.numpy(force=True).tobytes(), np.uint8)
    flat = (
        torch.from_numpy(raw.copy()).view(dtype)
        if raw.size
        else (torch.zeros(0, dtype=dtype))
    )
    return flat.reshape(tuple(tensor.shape))


def random_numbers(rng, count):
    scale = 10.0 ** rng.integers(-6, 9)
    numbers = rng.normal(size=count) * scale
    if rng.random() < 0.4:
        numbers = numbers.round()
    special = [0.0, -0.0, np.nan, np.inf, -np.inf]
    odd = rng.random(count) < rng.choice([0, 0, 0.3])
    return np.where(odd, rng.choice(special, count), numbers)


@pytest.mark.parametrize("seed", range(60))
def test_random_tensors_print_alike(c, seed):
    rng = np.random.default_rng(seed)
    for dtype in ALL_DTYPES:
        shape = tuple(rng.integers(0, 9, rng.integers(0, 4)))
        count = int(np.prod(shape))
        values = torch.from_numpy(random_numbers(rng, count))
        torch_dtype = getattr(torch, repr(dtype).removeprefix("tensord."))
        theirs = values.to(torch_dtype).reshape(shape)
        raw = theirs.reshape(-1).clone().view(torch.uint8) if count else None
        array = (
            np.frombuffer(raw.numpy().tobytes(), dtype.numpy_dtype)
            if count
            else np.zeros(0, dtype.numpy_dtype)
        ).reshape(shape)
        ours = c.from_numpy(array)
        assert repr(ours) == repr(theirs).replace("torch.", "tensord.")


def test_views_of_random_tensors_agree(c):
    rng = np.random.default_rng(5)
    array = rng.integers(-100, 100, (4, 5, 6))
    ours, theirs = c.from_numpy(array), torch.from_numpy(array)
    for _ in range(80):
        choice = rng.integers(5)
        if choice == 0:
            dims = rng.permutation(3).tolist()
            step = lambda t: t.permute(dims)  # noqa: E731, B023
        elif choice == 1:
            start, stride = int(rng.integers(0, 3)), int(rng.integers(1, 3))
            step = lambda t: t[..., start::stride]  # noqa: E731, B023
        elif choice == 2:
            step = lambda t: t.flatten(1)  # noqa: E731
        elif choice == 3:
            step = lambda t: t.transpose(0, -1).reshape(-1, 4)  # noqa: E731
        else:
            step = lambda t: t.unsqueeze(1).short()  # noqa: E731
        a, b = step(ours.permute(1, 0, 2)), step(theirs.permute(1, 0, 2))
        assert a.shape == tuple(b.shape)
        assert a.stride() == b.stride()
        assert a.storage_offset() == b.storage_offset()
        assert a.tolist() == b.tolist()


def test_torch_objects_are_taken(c):
    assert c.tensor([1], dtype=torch.bfloat16).dtype is tensord.bfloat16
    assert c.tensor([1]).to(torch.float16).dtype is tensord.float16
    assert c.tensor([1], device=torch.device("cpu")).is_cpu
    assert c.tensor([1]).to(torch.device("cpu"), torch.int8).is_cpu
    kept = c.tensor([1.0])
    assert kept.to(torch.float32, memory_format=torch.preserve_format) is kept


def test_torch_takes_our_tensors(c):
    ours = c.tensor([[1.0, 2.0]])
    assert torch.equal(torch.from_dlpack(ours), torch.tensor([[1.0, 2.0]]))
    assert torch.equal(torch.from_numpy(ours.numpy()), to_torch(ours))
    for name in ("bfloat16", "float8_e4m3fn", "float8_e5m2"):
        narrow = c.tensor([[1.0, -2.0], [0.5, 0.0]], dtype=name).T
        taken = torch.from_dlpack(narrow)
        assert str(taken.dtype) == f"torch.{name}"
        assert taken.stride() == narrow.stride()
        assert taken.tolist() == narrow.tolist()
    with pytest.raises(BufferError):
        torch.from_dlpack(c.tensor([1.0], requires_grad=True))
