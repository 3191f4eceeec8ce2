"""A fake upstream that is never the bottleneck: fixed bytes, no parsing beyond the request's framing.

``bench-model`` answers at once, ``bench-delayed`` after 50 ms; ``bench-paced`` streams a first chunk at once and
twenty more at a fixed pace; ``bench-flat`` streams as fast as the socket takes it.
"""

from __future__ import annotations

import argparse
import asyncio
import re
from typing import cast

import uvloop

FLAT_CHUNKS = 20_000
PACED_CHUNKS = 20
PACE_S = 0.01
DELAY_S = 0.05
"""With it a client asks at most twenty times a second, so that latencies are measured below saturation."""
CHUNKS_PER_WRITE = 16

_LENGTH = re.compile(rb"(?i)content-length: *(\d+)")
_BODY = (
    b'{"id":"chatcmpl-1","object":"chat.completion","created":1,"model":"bench-model","choices":[{"index":0,'
    b'"message":{"role":"assistant","content":"This is the answer of the fake upstream."},'
    b'"finish_reason":"stop"}],"usage":{"prompt_tokens":20,"completion_tokens":8,"total_tokens":28}}'
)
_WHOLE = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (
    len(_BODY),
    _BODY,
)
_MODELS_BODY = (
    b'{"object":"list","data":[{"id":"bench-model","object":"model","created":1,"owned_by":"bench"}]}'
)
_MODELS = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (
    len(_MODELS_BODY),
    _MODELS_BODY,
)
_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


def _event(choices: bytes, usage: bytes = b"null") -> bytes:
    data = (
        b'data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"bench-model",'
        b'"choices":[%b],"usage":%b}\n\n' % (choices, usage)
    )
    return b"%x\r\n%b\r\n" % (len(data), data)


CHUNK = _event(b'{"index":0,"delta":{"content":" token token token"},"finish_reason":null}')
_LAST = (
    _event(b'{"index":0,"delta":{},"finish_reason":"stop"}')
    + _event(b"", b'{"prompt_tokens":20,"completion_tokens":8,"total_tokens":28}')
    + b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n"
)


class FastUpstream(asyncio.Protocol):
    """One connection; requests are answered one after another."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keeps the transport."""
        self._transport = cast(asyncio.Transport, transport)
        self._received = b""
        self._left = 0
        self._is_paused = False

    def data_received(self, data: bytes) -> None:
        """Answers every whole request in what has arrived."""
        self._received += data
        while (end := self._received.find(b"\r\n\r\n")) >= 0:
            length = _LENGTH.search(self._received, 0, end)
            size = end + 4 + (int(length[1]) if length else 0)
            if len(self._received) < size:
                return
            request, self._received = self._received[:size], self._received[size:]
            self._answer(request)

    def _answer(self, request: bytes) -> None:
        if request.startswith(b"GET"):
            self._transport.write(_MODELS)
        elif b"bench-paced" in request:
            self._transport.write(_HEAD + CHUNK)
            asyncio.get_running_loop().call_later(PACE_S, self._pace, PACED_CHUNKS)
        elif b"bench-flat" in request:
            self._transport.write(_HEAD)
            self._left = FLAT_CHUNKS
            self._pour()
        elif b"bench-delayed" in request:
            asyncio.get_running_loop().call_later(DELAY_S, self._transport.write, _WHOLE)
        else:
            self._transport.write(_WHOLE)

    def _pace(self, left: int) -> None:
        if left == 0:
            self._transport.write(_LAST)
        else:
            self._transport.write(CHUNK)
            asyncio.get_running_loop().call_later(PACE_S, self._pace, left - 1)

    def _pour(self) -> None:
        while self._left > 0 and not self._is_paused:
            self._left -= CHUNKS_PER_WRITE
            self._transport.write(CHUNK * CHUNKS_PER_WRITE)
        if self._left <= 0 and not self._is_paused:
            self._left = 0
            self._transport.write(_LAST)

    def pause_writing(self) -> None:
        """The socket is full."""
        self._is_paused = True

    def resume_writing(self) -> None:
        """The socket takes more."""
        self._is_paused = False
        if self._left > 0:
            self._pour()


async def _serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(FastUpstream, "127.0.0.1", port, backlog=2048)
    await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    uvloop.run(_serve(parser.parse_args().port))
