"""Many calls at once, from one thread that waits for all of them."""

from __future__ import annotations

from collections.abc import Iterator

from tensord import _native as native
from tensord._progress import wait_readable

# Of so many, one more gains nothing (tests/bench/README.md).
MOST_AT_ONCE = 64


def run_side_by_side(calls: Iterator[native._Call[None]]) -> None:
    """Runs calls, each begun as soon as there is room for it.

    The first that fails, or the first exception of `calls`, ends those that
    are under way; nothing runs any more when it is raised.
    """
    completions = native.Completions()
    under_way: dict[int, native.Cancellation] = {}

    def take() -> Exception | None:
        """Waits until some calls are over; gives an exception of theirs."""
        wait_readable(completions.fileno())
        failure = None
        for key, _, exception in completions.drain():
            del under_way[key]
            failure = failure or exception
        return failure

    def take_results() -> None:
        failure = take()
        if failure is not None:
            raise failure

    try:
        for key, call in enumerate(calls):
            under_way[key] = call.begin(completions, key)
            if len(under_way) == MOST_AT_ONCE:
                take_results()
        while under_way:
            take_results()
    except BaseException:
        for cancellation in under_way.values():
            cancellation.cancel()
        # They let go of memory that belongs to the caller.
        while under_way:
            take()
        raise
