"""Calls that are under way in an event loop."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from typing import TYPE_CHECKING, Any, TypeVar

from tensord import _native as native
from tensord._progress import INTERVAL_SECONDS, Counter
from tensord.errors import StateError

if TYPE_CHECKING:
    pass

_Result = TypeVar("_Result")


class Calls:
    """The calls of a client that are under way in an event loop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._completions = native.Completions()
        self._keys = itertools.count()
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._loop.add_reader(self._completions.fileno(), self._take)

    async def run(
        self, call: native._Call[_Result], counter: Counter | None = None
    ) -> _Result:
        if asyncio.get_running_loop() is not self._loop:
            raise StateError("the client belongs to another event loop")
        key = next(self._keys)
        progress = None if counter is None else counter.native
        cancellation = call.begin(self._completions, key, progress)
        ended: asyncio.Future[_Result] = self._loop.create_future()
        self._waiting[key] = ended
        try:
            while counter is not None and not ended.done():
                await asyncio.wait([ended], timeout=INTERVAL_SECONDS)
                counter.tell()
            return await asyncio.shield(ended)
        except BaseException:
            cancellation.cancel()
            while not ended.done():
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.wait([ended])
            # Nobody asks for it any more.
            ended.exception()
            raise

    def _take(self) -> None:
        for key, result, exception in self._completions.drain():
            ended = self._waiting.pop(key)
            if exception is None:
                ended.set_result(result)
            else:
                ended.set_exception(exception)

    async def stop(self) -> None:
        """Waits for what is under way, and takes nothing any more."""
        while self._waiting:
            await asyncio.wait([*self._waiting.values()])
        if not self._loop.is_closed():
            self._loop.remove_reader(self._completions.fileno())
