import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from bench.gateway.load import Block, Job, run_job
from bench.gateway.upstream import Served, UpstreamConnection
from bench.gateway.wire import (
    FLAT_MODEL,
    LARGE_MODEL,
    PACED_MODEL,
    PLAIN_MODEL,
    http_request,
    large_body,
    plain_body,
    stream_body,
)

Change = Callable[[bytes], bytes]


@asynccontextmanager
async def _upstream(change: Change = bytes) -> AsyncIterator[tuple[int, Served]]:
    """The port of the fake upstream, all it writes passed through ``change``, and its count."""
    loop, served = asyncio.get_running_loop(), Served()

    class Changed(UpstreamConnection):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            assert isinstance(transport, asyncio.Transport)
            write = transport.write
            setattr(transport, "write", lambda data: write(change(bytes(data))))  # noqa: B010 typed as a method
            super().connection_made(transport)

    server = await loop.create_server(lambda: Changed(loop, served, 0.0), "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1], served


async def _load(port: int, body: bytes, requests: int = 3, pieces: int | None = None) -> Block:
    request = http_request(body, port, ())
    return await run_job(Job(port, request, 1, 5.0, pieces, max_requests=requests, patience_s=0.2))


async def test_whole_answers_are_counted_on_both_sides() -> None:
    """Load and upstream agree on how many requests there were, and every one has its time."""
    async with _upstream() as (port, served):
        block = await _load(port, plain_body())
    assert (block.errors, block.requests, served.requests) == ((), 3, 3)


@pytest.mark.parametrize("model", [PACED_MODEL, FLAT_MODEL])
async def test_streams_arrive_with_every_chunk(model: str) -> None:
    """Each stream has the length asked for, and a first content chunk."""
    async with _upstream() as (port, _):
        block = await _load(port, stream_body(model, 70), pieces=70)
    assert (block.errors, block.pieces, len(block.ttft_s)) == ((), 210, 3)


async def test_a_large_body_is_refused_unless_whole() -> None:
    """The upstream answers 400 to a large body that lost a part on its way."""
    async with _upstream() as (port, _):
        whole = await _load(port, large_body(), requests=1)
        cut = await _load(port, plain_body().replace(PLAIN_MODEL.encode(), LARGE_MODEL.encode()))
    assert whole.errors == ()
    assert cut.errors[0].startswith("status 400")


@pytest.mark.parametrize(
    ("found", "instead", "complaint"),
    [
        (b" qzq01", b" other", "4 chunks of content instead of 5"),
        (b"[DONE]", b"[GONE]", "does not end with [DONE]"),
        (b'"stop"', b'"halt"', "without finish reason or usage"),
        (b"total_tokens", b"total_things", "without finish reason or usage"),
        (b"HTTP/1.1 200", b"HTTP/1.1 500", "status 500"),
        (b"transfer-encoding", b"transfer-encodinG\0", "not HTTP"),
    ],
)
async def test_a_wrong_stream_is_an_error(found: bytes, instead: bytes, complaint: str) -> None:
    """A lost chunk, a missing end, a failure status or broken framing makes the block's error."""
    async with _upstream(lambda data: data.replace(found, instead)) as (port, _):
        block = await _load(port, stream_body(PACED_MODEL, 5), pieces=5)
    assert complaint in block.errors[0]


@pytest.mark.parametrize(
    ("found", "instead", "complaint"),
    [
        (b"qzanswerzq", b"qz......zq", "not the upstream's answer"),
        (b'"finish_reason":"stop"', b'"finish_reason":"halt"', "the answer was changed"),
        (b'"choices"', b'"chances"', "not a chat completion"),
    ],
)
async def test_a_changed_answer_is_an_error(found: bytes, instead: bytes, complaint: str) -> None:
    """An answer that is not the upstream's own never counts as a request served."""
    async with _upstream(lambda data: data.replace(found, instead)) as (port, _):
        block = await _load(port, plain_body())
    assert complaint in block.errors[0]
    assert block.requests == 0


async def test_an_answer_that_never_ends_is_an_error() -> None:
    """What is unfinished when the patience ends counts against the gateway."""
    async with _upstream(lambda data: data.replace(b"0\r\n\r\n", b"")) as (port, _):
        request = http_request(stream_body(PACED_MODEL, 2), port, ())
        block = await run_job(Job(port, request, 1, 0.05, 2, patience_s=0.05))
    assert "no whole answer" in block.errors[0]
