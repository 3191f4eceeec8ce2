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

from spillway.api.app import BODY_ARRIVED, LINE, Gateway
from spillway.api.line import ClientLine, HeadJoiner
from spillway.errors import ConfigError, InvalidRequest, RequestError
from spillway.relay.commit import CLOSED, STOPPING

__all__ = ["GatewayServer", "bind"]

MAX_HEAD_BYTES = 64 * 1024
"""Longest request line and headers together."""
MAX_HEADERS = 200
HEAD_TIMEOUT_S = 20.0
"""Longest time between the first byte of a request and the end of its headers."""
KEEP_ALIVE_S = 75
"""Longest time without a request, before the first one too."""
BODY_STEP_BYTES = 64 * 1024
"""A request body is handed on in steps of this size, each of which may take ``server.body_timeout_s``."""
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)
GRACE_S = 30.0
"""How long running answers may take after a signal to stop; then they are ended with an error."""
LAST_WORDS_S = 2.0
"""How long that may take."""


UPGRADE = re.compile(rb"(?i)(?<=\r\n)upgrade:[^\r\n]*\r\n")
"""An offer to speak HTTP/2 (Java's client makes it on every request) would make the parser drop the body."""


class HeadersTooLarge(RequestError):
    """Request line and headers exceed the limit."""

    status = 431
    type = "invalid_request_error"
    default_code = "headers_too_large"


class Http(HttpToolsProtocol):
    """uvicorn's protocol with bounded heads, and with requests cancelled when their client hangs up."""

    _head_bytes = 0
    _pending_bytes = 0
    _is_refused = False
    _head_timer: asyncio.TimerHandle | None = None
    _task: asyncio.Task[None] | None = None
    _answering: RequestResponseCycle
    """What ``_task`` answers."""
    _joiner: HeadJoiner
    _line: ClientLine

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Keeps the transport, joined; the first request may take as long to come as another one."""
        self._joiner = HeadJoiner(transport)
        super().connection_made(cast(asyncio.Transport, self._joiner))
        self._line = ClientLine(self._joiner, self.flow)
        self.timeout_keep_alive_task = self.loop.call_later(
            self.timeout_keep_alive, self.timeout_keep_alive_handler
        )

    def on_message_begin(self) -> None:
        """A request starts: its head may take so long."""
        super().on_message_begin()
        cast(dict[str, Any], self.scope)[LINE] = self._line
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
        self._joiner.is_plain = self.parser.get_http_version() == "1.0"
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

    def on_response_complete(self) -> None:
        """The answer is whole, one without a body too."""
        self._joiner.flush()
        super().on_response_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone: its running request is cancelled at once."""
        self._stop_head_timer()
        super().connection_lost(exc)
        self._line.note_gone()
        if self._line.end_code is None:
            self._line.end_code = CLOSED
            self._cancel()

    def stop(self) -> None:
        """The gateway stops and waits no longer: a running request is ended, and with it the connection."""
        if self._line.end_code is None and self._cancel():
            self._line.end_code = STOPPING
        else:
            self.transport.abort()

    def _cancel(self) -> bool:
        """Whether a request was running, which is cancelled now."""
        task = self._task
        return (
            task is not None and not task.done() and not self._answering.response_complete and task.cancel()
        )

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._answering = cycle
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

    def __init__(self, gateway: Gateway, *, grace_s: float = GRACE_S) -> None:
        """``grace_s`` is how long running answers may take after it was told to stop."""
        self._grace_s = grace_s
        settings: dict[str, Any] = {
            "http": Http,
            "ws": "none",
            "lifespan": "off",
            "log_config": None,
            "access_log": False,
            "server_header": False,
            "date_header": False,
            "proxy_headers": False,
            "timeout_keep_alive": KEEP_ALIVE_S,
            "timeout_graceful_shutdown": grace_s + LAST_WORDS_S,
        }
        super().__init__(uvicorn.Config(gateway, **settings))

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Waits for running answers, for the grace at most; those that are left end with an error."""
        ending = asyncio.get_running_loop().call_later(self._grace_s, self._end_what_runs)
        await super().shutdown(sockets)
        ending.cancel()
        self._end_what_runs()  # where a second signal cut the grace short
        if self.server_state.tasks:
            await asyncio.wait(self.server_state.tasks, timeout=LAST_WORDS_S)

    def _end_what_runs(self) -> None:
        for connection in list(self.server_state.connections):
            cast(Http, connection).stop()

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
