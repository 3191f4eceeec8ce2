"""A node that is free takes over who waits for another, if it is no worse off there."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spillway.engines.openai_compatible import OpenAICompatible
from spillway.fleet.queue import Caller
from spillway.fleet.registry import Fleet, Lease, QueueTimeout, Upstream
from spillway.slo.pace import LinearPace
from spillway.testing.fake_clock import FakeClock
from spillway.vocabulary import Choice, ModelFacts, Objective
from tests.fleet.test_slots import facts
from tests.fleet.test_turns import settle

OBJECTIVE = Objective("x", ttft_s=9.0)


def choice(node: str, queue_s: float = 5.0, **changes: object) -> Choice:
    """That node, believed to be in time."""
    given: dict[str, object] = {"model": "m", "miss_weight": 1.0, **changes}
    return Choice(node, "local", queue_s=queue_s, **given)  # type: ignore[arg-type]


def fleet_of(*names: str, slots: int = 1, pace: LinearPace | None = None) -> tuple[Fleet, FakeClock]:
    """Equal nodes."""
    clock = FakeClock()
    engine = OpenAICompatible("http://127.0.0.1:9/v1", None)
    served = (ModelFacts("m"),)
    nodes = [Upstream(name, "local", engine, served, slots=slots, profile=pace) for name in names]
    return Fleet(nodes, clock), clock


class Asker:
    """One request with choices in order: the first is asked, the others may take it over."""

    def __init__(self, fleet: Fleet, *choices: Choice, waited_s: float = 0.0, **about: object) -> None:
        self.moves: list[str] = []
        self._left = {one.upstream: one for one in choices[1:]}
        caller = Caller(waited_s, self._left.get, self._move)
        wanted = facts(objective=OBJECTIVE, **about)
        self.task = asyncio.create_task(fleet.admit(wanted, choices[0], caller=caller))

    def _move(self, choice: Choice) -> None:
        self.moves.append(choice.upstream)
        del self._left[choice.upstream]

    @property
    def lease(self) -> Lease:
        """What it got."""
        return self.task.result()


async def busy(fleet: Fleet, node: str) -> Lease:
    """A slot of that node that is taken."""
    return await fleet.admit(facts(), choice(node))


async def test_a_node_that_is_free_takes_over_who_waits_elsewhere() -> None:
    """The lease is that node's, and all counts are right."""
    fleet, _ = fleet_of("one", "two")
    held = [await busy(fleet, "one"), await busy(fleet, "two")]
    asker = Asker(fleet, choice("one"), choice("two"))
    await settle()
    held[1].release()
    await settle()
    assert asker.lease.upstream.name == "two"
    assert asker.moves == ["two"]
    one, two = fleet.upstreams.values()
    assert (one.in_flight, two.in_flight, len(one.queue), two.queue.called) == (1, 1, 0, ())
    asker.lease.release()
    held[0].release()
    assert (one.in_flight, two.in_flight) == (0, 0)


async def test_its_own_queue_comes_first_then_the_longest() -> None:
    """Nobody moves where others wait already; of two queues the longer one is relieved."""
    fleet, _ = fleet_of("one", "two", "three")
    held = [await busy(fleet, name) for name in ("one", "two", "three")]
    own = Asker(fleet, choice("three"))
    short = Asker(fleet, choice("one"), choice("three"))
    long = [Asker(fleet, choice("two"), choice("three")) for _ in range(2)]
    await settle()
    order = []
    for asker in (own, long[0], short, long[1]):
        held[2].release()
        await settle()
        assert asker.task.done()
        order.append(asker.lease.upstream.name)
        held[2] = asker.lease
    assert order == ["three"] * 4


async def test_of_those_who_may_move_whoever_is_next_does() -> None:
    """Others before it that have no choice there, or whose turn is later, stay."""
    fleet, _ = fleet_of("one", "two")
    held = [await busy(fleet, "one"), await busy(fleet, "two")]
    bound = Asker(fleet, choice("one", 1.0))
    large = Asker(fleet, choice("one", yields_s=9.0), choice("two"))
    small = Asker(fleet, choice("one", yields_s=1.0), choice("two"))
    await settle()
    held[1].release()
    await settle()
    assert [asker.task.done() for asker in (bound, large, small)] == [False, False, True]
    for asker in (bound, large):
        asker.task.cancel()


