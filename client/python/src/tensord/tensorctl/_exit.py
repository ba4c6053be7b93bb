"""Exit codes, and the one line that tells of an error."""

from __future__ import annotations

import enum
import sys


class Exit(enum.IntEnum):
    """How a command ended. Stable: scripts rely on it."""

    OK = 0
    BUG = 1
    USAGE = 2
    NOT_FOUND = 3
    ALREADY_EXISTS = 4
    INVALID = 5
    DENIED = 6
    UNAVAILABLE = 7
    EXHAUSTED = 8
    PRECONDITION = 9
    INTERNAL = 10
    FILE = 11
    INTERRUPTED = 130
    BROKEN_PIPE = 141
    TERMINATED = 143


MEANINGS = {
    Exit.OK: "done",
    Exit.BUG: "a fault of tensorctl itself, with a traceback",
    Exit.USAGE: "the command line can not be understood",
    Exit.NOT_FOUND: "there is no tensor of that name",
    Exit.ALREADY_EXISTS: "there is a tensor of that name already",
    Exit.INVALID: "a value, dtype, index or damaged file can not be used",
    Exit.DENIED: "the server wants a token, or does not let this caller",
    Exit.UNAVAILABLE: "no server answers, or none in time",
    Exit.EXHAUSTED: "the server, or this machine, has no room for it",
    Exit.PRECONDITION: "not in this state: no such device, a changed tensor, "
    "a package that is missing here",
    Exit.INTERNAL: "the server, or what it sent, is at fault",
    Exit.FILE: "a local file can not be read or written",
    Exit.INTERRUPTED: "Ctrl-C, or a question that was not answered by yes",
    Exit.BROKEN_PIPE: "nobody reads the output any more",
    Exit.TERMINATED: "SIGTERM",
}

_BY_CODE = {
    "NOT_FOUND": Exit.NOT_FOUND,
    "ALREADY_EXISTS": Exit.ALREADY_EXISTS,
    "INVALID_ARGUMENT": Exit.INVALID,
    "OUT_OF_RANGE": Exit.INVALID,
    "PERMISSION_DENIED": Exit.DENIED,
    "UNAUTHENTICATED": Exit.DENIED,
    "UNAVAILABLE": Exit.UNAVAILABLE,
    "DEADLINE_EXCEEDED": Exit.UNAVAILABLE,
    "RESOURCE_EXHAUSTED": Exit.EXHAUSTED,
    "FAILED_PRECONDITION": Exit.PRECONDITION,
    "ABORTED": Exit.PRECONDITION,
    "UNIMPLEMENTED": Exit.PRECONDITION,
}

_HINTS = {
    Exit.NOT_FOUND: "'tensorctl ls' shows the names",
    Exit.ALREADY_EXISTS: "give --replace to take its place",
    Exit.UNAVAILABLE: "is the server running there? See --target and "
    "--timeout",
}


class CommandError(Exception):
    """Ends a command with a line on the standard error stream.

    Parameters
    ----------
    exit_code
        What the process exits with.
    message
        What was wrong, and what to do.
    """

    def __init__(self, exit_code: Exit, message: str) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def usage_error(message: str) -> CommandError:
    """Of a command line whose parts do not go together."""
    return CommandError(Exit.USAGE, message)


def missing_package(package: str, purpose: str) -> CommandError:
    """Of an optional package that is not installed here."""
    return CommandError(
        Exit.PRECONDITION,
        f"{purpose} needs the package {package}, which is not installed: "
        "pip install 'tensord[tensorctl]'",
    )


def _of_server(code: str, reason: str) -> tuple[Exit, str]:
    """The exit code of a refusal, and what to do about it."""
    if reason == "TENSOR_DENIED":
        # What servers that ask for tokens say of names that are not taken.
        return Exit.NOT_FOUND, _HINTS[Exit.NOT_FOUND]
    found = _BY_CODE.get(code, Exit.INTERNAL)
    if code == "UNAUTHENTICATED":
        return found, "give --token-file, or set TENSORD_TOKEN"
    return found, _HINTS.get(found, "")


def describe(error: BaseException) -> tuple[Exit, str] | None:
    """The exit code and the line of an error; None if it is a bug.

    Exceptions of this package are known by their codes, and those of the
    operating system are taken for local files.
    """
    if isinstance(error, CommandError):
        return error.exit_code, str(error)
    # Not imported for this alone: without it there are no such exceptions.
    errors = sys.modules.get("tensord.errors")
    if errors is not None and isinstance(error, errors.TensordError):
        code, hint = _of_server(error.code, error.reason)
        message = str(error)
        return code, f"{message}; {hint}" if hint else message
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename is not None else ""
        return Exit.FILE, f"{where}{error.strerror or error}"
    if isinstance(error, MemoryError):
        return Exit.EXHAUSTED, "this machine has no memory for the array"
    return None


def one_line(message: str) -> str:
    """A message without line breaks, as the standard error stream has it."""
    return " ".join(f"tensorctl: {message}".split())
