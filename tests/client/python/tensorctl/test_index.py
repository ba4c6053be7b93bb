"""Index expressions are Python's, of those that are basic indexing."""

import random

import numpy as np
import pytest
from tensord.tensorctl._exit import CommandError, Exit
from tensord.tensorctl._index import (
    format_index,
    parse_index,
    parse_selection,
)

ROUNDS = 2000


def number(pick):
    return pick.choice(["", "-", "+"]) + str(pick.randrange(10**4))


def term(pick):
    kind = pick.randrange(5)
    if kind == 0:
        return "..."
    if kind == 1:
        return "None"
    if kind == 2:
        return number(pick)
    bounds = [pick.choice(["", number(pick)]) for _ in range(kind - 1)]
    return ":".join(bounds)


def spaced(pick, text):
    return "".join(
        f"{one}{' ' * pick.randrange(2)}" if one in ",:" else one
        for one in text
    )


def python(text):
    found = eval(f"np.s_[{text}]", {"np": np})
    return found if isinstance(found, tuple) else (found,)


def test_indices_mean_what_they_mean_in_python():
    pick = random.Random(1)
    for _ in range(ROUNDS):
        terms = [term(pick) for _ in range(pick.randrange(1, 5))]
        text = spaced(pick, ",".join(terms)) + pick.choice(["", ","])
        if text.strip() in ("", ","):
            continue
        assert parse_index(text) == python(text), text
        assert parse_index(format_index(parse_index(text))) == python(text)
        assert parse_selection(f"w/0[{text}]") == ("w/0", python(text))


def test_what_is_taken_means_the_same_in_python():
    pick = random.Random(2)
    taken = 0
    for _ in range(20 * ROUNDS):
        text = "".join(
            pick.choice("0123456789:,.- NoneTrue[]()x'\n")
            for _ in range(pick.randrange(6))
        )
        try:
            found = parse_index(text)
        except CommandError as error:
            assert error.exit_code is Exit.INVALID
            continue
        # Python refuses 01, which is read as 1 here.
        without = ",".join(
            ":".join(str(int(b)) if b.strip() else "" for b in part.split(":"))
            if part.strip() not in ("...", "None", "")
            else part
            for part in text.split(",")
        )
        assert found == python(without.strip()), text
        taken += 1
    assert taken > ROUNDS


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        ",",
        "1,,2",
        "a",
        "1:2:3:4",
        "1.5",
        "[0]",
        "0]",
        "True",
        "1 2",
        "__import__('os')",
        "9" * 20,
        "0x10",
        "1_000",
        "....",
        "..",
        "\u0663",
    ],
)
def test_everything_else_is_refused(text):
    with pytest.raises(CommandError, match="is no index") as refused:
        parse_index(text)
    assert refused.value.exit_code is Exit.INVALID


def test_names_without_an_index():
    assert parse_selection("w/0") == ("w/0", None)
    assert parse_selection("w/*") == ("w/*", None)


@pytest.mark.parametrize("text", ["w[0", "w[0]x", "w["])
def test_brackets_have_to_close(text):
    with pytest.raises(CommandError, match="closing bracket"):
        parse_selection(text)
