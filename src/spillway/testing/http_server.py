"""A small HTTP/1.1 server whose handlers write raw bytes, so that they can also write wrong ones.

It parses requests properly (``httptools``) and leaves answers entirely to the handler: heads, framing, resets
and half answers. Requests on one connection are handled one after the other, pipelined ones included.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, cast

import httptools

__all__ = ["Connection", "Handler", "HttpRequest", "HttpServer", "response_head"]

Headers = tuple[tuple[bytes, bytes], ...]

RESET_ON_CLOSE = struct.pack("ii", 1, 0)
"""``SO_LINGER`` on with zero seconds: closing the socket sends RST in place of FIN."""


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """One request as it arrived. Header names are lower-cased, their order is kept."""

    method: str
    target: str
    headers: Headers
    body: bytes
    wants_keep_alive: bool = True

    @property
    def path(self) -> str:
        """The target without its query."""
        return self.target.partition("?")[0]

    def header(self, name: str) -> str | None:
        """The first header of that name, or ``None``."""
        wanted = name.lower().encode()
        return next((value.decode("latin-1") for key, value in self.headers if key == wanted), None)


Handler = Callable[["Connection", HttpRequest], Awaitable[None]]


def response_head(status: int, headers: tuple[tuple[str, str], ...], reason: str | None = None) -> bytes:
    """The status line and headers, ready to send."""
    phrase = reason if reason is not None else HTTPStatus(status).phrase
    lines = [f"HTTP/1.1 {status} {phrase}", *(f"{name}: {value}" for name, value in headers)]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


class Connection(asyncio.Protocol):
    """One accepted connection. ``gone``: no use to write any more; ``lost``: the socket is closed."""

    def __init__(self, server: HttpServer, number: int) -> None:
        self.number = number
        self.gone = asyncio.Event()
        self.lost = asyncio.Event()
        self.closed_by_us = False
        self.drops_next = False
        self.gone_at_s: float | None = None
        self._server = server
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None
        self._writable = asyncio.Event()
        self._writable.set()
        self._waiting: deque[HttpRequest] = deque()
        self._task: asyncio.Task[None] | None = None
        self._target = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._body: list[bytes] = []

    # What handlers use.

    def send(self, data: bytes) -> None:
        """Hands bytes to the socket; nothing happens once the connection is gone."""
        if self._transport is not None and not self.gone.is_set():
            self._transport.write(data)

    async def drain(self) -> None:
        """Returns when the socket takes more bytes, or the connection is gone."""
        if not self._writable.is_set():
            await self._writable.wait()

    def close(self) -> None:
        """Sends what was written, then FIN."""
        self.closed_by_us = True
        if self._transport is not None:
            self._transport.close()

    def reset(self) -> None:
        """Sends RST; bytes the client has not read yet may be lost, as with a crashed peer."""
        self.closed_by_us = True
        if self._transport is None or self._transport.is_closing():
            return
        sock = cast("socket.socket", self._transport.get_extra_info("socket"))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        self._transport.abort()

    async def pause(self, seconds: float | None) -> bool:
        """Waits so long (``None``: for ever) or until the client hangs up; whether it is still there."""
        if seconds is not None and seconds <= 0:
            return not self.gone.is_set()
        try:
            await asyncio.wait_for(self.gone.wait(), seconds)
        except TimeoutError:
            return True
        return False

    # asyncio.Protocol.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:  # noqa: D102
        self._transport = cast("asyncio.Transport", transport)
        self._server.connections.add(self)

    def data_received(self, data: bytes) -> None:  # noqa: D102
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self.send(response_head(400, (("content-length", "0"), ("connection", "close"))))
            self.close()

    def eof_received(self) -> None:  # noqa: D102
        self._mark_gone()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: D102
        self._mark_gone()
        self.lost.set()
        self._server.connections.discard(self)

    def pause_writing(self) -> None:  # noqa: D102
        self._writable.clear()

    def resume_writing(self) -> None:  # noqa: D102
        self._writable.set()

    # httptools callbacks.

    def on_message_begin(self) -> None:  # noqa: D102
        self._target, self._headers, self._body = b"", [], []

    def on_url(self, url: bytes) -> None:  # noqa: D102
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:  # noqa: D102
        self._headers.append((name.lower(), value))

    def on_body(self, body: bytes) -> None:  # noqa: D102
        self._body.append(body)

    def on_message_complete(self) -> None:  # noqa: D102
        self._waiting.append(
            HttpRequest(
                method=self._parser.get_method().decode("latin-1"),
                target=self._target.decode("latin-1"),
                headers=tuple(self._headers),
                body=b"".join(self._body),
                wants_keep_alive=self._parser.should_keep_alive(),
            )
        )
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._work())
            self._server.tasks.add(self._task)
            self._task.add_done_callback(self._server.task_done)

    async def _work(self) -> None:
        while self._waiting and not self.closed_by_us:
            request = self._waiting.popleft()
            try:
                await self._server.handler(self, request)
            except (
                Exception
            ):  # the client must not wait for a handler that died; ``stop`` raises what it died of
                self.reset()
                raise
            if not request.wants_keep_alive:
                self.close()
        self._task = None

    def _mark_gone(self) -> None:
        if not self.gone.is_set():
            self.gone_at_s = asyncio.get_running_loop().time()
            self.gone.set()
            self._writable.set()


class HttpServer:
    """Listens on loopback and hands every request to ``handler``; ``refuse`` and ``accept`` again at will."""

    def __init__(self, handler: Handler, *, host: str = "127.0.0.1", port: int = 0) -> None:
        self.handler = handler
        self.host = host
        self.port = port
        self.connections: set[Connection] = set()
        self.accepted_count = 0
        self.tasks: set[asyncio.Task[None]] = set()
        self.failures: list[BaseException] = []
        self._listener: asyncio.Server | None = None
        self._holder: socket.socket | None = None

    @property
    def is_accepting(self) -> bool:
        """Whether connecting works."""
        return self._listener is not None

    async def start(self) -> None:
        """Binds and listens; ``port`` is then the real one."""
        if self.port == 0:
            self._holder = self._bound_socket()
            self.port = int(self._holder.getsockname()[1])
        await self.accept()

    async def accept(self) -> None:
        """Listens (again) on the same port."""
        if self._listener is None:
            self._listener = await asyncio.get_running_loop().create_server(
                self._connection, sock=self._bound_socket(), backlog=512
            )

    def refuse(self) -> None:
        """Closes the listener: connecting is refused from now on. Open connections live on."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    async def stop(self) -> None:
        """Closes everything and raises the first exception a handler died of."""
        self.refuse()
        for task in tuple(self.tasks):
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        for connection in tuple(self.connections):
            connection.reset()
            await connection.lost.wait()
        if self._holder is not None:
            self._holder.close()
        if self.failures:
            raise self.failures[0]

    def task_done(self, task: asyncio.Task[None]) -> None:
        """Keeps the exception a handler died of for ``stop`` to raise."""
        self.tasks.discard(task)
        if not task.cancelled() and (failure := task.exception()) is not None:
            self.failures.append(failure)

    def _connection(self) -> Connection:
        self.accepted_count += 1
        return Connection(self, self.accepted_count)

    def _bound_socket(self) -> socket.socket:
        """A bound socket; a chosen port is shared by two, so nobody else is given it while we refuse."""
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        reuse_port: Any = getattr(socket, "SO_REUSEPORT", None)  # not on Windows
        if reuse_port is not None and (self._holder is not None or self.port == 0):
            sock.setsockopt(socket.SOL_SOCKET, reuse_port, 1)
        sock.bind((self.host, self.port))
        return sock
