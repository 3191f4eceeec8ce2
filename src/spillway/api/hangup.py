"""Notices that the client hung up while its request runs, and cancels the request."""

from __future__ import annotations

import asyncio

from spillway.api.body import Receive

__all__ = ["HangupWatch"]

WATCH_AFTER_S = 0.02
"""Requests that end sooner are spared the task that watches."""


class HangupWatch:
    """Watches from ``WATCH_AFTER_S`` on until ``stop``; cancels the task that made it if the client goes."""

    __slots__ = ("_loop", "_receive", "_task", "_timer", "_watcher", "has_hung_up")

    def __init__(self, receive: Receive) -> None:
        self._loop = asyncio.get_running_loop()
        self._receive = receive
        self._task = asyncio.current_task()
        self._watcher: asyncio.Task[None] | None = None
        self.has_hung_up = False
        self._timer = self._loop.call_later(WATCH_AFTER_S, self._start)

    def stop(self) -> None:
        """Ends the watch; to be called when the answer was sent."""
        self._timer.cancel()
        if self._watcher is not None:
            self._watcher.cancel()

    def _start(self) -> None:
        self._watcher = self._loop.create_task(self._watch())

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        task = self._task
        if task is not None and not task.done():
            self.has_hung_up = True
            task.cancel()
