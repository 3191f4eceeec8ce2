"""What probes let the fleet know: when a prompt cache is no longer what it was, and when a node is back."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from spillway.api.nodes import KnownNode, Nodes
from spillway.config.schema import Config, NodeConfig
from spillway.engines.http_client import HttpClient
from spillway.engines.identify import Found
from spillway.engines.openai_compatible import OpenAICompatible
from spillway.engines.told import Told
from spillway.engines.wire import Origin
from spillway.fleet.marks import Beginning
from spillway.fleet.queue import Caller
from spillway.fleet.registry import Fleet, Lease, Upstream
from spillway.testing.fake_clock import FakeClock
from spillway.vocabulary import Choice, ModelFacts, RequestFacts

URL = "http://127.0.0.1:9"
FOUND = Found("ready", "llamacpp", (ModelFacts("m", 4096),), 2, told=(Told("m", "sha256:1"),), instance="a")
DOWN = Found("down", "llamacpp")


@pytest.mark.parametrize(
    ("probes", "is_kept"),
    [
        ([FOUND], True),
        ([DOWN, FOUND], True),  # one missed probe is a busy moment
        ([DOWN, DOWN], False),
        ([replace(FOUND, instance="b")], False),
        ([replace(FOUND, state="loading")], False),
        ([replace(FOUND, models=(ModelFacts("other"),))], False),
        ([replace(FOUND, told=(Told("m", "sha256:2"),))], False),
    ],
)
def test_what_empties_the_memory_of_prompts(probes: list[Found], is_kept: bool) -> None:
    """A node that is down, loads, was started anew or serves something else holds nothing any more."""
    config = NodeConfig(name="mini", url=URL)
    upstream = Upstream("mini", "local", OpenAICompatible(URL, None), kind="llamacpp", slots=2)
    fleet = Fleet([upstream], FakeClock())
    nodes = Nodes(Config(nodes=(config,)), fleet, FakeClock(), found={}, profiles={})
    node = KnownNode(config, HttpClient(Origin.parse(URL)), None)
    nodes.take(node, FOUND)
    prefixes = upstream.prefixes
    assert prefixes is not None
    prefixes.hold(Beginning(memoryview(b"x" * 500), 1, 0, 100.0), None)
    for found in probes:
        nodes.take(node, found)
    assert bool(len(prefixes)) == is_kept


class Pair:
    """A node that is busy and one that fell ill, with one request that waits for the first."""

    def __init__(self) -> None:
        engine, clock = OpenAICompatible(URL, None), FakeClock()
        self.busy, self.ill = (
            Upstream(name, "local", engine, (ModelFacts("m", 4096),), slots=1) for name in ("busy", "ill")
        )
        self.fleet = Fleet([self.busy, self.ill], clock)
        config = NodeConfig(name="ill", url=URL)
        self.nodes = Nodes(Config(nodes=(config,)), self.fleet, clock, found={}, profiles={})
        self.node = KnownNode(config, HttpClient(Origin.parse(URL)), None)

    async def wait(self) -> asyncio.Task[Lease]:
        """One slot taken, and one request that would go to the other node as well."""
        here, there = (Choice(name, "local", "m", queue_s=9.0, miss_weight=1.0) for name in ("busy", "ill"))
        facts = RequestFacts(request_id="r", operation="chat", model="m")
        await self.fleet.admit(facts, here)
        caller = Caller(choice_at={"ill": there}.get)
        task = asyncio.create_task(self.fleet.admit(facts, here, caller=caller))
        await asyncio.sleep(0)
        return task


async def test_a_node_that_is_back_takes_over_at_once() -> None:
    """The very probe that finds it well again, and not the next one, gives it those who wait elsewhere."""
    pair = Pair()
    for _ in range(2):
        pair.nodes.take(pair.node, DOWN)
    task = await pair.wait()
    assert not task.done()
    pair.nodes.take(pair.node, FOUND)
    assert (await asyncio.wait_for(task, 1.0)).upstream is pair.ill


async def test_nobody_moves_before_all_is_known_of_a_node() -> None:
    """What its pin forbids is noted with the probe, and counts for those who wait as well."""
    pair = Pair()
    for _ in range(2):
        pair.nodes.take(pair.node, DOWN)
    task = await pair.wait()
    pair.nodes.on_probe.append(lambda node, found: setattr(pair.ill, "is_quarantined", True))
    pair.nodes.take(pair.node, FOUND)
    await asyncio.sleep(0)
    assert not task.done()
    task.cancel()


async def test_a_node_that_others_left_takes_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its gauges say that its slot is free again."""
    pair = Pair()
    assert pair.ill.record is not None
    pair.ill.record.foreign = pair.node.foreign = 1
    task = await pair.wait()
    assert not task.done()

    async def nobody(*given: object) -> int:
        return 0

    monkeypatch.setattr("spillway.api.nodes.busy_requests", nobody)
    await pair.nodes._look_for_others(pair.node, "llamacpp")
    assert (await asyncio.wait_for(task, 1.0)).upstream is pair.ill