def fall_ill(node: Upstream) -> None:
    """Its breaker opens."""
    for _ in range(2):
        node.breaker.fail(node.breaker.generation, 0.0)
    assert node.breaker.state(0.0) == "closed"
    node.breaker.fail(node.breaker.generation, 0.0)


UNWELL: dict[str, Callable[[Upstream], None]] = {
    "loading": lambda node: setattr(node, "is_loading", True),
    "ill": fall_ill,
}


@pytest.mark.parametrize("state", UNWELL)
async def test_a_node_that_is_not_well_takes_nobody_over(state: str) -> None:
    """It would be asked by those who have nothing better, but nobody leaves another queue for it."""
    fleet, _ = fleet_of("one", "two")
    held = [await busy(fleet, "one"), await busy(fleet, "two")]
    asker = Asker(fleet, choice("one"), choice("two"))
    await settle()
    UNWELL[state](fleet.upstreams["two"])
    held[1].release()
    await settle()
    assert not asker.task.done()
    asker.task.cancel()


@pytest.mark.parametrize(
    ("here", "there", "moves"),
    [
        (choice("one"), choice("two", miss_weight=0.0), False),  # late there, as decided
        (choice("one", miss_weight=0.0), choice("two", miss_weight=0.0), True),  # late in both
        (choice("one"), choice("two", 1.0), False),  # in time there only at once
        (choice("one"), choice("two", rank=1), False),  # another model, the caller's second wish
        (choice("one", rank=1), choice("two", rank=1), True),
    ],
)
async def test_nobody_moves_where_it_is_worse_off(here: Choice, there: Choice, moves: bool) -> None:
    """In time as decided and after the wait so far, and the same wish."""
    fleet, clock = fleet_of("one", "two")
    held = [await busy(fleet, "one"), await busy(fleet, "two")]
    asker = Asker(fleet, here, there)
    await settle()
    clock.advance(2.0)
    held[1].release()
    await settle()
    assert asker.task.done() == moves
    asker.task.cancel()


@pytest.mark.parametrize("of_rank", [0, 1])
async def test_who_may_not_move_is_in_nobodys_way(of_rank: int) -> None:
    """The first in the queue has no equal choice there, or none at all: who comes after it moves."""
    fleet, _ = fleet_of("one", "two")
    held = [await busy(fleet, "one"), await busy(fleet, "two")]
    first = Asker(fleet, choice("one"), *[choice("two", rank=1)] * of_rank)
    second = Asker(fleet, choice("one"), choice("two"))
    await settle()
    held[1].release()
    await settle()
    assert [first.task.done(), second.task.done()] == [False, True]
    first.task.cancel()


async def test_of_those_who_may_move_the_largest_is_passed_over_where_not_all_can_be_served() -> None:
    """As in the queue itself, once those who may not move are left out."""
    fleet, _ = fleet_of("one", "two")
    held = [await busy(fleet, "one"), await busy(fleet, "two")]
    bound = Asker(fleet, choice("one", 2.0, yields_s=1.0), choice("two", rank=1))
    large, small = (
        Asker(fleet, choice("one", 2.0, yields_s=yields_s), choice("two", 2.0, yields_s=yields_s))
        for yields_s in (1.5, 0.5)
    )
    await settle()
    held[1].release()
    await settle()
    assert [asker.task.done() for asker in (bound, large, small)] == [False, False, True]
    for asker in (bound, large):
        asker.task.cancel()


async def test_one_that_is_late_already_moves_to_where_it_was_believed_to_be_late() -> None:
    """It has nothing left to lose, like one that was believed to be late everywhere."""
    fleet, clock = fleet_of("one", "two")
    held = [await busy(fleet, "one"), await busy(fleet, "two")]
    asker = Asker(fleet, choice("one", stays_s=60.0), choice("two", miss_weight=0.0))
    await settle()
    for after_s, moves in ((8.0, False), (1.5, True)):
        clock.advance(after_s)
        held[1].release()
        await settle()
        assert asker.task.done() == moves
        if not moves:
            held[1] = await busy(fleet, "two")


