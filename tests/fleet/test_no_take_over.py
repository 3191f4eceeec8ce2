"""Who is not taken over although a slot is free: by a node on trial, out of turn, after too long a wait."""

from __future__ import annotations

import pytest

from spillway.fleet.pooling import take_over
from spillway.fleet.registry import Fleet, Lease
from spillway.slo.pace import LinearPace
from spillway.testing.fake_clock import FakeClock
from tests.fleet.test_pooling import Asker, busy, choice, fleet_of
from tests.fleet.test_slots import facts
from tests.fleet.test_turns import settle

PACE = LinearPace(prefill_token_s=0.001, step_base_s=0.01)


async def full() -> tuple[Fleet, FakeClock, list[Lease]]:
    """Two nodes of one slot each, both taken."""
    fleet, clock = fleet_of("one", "two")
    return fleet, clock, [await busy(fleet, "one"), await busy(fleet, "two")]


async def test_a_node_on_trial_takes_nobody_over() -> None:
    """Half open, it gets the one request that was decided for it, and none from another's queue."""
    fleet, clock, held = await full()
    asker = Asker(fleet, choice("one", 60.0), choice("two", 60.0))
    await settle()
    breaker = fleet.upstreams["two"].breaker
    for _ in range(3):
        breaker.fail(breaker.generation, clock.monotonic_s())
    clock.advance(6.0)
    assert breaker.state(clock.monotonic_s()) == "half_open"
    held[1].release()
    await settle()
    assert not asker.task.done()
    breaker.close()
    fleet.upstreams["two"].fill()
    await settle()
    assert asker.lease.upstream.name == "two"


async def test_who_waits_for_the_free_node_itself_goes_first() -> None:
    """Its slot is free but a long prompt waits there until another is read: nobody else gets ahead of it."""
    fleet, clock = fleet_of("one", "two", slots=2, pace=PACE)
    for name in ("one", "one"):
        await busy(fleet, name)
    reading = await fleet.admit(facts(input_tokens=900), choice("two"))
    own = Asker(fleet, choice("two", yields_s=1.0), input_tokens=900)
    other = Asker(fleet, choice("one"), choice("two"))
    await settle()
    two = fleet.upstreams["two"]
    assert two.has_room
    assert not own.task.done()
    assert not take_over(two, fleet.upstreams.values(), clock.monotonic_s())
    reading.first_token()
    reading.release()
    await settle()
    assert own.task.done()
    assert other.lease.upstream.name == "two"


@pytest.mark.parametrize(("waited_s", "moves"), [(4.0, False), (2.0, True)])
async def test_time_waited_elsewhere_counts(waited_s: float, moves: bool) -> None:
    """Whoever waited for others before is no longer in time where there are three seconds for a slot."""
    fleet, _, held = await full()
    asker = Asker(fleet, choice("one", 9.0), choice("two", 3.0), waited_s=waited_s)
    await settle()
    held[1].release()
    await settle()
    assert asker.task.done() == moves
    asker.task.cancel()
