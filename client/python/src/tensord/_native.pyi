"""The C++ client; private to this package. Dtypes and overflow policies are
the numbers of its enums, and errors are those of tensord.errors."""

import builtins
from collections.abc import Sequence
from typing import Any, TypedDict

from numpy import ndarray

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
    @staticmethod
    def connect(
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
    ) -> Client: ...
    def create(
        self,
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
    ) -> Tensor: ...
    def get(self, id: str, /) -> Tensor: ...
    def list(
        self, page_size: int, token: str, filter: str, order_by: str, /
    ) -> tuple[builtins.list[Info], str]: ...
    def delete(self, id: str, allow_missing: bool, /) -> None: ...
    def convert_layout(
        self, buffer: ndarray, dtype: int, target_dtype: int, /
    ) -> _Layout: ...
    def convert(
        self,
        buffer: ndarray,
        dtype: int,
        big_endian: bool,
        target_dtype: int,
        overflow: int,
        destination: ndarray,
        /,
    ) -> None: ...
    def devices(self) -> builtins.list[dict[str, Any]]: ...
    def server_info(self) -> dict[str, Any]: ...
    def leak(self) -> None: ...

class Tensor:
    def info(self) -> Info: ...
    def owned(self) -> bool: ...
    def transform(
        self,
        operations: Sequence[tuple[Any, ...]],
        id: str,
        ttl: float | None,
        lease: float | None,
        replace: bool,
        if_match: str,
    ) -> Tensor: ...
    def set_requires_grad(self, requires_grad: bool, /) -> None: ...
    def read_layout(
        self,
        index: Sequence[Any],
        dtype: int | None,
        overflow: int,
        force: bool,
    ) -> _Layout: ...
    def read_into(
        self,
        destination: ndarray,
        index: Sequence[Any],
        dtype: int | None,
        overflow: int,
        force: bool,
    ) -> None: ...
    def delete(self) -> None: ...
    def release(self) -> None: ...

# One buffer, dtype and whether it is big-endian for each tensor.
def create_batch(
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
) -> list[Tensor]: ...
def transform_batch(
    client: Client,
    tensors: Sequence[Tensor],
    operations: Sequence[tuple[Any, ...]],
    ids: Sequence[str],
    ttl: float | None,
) -> list[Tensor]: ...
def get_batch(client: Client, ids: Sequence[str], /) -> list[Tensor]: ...
def read_batch(
    client: Client,
    tensors: Sequence[Tensor],
    destinations: Sequence[ndarray],
    dtype: int | None,
    overflow: int,
    force: bool,
) -> None: ...
def delete_batch(client: Client, tensors: Sequence[Tensor], /) -> None: ...
def to_dlpack(array: ndarray, code: int, /) -> object: ...
