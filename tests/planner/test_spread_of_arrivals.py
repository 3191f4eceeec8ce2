"""Arrivals made from totals: on which weekday they come, and how much their lengths differ."""

from __future__ import annotations

import numpy as np
import pytest

from spillway.planner.arrivals import INPUT_CV, OUTPUT_CV, spread_totals
from spillway.planner.workload import Total

DAY_S = 86_400.0
MONDAY_S = 1_793_577_600.0
"""2026-11-02T00:00:00Z."""


def test_an_office_rests_at_the_weekend_of_its_dates() -> None:
    """Of a dated week Saturday and Sunday have less than half of Monday's and of Friday's requests."""
    workload = spread_totals([Total(MONDAY_S, 7 * DAY_S, 70_000, 70_000, 70_000)], "office")
    count = np.bincount((workload.time_s // DAY_S).astype(int), minlength=7)
    assert count[5:].max() < 0.5 * min(count[0], count[4])


def test_lengths_differ_as_much_as_is_said() -> None:
    """Spread over mean of prompts and of answers."""
    workload = spread_totals([Total(0.0, DAY_S, 200_000, 200_000_000, 200_000_000)])
    for lengths, ratio in ((workload.input_tokens, INPUT_CV), (workload.output_tokens, OUTPUT_CV)):
        assert lengths.std() / lengths.mean() == pytest.approx(ratio, rel=0.05)


def test_cached_tokens_of_one_total_are_kept_beside_another_that_knows_none() -> None:
    """What is known of a part of the usage is not lost."""
    known, unknown = Total(0.0, DAY_S, 9, 900, 90, 300), Total(DAY_S, DAY_S, 9, 900, 90)
    workload = spread_totals([known, unknown])
    assert workload.cached_tokens is not None
    assert workload.cached_tokens.sum() == 300
