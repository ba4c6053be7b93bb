"""The C++ client; private to this package. Dtypes and overflow policies are
the numbers of its enums, and errors are those of tensord.errors."""

from collections.abc import Sequence
from typing import Any, Generic, TypedDict, TypeVar

from numpy import ndarray

_Result = TypeVar("_Result")

_Layout = tuple[int, tuple[int, ...], tuple[int, ...], int]

class Info(TypedDict):
    id: str
    dtype: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    device: str
    requires_grad: bool
    is_leaf: bool
    grad_fn: str
    size_bytes: int
    storage_id: str
    storage_offset: int
    etag: str
    create_time: float
    update_time: float
    expire_time: float | None
    lease: float | None
    conversion_report: tuple[int, int, int, float] | None

class Client:
    def leak(self) -> None: ...

class Tensor:
    def info(self) -> Info: ...
    def owned(self) -> bool: ...
    def read_layout(
        self,
        index: Sequence[Any],
        dtype: int | None,
        overflow: int,
        force: bool,
    ) -> _Layout: ...
    def release(self) -> None: ...

class Completions:
    """Where calls that were begun wait with their results."""

    def fileno(self) -> int: ...
    # Keys, results and exceptions.
    def drain(
        self,
    ) -> list[tuple[int, Any, None] | tuple[int, None, Exception]]: ...

class Cancellation:
    def cancel(self) -> None: ...

class Progress:
    """Counts the bytes of the calls that were begun with it."""

    def bytes_done(self) -> int: ...

class _Call(Generic[_Result]):
    """A call, which is made once, in one of two ways."""

    def run(self) -> _Result: ...
    def begin(
        self,
        completions: Completions,
        key: int,
        progress: Progress | None = None,
    ) -> Cancellation: ...

class ConnectCall(_Call[Client]):
    def __init__(
        self,
        target: str,
        timeout: float,
        tls: bool,
        ca_file: str,
        cert_file: str,
        key_file: str,
        token: str,
        insecure: bool,
        max_attempts: int,
        checksums: bool,
        max_connections: int,
    ) -> None: ...

class CreateCall(_Call[Tensor]):
    def __init__(
        self,
        client: Client,
        buffer: ndarray,
        dtype: int,
        big_endian: bool,
        id: str,
        target_dtype: int | None,
        device: str,
        requires_grad: bool,
        overflow: int,
        ttl: float | None,
        lease: float | None,
        replace: bool,
        if_match: str,
        report: bool,
    ) -> None: ...

class ConvertCall(_Call[None]):
    def __init__(
        self,
        client: Client,
        buffer: ndarray,
        dtype: int,
        big_endian: bool,
        target_dtype: int,
        overflow: int,
        destination: ndarray,
        /,
    ) -> None: ...

class GetCall(_Call[Tensor]):
    def __init__(self, client: Client, id: str, /) -> None: ...

class ListCall(_Call[tuple[list[Info], str]]):
    def __init__(
        self,
        client: Client,
        page_size: int,
        token: str,
        filter: str,
        order_by: str,
        /,
    ) -> None: ...

class DeleteCall(_Call[None]):
    def __init__(self, client: Client, id: str, /) -> None: ...

class DevicesCall(_Call[list[dict[str, Any]]]):
    def __init__(self, client: Client, /) -> None: ...

class ServerInfoCall(_Call[dict[str, Any]]):
    def __init__(self, client: Client, /) -> None: ...

class TransformCall(_Call[Tensor]):
    def __init__(
        self,
        tensor: Tensor,
        operations: Sequence[tuple[Any, ...]],
        id: str,
        ttl: float | None,
        lease: float | None,
        replace: bool,
        if_match: str,
    ) -> None: ...

class SetRequiresGradCall(_Call[Info]):
    def __init__(self, tensor: Tensor, requires_grad: bool, /) -> None: ...

class ReadCall(_Call[None]):
    def __init__(
        self,
        tensor: Tensor,
        destination: ndarray,
        index: Sequence[Any],
        dtype: int | None,
        overflow: int,
        force: bool,
    ) -> None: ...

class DeleteTensorCall(_Call[None]):
    def __init__(self, tensor: Tensor, /) -> None: ...

class CreateBatchCall(_Call[list[Tensor]]):
    # One buffer, dtype and whether it is big-endian for each tensor.
    def __init__(
        self,
        client: Client,
        sources: Sequence[tuple[ndarray, int, bool]],
        ids: Sequence[str],
        target_dtype: int | None,
        device: str,
        requires_grad: bool,
        overflow: int,
        ttl: float | None,
        lease: float | None,
        replace: bool,
        report: bool,
    ) -> None: ...

class TransformBatchCall(_Call[list[Tensor]]):
    def __init__(
        self,
        client: Client,
        tensors: Sequence[Tensor],
        operations: Sequence[tuple[Any, ...]],
        ids: Sequence[str],
        ttl: float | None,
    ) -> None: ...

class GetBatchCall(_Call[list[Tensor]]):
    def __init__(self, client: Client, ids: Sequence[str], /) -> None: ...

class ReadBatchCall(_Call[None]):
    def __init__(
        self,
        client: Client,
        tensors: Sequence[Tensor],
        destinations: Sequence[ndarray],
        dtype: int | None,
        overflow: int,
        force: bool,
    ) -> None: ...

class DeleteBatchCall(_Call[None]):
    def __init__(
        self, client: Client, tensors: Sequence[Tensor], /
    ) -> None: ...

def convert_layout(
    buffer: ndarray, dtype: int, target_dtype: int, /
) -> _Layout: ...
def to_dlpack(array: ndarray, code: int, /) -> object: ...

# The elements that an object shares by DLPack, as unsigned integers of their
# size, and DLPack's code of their type.
def from_dlpack(exporter: object, /) -> tuple[ndarray, int]: ...

MAX_NPY_HEADER_BYTES: int

# Dtype, whether it is big-endian, shape, whether it is in Fortran's order, and
# bytes before the first element.
def read_npy_header(
    start: bytes, file_bytes: int, dtype: int | None
) -> tuple[int, bool, tuple[int, ...], bool, int]: ...
def write_npy_header(dtype: int, shape: tuple[int, ...], /) -> bytes: ...
