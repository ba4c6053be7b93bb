"""Runs a command line, and tells how it ended."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import types
from collections.abc import Iterator, Sequence
from typing import NoReturn

from tensord.tensorctl._exit import Exit, describe, one_line
from tensord.tensorctl._session import Session, with_defaults

# How long a command that is to end may take to clean up. What holds it up
# longer is a call of the native client that can not be given up, such as
# connecting; no file is half-written then.
_GRACE_SECONDS = 1.0
# A signal that comes to another thread does not end what this one waits in.
_WAKE_SECONDS = 0.1


class _Terminated(BaseException):
    """SIGTERM came."""


def _terminate(number: int, frame: types.FrameType | None) -> NoReturn:
    raise _Terminated


@contextlib.contextmanager
def _terminating() -> Iterator[None]:
    """Lets SIGTERM raise an exception in the main thread."""
    before = signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _run(argv: Sequence[str] | None) -> int:
    """Parses a command line and runs it; gives the exit code."""
    from tensord.tensorctl._completion import complete
    from tensord.tensorctl._parser import make_parser

    parser = make_parser()
    if "_ARGCOMPLETE" in os.environ:
        complete(parser)
    try:
        args = with_defaults(parser.parse_args(argv))
    except SystemExit as exit:
        sys.stdout.flush()
        return int(exit.code or 0)
    session = Session(args)
    try:
        args.command.run(args, session)
        sys.stdout.flush()
    finally:
        session.close()
    return Exit.OK


def _fail(error: BaseException) -> int:
    """Tells of an error; gives the exit code."""
    if isinstance(error, BrokenPipeError) and error.errno is not None:
        # What is left to be written would fail once more at the exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.BROKEN_PIPE
    described = describe(error)
    if described is None:
        sys.excepthook(type(error), error, error.__traceback__)
        return Exit.BUG
    code, message = described
    print(one_line(message), file=sys.stderr)
    return code


class _Worker(threading.Thread):
    """Runs a command beside the main thread.

    A call of the native client keeps its thread until it is over, and only the
    main thread hears of signals.
    """

    def __init__(self, argv: Sequence[str] | None) -> None:
        super().__init__(name="tensorctl", daemon=True)
        self._argv = argv
        self._interrupted = False
        self.exit_code: int = Exit.BUG
        # Thread.join does not outlive an exception that a signal raises in it:
        # it takes the thread for one that has ended (CPython 3.11).
        self.ended = threading.Event()

    def run(self) -> None:
        try:
            self.exit_code = _run(self._argv)
        except BaseException as error:  # noqa: BLE001
            if not self._interrupted:
                self.exit_code = _fail(error)
        finally:
            self.ended.set()

    def interrupt(self) -> None:
        """Raises SystemExit in it, once it is out of native calls."""
        self._interrupted = True
        import ctypes

        if self.ident is not None:
            ctypes.pythonapi.PyThreadState_SetAsyncExc(
                ctypes.c_ulong(self.ident), ctypes.py_object(SystemExit)
            )


def _give_up(worker: _Worker, exit_code: Exit) -> int:
    """Ends a command that is under way, if need be with the process."""
    with contextlib.suppress(KeyboardInterrupt, _Terminated):
        worker.interrupt()
        worker.ended.wait(_GRACE_SECONDS)
    if not worker.ended.is_set():
        os._exit(exit_code)
    return exit_code


def main(argv: Sequence[str] | None = None) -> int:
    """Runs tensorctl, in the main thread only; gives its exit code.

    Parameters
    ----------
    argv
        The arguments; those of the process if not given.
    """
    worker = _Worker(argv)
    try:
        with _terminating():
            worker.start()
            while not worker.ended.wait(_WAKE_SECONDS):
                pass
    except KeyboardInterrupt:
        return _give_up(worker, Exit.INTERRUPTED)
    except _Terminated:
        return _give_up(worker, Exit.TERMINATED)
    return worker.exit_code
