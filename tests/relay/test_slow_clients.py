"""Clients that are slower than their answers: waited for while they take something and the time lasts."""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from math import inf
from typing import Any

import pytest
from msgspec.structs import replace

from spillway.engines.openai_compatible import OpenAICompatible
from spillway.fleet.breaker import Breaker
from spillway.relay.commit import Client, ClientTooSlow
from spillway.testing.fake_upstream import Fault, Reply
from spillway.vocabulary import Objective, Outcome
from tests.torrent import torrent

from .conftest import QUICK, SetUp, Stage, script

SILENCE_S = 0.05


class FullLine:
    """A client's line that is always full; ``taken`` bytes go at every look, of many."""

    end_code: str | None = None
    is_full = True

    def __init__(self, taken: int = 0) -> None:
        self._left, self._taken = 1_000_000, taken

    @property
    def unsent_bytes(self) -> int:
        """Less each time."""
        self._left -= self._taken
        return self._left

    async def drain(self) -> None:
        """Never comes to an end."""
        await asyncio.Event().wait()

    async def hang_up(self) -> None:
        """Is not ours to do."""


async def give_up(here: Stage, line: FullLine, **given: Any) -> Outcome:
    """What is recorded of a request whose client, on that line, is given up."""
    job = here.job(stream=True, **given)

    async def send(message: MutableMapping[str, Any]) -> None:
        raise AssertionError("the line is full")

    with pytest.raises(ClientTooSlow):
        await here.relay.carry_out(job, Client(send, line, silence_s=SILENCE_S))
    (outcome,) = here.books.outcomes
    assert (outcome.result, outcome.error_code) == ("cancelled", "client_too_slow")
    assert [attempt.error_code for attempt in outcome.attempts] == ["client_too_slow"]
    return outcome


async def test_one_that_takes_nothing_is_given_up(stage: SetUp) -> None:
    """Its upstream is closed, its slot is free, and what it had is billed as for one that hung up."""
    here: Stage = await stage(cloud="cloud", other="cloud")
    script(here, "cloud", Reply(fault=Fault.HELD, after=4))
    outcome = await give_up(here, FullLine())
    await here.fakes["cloud"].disconnected()
    assert here.in_flight() == 0
    assert outcome.attempts[0].usage
    assert outcome.attempts[0].usage.grade == "estimated"


async def test_it_is_not_the_upstreams_fault(stage: SetUp) -> None:
    """However late it is then, the node's breaker and what its traffic taught stay as they were."""
    here: Stage = await stage(mini="local")
    here.fleet.upstreams["mini"].breaker = Breaker(threshold=1)
    script(here, "mini", Reply(fault=Fault.HELD, after=4))
    job = here.job(stream=True)
    hurried = replace(job.facts, objective=Objective("x", ttft_s=1e-6, total_s=1e-6))
    choices = tuple(replace(c, ttft_s=1e-6, total_s=1e-6) for c in job.decision.choices)
    job = replace(job, facts=hurried, decision=replace(job.decision, choices=choices))

    async def send(message: MutableMapping[str, Any]) -> None:
        raise AssertionError("the line is full")

    record = here.fleet.upstreams["mini"].record
    assert record is not None
    before = (record.margins.values, record.total_stretch.value, record.doubt.is_due(inf))
    with pytest.raises(ClientTooSlow):
        await here.relay.carry_out(job, Client(send, FullLine(), silence_s=SILENCE_S))
    assert (record.margins.values, record.total_stretch.value, record.doubt.is_due(inf)) == before
    assert here.fleet.upstreams["mini"].breaker.state(0) == "closed"


async def test_one_that_takes_a_little_is_waited_for(stage: SetUp) -> None:
    """A slow reader has until the attempt's time is over, however often it was waited for."""
    short = replace(QUICK, total_s=5 * SILENCE_S)
    here: Stage = await stage(deadlines=short, mini="local")
    async with torrent() as url:
        here.fleet.upstreams["mini"].engine = OpenAICompatible(url, None)
        outcome = await give_up(here, FullLine(taken=1))
    assert outcome.total_s > 4 * SILENCE_S
    assert here.in_flight() == 0


async def test_an_upstream_that_always_has_more_ends_in_time(stage: SetUp) -> None:
    """``total_s`` is kept also where there is no moment in which the upstream is silent."""
    short = replace(QUICK, total_s=0.1)
    here: Stage = await stage(deadlines=short, mini="local")
    pieces: list[bytes] = []

    async def send(message: MutableMapping[str, Any]) -> None:
        pieces.append(message.get("body", b""))
        await asyncio.sleep(0.01)

    async with torrent(megabytes=30) as url:
        here.fleet.upstreams["mini"].engine = OpenAICompatible(url, None)
        await here.relay.carry_out(here.job(stream=True), Client(send))
    assert b'"code":"upstream_timeout"' in pieces[-1]
    assert here.books.outcomes[0].result == "cut"


async def test_an_answer_that_waited_for_its_client_is_no_measure(stage: SetUp) -> None:
    """A slow reader who gets all of its answer in the end does not make the node look slow."""
    here: Stage = await stage(mini="local")
    record = here.fleet.upstreams["mini"].record
    assert record is not None
    line, got = FullLine(taken=1), bytearray()

    async def drain() -> None:
        await asyncio.sleep(SILENCE_S)
        line.is_full = False

    async def send(message: MutableMapping[str, Any]) -> None:
        got.extend(message.get("body", b""))

    line.drain = drain  # type: ignore[method-assign]
    await here.relay.carry_out(here.job(stream=True), Client(send, line, silence_s=10 * SILENCE_S))
    assert got.endswith(b"[DONE]\n\n")
    assert here.books.outcomes[0].result == "ok"
    pace = record.learner.pace(0)
    assert pace is not None
    assert pace.decode_step_s(1, 0) == 0
