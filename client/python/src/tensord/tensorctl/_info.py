"""``tensorctl info`` and ``tensorctl devices``: what there is, and limits."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from tensord.tensorctl._command import Command, Example
from tensord.tensorctl._output import (
    dtype_text,
    write_facts,
    write_json,
    write_table,
)
from tensord.tensorctl._session import Session
from tensord.tensorctl._units import format_duration, format_size, utc_time

if TYPE_CHECKING:
    from tensord import DeviceInfo, ServerInfo


def _server_facts(info: ServerInfo) -> dict[str, Any]:
    return {
        "version": info.version,
        "start_time": utc_time(info.start_time),
        "cuda_built": info.cuda_built,
        "cuda_unavailable": info.cuda_unavailable,
        "devices": [str(one) for one in info.devices],
        "dtypes": [dtype_text(one) for one in info.dtypes],
        "memory_limit_bytes": info.memory_limit_bytes,
        "max_tensors": info.max_tensors,
        "max_tensor_bytes": info.max_tensor_bytes,
        "max_dimensions": info.max_dimensions,
        "max_message_bytes": info.max_message_bytes,
        "max_chunk_bytes": info.max_chunk_bytes,
        "max_upload_parts": info.max_upload_parts,
    }


def _cuda_text(info: ServerInfo) -> str:
    if not info.cuda_built:
        return "not built in"
    return info.cuda_unavailable or "yes"


def _server_lines(info: ServerInfo) -> Iterator[tuple[str, str]]:
    yield "version", info.version
    yield "up for", format_duration(time.time() - info.start_time)
    yield "devices", ", ".join(map(str, info.devices))
    yield "CUDA", _cuda_text(info)
    yield "memory limit", format_size(info.memory_limit_bytes)
    yield "most tensors", str(info.max_tensors or "no limit")
    yield "largest tensor", format_size(info.max_tensor_bytes)
    yield "most dimensions", str(info.max_dimensions)
    yield "largest message", format_size(info.max_message_bytes)
    yield "largest chunk", format_size(info.max_chunk_bytes)
    yield "most upload parts", str(info.max_upload_parts)
    names = [dtype_text(one) for one in info.dtypes]
    yield (
        "dtypes",
        "\n".join(
            ", ".join(names[i : i + 6]) for i in range(0, len(names), 6)
        ),
    )


def _run_info(args: argparse.Namespace, session: Session) -> None:
    info = session.client.server_info()
    if session.json:
        write_json({"target": session.target, **_server_facts(info)})
    else:
        write_facts([("server", session.target), *_server_lines(info)])


def _device_facts(info: DeviceInfo) -> dict[str, Any]:
    return {
        "device": str(info.device),
        "description": info.description,
        "memory_used_bytes": info.memory_used_bytes,
        "memory_limit_bytes": info.memory_limit_bytes,
        "in_service": not info.out_of_service,
        "out_of_service": info.out_of_service,
    }


def _share(info: DeviceInfo) -> str:
    if not info.memory_limit_bytes:
        return "-"
    return f"{100 * info.memory_used_bytes / info.memory_limit_bytes:.0f}%"


def _run_devices(args: argparse.Namespace, session: Session) -> None:
    devices = session.client.devices()
    if session.json:
        write_json([_device_facts(one) for one in devices])
        return
    rows = (
        [
            str(one.device),
            format_size(one.memory_used_bytes),
            format_size(one.memory_limit_bytes),
            _share(one),
            one.out_of_service or "in service",
            one.description,
        ]
        for one in devices
    )
    head = ("DEVICE", "USED", "LIMIT", "SHARE", "STATE", "DESCRIPTION")
    write_table(head, rows, right="lrrrll")


def _add_nothing(parser: argparse.ArgumentParser) -> None:
    pass


_GROUP = "the server"

INFO = Command(
    "info",
    _GROUP,
    "print the server's version, capabilities and limits",
    "Prints the server's version, its capabilities and its limits.",
    (
        Example("tensorctl info", "the server of the environment"),
        Example(
            "tensorctl -t gpu-host:50051 info --json | jq -r .version",
            "the version of another",
        ),
    ),
    _add_nothing,
    _run_info,
)

DEVICES = Command(
    "devices",
    _GROUP,
    "print devices and their memory",
    "Prints the devices that can hold tensors, and how full their memory is.",
    (
        Example("tensorctl devices", "a table"),
        Example(
            "tensorctl devices --json "
            "| jq -r '.[] | select(.in_service | not) | .device'",
            "those that are out of service",
        ),
    ),
    _add_nothing,
    _run_devices,
)
