"""What is told of the values of a tensor, gathered part by part."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tensord._format import printable

# Bins of a histogram that is gathered: enough that a column of a sparkline is
# off by a fraction of its width.
_MOST_BINS = 4096
# From nothing to most, for terminals and for encodings without blocks.
BLOCKS = " ▁▂▃▄▅▆▇█"
ASCII_BLOCKS = " .:-=+*#@"


class Histogram:
    """How often values occur, in bins that widen as the range of them grows.

    A bin is as wide as a power of two and begins at a multiple of its width,
    so that two of them make one of twice the width.
    """

    def __init__(self) -> None:
        self._exponent: int | None = None
        self._counts: dict[int, int] = {}

    def add(self, values: np.ndarray) -> None:
        """Counts finite values of float64."""
        if values.size == 0:
            return
        low, high = float(values.min()), float(values.max())
        self._widen(_fitting(low, high))
        assert self._exponent is not None
        with np.errstate(under="ignore"):
            scaled = np.ldexp(values, -self._exponent)
        places, counts = np.unique(
            np.floor(scaled).astype(np.int64), return_counts=True
        )
        for place, count in zip(places.tolist(), counts.tolist(), strict=True):
            self._counts[place] = self._counts.get(place, 0) + count
        while max(self._counts) - min(self._counts) > _MOST_BINS:
            self._widen(self._exponent + 1)

    def _widen(self, exponent: int) -> None:
        """Makes bins 2 ** exponent wide, if they are narrower."""
        if self._exponent is None:
            self._exponent = exponent
        steps = exponent - self._exponent
        if steps <= 0:
            return
        self._exponent = exponent
        widened: dict[int, int] = {}
        for place, count in self._counts.items():
            wide = place >> steps
            widened[wide] = widened.get(wide, 0) + count
        self._counts = widened

    def columns(self, low: float, high: float, count: int) -> list[int]:
        """How many values are in each of `count` stretches of a range."""
        columns = [0] * count
        if self._exponent is None:
            return columns
        # Halves, because the difference may be more than a float can be.
        span = high / 2 - low / 2
        for place, weight in self._counts.items():
            middle = math.ldexp(place + 0.5, self._exponent - 1)
            share = (middle - low / 2) / span if span > 0 else 0.0
            columns[min(max(int(share * count), 0), count - 1)] += weight
        return columns


def _fitting(low: float, high: float) -> int:
    """The exponent of the width of bins for a range."""
    span = math.frexp((high / 2 - low / 2) / (_MOST_BINS // 4))[1]
    # Places have to fit in 64 bits.
    largest = math.frexp(max(abs(low), abs(high)))[1] - 60
    return max(span, largest, -1074)


def sparkline(columns: list[int], blocks: str = BLOCKS) -> str:
    """A line of blocks; what occurs at all has one that can be seen."""
    top = max(columns, default=0)
    return "".join(
        blocks[0 if count == 0 else max(1, round(8 * count / top))]
        for count in columns
    )


class Statistics:
    """Counts, extremes and moments of values.

    Of complex numbers, the modulus is what has extremes and moments. Integers
    keep all their digits in the extremes.
    """

    def __init__(self) -> None:
        self.count = 0
        self.nan = 0
        self.positive_infinity = 0
        self.negative_infinity = 0
        self.zeros = 0
        self.low: Any = None
        self.high: Any = None
        self.histogram = Histogram()
        self._finite = 0
        self._mean = 0.0
        self._squares = 0.0

    def add(self, values: np.ndarray) -> None:
        """Takes note of more values, of whatever dtype."""
        values = printable(values).ravel()
        self.count += values.size
        self.zeros += values.size - int(np.count_nonzero(values))
        if values.dtype.kind in "fc":
            values = self._finite_of(values)
        if values.size == 0:
            return
        low, high = values.min().item(), values.max().item()
        self.low = low if self.low is None else min(self.low, low)
        self.high = high if self.high is None else max(self.high, high)
        as_floats = values.astype(np.float64, copy=False)
        self._add_moments(as_floats)
        self.histogram.add(as_floats)

    def _finite_of(self, values: np.ndarray) -> np.ndarray:
        """The finite ones, of complex numbers their moduli."""
        nan = np.isnan(values)
        self.nan += int(np.count_nonzero(nan))
        infinite = np.isinf(values) & ~nan
        if values.dtype.kind == "c":
            self.positive_infinity += int(np.count_nonzero(infinite))
        else:
            below = int(np.count_nonzero(infinite & (values < 0)))
            self.negative_infinity += below
            self.positive_infinity += int(np.count_nonzero(infinite)) - below
        finite: np.ndarray = values[~nan & ~infinite]
        if values.dtype.kind == "c":
            with np.errstate(over="ignore"):
                finite = np.abs(finite.astype(np.complex128))
            finite = finite[np.isfinite(finite)]
        return finite

    def _add_moments(self, values: np.ndarray) -> None:
        """Welford's update, by Chan for many values at a time."""
        with np.errstate(over="ignore", invalid="ignore"):
            mean = float(values.mean())
            squares = float(np.square(values - mean).sum())
        total = self._finite + values.size
        step = mean - self._mean
        self._squares += squares + step * step * (
            self._finite * values.size / total
        )
        self._mean += step * (values.size / total)
        self._finite = total

    @property
    def mean(self) -> float | None:
        """Of the finite values; None without any, or beyond float64."""
        return _finite_or_none(self._mean) if self._finite else None

    @property
    def std(self) -> float | None:
        """Their standard deviation, not corrected."""
        if not self._finite:
            return None
        return _finite_or_none(math.sqrt(self._squares / self._finite))

    def columns(self, count: int) -> list[int]:
        """How many finite values are in each of `count` stretches from the
        lowest to the highest."""
        if self.low is None:
            return [0] * count
        return self.histogram.columns(float(self.low), float(self.high), count)


def _finite_or_none(value: float) -> float | None:
    return value if math.isfinite(value) else None
