"""What all commands have in common: help, exit codes, errors, signals."""

import hashlib
import os
import re
import shlex
import signal
import socket
import subprocess
import sys

import numpy as np
import pytest
import tensord
from tensord.errors import from_status
from tensord.tensorctl._exit import MEANINGS, Exit, describe
from tensord.tensorctl._parser import COMMANDS, make_parser

NAMES = [command.name for command in COMMANDS]

# Help


def test_help_tells_of_commands_exit_codes_and_environment(ctl):
    ran = ctl("--help")
    assert (ran.code, ran.err) == (0, "")
    for command in COMMANDS:
        assert re.search(
            rf"^  {command.name} +{command.summary}$", ran.out, re.MULTILINE
        )
        assert f"\n{command.group}:\n" in ran.out
    for code in Exit:
        assert re.search(rf"^  {int(code)} +\w", ran.out, re.MULTILINE)
    for name in ("URL", "TOKEN", "CLIENT_TLS_CA", "CLIENT_TLS_KEY"):
        assert f"TENSORD_{name}" in ran.out
    assert max(map(len, ran.lines)) < 80


@pytest.mark.parametrize("command", COMMANDS, ids=NAMES)
def test_every_command_has_help_with_examples(ctl, command):
    ran = ctl(command.name, "--help")
    assert (ran.code, ran.err) == (0, "")
    assert command.examples
    for example in command.examples:
        assert f"  # {example.purpose}\n  {example.line}\n" in ran.out
    assert ran.out.startswith(f"usage: tensorctl {command.name} ")
    assert command.description.splitlines()[0] in ran.out
    prose = (*command.description.splitlines(), command.summary)
    assert max(map(len, prose)) < 80


def arguments_of(line):
    """Those of the first tensorctl in an example."""
    words = shlex.split(line.replace('eval "$(', "").replace(')"', ""))
    words = words[words.index("tensorctl") + 1 :]
    ends = [words.index(one) for one in ("|", ">") if one in words]
    return words[: min(ends, default=None)]


@pytest.mark.parametrize("command", COMMANDS, ids=NAMES)
def test_examples_can_be_parsed(command):
    for example in command.examples:
        args = make_parser().parse_args(arguments_of(example.line))
        assert args.command is command


def test_help_is_quick(run_python):
    """It imports nothing that takes long."""
    code, _, err = run_python(
        "import sys\n"
        "from tensord.tensorctl import main\n"
        "main(['--help'])\n"
        "main(['get', '--help'])\n"
        "main(['ls', '--nonsense'])\n"
        "slow = {'numpy', 'tensord._native', 'ssl', 'http', 'argcomplete',\n"
        "        'prometheus_client', 'tqdm', 'ctypes', 'asyncio'}\n"
        "sys.exit(', '.join(slow & {*sys.modules}) or 0)\n"
    )
    assert code == 0, err


def test_version(ctl):
    ran = ctl("--version")
    assert ran == (0, f"tensorctl {tensord.__version__}\n", "")


# Command lines


@pytest.mark.parametrize(
    "line",
    [
        "",
        "nonsense",
        "ls --nonsense",
        "show",
        "get",
        "put",
        "ls --timeout soon",
        "put a.npy --ttl 1h --lease 1h",
        "get a --overflow wrap",
        "top --once --count 2",
        "--tar x ls",
    ],
)
def test_usage_errors(ctl, line):
    ran = ctl(*line.split())
    assert (ran.code, ran.out) == (2, "")
    assert re.fullmatch(r"tensorctl: .*see 'tensorctl.*--help'\n", ran.err)


def test_shared_options_stand_anywhere(ctl, server, environment):
    environment.setenv("TENSORD_URL", "127.0.0.1:1")
    for line in (
        ("-t", server.target, "ls", "--json"),
        ("ls", "--json", "-t", server.target),
        ("--json", "ls", f"--target={server.target}"),
        ("--json", "-t", f"tensord://{server.target}", "ls"),
    ):
        assert ctl(*line).code == 0
        assert ctl(*line).out[0] == "["


@pytest.mark.parametrize(
    "line",
    [
        "put a.npy w/0 --replace",
        "put a.npy --replace w/0",
        "put --replace a.npy w/0",
        "put --replace -- a.npy w/0",
        "put a.npy --replace -- w/0",
        "put a.npy --device cpu w/0 --replace",
    ],
)
def test_options_stand_among_arguments(line):
    args = make_parser().parse_args(line.split())
    assert (args.file, args.name, args.replace) == ("a.npy", "w/0", True)


def test_names_may_look_like_options():
    args = make_parser().parse_args(["rm", "a", "--yes", "--", "-b", "--c"])
    assert (args.names, args.yes) == (["a", "-b", "--c"], True)


def test_the_nearer_option_counts(ctl, server):
    assert ctl("-t", "127.0.0.1:1", "ls", "-t", server.target).code == 0


# Errors


def one_line(ran, code):
    assert (ran.code, ran.out) == (code, "")
    assert re.fullmatch(r"tensorctl: [^\n]+\n", ran.err)
    return ran.err


def test_not_found(ctl, prefix):
    assert "'tensorctl ls'" in one_line(ctl("show", f"{prefix}x"), 3)


@pytest.mark.parametrize(
    "line", ["ls --filter nonsense", "show a//b", "ls --order-by color"]
)
def test_invalid(ctl, line):
    one_line(ctl(*line.split()), 5)


def test_unavailable(ctl):
    said = one_line(ctl("-t", "127.0.0.1:1", "--timeout", "500ms", "ls"), 7)
    assert "is the server running" in said


