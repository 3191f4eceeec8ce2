"""Servers whose metadata pages a test chooses."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from spillway.engines.http_client import HttpClient
from spillway.engines.identify import Found, identify
from spillway.engines.wire import Origin
from spillway.testing.fake_upstream import FakeUpstream

__all__ = ["found_at", "serving"]

ASKED = (
    *("/v1/models", "/models", "/api/tags", "/api/v1/models", "/api/v0/models", "/props", "/api/ps"),
    *("/api/show", "/api/version", "/version", "/tokenizer_info", "/metrics", "/lora-adapters"),
)


@asynccontextmanager
async def serving(pages: Mapping[str, Any]) -> AsyncIterator[FakeUpstream]:
    """A server with these pages; its other metadata pages do not exist."""
    async with FakeUpstream() as upstream:
        for path in ASKED:
            upstream.respond("GET", path, {"error": {"message": "none"}}, status=404)
        for path, body in pages.items():
            for method in ("GET", "POST"):
                upstream.respond(method, path, body)
        yield upstream


async def found_at(upstream: FakeUpstream, kind: str = "auto") -> Found:
    """What a fresh probe finds there."""
    client = HttpClient(Origin.parse(upstream.origin))
    try:
        return await identify(client, kind)
    finally:
        await client.close()
