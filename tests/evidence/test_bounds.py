"""Bounds hold at every moment, find what is there, and are what the decisions go by."""

from __future__ import annotations

import random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spillway.evidence.bounds import KEPT_RUNS, PAIRED, RESTART_EVERY, UNIT, Tally

ALPHA = 0.05


def tally_of(scores: list[float]) -> Tally:
    """A tally that saw these scores in this order."""
    tally = Tally()
    for score in scores:
        tally.add(score)
    return tally


def test_nothing_seen_means_nothing_known() -> None:
    """Before the first score the bounds are the ends of the interval and the mean is unknown."""
    tally = Tally()
    assert (tally.lower_bound(ALPHA, PAIRED), tally.upper_bound(ALPHA, PAIRED)) == (-1.0, 1.0)
    assert tally.mean is None
    assert not tally.is_above(-0.99, ALPHA, PAIRED)
    assert not tally.is_below(0.99, ALPHA, PAIRED)


@given(st.lists(st.sampled_from([-1.0, -0.5, 0.0, 0.25, 1.0]), max_size=120))
@settings(max_examples=40, deadline=None)
def test_bounds_surround_each_other_and_decide(scores: list[float]) -> None:
    """The verdict at a limit is the same as comparing the limit with the bound."""
    tally = tally_of(scores)
    low, high = tally.lower_bound(ALPHA, PAIRED), tally.upper_bound(ALPHA, PAIRED)
    assert -1.0 <= low <= 1.0
    assert -1.0 <= high <= 1.0
    for limit in (-0.4, 0.05, 0.3):
        if abs(low - limit) > 1e-6:
            assert tally.is_above(limit, ALPHA, PAIRED) == (low > limit)
        if abs(high - limit) > 1e-6:
            assert tally.is_below(limit, ALPHA, PAIRED) == (high < limit)


@pytest.mark.parametrize("p", [0.05, 0.3])
def test_bounds_are_wrong_in_few_runs_at_any_time(p: float) -> None:
    """In 400 runs of 400 scores, looked at after each, the truth is left out in at most 5 % per side."""
    wrong_low = wrong_high = 0
    for seed in range(400):
        rng, tally = random.Random(seed), Tally()
        is_low = is_high = False
        for _ in range(400):
            score = float(rng.random() < p)
            tally.add(score)
            is_low = is_low or (score == 1.0 and tally.is_above(p, ALPHA, UNIT))
            is_high = is_high or (score == 0.0 and tally.is_below(p, ALPHA, UNIT))
        wrong_low, wrong_high = wrong_low + is_low, wrong_high + is_high
    assert wrong_low <= 20
    assert wrong_high <= 20


def test_bounds_close_in_on_the_mean() -> None:
    """Two thousand scores leave an interval of a few hundredths around their mean."""
    rng = random.Random(4)
    tally = tally_of([float(rng.random() < 0.2) for _ in range(2000)])
    low, high = tally.lower_bound(ALPHA, UNIT), tally.upper_bound(ALPHA, UNIT)
    assert tally.mean is not None
    assert low < tally.mean < high
    assert high - low < 0.09


def test_a_change_is_found_long_after_a_good_time() -> None:
    """After two thousand good scores, scores that are bad in half the cases are noticed within seventy."""
    tally = tally_of([0.0] * 2000)
    for number in range(1, 71):
        tally.add(float(number % 2))
        if tally.is_above(0.05, 0.02, PAIRED):
            break
    else:
        pytest.fail("the change was not noticed")


def test_memory_is_bounded() -> None:
    """However many scores come, a handful of counts is kept."""
    tally = tally_of([number % 201 / 100 - 1 for number in range(40 * RESTART_EVERY)])
    assert len(tally.runs) == KEPT_RUNS
    assert all(len(run.counts) <= 201 for run in tally.runs)
    assert sum(tally.counts.values()) == tally.n


def test_a_replaced_score_leaves_the_tally_as_if_it_had_never_come() -> None:
    """Replacing gives what the right score at that place would have given."""
    scores = [0.0] * 70 + [1.0] + [0.0] * 60
    right = [0.0] * 131
    tally = tally_of(scores)
    tally.replace(70, 1.0, 0.0)
    assert tally == tally_of(right)


def test_tally_survives_json() -> None:
    """Stored and read back it goes on as before."""
    tally = tally_of([0.0, 1.0, -0.25] * 40)
    assert msgspec.json.decode(msgspec.json.encode(tally), type=Tally) == tally
