"""The arrows of the architecture: who may include what.

Distribution packages put the headers of gRPC and Protobuf on every compiler's
path, so the links between targets do not keep a folder from including them.
This does. Run by pytest.
"""

import pathlib
import re

import pytest

REPOSITORY = pathlib.Path(__file__).resolve().parents[1]

TOP_LEVEL = {
    "CMakeLists.txt", "CMakePresets.json", "proto", "server", "client", "core",
    "deploy", "tests", "Dockerfile", "README.md", "LICENSE", "CHANGELOG.md",
    "CONTRIBUTING.md"}
# What builds and tests leave behind; never part of the tree.
BUILD_OUTPUT = {"build"}

CODE = {".h", ".cc", ".cu", ".cuh", ".inc"}
BINARY = {".npy", ".bin", ".png", ".gz"}

# Of the toolkit; core/device/cuda has headers of its own.
CUDA_HEADER = (r"(?!core/)(?:(?:.*/)?cu(?:da|rand|blas|fft|pti)\w*\.h"
               r"|(?:cuda|cub|thrust)/.*)")
RPC = r"grpc.*|.*\.pb\.h|google/.*|tensord/(?:v1|internal)/.*"
CLIENT = r"client/.*|tensord/\w+\.h"
BINDINGS = r"nanobind/.*|pybind11/.*|Python\.h"

# (files, exceptions, what they must not include, why)
FORBIDDEN = [
    ("core/**/*", (),
     rf"{RPC}|{CLIENT}|{BINDINGS}|prometheus/.*|server/.*",
     "core knows no gRPC, Protobuf, Prometheus, server or client"),
    ("**/*", ("core/device/cuda/**/*", "core/cast/host_device.h",
              "tests/core/device/cuda/**/*", "tests/gpu/**/*"), CUDA_HEADER,
     "CUDA headers belong to core/device/cuda"),
    ("server/**/*", (), rf"{CLIENT}|{BINDINGS}|core/device/cuda/.*_internal.*",
     "the server knows no client"),
    ("client/**/*", (), r"server/.*|prometheus/.*",
     "the client knows no server"),
    ("client/cpp/include/**/*", (), rf"{RPC}|{BINDINGS}|client/cpp/src/.*",
     "the client's public headers know no gRPC and no Protobuf"),
    ("client/cpp/**/*", (), BINDINGS, "Python belongs to client/python"),
    ("client/cpp/examples/*", (), rf"{RPC}|core/.*|client/.*",
     "examples are programs of users, who have the public headers"),
]

# What core may include beside the standard library and the system's headers.
CORE_INCLUDES = re.compile(r"core/.*|absl/.*|hwy/.*")

# Places on one machine. /usr, /etc, /proc, /dev and /tmp are the same
# everywhere.
MACHINE_PATH = re.compile(
    r"(?<![\w.*~}])/(?:home|root|work|Users|mnt|media|srv|nix)/[\w.]")


def files_below(root):
    """Every file of the tree, build output and dot folders aside."""
    for entry in sorted(root.iterdir()):
        if entry.name.startswith(".") or entry.name in BUILD_OUTPUT:
            continue
        if entry.is_file():
            yield entry
            continue
        for path in sorted(entry.rglob("*")):
            hidden = any(part.startswith(".") or part in (
                "__pycache__", "node_modules") or part.endswith(".egg-info")
                for part in path.relative_to(root).parts)
            if path.is_file() and not hidden:
                yield path


def matches(path, pattern):
    """Whether a relative path matches a pattern, where ** is any depth."""
    expression = re.escape(pattern).replace(r"\*\*/", "(?:.*/)?").replace(
        r"\*", "[^/]*")
    return re.fullmatch(expression, path.as_posix()) is not None


INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)[>"]', re.M)


def includes(path):
    """Pairs of the kind of bracket and the name."""
    return INCLUDE.findall(path.read_text(errors="replace"))


def forbidden_includes(root):
    for path in files_below(root):
        relative = path.relative_to(root)
        if path.suffix not in CODE:
            continue
        for pattern, exceptions, expression, why in FORBIDDEN:
            if not matches(relative, pattern) or any(
                    matches(relative, exception) for exception in exceptions):
                continue
            for _, name in includes(path):
                if re.fullmatch(expression, name):
                    yield f"{relative} includes {name}: {why}"


def strange_core_includes(root):
    for path in files_below(root / "core"):
        if path.suffix not in CODE or matches(
                path.relative_to(root), "core/device/cuda/**/*"):
            continue
        for bracket, name in includes(path):
            if bracket == '"' and not CORE_INCLUDES.fullmatch(name):
                if matches(path.relative_to(root), "core/cast/host_device.h"):
                    continue
                yield (f"{path.relative_to(root)} includes {name}: core is "
                       "built on the standard library, Abseil and Highway")


def proto_dependencies(root):
    for path in files_below(root):
        if path.suffix != ".proto":
            continue
        for name in re.findall(r'^\s*import\s+(?:public\s+|weak\s+)?"([^"]+)"',
                               path.read_text(), re.M):
            if not name.startswith("google/protobuf/"):
                yield (f"{path.relative_to(root)} imports {name}: proto "
                       "depends on google/protobuf alone")


def dtype_switches(root):
    for path in files_below(root):
        relative = path.relative_to(root)
        if path.suffix in CODE and matches(relative, "server/**/*"):
            for match in re.finditer(r"\bcase\s+(?:tensord::)?DType::",
                                     path.read_text()):
                yield f"{relative} switches on dtypes: {match.group()}"


def unknown_top_level(root):
    for entry in sorted(root.iterdir()):
        if not (entry.name.startswith(".") or entry.name in BUILD_OUTPUT or
                entry.name in TOP_LEVEL):
            yield f"{entry.name} is not part of the top level"


def machine_paths(root):
    for path in files_below(root):
        if path.suffix in BINARY:
            continue
        text = path.read_bytes().decode(errors="replace")
        for number, line in enumerate(text.splitlines(), 1):
            if MACHINE_PATH.search(line):
                yield (f"{path.relative_to(root)}:{number} names a place on "
                       f"one machine: {line.strip()[:80]}")


RULES = [forbidden_includes, strange_core_includes, proto_dependencies,
         dtype_switches, unknown_top_level, machine_paths]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_tree_keeps_rule(rule):
    assert list(rule(REPOSITORY)) == []


PLANTED = [
    (forbidden_includes, "core/a.h", "#include <grpcpp/grpcpp.h>"),
    (forbidden_includes, "core/a.cc", '#include "tensord/v1/tensord.pb.h"'),
    (forbidden_includes, "core/cast/a.cc",
     "  #  include <google/protobuf/message.h>"),
    (forbidden_includes, "core/a.cc", '#include "prometheus/registry.h"'),
    (forbidden_includes, "core/a.cc", '#include "server/server.h"'),
    (forbidden_includes, "core/a.cc", '#include "tensord/client.h"'),
    (forbidden_includes, "core/a.cc", '#include "client/cpp/src/loans.h"'),
    (forbidden_includes, "core/cast/a.h", "#include <cuda_runtime.h>"),
    (forbidden_includes, "core/device/a.cc", "#include <cuda_fp16.h>"),
    (forbidden_includes, "core/device/a.cc", "#include <cuda.h>"),
    (forbidden_includes, "server/a.cc", "#include <cuda_runtime_api.h>"),
    (forbidden_includes, "client/cpp/src/a.cc", "#include <cuda.h>"),
    (forbidden_includes, "server/rpc/a.cc", '#include "tensord/array.h"'),
    (forbidden_includes, "server/rpc/a.cc",
     '#include "client/cpp/src/status.h"'),
    (forbidden_includes, "client/cpp/src/a.cc",
     '#include "server/wire/envelope.h"'),
    (forbidden_includes, "client/cpp/include/tensord/a.h",
     "#include <grpcpp/channel.h>"),
    (forbidden_includes, "client/cpp/include/tensord/a.h",
     '#include "tensord/v1/tensord.pb.h"'),
    (forbidden_includes, "client/cpp/src/a.cc",
     "#include <nanobind/nanobind.h>"),
    (forbidden_includes, "server/a.cc", '#include "tensord/future.h"'),
    (forbidden_includes, "client/cpp/examples/a.cc",
     '#include "core/dtype.h"'),
    (forbidden_includes, "client/cpp/examples/a.cc",
     '#include "client/cpp/src/status.h"'),
    (forbidden_includes, "client/cpp/examples/a.cc",
     "#include <grpcpp/grpcpp.h>"),
    (strange_core_includes, "core/a.cc", '#include "folly/String.h"'),
    (strange_core_includes, "core/a.cc", '#include "npy.h"'),
    (proto_dependencies, "proto/tensord/v1/a.proto",
     'import "google/rpc/status.proto";'),
    (dtype_switches, "server/rpc/a.cc", "  case DType::kFloat32:"),
    (unknown_top_level, "scripts/a.sh", "true"),
    (unknown_top_level, "notes.txt", ""),
    (machine_paths, "deploy/a.sh", "cd /" + "home/someone/src"),
    (machine_paths, "core/a.h", "// see /" + "work/notes"),
]


@pytest.mark.parametrize("rule, path, line", PLANTED)
def test_violation_is_found(tmp_path, rule, path, line):
    (tmp_path / "core").mkdir()
    file = tmp_path / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"// A file.\n{line}\n")
    assert len(list(rule(tmp_path))) == 1


@pytest.mark.parametrize("path, line", [
    ("core/device/cuda/a.cc", "#include <cuda_runtime_api.h>"),
    ("core/cast/host_device.h", "#include <cuda_runtime.h>"),
    ("core/a.cc", '#include "absl/status/status.h"'),
    ("core/a.cc", '#include "core/dtype.h"\n#include <sys/mman.h>'),
    ("core/a.cc", '#include "hwy/highway.h"'),
    ("server/a.cc", '#include "core/device/cuda/cuda_backend.h"'),
    ("core/a.cc", '#include "core/cursor.h"'),
    ("core/a.cc", "#include <cstdint>\n#include <cctype>"),
    ("server/a.cc", "#include <grpcpp/grpcpp.h>\n#include <cuchar>"),
    ("server/a.cc", '#include "tensord/v1/tensord.pb.h"'),
    ("client/cpp/src/a.cc", "#include <grpcpp/grpcpp.h>"),
    ("client/cpp/include/tensord/a.h", '#include "core/dtype.h"'),
    ("client/cpp/examples/a.cc",
     '#include "absl/flags/flag.h"\n#include "tensord/client.h"'),
    ("client/python/src/a.cc", "#include <nanobind/nanobind.h>"),
    ("proto/a.proto", 'import "google/protobuf/empty.proto";'),
    ("deploy/a.sh", "exec /usr/bin/env python3 https://a.org/home/page"),
    ("build/a.cc", '#include "/' + 'home/a.h"'),
    (".github/a", ""),
])
def test_what_is_allowed_is_not_reported(tmp_path, path, line):
    (tmp_path / "core").mkdir()
    file = tmp_path / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"{line}\n")
    assert [report for rule in RULES for report in rule(tmp_path)] == []
