"""What servers say about their own load."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from spillway.engines.embedded import EmbeddedEngine
from spillway.engines.gauges import busy_requests
from spillway.engines.http_client import HttpClient
from spillway.engines.wire import Origin
from tests.engine_fixtures import build_micro_gguf

METRICS = b"""# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="m"} 3.0
vllm:num_requests_waiting{engine="0",model_name="m"} 2.0
vllm:num_preemptions_total{engine="0"} 9.0
"""


async def served(body: bytes, status: bytes = b"200 OK") -> tuple[asyncio.Server, HttpClient]:
    """A server that gives this body to everyone, once a connection."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 %s\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % (status, len(body)))
        writer.write(body)
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    return server, HttpClient(Origin.parse(f"http://127.0.0.1:{port}"))


@pytest.mark.parametrize(
    ("kind", "body", "busy"),
    [
        ("vllm", METRICS, 5),
        ("vllm", b"nothing here", None),
        ("llamacpp", b'[{"id":0,"is_processing":true},{"id":1,"is_processing":false}]', 1),
        ("llamacpp", b"<html>", None),
        ("ollama", b"[]", None),
    ],
)
async def test_busy_requests_are_read_as_documented(kind: str, body: bytes, busy: int | None) -> None:
    """vLLM's gauges and llama.cpp's slots are counted; who tells nothing is unknown, not idle."""
    server, client = await served(body)
    async with server:
        assert await busy_requests(client, kind) == busy
    await client.close()


async def test_refused_or_silent_servers_are_unknown() -> None:
    """A 401, a 501 or nobody there: unknown."""
    server, client = await served(b"[]", b"501 Not Implemented")
    async with server:
        assert await busy_requests(client, "llamacpp") is None
    assert await busy_requests(client, "llamacpp", timeout_s=0.5) is None
    await client.close()


@pytest.mark.engine
async def test_a_real_engine_tells_that_it_is_idle(tmp_path: Path) -> None:
    """The embedded llama.cpp tells its slots, none of them busy."""
    engine = EmbeddedEngine(build_micro_gguf(tmp_path / "m.gguf"), name="m", slots=2, context_tokens=512)
    await engine.start()
    try:
        client = HttpClient(Origin.parse(engine.url))
        headers = [(b"authorization", b"Bearer " + engine.api_key.encode())]
        assert await busy_requests(client, "llamacpp", headers) == 0
        await client.close()
    finally:
        await engine.stop()
