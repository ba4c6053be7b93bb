#!/usr/bin/env python3
"""Gathers the files of the container image.

Usage: image_files.py BINARY FOLDER [CUDART_VERSION]

Run where BINARY, the server, was linked, which has to be Debian. FOLDER is
made anew with all that the server needs, and nothing else: itself, the shared
libraries, the certificates of public authorities, what names the
distribution, the notices that licenses ask for, and the bill of materials,
usr/share/doc/tensord/sbom.cdx.json. The same input gives the same bytes.
CUDART_VERSION tells of NVIDIA's runtime library inside BINARY.
"""

import hashlib
import json
import pathlib
import re
import shutil
import subprocess
import sys
import urllib.parse
import uuid

ROOT = pathlib.Path(__file__).parents[1]
# Packages whose headers are compiled into the server, and which have no
# library.
HEADERS = ("libasio-dev",)
CERTIFICATES = pathlib.Path("/etc/ssl/certs/ca-certificates.crt")
# By which scanners know what to look for, and NVIDIA's container runtime where
# to put the driver's libraries.
DISTRIBUTION = ("/etc/debian_version", "/usr/lib/os-release")
BINARY = "usr/local/bin/tensord"
BILL = "usr/share/doc/tensord/sbom.cdx.json"


def output_of(*command: str | pathlib.Path) -> str:
    """What a command prints. It has to succeed."""
    return subprocess.run(
        command, stdout=subprocess.PIPE, text=True, check=True
    ).stdout


def resolved(path: pathlib.Path) -> pathlib.Path:
    """The path without links among its folders; the file may be one."""
    return path.parent.resolve() / path.name


def libraries_of(binary: pathlib.Path) -> list[pathlib.Path]:
    """All shared libraries, the dynamic linker among them."""
    listed = output_of("ldd", binary)
    if "not found" in listed:
        sys.exit(f"libraries of {binary} are missing:\n{listed}")
    found = re.findall(r"(/\S+) \(0x", listed)
    return sorted({resolved(pathlib.Path(one)) for one in found})


def packages_of(files: list[pathlib.Path]) -> set[str]:
    """The Debian packages of files."""
    paths = {str(file.resolve()) for file in files}
    # Packages from before /lib became a link to /usr/lib have its old name.
    names = paths | {path.removeprefix("/usr") for path in paths}
    done = subprocess.run(
        ["dpkg-query", "-S", *sorted(names)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        check=False,
    )
    owners = {}
    for line in done.stdout.splitlines():
        package, _, name = line.partition(": ")
        owners[name] = package
    for path in paths:
        if not owners.keys() & {path, path.removeprefix("/usr")}:
            sys.exit(
                f"{path} is of no Debian package; link libraries of those only"
            )
    return {*owners.values()}


def quoted(text: str) -> str:
    """As package URLs have it."""
    return urllib.parse.quote(text, safe="")


def component_of(package: str, distribution: str) -> dict[str, object]:
    """A Debian package as CycloneDX has it."""
    fields = "${Package}\t${Version}\t${Architecture}\t${source:Package}"
    name, version, architecture, source = output_of(
        "dpkg-query", "-W", f"-f={fields}", package
    ).split("\t")
    url = (
        f"pkg:deb/debian/{quoted(name)}@{quoted(version)}"
        f"?arch={architecture}&distro={distribution}&upstream={quoted(source)}"
    )
    return {
        "type": "library",
        "bom-ref": url,
        "name": name,
        "version": version,
        "purl": url,
    }


def cudart_component(version: str) -> dict[str, object]:
    """NVIDIA's runtime library, which is linked statically."""
    return {
        "type": "library",
        "bom-ref": f"cudart@{version}",
        "publisher": "NVIDIA",
        "name": "cudart",
        "version": version,
    }


def bill(binary: bytes, parts: list[dict[str, object]]) -> dict[str, object]:
    """The bill of materials of an image, in the format of CycloneDX."""
    match = re.search(
        r"project\(tensord VERSION ([\d.]+)",
        (ROOT / "CMakeLists.txt").read_text(),
    )
    assert match is not None
    content = hashlib.sha256(binary).hexdigest()
    names = [part["bom-ref"] for part in parts]
    seed = json.dumps([content, names])
    server = f"pkg:generic/tensord@{match[1]}"
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, seed)}",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": server,
                "name": "tensord",
                "version": match[1],
                "purl": server,
                "licenses": [{"license": {"id": "Apache-2.0"}}],
                "hashes": [{"alg": "SHA-256", "content": content}],
            }
        },
        "components": parts,
        "dependencies": [{"ref": server, "dependsOn": names}],
    }


def copy(source: pathlib.Path, to: pathlib.Path, mode: int = 0o644) -> None:
    """Copies what `source` leads to, for everybody to read."""
    to.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, to)
    to.chmod(mode)


def add_notice(package: str, folder: pathlib.Path) -> None:
    """Copies what the license of a package asks for."""
    notice = f"usr/share/doc/{package}/copyright"
    copy(pathlib.Path("/") / notice, folder / notice)
    text = (folder / notice).read_text()
    for name in re.findall(r"/(usr/share/common-licenses/[\w.+-]*\w)", text):
        if (pathlib.Path("/") / name).is_file():
            copy(pathlib.Path("/") / name, folder / name)


def gather(binary: pathlib.Path, folder: pathlib.Path, cudart: str) -> None:
    """Makes `folder` what the image has in it."""
    if folder.exists():
        shutil.rmtree(folder)
    libraries = libraries_of(binary)
    for library in libraries:
        copy(library, folder / str(library)[1:], 0o755)
    # Where the server looks for its dynamic linker.
    for name in ("lib", "lib64"):
        link = pathlib.Path("/") / name
        if link.is_symlink() and (folder / link.readlink()).is_dir():
            (folder / name).symlink_to(link.readlink())
    copy(binary, folder / BINARY, 0o755)
    output_of("strip", folder / BINARY)
    files = [CERTIFICATES, *map(pathlib.Path, DISTRIBUTION)]
    for file in files:
        copy(file, folder / str(file)[1:])
    (folder / "etc/os-release").symlink_to("../usr/lib/os-release")
    (folder / "etc/nsswitch.conf").write_text("hosts: files dns\n")

    release = files[-1].read_text()
    match = re.search(r"^VERSION_ID=\"(\w+)\"$", release, re.MULTILINE)
    if match is None:
        sys.exit("this is no release of Debian")
    packages = packages_of(libraries)
    packages.update(HEADERS, ("ca-certificates",))
    parts = [component_of(one, f"debian-{match[1]}") for one in packages]
    parts.sort(key=lambda part: str(part["name"]))
    for part in parts:
        add_notice(str(part["name"]), folder)
    if cudart:
        parts.append(cudart_component(cudart))
    copy(ROOT / "LICENSE", folder / "usr/share/doc/tensord/copyright")
    text = json.dumps(bill((folder / BINARY).read_bytes(), parts), indent=1)
    (folder / BILL).write_text(text + "\n")


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4):
        sys.exit(__doc__)
    gather(
        pathlib.Path(sys.argv[1]),
        pathlib.Path(sys.argv[2]),
        sys.argv[3] if len(sys.argv) == 4 else "",
    )
