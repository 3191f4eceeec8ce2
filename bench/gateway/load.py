"""The load: keep-alive clients that send, check every answer whole and note when its parts came.

Closed loop: each client sends its next request after the answer to the last, at once or after a random pause.
Bounded in count and time. Nothing is dropped: a wrong, cut or missing answer is an error of the block.
"""

from __future__ import annotations

import asyncio
import gc
import json
import random
from dataclasses import dataclass
from time import perf_counter
from typing import cast

import httptools

from bench.gateway.wire import ANSWER_MARK, PIECE_MARK

__all__ = ["Block", "Job", "run_job"]

MAX_ERRORS_KEPT = 20
STREAM_END_BYTES = 2000  # enough to hold what follows the last content chunk, whatever a gateway adds to it


@dataclass(frozen=True)
class Job:
    """One block of load. ``pieces`` is the stream's length in content chunks, None for a whole answer."""

    port: int
    request: bytes
    clients: int
    duration_s: float
    pieces: int | None = None
    think_s: float = 0.0  # mean of the exponential pause between a client's requests
    spread_s: float = 0.0  # clients start evenly over this time instead of all at once
    max_requests: int = 1_000_000
    patience_s: float = 60.0  # from the end of the block until an unfinished answer is an error
    seed: int = 1


@dataclass(frozen=True)
class Block:
    """What came back, every request in order of completion; ``ttft_s`` is empty for whole answers."""

    latency_s: tuple[float, ...]
    ttft_s: tuple[float, ...]
    pieces: int
    elapsed_s: float
    errors: tuple[str, ...]

    @property
    def requests(self) -> int:
        """Requests answered whole and correctly."""
        return len(self.latency_s)


class _Run:
    """The shared state of one block."""

    def __init__(self, job: Job, loop: asyncio.AbstractEventLoop) -> None:
        self.job = job
        self.loop = loop
        self.started_s = perf_counter()
        self.stop_s = self.started_s + job.duration_s
        self.finished_s = self.started_s
        self.sent = 0
        self.unfinished = job.clients
        self.pieces = 0
        self.latency_s: list[float] = []
        self.ttft_s: list[float] = []
        self.errors: list[str] = []
        self.is_over: asyncio.Future[None] = loop.create_future()

    def may_send(self) -> bool:
        return not self.errors and self.sent < self.job.max_requests and perf_counter() < self.stop_s

    def client_done(self) -> None:
        self.unfinished -= 1
        if self.unfinished == 0 and not self.is_over.done():
            self.is_over.set_result(None)

    def fail(self, message: str) -> None:
        if len(self.errors) < MAX_ERRORS_KEPT:
            self.errors.append(message)


