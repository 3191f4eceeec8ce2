"""A load generator over raw protocols: keep-alive connections, bounded in time, every answer checked."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass, field
from typing import cast

__all__ = ["Load", "Result", "request_bytes", "run_load"]

WAIT_S = 30.0


@dataclass
class Result:
    """What one block of load saw. Times are seconds."""

    latencies_s: list[float] = field(default_factory=list)
    first_byte_s: list[float] = field(default_factory=list)
    """From sending a request to the first byte of a stream's first event."""
    chunks: int = 0
    errors: int = 0
    elapsed_s: float = 0.0

    @property
    def requests(self) -> int:
        """Answers that were whole and right."""
        return len(self.latencies_s)


@dataclass(frozen=True)
class Load:
    """Which requests to send, how many at once, for how long."""

    request: bytes
    clients: int
    seconds: float
    is_stream: bool = False
    max_requests: int = 1_000_000


def request_bytes(
    path: str, model: str, headers: dict[str, str], *, is_stream: bool, filler: int = 0
) -> bytes:
    """A chat request as bytes; ``filler`` characters make the body as large as wanted."""
    messages = [
        {"role": "system", "content": "You are a helpful assistant." + " lorem ipsum" * (filler // 12)},
        {"role": "user", "content": "Where is my order 48213? I need it by Friday."},
    ]
    fields: dict[str, object] = {"model": model, "messages": messages, "temperature": 0.2}
    if is_stream:
        fields["stream"] = True
    body = json.dumps(fields).encode()
    lines = {
        "host": "127.0.0.1",
        "content-type": "application/json",
        **headers,
        "content-length": str(len(body)),
    }
    head = f"POST {path} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return head.encode() + b"\r\n" + body


async def run_load(port: int, load: Load) -> Result:
    """Keeps ``clients`` requests in flight until the time is over; finishes what is running."""
    loop = asyncio.get_running_loop()
    result = Result()
    budget = [load.max_requests]
    started_s = time.perf_counter()
    ends_s = started_s + load.seconds
    clients = []
    for _ in range(load.clients):
        _, client = await loop.create_connection(
            lambda: _Client(load, result, ends_s, budget), "127.0.0.1", port
        )
        clients.append(client)
    try:
        await asyncio.wait_for(asyncio.gather(*[client.done for client in clients]), load.seconds + WAIT_S)
    except TimeoutError:
        result.errors += 1
    for client in clients:
        client.close()
    result.elapsed_s = time.perf_counter() - started_s
    return result


class _Client(asyncio.Protocol):
    """One connection that asks again as soon as it was answered."""

    def __init__(self, load: Load, result: Result, ends_s: float, budget: list[int]) -> None:
        self._load, self._result, self._ends_s, self._budget = load, result, ends_s, budget
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._received = bytearray()
        self._size = 0
        self._has_first = False
        self._tail = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Asks."""
        self._transport = cast(asyncio.Transport, transport)
        self._ask()

    def _ask(self) -> None:
        if time.perf_counter() >= self._ends_s or self._budget[0] <= 0:
            self._finish()
            return
        self._budget[0] -= 1
        self._received.clear()
        self._size, self._has_first, self._tail = 0, False, b""
        self._started_s = time.perf_counter()
        self._transport.write(self._load.request)

    def data_received(self, data: bytes) -> None:
        """Takes in a piece; asks again when the answer is whole."""
        if self._load.is_stream:
            self._stream(data)
        else:
            self._whole(data)

    def _whole(self, data: bytes) -> None:
        received = self._received
        received += data
        if self._size == 0:
            end = received.find(b"\r\n\r\n")
            if end < 0:
                return
            self._size = _answer_size(bytes(received[:end]).lower(), end, received)
            if self._size == 0:
                return
        if self._size < 0:
            if not received.endswith(b"0\r\n\r\n"):
                return
        elif len(received) < self._size:
            return
        if received.startswith(b"HTTP/1.1 200") and b'"finish_reason"' in received:
            self._result.latencies_s.append(time.perf_counter() - self._started_s)
        else:
            self._result.errors += 1
        self._ask()

    def _stream(self, data: bytes) -> None:
        if not self._has_first and b"data:" in data:
            self._has_first = True
            self._result.first_byte_s.append(time.perf_counter() - self._started_s)
        self._result.chunks += data.count(b"data: {")
        self._tail = (self._tail + data)[-64:]
        if self._tail.endswith(b"0\r\n\r\n"):
            if b"[DONE]" in self._tail:
                self._result.latencies_s.append(time.perf_counter() - self._started_s)
            else:
                self._result.errors += 1
            self._ask()

    def connection_lost(self, exc: Exception | None) -> None:
        """A connection that closes under a request is an error."""
        if not self.done.done():
            self._result.errors += 1
            self.done.set_result(None)

    def _finish(self) -> None:
        if not self.done.done():
            self.done.set_result(None)

    def close(self) -> None:
        """Hangs up."""
        self._finish()
        self._transport.close()


def _answer_size(head: bytes, end: int, received: bytearray) -> int:
    """Bytes of the whole answer; -1 when it is chunked."""
    if b"transfer-encoding: chunked" in head:
        return -1
    _, found, rest = head.partition(b"content-length:")
    return end + 4 + int(rest.split(b"\r\n")[0]) if found else 0
