"""Reads a request body within its limits of size and silence."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from spillway.errors import BodyTimeout, BodyTooLarge, InvalidRequest

__all__ = ["ClientGone", "Receive", "discard_rest", "read_body"]

DISCARD_S = 2.0
DISCARD_BYTES = 256 * 1024 * 1024

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
"""ASGI's ``receive``."""


class ClientGone(Exception):
    """The client closed its connection before it had sent the whole request."""


async def read_body(
    receive: Receive,
    headers: dict[bytes, bytes],
    *,
    max_bytes: int,
    silence_s: float | None,
    limit_name: str = "server.max_body_bytes",
) -> bytes:
    """The whole body. BodyTooLarge, BodyTimeout or ClientGone otherwise.

    ``silence_s`` is ``None`` when it is known to be there already; ``limit_name`` is what set the limit.
    """
    if b"content-encoding" in headers:
        raise InvalidRequest("send the body uncompressed: content-encoding is not supported")
    declared = headers.get(b"content-length", b"0")
    if len(declared) > 18 or int(declared) > max_bytes:
        raise _too_large(max_bytes, limit_name)
    pieces: list[bytes] = []
    size = 0
    while True:
        piece, has_more = await _next_piece(receive, silence_s)
        size += len(piece)
        if size > max_bytes:
            raise _too_large(max_bytes, limit_name)
        pieces.append(piece)
        if not has_more:
            return pieces[0] if len(pieces) == 1 else b"".join(pieces)


async def _next_piece(receive: Receive, silence_s: float | None) -> tuple[bytes, bool]:
    if silence_s is None:
        message = await receive()
    else:
        message = await _in_time(receive, silence_s)
    if message["type"] == "http.disconnect":
        raise ClientGone
    return message["body"], message["more_body"]


async def _in_time(receive: Receive, silence_s: float) -> MutableMapping[str, Any]:
    try:
        async with asyncio.timeout(silence_s):
            return await receive()
    except TimeoutError:
        raise BodyTimeout(f"the request body stopped arriving for {silence_s:g} s") from None


async def discard_rest(receive: Receive) -> None:
    """Reads on for a moment, so that a client still sending can read why it was refused."""
    size = 0
    try:
        async with asyncio.timeout(DISCARD_S):
            while size < DISCARD_BYTES:
                message = await receive()
                if message["type"] == "http.disconnect" or not message["more_body"]:
                    return
                size += len(message["body"])
    except TimeoutError:
        return


def _too_large(max_bytes: int, limit_name: str) -> BodyTooLarge:
    return BodyTooLarge(f"the request body is larger than {max_bytes} bytes ({limit_name})")
