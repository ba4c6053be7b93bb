"""The container image: built from the Dockerfile, and run.

Each time the stage that is the image is built over the server of this build.
The stage before, which installs packages and compiles, takes minutes: it is
run when something that matters to it alone changed since it last was, or with
TENSORD_EXHAUSTIVE, and what it makes has to pass the same tests.
"""

import json
import os
import pathlib
import re
import subprocess
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
pytest.register_assert_rewrite("image_harness")

import image_harness as harness

pytestmark = pytest.mark.skipif(
    harness.why_not() != "", reason=harness.why_not()
)

# Of all files of the image; Debian itself has more.
MOST_BYTES = 60_000_000
# Of the server when it has nothing to do.
MOST_IDLE_BYTES = 30_000_000
# Free ports, on loopback.
QUIET = {
    "TENSORD_LISTEN": "127.0.0.1:0",
    "TENSORD_METRICS_LISTEN": "127.0.0.1:0",
}


@pytest.fixture(scope="module", autouse=True)
def store():
    harness.WORK.mkdir(parents=True, exist_ok=True)
    harness.clear()
    yield
    harness.clear()


def is_compiled_before():
    return (
        harness.STAMP.exists()
        and harness.STAMP.read_text() == harness.compiled_from()
        and "TENSORD_EXHAUSTIVE" not in os.environ
    )


@pytest.fixture(scope="module", params=["assembled", "compiled"])
def image(request):
    """The name of the image."""
    if request.param == "assembled":
        yield harness.build_assembled()
        return
    if is_compiled_before():
        pytest.skip("it was built before, of the same")
    harness.STAMP.unlink(missing_ok=True)
    failed = request.session.testsfailed
    yield harness.build_compiled()
    if request.session.testsfailed == failed:
        harness.STAMP.write_text(harness.compiled_from())


@pytest.fixture(scope="module")
def container(image):
    made = harness.Container(image)
    yield made
    made.remove()


@pytest.fixture
def start(tmp_path):
    """Starts servers, and ends those that a test leaves."""
    started = []

    def start(command):
        log = tmp_path / f"{len(started)}.log"
        started.append(harness.Process(command, log))
        return started[-1]

    yield start
    for process in started:
        process.kill()


def files_in(folder):
    return {
        str(path.relative_to(folder)): path
        for path in folder.rglob("*")
        if path.is_symlink() or path.is_file()
    }


def is_library(name):
    return re.fullmatch(
        r"usr/lib/[\w-]+/lib[\w.+-]+\.so(\.[\d.]+)?|usr/lib(64)?/ld-[\w.-]+",
        name,
    )


def bill_in(folder):
    path = folder / "usr/share/doc/tensord/sbom.cdx.json"
    return json.loads(path.read_text())


def test_runs_as_nobody_in_particular(container):
    config = container.config
    assert config["User"] == f"{harness.USER}:{harness.USER}"
    assert config["Entrypoint"] == ["tensord"]
    assert not config.get("Cmd")
    assert {*config["ExposedPorts"]} == {"50051/tcp", "9464/tcp"}
    assert not config.get("Volumes")
    assert config["StopSignal"] == "SIGTERM"
    assert {
        "PATH=/usr/local/bin",
        "TENSORD_LISTEN=0.0.0.0:50051",
    } <= {*config["Env"]}


def test_has_labels(container):
    labels = {
        name.removeprefix("org.opencontainers.image."): value
        for name, value in container.config["Labels"].items()
    }
    cmake = (harness.ROOT / "CMakeLists.txt").read_text()
    assert labels["version"] == re.search(r"VERSION ([\d.]+) ", cmake)[1]
    assert labels["title"] == "tensord"
    assert labels["licenses"] == "Apache-2.0"
    assert labels["description"]
    assert labels["revision"] == harness.REVISION


def test_has_the_server_and_what_it_needs_alone(container):
    with container.mounted() as folder:
        found = files_in(folder)
        bill = bill_in(folder)
        size = sum(path.lstat().st_size for path in found.values())
        links = {name for name in found if (folder / name).is_symlink()}
        executables = {
            name
            for name, path in found.items()
            if name not in links and path.stat().st_mode & 0o111
        }
        writable = {
            name for name, path in found.items() if path.stat().st_mode & 0o22
        }
    assert size <= MOST_BYTES
    # Some processors have no lib64.
    assert links - {"lib64"} == {"lib", "etc/os-release"}
    assert not writable
    libraries = {name for name in found if is_library(name)}
    assert any("/libgrpc.so" in name for name in libraries)
    assert executables == {*libraries, "usr/local/bin/tensord"}
    packages = {part["name"] for part in bill["components"]} - {"cudart"}
    notices = {f"usr/share/doc/{one}/copyright" for one in packages}
    common = {name for name in found if "/common-licenses/" in name}
    assert "usr/share/common-licenses/LGPL-2.1" in common
    assert found.keys() - libraries - links - notices - common == {
        "etc/debian_version",
        "etc/nsswitch.conf",
        "etc/ssl/certs/ca-certificates.crt",
        "usr/lib/os-release",
        "usr/local/bin/tensord",
        "usr/share/doc/tensord/copyright",
        "usr/share/doc/tensord/sbom.cdx.json",
    }


