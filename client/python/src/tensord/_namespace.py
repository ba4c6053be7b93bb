"""What the module `torch` has beside constructors, on a client."""

from __future__ import annotations

from tensord import _arguments
from tensord._device import Size, device
from tensord._dtype import BY_NAME, dtype

# Names of this class body hide built-ins.
_Bool = bool


class Namespace:
    """Lets a client stand where programs have the module `torch`.

    Examples
    --------
    >>> torch = c
    >>> t = torch.tensor([1, 2], dtype=torch.float64)
    >>> t.dtype is torch.double, torch.is_tensor(t)
    (True, True)
    """

    dtype = dtype
    device = device
    Size = Size

    bool = BY_NAME["bool"]
    uint8 = BY_NAME["uint8"]
    uint16 = BY_NAME["uint16"]
    uint32 = BY_NAME["uint32"]
    uint64 = BY_NAME["uint64"]
    int8 = BY_NAME["int8"]
    int16 = short = BY_NAME["int16"]
    int32 = int = BY_NAME["int32"]
    int64 = long = BY_NAME["int64"]
    float16 = half = BY_NAME["float16"]
    bfloat16 = BY_NAME["bfloat16"]
    float32 = float = BY_NAME["float32"]
    float64 = double = BY_NAME["float64"]
    complex64 = cfloat = BY_NAME["complex64"]
    complex128 = cdouble = BY_NAME["complex128"]
    float8_e4m3fn = BY_NAME["float8_e4m3fn"]
    float8_e5m2 = BY_NAME["float8_e5m2"]

    @staticmethod
    def is_tensor(obj: object) -> _Bool:
        """Whether a value is a tensor in a server."""
        return _arguments.is_tensor(obj)
