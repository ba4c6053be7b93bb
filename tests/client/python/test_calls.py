"""How many calls things take; the server counts them."""

import gc

import numpy as np
import pytest


@pytest.fixture
def calls(server):
    """Counts the calls that a function makes, by method."""

    def count(function):
        # What other tests left to the collector is not deleted meanwhile.
        gc.collect()
        before = server.handled()
        kept = function()
        after = server.handled()
        made = {
            method: count - before.get(method, 0)
            for method, count in after.items()
            if count != before.get(method, 0)
        }
        del kept
        return made

    return count


@pytest.mark.parametrize(
    ("use", "expected"),
    [
        (lambda t: t.numpy(force=True), {"ReadTensor": 1}),
        (lambda t: t.detach(), {"TransformTensor": 1}),
        (lambda t: t.half(), {"TransformTensor": 1}),
        (lambda t: t[1:, 0], {"TransformTensor": 1}),
        (lambda t: t.tolist(), {"ReadTensor": 1}),
        (lambda t: repr(t), {"ReadTensor": 1}),
        (lambda t: t.to(t.dtype), {}),
        (lambda t: t.cpu(), {}),
        (lambda t: t.float().contiguous().requires_grad_(), {}),
        (lambda t: (t.shape, t.stride(), t.device, t.grad_fn, t.nbytes), {}),
        (lambda t: len(t), {}),
    ],
)
def test_calls_per_use(c, calls, use, expected):
    tensor = c.tensor(np.ones((3, 4), np.float32), requires_grad=True)
    assert calls(lambda: use(tensor)) == expected


def test_refusals_that_need_no_call(c, calls):
    tensor = c.tensor(np.ones(3, np.float32), requires_grad=True)

    def refused():
        for use in (
            tensor.numpy,
            lambda: tensor.to("gpu"),
            lambda: tensor[0, 0],
            lambda: c.from_numpy([1]),
            lambda: c.tensor([1], requires_grad=True),
        ):
            with pytest.raises(Exception):  # noqa: B017, PT011
                use()

    assert calls(refused) == {}


def test_small_arrays_take_one_call_and_large_ones_streams(c, calls):
    assert calls(lambda: c.from_numpy(np.ones(3))) == {"CreateTensor": 1}
    large = np.ones((8 << 20) - 1, np.uint8)
    assert calls(lambda: c.from_numpy(large)) == {"UploadTensor": 1}
    # One over each of two connections.
    larger = np.ones(8 << 20, np.uint8)
    assert calls(lambda: c.from_numpy(larger)) == {"UploadTensor": 2}
