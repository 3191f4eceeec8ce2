"""Callers of the soak: each asks one thing after another, and some leave in the middle."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from dataclasses import dataclass, field

from spillway.testing.raw_client import Wire, raw_connection

__all__ = ["Tally", "call_until"]

LEAVING_RATIO = 0.1
WHOLE_RATIO = 0.15
LONGEST_STAY_S = 4.0
SILENCE_S = 70.0
"""Longer than any request may take: one that is held says nothing until it is complete."""
PAUSE_S = 0.2
"""Longest pause of a caller between two requests."""


@dataclass
class Tally:
    """What all callers have seen."""

    asked: int = 0
    seen: Counter[str] = field(default_factory=Counter)
    """``complete``, ``cut`` (an error in-band), ``refused`` (an error status), ``left``, ``wrong``."""
    wrong: list[str] = field(default_factory=list)
    """The first answers that are none of those, such as a truncated one sold as complete."""
    slowest_s: float = 0.0


def verdict(wire: Wire, *, is_stream: bool) -> str:
    """How an answer ended for its caller; ``wrong`` when it is neither complete nor an error."""
    if not wire.is_whole:
        return "wrong"
    if wire.status >= 400:
        return "refused" if wire.json["error"]["message"] else "wrong"
    if not is_stream:
        return "complete" if wire.json["choices"][0]["finish_reason"] else "wrong"
    if wire.data[-1] == "[DONE]":
        return "complete" if wire.finishes and wire.text else "wrong"
    return "cut" if "error" in json.loads(wire.data[-1]) else "wrong"


async def call_until(end_s: float, port: int, number: int, tally: Tally, seed: int) -> None:
    """Asks until the loop's clock shows ``end_s``."""
    generator = random.Random(seed * 100_003 + number)
    loop = asyncio.get_running_loop()
    await asyncio.sleep(generator.uniform(0, 2.0))  # not all in one breath
    while loop.time() < end_s:
        tally.asked += 1
        started_s = loop.time()
        outcome = await _one(port, f"{number}-{tally.asked}", generator, tally)
        tally.seen[outcome] += 1
        tally.slowest_s = max(tally.slowest_s, loop.time() - started_s)
        await asyncio.sleep(generator.uniform(0, PAUSE_S))


async def _one(port: int, name: str, generator: random.Random, tally: Tally) -> str:
    is_stream = generator.random() >= WHOLE_RATIO
    stay_s = generator.uniform(0, LONGEST_STAY_S) if generator.random() < LEAVING_RATIO else None
    words = " ".join(generator.choices(("where", "is", "my", "order", "today"), k=8))
    body = {
        "model": "auto",
        "messages": [{"role": "user", "content": words}],
        "stream": is_stream,
        "temperature": 0,
    }
    async with raw_connection(port, wait_s=SILENCE_S) as client:
        client.send(body, headers=(("x-request-id", name), ("x-spillway-task", "extraction")))
        answering = asyncio.create_task(client.answer())
        try:
            done, _ = await asyncio.wait({answering}, timeout=stay_s)
            if not done:
                return "left"
            wire = answering.result()
        except TimeoutError:
            tally.wrong.append(f"{name}: silence for {SILENCE_S:g} seconds")
            return "wrong"
        finally:
            answering.cancel()
    found = verdict(wire, is_stream=is_stream)
    if found == "wrong" and len(tally.wrong) < 20:
        tally.wrong.append(f"{name}: {wire.ending} {wire.raw[-300:]!r}")
    return found
