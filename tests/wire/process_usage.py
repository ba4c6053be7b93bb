"""What a process takes of the machine."""

import os
import pathlib

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGESIZE")


def cpu_seconds(pid):
    # Behind the name of the process, which may hold anything.
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2]
    user, system = fields.split()[11:13]
    return (int(user) + int(system)) / _TICKS


def resident_bytes(pid):
    return int(pathlib.Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE


def open_files(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def is_sanitized(pid):
    """Whether a sanitizer takes memory and time of its own."""
    maps = pathlib.Path(f"/proc/{pid}/maps").read_text()
    return "libasan" in maps or "libtsan" in maps
