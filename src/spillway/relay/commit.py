"""The client's side of one request, and the one place that knows whether it has already seen something."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from math import inf
from typing import Any, Protocol

__all__ = ["CLOSED", "STOPPING", "TOO_SLOW", "Client", "ClientTooSlow", "Line", "Send"]

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
"""ASGI's ``send``."""
Headers = list[tuple[bytes, bytes]]

CLOSED, STOPPING, TOO_SLOW = "client_closed", "gateway_stopping", "client_too_slow"
"""What an answer ends with that nobody waits for any more, or that we end ourselves."""
SILENCE_S = 30.0


class Line(Protocol):
    """The client's connection, as far as the pace of an answer depends on it."""

    end_code: str | None
    """Why requests are cancelled now, once the client is gone or the gateway stops."""

    @property
    def is_full(self) -> bool:
        """Whether the client is so far behind that it has to be waited for."""
        ...

    @property
    def unsent_bytes(self) -> int:
        """What the client has not taken yet."""
        ...

    async def drain(self) -> None:
        """Returns once the line is no longer full, or gone."""
        ...

    async def hang_up(self) -> None:
        """Closes at once, whatever is unsent; returns once that is done."""
        ...


class OpenLine:
    """The line of a server that tells nothing of its connections: it waits on its own."""

    end_code: str | None = None
    is_full = False
    unsent_bytes = 0

    async def drain(self) -> None:
        """Is never full."""

    async def hang_up(self) -> None:
        """Is the server's own business."""


class ClientTooSlow(Exception):
    """The client took nothing for too long, or not all of its answer in time: it is given up."""


class Client:
    """Retry, failover and error pages ask ``has_committed`` before they act.

    Every piece waits while the client is slower than the upstream. One that takes nothing for ``silence_s``
    is given up (ClientTooSlow), and so is one that is being waited for when the answer's time is over.
    """

    __slots__ = (
        "_copy",
        "_ends_s",
        "_send",
        "_silence_s",
        "behind_s",
        "bytes_sent",
        "has_committed",
        "line",
        "status",
    )

    def __init__(self, send: Send, line: Line | None = None, *, silence_s: float = SILENCE_S) -> None:
        self._send = send
        self.line: Line = OpenLine() if line is None else line
        self._silence_s = silence_s
        self._ends_s = inf
        self.behind_s = 0.0
        """Seconds that were spent waiting for the client."""
        self.has_committed = False
        self.status = 0
        self.bytes_sent = 0
        self._copy: list[bytes] | None = None

    def keep_copy(self) -> None:
        """Keeps what is sent from now on, for somebody who wants to see the answer."""
        self._copy = []

    @property
    def copy(self) -> bytes:
        """The body as it was sent; empty unless a copy is kept."""
        return b"".join(self._copy or ())

    def wait_at_most(self, seconds: float) -> None:
        """From now on the client is waited for no longer than that altogether."""
        self._ends_s = asyncio.get_running_loop().time() + seconds

    async def begin(self, status: int, headers: Headers) -> None:
        """Sends status and headers; from here on nothing can be taken back."""
        if self.line.is_full:
            await self._catch_up()
        self.has_committed = True
        self.status = status
        await self._send({"type": "http.response.start", "status": status, "headers": headers})

    async def write(self, data: bytes) -> None:
        """Sends a piece of the body."""
        if self.line.is_full:
            await self._catch_up()
        self._note(data)
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def end(self, data: bytes = b"") -> None:
        """Sends the last piece."""
        if self.line.is_full:
            await self._catch_up()
        self._note(data)
        await self._send({"type": "http.response.body", "body": data})

    def _note(self, data: bytes) -> None:
        self.bytes_sent += len(data)
        if self._copy is not None:
            self._copy.append(data)

    async def _catch_up(self) -> None:
        """Returns once the client has taken enough; ClientTooSlow otherwise.

        It is looked at once in ``silence_s``, so that the many that keep up cost nothing.
        """
        line, clock = self.line, asyncio.get_running_loop().time
        began_s = clock()
        try:
            while line.is_full:
                unsent, left_s = line.unsent_bytes, self._ends_s - clock()
                try:
                    async with asyncio.timeout(min(self._silence_s, left_s)):
                        await line.drain()
                except TimeoutError:
                    if left_s <= self._silence_s:
                        raise ClientTooSlow("it had not taken its answer when the time was over") from None
                    if line.unsent_bytes >= unsent:
                        silent = f"it took nothing of its answer for {self._silence_s:g} s"
                        raise ClientTooSlow(silent) from None
        finally:
            self.behind_s += clock() - began_s
