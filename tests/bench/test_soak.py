"""A short soak: what the long one proves, in twenty seconds."""

from __future__ import annotations

import pytest

from bench.soak.run import soak


@pytest.mark.slow
async def test_a_short_soak_leaves_nothing_behind() -> None:
    """A hundred streams, faults, callers that leave: nothing leaks, nothing lies, the ledger is exact."""
    report = await soak(streams=100, minutes=0.3, gap_s=0.1, seed=5)
    assert report.problems == ()
    assert report.requests > 300
    assert report.seen["complete"] > 200
    assert report.seen["left"] > 10
    assert report.ledger_attempts > report.ledger_requests
