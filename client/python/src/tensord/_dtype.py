"""The types of elements, with PyTorch's names, and what is taken for one."""

from __future__ import annotations

import sys
from typing import Any, cast

import ml_dtypes
import numpy as np

from tensord.errors import InvalidTypeError, StateError

# In the order of core/dtype.h: name, NumPy's type, name of PyTorch's legacy
# tensor class.
_TABLE = (
    ("bool", np.bool_, "Bool"),
    ("uint8", np.uint8, "Byte"),
    ("uint16", np.uint16, "UInt16"),
    ("uint32", np.uint32, "UInt32"),
    ("uint64", np.uint64, "UInt64"),
    ("int8", np.int8, "Char"),
    ("int16", np.int16, "Short"),
    ("int32", np.int32, "Int"),
    ("int64", np.int64, "Long"),
    ("float16", np.float16, "Half"),
    ("bfloat16", ml_dtypes.bfloat16, "BFloat16"),
    ("float32", np.float32, "Float"),
    ("float64", np.float64, "Double"),
    ("complex64", np.complex64, "ComplexFloat"),
    ("complex128", np.complex128, "ComplexDouble"),
    ("float8_e4m3fn", ml_dtypes.float8_e4m3fn, "Float8_e4m3fn"),
    ("float8_e5m2", ml_dtypes.float8_e5m2, "Float8_e5m2"),
)

_ALIASES = {
    "half": "float16",
    "float": "float32",
    "double": "float64",
    "short": "int16",
    "int": "int32",
    "long": "int64",
    "cfloat": "complex64",
    "cdouble": "complex128",
}


class dtype:
    """The type of a tensor's elements.

    There is one object for each type, such as ``tensord.float32``; compare
    them with ``is`` or ``==``.

    Examples
    --------
    >>> c.tensor([1, 2]).dtype
    tensord.int64
    >>> tensord.half is tensord.float16
    True

    Wherever a dtype is asked for, NumPy's, PyTorch's, names and Python's
    types do as well:

    >>> for wanted in (tensord.float64, "float64", np.float64, float):
    ...     print(c.tensor([1], dtype=wanted).dtype)
    tensord.float64
    tensord.float64
    tensord.float64
    tensord.float64
    """

    __slots__ = ("_code", "_legacy", "_name", "_numpy")
    __module__ = "tensord"

    _code: int
    _legacy: str
    _name: str
    _numpy: np.dtype

    def __new__(cls) -> dtype:
        raise TypeError("cannot create 'tensord.dtype' instances")

    def __repr__(self) -> str:
        return f"tensord.{self._name}"

    def __reduce__(self) -> str:
        return self._name

    def __copy__(self) -> dtype:
        return self

    def __deepcopy__(self, memo: Any) -> dtype:
        return self

    @property
    def itemsize(self) -> int:
        """Bytes of one element.

        Examples
        --------
        >>> tensord.bfloat16.itemsize
        2
        """
        return self._numpy.itemsize

    @property
    def is_floating_point(self) -> bool:
        """Whether elements are floats of any width.

        Examples
        --------
        >>> tensord.float8_e5m2.is_floating_point
        True
        >>> tensord.complex64.is_floating_point
        False
        """
        return "float" in self._name

    @property
    def is_complex(self) -> bool:
        """Whether elements are complex numbers."""
        return self._numpy.kind == "c"

    @property
    def is_signed(self) -> bool:
        """Whether elements can be negative.

        Examples
        --------
        >>> tensord.int8.is_signed, tensord.uint8.is_signed
        (True, False)
        """
        return self._numpy.kind not in "bu"

    @property
    def numpy_dtype(self) -> np.dtype:
        """NumPy's dtype of the same elements, ml_dtypes' where it has none.

        Examples
        --------
        >>> tensord.float32.numpy_dtype
        dtype('float32')
        >>> tensord.bfloat16.numpy_dtype
        dtype(bfloat16)
        """
        return self._numpy

    @property
    def _can_require_grad(self) -> bool:
        return self.is_floating_point or self.is_complex


def _make(code: int, name: str, numpy_type: type, legacy: str) -> dtype:
    made = object.__new__(dtype)
    made._code = code
    made._name = name
    made._numpy = np.dtype(numpy_type)
    made._legacy = legacy
    return made


