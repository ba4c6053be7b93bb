"""``tensorctl show``: what a tensor is, and what is in it."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from tensord.tensorctl._command import Command, Example
from tensord.tensorctl._completion import complete_names, completed
from tensord.tensorctl._ls import expiry_text
from tensord.tensorctl._output import (
    dtype_text,
    shape_text,
    tensor_facts,
    write_facts,
    write_json,
)
from tensord.tensorctl._session import Session
from tensord.tensorctl._units import format_duration, format_size

if TYPE_CHECKING:
    from tensord import RemoteTensor, TensorInfo
    from tensord.tensorctl._statistics import Statistics

_DESCRIPTION = """\
Prints what a tensor is, its first elements, and what its values are like:
their extremes, mean and standard deviation, how many are zero, NaN or
infinite, and a histogram from the lowest to the highest.

Of a tensor with more than 1,048,576 elements a sample of about that many is
read, evenly spread and the same every time, and the output says so; --exact
reads all of them, part by part. Of complex numbers, the modulus is looked at.
Reading renews a lease.
"""

_PART_ELEMENTS = 1 << 14
_PARTS = 64
# Larger parts, as all are read.
_EXACT_PART_ELEMENTS = 1 << 18
_COLUMNS = 32
_LINES = 12


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    completed(
        parser.add_argument("name", metavar="NAME", help="the tensor"),
        complete_names,
    )
    parser.add_argument(
        "--exact",
        action="store_true",
        help="read all elements, not a sample",
    )
    parser.add_argument(
        "--no-values",
        action="store_true",
        help="read no elements at all",
    )


def _statistics(tensor: RemoteTensor, exact: bool) -> Statistics:
    """What the values are like, of all of them or of a sample."""
    from tensord.tensorctl._boxes import Boxes, sample
    from tensord.tensorctl._statistics import Statistics

    whole = exact or tensor.numel() <= _PARTS * _PART_ELEMENTS
    size = _EXACT_PART_ELEMENTS if whole else _PART_ELEMENTS
    boxes = Boxes(tensor.shape, size)
    places = range(len(boxes)) if whole else sample(len(boxes), _PARTS)
    statistics = Statistics()
    for place in places:
        index = [(one.start, one.stop, None) for one in boxes[place]]
        statistics.add(tensor._read(index, force=True))
    return statistics


def _value_facts(
    tensor: RemoteTensor, statistics: Statistics
) -> dict[str, Any]:
    columns = statistics.columns(_COLUMNS)
    return {
        "of": "modulus" if tensor.is_complex() else "value",
        "elements": statistics.count,
        "exact": statistics.count == tensor.numel(),
        "min": statistics.low,
        "max": statistics.high,
        "mean": statistics.mean,
        "std": statistics.std,
        "zeros": statistics.zeros,
        "nan": statistics.nan,
        "positive_infinity": statistics.positive_infinity,
        "negative_infinity": statistics.negative_infinity,
        "histogram": columns,
    }


def _info_lines(info: TensorInfo, now: float) -> Iterator[tuple[str, str]]:
    count = info.shape.numel()
    yield "name", info.name
    yield "dtype", dtype_text(info.dtype)
    yield "shape", shape_text(info.shape)
    yield "elements", f"{count:,}"
    yield "size", format_size(info.nbytes)
    yield "device", str(info.device)
    yield "requires grad", "yes" if info.requires_grad else "no"
    yield "created", f"{format_duration(now - info.create_time)} ago"
    if info.update_time != info.create_time:
        yield "updated", f"{format_duration(now - info.update_time)} ago"
    yield "expires", expiry_text(info, now)
    yield "etag", info.etag


def _value_lines(
    facts: dict[str, Any], count: int
) -> Iterator[tuple[str, str]]:
    if not facts["exact"]:
        share = 100 * facts["elements"] / count
        yield (
            "sampled",
            f"{facts['elements']:,} elements, {share:.2g}% of all; --exact "
            "reads all",
        )
    if facts["of"] == "modulus":
        yield "of", "the modulus of complex numbers"
    for name in ("min", "max", "mean", "std"):
        if facts[name] is not None:
            yield name, _number(facts[name])
    yield "zeros", f"{facts['zeros']:,}"
    special = [
        f"{facts[key]:,} {text}"
        for key, text in (
            ("nan", "NaN"),
            ("positive_infinity", "inf"),
            ("negative_infinity", "-inf"),
        )
        if facts[key]
    ]
    yield "not finite", ", ".join(special) or "none"


def _number(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _histogram_line(facts: dict[str, Any]) -> Iterator[tuple[str, str]]:
    if facts["min"] != facts["max"]:
        line = _sparkline(facts["histogram"])
        yield (
            "histogram",
            f"{_number(facts['min'])} [{line}] {_number(facts['max'])}",
        )


def _sparkline(columns: list[int]) -> str:
    from tensord.tensorctl._statistics import ASCII_BLOCKS, BLOCKS, sparkline

    try:
        BLOCKS.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        return sparkline(columns, ASCII_BLOCKS)
    return sparkline(columns, BLOCKS)


def _first_lines(text: str) -> str:
    lines = text.splitlines()
    if len(lines) > _LINES:
        lines[_LINES:] = ["..."]
    return "\n".join(lines)


def _run(args: argparse.Namespace, session: Session) -> None:
    from tensord._info import tensor_info

    tensor = session.client[args.name]
    info = tensor_info(tensor._info)
    values: dict[str, Any] = {}
    if not args.no_values and tensor.numel():
        statistics = _statistics(tensor, args.exact)
        values = _value_facts(tensor, statistics)
    if session.json:
        write_json({**tensor_facts(info), "values": values or None})
        return
    lines = [*_info_lines(info, time.time())]
    if not args.no_values:
        lines.append(("values", _first_lines(repr(tensor))))
    if values:
        lines += _value_lines(values, tensor.numel())
        lines += _histogram_line(values)
    write_facts(lines)


COMMAND = Command(
    "show",
    "tensors in the server",
    "print a summary of a tensor and of its values",
    _DESCRIPTION,
    (
        Example("tensorctl show w/0", "a summary"),
        Example("tensorctl show --exact w/0", "the same of all elements"),
        Example(
            "tensorctl show --json w/0 | jq .values.nan", "how many are NaN"
        ),
    ),
    _add_arguments,
    _run,
)
