"""Errors become OpenAI-shaped bodies here, and nowhere else."""

from __future__ import annotations

import math

import msgspec

from spillway.errors import MethodNotAllowed, RequestError, UpstreamFailed
from spillway.relay.commit import Client

__all__ = ["send_error", "send_json"]


async def send_error(client: Client, error: RequestError, request_id: str) -> None:
    """Ends the request with ``error``; nothing is sent when the client has already seen a byte."""
    if client.has_committed:
        return
    extra = []
    if error.retry_after_s is not None:
        extra.append((b"retry-after", b"%d" % math.ceil(error.retry_after_s)))
    if isinstance(error, UpstreamFailed) and error.upstream is not None:
        extra.append((b"x-spillway-upstream", error.upstream.encode()))
        extra.append((b"x-spillway-attempts", b"%d" % error.attempts))
    if isinstance(error, MethodNotAllowed):
        extra.append((b"allow", error.allow.encode()))
    if error.status in (408, 413):
        extra.append((b"connection", b"close"))  # the rest of the body was not read
    await send_json(client, error.status, error.to_body(), request_id, extra)


async def send_json(
    client: Client,
    status: int,
    body: object,
    request_id: str,
    extra: list[tuple[bytes, bytes]] | None = None,
) -> None:
    """Answers with a JSON body."""
    raw = msgspec.json.encode(body)
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(raw)),
        (b"x-request-id", request_id.encode("latin-1")),
    ]
    await client.begin(status, headers + (extra or []))
    await client.end(raw)
