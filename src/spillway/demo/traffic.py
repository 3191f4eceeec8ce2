"""Bursts of shop messages through the official client, and what came of each."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from spillway.demo.shop import ShopMessage, is_exact, messages
from spillway.demo.stage import MESSAGES_KNOWN, SEED
from spillway.errors import SpillwayError

__all__ = ["Answered", "send_bursts"]

MAX_TOKENS = 64
BURST_EVERY_S = 1.0
LARGEST_BURST = 24
UNSEEN_EVERY = 4
"""Every so many messages one is phrased as the model never saw it: what it is unsure of then escalates."""


@dataclass(frozen=True, slots=True)
class Answered:
    """One message and its answer as the client saw it."""

    text: str
    side: str
    upstream: str
    reasons: str
    ttft_s: float | None
    cost_usd: float | None
    is_exact: bool
    error: str | None = None


async def send_bursts(
    url: str, duration_s: float, should_stop: Callable[[], bool], show: Callable[[Answered], None]
) -> list[Answered]:
    """Sends bursts of growing and shrinking size for ``duration_s``; all answers, as they came."""
    client = _client(url)
    answers: list[Answered] = []
    pending: set[asyncio.Task[Answered]] = set()
    ends_s = time.monotonic() + duration_s
    generator = random.Random(SEED)
    supply = _mixed()
    while time.monotonic() < ends_s and not should_stop():
        for message in _take(supply, generator.randint(1, LARGEST_BURST)):
            task = asyncio.create_task(_ask(client, message))
            pending.add(task)
            task.add_done_callback(pending.discard)
            task.add_done_callback(lambda done: _keep(done, answers, show))
        await asyncio.sleep(min(BURST_EVERY_S, max(0.0, ends_s - time.monotonic())))
    while pending:
        await asyncio.wait(pending)
    await client.close()
    return answers


def _mixed() -> Iterator[ShopMessage]:
    """Messages of the trained kind, and now and then one that is phrased as none of those."""
    strange = iter(messages(SEED, MESSAGES_KNOWN, "unseen_phrasings"))
    for number, message in enumerate(messages(SEED, MESSAGES_KNOWN), start=1):
        yield next(strange) if number % UNSEEN_EVERY == 0 else message


def _client(url: str) -> Any:
    try:
        from openai import AsyncOpenAI
    except ImportError:
        raise SpillwayError("the demo talks through OpenAI's client: pip install 'spillway[demo]'") from None
    return AsyncOpenAI(base_url=url, api_key="unused", max_retries=0, timeout=30)


def _take(supply: Iterable[ShopMessage], count: int) -> list[ShopMessage]:
    return [message for message, _ in zip(supply, range(count), strict=False)]


def _keep(done: asyncio.Task[Answered], answers: list[Answered], show: Callable[[Answered], None]) -> None:
    if not done.cancelled():
        answers.append(done.result())
        show(done.result())


async def _ask(client: Any, message: ShopMessage) -> Answered:
    """One streamed request; an error becomes part of the record."""
    started_s = time.monotonic()
    try:
        return await _stream(client, message, started_s)
    except Exception as error:  # the client has many kinds, and each is a failed request here
        return Answered(
            message.text, "none", "none", "", None, None, False, f"{type(error).__name__}: {error}"
        )


async def _stream(client: Any, message: ShopMessage, started_s: float) -> Answered:
    raw = await client.chat.completions.with_raw_response.create(
        model="auto",
        messages=[{"role": "user", "content": message.text}],
        temperature=0,
        max_tokens=MAX_TOKENS,
        stream=True,
        stream_options={"include_usage": True},
        extra_headers={"x-spillway-task": "extraction"},
    )
    text, ttft_s, usage = "", None, None
    async for chunk in raw.parse():
        usage = chunk.usage or usage
        if chunk.choices and chunk.choices[0].delta.content:
            ttft_s = ttft_s if ttft_s is not None else time.monotonic() - started_s
            text += chunk.choices[0].delta.content
    return Answered(
        message.text,
        raw.headers["x-spillway-side"],
        raw.headers["x-spillway-upstream"],
        raw.headers["x-spillway-reason"],
        ttft_s,
        getattr(usage, "cost", None),
        is_exact(text, message),
    )
