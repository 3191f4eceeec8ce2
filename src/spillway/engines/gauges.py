"""How many requests a server says it works on, its own count: tells of traffic that passes us by."""

from __future__ import annotations

import re

import msgspec

from spillway.engines.http_client import HttpClient
from spillway.engines.wire import Headers, WireError

__all__ = ["busy_requests"]

LARGEST_BYTES = 4_000_000
_VLLM = re.compile(rb"^vllm:num_requests_(?:running|waiting)(?:\{[^}\n]*\})?\s+([0-9.eE+-]+)", re.MULTILINE)


class Slot(msgspec.Struct):
    is_processing: bool = False


_SLOTS = msgspec.json.Decoder(list[Slot])


async def busy_requests(
    client: HttpClient, kind: str, headers: Headers = (), timeout_s: float = 2.0
) -> int | None:
    """Requests running there, by llama.cpp's slots or vLLM's gauges; ``None`` where it does not say.

    Never raises for anything the other side does.
    """
    path = {"llamacpp": "/slots", "vllm": "/metrics"}.get(kind)
    if path is None:
        return None
    try:
        exchange = await client.open("GET", path, headers, b"", connect_s=timeout_s, head_s=timeout_s)
        try:
            body = await exchange.body(LARGEST_BYTES, timeout_s)
        finally:
            exchange.abort()  # does nothing to a complete one
    except WireError:
        return None
    if exchange.status != 200:
        return None
    return _busy_slots(body) if kind == "llamacpp" else _vllm_requests(body)


def _busy_slots(body: bytes) -> int | None:
    try:
        return sum(slot.is_processing for slot in _SLOTS.decode(body))
    except (msgspec.MsgspecError, RecursionError):
        return None


def _vllm_requests(body: bytes) -> int | None:
    try:
        counts = [float(match[1]) for match in _VLLM.finditer(body)]
    except ValueError:
        return None
    return int(sum(counts)) if counts else None
