"""ls, show and rm."""

import os
import select
import time

import numpy as np
import pytest
import tensord
from tensord.tensorctl._names import pattern_regex

TENSOR_KEYS = {
    "name",
    "dtype",
    "shape",
    "device",
    "requires_grad",
    "size_bytes",
    "storage_id",
    "etag",
    "create_time",
    "update_time",
    "expire_time",
    "lease_seconds",
}
VALUE_KEYS = {
    "of",
    "elements",
    "exact",
    "min",
    "max",
    "mean",
    "std",
    "zeros",
    "nan",
    "positive_infinity",
    "negative_infinity",
    "histogram",
}


@pytest.fixture
def tensors(c, prefix):
    """Some tensors; gives their names but for the prefix."""
    made = {
        "a": c.tensor([1.5, 2.5, -1.0], name=f"{prefix}a"),
        "b": c.tensor([[1, 2]], "int16", name=f"{prefix}b", ttl=3600),
        "deep/c": c.tensor(7, name=f"{prefix}deep/c", lease=90),
        "g": c.tensor(
            [0.0] * 64, "bfloat16", name=f"{prefix}g", requires_grad=True
        ),
    }
    yield made
    for name in c.list(filter=f'name = "tensors/{prefix}*"'):
        del c[name]


# ls


def test_ls_prints_names(ctl, prefix, tensors):
    ran = ctl("ls", f"{prefix}*")
    assert ran == (0, "".join(f"{prefix}{one}\n" for one in tensors), "")


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("a", ["a"]),
        ("?", ["a", "b", "g"]),
        ("*c", ["deep/c"]),
        ("d*p/?", ["deep/c"]),
        ("A", []),
        ("a*a", []),
        ("[ab]", []),
        ('a"b*', []),
    ],
)
def test_ls_matches_patterns(ctl, prefix, tensors, pattern, names):
    ran = ctl("ls", f"{prefix}{pattern}")
    assert ran.lines == [f"{prefix}{name}" for name in names]
    assert ran.code == 0


def test_patterns_are_no_regular_expressions():
    assert pattern_regex("a.b").fullmatch("a.b")
    assert not pattern_regex("a.b").fullmatch("axb")
    assert pattern_regex("*").fullmatch("")
    assert not pattern_regex("?").fullmatch("")


def test_ls_filters_and_orders(ctl, prefix, tensors):
    ran = ctl(
        "ls",
        f"{prefix}*",
        "--filter",
        "size_bytes > 4 AND requires_grad = false",
        "--order-by",
        "size_bytes desc",
    )
    assert ran.lines == [f"{prefix}a", f"{prefix}deep/c"]


def test_ls_long_is_a_table(ctl, prefix, tensors):
    head, *rows = ctl("ls", "-l", f"{prefix}*").lines
    assert head.split() == [
        "NAME",
        "DTYPE",
        "SHAPE",
        "DEVICE",
        "GRAD",
        "SIZE",
        "AGE",
        "EXPIRES",
    ]
    cells = [row.split() for row in rows]
    assert [row[1:7] for row in cells] == [
        ["float32", "3", "cpu", "no", "12", "B"],
        ["int16", "1x2", "cpu", "no", "4", "B"],
        ["int64", "scalar", "cpu", "no", "8", "B"],
        ["bfloat16", "64", "cpu", "yes", "128", "B"],
    ]
    assert rows[0].endswith("never")
    assert " in 59m 5" in rows[1] or rows[1].endswith("in 1h")
    assert rows[2].endswith("lease of 1m 30s")
    places = {row.index(one[1]) for row, one in zip(rows, cells, strict=True)}
    assert places == {head.index("DTYPE")}


def test_ls_json(ctl, prefix, tensors):
    infos = ctl("ls", "--json", f"{prefix}*").json
    assert [set(one) for one in infos] == [TENSOR_KEYS] * 4
    a, b, c, g = infos
    assert (a["dtype"], a["shape"], a["size_bytes"]) == ("float32", [3], 12)
    assert a["etag"] == tensors["a"].etag
    assert a["expire_time"] is None
    assert b["expire_time"] > b["create_time"]
    assert (c["shape"], c["lease_seconds"]) == ([], 90)
    assert g["requires_grad"] is True


def test_times_of_json_go_into_filters(ctl, prefix, tensors):
    [b] = ctl("ls", "--json", f"{prefix}b").json
    for sign, count in (("<", 4), (">", 0)):
        wanted = f'create_time {sign} "{b["expire_time"]}"'
        ran = ctl("ls", f"{prefix}*", "--filter", wanted)
        assert (ran.code, len(ran.lines)) == (0, count)


def test_ls_of_nothing(ctl, prefix):
    assert ctl("ls", f"{prefix}*") == (0, "", "")
    assert ctl("ls", "--json", f"{prefix}*").json == []
    assert len(ctl("ls", "-l", f"{prefix}*").lines) == 1


