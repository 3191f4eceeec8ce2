"""The clock moved by hand."""

from __future__ import annotations

import pytest

from spillway.clock import Clock
from spillway.testing.fake_clock import FakeClock


def test_stands_still_until_advanced() -> None:
    """Both readings move together and only when told to."""
    clock: Clock = FakeClock(monotonic_s=5.0, wall_s=100.0)
    assert (clock.monotonic_s(), clock.wall_s()) == (5.0, 100.0)
    assert isinstance(clock, FakeClock)
    clock.advance(1.5)
    assert (clock.monotonic_s(), clock.wall_s()) == (6.5, 101.5)


def test_wall_clock_may_jump_alone() -> None:
    """A jump of the wall clock leaves monotonic time alone; monotonic time never goes back."""
    clock = FakeClock()
    clock.set_wall_s(7.0)
    assert (clock.monotonic_s(), clock.wall_s()) == (0.0, 7.0)
    with pytest.raises(ValueError, match="cannot go back"):
        clock.advance(-1)
