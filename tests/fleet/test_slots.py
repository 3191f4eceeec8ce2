"""Slots are handed out exactly, by deadline, and never leak; records count what is on a node."""

from __future__ import annotations

import asyncio
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spillway.engines.openai_compatible import OpenAICompatible
from spillway.fleet.registry import BreakerOpen, Fleet, Lease, QueueTimeout, Upstream
from spillway.testing.fake_clock import FakeClock
from spillway.vocabulary import Choice, ModelFacts, Objective, RequestFacts


def facts(**changes: object) -> RequestFacts:
    """A request of 100 prompt tokens."""
    given: dict[str, object] = {"request_id": "r", "operation": "chat", "model": "auto", "input_tokens": 100}
    return RequestFacts(**{**given, **changes})  # type: ignore[arg-type]


def choice(queue_s: float = 5.0, **changes: object) -> Choice:
    """The node as a choice."""
    return Choice("mini", "local", "m", queue_s=queue_s, **changes)  # type: ignore[arg-type]


def fleet_of(slots: int | None = 2) -> tuple[Fleet, Upstream, FakeClock]:
    """One node with so many slots."""
    clock = FakeClock()
    engine = OpenAICompatible("http://127.0.0.1:9/v1", None)
    node = Upstream("mini", "local", engine, (ModelFacts("m"),), slots=slots)
    return Fleet([node], clock), node, clock


async def test_slots_are_never_exceeded_and_the_most_urgent_is_served_first() -> None:
    """Two slots, four callers: two wait, and a freed slot goes to the one with the earliest deadline."""
    fleet, node, _ = fleet_of(2)
    first, second = await fleet.admit(facts(), choice()), await fleet.admit(facts(), choice())
    served: list[str] = []

    async def caller(name: str, queue_s: float) -> Lease:
        lease = await fleet.admit(facts(), choice(queue_s))
        served.append(name)
        return lease

    patient = asyncio.create_task(caller("patient", 50.0))
    await asyncio.sleep(0)
    urgent = asyncio.create_task(caller("urgent", 5.0))
    await asyncio.sleep(0)
    snapshot = fleet.snapshots()[0]
    assert (snapshot.in_flight, snapshot.waiting) == (2, 2)
    assert snapshot.load is not None
    assert snapshot.load.in_flight == 4
    first.release()
    await urgent
    assert served == ["urgent"]
    assert node.in_flight == 2
    second.release()
    (await patient).release()
    urgent.result().release()
    assert node.in_flight == 0


async def test_waiting_too_long_ends_with_honest_advice() -> None:
    """Nobody is kept longer than the decision allows; where a pace is known the advice comes from it."""
    fleet, node, clock = fleet_of(1)
    assert node.record is not None
    node.record.learner.note_prefill(0.0, 1.0, [(100.0, 0.0)])
    node.record.learner.note_decode(0.0, 0.1, 1.0, 100.0)
    lease = await fleet.admit(facts(usual_output_tokens=50.0), choice())
    clock.advance(1.0)
    lease.first_token()
    with pytest.raises(QueueTimeout) as caught:
        await fleet.admit(facts(), choice(0.01))
    assert caught.value.retry_after_s == pytest.approx(5.0, rel=0.3)
    lease.release()
    assert (node.in_flight, len(node.queue)) == (0, 0)


async def test_those_who_left_do_not_pile_up() -> None:
    """While no slot comes free, a thousand callers who gave up leave nothing behind."""
    fleet, node, _ = fleet_of(1)
    held = await fleet.admit(facts(), choice())
    for _ in range(40):
        callers = [fleet.admit(facts(), choice(0.0)) for _ in range(25)]
        assert all(
            isinstance(end, QueueTimeout) for end in await asyncio.gather(*callers, return_exceptions=True)
        )
    assert len(node.queue._heap) < 100
    held.release()
    assert node.in_flight == 0


async def test_a_cancelled_caller_gives_back_the_slot_it_was_just_handed() -> None:
    """Cancelled between being handed a slot and using it: the next in the queue gets it."""
    fleet, node, _ = fleet_of(1)
    held = await fleet.admit(facts(), choice())
    first = asyncio.create_task(fleet.admit(facts(), choice()))
    await asyncio.sleep(0)
    second = asyncio.create_task(fleet.admit(facts(), choice()))
    await asyncio.sleep(0)
    held.release()
    first.cancel()
    lease = await second
    assert node.in_flight == 1
    lease.release()
    assert node.in_flight == 0


