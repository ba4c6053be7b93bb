"""Plots as inline SVG, which take their colours from the page around them.

A page has the CSS variables --ink, --muted, --grid and --s0 to --s5. Nothing
here knows of loads.
"""

import dataclasses
import html
import math

import numpy as np

WIDTH, HEIGHT = 640, 330
LEFT, RIGHT, TOP, BOTTOM = 68, 18, 16, 52
HEAT_COLUMNS, HEAT_ROWS = 90, 36


@dataclasses.dataclass(frozen=True)
class Line:
    """Points in data's units; None in y leaves a gap."""

    label: str
    xs: list
    ys: list
    colour: int = 0
    is_dashed: bool = False
    has_dots: bool = False


@dataclasses.dataclass(frozen=True)
class Band:
    """A range of x with a name; every other one is shaded."""

    begin: float
    end: float
    label: str


class Axis:
    """Maps values to pixels, from `low` at `begin` to `high` at `end`."""

    def __init__(self, low, high, begin, end, is_log=False):
        if is_log:
            low = max(low, 1e-9)
            high = max(high, low * 1.001)
        elif not high > low:
            high = low + 1
        self.low, self.high = low, high
        self._begin, self._end = begin, end
        self.is_log = is_log

    def __call__(self, value):
        if self.is_log:
            share = math.log(max(value, self.low) / self.low) / math.log(
                self.high / self.low
            )
        else:
            share = (value - self.low) / (self.high - self.low)
        return self._begin + share * (self._end - self._begin)

    def ticks(self, count=6):
        """Round values within the axis."""
        if self.is_log:
            decades = math.log10(self.high / self.low)
            factors = (
                (1,) if decades > 4 else (1, 3) if decades > 2 else (1, 2, 5)
            )
            first = math.floor(math.log10(self.low))
            last = math.ceil(math.log10(self.high))
            found = [
                f * 10.0**d for d in range(first, last + 1) for f in factors
            ]
        else:
            step = nice_step((self.high - self.low) / count)
            first = math.ceil(self.low / step - 1e-9)
            last = math.floor(self.high / step + 1e-9)
            found = [i * step for i in range(first, last + 1)]
        margin = 1e-9 * self.high
        return [
            v for v in found if self.low - margin <= v <= self.high + margin
        ]


def nice_step(raw):
    """The least of 1, 2, 2.5 and 5 times a power of ten that is at least raw."""
    power = 10.0 ** math.floor(math.log10(raw))
    for factor in (1, 2, 2.5, 5, 10):
        if factor * power >= raw * (1 - 1e-9):
            return factor * power
    return 10 * power


def number(value):
    """A value as a label has it: 12k, 0.25."""
    if value >= 1e6:
        return f"{value / 1e6:g}M"
    if value >= 1e3:
        return f"{value / 1e3:g}k"
    return f"{value:.3g}" if value else "0"


def _text(x, y, text, anchor="middle", css="tick"):
    return (
        f'<text class="{css}" x="{x:.1f}" y="{y:.1f}" '
        f'text-anchor="{anchor}">{html.escape(str(text))}</text>'
    )


def _axes(x, y, x_label, y_label):
    parts = []
    bottom, right = HEIGHT - BOTTOM, WIDTH - RIGHT
    for value in y.ticks():
        at = y(value)
        parts.append(
            f'<line class="grid" x1="{LEFT}" x2="{right}" '
            f'y1="{at:.1f}" y2="{at:.1f}"/>'
        )
        parts.append(_text(LEFT - 8, at + 4, number(value), "end"))
    for value in x.ticks():
        parts.append(_text(x(value), bottom + 19, number(value)))
    parts.append(
        f'<line class="axis" x1="{LEFT}" x2="{right}" '
        f'y1="{bottom}" y2="{bottom}"/>'
    )
    parts.append(_text((LEFT + right) / 2, HEIGHT - 9, x_label, css="label"))
    middle = (TOP + bottom) / 2
    parts.append(
        f'<text class="label" text-anchor="middle" '
        f'transform="translate(16 {middle:.1f}) rotate(-90)">'
        f"{html.escape(y_label)}</text>"
    )
    return parts


