"""Tensors on CUDA devices, which two stand-ins of the tests' are: all that can
be seen of them is as it is on the CPU, and what PyTorch says of its own.
"""

import itertools

import numpy as np
import pytest
import tensord

MIB = 1 << 20
DEVICE_BYTES = 256 * MIB
DTYPES = [
    "bool", "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32",
    "int64", "float16", "bfloat16", "float32", "float64", "complex64",
    "complex128", "float8_e4m3fn", "float8_e5m2"]


def bits(array):
    """The bytes of an array, in C order."""
    return np.ascontiguousarray(array).tobytes()


def patterns(dtype, count=4001):
    """Random bits as NumPy's array of a dtype it has."""
    random = np.random.default_rng(1)
    data = random.integers(0, 256, count * np.dtype(dtype).itemsize, np.uint8)
    return data.view(dtype)


def test_devices_are_listed(gpu):
    devices = gpu.devices()
    assert [str(one.device) for one in devices] == ["cpu", "cuda:0", "cuda:1"]
    assert devices[1].description == "Stand-in"
    assert devices[1].memory_limit_bytes == DEVICE_BYTES * 9 // 10
    assert gpu.server_info().cuda_built


def test_the_way_from_numpy_and_back(gpu):
    a = np.array([5, 7, 1, 2, 4, 4])
    t = gpu.tensor(a, dtype="float32", device="cuda:0", requires_grad=True)
    assert repr(t) == (
        "tensor([5., 7., 1., 2., 4., 4.], device='cuda:0', requires_grad=True)")
    with pytest.raises(TypeError) as caught:
        t.numpy()
    assert str(caught.value) == (
        "can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu() to "
        "copy the tensor to host memory first.")
    with pytest.raises(RuntimeError, match="requires grad"):
        t.cpu().numpy()
    result = t.detach().cpu().numpy()
    assert result.dtype == np.float32
    np.testing.assert_array_equal(result, a)
    np.testing.assert_array_equal(t.numpy(force=True), a)


@pytest.mark.parametrize("source", [
    np.bool_, np.uint8, np.int16, np.float16, np.float32, np.float64, np.int64,
    np.complex128])
def test_every_dtype_is_stored_as_on_the_cpu(gpu, source):
    array = patterns(source)
    for dtype, overflow in itertools.product(DTYPES, ["torch", "saturate"]):
        cpu = gpu.tensor(array, dtype=dtype, overflow=overflow)
        cuda = gpu.tensor(array, dtype=dtype, overflow=overflow,
                          device="cuda:0")
        assert cuda.device == tensord.device("cuda:0")
        expected = bits(cpu.numpy(force=True))
        assert bits(cuda.numpy(force=True)) == expected, dtype
        assert bits(cuda.cpu().numpy(force=True)) == expected, dtype
        assert bits(cuda.to("cuda:1").numpy(force=True)) == expected, dtype


def test_casts_on_the_device_are_those_of_the_cpu(gpu):
    array = patterns(np.float32)
    cpu = gpu.tensor(array)
    cuda = gpu.tensor(array, device="cuda:1")
    for dtype in DTYPES:
        there = cuda.to(dtype)
        assert str(there.device) == "cuda:1"
        expected = bits(cpu.to(dtype).numpy(force=True))
        assert bits(there.numpy(force=True)) == expected, dtype
        across = cuda.to(device="cuda:0", dtype=dtype)
        assert bits(across.numpy(force=True)) == expected, dtype
        down = cuda.to(device="cpu", dtype=dtype)
        assert bits(down.numpy(force=True)) == expected, dtype


