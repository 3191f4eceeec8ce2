"""One HTTP/1.1 connection to an upstream, and the exchange it carries: pieces as they arrive, honest endings.

Parsing is ``httptools`` (llhttp, the parser of Node.js).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

import httptools

from spillway.engines.wire import PeerClosed, PeerMalformed, PeerTimeout, Phase, WireError

__all__ = ["Connection", "Exchange"]

MAX_HEAD_BYTES = 64 * 1024
"""An answer whose headers are longer is malformed."""
PAUSE_BYTES = 256 * 1024
"""Unread body bytes at which reading from the socket pauses."""
JOIN_BYTES = 16 * 1024
"""Bodies up to this size are joined to their head: one write costs less than two."""


class Exchange:
    """One request on its connection, and the answer as far as it has arrived."""

    __slots__ = (
        "_buffered",
        "_connection",
        "_error",
        "_is_lingering",
        "_pieces",
        "_waiter",
        "has_answered",
        "headers",
        "is_complete",
        "may_reuse",
        "status",
    )

    def __init__(self, connection: Connection, may_reuse: bool) -> None:
        self._connection: Connection | None = connection
        self._pieces: list[bytes] = []
        self._buffered = 0
        self._waiter: asyncio.Future[None] | None = None
        self._error: WireError | None = None
        self._is_lingering = False
        self.may_reuse = may_reuse
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.has_answered = False
        self.is_complete = False

    def header(self, name: bytes) -> bytes | None:
        """The first header of that lower-case name."""
        for key, value in self.headers:
            if key == name:
                return value
        return None

    async def head(self, timeout_s: float) -> None:
        """Returns when status and headers have arrived, however slowly they trickle in."""
        wait = self._until(timeout_s)
        while self.status == 0:
            await self._wait("head", wait())

    async def read(self, timeout_s: float = 60.0) -> bytes:
        """All that has arrived and was not read yet, waiting for something; ``b""`` at the end."""
        while not self._pieces:
            if self.is_complete:
                return b""
            await self._wait("body", timeout_s)
        piece = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        self._pieces.clear()
        if self._buffered > PAUSE_BYTES and self._connection is not None:
            self._connection.resume()
        self._buffered = 0
        return piece

    async def linger(self, limit_s: float) -> None:
        """Returns once the answer is complete or broken, or much has gathered, or ``limit_s`` is over.

        A reader in no hurry is woken once for many small pieces: each time costs more than all else.
        """
        connection = self._connection
        if self.is_complete or self._error is not None or connection is None:
            return
        self._is_lingering = True
        self._waiter = connection.loop.create_future()
        connection.watch(limit_s)
        try:
            await self._waiter
        except TimeoutError:
            pass
        finally:
            self._waiter = None
            self._is_lingering = False

    async def body(self, limit_bytes: int, timeout_s: float = 60.0) -> bytes:
        """The whole rest of the body, within ``timeout_s``; PeerMalformed when it is longer than
        ``limit_bytes``."""
        pieces, size, wait = [], 0, self._until(timeout_s)
        while piece := await self.read(wait()):
            pieces.append(piece)
            size += len(piece)
            if size > limit_bytes:
                self.abort()
                raise PeerMalformed(f"its answer is longer than {limit_bytes} bytes")
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def abort(self) -> None:
        """Closes the connection at once unless the answer was complete; safe to call twice."""
        connection, self._connection = self._connection, None
        if connection is not None and not self.is_complete:
            connection.abort()

    def _until(self, timeout_s: float) -> Callable[[], float]:
        """What is left of that time: a peer that sends a byte now and then must not renew it."""
        clock = asyncio.get_running_loop().time
        end_s = clock() + timeout_s
        return lambda: max(0.0, end_s - clock())

    async def _wait(self, phase: Phase, timeout_s: float) -> None:
        if self._error is not None:
            raise self._error
        connection = self._connection
        if connection is None:
            raise PeerClosed("this exchange was aborted", has_answered=self.has_answered)
        self._waiter = connection.loop.create_future()
        connection.watch(timeout_s)
        try:
            await self._waiter
        except TimeoutError:
            self.abort()
            raise PeerTimeout(phase, timeout_s) from None
        finally:
            self._waiter = None

    # what the connection calls

    def wake(self) -> None:
        """Lets the reader look again, unless it is in no hurry."""
        if self._is_lingering and not (
            self.is_complete or self._error is not None or self._buffered > PAUSE_BYTES
        ):
            return
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def time_out(self) -> bool:
        """Ends the reader's patience; False when nobody was waiting."""
        waiter = self._waiter
        if waiter is None or waiter.done():
            return False
        waiter.set_exception(TimeoutError())
        return True

    def feed(self, piece: bytes) -> bool:
        """Takes a piece of the body; True when the reader has fallen far behind."""
        self._pieces.append(piece)
        self._buffered += len(piece)
        return self._buffered > PAUSE_BYTES

    def fail(self, error: WireError) -> None:
        """No more will come; the reader gets the error after what had arrived."""
        if not self.is_complete and self._error is None:
            self._error = error
        self.wake()


