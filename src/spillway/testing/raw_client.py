"""An HTTP client that hides nothing: every byte of the answer, when it came, and how it ended.

For tests that must know what is really on the wire, of an upstream or of the gateway itself. It sends exactly
what it is given, right or wrong.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

__all__ = ["MESSAGES", "RawClient", "Wire", "ask", "event_data", "raw_connection"]

MESSAGES = [{"role": "user", "content": "where is my order"}]
"""A conversation for tests that do not care what is asked."""
WAIT_S = 10.0
"""Silence after which reading fails the test."""


def event_data(body: bytes) -> list[str]:
    """The data of every event of a stream, in order."""
    lines = body.replace(b"\r\n", b"\n").decode().split("\n")
    return [line[6:] for line in lines if line.startswith("data: ")]


@dataclass(slots=True)
class Wire:
    """One answer as it came. ``ending``: how reading stopped, ``complete`` with the connection still open."""

    raw: bytes = b""
    ending: Literal["complete", "fin", "reset"] = "complete"
    arrivals: list[tuple[float, bytes]] = field(default_factory=list)
    """Pairs of (event loop time, piece), in order."""

    @property
    def final(self) -> bytes:
        """Everything after interim (1xx) heads."""
        raw = self.raw
        while raw.startswith(b"HTTP/1.1 1") and b"\r\n\r\n" in raw:
            raw = raw.partition(b"\r\n\r\n")[2]
        return raw

    @property
    def status(self) -> int:
        """The status of the final answer."""
        return int(self.final.split(b" ", 2)[1])

    @property
    def head(self) -> bytes:
        """Status line and headers, lower-cased."""
        return self.final.partition(b"\r\n\r\n")[0].lower()

    @property
    def payload(self) -> bytes:
        """The body as sent, framing included."""
        return self.final.partition(b"\r\n\r\n")[2]

    @property
    def body(self) -> bytes:
        """The body without chunk framing; of a cut one as much as came."""
        if b"transfer-encoding: chunked" not in self.head:
            return self.payload
        rest, body = self.payload, b""
        while rest:
            size, _, rest = rest.partition(b"\r\n")
            if not size or int(size, 16) == 0:
                break
            body, rest = body + rest[: int(size, 16)], rest[int(size, 16) + 2 :]
        return body

    @property
    def json(self) -> Any:
        """The body parsed."""
        return json.loads(self.body)

    @property
    def data(self) -> list[str]:
        """The data of every event, in order."""
        return event_data(self.body)

    @property
    def chunks(self) -> list[dict[str, Any]]:
        """Every event's JSON, ``[DONE]`` left out."""
        return [json.loads(data) for data in self.data if data != "[DONE]"]

    @property
    def text(self) -> str:
        """What the deltas of a chat stream say together."""
        deltas = [choice["delta"] for chunk in self.chunks for choice in chunk.get("choices", [])]
        return "".join(delta.get("content") or "" for delta in deltas)

    @property
    def finishes(self) -> list[str]:
        """The finish reasons of a stream, in order."""
        reasons = [choice["finish_reason"] for chunk in self.chunks for choice in chunk.get("choices", [])]
        return [reason for reason in reasons if reason]

    @property
    def is_whole(self) -> bool:
        """Whether head and framing say that nothing is missing."""
        head, found, payload = self.final.partition(b"\r\n\r\n")
        if not found:
            return False
        if b"transfer-encoding: chunked" in head.lower():
            return payload.endswith(b"0\r\n\r\n")
        _, stated, length = head.lower().partition(b"content-length: ")
        return bool(stated) and len(payload) >= int(length.split(b"\r\n")[0])


class RawClient:
    """One connection; several requests may follow each other on it."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, wait_s: float = WAIT_S
    ) -> None:
        self._reader, self._writer = reader, writer
        self._wait_s = wait_s

    def send(
        self, body: object, path: str = "/v1/chat/completions", headers: tuple[tuple[str, str], ...] = ()
    ) -> None:
        """Sends a correct POST; bytes go as they are, anything else as JSON."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        own = (("host", "test"), ("content-type", "application/json"), ("content-length", str(len(content))))
        lines = [f"POST {path} HTTP/1.1", *(f"{name}: {value}" for name, value in (*own, *headers))]
        self.send_bytes("\r\n".join(lines).encode() + b"\r\n\r\n" + content)

    def send_bytes(self, data: bytes) -> None:
        """Sends exactly that."""
        self._writer.write(data)

    async def answer(self, *, to_the_end: bool = False, enough: bytes | None = None) -> Wire:
        """One answer; ``to_the_end``: until the peer closes, ``enough``: until those bytes have come."""
        wire = Wire()
        while not (enough is not None and enough in wire.raw):
            if not to_the_end and enough is None and wire.is_whole:
                break
            if not await self._read(wire):
                break
        return wire

    async def close(self) -> None:
        """Hangs up."""
        self._writer.close()
        try:
            await self._writer.wait_closed()
        except ConnectionError:
            pass

    async def _read(self, wire: Wire) -> bool:
        try:
            piece = await asyncio.wait_for(self._reader.read(65536), self._wait_s)
        except ConnectionResetError:
            wire.ending = "reset"
            return False
        if not piece:
            wire.ending = "fin"
            return False
        wire.raw += piece
        wire.arrivals.append((asyncio.get_running_loop().time(), piece))
        return True


@asynccontextmanager
async def raw_connection(
    port: int, host: str = "127.0.0.1", wait_s: float = WAIT_S
) -> AsyncIterator[RawClient]:
    """A connection that hangs up on leaving; ``wait_s`` of silence while reading are an error."""
    client = RawClient(*await asyncio.open_connection(host, port), wait_s)
    try:
        yield client
    finally:
        await client.close()


async def ask(
    port: int,
    *,
    path: str = "/v1/chat/completions",
    to_the_end: bool = False,
    enough: bytes | None = None,
    **fields: object,
) -> Wire:
    """The answer to one chat request on a fresh connection; ``fields`` go into its body."""
    async with raw_connection(port) as client:
        client.send({"model": "fake-model", "messages": MESSAGES, **fields}, path)
        return await client.answer(to_the_end=to_the_end, enough=enough)
