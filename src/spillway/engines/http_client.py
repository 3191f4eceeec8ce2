"""An HTTP/1.1 client cut to what a relay needs.

General clients cost more than everything else the gateway does (decision 0004 has the figures) and hide what
a relay must know: whether a connection was reused, whether a byte of the answer had arrived when it broke,
and that closing means closing now. No redirects, cookies, compression or proxies here, on purpose: a gateway
talks to the hosts that were configured.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from functools import lru_cache

import msgspec

from spillway.engines.connection import Connection, Exchange
from spillway.engines.wire import ConnectFailed, Headers, Origin, PeerClosed, PeerTimeout, request_head

__all__ = ["HttpClient", "fetch_json", "untold"]

IDLE_LIMIT = 256
"""Idle connections kept per origin."""
IDLE_S = 4.0
"""Idle connections older than this are not reused: llama.cpp and uvicorn close theirs after 5 s."""
STALE_S = 1.0
"""A kept connection that the peer had closed tells so within a round trip (guess). One that closes later was
reading or answering the request, which is then the failure of a request that ran."""


def untold() -> None:
    """For a caller who need not know when its request is sent."""


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
        self,
        head: bytes,
        body: bytes,
        *,
        connect_s: float,
        head_s: float,
        may_reuse: bool = True,
        on_sent: Callable[[], None] = untold,
    ) -> Exchange:
        """Like ``open``, with a head from ``request_head`` built beforehand; ``on_sent`` is told when a
        connection was there and the request is on it.

        A kept connection that closes at once, before it answers a byte, was closed while idle, so the request
        never ran: it is sent once more on a fresh connection.
        """
        connection = self._take_idle()
        if connection is not None:
            on_sent()
            sent_s = connection.loop.time()
            try:
                return await self._exchange(connection, head, body, head_s, may_reuse)
            except PeerClosed as error:
                if error.has_answered or connection.loop.time() - sent_s > STALE_S:
                    raise
        connection = await self._connect(connect_s)
        on_sent()
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
