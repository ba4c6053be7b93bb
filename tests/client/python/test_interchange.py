"""Arrays of other libraries, in and out."""

import array
import ctypes
import gc
import importlib.util
import weakref

import ml_dtypes
import numpy as np
import pytest
import tensord
from tensord._dtype import ALL_DTYPES
from tensord._interchange import shared_array

HOST_BYTES = 1 << 16


class Interface:
    """Has nothing but ``__array_interface__``."""

    def __init__(self, array):
        self._array = array
        self.__array_interface__ = array.__array_interface__


class Dlpack:
    """Has nothing but DLPack."""

    def __init__(self, array):
        self._array = array

    def __dlpack__(self, **options):
        return self._array.__dlpack__(**options)

    def __dlpack_device__(self):
        return self._array.__dlpack_device__()


class OldDlpack(Dlpack):
    """Knows none of the arguments of newer versions of DLPack."""

    def __dlpack__(self):
        return self._array.__dlpack__()


class OnDevice(Dlpack):
    """Lives on a GPU, and copies from there if that is asked for."""

    def __init__(self, array, copies):
        super().__init__(array)
        self._copies = copies

    def __dlpack_device__(self):
        return (2, 0)

    def __dlpack__(self, dl_device=None, **options):
        if dl_device is None or not self._copies:
            raise BufferError("it is on a GPU")
        return self._array.__dlpack__()


def numpy_dtypes():
    return [
        d
        for d in ALL_DTYPES
        if "ml_dtypes" not in d.numpy_dtype.type.__module__
    ]


@pytest.mark.parametrize("kind", [Interface, Dlpack, OldDlpack])
@pytest.mark.parametrize("dtype", numpy_dtypes(), ids=repr)
def test_arrays_of_other_libraries_keep_their_dtype(c, kind, dtype):
    for source in (
        np.arange(24).reshape(2, 3, 4).astype(dtype.numpy_dtype),
        np.arange(24).reshape(4, 6).astype(dtype.numpy_dtype)[::2, ::-3],
        np.zeros((0, 3), dtype.numpy_dtype),
        np.array(1, dtype.numpy_dtype),
    ):
        other = kind(source)
        assert c.tensor(other).dtype is dtype
        assert np.array_equal(c.tensor(other).numpy(), source)
        assert c.Tensor(other).dtype is tensord.float32
        assert c.convert(other, "float64").dtype == np.float64
        assert c.tensor(other, dtype="int8").dtype is tensord.int8
        if kind is not Interface:
            assert np.array_equal(c.from_dlpack(other).numpy(), source)


def test_arrays_of_other_libraries_are_not_copied():
    source = np.arange(HOST_BYTES, dtype=np.uint8)
    for kind in (Interface, Dlpack, OldDlpack):
        assert np.shares_memory(shared_array(kind(source)), source)


@pytest.mark.parametrize("name", ["bfloat16", "float8_e4m3fn", "float8_e5m2"])
def test_elements_that_numpy_has_no_dtype_for_come_by_dlpack(c, name):
    element = getattr(tensord, name)
    numbers = np.arange(6).reshape(2, 3).astype(element.numpy_dtype)
    exporter = c.from_numpy(numbers)
    shared = shared_array(exporter_of(exporter))
    assert shared.dtype == numbers.dtype
    assert shared.tolist() == numbers.tolist()
    other = c.tensor(exporter_of(exporter))
    assert other.dtype is element
    assert other.tolist() == exporter.tolist()


def exporter_of(tensor):
    """What shares what a tensor of ours gives by DLPack, and is none of ours."""
    return OldDlpack(tensor)


def test_shared_memory_lives_as_long_as_its_array(c):
    source = np.arange(6).astype(ml_dtypes.bfloat16)
    tensor = c.from_numpy(source)
    shared = shared_array(exporter_of(tensor))
    gc.collect()
    assert shared.tolist() == [0, 1, 2, 3, 4, 5]
    watched = np.zeros(4, np.int16)
    gone = weakref.ref(watched)
    view = shared_array(Dlpack(watched))
    del watched
    assert gone() is not None
    del view
    gc.collect()
    assert gone() is None


def test_arrays_on_devices_are_copied_by_their_library_or_refused(c):
    source = np.arange(4.0)
    if np.lib.NumpyVersion(np.__version__) >= "2.1.0":
        assert c.tensor(OnDevice(source, True)).tolist() == [0, 1, 2, 3]
    with pytest.raises(TypeError, match="memory of this host first") as no:
        c.tensor(OnDevice(source, False))
    assert no.value.reason == "NEEDS_CPU"


