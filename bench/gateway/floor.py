"""A floor: a bare ASGI callable on uvicorn that forwards with the aiohttp client, and nothing else.

One JSON parse, a dictionary look-up for the route, the bytes relayed untouched; no ledger, metrics or key
check. It shows what Python, uvicorn and a pooled client cost before a gateway has done any of its work.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Awaitable, Callable, MutableMapping
from importlib import import_module
from typing import Any

import uvicorn

__all__ = ["Floor", "main"]

aiohttp: Any = import_module("aiohttp")  # in the floor's own environment only, so unknown to the type checker

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class Floor:
    """The ASGI application."""

    def __init__(self, upstream: str) -> None:
        self._routes = {"/v1/chat/completions": upstream + "/v1/chat/completions"}
        self._session: Any = None

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """The request has been answered."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["path"] == "/health/ready":
            await _answer(send, 200, b'{"status":"ready"}')
        elif (url := self._routes.get(scope["path"])) is not None:
            await self._forward(url, await _body(receive), send)
        else:
            await _answer(send, 404, b"{}")

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self._session.close()
        await send({"type": "lifespan.shutdown.complete"})

    async def _forward(self, url: str, body: bytes, send: Send) -> None:
        json.loads(body)
        headers = {"content-type": "application/json"}
        async with self._session.post(url, data=body, headers=headers) as upstream:
            kept = [
                (n.lower().encode(), v.encode())
                for n, v in upstream.headers.items()
                if n.lower() in KEPT_HEADERS
            ]
            await send({"type": "http.response.start", "status": upstream.status, "headers": kept})
            async for data in upstream.content.iter_any():
                await send({"type": "http.response.body", "body": data, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})


KEPT_HEADERS = frozenset({"content-type", "content-length"})


async def _body(receive: Receive) -> bytes:
    parts: list[bytes] = []
    while True:
        message = await receive()
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(parts)


async def _answer(send: Send, status: int, body: bytes) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def main() -> None:
    """Serves until ended."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--upstream", required=True)
    options = parser.parse_args()
    uvicorn.run(
        Floor(options.upstream),
        host="127.0.0.1",
        port=options.port,
        loop="uvloop",
        http="httptools",
        ws="none",
        log_level="warning",
        access_log=False,
    )


if __name__ == "__main__":
    main()