@pytest.mark.parametrize("view", [
    lambda t: t[3:20, 1:30:3],
    lambda t: t.permute(1, 0),
    lambda t: t.permute(1, 0)[5:9],
    lambda t: t[7],
    lambda t: t.reshape(35, 24)[::5],
    lambda t: t.permute(1, 0).contiguous(),
    lambda t: t.permute(1, 0).half(),
    lambda t: t.permute(1, 0).double(),
    lambda t: t[:0],
])
def test_views_are_those_of_the_cpu(gpu, view):
    array = patterns(np.int32, 24 * 35).reshape(24, 35)
    expected = view(gpu.tensor(array))
    actual = view(gpu.tensor(array, device="cuda:0"))
    for there in (actual, actual.to("cuda:1"), actual.cpu()):
        assert there.shape == expected.shape
        assert bits(there.numpy(force=True)) == bits(expected.numpy())
    assert actual.stride() == expected.stride()


def test_strict_casts_are_refused_as_on_the_cpu(gpu):
    array = np.linspace(-5, 400, 3000, dtype=np.float64)
    for make in (
        lambda device: gpu.tensor(array, dtype="uint8", overflow="error",
                                  device=device),
        lambda device: gpu.tensor(array, device=device).to(
            "uint8", overflow="error"),
        lambda device: gpu.tensor(array.astype(np.int16), device=device).to(
            "uint32", overflow="error"),
        lambda device: gpu.tensor(array.astype(np.int16), dtype="uint32",
                                  overflow="error", device=device),
    ):
        with pytest.raises(OverflowError) as on_cpu:
            make("cpu")
        with pytest.raises(OverflowError) as on_cuda:
            make("cuda:0")
        assert str(on_cuda.value) == str(on_cpu.value)


def test_large_arrays_come_and_go_in_parts(gpu, gpu_server):
    array = patterns(np.float32, 6 * MIB)
    for dtype in ("float32", "bfloat16", "float64"):
        t = gpu.tensor(array, dtype=dtype, device="cuda:0")
        expected = gpu.convert(array, dtype)
        assert bits(t.numpy(force=True)) == bits(expected)
    assert gpu_server.handled()["UploadTensor"] >= 6


def test_out_of_memory_is_pytorchs(gpu):
    kept = gpu.tensor([1, 2, 3], device="cuda:0")
    with pytest.raises(MemoryError) as caught:
        gpu.tensor(np.zeros(DEVICE_BYTES, np.uint8), device="cuda:0")
    assert str(caught.value).startswith(
        "CUDA out of memory. Tried to allocate 256.00 MiB. GPU 0 has a total "
        "capacity of ")
    assert caught.value.reason == "DEVICE_MEMORY_EXHAUSTED"
    assert kept.cpu().numpy().tolist() == [1, 2, 3]


def test_memory_comes_back(gpu):
    def used():
        return gpu.devices()[2].memory_used_bytes
    before = used()
    t = gpu.tensor(np.zeros(MIB), device="cuda:1")
    assert used() == before + 8 * MIB
    t.delete()
    assert used() == before


def test_absent_devices_are_told_as_pytorch_does(gpu):
    for use in (
        lambda: gpu.tensor([1], device="cuda:7"),
        lambda: gpu.tensor([1]).cuda(7),
        lambda: gpu.tensor([1], device="cuda:0").to("cuda:7"),
    ):
        with pytest.raises(RuntimeError) as caught:
            use()
        assert str(caught.value) == (
            "CUDA error: invalid device ordinal; there is no device cuda:7; "
            "there are: cpu, cuda:0, cuda:1")


def test_metrics_tell_of_devices(gpu, gpu_server):
    stored = 'tensord_memory_bytes{device="cuda:1",kind="stored"}'
    before = gpu_server.metrics()[stored]
    t = gpu.tensor(np.zeros(1000), device="cuda:1")
    metrics = gpu_server.metrics()
    assert metrics[stored] == before + 8000
    assert metrics['tensord_device_in_service{device="cuda:1"}'] == 1
    assert metrics['tensord_memory_limit_bytes{device="cuda:1"}'] == (
        DEVICE_BYTES * 9 // 10)
    assert metrics['tensord_memory_bytes{device="cuda:1",kind="pinned"}'] >= (
        8 * MIB)
    t.delete()
    assert gpu_server.metrics()[stored] == before
