"""What printing costs, and what surrounds the elements."""

import numpy as np
import pytest
import tensord


def sent_bytes(server):
    return server.metrics()["tensord_download_bytes_total"]


@pytest.mark.parametrize(
    ("shape", "shown"),
    [
        ((100_000,), 6),
        ((1000, 1000), 36),
        ((5, 300, 300), 5 * 36),
        ((2, 600), 2 * 6),
        ((20, 50), 1000),
        ((10,), 10),
        ((0, 5), 0),
    ],
)
def test_only_what_is_printed_is_fetched(server, c, shape, shown):
    tensor = c.from_numpy(np.ones(shape, np.float64))
    before = sent_bytes(server)
    repr(tensor)
    assert sent_bytes(server) - before == shown * 8


def test_notes_break_lines_where_torch_breaks_them(c):
    values = np.arange(9.0)
    assert repr(c.tensor(values, requires_grad=True)) == (
        "tensor([0., 1., 2., 3., 4., 5., 6., 7., 8.], dtype=tensord.float64,\n"
        "       requires_grad=True)"
    )


def test_printing_needs_no_detach(c):
    tensor = c.tensor([1.0], requires_grad=True)
    assert repr(tensor) == "tensor([1.], requires_grad=True)"
    assert repr(tensor.half()) == (
        "tensor([1.], dtype=tensord.float16, grad_fn=<ToCopyBackward0>)"
    )
    assert str(tensor) == repr(tensor)


def test_grad_fn_prints_as_an_object(c):
    grad_fn = c.tensor([1.0], requires_grad=True).half().grad_fn
    assert repr(grad_fn).startswith("<ToCopyBackward0 object at 0x")


def test_small_values():
    assert repr(tensord.Size([2, 3])) == "tensord.Size([2, 3])"
    assert repr(tensord.float8_e4m3fn) == "tensord.float8_e4m3fn"
    assert repr(tensord.device("cuda:1")) == "device(type='cuda', index=1)"