def test_serves_the_tour_until_it_is_told_to_stop(container, start):
    server = start(container.command(["tensord"], QUIET))
    address = server.wait_until_ready()
    status = server.status()
    assert {*status["Uid"].split()} == {str(harness.USER)}
    assert {*status["Gid"].split()} == {str(harness.USER)}
    assert int(status["VmRSS"].split()[0]) * 1024 <= MOST_IDLE_BYTES

    check = container.config["Healthcheck"]["Test"]
    assert check == ["CMD", "tensord", "--probe"]
    ready = {"TENSORD_LISTEN": address}
    for words in (check[1:], ["tensord", "--probe=liveness"]):
        probed = container.run(words, ready)
        assert (probed.returncode, probed.stderr) == (0, "")
    probed = container.run(check[1:], {"TENSORD_LISTEN": "127.0.0.1:1"})
    assert probed.returncode == 1
    assert "no health from 127.0.0.1:1" in probed.stderr

    tour = subprocess.run(
        [sys.executable, harness.ROOT / "deploy/tour.py", address],
        capture_output=True,
        text=True,
        timeout=harness.PATIENCE,
        check=False,
    )
    assert tour.returncode == 0, tour.stdout + tour.stderr
    assert server.stop() == 0, server.log()
    assert server.events()[-1]["event"] == "stopped"


def test_needs_to_write_nowhere(container, start):
    with container.mounted() as folder:
        command = harness.read_only_command(folder, container.config, QUIET)
        server = start(command)
        address = server.wait_until_ready()
        root = pathlib.Path(f"/proc/{server.server_id()}/root")
        with pytest.raises(OSError, match="Read-only file system"):
            (root / "file").touch()
        assert {*server.status()["Uid"].split()} == {str(harness.USER)}
        probed = container.run(
            ["tensord", "--probe"], {"TENSORD_LISTEN": address}
        )
        assert (probed.returncode, probed.stderr) == (0, "")
        assert server.stop() == 0, server.log()


def gathered(binary, folder):
    return subprocess.run(
        [harness.ROOT / "deploy/image_files.py", binary, folder],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The files of the image of this build's server."""
    folder = tmp_path_factory.mktemp("image")
    done = gathered(harness.server_binary(), folder)
    assert done.returncode == 0, done.stderr
    return folder


def test_the_bill_has_the_packages_of_all_libraries(files):
    bill = bill_in(files)
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.5")
    parts = {part["name"]: part for part in bill["components"]}
    installed = {}
    for package, part in parts.items():
        listed = harness.output_of("dpkg-query", "-L", package).split()
        installed.update((pathlib.Path(one).name, package) for one in listed)
        query = harness.output_of(
            "dpkg-query", "-W", "-f=${Version} ${Architecture}", package
        )
        version, architecture = query.split()
        assert part["version"] == version
        quoted = version.replace("+", "%2B").replace(":", "%3A")
        name = package.replace("+", "%2B")
        assert part["purl"].startswith(
            f"pkg:deb/debian/{name}@{quoted}?arch={architecture}"
            "&distro=debian-12&upstream="
        )
    libraries = [
        pathlib.Path(name).name for name in files_in(files) if is_library(name)
    ]
    owners = {installed.get(one) for one in libraries}
    assert None not in owners
    # Certificates, and what is compiled in.
    assert parts.keys() - owners == {"ca-certificates", "libasio-dev"}
    assert {*bill["dependencies"][0]["dependsOn"]} == {
        part["bom-ref"] for part in bill["components"]
    }


def test_the_same_server_gives_the_same_files(files, tmp_path):
    assert gathered(harness.server_binary(), tmp_path / "a").returncode == 0
    first, second = files_in(files), files_in(tmp_path / "a")
    assert first.keys() == second.keys()
    for name in first:
        if first[name].is_symlink():
            assert first[name].readlink() == second[name].readlink()
            continue
        assert first[name].read_bytes() == second[name].read_bytes(), name


def test_the_bill_tells_of_cudart(tmp_path):
    harness.output_of(
        harness.ROOT / "deploy/image_files.py",
        harness.server_binary(),
        tmp_path,
        "12.8.93",
    )
    (part,) = (
        part
        for part in bill_in(tmp_path)["components"]
        if part["name"] == "cudart"
    )
    assert part["version"] == "12.8.93"


def linked_to_own_library(folder):
    (folder / "own.c").write_text("int own(void) { return 0; }\n")
    (folder / "main.c").write_text(
        "int own(void);\nint main(void) { return own(); }\n"
    )
    harness.output_of(
        *("cc", "-shared", "-fPIC", "own.c", "-o", "libown.so"), cwd=folder
    )
    harness.output_of(
        *("cc", "main.c", "-L.", "-lown", "-Wl,-rpath,$ORIGIN"),
        *("-o", "main"),
        cwd=folder,
    )
    return folder / "main"


def test_libraries_of_no_package_are_refused(tmp_path):
    binary = linked_to_own_library(tmp_path)
    done = gathered(binary, tmp_path / "files")
    assert done.returncode == 1
    assert "libown.so is of no Debian package" in done.stderr
    (tmp_path / "libown.so").unlink()
    done = gathered(binary, tmp_path / "files")
    assert done.returncode == 1
    assert "libown.so => not found" in done.stderr
