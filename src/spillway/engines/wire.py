"""What callers of the HTTP client speak of: where an upstream listens, and the ways it can fail."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

__all__ = [
    "ConnectFailed",
    "Headers",
    "Origin",
    "PeerClosed",
    "PeerMalformed",
    "PeerTimeout",
    "Phase",
    "WireError",
    "request_head",
]

Headers = Sequence[tuple[bytes, bytes]]
Phase = Literal["connect", "head", "body"]


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
        super().__init__(f"silent for {round(timeout_s, 3):g} s while waiting for its {phase}")
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
        try:
            parts = urlsplit(url)
            given_port = parts.port
        except ValueError as problem:
            raise ValueError(f"the URL is wrong: {problem}") from None
        if parts.scheme == "unix":
            return cls("unix", "localhost", 0, socket_path=parts.path)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{url!r} is not an http:// or https:// URL")
        if parts.username or parts.password:
            raise ValueError("a URL may not hold credentials: use api_key")
        scheme: Literal["http", "https"] = "https" if parts.scheme == "https" else "http"
        port = given_port or (443 if scheme == "https" else 80)
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
