"""A simulated cloud for the demo: knows the shop's answers, as slow as hosted models were, labels itself.

It speaks OpenAI's chat API on loopback. Times to the first token and between tokens are drawn (seeded) from
measured quantiles, ``data/cloud_latency.json``; the answers come from ``demo.shop``. Nothing it says is real
or costs anything, and everything it sends says so: header ``x-simulated: true``, ``system_fingerprint``.

As a child process: ``python -m spillway.demo.cloud --port 0`` prints one JSON line with its URL when ready.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import re
import signal
import threading
import time
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib import resources
from itertools import pairwise
from typing import Any, Self, cast, get_args

from spillway.demo.shop import Kind, ShopMessage, answer_text, messages
from spillway.testing.answers import Answer, error_body
from spillway.testing.bodies import models_json, stream_events, whole_json
from spillway.testing.http_server import Connection, HttpRequest, HttpServer, response_head

__all__ = ["FINGERPRINT", "LatencyTable", "SimulatedCloud", "latency_table", "simulated_tokens"]

Json = dict[str, Any]

FINGERPRINT = "simulated"
LABEL = ("x-simulated", "true")
UNKNOWN_TEXT = "This is a simulated cloud. It knows the messages of the demo shop and nothing else."
MESSAGE_TOKENS = 4
"""What each chat message adds to the prompt, as in OpenAI's own counting example."""
GRAIN_S = 0.004
"""Tokens due within so long of each other go out in one write."""
STDIN = 0
_PIECE = re.compile(r" ?[^\W\d_]{1,8}|\d{1,3}|[^\w\s]{1,3}|\s|_")


@dataclass(frozen=True, slots=True)
class LatencyTable:
    """Quantiles of one model's latency in seconds at ``levels`` (0-1, ascending)."""

    levels: tuple[float, ...]
    ttft_s: tuple[float, ...]
    itl_s: tuple[float, ...]

    def draw_ttft_s(self, generator: random.Random) -> float:
        """One time to the first token."""
        return self._at(self.ttft_s, generator.random())

    def draw_itl_s(self, generator: random.Random) -> float:
        """One request's mean time between tokens."""
        return self._at(self.itl_s, generator.random())

    def _at(self, values: Sequence[float], level: float) -> float:
        """The value at that level, linear in between; the last one beyond the last level."""
        if level >= self.levels[-1]:
            return values[-1]
        right = bisect_right(self.levels, level)
        low, high = self.levels[right - 1], self.levels[right]
        share = (level - low) / (high - low)
        return values[right - 1] + share * (values[right] - values[right - 1])


@cache
def latency_table(model: str) -> LatencyTable:
    """The table of one of the models in ``data/cloud_latency.json``; ``KeyError`` for others."""
    levels, models = _latency_file()
    return LatencyTable(levels, tuple(models[model]["ttft_s"]), tuple(models[model]["itl_s"]))


def simulated_tokens(text: str) -> list[str]:
    """The text in pieces about as long as the tokens of current models; joined they are the text again.

    >>> simulated_tokens('{"order":"48213"}')
    ['{"', 'order', '":"', '482', '13', '"}']
    """
    return _PIECE.findall(text)