class Connection(asyncio.Protocol):
    """One socket to an origin, carrying one exchange after another."""

    def __init__(self, loop: asyncio.AbstractEventLoop, on_idle: Callable[[Connection], None]) -> None:
        self.loop = loop
        self.is_closed = False
        self.idle_since_s = 0.0
        self._on_idle = on_idle
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._exchange: Exchange | None = None
        self._head_bytes = 0
        self._status = 0
        self._headers: list[tuple[bytes, bytes]] = []
        self._ends_at_close = False
        self._is_done = False
        self._keeps_alive = False
        self._is_paused = False
        self._timer: asyncio.TimerHandle | None = None
        self._deadline_s = 0.0

    def send(self, head: bytes, body: bytes, may_reuse: bool) -> Exchange:
        """Writes a request and returns its exchange."""
        transport = self._transport
        assert transport is not None
        exchange = self._exchange = Exchange(self, may_reuse)
        self._head_bytes = 0
        framed = b"%bcontent-length: %d\r\n\r\n" % (head, len(body)) if body else head + b"\r\n"
        if len(body) <= JOIN_BYTES:
            transport.write(framed + body)
        else:
            transport.writelines((framed, body))
        return exchange

    def watch(self, timeout_s: float) -> None:
        """Times the current wait; one lazily moved timer serves all waits of a connection."""
        self._deadline_s = self.loop.time() + timeout_s
        timer = self._timer
        if timer is not None and timer.when() > self._deadline_s:
            timer.cancel()
            timer = None
        if timer is None:
            self._timer = self.loop.call_at(self._deadline_s, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        if self._exchange is None:
            return
        if self.loop.time() < self._deadline_s - 0.001:
            self._timer = self.loop.call_at(self._deadline_s, self._on_timer)
        else:
            self._exchange.time_out()

    def resume(self) -> None:
        """Reads from the socket again after the reader caught up."""
        if self._is_paused and self._transport is not None:
            self._is_paused = False
            self._transport.resume_reading()

    def abort(self) -> None:
        """Closes the socket without waiting for unsent bytes."""
        self.is_closed = True
        if self._transport is not None:
            self._transport.abort()

    # asyncio's callbacks

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keeps the transport."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's does not inherit from it

    def data_received(self, data: bytes) -> None:
        """Parses what arrived and lets the reader know once."""
        exchange = self._exchange
        if exchange is None:
            self.abort()  # bytes nobody asked for: this connection cannot be trusted
            return
        exchange.has_answered = True
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._keeps_alive = False
            if not self._is_done:
                exchange.fail(PeerMalformed(f"its answer is not HTTP: {error}"))
                self.abort()
                return
        if self._is_done:
            self._finish(exchange)
        exchange.wake()

    def eof_received(self) -> bool:
        """Closes when the peer does."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Ends the exchange: well, when its end is the close itself; else as broken."""
        self.is_closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        exchange, self._exchange = self._exchange, None
        if exchange is None:
            return
        if self._ends_at_close and exc is None:
            exchange.is_complete = True
            exchange.wake()
        else:
            reason = f": {exc}" if exc else ""
            exchange.fail(PeerClosed(f"it closed the connection{reason}", has_answered=exchange.has_answered))

    def _finish(self, exchange: Exchange) -> None:
        self._is_done = False
        self._exchange = None
        if self._keeps_alive and exchange.may_reuse and not self.is_closed:
            self.resume()
            self._on_idle(self)
        else:
            self.abort()

    # the parser's callbacks

    def on_header(self, name: bytes, value: bytes) -> None:
        """Collects one header, within the limit."""
        self._head_bytes += len(name) + len(value)
        if self._head_bytes > MAX_HEAD_BYTES:
            raise PeerMalformed("its headers are too long")
        self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """Hands status and headers to the exchange, except those of interim answers (1xx)."""
        status = self._parser.get_status_code()
        headers, self._headers = self._headers, []
        self._status = status
        if status < 200 or self._exchange is None:
            return
        self._ends_at_close = status not in (204, 304) and not any(
            name == b"content-length" or name == b"transfer-encoding" for name, _ in headers
        )
        self._exchange.headers = headers
        self._exchange.status = status

    def on_body(self, piece: bytes) -> None:
        """Buffers a piece; pauses the socket when the reader is far behind."""
        if (
            self._exchange is not None
            and self._exchange.feed(piece)
            and not self._is_paused
            and self._transport
        ):
            self._is_paused = True
            self._transport.pause_reading()

    def on_message_complete(self) -> None:
        """Marks the answer complete, unless it was an interim one."""
        if self._status < 200 or self._exchange is None:
            return
        self._exchange.is_complete = True
        self._keeps_alive = self._parser.should_keep_alive()
        self._is_done = True
