"""An HTTP/1.1 client cut to what a relay needs: pieces of a body as they arrive, and honest endings.

General clients cost more than everything else the gateway does (decision 0004 has the figures) and hide what
a relay must know: whether a connection was reused, whether a byte of the answer had arrived when it broke,
and that closing means closing now. Parsing is ``httptools`` (llhttp, the parser of Node.js). No redirects,
cookies, compression or proxies here, on purpose: a gateway talks to the hosts that were configured.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, cast
from urllib.parse import urlsplit

import httptools
import msgspec

__all__ = [
    "ConnectFailed",
    "Exchange",
    "HttpClient",
    "Origin",
    "PeerClosed",
    "PeerMalformed",
    "PeerTimeout",
    "WireError",
    "fetch_json",
    "request_head",
]

Headers = Sequence[tuple[bytes, bytes]]
Phase = Literal["connect", "head", "body"]

MAX_HEAD_BYTES = 64 * 1024
"""An answer whose headers are longer is malformed."""
PAUSE_BYTES = 256 * 1024
"""Unread body bytes at which reading from the socket pauses."""
IDLE_LIMIT = 256
"""Idle connections kept per origin."""
IDLE_S = 4.0
"""Idle connections older than this are not reused: llama.cpp and uvicorn close theirs after 5 s."""
JOIN_BYTES = 16 * 1024
"""Bodies up to this size are joined to their head: one write costs less than two."""


class WireError(Exception):
    """A request that got no complete answer; the leaf says in which way."""


class ConnectFailed(WireError):
    """No connection: refused, no such host, TLS failed, or it took longer than allowed."""


class PeerClosed(WireError):
    """The peer closed before the answer was complete; ``has_answered`` tells whether a byte had arrived."""

    def __init__(self, message: str, *, has_answered: bool) -> None:
        super().__init__(message)
        self.has_answered = has_answered


class PeerTimeout(WireError):
    """The peer was silent for longer than allowed, in the phase named."""

    def __init__(self, phase: Phase, timeout_s: float) -> None:
        super().__init__(f"silent for {timeout_s:g} s while waiting for its {phase}")
        self.phase = phase


class PeerMalformed(WireError):
    """What the peer sent is not HTTP."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where an upstream listens.

    >>> Origin.parse("http://127.0.0.1:11434/v1")
    Origin(scheme='http', host='127.0.0.1', port=11434, base_path='/v1', socket_path=None)
    >>> Origin.parse("unix:///run/engine.sock").socket_path
    '/run/engine.sock'
    """

    scheme: Literal["http", "https", "unix"]
    host: str
    port: int
    base_path: str = ""
    socket_path: str | None = None

    @classmethod
    def parse(cls, url: str) -> Origin:
        """The origin of an http, https or unix URL; ValueError says what is wrong with it."""
        parts = urlsplit(url)
        if parts.scheme == "unix":
            return cls("unix", "localhost", 0, socket_path=parts.path)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{url!r} is not an http:// or https:// URL")
        if parts.username or parts.password:
            raise ValueError("a URL may not hold credentials: use api_key")
        scheme: Literal["http", "https"] = "https" if parts.scheme == "https" else "http"
        port = parts.port or (443 if scheme == "https" else 80)
        return cls(scheme, parts.hostname, port, parts.path.rstrip("/"))

    @property
    def authority(self) -> str:
        """What the Host header says."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        is_default = self.port == {"http": 80, "https": 443}.get(self.scheme, 0)
        return host if is_default else f"{host}:{self.port}"


def request_head(method: str, path: str, origin: Origin, headers: Headers = ()) -> bytes:
    """Request line and headers without ``content-length``, to be built once and sent many times."""
    lines = [
        f"{method} {origin.base_path}{path} HTTP/1.1\r\nhost: {origin.authority}\r\n".encode("latin-1"),
        b"accept-encoding: identity\r\n",
    ]
    for name, value in headers:
        if b"\n" in value or b"\r" in value:
            raise ValueError(f"header {name.decode('latin-1')} holds a line break")
        lines.append(name + b": " + value + b"\r\n")
    return b"".join(lines)


