"""Chat bodies in, answer bodies out: the demo model served by the embedded engine for one run."""

from __future__ import annotations

import asyncio

from spillway.demo.model import verify_demo_model
from spillway.engines.embedded import EmbeddedEngine
from spillway.engines.http_client import HttpClient
from spillway.engines.wire import Origin

SLOTS = 2
CONTEXT_TOKENS = 512


async def ask_all(requests: list[bytes]) -> list[bytes]:
    """The engine's answers, in the order of the requests; two are asked at a time."""
    engine = EmbeddedEngine(
        verify_demo_model(), name="shop", slots=SLOTS, context_tokens=CONTEXT_TOKENS, threads=1
    )
    await engine.start()
    client = HttpClient(Origin.parse(engine.url))
    key = f"Bearer {engine.api_key}".encode()
    headers = [(b"content-type", b"application/json"), (b"authorization", key)]
    gate = asyncio.Semaphore(SLOTS)

    async def ask(request: bytes) -> bytes:
        async with gate:
            exchange = await client.open("POST", "/v1/chat/completions", headers, request)
            try:
                return await exchange.body(4_000_000, 60.0)
            finally:
                exchange.abort()

    try:
        return list(await asyncio.gather(*map(ask, requests)))
    finally:
        await client.close()
        await engine.stop()
