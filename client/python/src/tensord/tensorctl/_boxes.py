"""Parts of a tensor that are read one by one, or some of them."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence

Box = tuple[slice, ...]


class Boxes(Sequence[Box]):
    """All elements of a tensor in parts of about the same size.

    Each part is contiguous where the tensor is in C order, and has no more
    than `most` elements.
    """

    def __init__(self, shape: Sequence[int], most: int) -> None:
        self._shape = tuple(shape)
        # The dimension that is cut: those before it are gone through one by
        # one, and those behind it are whole.
        self._axis = 0
        inner = math.prod(self._shape[1:])
        while inner > most:
            self._axis += 1
            inner = math.prod(self._shape[self._axis + 1 :])
        size = self._shape[self._axis] if self._shape else 1
        self._cuts = max(1, -(-size * inner // most))
        # A cut has whole rows, of which `most` may hold no multiple.
        if inner:
            self._cuts = max(self._cuts, -(-size // max(1, most // inner)))
        self._outer = self._shape[: self._axis]
        self._empty = math.prod(self._shape) == 0

    def __len__(self) -> int:
        return 0 if self._empty else math.prod(self._outer) * self._cuts

    def __getitem__(self, place: int) -> Box:  # type: ignore[override]
        if not 0 <= place < len(self):
            raise IndexError(place)
        if not self._shape:
            return ()
        place, cut = divmod(place, self._cuts)
        outer = []
        for size in reversed(self._outer):
            place, i = divmod(place, size)
            outer.append(slice(i, i + 1))
        size = self._shape[self._axis]
        begin, end = (size * i // self._cuts for i in (cut, cut + 1))
        whole = (slice(0, one) for one in self._shape[self._axis + 1 :])
        return (*reversed(outer), slice(begin, end), *whole)


def sample(count: int, most: int) -> Iterator[int]:
    """At most `most` numbers below `count`, spread over all of them.

    One at random out of each of `most` stretches, so that no period of the
    elements can fool it; the same every time.
    """
    if count <= most:
        yield from range(count)
        return
    pick = random.Random(0)
    for i in range(most):
        yield pick.randrange(count * i // most, count * (i + 1) // most)
