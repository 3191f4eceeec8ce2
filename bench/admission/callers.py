"""Callers of a gateway: streamed chat requests, timed by the caller's own clock."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass

from spillway.engines.http_client import HttpClient
from spillway.engines.wire import Origin, request_head

__all__ = ["Seen", "closed_loop", "open_loop", "scraped"]

MAX_TOKENS = 64
PATIENCE_S = 90.0


@dataclass(frozen=True)
class Seen:
    """One request as its caller saw it; seconds since the run began, or of duration."""

    sent_s: float
    ttft_s: float
    total_s: float
    side: str
    overhead_s: float | None
    error: str | None = None

    def is_in_time(self, ttft_ms: float, total_ms: float) -> bool:
        """Whether both limits were kept."""
        return self.error is None and self.ttft_s * 1000 <= ttft_ms and self.total_s * 1000 <= total_ms


async def closed_loop(
    url: str, texts: Sequence[str], callers: int, duration_s: float, pin: str | None
) -> list[Seen]:
    """Each caller sends its next request after the answer to the last; the answers of ``duration_s``."""
    client, began_s = HttpClient(Origin.parse(url)), time.monotonic()
    supply = iter(texts)
    seen: list[Seen] = []

    async def caller() -> None:
        for text in supply:
            if time.monotonic() - began_s > duration_s:
                return
            answer = await _ask(client, text, began_s, pin)
            if time.monotonic() - began_s <= duration_s:
                seen.append(answer)

    await asyncio.gather(*(caller() for _ in range(callers)))
    await client.close()
    return seen


async def open_loop(url: str, texts: Sequence[str], arrivals: Sequence[float], pin: str | None) -> list[Seen]:
    """Sends at the given seconds whatever came back; all answers, in the order of arrival."""
    client, began_s = HttpClient(Origin.parse(url)), time.monotonic()
    tasks = []
    for arrival_s, text in zip(arrivals, texts, strict=False):
        await asyncio.sleep(max(0.0, began_s + arrival_s - time.monotonic()))
        tasks.append(asyncio.create_task(_ask(client, text, began_s, pin)))
    seen = list(await asyncio.gather(*tasks))
    await client.close()
    return seen


async def scraped(url: str) -> dict[str, float]:
    """The gateway's metrics: series → value."""
    client = HttpClient(Origin.parse(url.removesuffix("/v1")))
    exchange = await client.open("GET", "/metrics", [], b"", connect_s=10, head_s=10)
    text = (await exchange.body(8_000_000, 10)).decode()
    await client.close()
    pairs = [line.rsplit(" ", 1) for line in text.splitlines() if line and not line.startswith("#")]
    return {name: float(value) for name, value in pairs}


async def _ask(client: HttpClient, text: str, began_s: float, pin: str | None) -> Seen:
    body = {
        "model": "auto",
        "messages": [{"role": "user", "content": text}],
        "temperature": 0,
        "max_tokens": MAX_TOKENS,
        "stream": True,
    }
    headers = [(b"content-type", b"application/json"), (b"x-spillway-task", b"extraction")]
    if pin is not None:
        headers.append((b"x-spillway-pin", pin.encode()))
    head = request_head("POST", "/chat/completions", client.origin, headers)
    sent_s = time.monotonic()
    try:
        async with asyncio.timeout(PATIENCE_S):
            exchange = await client.send(
                head, json.dumps(body).encode(), connect_s=10, head_s=PATIENCE_S, may_reuse=True
            )
            received, ttft_s = b"", None
            while block := await exchange.read(PATIENCE_S):
                received += block
                if ttft_s is None and b'"content":"' in received:
                    ttft_s = time.monotonic() - sent_s
    except Exception as error:  # whatever it was, the caller got no answer
        return Seen(sent_s - began_s, 0.0, 0.0, "none", None, type(error).__name__)
    total_s = time.monotonic() - sent_s
    overhead = exchange.header(b"x-spillway-overhead-ms")
    wrong = None if exchange.status == 200 and b"[DONE]" in received else f"status {exchange.status}"
    return Seen(
        sent_s - began_s,
        total_s if ttft_s is None else ttft_s,
        total_s,
        (exchange.header(b"x-spillway-side") or b"none").decode(),
        None if overhead is None else float(overhead) / 1000,
        wrong,
    )
