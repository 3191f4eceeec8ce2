"""The gateway on a socket: uvicorn, with limits on request heads and errors in OpenAI's shape."""

from __future__ import annotations

import asyncio
import socket
import sys
from typing import Any

import msgspec
import uvicorn
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from spillway.api.app import Gateway
from spillway.errors import ConfigError, InvalidRequest, RequestError

__all__ = ["GatewayServer", "bind"]

MAX_HEAD_BYTES = 64 * 1024
"""Longest request line and headers together."""
MAX_HEADERS = 200
HEAD_TIMEOUT_S = 20.0
"""Longest time between the first byte of a request and the end of its headers."""
GRACE_S = 30
"""How long running answers may take after a signal to stop."""


class HeadersTooLarge(RequestError):
    """Request line and headers exceed the limit."""

    status = 431
    type = "invalid_request_error"
    default_code = "headers_too_large"


class Http(HttpToolsProtocol):
    """uvicorn's protocol with bounded heads: a client can neither fill memory with headers nor dawdle."""

    _head_bytes = 0
    _pending_bytes = 0
    _is_refused = False
    _head_timer: asyncio.TimerHandle | None = None

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
        super().data_received(data)
        if self._head_timer is not None:
            self._pending_bytes += len(data)
            if self._pending_bytes > 2 * MAX_HEAD_BYTES:
                self._refuse(HeadersTooLarge(f"request headers exceed {MAX_HEAD_BYTES} bytes: send fewer"))
        else:
            self._pending_bytes = 0

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self._stop_head_timer()
        super().connection_lost(exc)

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
    sock = socket.socket(family, socket.SOCK_STREAM)
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
