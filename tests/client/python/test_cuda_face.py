"""What the Python client says of tensors on a CUDA device, which needs none:
a tensor in CPU memory plays one."""

import numpy as np
import pytest
import tensord


@pytest.fixture
def on_cuda(c):
    """Makes a tensor that its handle takes for one on cuda:0."""

    def make(data, **options):
        tensor = c.tensor(data, **options)
        tensor._info = {**tensor._info, "device": "cuda:0"}
        return tensor

    return make


def test_numpy_refuses_the_device_before_grad(on_cuda):
    tensor = on_cuda([1.0, 2.0], requires_grad=True)
    for use in (tensor.numpy, lambda: np.asarray(tensor)):
        with pytest.raises(TypeError) as caught:
            use()
        assert str(caught.value) == (
            "can't convert cuda:0 device type tensor to numpy. Use "
            "Tensor.cpu() to copy the tensor to host memory first."
        )
        assert caught.value.reason == "NEEDS_CPU"
    assert tensor.numpy(force=True).tolist() == [1.0, 2.0]
    assert tensor.tolist() == [1.0, 2.0]


def test_dlpack_refuses_the_device(on_cuda):
    with pytest.raises(TypeError, match="can't convert cuda:0"):
        on_cuda([1.0]).__dlpack_device__()


def test_repr_names_the_device(on_cuda):
    assert repr(on_cuda([1, 2])) == "tensor([1, 2], device='cuda:0')"
    assert repr(on_cuda([1.0], dtype="half", requires_grad=True)) == (
        "tensor([1.], device='cuda:0', dtype=tensord.float16, "
        "requires_grad=True)"
    )
    assert repr(on_cuda(np.zeros((0, 3)))) == (
        "tensor([], device='cuda:0', size=(0, 3), dtype=tensord.float64)"
    )


def test_attributes(on_cuda):
    tensor = on_cuda([1.0])
    assert tensor.device == tensord.device("cuda", 0)
    assert (tensor.is_cuda, tensor.is_cpu) == (True, False)
    assert tensor.type() == "tensord.cuda.FloatTensor"


def test_moves_to_where_it_is_are_no_moves(on_cuda):
    tensor = on_cuda([1.0])
    for moved in (
        tensor.cuda(),
        tensor.cuda(0),
        tensor.cuda("cuda:0"),
        tensor.to("cuda"),
        tensor.to(0),
        tensor.to("cuda", tensord.float32),
        tensor.type("torch.cuda.FloatTensor"),
        tensor.float(),
    ):
        assert moved is tensor


def test_cpu_asks_the_server(on_cuda):
    tensor = on_cuda([1.0])
    moved = tensor.cpu()
    assert moved is not tensor
    assert moved.is_cpu
