"""Arrays of other libraries, taken as NumPy's without a copy, and given back.

PyTorch, JAX, CuPy and others are not imported here: who has an array of theirs
has done that.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from tensord import _native as native
from tensord._array import DLPACK_TYPES, array_dtype
from tensord._dtype import ALL_DTYPES, BY_NAME, dtype, type_name
from tensord.errors import InvalidTypeError

_BY_DLPACK_CODE = {code: element for element, code in DLPACK_TYPES.items()}

# DLPack's kDLCPU and kDLCUDAHost, kDLROCMHost, kDLCUDAManaged.
_HOST_DEVICES = frozenset({1, 3, 11, 13})

# What Python's own numbers become, by the kinds of NumPy's dtypes.
_OF_NUMBERS = {
    "b": BY_NAME["bool"],
    "i": BY_NAME["int64"],
    "u": BY_NAME["int64"],
    "f": BY_NAME["float32"],
    "c": BY_NAME["complex64"],
}


def is_torch(value: object) -> bool:
    """Whether a value is a tensor of PyTorch."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def _from_torch(tensor: Any) -> np.ndarray:
    torch = sys.modules["torch"]
    if tensor.layout is not torch.strided or tensor.is_quantized:
        raise InvalidTypeError(
            f"can't convert a {tensor.layout} tensor of {tensor.dtype} of "
            "PyTorch: use its to_dense() or dequantize() first",
            reason="DTYPE_UNSUPPORTED",
        )
    tensor = tensor.detach().cpu().resolve_conj().resolve_neg()
    element = BY_NAME.get(str(tensor.dtype).removeprefix("torch."))
    if element is None:
        raise InvalidTypeError(
            f"can't convert a tensor of {tensor.dtype} of PyTorch",
            reason="DTYPE_UNSUPPORTED",
        )
    if element not in DLPACK_TYPES:
        array: np.ndarray = tensor.numpy()
        return array
    holder = torch.int8 if element.itemsize == 1 else torch.int16
    bits: np.ndarray = tensor.view(holder).numpy()
    return bits.view(element.numpy_dtype)


def to_torch(array: np.ndarray) -> Any:
    """A tensor of PyTorch that shares the memory of an array."""
    try:
        import torch  # type: ignore[import-not-found, unused-ignore]
    except ImportError:
        raise InvalidTypeError(
            "PyTorch is not installed, which torch() gives a tensor of: use "
            "numpy(), or install it",
            code="FAILED_PRECONDITION",
        ) from None
    element = array_dtype(array)
    if element not in DLPACK_TYPES:
        return torch.from_numpy(array)
    holder = np.int8 if element.itemsize == 1 else np.int16
    return torch.from_numpy(array.view(holder)).view(
        getattr(torch, element._name)
    )


def _from_dlpack(exporter: Any) -> np.ndarray:
    kind, _ = exporter.__dlpack_device__()
    if kind not in _HOST_DEVICES:
        return _from_device(exporter)
    try:
        return np.from_dlpack(exporter)
    except (BufferError, RuntimeError, TypeError) as refusal:
        # What NumPy has no dtype for, or was not made for.
        try:
            elements, code = native.from_dlpack(exporter)
        except TypeError:
            raise _refused(exporter, refusal) from None
    element = _BY_DLPACK_CODE.get(code)
    if element is None or element.itemsize != elements.itemsize:
        raise InvalidTypeError(
            f"can't convert {type_name(exporter)}: tensors have no elements "
            f"of DLPack's type {code} with {8 * elements.itemsize} bits",
            reason="DTYPE_UNSUPPORTED",
        )
    return elements.view(element.numpy_dtype)


def _from_device(exporter: Any) -> np.ndarray:
    """A copy in this host's memory, which the other library makes."""
    try:
        return np.from_dlpack(exporter, device="cpu")
    except (BufferError, RuntimeError, TypeError, ValueError) as refusal:
        raise InvalidTypeError(
            f"can't convert {type_name(exporter)} of another device "
            f"({refusal}): copy it to the memory of this host first",
            code="FAILED_PRECONDITION",
            reason="NEEDS_CPU",
        ) from None


def _refused(exporter: object, refusal: Exception) -> InvalidTypeError:
    return InvalidTypeError(
        f"can't convert {type_name(exporter)}: {refusal}",
        reason="DTYPE_UNSUPPORTED",
    )


def shared_array(data: Any) -> np.ndarray | None:
    """The elements of an array of another library, with their dtype.

    Taken are tensors of PyTorch, and what has ``__array_interface__`` or
    ``__dlpack__``. Shares memory, but for what lives on another device. None
    for anything else.

    Raises
    ------
    InvalidTypeError
        It is an array, but not one that tensors can be made of.
    """
    if isinstance(data, np.ndarray):
        return data
    if isinstance(data, np.generic):
        return None
    if is_torch(data):
        return _from_torch(data)
    if hasattr(data, "__array_interface__"):
        return np.asarray(data)
    if hasattr(data, "__dlpack__") and hasattr(data, "__dlpack_device__"):
        return _from_dlpack(data)
    return None


def exported_buffer(data: Any) -> np.ndarray | None:
    """The elements that an object exports by Python's buffer protocol.

    Shares memory. None for an object that exports none, or none that tensors
    can have.
    """
    if isinstance(data, (bytes, str, np.generic)):
        return None
    try:
        view = memoryview(data)
    except TypeError:
        return None
    try:
        array = np.asarray(view)
        array_dtype(array)
    except (ValueError, InvalidTypeError):
        return None
    return array


def buffer_as_numbers(
    data: Any, target: dtype | None
) -> tuple[np.ndarray, dtype] | None:
    """A buffer, and the dtype of the tensor that its numbers would make.

    As if they were in a list: ints make int64, floats float32. None for what
    is to be looked at number by number, as it may not fit.
    """
    array = exported_buffer(data)
    if array is None:
        return None
    source = array_dtype(array).numpy_dtype
    wanted = target or _OF_NUMBERS[source.kind]
    if source.kind in "iu" and not wanted.is_floating_point:
        fits = np.can_cast(source, wanted.numpy_dtype, "safe")
        if not fits and not wanted.is_complex and wanted._name != "bool":
            return None
    if source.kind in "fc" and wanted not in _SAME_FROM_FLOATS[source.kind]:
        return None
    return array, wanted


_SAME_FROM_FLOATS = {
    "f": frozenset(
        one
        for one in ALL_DTYPES
        if one.is_floating_point or one.is_complex or one._name == "bool"
    ),
    "c": frozenset(one for one in ALL_DTYPES if one.is_complex),
}
