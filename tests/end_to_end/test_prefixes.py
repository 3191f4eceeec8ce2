"""What the gateway believes of a real engine's prompt cache, beside what the engine says it had."""

from __future__ import annotations

import asyncio
import math
import os
import random
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

import msgspec
import pytest

from spillway.api.assembly import Assembly
from spillway.config.schema import Config, NodeConfig
from spillway.fleet.prefixes import PrefixMemory
from spillway.fleet.registry import Upstream
from spillway.vocabulary import Outcome
from tests.engine_fixtures import build_micro_gguf, needs_engine

pytestmark = [pytest.mark.engine, needs_engine]

CONTEXT = 2048
WORDS = ("the", "cat", "sat", "on", "a", "mat", "and", "told", "us", "how", "it", "came", "to", "be", "there")
LETTERS = {str(token): -100 for token in range(258) if not 64 <= token < 90}
"""A random model writes bytes that are no text, and those would not be the same when they come back."""


class Turn(NamedTuple):
    """One answer; shares are of its prompt."""

    believed_share: float
    reported_share: float
    forecast_s: float | None
    ttft_s: float


class Talks:
    """Conversations through one gateway, each with its own history."""

    def __init__(self, assembly: Assembly, seed: int = 1) -> None:
        self.turns: list[Turn] = []
        self.assembly = assembly
        self._chance = random.Random(seed)
        self._histories: dict[int, list[dict[str, str]]] = {}
        note = assembly.metrics.note

        def also_here(outcome: Outcome, *more: Any) -> None:
            self.turns.append(turn_of(outcome))
            note(outcome, *more)

        assembly.metrics.note = also_here  # type: ignore[method-assign, assignment]

    @property
    def node(self) -> Upstream:
        """The only one."""
        return self.assembly.fleet.upstreams["micro"]

    def said(self, role: str, words: int) -> dict[str, str]:
        """A message of so many words."""
        return {"role": role, "content": " ".join(self._chance.choices(WORDS, k=words))}

    async def ask(self, number: int, system: dict[str, str] | None = None, answer_tokens: int = 24) -> None:
        """One more turn of that conversation."""
        history = self._histories.setdefault(number, [system or self.said("system", 60)])
        history.append(self.said("user", 20))
        body = {
            "model": "auto",
            "messages": history,
            "max_tokens": answer_tokens,
            "logit_bias": LETTERS,
        }
        answer = msgspec.json.decode(await self._post(msgspec.json.encode(body)))
        history.append({"role": "assistant", "content": answer["choices"][0]["message"]["content"]})

    async def _post(self, body: bytes) -> bytes:
        pieces: list[bytes] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Any) -> None:
            pieces.append(message.get("body", b""))

        scope = {"type": "http", "method": "POST", "path": "/v1/chat/completions", "headers": []}
        await self.assembly.gateway(scope, receive, send)
        return b"".join(pieces)


def turn_of(outcome: Outcome) -> Turn:
    """What was believed and what was reported of a request."""
    attempt = outcome.attempts[-1]
    usage = attempt.usage
    assert usage is not None
    assert usage.input_tokens is not None
    assert attempt.first_token_s is not None
    return Turn(
        (attempt.forecast_cached_tokens or 0.0) / usage.input_tokens,
        (usage.cache_read_tokens or 0) / usage.input_tokens,
        attempt.forecast_ttft_s,
        attempt.first_token_s - (outcome.overhead_s or 0.0),
    )


Begin = Callable[..., Any]


@pytest.fixture
async def begin(tmp_path: Path) -> AsyncIterator[Begin]:
    """``talks = await begin(slots=4)``: conversations with a slow random model."""
    async with AsyncExitStack() as stack:

        async def start(slots: int, blocks: int = 2) -> Talks:
            model = build_micro_gguf(tmp_path / "m.gguf", context_tokens=CONTEXT, blocks=blocks)
            node = NodeConfig(name="micro", model=str(model), slots=slots, context_tokens=CONTEXT)
            assembly = Assembly(Config(nodes=(node,), ledger=f"sqlite:///{tmp_path / 'l.db'}"))
            stack.push_async_callback(assembly.close)
            await assembly.start()
            return Talks(assembly)

        yield start


def mean_error(turns: list[Turn]) -> float:
    """How far belief and report are apart, as a share of the prompt."""
    return fmean(abs(turn.believed_share - turn.reported_share) for turn in turns)


async def test_later_turns_are_believed_to_be_there(begin: Begin) -> None:
    """In one conversation what is believed comes to within a twentieth of what the engine reports."""
    talks: Talks = await begin(slots=2)
    for _ in range(7):
        await talks.ask(1)
    assert talks.turns[-1].reported_share > 0.8
    assert mean_error(talks.turns[3:]) < 0.05


@pytest.mark.parametrize("is_shuffled", [False, True])
async def test_conversations_that_take_turns(begin: Begin, is_shuffled: bool) -> None:
    """Six on four slots, sixty turns: belief and report differ by less than a tenth of the prompt."""
    talks: Talks = await begin(slots=4)
    order = [number for _ in range(10) for number in range(6)]
    if is_shuffled:
        random.Random(3).shuffle(order)
    for number in order:
        await talks.ask(number)
    assert len(talks.turns) == 60
    assert mean_error(talks.turns) < 0.1


async def test_conversations_at_once(begin: Begin) -> None:
    """The same with all six asking at the same time, so that two always wait for a slot."""
    talks: Talks = await begin(slots=4)

    async def talk(number: int) -> None:
        for _ in range(8):
            await talks.ask(number)

    await asyncio.gather(*(talk(number) for number in range(6)))
    assert mean_error(talks.turns) < 0.1


async def test_forecasts_are_better_for_it(begin: Begin, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where turns and new prompts follow each other, first tokens are forecast better than without memory."""
    known = await foretold(await begin(slots=3, blocks=8))
    monkeypatch.setattr(PrefixMemory, "find", lambda *_: None)
    monkeypatch.setattr(PrefixMemory, "learn", lambda *_: None)
    unknown = await foretold(await begin(slots=3, blocks=8))
    assert known < 0.9 * unknown


async def foretold(talks: Talks) -> float:
    """Mean logarithm of forecast over observed, either way: of the turns after some prompts that had nothing
    in common, and of more such prompts after some turns."""
    for number, words in enumerate((20, 300, 60, 200, 120, 250, 40, 160, 90, 220)):
        await talks.ask(10 + number, talks.said("system", words), answer_tokens=4)
    for _ in range(8):
        for number in (1, 2):
            await talks.ask(number, talks.said("system", 120))
    for number, words in enumerate((20, 300, 60, 200, 120)):
        await talks.ask(20 + number, talks.said("system", words), answer_tokens=4)
    judged = [*talks.turns[12:16], *talks.turns[26:]]
    return fmean(abs(math.log((turn.forecast_s or 1e-3) / turn.ttft_s)) for turn in judged)


async def test_an_engine_that_starts_again_holds_nothing(
    begin: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the engine's process ends, nothing is believed to be there any more."""
    talks: Talks = await begin(slots=2)
    for _ in range(3):
        await talks.ask(1)
    node = talks.node
    assert node.prefixes is not None
    assert len(node.prefixes) == 1
    is_forgotten = asyncio.Event()
    monkeypatch.setattr(node, "forget_prefixes", is_forgotten.set)
    (engine,) = talks.assembly.nodes._engines
    assert engine.pid is not None
    os.kill(engine.pid, signal.SIGKILL)
    async with asyncio.timeout(10):
        await is_forgotten.wait()
