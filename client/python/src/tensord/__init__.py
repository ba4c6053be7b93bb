"""Client of tensord, a tensor daemon: PyTorch's constructors and casts for
NumPy arrays, without PyTorch.

Examples
--------
>>> import numpy as np, tensord
>>> c = tensord.connect("localhost:50051")
>>> t = c.tensor(np.array([5, 7, 1]), dtype="float32", name="w/0")
>>> t
tensor([5., 7., 1.])
>>> c["w/0"].half().numpy()
array([5., 7., 1.], dtype=float16)

The examples of this package begin where these two lines end:

>>> import numpy as np, tensord
>>> c = tensord.connect("localhost:50051")
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tensord import errors
from tensord.errors import *  # noqa: F403

__version__ = "0.1.0"

if TYPE_CHECKING:
    from tensord._client import Client, connect
    from tensord._device import Size, device
    from tensord._dtype import dtype
    from tensord._info import (
        ConversionReport,
        DeviceInfo,
        ServerInfo,
        TensorInfo,
    )
    from tensord._tensor import RemoteTensor

    bool: dtype
    uint8: dtype
    uint16: dtype
    uint32: dtype
    uint64: dtype
    int8: dtype
    int16: dtype
    short: dtype
    int32: dtype
    int: dtype
    int64: dtype
    long: dtype
    float16: dtype
    half: dtype
    bfloat16: dtype
    float32: dtype
    float: dtype
    float64: dtype
    double: dtype
    complex64: dtype
    cfloat: dtype
    complex128: dtype
    cdouble: dtype
    float8_e4m3fn: dtype
    float8_e5m2: dtype
else:
    # NumPy, and gRPC in the native module, take longer to be imported than a
    # command line may take to print its help: names that need them are looked
    # up when they are first used.
    _MODULES = {
        "Client": "_client",
        "ConversionReport": "_info",
        "DeviceInfo": "_info",
        "RemoteTensor": "_tensor",
        "ServerInfo": "_info",
        "Size": "_device",
        "TensorInfo": "_info",
        "connect": "_client",
        "device": "_device",
        "dtype": "_dtype",
    }

    def __getattr__(name):
        from importlib import import_module

        if name.startswith("_"):
            values = {}
        elif name in _MODULES:
            values = vars(import_module(f"tensord.{_MODULES[name]}"))
        else:
            values = import_module("tensord._dtype").BY_NAME
        if name not in values:
            raise AttributeError(f"module 'tensord' has no attribute {name!r}")
        globals()[name] = values[name]
        return values[name]

    def __dir__():
        return sorted({*globals(), *__all__, "bool", "float", "int"})


# But for those that would hide built-ins from `import *`.
__all__ = [
    "Client",
    "ConversionReport",
    "DeviceInfo",
    "RemoteTensor",
    "ServerInfo",
    "Size",
    "TensorInfo",
    "bfloat16",
    "cdouble",
    "cfloat",
    "complex128",
    "complex64",
    "connect",
    "device",
    "double",
    "dtype",
    "errors",
    "float16",
    "float32",
    "float64",
    "float8_e4m3fn",
    "float8_e5m2",
    "half",
    "int16",
    "int32",
    "int64",
    "int8",
    "long",
    "short",
    "uint16",
    "uint32",
    "uint64",
    "uint8",
    *errors.__all__,
]