async def test_more_slots_serve_those_who_wait() -> None:
    """A node that turns out to have more slots serves as many of the queue at once."""
    fleet, node, _ = fleet_of(1)
    held = await fleet.admit(facts(), choice())
    waiting = [asyncio.create_task(fleet.admit(facts(), choice())) for _ in range(3)]
    await asyncio.sleep(0)
    node.slots = 3
    node.fill()
    leases = [await waiting[0], await waiting[1]]
    assert (node.in_flight, len(node.queue)) == (3, 1)
    held.release()
    leases.append(await waiting[2])
    for lease in leases:
        lease.release()
    assert node.in_flight == 0


async def test_nobody_is_sent_to_a_node_that_fell_ill_during_the_wait() -> None:
    """Those in the queue of a node whose breaker opens leave at once, to be answered elsewhere."""
    fleet, node, _ = fleet_of(1)
    held = await fleet.admit(facts(), choice())
    waiting = [asyncio.create_task(fleet.admit(facts(), choice())) for _ in range(3)]
    await asyncio.sleep(0)
    for _ in range(2):
        node.breaker.fail(node.breaker.generation, 0.0)
    held.fail(0.0)
    for task in waiting:
        with pytest.raises(BreakerOpen) as caught:
            await task
        assert caught.value.retry_after_s == pytest.approx(5.0)
    assert (node.in_flight, len(node.queue)) == (0, 0)


async def test_a_half_open_node_gets_one_of_those_who_wait() -> None:
    """One request tries a node that was ill; the rest of its queue does not go after it."""
    fleet, node, clock = fleet_of(2)
    leases = [await fleet.admit(facts(), choice()) for _ in range(2)]
    waiting = [asyncio.create_task(fleet.admit(facts(), choice())) for _ in range(2)]
    await asyncio.sleep(0)
    for _ in range(3):
        node.breaker.fail(node.breaker.generation, 0.0)
    clock.advance(6.0)
    for lease in leases:
        lease.release()
    done = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(one) for one in done] == [Lease, BreakerOpen]
    assert node.in_flight == 1


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), slots=st.integers(1, 4), callers=st.integers(1, 30))
def test_counts_return_to_zero_whatever_happens(seed: int, slots: int, callers: int) -> None:
    """Under random ends, failures, timeouts and cancellations no slot is exceeded and none leaks."""
    asyncio.run(_storm(random.Random(seed), slots, callers))


async def _storm(chance: random.Random, slots: int, callers: int) -> None:
    fleet, node, _ = fleet_of(slots)
    most = 0

    async def caller() -> None:
        nonlocal most
        try:
            lease = await fleet.admit(facts(), choice(chance.choice((0.0, 0.001, 1.0))))
        except QueueTimeout:
            return
        try:
            most = max(most, node.in_flight)
            for _ in range(chance.randrange(4)):
                await asyncio.sleep(0)
            if chance.random() < 0.5:
                lease.first_token()
            end = chance.choice((lease.succeed, lease.release, lambda: lease.fail(0.0)))
            end()
        finally:
            lease.release()

    tasks = [asyncio.create_task(caller()) for _ in range(callers)]
    for task in tasks:
        if chance.random() < 0.3:
            await asyncio.sleep(0)
            task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert most <= slots
    assert (node.in_flight, len(node.queue)) == (0, 0)
    snapshot = fleet.snapshots()[0]
    assert snapshot.load is not None
    assert (snapshot.load.in_flight, snapshot.load.running, snapshot.load.unread) == (0, 0, 0)


