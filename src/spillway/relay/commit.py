"""The client's side of one request, and the one place that knows whether it has already seen something."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

__all__ = ["Client", "Send"]

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
"""ASGI's ``send``."""
Headers = list[tuple[bytes, bytes]]


class Client:
    """Retry, failover and error pages ask ``has_committed`` before they act."""

    __slots__ = ("_copy", "_send", "bytes_sent", "has_committed", "status")

    def __init__(self, send: Send) -> None:
        self._send = send
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

    async def begin(self, status: int, headers: Headers) -> None:
        """Sends status and headers; from here on nothing can be taken back."""
        self.has_committed = True
        self.status = status
        await self._send({"type": "http.response.start", "status": status, "headers": headers})

    async def write(self, data: bytes) -> None:
        """Sends a piece of the body, waiting while the client is slower than the upstream."""
        self.bytes_sent += len(data)
        if self._copy is not None:
            self._copy.append(data)
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def end(self, data: bytes = b"") -> None:
        """Sends the last piece."""
        self.bytes_sent += len(data)
        if self._copy is not None:
            self._copy.append(data)
        await self._send({"type": "http.response.body", "body": data})
