"""An upstream that speaks as fast as it is read, and much more than all buffers on the way hold."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

__all__ = ["torrent"]

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"


def event(text: str, finish: str | None = None) -> bytes:
    """One chunk of a chat answer."""
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": finish}
    chunk = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
    return b"data: " + json.dumps(chunk).encode() + b"\n\n"


@asynccontextmanager
async def torrent(megabytes: int = 1_000_000) -> AsyncIterator[str]:
    """Its URL, up to and including ``/v1``; answers are that large."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        block = event("x" * 1000) * 100
        try:
            await reader.readuntil(b"}")
            writer.write(HEAD)
            for _ in range(megabytes * 1_000_000 // len(block)):
                writer.write(block)
                await writer.drain()
            writer.write(event("x", "stop") + b"data: [DONE]\n\n")
            await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        server.close()