def _path(line, x, y):
    pieces, pen_is_down = [], False
    for one_x, one_y in zip(line.xs, line.ys):
        if one_y is None or (y.is_log and one_y <= 0):
            pen_is_down = False
            continue
        pieces.append(
            f"{'L' if pen_is_down else 'M'}{x(one_x):.1f} {y(one_y):.1f}"
        )
        pen_is_down = True
    css = f"line c{line.colour}" + (" dashed" if line.is_dashed else "")
    parts = [f'<path class="{css}" d="{"".join(pieces)}"/>']
    if line.has_dots:
        for one_x, one_y in zip(line.xs, line.ys):
            if one_y is None:
                continue
            parts.append(
                f'<circle class="dot c{line.colour}" cx="{x(one_x):.1f}" '
                f'cy="{y(one_y):.1f}" r="3.2"><title>'
                f"{html.escape(line.label)}: {one_y:,.4g} at {one_x:,.6g}"
                "</title></circle>"
            )
    return parts


def _bands(bands, x):
    parts = []
    for i, band in enumerate(bands):
        begin, end = x(band.begin), x(band.end)
        if i % 2:
            parts.append(
                f'<rect class="band" x="{begin:.1f}" y="{TOP}" '
                f'width="{end - begin:.1f}" height="{HEIGHT - TOP - BOTTOM}"/>'
            )
        parts.append(_text((begin + end) / 2, TOP + 14, band.label))
    return parts


def _marks(marks, x):
    parts = []
    for value, label in marks:
        at = x(value)
        # Beside the line, on the side that has room.
        anchor, shift = ("end", -6) if at > WIDTH * 0.6 else ("start", 6)
        parts.append(
            f'<line class="mark" x1="{at:.1f}" x2="{at:.1f}" y1="{TOP}" '
            f'y2="{HEIGHT - BOTTOM}"/>'
        )
        parts.append(_text(at + shift, TOP + 12, label, anchor, "marktext"))
    return parts


def legend(lines):
    """HTML with the names of lines and how they are drawn."""
    items = "".join(
        f'<span class="key"><svg width="26" height="10" aria-hidden="true">'
        f'<path class="line c{line.colour}{" dashed" if line.is_dashed else ""}"'
        f' d="M1 5L25 5"/></svg>{html.escape(line.label)}</span>'
        for line in lines
    )
    return f'<div class="legend">{items}</div>'


def _svg(parts, name):
    return (
        f'<svg class="plot" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{html.escape(name)}" data-plot="{html.escape(name)}">'
        + "".join(parts)
        + "</svg>"
    )


def line_plot(
    name,
    lines,
    x_label,
    y_label,
    x_is_log=False,
    y_is_log=False,
    bands=(),
    marks=(),
    x_range=None,
    y_from=0.0,
):
    """Lines over shared axes, with their legend."""
    xs = [value for line in lines for value in line.xs]
    ys = [
        value
        for line in lines
        for value in line.ys
        if value is not None and (value > 0 or not y_is_log)
    ]
    low_x, high_x = x_range or (min(xs, default=0), max(xs, default=1))
    low_y = min(ys, default=1) * 0.8 if y_is_log else y_from
    x = Axis(low_x, high_x, LEFT, WIDTH - RIGHT, x_is_log)
    y = Axis(
        low_y,
        max(ys, default=1) * (1.25 if y_is_log else 1.06),
        HEIGHT - BOTTOM,
        TOP,
        y_is_log,
    )
    parts = [*_bands(bands, x), *_axes(x, y, x_label, y_label)]
    parts += _marks(marks, x)
    for line in lines:
        parts += _path(line, x, y)
    return _svg(parts, name) + legend(lines)


