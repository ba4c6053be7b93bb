"""Installing the client: where nothing else is, and from its source."""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import venv
import zipfile

import pytest

ROOT = pathlib.Path(__file__).parents[3]
BUILD = ROOT / "build"


def run(*command, **options):
    """Runs a command; shows what it printed where it fails."""
    done = subprocess.run(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        **options,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def pip(*arguments, **options):
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    return run(*command, *arguments, **options)


@pytest.fixture(scope="module")
def fresh_python():
    """An environment with the wheel, what that asks for, and pytest."""
    assert (BUILD / "wheelhouse").is_dir(), (
        "tests/run.sh downloads what the test installs"
    )
    (wheel,) = (BUILD / "wheels").glob("tensord-*.whl")
    folder = BUILD / "fresh_venv"
    venv.create(folder, clear=True, symlinks=True)
    python = folder / "bin/python"
    to_fresh = ("--python", python)
    from_disk = ("--no-index", "--find-links", BUILD / "wheelhouse")
    pip(*to_fresh, "install", *from_disk, wheel, "pytest")
    pip(*to_fresh, "check")
    return python


def test_the_wheel_needs_nothing_but_what_it_asks_for(fresh_python):
    preset = pathlib.Path(os.environ.get("TENSORD_SERVER", "/")).parts
    if "asan" in preset or "tsan" in preset:
        pytest.skip("sanitizers do not see the client")
    isolated = {
        name: value
        for name, value in os.environ.items()
        if name not in ("LD_LIBRARY_PATH", "PYTHONPATH", "VIRTUAL_ENV")
    }
    tests = pathlib.Path(__file__)
    shown = run(
        *(fresh_python, "-m", "pytest", "-q", tests.parent),
        f"--ignore={tests}",
        env=isolated,
    )
    passed = re.search(r"(\d+) passed", shown)
    assert passed, shown
    assert int(passed[1]) > 1000, shown


@pytest.fixture(scope="module")
def source():
    """The sdist, unpacked where the compiler's cache knows the place."""
    folder = BUILD / "sdist"
    shutil.rmtree(folder, ignore_errors=True)
    script = (
        "import sys, scikit_build_core.build as backend;"
        "backend.build_sdist(sys.argv[1])"
    )
    run(sys.executable, "-c", script, folder, cwd=ROOT / "client/python")
    (archive,) = folder.glob("*.tar.gz")
    shutil.unpack_archive(archive, folder)
    return folder / archive.name.removesuffix(".tar.gz")


def names_in(wheel):
    with zipfile.ZipFile(wheel) as archive:
        return sorted(archive.namelist())


def test_a_wheel_can_be_built_from_the_sdist(source, tmp_path):
    settings = {
        "build-dir": source / "build/python",
        # As in build/python, so that its objects serve here too.
        "cmake.define.TENSORD_WERROR": "ON",
    }
    cache = {"CCACHE_BASEDIR": str(ROOT), "CCACHE_NOHASHDIR": "1"}
    pip(
        *("wheel", "--no-build-isolation", "--no-deps", "--no-index"),
        *(f"--config-settings={key}={settings[key]}" for key in settings),
        *("--wheel-dir", tmp_path, source),
        env={**os.environ, **cache},
    )
    (wheel,) = tmp_path.iterdir()
    (from_tree,) = (BUILD / "python/wheel").iterdir()
    assert names_in(wheel) == names_in(from_tree)
    run(sys.executable, "-m", "zipfile", "-e", wheel, tmp_path)
    shown = run(
        *(sys.executable, "-c", "import tensord; print(tensord.__file__)"),
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )
    assert shown.strip() == str(tmp_path / "tensord/__init__.py")
