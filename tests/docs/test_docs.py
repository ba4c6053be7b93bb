"""What the pages show is run, and does what they say.

Of a page, blocks of `pycon` print what they show; then commands of `console`,
behind a $, succeed and print what follows them, where `...` stands for
anything; then blocks of `python` run, one after the other in one namespace,
and may await. They find a server at localhost:50051, which is where
TENSORD_URL leads, and run in a folder of their own, in which the tree appears
to be; but for scripts of deploy/, which run in the tree. Blocks of `cpp` are
excerpts from sources that are built and run.

What would take too long is checked for being there, with the options that are
shown: see TOO_LONG.
"""

import doctest
import os
import pathlib
import re
import shlex
import subprocess
import sys
import textwrap

import pytest
from server_process import is_sanitized, running, server_binary

ROOT = pathlib.Path(__file__).parents[2]
ADDRESS = "localhost:50051"

# Scripts of minutes, and what needs another machine.
TOO_LONG = {
    "./tests/run.sh",
    "./tests/bench/run.sh",
    "./tests/bench/transfer.sh",
    "./tests/emulate/run.sh",
    "./tests/fuzz/run.sh",
    "./tests/gpu/run.sh",
    "./tests/load/run.sh",
    "build/venv/bin/python tests/bench/aio_calls.py",
    "build/venv/bin/python tests/load/load_profiles.py",
    "build/venv/bin/python tests/load/load_report.py",
    "build/venv/bin/python tests/memory/large_tensor.py",
}
# What commands are about that build another tree than a sanitizer's, or need
# one.
RELEASE = {"./deploy/run.sh --demo", "--preset release", "build/release"}
# What is run elsewhere, and where.
ELSEWHERE = {
    # Serves until it is stopped; the same with --demo is run here.
    "./deploy/run.sh": "deploy/run.sh",
    # There is neither a daemon for containers nor a cluster here.
    **dict.fromkeys(
        [
            "docker compose -f deploy/compose.yaml up --build --detach --wait",
            "docker compose -f deploy/compose.yaml down",
        ],
        "tests/deploy/test_compose.py",
    ),
    **dict.fromkeys(
        [
            "kubectl create namespace tensord",
            "kubectl --namespace tensord create secret tls tensord-tls "
            "--cert=server.pem --key=server.key",
            "kubectl --namespace tensord create secret generic "
            "tensord-tokens --from-file=tokens",
            "kubectl apply --kustomize deploy/kubernetes/overlays/tls",
            "kubectl apply --filename prometheus_rule.yaml",
        ],
        "tests/deploy/test_kubernetes.py",
    ),
    "apt-get install haproxy": "tests/packages.txt",
    "tensord --listen=unix:/run/tensord/tensord.sock": "tests/wire/front.py",
    "cat cert.pem key.pem > /etc/tensord/front.pem": "tests/wire/front.py",
    "haproxy -W -f deploy/haproxy/haproxy.cfg": "tests/wire/front.py",
    **dict.fromkeys(
        [
            "docker build -t tensord .",
            "docker run --read-only --cap-drop ALL"
            " -p 127.0.0.1:50051:50051 -e TENSORD_INSECURE=true tensord",
            "docker build --build-arg"
            " CUDA_IMAGE=nvidia/cuda:12.8.1-devel-ubuntu22.04"
            " -t tensord:0.1.0-cuda .",
            "docker run --gpus all --read-only -p 127.0.0.1:50051:50051"
            " -e TENSORD_INSECURE=true tensord:0.1.0-cuda",
        ],
        "tests/deploy/test_image.py",
    ),
    **dict.fromkeys(
        [
            "install -m 755 build/release/bin/tensord /usr/local/bin/",
            "install -m 644 -D -t /etc/systemd/system"
            " deploy/systemd/tensord.service",
            "install -m 644 -D -t /etc/tensord deploy/systemd/tensord.env",
            "systemd-sysusers deploy/systemd/tensord.sysusers",
            "systemctl enable --now tensord",
            "install -m 644 -D -t /etc/systemd/system/tensord.service.d"
            " deploy/systemd/cuda.conf",
            "systemctl daemon-reload",
        ],
        "tests/deploy/test_systemd.py",
    ),
    # Not in Debian; what it sends is sent by a stub, by that test.
    "ghz": "tests/load/test_load.py",
    "build/venv/bin/python -m locust": "tests/load/test_load.py",
}

