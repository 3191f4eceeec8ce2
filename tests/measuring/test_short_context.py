"""Nodes that hold less than the measurement would send, and words that are longer than they looked."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from random import Random

import pytest

from spillway.measuring.campaign import Campaign, Limits
from spillway.measuring.prompts import Prompts
from spillway.measuring.target import find_target
from tests.measuring.test_held_back import HEAD, Writer, served


@dataclass(frozen=True)
class Narrow(Writer):
    """An engine that refuses longer prompts as llama.cpp does."""

    most_words: int = 150

    async def _answer(self, asked: dict[str, object], writer: asyncio.StreamWriter) -> None:
        if len(json.dumps(asked["messages"]).split()) <= self.most_words:
            await super()._answer(asked, writer)
            return
        said = {"code": 400, "type": "exceed_context_size_error", "message": "request exceeds the context"}
        writer.write(HEAD.replace(b"200 OK", b"400 Bad Request") + b"application/json\r\n\r\n")
        writer.write(json.dumps({"error": said}).encode())


async def test_a_prompt_too_long_for_the_node_does_not_end_the_measurement() -> None:
    """The shorter ones are measured all the same, and a warning says what is unknown."""
    async with served(Narrow(step_s=0.001)) as url:
        target = await find_target(url, None, None)
        limits = Limits(duration_s=20, max_concurrency=2, max_requests=40)
        measured = await Campaign(target, limits, seed=3).run()
        await target.close()
    assert measured.probes
    assert measured.slots is None
    assert max(read.prompt_tokens for read in measured.reads) <= 150
    assert any("as too long for its context" in warning for warning in measured.warnings)
    assert not any("stopped early" in warning for warning in measured.warnings)


def test_the_length_of_words_is_learned_from_every_count() -> None:
    """Two short prompts may miss what a long one takes by a third; ten prompts do not."""
    dice, prompts = Random(5), Prompts(seed=1)

    def counted(words: int) -> int:
        return 12 + sum(dice.randint(1, 7) for _ in range(words))

    prompts.learn(8, 12 + 8 * 5)
    prompts.learn(32, 12 + 32 * 3)
    assert abs(prompts.tokens_of(100) - 412) > 100
    for words in (20, 40, 60, 80, 100, 30, 50, 70):
        prompts.learn(words, counted(words))
    assert prompts.tokens_of(100) == pytest.approx(412, rel=0.1)
