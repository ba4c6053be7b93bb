"""Makes a wheel of the Python client run on machines without gRPC.

Usage: repair_wheel.py WHEEL FOLDER

auditwheel puts the shared libraries that WHEEL needs into it, and names the
oldest glibc that it runs on. Beside that, the libraries are kept apart from
others in a process, and the notices that their licenses ask for are added.
The repaired wheel is left in FOLDER, in place of others of the package.
"""

import importlib.metadata
import json
import os
import pathlib
import subprocess
import sys
import tempfile

from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

# What pyelftools calls STB_GNU_UNIQUE.
_UNIQUE = "STB_LOOS"
_WEAK = 2
# Of a symbol's entry in a 64-bit table: the byte that has its binding and its
# type.
_INFO_OFFSET = 4


def run_module(*arguments: str | pathlib.Path) -> None:
    """Runs a module of this interpreter's environment, quietly."""
    scripts = pathlib.Path(sys.executable).parent
    done = subprocess.run(
        [sys.executable, "-m", *arguments],
        env={**os.environ, "PATH": f"{scripts}:{os.environ['PATH']}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(done.stdout)


def keep_apart(library: pathlib.Path) -> None:
    """Makes the unique symbols of a library weak ones.

    The dynamic linker gives a process one definition of a unique symbol, also
    to libraries that share nothing else. Another module's protobuf, of
    another version, would take this one's variables for its own.
    """
    with library.open("r+b") as file:
        table = ELFFile(file).get_section_by_name(".dynsym")
        assert isinstance(table, SymbolTableSection)
        for number, symbol in enumerate(table.iter_symbols()):
            if symbol["st_info"]["bind"] != _UNIQUE:
                continue
            entry = table["sh_offset"] + number * table["sh_entsize"]
            file.seek(entry + _INFO_OFFSET)
            kind = file.read(1)[0] & 0xF
            file.seek(entry + _INFO_OFFSET)
            file.write(bytes([_WEAK << 4 | kind]))


def library_notices(metadata: pathlib.Path, count: int) -> dict[str, str]:
    """Of the Debian packages that libraries came from, by package.

    auditwheel's bill of materials has an entry for each of the `count`
    libraries whose package it found.
    """
    bill = json.loads((metadata / "sboms/auditwheel.cdx.json").read_text())
    packages = [
        component["name"]
        for component in bill["components"]
        if component["purl"].startswith("pkg:deb/")
    ]
    if len(packages) != count:
        sys.exit(
            f"{count} shared libraries went into the wheel, but Debian "
            "packages, which have their licenses, are known of "
            f"{len(packages)}; link libraries of Debian packages only"
        )
    folder = pathlib.Path("/usr/share/doc")
    return {one: (folder / one / "copyright").read_text() for one in packages}


def binding_notices() -> dict[str, str]:
    """Of what is compiled into the native module, by project."""
    nanobind = importlib.metadata.distribution("nanobind")
    (license_file,) = (
        file for file in nanobind.files or () if file.name == "LICENSE"
    )
    header = nanobind.locate_file(
        "nanobind/ext/robin_map/include/tsl/robin_map.h"
    )
    comment, _, _ = pathlib.Path(str(header)).read_text().partition("*/")
    return {
        "nanobind": license_file.read_text(),
        "robin_map": f"{comment}*/\n",
    }


def add_notices(metadata: pathlib.Path, count: int) -> None:
    """Adds the notices that the licenses of all that is inside ask for."""
    notices = library_notices(metadata, count) | binding_notices()
    for name, notice in notices.items():
        folder = metadata / "licenses" / name
        folder.mkdir()
        (folder / "copyright").write_text(notice)


def repair(wheel: pathlib.Path, folder: pathlib.Path) -> None:
    """Leaves the repaired `wheel` in `folder`."""
    with tempfile.TemporaryDirectory() as scratch:
        work = pathlib.Path(scratch)
        run_module(
            "auditwheel", "repair", "-z", "0", "-w", work / "repaired", wheel
        )
        (repaired,) = (work / "repaired").iterdir()
        run_module("wheel", "unpack", "-d", work, repaired)
        (tree,) = work.glob("tensord-*")
        libraries = [*(tree / "tensord.libs").iterdir()]
        for library in libraries:
            keep_apart(library)
        (metadata,) = tree.glob("*.dist-info")
        add_notices(metadata, len(libraries))
        for old in folder.glob("tensord-*.whl"):
            old.unlink()
        folder.mkdir(parents=True, exist_ok=True)
        run_module("wheel", "pack", "-d", folder, tree)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    repair(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]))