def test_an_unusable_target(ctl):
    one_line(ctl("-t", "http://x", "ls"), 5)


@pytest.mark.parametrize("content", [None, "", "\n"])
def test_unusable_token_files(ctl, tmp_path, content):
    path = tmp_path / "token"
    if content is not None:
        path.write_text(content)
    assert "token" in one_line(ctl("--token-file", path, "ls"), 11)


def guarded(start_server, tmp_path, scopes):
    """A server that asks for a token, and a file with one."""
    token = "a" * 40
    tokens = tmp_path / "tokens"
    digest = hashlib.sha256(token.encode()).hexdigest()
    tokens.write_text(f"sha256:{digest} tenant {scopes}\n")
    tokens.chmod(0o600)
    file = tmp_path / "token"
    file.write_text(f"{token}\n")
    return start_server("--auth_tokens", str(tokens)).target, file


def test_denied(ctl, start_server, tmp_path, environment):
    target, file = guarded(start_server, tmp_path, "read")
    assert "--token-file" in one_line(ctl("-t", target, "ls"), 6)
    assert ctl("-t", target, "--token-file", file, "ls").code == 0
    array = tmp_path / "a.npy"
    np.save(array, [1])
    line = ("-t", target, "--token-file", file)
    one_line(ctl(*line, "put", array), 6)
    assert ctl(*line, "show", "a").code == 3
    # The environment's token goes to the environment's server.
    environment.setenv("TENSORD_TOKEN", file.read_text().strip())
    one_line(ctl("-t", target, "ls"), 6)
    environment.setenv("TENSORD_URL", target)
    assert ctl("ls").code == 0


@pytest.mark.parametrize(
    ("code", "reason", "exit_code"),
    [
        ("NOT_FOUND", "", 3),
        ("PERMISSION_DENIED", "TENSOR_DENIED", 3),
        ("ALREADY_EXISTS", "", 4),
        ("INVALID_ARGUMENT", "DTYPE_UNKNOWN", 5),
        ("INVALID_ARGUMENT", "", 5),
        ("OUT_OF_RANGE", "CAST_VALUE_OUT_OF_RANGE", 5),
        ("PERMISSION_DENIED", "", 6),
        ("UNAUTHENTICATED", "", 6),
        ("UNAVAILABLE", "", 7),
        ("DEADLINE_EXCEEDED", "", 7),
        ("RESOURCE_EXHAUSTED", "", 8),
        ("FAILED_PRECONDITION", "NEEDS_CPU", 9),
        ("ABORTED", "", 9),
        ("UNIMPLEMENTED", "", 9),
        ("INTERNAL", "", 10),
        ("DATA_LOSS", "", 10),
        ("UNKNOWN", "", 10),
    ],
)
def test_exit_codes_of_refusals(code, reason, exit_code):
    found, message = describe(from_status(code, "because", reason))
    assert found == exit_code
    assert message.startswith("because")


def test_exit_codes_of_other_errors():
    assert describe(FileNotFoundError(2, "gone", "x.npy")) == (
        Exit.FILE,
        "x.npy: gone",
    )
    assert describe(ZeroDivisionError()) is None
    assert {*MEANINGS} == {*Exit}


def test_bugs_have_a_traceback(ctl, monkeypatch):
    from tensord.tensorctl import _ls

    monkeypatch.setattr(_ls, "matching", lambda *_: 1 / 0)
    ran = ctl("ls")
    assert ran.code == 1
    assert "ZeroDivisionError" in ran.err


# Pipes and signals


def test_broken_pipes_are_quiet(c, command, prefix):
    for i in range(10):
        c.tensor(i, name=f"{prefix}{i}")
    reader = subprocess.Popen(["true"], stdin=subprocess.PIPE)
    reader.wait()
    # Nobody reads, however little is written.
    done = subprocess.run(
        [*command, "ls", "-l"],
        stdout=reader.stdin,
        stderr=subprocess.PIPE,
        timeout=60,
        check=False,
    )
    reader.stdin.close()
    assert (done.returncode, done.stderr) == (141, b"")
    for i in range(10):
        del c[f"{prefix}{i}"]


@pytest.fixture
def silence():
    """The address of one who takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


def test_connecting_can_be_interrupted(command, silence):
    target = f"127.0.0.1:{silence.getsockname()[1]}"
    child = subprocess.Popen(
        [*command, "-t", target, "ls"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    connection, _ = silence.accept()
    with connection:
        child.send_signal(signal.SIGINT)
        out, err = child.communicate(timeout=60)
    assert (child.returncode, out, err) == (130, b"", b"")


def test_top_ends_at_once(command, server):
    pytest.importorskip("prometheus_client")
    address = re.search(r"metrics on (\S+)", server.log())[1]
    if not address.startswith("http"):
        address = f"http://{address}/metrics"
    child = subprocess.Popen(
        [*command, "top", "--metrics", address, "--interval", "50ms"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert b"calls/s" in child.stdout.readline()
    child.send_signal(signal.SIGINT)
    _, err = child.communicate(timeout=30)
    assert (child.returncode, err) == (130, b"")


def test_signals_are_left_as_they_were(ctl):
    before = signal.getsignal(signal.SIGTERM)
    ctl("--version")
    assert signal.getsignal(signal.SIGTERM) is before


def test_it_runs_as_a_module_and_as_a_command(process):
    assert process("--version").out == b"tensorctl 0.1.0\n"
    installed = os.path.join(os.path.dirname(sys.executable), "tensorctl")
    done = subprocess.run(
        [installed, "--version"], capture_output=True, timeout=60, check=True
    )
    assert done.stdout == b"tensorctl 0.1.0\n"
