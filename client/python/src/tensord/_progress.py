"""How far transfers have come: callbacks, and bars on a terminal."""

from __future__ import annotations

import contextlib
import os
import select
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar, cast

from tensord import _native as native
from tensord._dtype import type_name
from tensord.errors import InvalidTypeError

if TYPE_CHECKING:
    # Bytes that have travelled, and of how many.
    Report = Callable[[int, int], object]
    Progress = Report | bool | None

_Result = TypeVar("_Result")

INTERVAL_SECONDS = 0.1
# Less is over before a bar could be read.
_LARGE_BYTES = 64 << 20
_DELAY_SECONDS = 0.5


def check_progress(progress: Progress) -> Progress:
    """Refuses what is no ``progress`` argument."""
    if progress is None or isinstance(progress, bool) or callable(progress):
        return progress
    raise InvalidTypeError(
        "progress must be a callable, a bool or None, not "
        + type_name(progress)
    )


def _wants_bar(total_bytes: int) -> bool:
    return (
        total_bytes >= _LARGE_BYTES
        and os.environ.get("TENSORD_PROGRESS") != "0"
        and sys.stderr is not None
        and sys.stderr.isatty()
    )


def _tqdm() -> Any:
    try:
        from tqdm.auto import tqdm  # type: ignore[import-untyped, import-not-found, unused-ignore]
    except ImportError:
        return None
    return tqdm


@contextlib.contextmanager
def _bar(tqdm: Any, total_bytes: int, delay: float) -> Iterator[Report]:
    with tqdm(
        total=total_bytes,
        unit="B",
        unit_scale=True,
        unit_divisor=1024,
        delay=delay,
        leave=False,
    ) as bar:

        def report(done_bytes: int, total_bytes: int) -> None:
            bar.update(done_bytes - bar.n)

        yield report


@contextlib.contextmanager
def reporting(progress: Progress, total_bytes: int) -> Iterator[Report | None]:
    """What is to be told how far a transfer has come; None for nothing."""
    if callable(progress):
        yield progress
        return
    if progress or (progress is None and _wants_bar(total_bytes)):
        tqdm = _tqdm()
        if tqdm is not None:
            delay = 0 if progress else _DELAY_SECONDS
            with _bar(tqdm, total_bytes, delay) as report:
                yield report
            return
        if progress:
            raise InvalidTypeError(
                "progress=True needs tqdm: pip install tensord[progress]",
                code="FAILED_PRECONDITION",
            )
    yield None


class Counter:
    """The bytes of a call that has been begun, for a report."""

    def __init__(self, report: Report, total_bytes: int) -> None:
        self.native = native.Progress()
        self._report = report
        self._total_bytes = total_bytes

    def tell(self) -> None:
        # Some bytes travel twice after a failure.
        done_bytes = min(self.native.bytes_done(), self._total_bytes)
        self._report(done_bytes, self._total_bytes)


def wait_readable(fd: int, timeout: float | None = None) -> bool:
    """Waits for a file descriptor, for so many seconds at most."""
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(None if timeout is None else 1000 * timeout))


def run_call(
    call: native._Call[_Result], progress: Progress, total_bytes: int
) -> _Result:
    """Runs a call, and tells how far it has come on the thread at hand."""
    with reporting(progress, total_bytes) as report:
        if report is None:
            return call.run()
        return _run_in_background(call, Counter(report, total_bytes))


def _run_in_background(
    call: native._Call[_Result], counter: Counter
) -> _Result:
    completions = native.Completions()
    fd = completions.fileno()
    cancellation = call.begin(completions, 0, counter.native)
    ended = False
    try:
        while not ended:
            ended = wait_readable(fd, INTERVAL_SECONDS)
            if not ended:
                counter.tell()
    except BaseException:
        # The call has to let go of the caller's memory first.
        cancellation.cancel()
        wait_readable(fd)
        completions.drain()
        raise
    [(_, result, exception)] = completions.drain()
    if exception is not None:
        raise exception
    counter.tell()
    return cast(_Result, result)


def parts_of(
    report: Report | None, total_bytes: int
) -> Callable[[int], Progress]:
    """Lets several transfers, one after the other, report as one.

    Gives what to pass on as ``progress`` of the next one of so many bytes.
    """
    before = 0

    def next_part(size_bytes: int) -> Progress:
        nonlocal before
        begin = before
        before += size_bytes
        if report is None:
            return False
        return lambda done_bytes, _: report(begin + done_bytes, total_bytes)

    return next_part
