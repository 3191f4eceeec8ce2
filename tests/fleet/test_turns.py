"""Whose turn it is among those who wait for a slot, and when a long prompt is sent to a busy node."""

from __future__ import annotations

import asyncio

from spillway.engines.openai_compatible import OpenAICompatible
from spillway.fleet.registry import Fleet, Lease, QueueTimeout, Upstream
from spillway.slo.pace import LinearPace
from spillway.testing.fake_clock import FakeClock
from spillway.vocabulary import ModelFacts
from tests.fleet.test_slots import choice, facts, fleet_of


def reading_fleet(slots: int = 4) -> tuple[Fleet, Upstream, FakeClock]:
    """One node that reads a token in a millisecond and writes one in ten."""
    clock, pace = FakeClock(), LinearPace(prefill_token_s=0.001, step_base_s=0.01)
    engine = OpenAICompatible("http://127.0.0.1:9/v1", None)
    node = Upstream("mini", "local", engine, (ModelFacts("m"),), slots=slots, profile=pace)
    return Fleet([node], clock), node, clock


class Callers:
    """Asks for slots, one name after another, and remembers in which order they came."""

    def __init__(self, fleet: Fleet) -> None:
        self.served: list[str] = []
        self.leases: dict[str, Lease] = {}
        self.tasks: dict[str, asyncio.Task[None]] = {}
        self._fleet = fleet

    async def ask(self, name: str, yields_s: float = 0.0, tokens: int = 100, queue_s: float = 5.0) -> None:
        """One more, who gets a slot or waits."""
        self.tasks[name] = asyncio.create_task(self._wait(name, yields_s, tokens, queue_s))
        await settle()

    async def _wait(self, name: str, yields_s: float, tokens: int, queue_s: float) -> None:
        self.leases[name] = await self._fleet.admit(
            facts(input_tokens=tokens), choice(queue_s, yields_s=yields_s)
        )
        self.served.append(name)


async def settle() -> None:
    """Whoever can go on has gone on."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_the_largest_is_passed_over_when_not_all_can_be_served() -> None:
    """Before them go those who may not be overtaken, in the order in which they are due."""
    fleet, node, _ = fleet_of(1)
    callers = Callers(fleet)
    await callers.ask("first")
    for name, yields_s, queue_s in (("large", 9.0, 4.0), ("second", 2.0, 5.0), ("third", 2.0, 4.5)):
        await callers.ask(name, yields_s, queue_s=queue_s)
    await callers.ask("private, later due", queue_s=5.0)
    await callers.ask("private", queue_s=4.0)
    for name in ("first", "private", "private, later due", "third", "second", "large"):
        assert callers.served[-1] == name
        callers.leases[name].release()
        await settle()
    assert (node.in_flight, len(node.queue)) == (0, 0)


async def test_all_are_served_as_they_are_due_while_there_is_time() -> None:
    """A burst that the node gets through is served in order, the large ones too."""
    fleet, _, _ = fleet_of(1)
    callers = Callers(fleet)
    await callers.ask("first")
    for name, yields_s, queue_s in (("large", 9.0, 40.0), ("small", 2.0, 50.0), ("urgent", 2.0, 30.0)):
        await callers.ask(name, yields_s, queue_s=queue_s)
    for name in ("first", "urgent", "large", "small"):
        assert callers.served[-1] == name
        callers.leases[name].release()
        await settle()


async def test_a_long_prompt_waits_until_the_node_has_read_another() -> None:
    """Slots are free, but nobody overtakes what the engine has; a smaller one that comes now goes first."""
    fleet, node, clock = reading_fleet()
    callers = Callers(fleet)
    await callers.ask("first", 3.0, 2000)
    await callers.ask("long", 2.0, 1000)
    await callers.ask("shorter", 1.0, 800)
    assert callers.served == ["first"]
    assert (node.in_flight, len(node.queue)) == (1, 2)
    clock.advance(2.0)
    callers.leases["first"].first_token()
    await settle()
    assert callers.served == ["first", "shorter"]
    callers.leases["shorter"].release()  # given up while its prompt was read
    await settle()
    assert callers.served == ["first", "shorter", "long"]
    callers.leases["first"].release()
    callers.leases["long"].release()
    assert (node.in_flight, len(node.queue)) == (0, 0)


async def test_short_prompts_are_sent_together() -> None:
    """A quarter of a second of them, which the engine reads in one pass; the next one waits."""
    fleet, node, clock = reading_fleet(8)
    callers = Callers(fleet)
    await callers.ask("first", 1.0, 1000)
    for name in ("a", "b", "c", "d", "e", "f"):
        await callers.ask(name, 0.1, 60)
    assert callers.served == ["first"]
    clock.advance(1.0)
    callers.leases["first"].first_token()
    await settle()
    assert callers.served == ["first", "a", "b", "c", "d"]
    for name in ("a", "b", "c"):
        clock.advance(0.06)
        callers.leases[name].first_token()
        await settle()
    assert callers.served == ["first", "a", "b", "c", "d", "e", "f"]
    for lease in callers.leases.values():
        lease.release()
    assert node.in_flight == 0


async def test_who_has_nowhere_else_to_go_is_sent_at_once() -> None:
    """Only those who may be overtaken wait for others to be read, and none where no pace is known."""
    fleet, _, _ = reading_fleet()
    callers = Callers(fleet)
    await callers.ask("first", 3.0, 2000)
    await callers.ask("private", 0.0, 2000)
    assert callers.served == ["first", "private"]
    unknown, _, _ = fleet_of(4)
    callers = Callers(unknown)
    await callers.ask("first", 3.0, 2000)
    await callers.ask("second", 3.0, 2000)
    assert callers.served == ["first", "second"]


async def test_whoever_waits_for_a_reading_leaves_in_time() -> None:
    """As from any queue; a caller who hangs up just when its turn came hands it on."""
    fleet, node, _ = reading_fleet()
    callers = Callers(fleet)
    await callers.ask("first", 3.0, 2000)
    await callers.ask("impatient", 1.0, 1000, queue_s=0.01)
    await callers.ask("gone", 2.0, 1000)
    await callers.ask("last", 3.0, 1000)
    result = await asyncio.gather(callers.tasks["impatient"], return_exceptions=True)
    assert isinstance(result[0], QueueTimeout)
    callers.leases["first"].first_token()
    callers.tasks["gone"].cancel()
    await settle()
    assert callers.served == ["first", "last"]
    callers.leases["first"].release()
    callers.leases["last"].release()
    assert (node.in_flight, len(node.queue), node.queue.called) == (0, 0, ())


async def test_whoever_leaves_makes_way_for_the_next() -> None:
    """A short prompt waits behind a smaller request that must wait, and goes when that one hangs up."""
    fleet, node, _ = reading_fleet()
    callers = Callers(fleet)
    await callers.ask("first", 3.0, 100)
    await callers.ask("gone", 1.0, 1000)
    await callers.ask("short", 2.0, 50)
    assert callers.served == ["first"]
    callers.tasks["gone"].cancel()
    await settle()
    assert callers.served == ["first", "short"]
    assert (node.in_flight, len(node.queue)) == (2, 0)