@pytest.mark.parametrize(
    ("slots", "others", "moved"), [(2, 0, 2), (2, 1, 1), (2, 2, 0), (None, 0, 4), (None, 3, 1)]
)
async def test_a_node_takes_over_no_more_than_fit_beside_the_traffic_of_others(
    slots: int | None, others: int, moved: int
) -> None:
    """Slots that others use are not free; a node that tells no slots is taken to have four."""
    fleet, _ = fleet_of("one", "two")
    two = fleet.upstreams["two"]
    two.slots = slots
    assert two.record is not None
    two.record.foreign = others
    held = await busy(fleet, "one")
    askers = [Asker(fleet, choice("one"), choice("two")) for _ in range(6)]
    await settle()
    two.fill()
    await settle()
    assert two.in_flight == moved
    for asker in askers:
        asker.task.cancel()
    held.release()


@pytest.mark.parametrize(("cached", "moves"), [(1000, False), (200, True)])
async def test_who_would_be_read_anew_stays(cached: int, moves: bool) -> None:
    """A prompt that the node it waits for holds already is not read again elsewhere to save a wait."""
    fleet, _ = fleet_of("one", "two", pace=LinearPace(prefill_token_s=0.001, step_base_s=0.01))
    held = [await busy(fleet, "one"), await busy(fleet, "two")]
    asker = Asker(fleet, choice("one"), choice("two"), input_tokens=1100, cached_on=(("one", float(cached)),))
    await settle()
    held[1].release()
    await settle()
    assert asker.task.done() == moves
    asker.task.cancel()


async def test_a_long_prompt_waits_there_until_another_is_read() -> None:
    """As it would have in its own queue; the first token there lets it move."""
    fleet, _ = fleet_of("one", "two", slots=2, pace=LinearPace(prefill_token_s=0.001, step_base_s=0.01))
    held = [await busy(fleet, name) for name in ("one", "one", "two")]
    reading = await fleet.admit(facts(input_tokens=900), choice("two"))
    asker = Asker(fleet, choice("one", yields_s=1.0), choice("two", yields_s=1.0), input_tokens=900)
    await settle()
    held[2].first_token()
    held[2].release()
    await settle()
    assert not asker.task.done()
    reading.first_token()
    await settle()
    assert asker.lease.upstream.name == "two"


async def test_one_that_is_cancelled_on_the_way_gives_the_slot_back() -> None:
    """Between being handed the other node's slot and using it: the next one gets it."""
    fleet, _ = fleet_of("one", "two")
    held = [await busy(fleet, "one"), await busy(fleet, "two")]
    first, second = (Asker(fleet, choice("one"), choice("two")) for _ in range(2))
    await settle()
    held[1].release()
    first.task.cancel()
    await settle()
    assert second.lease.upstream.name == "two"
    two = fleet.upstreams["two"]
    assert (two.in_flight, two.queue.called) == (1, ())
    second.lease.release()
    held[0].release()
    assert [node.in_flight for node in fleet.upstreams.values()] == [0, 0]


async def test_a_wait_for_others_is_taken_off_the_patience() -> None:
    """The decision's time counts from the request's arrival: after another node's queue nothing is left."""
    fleet, _ = fleet_of("one")
    held = await busy(fleet, "one")
    record = fleet.upstreams["one"].record
    assert record is not None
    before = record.margins.values
    late = Asker(fleet, choice("one", 5.0), waited_s=5.0)
    with pytest.raises(QueueTimeout):
        await asyncio.wait_for(late.task, 1.0)
    assert record.margins.values == before  # it was not this node that kept it waiting
    early = Asker(fleet, choice("one", 5.0), waited_s=4.0)
    anyway = Asker(fleet, choice("one", 5.0, miss_weight=0.0), waited_s=5.0)
    await settle()
    assert [early.task.done(), anyway.task.done()] == [False, False]
    held.release()
    await settle()
    assert anyway.task.done()  # it came first, and is due first
    anyway.lease.release()
    await settle()
    assert early.task.done()