PAGES = [
    "README.md",
    "CONTRIBUTING.md",
    "client/clients.md",
    "client/python/README.md",
    "client/semantics.md",
    "deploy/operating.md",
    "deploy/performance.md",
    "deploy/haproxy/README.md",
    "proto/protocol.md",
    "tests/bench/README.md",
    "tests/load/README.md",
]
# Where excerpts of C++ come from.
CPP = ["client/cpp/examples", "tests/client/cpp"]

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page, *languages):
    text = (ROOT / page).read_text()
    return [
        (text[: block.start()].count("\n") + 2, block[1], block[2])
        for block in BLOCK.finditer(text)
        if block[1] in languages
    ]


@pytest.fixture(scope="session")
def server():
    """One of their own, as pages leave tensors in it."""
    yield from running()


@pytest.fixture
def folder(tmp_path):
    """A folder in which the tree appears to be."""
    for entry in ROOT.iterdir():
        if entry.name != ".git":
            (tmp_path / entry.name).symlink_to(entry)
    return tmp_path


@pytest.fixture
def environment(server):
    tools = (ROOT / "build/venv/bin", server_binary().parent)
    path = os.pathsep.join([*map(str, tools), os.environ["PATH"]])
    return {**os.environ, "PATH": path, "TENSORD_URL": server.target}


def test_every_page_is_known():
    found = {
        str(path.relative_to(ROOT))
        for path in ROOT.rglob("*.md")
        if not path.relative_to(ROOT).parts[0].startswith((".", "build"))
    }
    # Pages without anything to run.
    found -= {
        "CHANGELOG.md",
        "core/device/cuda/cuda_gotchas.md",
        "deploy/prometheus/runbook.md",
        "tests/server/testdata/tls/README.md",
    }
    assert found == set(PAGES)


@pytest.mark.parametrize("page", PAGES)
def test_blocks_say_what_they_are(page):
    text = (ROOT / page).read_text()
    fences = re.findall(r"^```(.*)$", text, re.MULTILINE)
    languages = fences[::2]
    assert set(fences[1::2]) <= {""}
    known = {"cmake", "console", "cpp", "promql", "pycon", "python", "text"}
    assert set(languages) <= known
    # A command in an indented block would be run by nobody.
    assert not re.search(r"^    (\./|\$ )", text, re.MULTILINE)


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    text = (ROOT / page).read_text()
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text):
        if "://" not in target:
            assert (ROOT / page).parent.joinpath(target).exists(), target


def with_pages(*languages):
    return [page for page in PAGES if blocks(page, *languages)]


def run_prompts(page, target):
    if page == "client/python/README.md":
        # By tests/client/python/test_docstrings.py.
        return
    parser, names = doctest.DocTestParser(), {}
    runner = doctest.DocTestRunner(verbose=False, optionflags=doctest.ELLIPSIS)
    report = []
    for line, _, source in blocks(page, "pycon"):
        if "connect(address)" in source:
            # The tour, which tests/client/python/test_tour.py takes.
            continue
        source = source.replace(ADDRESS, target)
        test = parser.get_doctest(source, names, page, page, line - 1)
        # What a block binds is there in the next.
        runner.run(test, out=report.append, clear_globs=False)
        names = test.globs
    assert runner.failures == 0, "".join(report)


def run_programs(page, folder, environment):
    found = [
        (line, source.replace(ADDRESS, environment["TENSORD_URL"]))
        for line, _, source in blocks(page, "python")
    ]
    program = folder / "program.py"
    program.write_text(PROGRAM.format(blocks=found, page=page))
    done = subprocess.run(
        [sys.executable, program],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=folder,
        env={**environment, "PYTHONPATH": str(folder)},
    )
    assert done.returncode == 0, done.stderr


