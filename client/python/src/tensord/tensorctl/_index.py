"""Basic indexing as it is written behind a name: ``w/0[0, 10:20, ...]``."""

from __future__ import annotations

import re
import types
from typing import NamedTuple

from tensord.tensorctl._exit import CommandError, Exit

# What int64 holds has no more digits; what lies beyond it is refused when it
# is used.
_INTEGER = re.compile(r"[+-]?[0-9]{1,19}")

Term = int | slice | types.EllipsisType | None
Index = tuple[Term, ...]


class Selection(NamedTuple):
    """A name, and which elements of the tensor are meant."""

    name: str
    # None for the whole tensor.
    part: Index | None


def _refuse(text: str, why: str) -> CommandError:
    return CommandError(
        Exit.INVALID,
        f"{text!r} is no index: {why}; write integers, slices (10:20, ::2), "
        "'...' and None, separated by commas",
    )


def _integer(part: str, text: str) -> int:
    if not _INTEGER.fullmatch(part):
        raise _refuse(text, f"{part!r} is no integer")
    return int(part)


def _slice(part: str, text: str) -> slice:
    bounds = [one.strip() for one in part.split(":")]
    if len(bounds) > 3:
        raise _refuse(text, f"{part!r} has more than two colons")
    return slice(*(_integer(one, text) if one else None for one in bounds))


def _term(part: str, text: str) -> Term:
    if part == "...":
        return ...
    if part == "None":
        return None
    return _slice(part, text) if ":" in part else _integer(part, text)


def parse_index(text: str) -> Index:
    """The terms of what stands between the brackets of ``t[...]``.

    Raises
    ------
    CommandError
        It is not made of integers, slices, ``...`` and ``None``.
    """
    parts = [part.strip() for part in text.split(",")]
    if len(parts) > 1 and not parts[-1]:
        # Python's comma of a tuple with one element.
        parts.pop()
    if not all(parts):
        raise _refuse(text, "a term is empty")
    return tuple(_term(part, text) for part in parts)


def parse_selection(text: str) -> Selection:
    """``NAME`` or ``NAME[INDEX]``. No name has brackets in it.

    Raises
    ------
    CommandError
        The brackets do not match, or the index can not be understood.
    """
    name, bracket, rest = text.partition("[")
    if not bracket:
        return Selection(name, None)
    if not rest.endswith("]"):
        raise _refuse(text, "the closing bracket is missing")
    return Selection(name, parse_index(rest[:-1]))


def format_index(index: Index) -> str:
    """What :func:`parse_index` takes for the same."""
    return ", ".join(map(_format_term, index))


def _format_term(term: Term) -> str:
    if term is ...:
        return "..."
    if not isinstance(term, slice):
        return str(term)
    bounds = [term.start, term.stop]
    if term.step is not None:
        bounds.append(term.step)
    return ":".join("" if one is None else str(one) for one in bounds)