# show


def facts(ran):
    """What show printed, by name; lines of values are joined."""
    found, last = {}, ""
    for line in ran.lines:
        if line[0] != " ":
            last, _, text = line.partition("  ")
            found[last] = text.strip()
        else:
            found[last] += f"\n{line.strip()}"
    return found


def test_show(ctl, prefix, tensors):
    ran = ctl("show", f"{prefix}a")
    found = facts(ran)
    assert ran.code == 0
    assert found.pop("created").endswith("s ago")
    assert found == {
        "name": f"{prefix}a",
        "dtype": "float32",
        "shape": "3",
        "elements": "3",
        "size": "12 B",
        "device": "cpu",
        "requires grad": "no",
        "expires": "never",
        "etag": tensors["a"].etag,
        "values": "tensor([ 1.5000,  2.5000, -1.0000])",
        "min": "-1",
        "max": "2.5",
        "mean": "1",
        "std": "1.47196",
        "zeros": "0",
        "not finite": "none",
        "histogram": "-1 [█                     █        █] 2.5",
    }


def test_show_tells_of_updates_and_lifetimes(ctl, prefix, tensors):
    tensors["a"].requires_grad_()
    assert facts(ctl("show", f"{prefix}a"))["requires grad"] == "yes"
    assert "updated" in facts(ctl("show", f"{prefix}a"))
    assert "lease" in facts(ctl("show", f"{prefix}deep/c"))["expires"]


def test_show_where_there_are_no_blocks(process, environment, prefix, tensors):
    environment.setenv("PYTHONIOENCODING", "ascii")
    ran = process("show", f"{prefix}a")
    assert ran.code == 0
    assert b"-1 [@                     @        @] 2.5\n" in ran.out


def test_show_json(ctl, c, prefix):
    array = np.array([[np.nan, np.inf, -np.inf, 0, 4, 2]])
    c.tensor(array, name=f"{prefix}x")
    found = ctl("show", "--json", f"{prefix}x").json
    values = found.pop("values")
    assert set(found) == TENSOR_KEYS
    assert set(values) == VALUE_KEYS
    histogram = values.pop("histogram")
    assert (len(histogram), sum(histogram)) == (32, 3)
    assert values.pop("std") == pytest.approx(array[0, 3:].std())
    assert values == {
        "of": "value",
        "elements": 6,
        "exact": True,
        "min": 0.0,
        "max": 4.0,
        "mean": 2.0,
        "zeros": 1,
        "nan": 1,
        "positive_infinity": 1,
        "negative_infinity": 1,
    }
    shown = facts(ctl("show", f"{prefix}x"))
    assert shown["not finite"] == "1 NaN, 1 inf, 1 -inf"
    del c[f"{prefix}x"]


def test_show_of_complex_numbers_is_of_moduli(ctl, c, prefix):
    with c.tensor([3 + 4j, 0], name=f"{prefix}z"):
        values = ctl("show", "--json", f"{prefix}z").json["values"]
        assert (values["of"], values["max"]) == ("modulus", 5.0)
        assert facts(ctl("show", f"{prefix}z"))["of"].startswith("the modulus")


def test_show_of_nothing(ctl, c, prefix):
    with c.tensor(np.zeros((0, 3)), name=f"{prefix}0"):
        assert ctl("show", "--json", f"{prefix}0").json["values"] is None
        shown = facts(ctl("show", f"{prefix}0"))
        assert shown["shape"] == "0x3"
        assert "min" not in shown


def test_show_of_what_is_not_finite(ctl, c, prefix):
    with c.tensor([np.nan, np.inf], name=f"{prefix}n"):
        values = ctl("show", "--json", f"{prefix}n").json["values"]
        assert values["min"] is values["mean"] is None
        assert "histogram" not in facts(ctl("show", f"{prefix}n"))


def test_show_can_read_no_values(ctl, server, prefix, tensors):
    before = server.handled()
    shown = facts(ctl("show", "--no-values", f"{prefix}a"))
    assert "values" not in shown
    assert "min" not in shown
    after = server.handled()
    for method in ("ReadTensor", "DownloadTensor"):
        assert after.get(method, 0) == before.get(method, 0)


def downloaded(server):
    return server.metrics()["tensord_download_bytes_total"]


def test_show_samples_what_is_large(ctl, c, server, prefix):
    """A sample is bounded, says that it is one, and finds what is typical."""
    array = np.arange(3 << 20, dtype=np.float32).reshape(3, 1024, 1024)
    with c.tensor(array, name=f"{prefix}big"):
        before = downloaded(server)
        values = ctl("show", "--json", f"{prefix}big").json["values"]
        assert downloaded(server) - before <= 4 * (1 << 20)
        assert values["exact"] is False
        assert 0.8 * (1 << 20) < values["elements"] <= 1 << 20
        assert values["mean"] == pytest.approx(array.mean(), rel=0.02)
        assert (
            "--exact reads all"
            in facts(ctl("show", f"{prefix}big"))["sampled"]
        )