# Runs blocks one after the other; those that await, in one event loop.
PROGRAM = """
import ast, asyncio, inspect, sys
names = {{"__name__": "__main__"}}
async def main():
    for line, source in {blocks!r}:
        code = compile(
            "\\n" * (line - 1) + source,
            {page!r},
            "exec",
            ast.PyCF_ALLOW_TOP_LEVEL_AWAIT,
        )
        result = eval(code, names)
        if inspect.iscoroutine(result):
            await result
asyncio.run(main())
"""


def parsed(source):
    """Commands behind a $, and the lines that follow each."""
    found = []
    for line in source.splitlines():
        if line.startswith("$ "):
            found.append([line[2:], []])
        elif found and line.startswith("> "):
            found[-1][0] += "\n" + line[2:]
        else:
            assert found, f"output before a command: {line}"
            found[-1][1].append(line)
    return [(command, "\n".join(lines)) for command, lines in found]


def without_comment(command):
    return re.sub(r"\s+# .*$", "", command)


def check_exists(command):
    """Checks that a script is there, and has the options that are shown."""
    words = [
        word
        for word in shlex.split(command)
        if word != "build/venv/bin/python"
    ]
    script = ROOT / words[0]
    source = script.read_text()
    assert os.access(script, os.X_OK) or script.suffix == ".py"
    sources = source + "".join(
        (ROOT / one).read_text()
        for one in re.findall(r"tests/[\w/]+\.py", source)
    )
    for option in words[1:]:
        if option.startswith("--"):
            name = option.partition("=")[0]
            assert f"{name}" in sources, f"{script} knows no {name}"


def commands(page, folder, environment):
    for line, _, source in blocks(page, "console"):
        for command, expected in parsed(source):
            run_command(
                f"{page}:{line}",
                without_comment(command),
                expected,
                folder,
                environment,
            )


def run_command(where, command, expected, folder, environment):
    words = shlex.split(command)
    if any(command.startswith(script) for script in TOO_LONG):
        check_exists(command)
        return
    if is_sanitized() and any(name in command for name in RELEASE):
        return
    for elsewhere, where_it_runs in ELSEWHERE.items():
        if command == elsewhere or command.startswith(f"{elsewhere} "):
            assert (ROOT / where_it_runs).exists()
            return
    done = subprocess.run(
        [
            "bash",
            "-euo",
            "pipefail",
            "-c",
            command.replace(ADDRESS, environment["TENSORD_URL"]),
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        check=False,
        cwd=ROOT if words[0].startswith("./deploy/") else folder,
        env=environment,
    )
    assert done.returncode == 0, f"{where}: {command}\n{done.stdout}"
    if expected:
        check = doctest.OutputChecker()
        flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
        shown = done.stdout.replace(environment["TENSORD_URL"], ADDRESS)
        assert check.check_output(expected + "\n", shown, flags), (
            f"{where}: {command}\nprinted\n{shown}\nwhere the page has\n"
            f"{expected}"
        )


@pytest.mark.parametrize("page", with_pages("console", "pycon", "python"))
def test_pages_do_what_they_show(page, folder, environment, monkeypatch):
    monkeypatch.chdir(folder)
    monkeypatch.setenv("TENSORD_URL", environment["TENSORD_URL"])
    run_prompts(page, environment["TENSORD_URL"])
    commands(page, folder, environment)
    run_programs(page, folder, environment)


def squeezed(source):
    return re.sub(r"\s+", " ", source).strip()


@pytest.mark.parametrize("page", with_pages("cmake", "cpp"))
def test_excerpts_are_from_sources_that_are_built(page):
    built = [
        squeezed(path.read_text())
        for folder in CPP
        for pattern in ("*.cc", "CMakeLists.txt")
        for path in (ROOT / folder).rglob(pattern)
    ]
    for line, language, source in blocks(page, "cmake", "cpp"):
        # A line of dots is something left out; anything may, in CMake.
        left_out = r"^\s*// \.\.\.$" if language == "cpp" else r"\n"
        for piece in re.split(left_out, source, flags=re.MULTILINE):
            assert any(squeezed(piece) in one for one in built), (
                f"{page}:{line}: no built source has\n{textwrap.dedent(piece)}"
            )