async def test_where_nobody_else_would_be_in_time_it_waits_on_once() -> None:
    """Longer than it would be in time; what it has waited elsewhere is taken off that as well."""
    fleet, _ = fleet_of("one")
    held = await busy(fleet, "one")
    gone = Asker(fleet, choice("one", 0.0, stays_s=5.0), waited_s=5.0)
    with pytest.raises(QueueTimeout):
        await asyncio.wait_for(gone.task, 1.0)
    stays = Asker(fleet, choice("one", 0.0, stays_s=5.0), waited_s=4.0)
    await settle()
    assert not stays.task.done()
    held.release()
    await settle()
    assert stays.task.done()


async def test_the_caller_is_told_how_long_it_waited_in_all() -> None:
    """Whether it got the slot or not, with what it had waited before."""
    fleet, clock = fleet_of("one")
    held = await busy(fleet, "one")
    told: list[float] = []
    caller = Caller(1.0, note_wait=told.append)
    waiting = asyncio.create_task(fleet.admit(facts(), choice("one"), caller=caller))
    await settle()
    clock.advance(2.0)
    held.release()
    (await waiting).release()
    held = await busy(fleet, "one")
    with pytest.raises(QueueTimeout):
        await fleet.admit(facts(), choice("one"), 0.0, caller=caller)
    assert told == [3.0, 1.0]


async def test_a_moved_request_teaches_the_node_that_answered() -> None:
    """By what was forecast when it was decided, from its arrival on."""
    fleet, clock = fleet_of("one", "two", pace=LinearPace(prefill_token_s=0.001, step_base_s=0.01))
    held = [await busy(fleet, "one"), await busy(fleet, "two")]
    asker = Asker(fleet, choice("one", ttft_s=1.0, total_s=2.0), choice("two", ttft_s=0.1, total_s=0.2))
    await settle()
    clock.advance(3.0)
    held[1].release()
    await settle()
    asker.lease.first_token()
    clock.advance(1.0)
    asker.lease.succeed(10)
    one, two = (node.record for node in fleet.upstreams.values())
    assert one is not None
    assert two is not None
    assert (one.ttft_stretch.seen, two.ttft_stretch.seen) == (0, 1)
    assert two.ttft_stretch.value == pytest.approx(1.5 * 1.076)  # 3 s came where 1 s was told


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), slots=st.integers(1, 3), callers=st.integers(1, 40))
def test_counts_return_to_zero_whatever_happens(seed: int, slots: int, callers: int) -> None:
    """Under random ends, failures, timeouts and cancellations no slot is exceeded and none leaks."""
    asyncio.run(_storm(random.Random(seed), slots, callers))


async def _storm(chance: random.Random, slots: int, callers: int) -> None:
    names = ("one", "two", "three")
    fleet, _ = fleet_of(*names, slots=slots)
    moves, most = 0, 0

    async def ask() -> None:
        nonlocal moves, most
        order = chance.sample(names, 3)
        choices = [choice(n, chance.choice((0.0, 0.001, 1.0)), yields_s=chance.choice((0, 2))) for n in order]
        asker = Asker(fleet, *choices)
        try:
            lease = await asker.task
        except QueueTimeout:
            return
        except asyncio.CancelledError:
            asker.task.cancel()
            await asyncio.gather(asker.task, return_exceptions=True)
            if asker.task.done() and not asker.task.cancelled() and asker.task.exception() is None:
                asker.lease.release()
            raise
        try:
            moves += len(asker.moves)
            most = max(most, *(node.in_flight for node in fleet.upstreams.values()))
            assert lease.upstream.name == (asker.moves or order)[0]
            for _ in range(chance.randrange(4)):
                await asyncio.sleep(0)
            if chance.random() < 0.5:
                lease.first_token()
            chance.choice((lease.succeed, lease.release, lambda: lease.fail(0.0)))()
        finally:
            lease.release()

    tasks = [asyncio.create_task(ask()) for _ in range(callers)]
    for task in tasks:
        if chance.random() < 0.3:
            await asyncio.sleep(0)
            task.cancel()
    ends = await asyncio.gather(*tasks, return_exceptions=True)
    assert not [end for end in ends if isinstance(end, AssertionError)]
    assert most <= slots
    for node in fleet.upstreams.values():
        assert (node.in_flight, len(node.queue), node.queue.called) == (0, 0, ())
