"""Sizes and durations, as people write them."""

import argparse
import random

import pytest
from tensord.tensorctl._units import (
    format_duration,
    format_latency,
    format_size,
    parse_count,
    parse_duration,
    parse_size,
    utc_time,
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90),
        ("1.5", 1.5),
        ("500ms", 0.5),
        ("10m", 600),
        ("1h30m", 5400),
        ("1h 30m", 5400),
        ("2d", 172800),
        ("1w", 604800),
    ],
)
def test_durations(text, seconds):
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text",
    ["", "0", "0s", "-1", "1x", "1h30", "h", "inf", "nan", "1e3", "9" * 400],
)
def test_what_is_no_duration(text):
    with pytest.raises(argparse.ArgumentTypeError, match="is no duration"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1", 1),
        ("4096B", 4096),
        ("64KiB", 65536),
        ("64kib", 65536),
        ("2G", 2 << 30),
        ("1.5MB", 1500000),
        ("1 TiB", 1 << 40),
    ],
)
def test_sizes(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "text", ["", "0", "0.1", "-1", "1X", "K", "1KKB", "9" * 30, "1iB1"]
)
def test_what_is_no_size(text):
    with pytest.raises(argparse.ArgumentTypeError, match="is no size"):
        parse_size(text)


@pytest.mark.parametrize("text", ["0", "", "-1", "1.5", "x", "9" * 30])
def test_what_is_no_count(text):
    with pytest.raises(argparse.ArgumentTypeError, match="no whole number"):
        parse_count(text)


def test_sizes_read_back_within_what_was_written():
    pick = random.Random(0)
    for _ in range(1000):
        size = int(2 ** pick.uniform(0, 44))
        assert parse_size(format_size(size)) == pytest.approx(size, rel=0.006)


def test_what_is_written():
    assert format_size(0) == "0 B"
    assert format_size(1023) == "1023 B"
    assert format_size(1536) == "1.50 KiB"
    assert format_size(5 << 50) == "5120 TiB"
    assert format_duration(0.4) == "0s"
    assert format_duration(-3) == "0s"
    assert format_duration(3725) == "1h 2m"
    assert format_duration(86400) == "1d"
    assert format_latency(0.000253) == "253 us"
    assert format_latency(0.0253) == "25.3 ms"
    assert format_latency(2.5) == "2.50 s"
    assert format_latency(float("nan")) == "-"
    assert utc_time(None) is None
    assert utc_time(0.5) == "1970-01-01T00:00:00.500000Z"
