"""Runs a command under what a unit of systemd forbids of system calls.

Usage: confined.py UNIT COMMAND [ARGUMENT...]

Without systemd as the first process nobody runs the unit itself. Its
SystemCallFilter, RestrictAddressFamilies and MemoryDenyWriteExecute are
filters of seccomp, which are set here as systemd sets them.
"""

import ctypes
import errno
import mmap
import os
import pathlib
import re
import socket
import subprocess
import sys

ALLOW = 0x7FFF0000
REFUSE = 0x00050000 | errno.EPERM
EQUAL = 4
MASKED_EQUAL = 7
WRITABLE, EXECUTABLE = mmap.PROT_WRITE, mmap.PROT_EXEC


class Argument(ctypes.Structure):
    """What an argument of a call has to be: scmp_arg_cmp."""

    _fields_ = [
        ("number", ctypes.c_uint),
        ("comparison", ctypes.c_int),
        ("first", ctypes.c_uint64),
        ("second", ctypes.c_uint64),
    ]


class Filter:
    """Allows nothing but what it is told to."""

    def __init__(self):
        self._library = ctypes.CDLL("libseccomp.so.2")
        self._library.seccomp_init.restype = ctypes.c_void_p
        self._context = ctypes.c_void_p(self._library.seccomp_init(REFUSE))
        assert self._context

    def allow(self, call, *arguments):
        number = self._library.seccomp_syscall_resolve_name(call.encode())
        if number < 0:
            # Of another architecture.
            return
        status = self._library.seccomp_rule_add_array(
            self._context,
            ctypes.c_uint32(ALLOW),
            number,
            len(arguments),
            (Argument * max(len(arguments), 1))(*arguments),
        )
        assert status == 0, call

    def load(self):
        assert self._library.seccomp_load(self._context) == 0


def settings_of(unit):
    """The values of the unit's settings, by name, in order."""
    found = {}
    for line in unit.splitlines():
        name, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            found.setdefault(name, []).append(value)
    return found


def calls_in(name):
    """The system calls of a set."""
    if not name.startswith("@"):
        return {name}
    text = subprocess.run(
        ["systemd-analyze", "--no-pager", "syscall-filter", name],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout
    names = re.findall(r"^ +(@?\w[\w-]*)$", text, re.MULTILINE)
    return set().union(*map(calls_in, names))


def allowed_calls(filters):
    allowed = calls_in("@default")
    for value in filters:
        calls = set().union(*map(calls_in, value.lstrip("~").split()))
        if value.startswith("~"):
            allowed -= calls
        else:
            allowed |= calls
    return allowed


def filter_of(settings):
    confined = Filter()
    calls = allowed_calls(settings["SystemCallFilter"])
    if "RestrictAddressFamilies" in settings:
        calls.remove("socket")
        for name in settings["RestrictAddressFamilies"][-1].split():
            family = getattr(socket, name)
            confined.allow("socket", Argument(0, EQUAL, family, 0))
    if settings.get("MemoryDenyWriteExecute", ["no"])[-1] == "yes":
        calls -= {"mmap", "mprotect", "pkey_mprotect", "shmat"}
        both = WRITABLE | EXECUTABLE
        for protection in (0, WRITABLE, EXECUTABLE):
            confined.allow("mmap", Argument(2, MASKED_EQUAL, both, protection))
        for call in ("mprotect", "pkey_mprotect"):
            confined.allow(call, Argument(2, MASKED_EQUAL, EXECUTABLE, 0))
    for call in calls:
        confined.allow(call)
    return confined


def main():
    unit, *command = sys.argv[1:]
    settings = settings_of(pathlib.Path(unit).read_text())
    confined = filter_of(settings)
    confined.load()
    os.execv(command[0], command)


if __name__ == "__main__":
    main()