def percentile_plot(name, curves, y_label):
    """How high what share of samples is, with the tail drawn out.

    `curves` are pairs of a Line without points and its samples.
    """
    lines, shares = [], [0, 50, 90, 99, 99.9, 99.99]
    most = max((len(samples) for _, samples in curves), default=1)
    shares = [s for s in shares if s < 100 * (1 - 1 / max(most, 2))]
    nines = [-math.log10(1 - s / 100) for s in shares]
    for line, samples in curves:
        samples = np.sort(np.asarray(samples, dtype=float))
        count = len(samples)
        if not count:
            continue
        # As far as there are samples beyond.
        end = math.log10(count)
        xs = np.linspace(0, end, 120)
        ranks = np.minimum(
            np.ceil((1 - 10.0**-xs) * count).astype(int), count - 1
        )
        ys = [float(samples[rank]) for rank in ranks]
        lines.append(dataclasses.replace(line, xs=list(xs), ys=ys))
    values = [v for line in lines for v in line.ys if v > 0]
    high = max((line.xs[-1] for line in lines), default=1)
    x = Axis(0, high, LEFT, WIDTH - RIGHT)
    y = Axis(
        min(values, default=1) * 0.8,
        max(values, default=1) * 1.25,
        HEIGHT - BOTTOM,
        TOP,
        True,
    )
    parts = [
        part
        for part in _axes(x, y, "percent of the samples", y_label)
        if 'class="tick"' not in part or 'text-anchor="end"' in part
    ]
    for share, at in zip(shares, nines):
        if share:
            # Of 0, whose label has no room, the axis tells.
            label = f"{share:g} %"
            anchor = "end" if x(at) > WIDTH - 2 * RIGHT else "middle"
            parts.append(_text(x(at), HEIGHT - BOTTOM + 19, label, anchor))
        parts.append(
            f'<line class="grid" x1="{x(at):.1f}" x2="{x(at):.1f}" '
            f'y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>'
        )
    for line in lines:
        parts += _path(line, x, y)
    return _svg(parts, name) + legend(lines)


def heat_map(name, xs, ys, x_label, y_label, bands=(), y_range=None):
    """How many samples lie where; y is logarithmic, darker is more."""
    ys = np.maximum(np.asarray(ys, dtype=float), 1e-3)
    xs = np.asarray(xs, dtype=float)
    low, high = y_range or (
        (float(ys.min()) * 0.8, float(ys.max()) * 1.25)
        if len(ys)
        else (0.1, 1)
    )
    x = Axis(0, float(xs.max(initial=1)), LEFT, WIDTH - RIGHT)
    y = Axis(low, high, HEIGHT - BOTTOM, TOP, True)
    counts, x_edges, y_edges = np.histogram2d(
        xs,
        ys,
        bins=(
            np.linspace(0, x.high, HEAT_COLUMNS + 1),
            np.geomspace(y.low, y.high, HEAT_ROWS + 1),
        ),
    )
    most = math.log1p(counts.max(initial=1))
    parts = _axes(x, y, x_label, y_label)
    for column, row in zip(*np.nonzero(counts)):
        left, right = x(x_edges[column]), x(x_edges[column + 1])
        bottom, top = y(y_edges[row]), y(y_edges[row + 1])
        count = int(counts[column, row])
        shade = 0.12 + 0.88 * math.log1p(count) / most
        parts.append(
            f'<rect class="heat" x="{left:.1f}" y="{top:.1f}" '
            f'width="{right - left + 0.3:.1f}" '
            f'height="{bottom - top + 0.3:.1f}" fill-opacity="{shade:.2f}"/>'
        )
    for band in bands:
        middle = (x(band.begin) + x(band.end)) / 2
        parts.append(_text(middle, TOP - 4, band.label))
        parts.append(
            f'<line class="mark" x1="{x(band.begin):.1f}" '
            f'x2="{x(band.begin):.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>'
        )
    return _svg(parts, name)