class _Client(asyncio.Protocol):
    """One connection, one request at a time."""

    def __init__(self, run: _Run, index: int) -> None:
        self._run = run
        self._random = random.Random(run.job.seed * 1000 + index)
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._is_waiting = False
        self._is_done = False
        self._sent_s = 0.0
        self._first_s: float | None = None
        self._body: list[bytes] = []
        self._tail = b""
        self._pieces = 0
        self._has_parsed_one = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._parser = httptools.HttpResponseParser(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self._is_waiting:
            self._fail("the connection closed before the answer was whole")

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._fail(f"not HTTP: {error}")

    def send_or_stop(self) -> None:
        """A request is on its way, or this client has finished."""
        if self._is_done:
            return
        if not self._run.may_send():
            self._finish()
        elif self._transport is None or self._transport.is_closing():
            self._run.loop.create_task(self._reconnect())
        else:
            self._run.sent += 1
            self._is_waiting = True
            self._first_s = None
            self._body = []
            self._tail = b""
            self._pieces = 0
            self._sent_s = perf_counter()
            self._transport.write(self._run.job.request)

    def on_body(self, body: bytes) -> None:
        if self._run.job.pieces is None:
            self._body.append(body)
            return
        window = self._tail + body
        found = window.count(PIECE_MARK)
        if found:
            if self._first_s is None:
                self._first_s = perf_counter()
            self._pieces += found
        last = window.rfind(PIECE_MARK)  # cut after it, so that no mark is counted twice
        seen = 0 if last < 0 else last + len(PIECE_MARK)
        self._tail = window[max(seen, len(window) - STREAM_END_BYTES) :]

    def on_message_complete(self) -> None:
        now_s = perf_counter()
        run = self._run
        self._is_waiting = False
        wrong = self._wrong()
        if wrong is not None:
            self._fail(wrong)
            return
        run.latency_s.append(now_s - self._sent_s)
        if self._first_s is not None:
            run.ttft_s.append(self._first_s - self._sent_s)
        run.pieces += self._pieces
        run.finished_s = now_s
        if self._transport is not None and not self._parser.should_keep_alive():
            self._transport.close()
        # Not from inside the parser's own callback: sending may close or replace the connection.
        pause_s = self._random.expovariate(1 / run.job.think_s) if run.job.think_s > 0 else 0.0
        run.loop.call_later(pause_s, self.send_or_stop) if pause_s else run.loop.call_soon(self.send_or_stop)

    def give_up(self) -> None:
        """The connection is closed; an answer still awaited is an error."""
        if self._is_waiting:
            self._fail(f"no whole answer within {self._run.job.patience_s:g} s of the block's end")
        if self._transport is not None:
            self._transport.abort()

    async def connect(self) -> None:
        """The connection is open, or this client has failed."""
        try:
            await self._run.loop.create_connection(lambda: self, "127.0.0.1", self._run.job.port)
        except OSError as error:
            self._fail(f"cannot connect: {error}")

    async def _reconnect(self) -> None:
        await self.connect()
        self.send_or_stop()

    def _wrong(self) -> str | None:
        status = self._parser.get_status_code()
        if status != 200:
            return f"status {status}: {(b''.join(self._body) or self._tail)[:300]!r}"
        return self._wrong_answer() if self._run.job.pieces is None else self._wrong_stream()

    def _wrong_answer(self) -> str | None:
        body = b"".join(self._body)
        if ANSWER_MARK not in body or b'"total_tokens"' not in body:
            return f"not the upstream's answer: {body[:300]!r}"
        if not self._has_parsed_one:
            self._has_parsed_one = True
            return _wrong_json(body)
        return None if body.rstrip().endswith(b"}") else "the answer is cut"

    def _wrong_stream(self) -> str | None:
        if self._pieces != self._run.job.pieces:
            return f"{self._pieces} chunks of content instead of {self._run.job.pieces}"
        if not self._tail.rstrip().endswith(b"data: [DONE]"):
            return f"the stream does not end with [DONE]: {self._tail[-100:]!r}"
        if b'"stop"' not in self._tail or b'"total_tokens"' not in self._tail:
            return f"the stream ends without finish reason or usage: {self._tail[-300:]!r}"
        return None

    def _fail(self, message: str) -> None:
        self._is_waiting = False
        self._run.fail(message)
        self._finish()

    def _finish(self) -> None:
        if not self._is_done:
            self._is_done = True
            self._run.client_done()


def _wrong_json(body: bytes) -> str | None:
    try:
        answer = json.loads(body)
        content = answer["choices"][0]["message"]["content"]
        finish, total_tokens = answer["choices"][0]["finish_reason"], answer["usage"]["total_tokens"]
    except (ValueError, KeyError, IndexError, TypeError) as error:
        return f"the answer is not a chat completion ({error!r}): {body[:300]!r}"
    if not content.encode().endswith(ANSWER_MARK) or finish != "stop" or total_tokens != 184:
        return f"the answer was changed: {body[:300]!r}"
    return None


async def run_job(job: Job) -> Block:
    """The block, once every client or the job's patience has ended; garbage collection is off meanwhile."""
    loop = asyncio.get_running_loop()
    run = _Run(job, loop)
    clients = [_Client(run, index) for index in range(job.clients)]
    for client in clients:
        await client.connect()
    gc.collect()
    gc.disable()
    try:
        run.started_s = run.finished_s = perf_counter()
        run.stop_s = run.started_s + job.duration_s
        for index, client in enumerate(clients):
            loop.call_later(job.spread_s * index / job.clients, client.send_or_stop)
        await asyncio.wait([run.is_over], timeout=job.duration_s + job.patience_s)
    finally:
        gc.enable()
        for client in clients:
            client.give_up()
    elapsed_s = run.finished_s - run.started_s
    return Block(tuple(run.latency_s), tuple(run.ttft_s), run.pieces, elapsed_s, tuple(run.errors))
