"""A fake OpenAI-compatible upstream, fast enough never to be what is measured.

``python -m bench.gateway.upstream --port N [--pace-ms 20]``. The request chooses the behaviour:
``bench-model`` answers at once, ``bench-large`` too unless the body did not arrive whole; a gateway that asks
for these answers as streams gets the same text in 64 events. ``bench-paced`` streams at a fixed pace,
``bench-flat`` as fast as the socket takes it; those streams are as long as the request's ``max_tokens``.
``GET /bench/served`` counts chat requests, so that a gateway that answers by itself is found out.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import re
from typing import cast

import httptools
import uvloop

from bench.gateway.wire import (
    ANSWER_MARK,
    FLAT_MODEL,
    LARGE_BODY_BYTES,
    LARGE_MODEL,
    MODELS,
    PACED_MODEL,
    PIECE_MARK,
    PLAIN_MODEL,
)

__all__ = ["UpstreamConnection", "main"]

CREATED = 1_790_000_000
EVENTS_PER_WRITE = 32
MAX_PIECES = 100_000
_STREAM = re.compile(rb'"stream"\s*:\s*true')
_LENGTH = re.compile(rb'"max_(?:completion_)?tokens"\s*:\s*(\d+)')


TEXT = "The capital of France is Paris. " * 6 + ANSWER_MARK.decode()
USAGE = {"prompt_tokens": 120, "completion_tokens": 64, "total_tokens": 184}


def _answer() -> dict[str, object]:
    message = {"role": "assistant", "content": TEXT, "refusal": None}
    return {
        "id": "chatcmpl-bench0001",
        "object": "chat.completion",
        "created": CREATED,
        "model": PLAIN_MODEL,
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}],
        "usage": USAGE,
        "system_fingerprint": "fp_bench",
    }


def _response(status: str, value: object) -> bytes:
    body = json.dumps(value, separators=(",", ":")).encode()
    head = f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


def _http_chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def _event(
    model: str, delta: dict[str, str] | None, finish: str | None = None, usage: object = None
) -> bytes:
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish}]
    value: dict[str, object] = {
        "id": "chatcmpl-bench0001",
        "object": "chat.completion.chunk",
        "created": CREATED,
        "model": model,
        "choices": choices,
    }
    if usage is not None:
        value["usage"] = usage
    return _http_chunk(b"data: " + json.dumps(value, separators=(",", ":")).encode() + b"\n\n")


PACED_USAGE = {"prompt_tokens": 20, "completion_tokens": 20, "total_tokens": 40}


def _tail(model: str, with_usage: bool, usage: dict[str, int] = PACED_USAGE) -> bytes:
    return (
        _event(model, {}, finish="stop")
        + (_event(model, None, usage=usage) if with_usage else b"")
        + _http_chunk(b"data: [DONE]\n\n")
        + b"0\r\n\r\n"
    )


STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-cache\r\n"
    b"transfer-encoding: chunked\r\n\r\n"
)
PIECE = " " + PIECE_MARK.decode()
ANSWER = _response("200 OK", _answer())
MODEL_LIST = _response(
    "200 OK",
    {
        "object": "list",
        "data": [{"id": m, "object": "model", "created": CREATED, "owned_by": "bench"} for m in MODELS],
    },
)
TRUNCATED = _response(
    "400 Bad Request",
    {
        "error": {
            "message": "the large body did not arrive whole",
            "type": "invalid_request_error",
            "param": None,
            "code": None,
        }
    },
)
NOT_FOUND = _response(
    "404 Not Found",
    {"error": {"message": "no such path", "type": "invalid_request_error", "param": None, "code": None}},
)
ROLE = {m: _event(m, {"role": "assistant", "content": ""}) for m in MODELS}
# Pieces differ: LiteLLM takes a hundred equal ones in a row for a model gone mad, and ends the stream.
EVENTS = {
    m: tuple(_event(m, {"content": f"{PIECE}{n:02d}"}) for n in range(EVENTS_PER_WRITE)) for m in MODELS
}
FLAT_BLOCK = b"".join(EVENTS[FLAT_MODEL])
_WORDS = [TEXT[at : at + 4] for at in range(0, len(TEXT), 4)]
WORDS = (*_WORDS[:63], "".join(_WORDS[63:]))
STREAMED_ANSWER = {
    (m, usage): ROLE[m] + b"".join(_event(m, {"content": word}) for word in WORDS) + _tail(m, usage, USAGE)
    for m in (PLAIN_MODEL, LARGE_MODEL)
    for usage in (False, True)
}
TAIL = {(m, usage): _tail(m, usage) for m in MODELS for usage in (False, True)}


class Served:
    """How many chat requests this process has answered."""

    __slots__ = ("requests",)

    def __init__(self) -> None:
        self.requests = 0


class UpstreamConnection(asyncio.Protocol):
    """One keep-alive connection; answers a request when its last byte has arrived."""

    __slots__ = (
        "_body",
        "_flat_left",
        "_is_paused",
        "_loop",
        "_pace_s",
        "_parser",
        "_served",
        "_tail",
        "_transport",
        "_url",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop, served: Served, pace_s: float) -> None:
        self._loop = loop
        self._served = served
        self._pace_s = pace_s
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None
        self._body: list[bytes] = []
        self._url = b""
        self._flat_left = 0
        self._is_paused = False
        self._tail = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection can be written to."""
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Whatever was being streamed stops."""
        self._transport = None
        self._flat_left = 0

    def data_received(self, data: bytes) -> None:
        """The parser has seen the bytes; a malformed request closes the connection."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            if self._transport is not None:
                self._transport.close()

    def pause_writing(self) -> None:
        """The client is slower than we are: stop until told otherwise."""
        self._is_paused = True

    def resume_writing(self) -> None:
        """The client has caught up."""
        self._is_paused = False
        self._write_flat()

    def on_message_begin(self) -> None:
        """A new request starts."""
        self._body = []
        self._url = b""

    def on_url(self, url: bytes) -> None:
        """A part of the target is known."""
        self._url += url

    def on_body(self, body: bytes) -> None:
        """A part of the body is known."""
        self._body.append(body)

    def on_message_complete(self) -> None:
        """The request is answered, or its stream has begun."""
        if self._transport is None:
            return
        if not self._url.endswith(b"/chat/completions"):
            self._transport.write(self._other())
            return
        self._served.requests += 1
        body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        is_stream, is_large = _STREAM.search(body) is not None, LARGE_MODEL.encode() in body
        if is_large and len(body) < LARGE_BODY_BYTES:
            self._transport.write(TRUNCATED)
        elif not is_stream:
            self._transport.write(ANSWER)
        elif is_large or PLAIN_MODEL.encode() in body:
            answer = STREAMED_ANSWER[LARGE_MODEL if is_large else PLAIN_MODEL, b"include_usage" in body]
            self._transport.write(STREAM_HEAD + answer)
        else:
            self._start_stream(body)

    def _other(self) -> bytes:
        if self._url.endswith(b"/models"):
            return MODEL_LIST
        if self._url == b"/bench/served":
            return _response("200 OK", {"requests": self._served.requests})
        return NOT_FOUND

    def _start_stream(self, body: bytes) -> None:
        assert self._transport is not None
        found = _LENGTH.search(body)
        pieces = min(int(found[1]), MAX_PIECES) if found else 20
        model = FLAT_MODEL if FLAT_MODEL.encode() in body else PACED_MODEL
        self._tail = TAIL[model, b"include_usage" in body]
        if model == FLAT_MODEL:
            self._transport.write(STREAM_HEAD + ROLE[model])
            self._flat_left = pieces
            self._write_flat()
        else:
            self._transport.write(STREAM_HEAD + ROLE[model] + EVENTS[model][0])
            self._pace(pieces - 1, self._loop.time() + self._pace_s)

    def _pace(self, left: int, due_s: float) -> None:
        if self._transport is None:
            return
        if left > 0:  # absolute times, so that a late chunk does not delay those after it
            self._loop.call_at(due_s, self._write_piece, left, due_s)
        else:
            self._transport.write(self._tail)

    def _write_piece(self, left: int, due_s: float) -> None:
        if self._transport is not None:
            self._transport.write(EVENTS[PACED_MODEL][left % EVENTS_PER_WRITE])
            self._pace(left - 1, due_s + self._pace_s)

    def _write_flat(self) -> None:
        while self._flat_left > 0 and not self._is_paused and self._transport is not None:
            count = min(self._flat_left, EVENTS_PER_WRITE)
            whole = count == EVENTS_PER_WRITE
            self._transport.write(FLAT_BLOCK if whole else b"".join(EVENTS[FLAT_MODEL][:count]))
            self._flat_left -= count
            if self._flat_left == 0:
                self._transport.write(self._tail)


async def serve(port: int, pace_s: float) -> None:
    """Never returns; listens on loopback until the process is ended."""
    loop = asyncio.get_running_loop()
    served = Served()
    server = await loop.create_server(
        lambda: UpstreamConnection(loop, served, pace_s), "127.0.0.1", port, backlog=1024
    )
    async with server:
        await server.serve_forever()


def main() -> None:
    """Serves until ended."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--pace-ms", type=float, default=20.0)
    options = parser.parse_args()
    gc.freeze()
    uvloop.run(serve(options.port, options.pace_ms / 1000))


if __name__ == "__main__":
    main()