@pytest.mark.parametrize("code", "bBhHiIlLqfd")
def test_buffers_make_what_lists_of_their_numbers_make(c, code):
    numbers = array.array(code, [0, 1, 2, 100])
    as_list = c.tensor(numbers.tolist())
    for buffer in (numbers, memoryview(numbers), memoryview(numbers)[::2]):
        expected = c.tensor(buffer.tolist())
        ours = c.tensor(buffer)
        assert ours.dtype is expected.dtype is as_list.dtype
        assert ours.tolist() == expected.tolist()
        assert c.Tensor(buffer).tolist() == c.Tensor(buffer.tolist()).tolist()
        assert c.asarray(buffer).dtype.numpy_dtype == np.asarray(buffer).dtype
        for name in ("float16", "int8", "bool", "complex64"):
            assert (
                c.tensor(buffer, dtype=name).tolist()
                == c.tensor(buffer.tolist(), dtype=name).tolist()
            )


@pytest.mark.parametrize(
    ("numbers", "dtype"),
    [
        (array.array("q", [300]), "int8"),
        (array.array("d", [300.0]), "uint8"),
        (array.array("Q", [2**63]), None),
        (array.array("b", [-1]), "uint16"),
    ],
)
def test_numbers_of_buffers_that_do_not_fit_are_as_in_lists(c, numbers, dtype):
    def outcome(data):
        try:
            return c.tensor(data, dtype=dtype).tolist()
        except Exception as error:
            return type(error), str(error)

    assert outcome(numbers) == outcome(numbers.tolist())


def test_ctypes_arrays_and_byte_arrays_are_buffers(c):
    numbers = (ctypes.c_float * 3)(1.5, 2, 3)
    assert c.tensor(numbers).tolist() == [1.5, 2, 3]
    assert c.asarray(bytearray(b"ab")).dtype is tensord.uint8
    assert c.tensor(bytearray(b"ab")).dtype is tensord.int64
    grid = memoryview(np.arange(6.0).reshape(2, 3))
    assert c.asarray(grid).shape == (2, 3)
    assert c.asarray([1, 2]).dtype is tensord.int64
    with pytest.raises(TypeError):
        c.tensor(b"ab")


def test_what_has_no_dlpack_is_refused(c):
    for wrong in ([1], c.tensor([1])):
        with pytest.raises(TypeError, match="__dlpack__"):
            c.from_dlpack(wrong)
    with pytest.raises(TypeError, match="must be torch.Tensor, not list"):
        c.from_torch([1])


def test_torch_says_that_it_is_not_there(c, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "torch", None)
    with pytest.raises(TypeError, match="PyTorch is not installed"):
        c.tensor([1]).torch()


def test_images_are_arrays(c):
    image = pytest.importorskip("PIL.Image")
    photo = image.new("RGB", (5, 4), (1, 2, 3))
    tensor = c.tensor(photo)
    assert tensor.shape == (4, 5, 3)
    assert tensor[0, 0].tolist() == [1, 2, 3]


JAX = """
import sys
import jax.numpy as jnp
import tensord

c = tensord.connect(sys.argv[1])
for dtype in ("float32", "int8", "bool", "bfloat16", "float8_e4m3fn"):
    source = jnp.arange(6).reshape(2, 3).astype(dtype)
    tensor = c.tensor(source)
    assert repr(tensor.dtype) == f"tensord.{dtype}"
    assert tensor.tolist() == source.tolist()
back = jnp.from_dlpack(c.tensor([[1.5, 2]], dtype="bfloat16"))
assert back.dtype == jnp.bfloat16
assert back.tolist() == [[1.5, 2]]
"""


def test_jax_goes_in_and_out(server, run_python):
    # In a process of its own, as JAX has threads that forks do not outlive.
    if importlib.util.find_spec("jax") is None:
        pytest.skip("there is no JAX")
    status, _, errors = run_python(JAX, server.target)
    assert status == 0, errors


def test_torch_goes_in_and_out(c):
    torch = pytest.importorskip("torch", minversion="2.3")
    for dtype in ALL_DTYPES:
        theirs = getattr(torch, dtype._name)
        source = torch.arange(6).reshape(2, 3).to(theirs)
        for view in (source, source.t(), source[:, ::2], source[:0]):
            tensor = c.tensor(view)
            assert tensor.dtype is dtype
            assert tensor.tolist() == view.to(torch.complex128).tolist() or (
                tensor.tolist() == view.tolist()
            )
            back = tensor.torch()
            assert back.dtype is theirs
            assert back.shape == view.shape
            assert torch.equal(
                back.to(torch.complex128), view.to(torch.complex128)
            )
    grad = torch.ones(2, requires_grad=True)
    assert not c.tensor(grad).requires_grad
    assert c.from_torch(grad).requires_grad
    with pytest.raises(RuntimeError, match="Can't call numpy"):
        c.from_torch(grad).torch()
    assert torch.from_dlpack(c.tensor([1.5]).half()).tolist() == [1.5]
    conjugate = torch.tensor([1 + 2j]).conj()
    assert c.tensor(conjugate).tolist() == [1 - 2j]
    assert c.tensor(torch.view_as_real(conjugate.resolve_conj())).ndim == 2
    with pytest.raises(TypeError, match="to_dense"):
        c.tensor(torch.eye(2).to_sparse())
    assert np.shares_memory(shared_array(grad), grad.detach().numpy())
