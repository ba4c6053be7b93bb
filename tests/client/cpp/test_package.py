"""The C++ client as others get it: installed, and found by CMake."""

import pathlib
import re
import shutil
import subprocess

import numpy as np
import pytest

CONSUMER = pathlib.Path(__file__).parent / "consumer"
FOREIGN = re.compile(r'#\s*include\s*[<"](?:grpc|google/protobuf|.*\.pb\.h)')


def run(*command, **options):
    done = subprocess.run(
        [str(word) for word in command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        **options,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture(scope="session")
def package(build):
    """What is installed, and nothing else."""
    prefix = build / "package"
    shutil.rmtree(prefix, ignore_errors=True)
    install = ["cmake", "--install", build, "--component", "client"]
    run(*install, "--prefix", prefix)
    return prefix


@pytest.fixture(scope="session")
def headers(package):
    include = package / "include"
    found = sorted(path.relative_to(include) for path in include.rglob("*.h"))
    assert pathlib.Path("tensord/client.h") in found
    return found


@pytest.fixture(scope="session")
def consumer(build, package, headers, cached):
    """The program of a project that finds the package, built."""
    sanitize = cached("TENSORD_SANITIZE")
    flags = f"-fsanitize={sanitize}" if sanitize else ""
    folder = build / "consumer"
    run(
        "cmake",
        *("-S", CONSUMER, "-B", folder, "-G", "Ninja"),
        f"-DCMAKE_BUILD_TYPE={cached('CMAKE_BUILD_TYPE')}",
        f"-DCMAKE_PREFIX_PATH={package}",
        f"-DCMAKE_CXX_COMPILER={cached('CMAKE_CXX_COMPILER')}",
        f"-DCMAKE_CXX_COMPILER_LAUNCHER={cached('CCACHE')}",
        f"-DCMAKE_CXX_FLAGS={flags}",
        f"-DFOUND_HEADERS={';'.join(map(str, headers))}",
    )
    run("cmake", "--build", folder, "--parallel", "2")
    return folder / "consumer"


def test_consumer_uses_a_server(consumer, server, tmp_path):
    file = tmp_path / "a.npy"
    assert run(consumer, server.target, file) == "all is well\n"
    saved = np.load(file)
    assert saved.dtype == np.float32
    assert np.array_equal(saved, [[0, 1, 2], [3, 4, 5]])


def test_every_public_header_is_installed(headers):
    folder = pathlib.Path(__file__).parents[3] / "client/cpp/include/tensord"
    public = {path.name for path in folder.glob("*.h")}
    outer = {path.name for path in headers if path.parent.name == "tensord"}
    assert outer == public


def test_nothing_but_own_folders_is_installed(package):
    files = (path for path in package.rglob("*") if not path.is_dir())
    names = sorted(str(path.relative_to(package)) for path in files)
    places = r"include/tensord/|lib\S*/cmake/tensord/|lib\S*/libtensord_client"
    assert [name for name in names if not re.match(places, name)] == []


def test_installed_headers_name_what_is_installed(package, headers):
    known = {str(header) for header in headers}
    for header in headers:
        text = (package / "include" / header).read_text()
        assert not FOREIGN.search(text), header
        quoted = re.findall(r'#\s*include\s*"([^"]+)"', text)
        ours = {name for name in quoted if not name.startswith("absl/")}
        assert ours <= known, header


def test_no_header_of_rpc_libraries_is_reached(
    package, headers, cached, tmp_path
):
    source = tmp_path / "all.cc"
    source.write_text("".join(f'#include "{name}"\n' for name in headers))
    compiler = cached("CMAKE_CXX_COMPILER")
    reached = run(
        compiler,
        *("-std=c++20", "-M", f"-I{package / 'include'}"),
        *("-isystem", "/usr/include/eigen3", source),
    )
    assert "absl/status/status.h" in reached
    assert not re.search(r"grpc|protobuf|\.pb\.h", reached)


def functions(*options):
    """What a library defines, as nm demangles it."""
    lines = run("nm", "-C", "--defined-only", *options).splitlines()
    symbols = (line.split(maxsplit=2) for line in lines)
    return {symbol[2] for symbol in symbols if symbol[1:2] == ["T"]}


@pytest.fixture(scope="session")
def exported(package):
    (library,) = package.glob("lib*/**/libtensord_client.so")
    lines = run("nm", "-DC", "--defined-only", library).splitlines()
    return {line.split(maxsplit=2)[2] for line in lines}


def test_only_own_symbols_are_exported(exported):
    foreign = [name for name in exported if not name.startswith("tensord::")]
    inner = [name for name in exported if "tensord::client::" in name]
    assert (foreign, inner) == ([], [])


def test_what_headers_declare_is_exported(build, package, headers, exported):
    texts = [(package / "include" / header).read_text() for header in headers]
    text = "\n".join(texts)

    def is_declared(symbol):
        scope = symbol.split("(")[0].split("[")[0]
        names = scope.removeprefix("tensord::").removeprefix("internal::")
        *classes, function = names.split("::")
        if not classes:
            return re.search(rf"^\w[^/\n]*\b{function}\(", text, re.MULTILINE)
        defined = rf"^(?:class|struct)\b[^;{{]*\b{classes[0]}\b[^;{{]*{{"
        return re.search(defined, text, re.MULTILINE)

    archives = ["client/cpp/libtensord_client.a", "core/libtensord_core.a"]
    defined = functions(*(build / archive for archive in archives))
    ours = {
        name for name in defined if re.match(r"tensord::[\w:]+[(\[]", name)
    }
    declared = {name for name in ours if is_declared(name)}
    assert len(declared) > 50
    assert declared - exported == set()


@pytest.mark.parametrize(
    "version, fits", [("0.1", True), ("0.2", False), ("1.1", False)]
)
def test_version_fits_if_the_minor_one_is_the_same(
    package, version, fits, tmp_path
):
    (config,) = package.glob("lib*/**/tensordConfigVersion.cmake")
    major, minor = version.split(".")
    script = tmp_path / "version.cmake"
    script.write_text(
        f"set(PACKAGE_FIND_VERSION {version})\n"
        f"set(PACKAGE_FIND_VERSION_MAJOR {major})\n"
        f"set(PACKAGE_FIND_VERSION_MINOR {minor})\n"
        f"include({config})\n"
        'message("fits:${PACKAGE_VERSION_COMPATIBLE}")\n'
    )
    said = run("cmake", "-P", script)
    assert said == ("fits:TRUE\n" if fits else "fits:FALSE\n")


def test_compilers_say_what_is_wrong_with_types(package, cached):
    compiler = cached("CMAKE_CXX_COMPILER")
    refused = subprocess.run(
        [
            *(compiler, "-std=c++20", "-fsyntax-only"),
            f"-I{package / 'include'}",
            CONSUMER / "refused/types.cc",
        ],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert refused.returncode != 0
    errors = re.findall(r"error: .*(tensord: .*)", refused.stderr)
    for sentence, times in [
        ("this C++ type is no dtype", 2),
        ("std::vector<bool> has no memory of bools", 2),
        ("do not lie side by side in memory", 2),
        ("a view of this temporary would outlive it", 1),
        ("no view is known of this type", 1),
    ]:
        assert sum(sentence in error for error in errors) == times, sentence
