"""Sizes, durations and times, as people write and read them."""

from __future__ import annotations

import argparse
import datetime
import math
import re

_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([KMGT]?)(i?)B?", re.IGNORECASE)
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(ms|[smhdw]?)")
_SECONDS = {
    "": 1.0,
    "ms": 1e-3,
    "s": 1.0,
    "m": 60.0,
    "h": 3600.0,
    "d": 86400.0,
    "w": 604800.0,
}


def parse_duration(text: str) -> float:
    """Seconds of ``"90"``, ``"500ms"``, ``"1h30m"`` or ``"2d"``.

    Raises
    ------
    argparse.ArgumentTypeError
        It is none of these, or not more than 0.
    """
    parts = _DURATION.findall(text)
    written = "".join(f"{number}{unit}" for number, unit in parts)
    # A number without a unit stands alone: 1h30 could be anything.
    plain = sum(unit == "" for _, unit in parts)
    if "".join(text.split()) != written or (plain and len(parts) > 1):
        parts = []
    seconds = sum(float(number) * _SECONDS[unit] for number, unit in parts)
    if not parts or seconds <= 0 or not math.isfinite(seconds):
        raise argparse.ArgumentTypeError(
            f"{text!r} is no duration above 0; write 90, 500ms, 10m, 1h30m or "
            "2d"
        )
    return seconds


def parse_size(text: str) -> int:
    """Bytes of ``"4096"``, ``"64KiB"``, ``"1.5MB"`` or ``"2G"`` (GiB).

    Raises
    ------
    argparse.ArgumentTypeError
        It is none of these, or less than 1.
    """
    match = _SIZE.fullmatch(text.strip())
    if match:
        number, prefix, binary = match.groups()
        # Without a B, as memory is counted everywhere.
        decimal = not binary and text.strip().upper().endswith("B")
        base = 1000 if decimal and prefix else 1024
        size = float(number) * base ** " KMGT".index(prefix.upper() or " ")
        if 1 <= size < 2**62:
            return int(size)
    raise argparse.ArgumentTypeError(
        f"{text!r} is no size above 0; write 4096, 64KiB or 1.5MB"
    )


def parse_count(text: str) -> int:
    """A whole number above 0.

    Raises
    ------
    argparse.ArgumentTypeError
        It is none.
    """
    if re.fullmatch(r"0*[1-9][0-9]{0,8}", text):
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is no whole number above 0")


def format_size(size: float) -> str:
    """Three digits and a binary unit: ``"1.50 MiB"``."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            break
        size /= 1024
    else:
        unit = "TiB"
    if unit == "B" and size == int(size):
        return f"{int(size)} B"
    return f"{_three_digits(size)} {unit}"


def _three_digits(number: float) -> str:
    if number >= 100:
        return f"{number:.0f}"
    return f"{number:.1f}" if number >= 10 else f"{number:.2f}"


def format_count(count: float) -> str:
    """A number with thousands apart, without decimals where it is large."""
    if count == int(count) or count >= 100:
        return f"{count:,.0f}"
    return _three_digits(count)


def format_latency(seconds: float) -> str:
    """Three digits and a unit: ``"253 us"``. NaN is ``"-"``."""
    if math.isnan(seconds):
        return "-"
    for unit, factor in (("us", 1e6), ("ms", 1e3)):
        if seconds * factor < 1000:
            return f"{_three_digits(seconds * factor)} {unit}"
    return f"{_three_digits(seconds)} s"


def format_duration(seconds: float) -> str:
    """The two largest units of whole seconds: ``"1h 30m"``, ``"0s"``."""
    rest = max(0, round(seconds))
    parts = []
    for unit in ("d", "h", "m", "s"):
        count, rest = divmod(rest, int(_SECONDS[unit]))
        if count:
            parts.append(f"{count}{unit}")
    return " ".join(parts[:2]) or "0s"


def utc_time(seconds: float | None) -> str | None:
    """A time as RFC 3339 writes it, and as filters take it."""
    if seconds is None:
        return None
    time = datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc)
    return time.isoformat(timespec="microseconds").replace("+00:00", "Z")
