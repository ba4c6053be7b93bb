"""What commands print: tables, or JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from tensord.tensorctl._units import utc_time

if TYPE_CHECKING:
    from tensord import TensorInfo


def write_json(value: Any) -> None:
    """Prints a value as JSON; refuses NaN, which JSON does not have."""
    print(json.dumps(value, indent=2, allow_nan=False))


def table_lines(
    head: Sequence[str], rows: Iterable[Sequence[str]], right: str = ""
) -> list[str]:
    """Rows under their head, in columns that are aligned.

    `right` has an ``r`` in the place of every column that is aligned to the
    right, as in ``"lrr"``; the others are aligned to the left.
    """
    lines = [tuple(head), *map(tuple, rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return [
        "  ".join(
            text.rjust(width) if right[i : i + 1] == "r" else text.ljust(width)
            for i, (text, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]


def write_table(
    head: Sequence[str], rows: Iterable[Sequence[str]], right: str = ""
) -> None:
    """Prints what :func:`table_lines` makes."""
    for line in table_lines(head, rows, right):
        print(line)


def write_facts(facts: Iterable[tuple[str, str]]) -> None:
    """Prints what is called what, one to a line."""
    facts = list(facts)
    width = max(len(name) for name, _ in facts)
    for name, text in facts:
        for line in text.splitlines() or [""]:
            print(f"{name:<{width}}  {line}".rstrip())
            name = ""


def note(text: str) -> None:
    """Prints what is no result on the standard error stream."""
    print(f"tensorctl: {text}", file=sys.stderr)


def shape_text(shape: Sequence[int]) -> str:
    """A shape without what Python needs: ``"2x3"``, ``"scalar"``."""
    return "x".join(map(str, shape)) if shape else "scalar"


def dtype_text(dtype: object) -> str:
    """A dtype's name without the package's."""
    return str(dtype).removeprefix("tensord.")


def tensor_facts(info: TensorInfo) -> dict[str, Any]:
    """What is known of a tensor, for JSON. Times are RFC 3339's."""
    return {
        "name": info.name,
        "dtype": dtype_text(info.dtype),
        "shape": list(info.shape),
        "device": str(info.device),
        "requires_grad": info.requires_grad,
        "size_bytes": info.nbytes,
        "storage_id": info.storage_id,
        "etag": info.etag,
        "create_time": utc_time(info.create_time),
        "update_time": utc_time(info.update_time),
        "expire_time": utc_time(info.expire_time),
        "lease_seconds": info.lease,
    }
