"""What a server tells of its tensors, its devices and itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tensord._device import Size, device
from tensord._dtype import ALL_DTYPES, dtype

if TYPE_CHECKING:
    from tensord import _native as native


@dataclass(frozen=True)
class TensorInfo:
    """What a server tells of a tensor. Times are seconds since 1970.

    Examples
    --------
    >>> t = c.tensor(np.zeros((4, 3)), dtype="bfloat16", name="w/0", ttl=60)
    >>> (info,) = c.infos()
    >>> info.name, info.shape, info.dtype, info.nbytes
    ('w/0', tensord.Size([4, 3]), tensord.bfloat16, 24)
    >>> round(info.expire_time - info.create_time)
    60
    """

    name: str
    dtype: dtype
    shape: Size
    device: device
    requires_grad: bool
    nbytes: int
    storage_id: str
    etag: str
    create_time: float
    update_time: float
    expire_time: float | None
    lease: float | None


@dataclass(frozen=True)
class ConversionReport:
    """What a conversion did to the values of a tensor.

    Each element is in at most one of the counts: ``rounded`` counts values
    that fit but were not kept, ``overflowed`` those that did not fit,
    ``nan_to_integer`` NaN that became an integer. ``max_absolute_error`` is
    the largest ``abs(result - source)`` where both are finite.

    Examples
    --------
    >>> array = np.array([0.5, 300.0, np.nan])
    >>> report = c.tensor(array, "uint8", report=True).conversion_report
    >>> report.rounded, report.overflowed, report.nan_to_integer
    (1, 1, 1)
    >>> report.max_absolute_error  # 300 became 44
    256.0
    """

    rounded: int
    overflowed: int
    nan_to_integer: int
    max_absolute_error: float


@dataclass(frozen=True)
class DeviceInfo:
    """A device that can hold tensors, and its memory.

    ``out_of_service`` says why the device works no more until the server is
    started again; it is empty while it works.

    Examples
    --------
    >>> for info in c.devices():
    ...     free = info.memory_limit_bytes - info.memory_used_bytes
    ...     if not info.out_of_service and free > 1 << 20:
    ...         print(info.device)
    cpu
    """

    device: device
    description: str
    memory_limit_bytes: int
    memory_used_bytes: int
    out_of_service: str


@dataclass(frozen=True)
class ServerInfo:
    """What a server is, and its limits. Times are seconds since 1970.

    ``cuda_unavailable`` says why there are no CUDA devices although the server
    was built with CUDA; else it is empty.

    Examples
    --------
    >>> info = c.server_info()
    >>> info.devices, len(info.dtypes)
    ((device(type='cpu'),), 17)
    >>> info.max_tensor_bytes >= 1 << 20
    True
    """

    version: str
    cuda_built: bool
    dtypes: tuple[dtype, ...]
    max_tensor_bytes: int
    max_message_bytes: int
    max_chunk_bytes: int
    memory_limit_bytes: int
    max_dimensions: int
    max_upload_parts: int
    max_tensors: int
    start_time: float
    devices: tuple[device, ...]
    cuda_unavailable: str


def tensor_info(info: native.Info) -> TensorInfo:
    """What the native module tells of a tensor, in Python's terms."""
    return TensorInfo(
        name=info["id"],
        dtype=ALL_DTYPES[info["dtype"]],
        shape=Size(info["shape"]),
        device=device(info["device"]),
        requires_grad=info["requires_grad"],
        nbytes=info["size_bytes"],
        storage_id=info["storage_id"],
        etag=info["etag"],
        create_time=info["create_time"],
        update_time=info["update_time"],
        expire_time=info["expire_time"],
        lease=info["lease"],
    )


def device_info(info: dict[str, Any]) -> DeviceInfo:
    """What the native module tells of a device, in Python's terms."""
    return DeviceInfo(**{**info, "device": device(info["device"])})


def server_info(info: dict[str, Any]) -> ServerInfo:
    """What the native module tells of a server, in Python's terms."""
    dtypes = tuple(ALL_DTYPES[code] for code in info["dtypes"])
    devices = tuple(device(name) for name in info["devices"])
    return ServerInfo(**{**info, "dtypes": dtypes, "devices": devices})
