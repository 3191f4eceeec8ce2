"""Canaries on a node with better things to do: they wait, they give way, they keep to their budget."""

from __future__ import annotations

import asyncio

import pytest

from spillway.engines.http_client import HttpClient
from spillway.engines.told import sha256_of
from spillway.engines.wire import Origin
from spillway.pinning import rounds
from spillway.pinning.answers import Answer, CanaryUnanswered, NodeAsker
from spillway.pinning.budget import CanaryBudget
from spillway.pinning.canaries import Canary
from spillway.pinning.judge import record_of
from spillway.pinning.rounds import CanaryRunner, Job
from spillway.testing.fake_upstream import FakeUpstream
from spillway.testing.faults import Fault

CANARY = Canary(name="c", task="math", prompt="17 + 25?")
ANSWER = Answer(text="42", tokens=sha256_of("42"))
JOB = Job("m", CANARY, record_of(CANARY, [ANSWER]))


class Node:
    """A node whose answers take until the test says so."""

    def __init__(self) -> None:
        self.asked = 0
        self.cancelled = 0
        self.is_idle = True
        self.is_used_by_others = False
        self.begun = asyncio.Event()
        self.given_up = asyncio.Event()
        self.release = asyncio.Event()

    async def ask(self, canary: Canary, model: str) -> Answer:
        """The answer, once released."""
        self.asked += 1
        self.begun.set()
        try:
            await self.release.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            self.given_up.set()
            raise
        return ANSWER

    async def is_busy(self) -> bool:
        """Whether others use it."""
        return self.is_used_by_others


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch) -> Node:
    """A node, and waits cut short."""
    monkeypatch.setattr(rounds, "QUIET_S", 0.0)
    monkeypatch.setattr(rounds, "LOOK_EVERY_S", 0.001)
    return Node()


def runner_of(node: Node, budget: CanaryBudget | None = None) -> CanaryRunner:
    """A runner of that node on the loop's own clock."""
    loop = asyncio.get_running_loop()
    return CanaryRunner(node, lambda: node.is_idle, loop.time, budget)


async def test_an_idle_node_is_asked(node: Node) -> None:
    """On an idle node the canary runs and what it took is counted."""
    node.release.set()
    runner = runner_of(node)
    assert (await runner.run(JOB)).change is None
    assert (runner.interruptions, runner.is_asking) == (0, False)
    assert runner.budget.left_s(asyncio.get_running_loop().time()) < 36.0


@pytest.mark.parametrize("is_announced", [True, False])
async def test_a_request_cancels_the_canary(node: Node, is_announced: bool) -> None:
    """A request ends the canary at once, announced or only seen; it is asked again when the node is idle."""
    runner = runner_of(node)
    task = asyncio.create_task(runner.run(JOB))
    await node.begun.wait()
    assert runner.is_asking
    node.is_idle = False
    if is_announced:
        runner.interrupt()
    await node.given_up.wait()
    assert not task.done()
    node.release.set()
    node.is_idle = True
    assert (await task).change is None
    assert (runner.interruptions, node.asked) == (1, 2)


async def test_a_busy_node_is_not_asked(node: Node) -> None:
    """Nothing is asked while the gateway or somebody else uses the node."""
    node.release.set()
    node.is_idle = False
    runner = runner_of(node)
    task = asyncio.create_task(runner.run(JOB))
    await asyncio.sleep(0.02)
    node.is_used_by_others, node.is_idle = True, True
    await asyncio.sleep(0.02)
    assert node.asked == 0
    node.is_used_by_others = False
    assert (await task).change is None


async def test_cancelling_the_round_stops_the_node(node: Node) -> None:
    """When the gateway ends, the canary that runs ends with it."""
    task = asyncio.create_task(runner_of(node).run(JOB))
    await node.begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert node.cancelled == 1


async def test_a_node_slower_than_its_budget(node: Node) -> None:
    """A canary that would take more than its share of an hour is given up, and the next must wait."""
    budget = CanaryBudget(share=0.6 / 3600)
    runner = runner_of(node, budget)
    with pytest.raises(CanaryUnanswered, match="an hour"):
        await runner.run(JOB)
    assert node.cancelled == 1
    assert budget.left_s(asyncio.get_running_loop().time()) == 0


def test_the_budget_is_one_hundredth_of_any_hour() -> None:
    """What was spent comes back an hour later, not before."""
    budget = CanaryBudget()
    assert budget.left_s(0.0) == 36.0
    budget.spend(0.0, 30.0)
    budget.spend(100.0, 6.0)
    assert budget.left_s(3599.0) == 0.0
    assert budget.next_s(3599.0) == 1.0
    assert budget.left_s(3600.0) == 30.0
    assert budget.left_s(3700.0) == 36.0


async def test_a_cancelled_question_closes_its_connection() -> None:
    """Giving up a canary closes its connection, which is what stops an engine's work."""
    async with FakeUpstream() as upstream:
        upstream.script(Fault.HELD)
        client = HttpClient(Origin.parse(upstream.origin))
        task = asyncio.create_task(NodeAsker(client, "vllm", None).ask(CANARY, "m"))
        await upstream.held()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert len(await upstream.disconnected()) == 1
        upstream.release()
        await client.close()


@pytest.mark.parametrize("base", ["", "/v1"])
async def test_asking_over_http(base: str) -> None:
    """The same question gets the same record, whichever URL names the server."""
    async with FakeUpstream() as upstream:
        client = HttpClient(Origin.parse(upstream.origin + base))
        asker = NodeAsker(client, "openai", "key")
        first, second = await asker.ask(CANARY, "m"), await asker.ask(CANARY, "m")
        await client.close()
    assert first.tokens == second.tokens
    assert first.text
    assert first.model == "m"


async def test_a_cut_answer_is_none() -> None:
    """An answer that breaks off is no answer: nothing is learnt from half of it."""
    faults = (Fault.CUT, Fault.CUT_CLEAN, Fault.ERROR_500, Fault.HTML_200, Fault.MISSING_FINISH)
    async with FakeUpstream() as upstream:
        client = HttpClient(Origin.parse(upstream.origin))
        for fault in faults:
            upstream.script(fault)
            with pytest.raises(CanaryUnanswered) as caught:
                await NodeAsker(client, "openai", None).ask(CANARY, "m")
            assert not caught.value.is_refusal
        await client.close()


async def test_an_embedding_is_sketched() -> None:
    """An embedding becomes a few numbers that stay the same for the same text."""
    canary = Canary(name="e", task="embedding", prompt="a text")
    async with FakeUpstream() as upstream:
        client = HttpClient(Origin.parse(upstream.origin))
        asker = NodeAsker(client, "openai", None)
        first, second = await asker.ask(canary, "m"), await asker.ask(canary, "m")
        await client.close()
    assert len(first.sketch) == 16
    assert first.sketch == second.sketch