ALL_DTYPES = tuple(_make(code, *row) for code, row in enumerate(_TABLE))
BY_NAME = {one._name: one for one in ALL_DTYPES}
BY_NAME.update({alias: BY_NAME[name] for alias, name in _ALIASES.items()})
_BY_NUMPY = {one._numpy: one for one in ALL_DTYPES}
_SCALAR_TYPES = frozenset(one._numpy.type for one in ALL_DTYPES)
_ABSTRACT_TYPES = frozenset(
    {
        np.generic,
        np.number,
        np.integer,
        np.signedinteger,
        np.unsignedinteger,
        np.inexact,
        np.floating,
        np.complexfloating,
        np.flexible,
        np.character,
    }
)
_BY_PYTHON_TYPE = {
    bool: BY_NAME["bool"],
    int: BY_NAME["int64"],
    float: BY_NAME["float64"],
    complex: BY_NAME["complex128"],
}


def type_name(value: object) -> str:
    """The name of a value's class, as PyTorch's messages print it."""
    cls = type(value)
    if cls.__module__ in ("builtins", "tensord"):
        return cls.__name__
    return f"{cls.__module__}.{cls.__name__}"


def from_numpy_dtype(numpy_dtype: np.dtype) -> dtype | None:
    """The dtype of an array's elements, in whatever byte order."""
    return _BY_NUMPY.get(numpy_dtype.newbyteorder("="))


def _from_torch(value: object) -> dtype | None:
    torch = sys.modules.get("torch")
    if torch is None or not isinstance(value, torch.dtype):
        return None
    return BY_NAME.get(str(value).removeprefix("torch."))


def _from_numpy_type(value: object) -> dtype | None:
    if isinstance(value, np.dtype):
        return from_numpy_dtype(value)
    is_scalar_type = isinstance(value, type) and (
        value in _SCALAR_TYPES or issubclass(value, np.generic)
    )
    if not is_scalar_type or value in _ABSTRACT_TYPES:
        return None
    return from_numpy_dtype(np.dtype(cast(type, value)))


def find_dtype(value: object) -> dtype | None:
    """The dtype that `value` stands for; None if it stands for none.

    Taken are dtypes of tensord, NumPy, ml_dtypes and PyTorch, PyTorch's names
    as strings, and Python's ``bool``, ``int``, ``float`` and ``complex``.
    """
    if isinstance(value, dtype):
        return value
    if isinstance(value, str):
        return BY_NAME.get(value)
    if isinstance(value, type) and value in _BY_PYTHON_TYPE:
        return _BY_PYTHON_TYPE[value]
    return _from_numpy_type(value) or _from_torch(value)


def to_dtype(value: object, function: str) -> dtype:
    """As :func:`find_dtype`; refuses what stands for none."""
    found = find_dtype(value)
    if found is not None:
        return found
    if isinstance(value, str):
        raise InvalidTypeError(
            f"{function}(): unknown dtype '{value}'", reason="DTYPE_UNKNOWN"
        )
    raise InvalidTypeError(
        f"{function}(): argument 'dtype' must be tensord.dtype, not "
        f"{type_name(value)}"
    )


def _promote_floats(a: dtype, b: dtype) -> dtype:
    if a.itemsize == b.itemsize:
        return BY_NAME["float32"]
    return a if a.itemsize > b.itemsize else b


def _rank(one: dtype) -> int:
    if one.is_complex:
        return 3
    if one.is_floating_point:
        return 2
    return 0 if one._name == "bool" else 1


def _refuse_promotion(a: dtype, b: dtype) -> None:
    barred = {"uint16", "uint32", "uint64"}
    integers = _rank(a) < 2 and _rank(b) < 2
    if integers and (a._name in barred or b._name in barred):
        raise StateError(
            "Promotion for uint16, uint32, uint64 types is not supported, "
            f"attempted to promote {a._legacy} and {b._legacy}",
            code="INVALID_ARGUMENT",
            reason="DTYPE_UNSUPPORTED",
        )


def promote(a: dtype, b: dtype) -> dtype:
    """PyTorch's common dtype of two dtypes."""
    if a is b:
        return a
    _refuse_promotion(a, b)
    low, high = sorted((a, b), key=_rank)
    if _rank(high) == 3:
        wide = "float64" in (a._name, b._name) or "complex128" in (
            a._name,
            b._name,
        )
        return BY_NAME["complex128" if wide else "complex64"]
    if _rank(low) != _rank(high):
        return high
    if _rank(high) == 2:
        return _promote_floats(low, high)
    promoted = from_numpy_dtype(np.promote_types(low._numpy, high._numpy))
    assert promoted is not None
    return promoted
