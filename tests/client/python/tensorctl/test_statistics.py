"""What is told of values, part by part, is what NumPy says of them all."""

import math
import random

import numpy as np
import pytest
from tensord._dtype import ALL_DTYPES
from tensord.tensorctl._boxes import Boxes, sample
from tensord.tensorctl._statistics import Histogram, Statistics, sparkline


def split(pick, values):
    """The values in parts, some of which are empty."""
    cuts = sorted(pick.randrange(values.size + 1) for _ in range(5))
    return np.split(values, cuts)


def gather(pick, values):
    statistics = Statistics()
    for part in split(pick, values):
        statistics.add(part)
    return statistics


def some_values(generator, dtype):
    """Values of every size, with what is not finite among them."""
    bits = generator.integers(0, 256, 64 * dtype.itemsize, np.uint8)
    if dtype.kind == "b":
        bits &= 1
    return bits.view(dtype)


def finite_of(values):
    wide = values.astype(
        np.complex128 if values.dtype.kind == "c" else np.float64
    )
    moduli = np.abs(wide) if wide.dtype.kind == "c" else wide
    return moduli[np.isfinite(moduli)]


# NumPy warns of signalling NaN, and of squares that overflow.
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("dtype", ALL_DTYPES, ids=str)
def test_statistics_are_those_of_all_values(dtype):
    pick, generator = random.Random(1), np.random.default_rng(1)
    for _ in range(20):
        values = some_values(generator, dtype.numpy_dtype)
        found, finite = gather(pick, values), finite_of(values)
        assert found.count == values.size
        assert found.zeros == int((values == 0).sum())
        nan = np.isnan(values.astype(np.complex128))
        assert found.nan == int(nan.sum())
        special = found.positive_infinity + found.negative_infinity
        if dtype.is_floating_point:
            wide = values.astype(np.float64)
            assert found.positive_infinity == int((wide == np.inf).sum())
            assert found.negative_infinity == int((wide == -np.inf).sum())
        if not dtype.is_complex:
            assert found.nan + special + finite.size == values.size
        if finite.size == 0:
            assert found.low is found.high is found.mean is found.std is None
            continue
        assert float(found.low) == finite.min()
        assert float(found.high) == finite.max()
        mean, std = finite.mean(), finite.std()
        if math.isfinite(mean) and math.isfinite(std):
            scale = np.abs(finite).max()
            assert found.mean == pytest.approx(mean, abs=1e-9 * scale)
            assert found.std == pytest.approx(std, abs=1e-9 * scale)
        assert sum(found.columns(32)) == finite.size


def test_integers_keep_their_digits():
    statistics = Statistics()
    statistics.add(np.array([2**64 - 1, 2**63 + 1], np.uint64))
    assert (statistics.low, statistics.high) == (2**63 + 1, 2**64 - 1)


@pytest.mark.parametrize("scale", [1e-310, 1e-30, 1.0, 1e30, 1e307])
def test_histograms_count_where_values_are(scale):
    """Up to what bins are wide, of which a range has 1024 at least."""
    pick, generator = random.Random(2), np.random.default_rng(2)
    for offset in (0.0, 5.0, -5.0):
        values = generator.standard_normal(4000) * scale + offset * scale
        histogram = Histogram()
        for part in split(pick, values):
            histogram.add(part)
        low, high = values.min(), values.max()
        columns = histogram.columns(float(low), float(high), 16)
        edges = low + (high / 16 - low / 16) * np.arange(1, 17)
        slack = (high - low) / 500
        for edge, count in zip(edges, np.cumsum(columns), strict=True):
            assert (values < edge - slack).sum() <= count
            assert count <= (values <= edge + slack).sum()


def test_histograms_take_the_extremes():
    histogram = Histogram()
    extremes = np.finfo(np.float64)
    histogram.add(np.array([0.0, -0.0, extremes.smallest_subnormal]))
    histogram.add(np.array([extremes.max, extremes.min]))
    histogram.add(np.array([1e15, 1e15 + 0.125]))
    columns = histogram.columns(float(extremes.min), float(extremes.max), 4)
    assert sum(columns) == 7
    assert columns[0] == columns[3] == 1


def test_few_bins_are_kept():
    histogram = Histogram()
    generator = np.random.default_rng(3)
    for power in range(0, 300, 10):
        histogram.add(generator.standard_normal(1000) * 10.0**power)
    assert len(histogram._counts) <= 4097


def test_sparklines_show_what_occurs():
    assert sparkline([0, 1, 1000, 500]) == " ▁█▄"
    assert sparkline([0, 0]) == "  "
    assert sparkline([]) == ""


def test_boxes_have_every_element_once():
    pick = random.Random(4)
    for _ in range(500):
        shape = [pick.randrange(1, 8) for _ in range(pick.randrange(5))]
        most = pick.randrange(1, 40)
        seen = np.zeros(shape, np.int64)
        sizes = []
        boxes = Boxes(shape, most)
        for place in range(len(boxes)):
            part = seen[boxes[place]]
            sizes.append(part.size)
            seen[boxes[place]] += 1
        assert (seen == 1).all(), (shape, most)
        assert 0 < min(sizes) <= max(sizes) <= most


def test_boxes_are_about_equal():
    for shape in [(16385,), (1000, 3000), (3, 5, 70001), (1 << 20, 3)]:
        boxes = Boxes(shape, 1 << 14)
        places = sample(len(boxes), 100)
        sizes = [
            math.prod(one.stop - one.start for one in boxes[place])
            for place in places
        ]
        assert max(sizes) < 2 * min(sizes)


@pytest.mark.parametrize("shape", [(0,), (3, 0), (0, 3), (2, 0, 5)])
def test_there_are_no_boxes_without_elements(shape):
    assert len(Boxes(shape, 4)) == 0


def test_samples_are_spread():
    for count, most in [(10, 64), (64, 64), (65, 64), (10**12, 64)]:
        places = [*sample(count, most)]
        assert places == [*sample(count, most)]
        assert len(places) == min(count, most)
        assert places == sorted(set(places))
        assert 0 <= places[0] <= places[-1] < count
        gaps = np.diff([-1, *places, count])
        assert gaps.max() <= 2 * -(-count // most) + 1
