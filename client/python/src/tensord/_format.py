"""The text of a tensor, which is PyTorch's to the letter.

Only the elements that are printed are fetched.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence

import numpy as np

_LINE_WIDTH = 80
_PRECISION = 4
# A tensor of more elements shows only the first and the last few along each
# dimension.
_WHOLE_UP_TO = 1000
_EDGE_ITEMS = 3

# Reads a part of a tensor: takes one slice for each dimension.
Fetch = Callable[[tuple[slice, ...]], np.ndarray]


class _Plain:
    """How integers and bools of one tensor are written."""

    def __init__(self, values: np.ndarray) -> None:
        self.width = max(map(len, map(str, values.ravel().tolist())))

    def texts(self, values: np.ndarray) -> list[str]:
        return [str(value).rjust(self.width) for value in values.tolist()]


class _Real:
    """How the floats of one tensor are written.

    All get the same notation, chosen by those that are finite and not zero;
    the width counts those only, too.
    """

    def __init__(self, values: np.ndarray) -> None:
        telling = values[np.isfinite(values) & (values != 0)].ravel()
        self._whole = bool(np.all(telling == np.trunc(telling)))
        self._scientific = _spreads(np.abs(telling), self._whole)
        written = map(self._write, telling.tolist())
        self.width = max(map(len, written), default=1)

    def _write(self, value: float) -> str:
        if self._scientific:
            return f"{value:.{_PRECISION}e}"
        if not self._whole:
            return f"{value:.{_PRECISION}f}"
        return f"{value:.0f}." if math.isfinite(value) else f"{value:.0f}"

    def texts(self, values: np.ndarray) -> list[str]:
        return [self._write(v).rjust(self.width) for v in values.tolist()]


def _spreads(magnitudes: np.ndarray, whole: bool) -> bool:
    """Whether magnitudes need scientific notation."""
    if magnitudes.size == 0:
        return False
    low, high = float(magnitudes.min()), float(magnitudes.max())
    return high / low > 1000 or high > 1e8 or (not whole and low < 1e-4)


class _Complex:
    """How complex numbers are written: notations of two kinds, joined."""

    def __init__(self, values: np.ndarray) -> None:
        self._real = _Real(values.real)
        self._imaginary = _Real(values.imag)
        self.width = self._real.width + self._imaginary.width + 1

    def texts(self, values: np.ndarray) -> list[str]:
        real = self._real.texts(values.real)
        imaginary = map(str.strip, self._imaginary.texts(values.imag))
        return [
            f"{a}{b}j" if b[0] in "+-" else f"{a}+{b}j"
            for a, b in zip(real, imaginary, strict=True)
        ]


_Notation = _Plain | _Real | _Complex


def _notation(values: np.ndarray) -> _Notation:
    if values.dtype.kind in "biu":
        return _Plain(values)
    return _Complex(values) if values.dtype.kind == "c" else _Real(values)


def _edges(size: int, summarized: bool) -> list[slice]:
    """The stretches of a dimension that are shown."""
    if not summarized or size <= 2 * _EDGE_ITEMS:
        return [slice(0, size)]
    return [slice(0, _EDGE_ITEMS), slice(size - _EDGE_ITEMS, size)]


def _fetch_shown(
    shape: Sequence[int], summarized: bool, fetch: Fetch
) -> np.ndarray:
    """The elements that are shown, as one array without the rest."""
    stretches = [_edges(size, summarized) for size in shape]
    parts = np.empty([len(one) for one in stretches], dtype=object)
    for place in np.ndindex(*parts.shape):
        picked = zip(stretches, place, strict=True)
        parts[place] = fetch(tuple(one[i] for one, i in picked))
    for axis in reversed(range(len(shape))):
        joined = np.empty(parts.shape[:axis], dtype=object)
        for place in np.ndindex(*joined.shape):
            joined[place] = np.concatenate(list(parts[place]), axis=axis)
        parts = joined
    return parts[()]


class _Writer:
    """Puts the elements of one tensor into brackets and lines."""

    def __init__(self, notation: _Notation, shape: Sequence[int], gaps: bool):
        self._notation = notation
        self._shape = shape
        self._gaps = gaps

    def _has_gap(self, axis: int) -> bool:
        return self._gaps and self._shape[axis] > 2 * _EDGE_ITEMS

    def write(self, values: np.ndarray, indent: int, axis: int = 0) -> str:
        """The text of `values`, which start at dimension `axis`."""
        if values.ndim == 0:
            return self._notation.texts(values.reshape(1))[0]
        if values.ndim == 1:
            return self._row(values, indent, axis)
        rows = [self.write(one, indent + 1, axis + 1) for one in values]
        if self._has_gap(axis):
            rows.insert(_EDGE_ITEMS, "...")
        margin = " " * (indent + 1)
        return "[" + f",{chr(10) * (values.ndim - 1)}{margin}".join(rows) + "]"

    def _row(self, values: np.ndarray, indent: int, axis: int) -> str:
        texts = self._notation.texts(values)
        if self._has_gap(axis):
            texts.insert(_EDGE_ITEMS, " ...")
        room = (_LINE_WIDTH - indent) // (self._notation.width + 2)
        lines = [", ".join(part) for part in _batched(texts, max(1, room))]
        margin = " " * (indent + 1)
        return "[" + f",\n{margin}".join(lines) + "]"


def _batched(items: list[str], size: int) -> itertools.chain[list[str]]:
    starts = range(0, len(items), size)
    return itertools.chain(items[start : start + size] for start in starts)


def _length_in_torch(note: str) -> int:
    """Lines break where PyTorch breaks them, whose name is shorter."""
    return len(note.replace("tensord.", "torch."))


def _append(text: str, notes: Sequence[str], indent: int) -> str:
    """Adds what follows the elements, on new lines where the line is full."""
    # Two characters for what separates or closes.
    column = len(text) - (text.rfind("\n") + 1) + 2
    for note in notes:
        length = _length_in_torch(note)
        if column + length + 2 > _LINE_WIDTH:
            text += f",\n{' ' * indent}{note}"
            column = indent + length
        else:
            text += f", {note}"
            column += length + 2
    return text + ")"


def tensor_text(
    shape: Sequence[int],
    fetch: Fetch,
    before_dtype: Sequence[str],
    dtype_note: Callable[[bool], str | None],
    after_dtype: Sequence[str],
) -> str:
    """The text of a tensor.

    Parameters
    ----------
    shape
        Its shape.
    fetch
        Reads a part of it; called only for what is printed.
    before_dtype, after_dtype
        Notes that follow the elements.
    dtype_note
        The note on its dtype, if any; told whether the tensor is empty.
    """
    opening = "tensor("
    indent = len(opening)
    count = math.prod(shape)
    notes = list(before_dtype)
    if count == 0:
        body = "[]"
        if len(shape) != 1:
            notes.append(f"size=({', '.join(map(str, shape))})")
    else:
        summarized = count > _WHOLE_UP_TO
        shown = _fetch_shown(shape, summarized, fetch)
        writer = _Writer(_notation(shown), shape, summarized)
        body = writer.write(shown, indent)
    about_dtype = dtype_note(count == 0)
    if about_dtype:
        notes.append(about_dtype)
    notes.extend(after_dtype)
    return _append(opening + body, notes, indent)


def printable(values: np.ndarray) -> np.ndarray:
    """Elements as the formatter takes them: what NumPy can not compute with
    becomes float32, which holds it exactly."""
    if values.dtype.kind in "biuc" or values.dtype.itemsize > 2:
        return values
    return values.astype(np.float32)