class SimulatedCloud:
    """The server; ``async with`` starts and stops it. Any API key is accepted.

    ``time_scale`` multiplies every wait: 1 is real time, 0 answers at once (for tests).
    """

    def __init__(
        self,
        truths: Iterable[ShopMessage] = (),
        *,
        seed: int = 0,
        port: int = 0,
        time_scale: float = 1.0,
    ) -> None:
        self.answered_count = 0
        self.max_in_flight = 0
        self._in_flight = 0
        self._answers: dict[str, str] = {}
        self._seed = seed
        self._drawn_count = 0
        self._time_scale = time_scale
        self._server = HttpServer(self._serve, port=port)
        self.register(truths)

    async def __aenter__(self) -> Self:
        await self._server.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._server.stop()

    @property
    def url(self) -> str:
        """The base URL that OpenAI clients want, ``/v1`` included."""
        return f"http://{self._server.host}:{self._server.port}/v1"

    @property
    def models(self) -> tuple[str, ...]:
        """Names of the models it offers; their list prices are real, everything else is not."""
        return tuple(_latency_file()[1])

    def register(self, truths: Iterable[ShopMessage]) -> None:
        """Teaches it the answers to these messages."""
        self.register_texts({truth.text: answer_text(truth.answer) for truth in truths})

    def register_texts(self, answers: Mapping[str, str]) -> None:
        """Teaches it what to say to the user's texts."""
        self._answers.update({text.strip(): answer for text, answer in answers.items()})

    async def _serve(self, connection: Connection, request: HttpRequest) -> None:
        if (request.method, request.path) == ("GET", "/v1/models"):
            _send_json(connection, 200, models_json(self.models, owned_by="simulated"))
        elif (request.method, request.path) == ("POST", "/v1/chat/completions"):
            await self._chat(connection, request)
        elif (request.method, request.path) == ("POST", "/simulated/answers"):
            self._learn(connection, request)
        else:
            _refuse(connection, 404, f"No route {request.method} {request.path}.", "unknown_route")

    def _learn(self, connection: Connection, request: HttpRequest) -> None:
        answers = _json_object(request.body)
        if answers is None:
            return _refuse(
                connection, 400, "The body must be an object of texts and answers.", "invalid_value"
            )
        self.register_texts({str(text): str(answer) for text, answer in answers.items()})
        return _send_json(connection, 200, {"known": len(self._answers)})

    async def _chat(self, connection: Connection, request: HttpRequest) -> None:
        body = _json_object(request.body)
        if body is None or not isinstance(body.get("messages"), list):
            return _refuse(connection, 400, "The body must be an object with messages.", "invalid_value")
        if body.get("model") not in self.models:
            return _refuse(connection, 404, f"The simulated cloud offers {self.models}.", "model_not_found")
        self._in_flight += 1
        self.max_in_flight = max(self.max_in_flight, self._in_flight)
        try:
            await self._speak(connection, body)
        finally:
            self._in_flight -= 1

    async def _speak(self, connection: Connection, body: Json) -> None:
        answer = _answer(body, self._answers.get(_last_text(body).strip(), UNKNOWN_TEXT))
        due_s = self._due_s(answer)
        if not body.get("stream"):
            if await connection.pause(due_s[-1]):
                self.answered_count += 1
                _send_json(connection, 200, whole_json(answer))
            return
        connection.send(_stream_head())
        if await _Pacer(connection, _paced(answer, due_s)).finished:
            self.answered_count += 1

    def _due_s(self, answer: Answer) -> list[float]:
        """Seconds from now at which each token leaves. Gaps vary evenly by half around the request's mean."""
        generator = random.Random(f"{self._seed}-{self._drawn_count}")
        self._drawn_count += 1
        table = latency_table(answer.model)
        at_s, itl_s = table.draw_ttft_s(generator), table.draw_itl_s(generator)
        due = [at_s * self._time_scale]
        for _ in range(sum(map(len, answer.pieces)) - 1):
            at_s += itl_s * generator.uniform(0.5, 1.5)
            due.append(at_s * self._time_scale)
        return due


class _Pacer:
    """Sends each event when it is due, by timers alone: a task per token would cost five times as much."""

    def __init__(self, connection: Connection, events: Sequence[tuple[float, bytes]]) -> None:
        self._loop = asyncio.get_running_loop()
        self._connection = connection
        self._events = events
        self._next = 0
        self._started_s = self._loop.time()
        self.finished: asyncio.Future[bool] = self._loop.create_future()
        """Whether everything was sent; ``False`` when the client hung up before."""
        self._tick()

    def _tick(self) -> None:
        if self.finished.done():  # cancelled by the server's stop
            return
        if self._connection.gone.is_set():
            self.finished.set_result(False)
            return
        first, horizon_s = self._next, self._loop.time() - self._started_s + GRAIN_S
        while self._next < len(self._events) and self._events[self._next][0] <= horizon_s:
            self._next += 1
        if self._next > first:
            self._connection.send(b"".join(event for _, event in self._events[first : self._next]))
        if self._next == len(self._events):
            self.finished.set_result(True)
        else:
            self._loop.call_at(self._started_s + self._events[self._next][0], self._tick)


@cache
def _latency_file() -> tuple[tuple[float, ...], dict[str, Json]]:
    text = resources.files("spillway.demo").joinpath("data/cloud_latency.json").read_text(encoding="utf-8")
    document = json.loads(text)
    assert all(low < high for low, high in pairwise(document["levels"]))
    return tuple(document["levels"]), document["models"]


