"""The wheel of the client: whole, apart from the system, and what is run."""

import base64
import csv
import hashlib
import importlib.metadata
import importlib.util
import io
import pathlib
import re
import subprocess
import zipfile

import pytest
import tensord
from packaging.metadata import Metadata

ROOT = pathlib.Path(__file__).parents[3]
SITE_PACKAGES = pathlib.Path(tensord.__file__).parents[1]

# What every system of manylinux has.
MANYLINUX = {
    "ld-linux-aarch64.so.1",
    "ld-linux-x86-64.so.2",
    "libc.so.6",
    "libdl.so.2",
    "libgcc_s.so.1",
    "libm.so.6",
    "libpthread.so.0",
    "librt.so.1",
    "libstdc++.so.6",
    "libz.so.1",
}


@pytest.fixture(scope="session")
def wheel():
    (path,) = (ROOT / "build/wheels").glob("tensord-*.whl")
    with zipfile.ZipFile(path) as archive:
        yield archive


@pytest.fixture(scope="session")
def libraries(wheel):
    """The native module as it is installed, and the libraries beside it."""
    return [
        SITE_PACKAGES / name
        for name in wheel.namelist()
        if re.search(r"\.so(\.|$)", name)
    ]


def output_of(*command):
    return subprocess.run(
        command, check=True, capture_output=True, text=True
    ).stdout


def dynamic_symbols(library):
    """Pairs of the kind and the name of what a library defines."""
    lines = output_of("nm", "-D", "--defined-only", library).splitlines()
    return [tuple(line.split()[1:3]) for line in lines]


def test_the_tests_run_from_the_wheel(wheel):
    record = wheel.read(f"{metadata_folder(wheel)}/RECORD").decode()
    for name, digest, _ in csv.reader(io.StringIO(record)):
        if not digest:
            continue
        kind, wanted = digest.split("=")
        installed = (SITE_PACKAGES / name).read_bytes()
        made = base64.urlsafe_b64encode(hashlib.new(kind, installed).digest())
        assert made.rstrip(b"=").decode() == wanted, name


def metadata_folder(wheel):
    (folder,) = {
        name.split("/")[0]
        for name in wheel.namelist()
        if ".dist-info/" in name
    }
    return folder


def test_the_package_is_whole(wheel):
    source = ROOT / "client/python/src"
    for file in (source / "tensord").rglob("*"):
        if file.is_file() and "__pycache__" not in file.parts:
            name = str(file.relative_to(source))
            assert wheel.read(name) == file.read_bytes(), name
    assert "tensord/py.typed" in wheel.namelist()


def test_the_metadata_is_valid(wheel):
    folder = metadata_folder(wheel)
    shown = wheel.read(f"{folder}/METADATA")
    metadata = Metadata.from_email(shown, validate=True)
    assert metadata.name == "tensord"
    assert str(metadata.version) == tensord.__version__
    assert metadata.license_expression == "Apache-2.0"
    assert metadata.license_files == ["LICENSE"]
    assert metadata.description_content_type == "text/markdown"
    readme = (ROOT / "client/python/README.md").read_text()
    assert metadata.description.strip() == readme.strip()
    # Where it is shown, there is no tree that links could lead into.
    assert re.findall(r"\]\((?!https?://)", readme) == []
    needed = {one.name for one in metadata.requires_dist if not one.marker}
    assert needed == {"ml_dtypes", "numpy"}
    assert metadata.provides_extra == ["progress", "tensorctl"]
    assert importlib.metadata.version("tensord") == tensord.__version__


def test_it_has_the_licenses_of_all_that_is_in_it(wheel):
    folder = metadata_folder(wheel)
    license_text = wheel.read(f"{folder}/licenses/LICENSE")
    assert license_text == (ROOT / "LICENSE").read_bytes()
    bill = wheel.read(f"{folder}/sboms/auditwheel.cdx.json").decode()
    packages = set(re.findall(r'"pkg:deb/debian/([^"@]+)@[^"#]*"', bill))
    assert len(packages) > 5
    for package in packages | {"nanobind", "robin_map"}:
        name = package.replace("%2B", "+")
        assert wheel.read(f"{folder}/licenses/{name}/copyright")


