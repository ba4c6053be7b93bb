"""Which tensors a command is about: names, and patterns with `*` and `?`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from tensord.tensorctl._exit import CommandError, Exit

if TYPE_CHECKING:
    from tensord import Client, RemoteTensor, TensorInfo

# What an id is made of; the same set as of the server.
_START = re.compile(r"[A-Za-z0-9._~:/-]*")
_BATCH = 1000
_WILDCARDS = {"*": ".*", "?": "."}


def is_pattern(text: str) -> bool:
    """Whether `text` stands for any number of names."""
    return any(wildcard in text for wildcard in _WILDCARDS)


def pattern_regex(pattern: str) -> re.Pattern[str]:
    """What the names of a pattern match in full.

    `*` stands for anything, slashes included, and `?` for one character.
    """
    return re.compile(
        "".join(_WILDCARDS.get(char) or re.escape(char) for char in pattern)
    )


def _filter_of(pattern: str) -> str:
    """A filter of the server's that lets through all names of a pattern.

    It knows one `*` at the end only.
    """
    start = _START.match(pattern)
    assert start is not None
    if start[0] == pattern:
        return f'name = "tensors/{pattern}"'
    return f'name = "tensors/{start[0]}*"' if start[0] else ""


def matching(
    client: Client, pattern: str = "*", filter: str = "", order_by: str = ""
) -> Iterator[TensorInfo]:
    """The tensors whose names match a pattern and that pass a filter."""
    terms = [one for one in (_filter_of(pattern), filter.strip()) if one]
    regex = pattern_regex(pattern)
    infos = client.infos(filter=" AND ".join(terms), order_by=order_by)
    return (info for info in infos if regex.fullmatch(info.name))


def expand(client: Client, pattern: str) -> list[str]:
    """The names that match a pattern, of which there has to be one.

    Raises
    ------
    CommandError
        There is none.
    """
    names = [info.name for info in matching(client, pattern)]
    if not names:
        raise CommandError(
            Exit.NOT_FOUND,
            f"no tensor matches {pattern!r}; 'tensorctl ls' shows the names",
        )
    return names


def handles(client: Client, names: Sequence[str]) -> Iterator[RemoteTensor]:
    """Handles on the tensors of these names, asked for many at a time.

    Raises
    ------
    NotFoundError
        One is not there.
    """
    for begin in range(0, len(names), _BATCH):
        yield from client.get_batch(names[begin : begin + _BATCH])


def unique(names: Sequence[str]) -> list[str]:
    """The names, each once, in the order in which they first came."""
    return list(dict.fromkeys(names))