def _answer(body: Json, text: str) -> Answer:
    limit = body.get("max_completion_tokens") or body.get("max_tokens")
    pieces = simulated_tokens(text)
    said = tuple(pieces[:limit] if isinstance(limit, int) else pieces)
    return Answer(
        body=body,
        is_chat=True,
        pieces=(said,) * int(body.get("n") or 1),
        finish_reason="length" if len(said) < len(pieces) else "stop",
        fingerprint=FINGERPRINT,
        created_s=int(time.time()),
        prompt_tokens=sum(
            MESSAGE_TOKENS + len(simulated_tokens(_content(message))) for message in body["messages"]
        ),
    )


def _paced(answer: Answer, due_s: Sequence[float]) -> list[tuple[float, bytes]]:
    """Pairs of (seconds from now, chunks to send): roles with the first token, the end with the last."""
    chunks = [b"%x\r\n%b\r\n" % (len(e), e) for e in stream_events(answer)]
    choices = len(answer.pieces)
    opening, spoken, closing = (
        chunks[:choices],
        chunks[choices:][: len(due_s)],
        chunks[choices + len(due_s) :],
    )
    ending = b"".join(closing) + b"0\r\n\r\n"
    return [(due_s[0], b"".join(opening)), *zip(due_s, spoken, strict=True), (due_s[-1], ending)]


def _last_text(body: Json) -> str:
    said = [message for message in body["messages"] if _role(message) == "user"]
    return _content(said[-1]) if said else ""


def _role(message: object) -> object:
    return message.get("role") if isinstance(message, dict) else None


def _content(message: object) -> str:
    content = message.get("content") if isinstance(message, dict) else None
    if isinstance(content, list):
        return " ".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else ""


def _json_object(body: bytes) -> Json | None:
    try:
        parsed = json.loads(body)
    except ValueError:
        return None
    return parsed if isinstance(parsed, dict) else None


@cache
def _stream_head() -> bytes:
    return response_head(
        200, (("content-type", "text/event-stream; charset=utf-8"), LABEL, ("transfer-encoding", "chunked"))
    )


def _send_json(connection: Connection, status: int, payload: object) -> None:
    body = json.dumps(payload, ensure_ascii=False).encode()
    headers = (("content-type", "application/json"), LABEL, ("content-length", str(len(body))))
    connection.send(response_head(status, headers) + body)


def _refuse(connection: Connection, status: int, message: str, code: str) -> None:
    _send_json(connection, status, error_body(message, "invalid_request_error", code))


async def _run(cloud: SimulatedCloud, *, until_stdin_closes: bool) -> None:
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    if until_stdin_closes:
        threading.Thread(target=_watch_stdin, args=(loop, stopped.set), daemon=True).start()
    async with cloud:
        ready = {"ready": True, "url": cloud.url, "models": cloud.models, "simulated": True}
        print(json.dumps(ready), flush=True)
        await stopped.wait()


def _watch_stdin(loop: asyncio.AbstractEventLoop, stop: Callable[[], None]) -> None:
    """A parent that dies closes the pipe, so no simulated cloud outlives its demo.

    Read without ``sys.stdin``, whose lock a thread that still waits would hold when the interpreter ends.
    """
    while os.read(STDIN, 4096):
        pass
    with suppress(RuntimeError):  # the loop was closed meanwhile: a signal was faster
        loop.call_soon_threadsafe(stop)


def _parsed_messages(given: str) -> list[ShopMessage]:
    kind, seed, count = given.split(":")
    if kind not in get_args(Kind):
        raise ValueError(kind)
    return messages(int(seed), int(count), cast("Kind", kind))


def main() -> None:
    """Serves until it is told to stop; prints one JSON line when ready."""
    parser = argparse.ArgumentParser(prog="python -m spillway.demo.cloud", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 picks a free one")
    parser.add_argument("--seed", type=int, default=0, help="of the latencies")
    parser.add_argument("--time-scale", type=float, default=1.0, help="1 is real time, 0 answers at once")
    parser.add_argument(
        "--messages",
        action="append",
        default=[],
        type=_parsed_messages,
        metavar="KIND:SEED:COUNT",
        help="messages of the shop whose answers it knows, for example trained:1:500; may be repeated",
    )
    parser.add_argument("--until-stdin-closes", action="store_true", help="stop when the parent is gone")
    given = parser.parse_args()
    known = [message for part in given.messages for message in part]
    cloud = SimulatedCloud(known, seed=given.seed, port=given.port, time_scale=given.time_scale)
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(_run(cloud, until_stdin_closes=given.until_stdin_closes))


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:  # not on Windows
        return None
    return uvloop.new_event_loop


if __name__ == "__main__":
    main()