def test_show_exact_reads_all(ctl, c, server, prefix):
    array = np.zeros((3, 1024, 1024), np.float32)
    array[1, 2, 3] = 5
    with c.tensor(array, name=f"{prefix}big"):
        before = downloaded(server)
        values = ctl("show", "--json", "--exact", f"{prefix}big").json[
            "values"
        ]
        assert downloaded(server) - before == array.nbytes
        assert values["exact"] is True
        assert (values["max"], values["zeros"]) == (5.0, array.size - 1)


def test_show_makes_no_tensors(ctl, server, prefix, tensors):
    before = server.handled()
    ctl("show", f"{prefix}a")
    assert server.handled().get("TransformTensor", 0) == before.get(
        "TransformTensor", 0
    )


# rm


def test_rm_deletes_names(ctl, c, prefix, tensors):
    ran = ctl("rm", f"{prefix}a", f"{prefix}deep/c", f"{prefix}a")
    assert ran == (0, f"{prefix}a\n{prefix}deep/c\n", "")
    assert ctl("ls", f"{prefix}*").lines == [f"{prefix}b", f"{prefix}g"]


def test_rm_quiet_and_json(ctl, prefix, tensors):
    assert ctl("rm", "-q", f"{prefix}a") == (0, "", "")
    assert ctl("rm", "--json", f"{prefix}b").json == {
        "deleted": [f"{prefix}b"]
    }


@pytest.mark.parametrize("missing", ["nope", "nope*"])
def test_rm_deletes_all_or_nothing(ctl, prefix, tensors, missing):
    names = (f"{prefix}a", f"{prefix}{missing}")
    ran = ctl("rm", "--yes", *names)
    assert ran.code == 3
    assert ran.out == ""
    assert f"{prefix}{missing}" in ran.err
    assert len(ctl("ls", f"{prefix}*").lines) == 4
    assert ctl("rm", "--yes", "--ignore-missing", *names).code == 0
    assert len(ctl("ls", f"{prefix}*").lines) == 3


def test_rm_of_a_pattern_wants_yes_in_scripts(ctl, prefix, tensors):
    ran = ctl("rm", f"{prefix}*")
    assert (ran.code, ran.out) == (2, "")
    assert "--yes" in ran.err
    assert len(ctl("ls", f"{prefix}*").lines) == 4
    assert ctl("rm", "-y", f"{prefix}?").code == 0
    assert ctl("ls", f"{prefix}*").lines == [f"{prefix}deep/c"]


def test_rm_dry_run_deletes_nothing(ctl, prefix, tensors):
    assert len(ctl("rm", "-n", f"{prefix}*").lines) == 4
    found = ctl("rm", "-n", "--json", f"{prefix}?").json
    assert found == {"would_delete": [f"{prefix}{one}" for one in "abg"]}
    assert len(ctl("ls", f"{prefix}*").lines) == 4


@pytest.mark.parametrize("arguments", [[], ["--all", "a"]])
def test_rm_wants_names_or_all(ctl, arguments):
    ran = ctl("rm", "--yes", *arguments)
    assert ran.code == 2
    assert "names, or --all" in ran.err


def test_rm_all(ctl, start_server, environment):
    target = start_server().target
    with tensord.connect(target) as client:
        for i in range(5):
            client.tensor(i, name=f"n/{i}")
        environment.setenv("TENSORD_URL", target)
        assert ctl("rm", "--all").code == 2
        assert len(client.list()) == 5
        assert len(ctl("rm", "--all", "--yes").lines) == 5
        assert client.list() == []
        # Nothing there is what --all asks for.
        assert ctl("rm", "--all", "--yes") == (0, "", "")


def read_until(terminal, text, seconds=30):
    found = b""
    deadline = time.monotonic() + seconds
    while text not in found:
        assert select.select([terminal], [], [], deadline - time.monotonic())[
            0
        ]
        found += os.read(terminal, 4096)
    return found


@pytest.mark.parametrize(
    ("answer", "code", "left"), [("y", 0, 0), ("n", 130, 4), ("", 130, 4)]
)
def test_rm_asks_on_a_terminal(
    ctl, terminal, prefix, tensors, answer, code, left
):
    child, ours = terminal("rm", f"{prefix}*")
    read_until(ours, b"delete 4 tensors from ")
    os.write(ours, f"{answer}\n".encode())
    assert child.wait(30) == code
    assert len(ctl("ls", f"{prefix}*").lines) == left
