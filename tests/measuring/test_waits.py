"""Whether the engine had to wait for others, and what a measurement does about it."""

from __future__ import annotations

import os
import sys
import threading
import time

import pytest

from spillway.measuring.campaign import Campaign, Limits, Measured
from spillway.measuring.target import find_target
from spillway.measuring.waits import Waits, waits, watch
from spillway.testing.fake_upstream import FakeUpstream, Fault, Reply


def test_shares_are_of_the_time_in_between() -> None:
    """Waiting counts against running since the earlier look; doing nothing is no disturbance."""
    assert Waits({7: (3.0, 2.0)}).since(Waits({7: (2.0, 1.0)})) == 0.5
    assert Waits({7: (3.0, 2.0)}).since(Waits({7: (3.0, 2.0)})) == 0.0
    assert Waits({7: (3.0, 1.0)}).since(Waits()) == 0.25
    assert Waits({7: (3.0, 4.0)}).since(Waits({7: (3.0, 2.0)})) == 1.0
    assert Waits().since(Waits({7: (3.0, 2.0)})) == 0.0


def test_only_threads_that_work_count() -> None:
    """One that ran a moment and waited for ever disturbed nobody; two that share the work both count."""
    before = Waits({1: (10.0, 1.0), 2: (5.0, 5.0)})
    assert Waits({1: (19.0, 2.0), 2: (5.1, 9.0)}).since(before) == pytest.approx(0.1)
    assert Waits({1: (19.0, 2.0), 2: (12.0, 8.0)}).since(before) == pytest.approx(4.0 / 20.0)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux counts it")
def test_a_working_process_is_counted() -> None:
    """Time on a core grows with work, also that of other threads; an unknown process has none."""

    def ran_s() -> float:
        return sum(ran_s for ran_s, _ in waits(os.getpid()).threads.values())

    before_s = ran_s()
    worker = threading.Thread(target=lambda: sum(range(3_000_000)))
    worker.start()
    while worker.is_alive() and ran_s() <= before_s:
        time.sleep(0)
    worker.join()
    assert ran_s() > before_s or before_s == 0.0
    assert 0.0 <= watch(os.getpid())() <= 1.0
    assert waits(2**30) == Waits()


async def measured_with(shares: list[float]) -> Measured:
    """A short measurement of a fake node; each share is told after one wave, then none is disturbed."""

    def share() -> float:
        is_after = next(calls)
        return shares.pop(0) if is_after and shares else 0.0

    calls = iter([False, True] * 1000)
    async with FakeUpstream(default=Reply(fault=Fault.SLOW_TOKENS, gap_s=0.001)) as server:
        target = await find_target(server.url, None, None)
        measured = await Campaign(target, Limits(duration_s=0.7), disturbance=share, seed=2).run()
        await target.close()
    return measured


async def test_a_disturbed_wave_is_played_again() -> None:
    """What came while the engine had to wait is thrown away, and counted."""
    assert (await measured_with([0.5, 0.0, 0.3, 0.02])).repeated == 2
    assert (await measured_with([])).repeated == 0


async def test_a_machine_that_is_always_busy_is_said_to_be() -> None:
    """After some tries the last answers count; with a warning once that was so of more than a few waves."""
    measured = await measured_with([0.5] * 6)
    assert measured.repeated == 6
    measured = await measured_with([0.5] * 200)
    assert any("held the engine up" in warning for warning in measured.warnings)
