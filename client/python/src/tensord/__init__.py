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

from tensord import errors
from tensord._client import Client, connect
from tensord._device import Size, device
from tensord._dtype import BY_NAME as _BY_NAME
from tensord._dtype import dtype
from tensord._info import (
    ConversionReport,
    DeviceInfo,
    ServerInfo,
    TensorInfo,
)
from tensord._tensor import RemoteTensor
from tensord.errors import *  # noqa: F403

__version__ = "0.1.0"

bool = _BY_NAME["bool"]
uint8 = _BY_NAME["uint8"]
uint16 = _BY_NAME["uint16"]
uint32 = _BY_NAME["uint32"]
uint64 = _BY_NAME["uint64"]
int8 = _BY_NAME["int8"]
int16 = short = _BY_NAME["int16"]
int32 = int = _BY_NAME["int32"]
int64 = long = _BY_NAME["int64"]
float16 = half = _BY_NAME["float16"]
bfloat16 = _BY_NAME["bfloat16"]
float32 = float = _BY_NAME["float32"]
float64 = double = _BY_NAME["float64"]
complex64 = cfloat = _BY_NAME["complex64"]
complex128 = cdouble = _BY_NAME["complex128"]
float8_e4m3fn = _BY_NAME["float8_e4m3fn"]
float8_e5m2 = _BY_NAME["float8_e5m2"]

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