class Exchange:
    """One request on its connection, and the answer as far as it has arrived."""

    __slots__ = (
        "_buffered",
        "_connection",
        "_error",
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
        """Returns when status and headers have arrived."""
        while self.status == 0:
            await self._wait("head", timeout_s)

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

    async def body(self, limit_bytes: int, timeout_s: float = 60.0) -> bytes:
        """The whole rest of the body; PeerMalformed when it is longer than ``limit_bytes``."""
        pieces, size = [], 0
        while piece := await self.read(timeout_s):
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
        """Lets the reader look again."""
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


class HttpClient:
    """Connections to one origin, idle ones kept for the next request."""

    def __init__(self, origin: Origin) -> None:
        self.origin = origin
        self._idle: list[Connection] = []
        self._is_closed = False

    async def open(
        self,
        method: str,
        path: str,
        headers: Headers = (),
        body: bytes = b"",
        *,
        connect_s: float = 5.0,
        head_s: float = 60.0,
        may_reuse: bool = True,
    ) -> Exchange:
        """The exchange once its status and headers have arrived; WireError otherwise."""
        head = request_head(method, path, self.origin, headers)
        return await self.send(head, body, connect_s=connect_s, head_s=head_s, may_reuse=may_reuse)

    async def send(
        self, head: bytes, body: bytes, *, connect_s: float, head_s: float, may_reuse: bool = True
    ) -> Exchange:
        """Like ``open``, with a head from ``request_head`` built beforehand.

        A kept connection that closes before it answers a byte was closed while idle, so the request never
        ran: it is sent once more on a fresh connection.
        """
        connection = self._take_idle()
        if connection is not None:
            try:
                return await self._exchange(connection, head, body, head_s, may_reuse)
            except PeerClosed as error:
                if error.has_answered:
                    raise
        connection = await self._connect(connect_s)
        return await self._exchange(connection, head, body, head_s, may_reuse)

    async def close(self) -> None:
        """Closes the idle connections; running exchanges end on their own."""
        self._is_closed = True
        while self._idle:
            self._idle.pop().abort()

    async def _exchange(
        self, connection: Connection, head: bytes, body: bytes, head_s: float, may_reuse: bool
    ) -> Exchange:
        exchange = connection.send(head, body, may_reuse)
        try:
            await exchange.head(head_s)
        except BaseException:
            exchange.abort()
            raise
        return exchange

    async def _connect(self, connect_s: float) -> Connection:
        loop = asyncio.get_running_loop()
        origin = self.origin

        def protocol() -> Connection:
            return Connection(loop, self._keep)

        try:
            async with asyncio.timeout(connect_s):
                if origin.socket_path is not None:
                    _, connection = await loop.create_unix_connection(protocol, origin.socket_path)
                else:
                    tls = _tls_context() if origin.scheme == "https" else None
                    _, connection = await loop.create_connection(protocol, origin.host, origin.port, ssl=tls)
        except TimeoutError:
            raise ConnectFailed(f"no connection within {connect_s:g} s") from None
        except (OSError, ssl.SSLError) as error:
            raise ConnectFailed(_reason(error)) from error
        return connection

    def _take_idle(self) -> Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if connection.is_closed:
                continue
            if connection.loop.time() - connection.idle_since_s <= IDLE_S:
                return connection
            connection.abort()
        return None

    def _keep(self, connection: Connection) -> None:
        now_s = connection.loop.time()
        oldest = self._idle[0] if self._idle else None
        if oldest is not None and (oldest.is_closed or now_s - oldest.idle_since_s > IDLE_S):
            self._idle.pop(0).abort()
        if self._is_closed or len(self._idle) >= IDLE_LIMIT:
            connection.abort()
        else:
            connection.idle_since_s = now_s
            self._idle.append(connection)


async def fetch_json(
    client: HttpClient,
    path: str,
    headers: Headers = (),
    *,
    method: str = "GET",
    body: bytes = b"",
    timeout_s: float = 5.0,
) -> tuple[int, object]:
    """Status and decoded body of a small metadata request; the body is ``None`` when it is not JSON.

    ``timeout_s`` bounds the whole, however slowly the answer trickles in.
    """
    try:
        async with asyncio.timeout(timeout_s):
            exchange = await client.open(method, path, headers, body, connect_s=timeout_s, head_s=timeout_s)
            try:
                raw = await exchange.body(8_000_000, timeout_s)
            finally:
                exchange.abort()  # does nothing to a complete one
    except TimeoutError:
        raise PeerTimeout("body", timeout_s) from None
    try:
        return exchange.status, msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return exchange.status, None


@lru_cache(maxsize=1)
def _tls_context() -> ssl.SSLContext:
    return ssl.create_default_context()


def _reason(error: OSError) -> str:
    if isinstance(error, ConnectionRefusedError):
        return "connection refused: nothing listens there"
    return error.strerror or str(error)