# Prints the libraries that are loaded on behalf of tensord.
LOADING = """
import json, re, secrets, shutil, ssl, sys, tempfile, zipfile
import ml_dtypes, numpy

def loaded():
    with open("/proc/self/maps") as maps:
        return set(re.findall(r"/\\S+\\.so\\b\\S*", maps.read()))

before = loaded()
import tensord
c = tensord.connect(sys.argv[1])
assert c.tensor([1.5]).half().tolist() == [1.5]
try:
    tensord.connect("localhost:1", tls=True, timeout=0.1)
except (tensord.UnavailableError, tensord.DeadlineExceededError):
    pass
print(*loaded() - before, sep="\\n")
"""


def test_it_loads_no_library_of_the_system(server, run_python, libraries):
    code, shown, errors = run_python(LOADING, server.target)
    assert code == 0, errors
    used = {pathlib.Path(line).resolve() for line in shown.split()}
    ours = {path.resolve() for path in libraries}
    # All are needed, and none is loaded from elsewhere.
    assert ours <= used
    assert {path.name for path in used - ours} <= MANYLINUX


def test_it_needs_a_glibc_no_newer_than_its_name_says(wheel, libraries):
    tag = re.search(r"manylinux_(\d+)_(\d+)_\w+\.whl$", wheel.filename)
    for library in libraries:
        needed = re.findall(
            r"Name: GLIBC_(\d+)\.(\d+)", output_of("readelf", "-V", library)
        )
        for version in needed:
            assert tuple(map(int, version)) <= tuple(map(int, tag.groups()))


def test_it_is_stripped(libraries):
    for library in libraries:
        sections = output_of("readelf", "-SW", library)
        assert not re.search(r"\.(debug_info|symtab)\b", sections), library


def test_it_shares_no_symbols_with_other_modules(libraries):
    for library in libraries:
        symbols = dynamic_symbols(library)
        # The dynamic linker gives all of a process one unique symbol.
        assert [name for kind, name in symbols if kind == "u"] == []
        if library.parent.name == "tensord":
            assert [name for _, name in symbols] == ["PyInit__native"]


# Uses tensord together with another module, imported in the order of the
# arguments.
TOGETHER = """
import importlib, pathlib, sys, tempfile
target, proto, *names = sys.argv[1:]
for name in names:
    importlib.import_module(name)

def use_tensord():
    import tensord
    with tensord.connect(target) as c:
        assert c.tensor([1.5, 2.5]).to("int8").tolist() == [1, 2]
        try:
            c["missing"]
        except KeyError as error:
            assert error.reason == "TENSOR_NOT_FOUND", error.reason

def use_grpc():
    import grpc
    with grpc.insecure_channel(target) as channel:
        grpc.channel_ready_future(channel).result(20)

def use_grpc_tools_protoc():
    from grpc_tools import protoc
    proto_path = pathlib.Path(proto)
    with tempfile.TemporaryDirectory() as folder:
        assert 0 == protoc.main(["", f"-I{proto_path}",
            f"--python_out={folder}", f"--grpc_python_out={folder}",
            "tensord/v1/tensord.proto"])

def use_google_protobuf_descriptor_pb2():
    from google.protobuf import descriptor_pb2
    made = descriptor_pb2.FileDescriptorProto(name="a")
    assert made.FromString(made.SerializeToString()) == made

def use_torch():
    import tensord, torch
    with tensord.connect(target) as c:
        ours = torch.from_dlpack(c.tensor([1.5, 2.5]))
        assert (ours + ours).tolist() == [3, 5]

for _ in range(2):
    for name in names:
        globals()["use_" + name.replace(".", "_")]()
print("done")
"""


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize(
    "other",
    ["google.protobuf.descriptor_pb2", "grpc", "grpc_tools.protoc", "torch"],
)
def test_it_gets_on_with_others(server, run_python, other, first):
    if importlib.util.find_spec(other.split(".")[0]) is None:
        pytest.skip(f"no {other}")
    names = ("tensord", other) if first else (other, "tensord")
    done = run_python(TOGETHER, server.target, str(ROOT / "proto"), *names)
    assert done[:2] == (0, "done\n"), done
