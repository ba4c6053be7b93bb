"""Completion scripts, and what shells complete by them."""

import pathlib
import shutil
import subprocess
import sys

import pytest

pytest.importorskip("argcomplete")

# What bash does when Tab is pressed behind a command line.
PRESS_TAB = r"""
source /dev/stdin
COMP_LINE=$1 COMP_POINT=${#1} COMP_TYPE=9
read -ra COMP_WORDS <<<"$1"
_python_argcomplete tensorctl
printf '%s\n' "${COMPREPLY[@]}"
"""


@pytest.fixture
def script(ctl):
    ran = ctl("completion", "bash")
    assert (ran.code, ran.err) == (0, "")
    return ran.out


@pytest.fixture
def tab(script, monkeypatch):
    """What bash completes a command line to."""
    # The command that was installed with the package.
    folder = pathlib.Path(sys.executable).parent
    assert (folder / "tensorctl").exists()
    monkeypatch.setenv("PATH", str(folder), prepend=":")

    def press(line):
        done = subprocess.run(
            ["bash", "--norc", "-c", PRESS_TAB, "bash", line],
            input=script,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        return [one.rstrip() for one in done.stdout.splitlines() if one]

    return press


@pytest.fixture
def names(c, prefix):
    made = [f"{prefix}{one}" for one in ("alpha", "alps", "beta")]
    for name in made:
        c.tensor(1, name=name)
    yield made
    for name in made:
        del c[name]


def test_commands_complete(tab):
    assert tab("tensorctl de") == ["devices"]
    assert {"put", "get", "ls", "rm"} <= {*tab("tensorctl ")}


def test_options_complete(tab):
    assert tab("tensorctl get --over") == ["--overflow"]
    assert tab("tensorctl get --overflow s") == ["saturate"]
    assert tab("tensorctl put w.npy --dtype bf") == ["bfloat16"]
    assert tab("tensorctl put w.npy --device c") == ["cpu"]
    assert tab("tensorctl completion z") == ["zsh"]


@pytest.mark.parametrize("command", ["show", "get", "rm", "ls"])
def test_names_complete_from_the_server(tab, prefix, names, command):
    assert tab(f"tensorctl {command} {prefix}al") == names[:2]
    assert tab(f"tensorctl {command} {prefix}b") == names[2:]
    assert tab(f"tensorctl {command} {prefix}x") == []


def test_names_complete_from_the_target(
    tab, server, environment, prefix, names
):
    environment.setenv("TENSORD_URL", "127.0.0.1:1")
    line = f"show {prefix}al"
    assert tab(f"tensorctl {line}") == []
    assert tab(f"tensorctl -t {server.target} {line}") == names[:2]
    assert tab(f"tensorctl show -t {server.target} {prefix}al") == names[:2]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_scripts_are_scripts_of_their_shell(ctl, shell):
    ran = ctl("completion", shell)
    assert ran.code == 0
    assert "tensorctl" in ran.out
    found = shutil.which(shell)
    if found:
        subprocess.run(
            [found, "-n"], input=ran.out, text=True, timeout=60, check=True
        )


def test_other_shells_are_refused(ctl):
    assert ctl("completion", "csh").code == 2


def test_completion_without_argcomplete_tells_what_to_install(
    ctl, monkeypatch
):
    monkeypatch.setitem(sys.modules, "argcomplete", None)
    monkeypatch.setitem(sys.modules, "argcomplete.shell_integration", None)
    ran = ctl("completion", "bash")
    assert ran.code == 9
    assert "pip install 'tensord[tensorctl]'" in ran.err