async def test_a_node_teaches_its_pace_through_its_leases() -> None:
    """After some answers the snapshot forecasts what the node really takes; misses lower the margin."""
    fleet, node, clock = fleet_of(4)
    objective = Objective("x", ttft_s=0.2)
    for _ in range(12):
        lease = await fleet.admit(facts(objective=objective), choice(ttft_s=0.1, total_s=1.0))
        clock.advance(0.3)
        lease.first_token()
        clock.advance(2.0)
        lease.succeed(101)
    snapshot = fleet.snapshots()[0]
    assert snapshot.pace is not None
    assert snapshot.pace.prefill_s(100, 0) == pytest.approx(0.3, rel=0.05)
    assert snapshot.pace.decode_step_s(1, 150) == pytest.approx(0.02, rel=0.05)
    assert snapshot.margin_for(objective) < 0.85
    assert snapshot.ttft_stretch > 1.5
    assert fleet.outlook.expect(facts()).usual == pytest.approx(101, rel=0.1)
    assert node.in_flight == 0


async def test_an_overdue_prompt_makes_the_node_look_late() -> None:
    """A node that should have spoken long ago is forecast to take as long again."""
    fleet, node, clock = fleet_of(4)
    assert node.record is not None
    node.record.learner.note_prefill(0.0, 0.1, [(100.0, 0.0)])
    node.record.learner.note_decode(0.0, 0.01, 1.0, 100.0)
    lease = await fleet.admit(facts(), choice())
    load = fleet.snapshots()[0].load
    assert load is not None
    assert load.unread_s == pytest.approx(0.1, rel=0.1)
    clock.advance(8.0)
    load = fleet.snapshots()[0].load
    assert load is not None
    assert load.unread_s > 7.0
    lease.release()


async def test_a_node_that_was_slow_once_is_tried_again() -> None:
    """A first answer that waited for a model to load does not keep an idle node out for ever."""
    fleet, _, clock = fleet_of(2)
    patient = facts(objective=Objective("x", ttft_s=1.0))

    async def answer(after_s: float) -> None:
        lease = await fleet.admit(patient, choice())
        clock.advance(after_s)
        lease.first_token()
        lease.succeed(1)

    def is_due() -> bool:
        return fleet.snapshots()[0].is_due

    await answer(5.0)
    clock.advance(29.0)
    assert not is_due()
    clock.advance(1.0)
    assert is_due()
    held = await fleet.admit(patient, choice())
    assert not is_due()  # one request finds out
    clock.advance(5.0)
    held.release()
    clock.advance(55.0)
    assert not is_due()  # and after it was late again, the next one waits longer
    clock.advance(6.0)
    assert is_due()
    await answer(0.1)
    clock.advance(1000.0)
    assert not is_due()


@pytest.mark.parametrize(
    ("miss_weight", "most_s", "learns"), [(1.0, 9.0, True), (0.0, 9.0, False), (1.0, 0.005, False)]
)
async def test_leaving_the_queue_counts_as_a_miss_only_where_being_in_time_was_believed(
    miss_weight: float, most_s: float, learns: bool
) -> None:
    """Not for one that had to wait though it was believed late, nor for one whose caller had no more time."""
    fleet, node, _ = fleet_of(1)
    assert node.record is not None
    held = await fleet.admit(facts(), choice())
    before = node.record.margins.values
    wanted = facts(objective=Objective("x", ttft_s=1.0))
    waiting = choice(0.01, ttft_s=0.5, total_s=0.5, miss_weight=miss_weight)
    with pytest.raises(QueueTimeout):
        await fleet.admit(wanted, waiting, most_s)
    assert (node.record.margins.values != before) == learns
    held.release()


async def test_each_attainment_has_a_margin_of_its_own() -> None:
    """A class that is promised more learns more caution from the same misses; one never seen starts anew."""
    fleet, _, clock = fleet_of(4)
    shares: dict[float, float] = {}
    for attainment in (0.9, 0.99):
        objective = Objective("x", ttft_s=0.2, attainment_ratio=attainment)
        for wait_s in (0.3, *[0.1] * 9):
            lease = await fleet.admit(facts(objective=objective), choice(ttft_s=0.1, total_s=1.0))
            clock.advance(wait_s)
            lease.first_token()
            lease.succeed(1)
        shares[attainment] = fleet.snapshots()[0].margin_for(objective)
    assert shares[0.99] < shares[0.9] < 0.85
    assert fleet.snapshots()[0].margin_for(Objective("new", attainment_ratio=0.5)) == 0.85
