"""The gateway on a socket: uvicorn, with limits on request heads and errors in OpenAI's shape."""

from __future__ import annotations

import asyncio
import re
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import msgspec
import uvicorn
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from spillway.api.app import BODY_ARRIVED, HUNG_UP, Gateway
from spillway.errors import ConfigError, InvalidRequest, RequestError

__all__ = ["GatewayServer", "bind"]

MAX_HEAD_BYTES = 64 * 1024
"""Longest request line and headers together."""
MAX_HEADERS = 200
HEAD_TIMEOUT_S = 20.0
"""Longest time between the first byte of a request and the end of its headers."""
BODY_STEP_BYTES = 64 * 1024
"""A request body is handed on in steps of this size, each of which may take ``server.body_timeout_s``."""
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)
GRACE_S = 30
"""How long running answers may take after a signal to stop."""


UPGRADE = re.compile(rb"(?i)(?<=\r\n)upgrade:[^\r\n]*\r\n")
"""An offer to speak HTTP/2 (Java's client makes it on every request) would make the parser drop the body."""


class HeadersTooLarge(RequestError):
    """Request line and headers exceed the limit."""

    status = 431
    type = "invalid_request_error"
    default_code = "headers_too_large"


class HeadJoiner:
    """A transport that sends a response head together with the first piece of its body.

    uvicorn writes them apart and the loop sends each write at once, which costs a system call and often a
    packet for every answer.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._head = b""
        self.abort = transport.abort
        self.get_extra_info = transport.get_extra_info
        self.is_closing = transport.is_closing
        self.pause_reading = transport.pause_reading
        self.resume_reading = transport.resume_reading
        self.set_protocol = transport.set_protocol

    def write(self, data: bytes) -> None:
        """Keeps a head (``HTTP/1.1 200 …``, not an interim ``100``) until the next write."""
        head, self._head = self._head, b""
        if not head and data.startswith(b"HTTP/1.1 ") and not data.startswith(b"HTTP/1.1 1"):
            self._head = data
        else:
            self._transport.write(head + data)

    def close(self) -> None:
        """Sends what is kept and closes."""
        if self._head:
            self.write(b"")
        self._transport.close()


class Http(HttpToolsProtocol):
    """uvicorn's protocol with bounded heads, and with requests cancelled when their client hangs up."""

    _head_bytes = 0
    _pending_bytes = 0
    _is_refused = False
    _head_timer: asyncio.TimerHandle | None = None
    _task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Keeps the transport, joined."""
        super().connection_made(cast(asyncio.Transport, HeadJoiner(transport)))

    def on_message_begin(self) -> None:
        """A request starts: its head may take so long."""
        super().on_message_begin()
        self._head_bytes = 0
        self._head_timer = self.loop.call_later(HEAD_TIMEOUT_S, self._on_slow_head)

    def on_url(self, url: bytes) -> None:
        """Counts the request line."""
        self._head_bytes += len(url)
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Counts one header."""
        self._head_bytes += len(name) + len(value)
        if self._head_bytes > MAX_HEAD_BYTES or len(self.headers) >= MAX_HEADERS:
            raise HeadersTooLarge(
                f"request headers exceed {MAX_HEAD_BYTES} bytes or {MAX_HEADERS} fields: send fewer"
            )
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The head is whole."""
        self._stop_head_timer()
        super().on_headers_complete()

    def data_received(self, data: bytes) -> None:
        """Parses; a head without an end is refused however it is cut into pieces."""
        if self._is_refused:
            return
        if b"pgrade" in data and (self.cycle is None or self.cycle.response_complete):
            data = UPGRADE.sub(b"", data, count=1)
        super().data_received(data)
        if self._head_timer is not None:
            self._pending_bytes += len(data)
            if self._pending_bytes > 2 * MAX_HEAD_BYTES:
                self._refuse(HeadersTooLarge(f"request headers exceed {MAX_HEAD_BYTES} bytes: send fewer"))
        else:
            self._pending_bytes = 0

    def on_body(self, body: bytes) -> None:
        """Gathers the body in large steps: fewer wake-ups, and a client that drips bytes runs out of time."""
        cycle = self.cycle
        if cycle.response_complete:
            return
        cycle.body += body
        if len(cycle.body) >= BODY_STEP_BYTES:
            self.flow.pause_reading()
            cycle.message_event.set()

    def on_message_complete(self) -> None:
        """The body is whole."""
        cast(dict[str, Any], self.scope)[BODY_ARRIVED] = True
        super().on_message_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone: its running request is cancelled at once."""
        self._stop_head_timer()
        super().connection_lost(exc)
        task, cycle = self._task, self.cycle
        if task is not None and cycle is not None and not task.done() and not cycle.response_complete:
            cast(dict[str, Any], cycle.scope)[HUNG_UP] = True
            task.cancel()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        task = self._task = self.loop.create_task(cycle.run_asgi(app))
        task.add_done_callback(self.tasks.discard)
        self.tasks.add(task)

    def send_400_response(self, msg: str) -> None:
        """What the parser refused, in OpenAI's shape."""
        cause = sys.exc_info()[1]
        while cause is not None and not isinstance(cause, HeadersTooLarge):
            cause = cause.__context__
        self._refuse(cause or InvalidRequest("this is not HTTP/1.1", code="invalid_http"))

    def _on_slow_head(self) -> None:
        self._head_timer = None
        if not self.transport.is_closing():
            self._refuse(InvalidRequest("the request headers took too long", code="headers_timeout"))

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _refuse(self, error: RequestError) -> None:
        self._is_refused = True
        self._stop_head_timer()
        body = msgspec.json.encode(error.to_body())
        self.transport.write(
            b"%bcontent-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%b"
            % (STATUS_LINE[error.status], len(body), body)
        )
        self.transport.close()


def bind(host: str, port: int) -> socket.socket:
    """A listening socket; ConfigError says who is in the way."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)  # plain asyncio then sets nodelay
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((host, port))
    except OSError as error:
        sock.close()
        raise ConfigError(
            f"cannot listen on {host}:{port} ({error.strerror}): stop what uses it, or choose --port"
        ) from error
    sock.listen(2048)
    sock.setblocking(False)
    return sock


class GatewayServer(uvicorn.Server):
    """Serves one gateway on one bound socket until told to stop."""

    def __init__(self, gateway: Gateway) -> None:
        settings: dict[str, Any] = {
            "http": Http,
            "ws": "none",
            "lifespan": "off",
            "log_config": None,
            "access_log": False,
            "server_header": False,
            "date_header": False,
            "proxy_headers": False,
            "timeout_keep_alive": 75,
            "timeout_graceful_shutdown": GRACE_S,
        }
        super().__init__(uvicorn.Config(gateway, **settings))

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stops serving on SIGINT and SIGTERM, and leaves it at that.

        uvicorn raises the signal again once it has stopped, which would end the process before the ledger is
        drained and the embedded engines are stopped.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self.handle_exit) for number in STOP_SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
