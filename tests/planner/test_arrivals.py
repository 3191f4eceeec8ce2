"""Synthetic arrivals keep their promises: sums, rates, shape, burstiness, and the seed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spillway.planner.arrivals import SHAPES, spread_coarse_times, spread_totals, synthesise
from spillway.planner.workload import Total, Workload, WorkloadError


def test_means_and_count_are_met_exactly() -> None:
    """A month of so many requests has that many, with the asked mean lengths."""
    workload = synthesise(100_000, 2000, 500)
    assert len(workload) == 100_000
    assert workload.mean_input_tokens == 2000
    assert workload.mean_output_tokens == 500
    assert workload.requests_per_month == pytest.approx(100_000)
    assert (np.diff(workload.time_s) >= 0).all()


def test_same_seed_same_arrivals() -> None:
    """The seed decides everything; another seed gives another month."""
    one, two, other = (synthesise(1000, 100, 10, seed=seed) for seed in (7, 7, 8))
    assert (one.time_s == two.time_s).all()
    assert (one.input_tokens == two.input_tokens).all()
    assert (one.time_s != other.time_s).any()


@pytest.mark.parametrize("shape", SHAPES)
def test_hours_follow_the_shape(shape: str) -> None:
    """Each hour of the day gets its weight of the requests."""
    workload = synthesise(400_000, 10, 10, shape, days=28)
    hours = (workload.time_s // 3600).astype(int) % 24
    share = np.bincount(hours, minlength=24) / len(workload)
    weights = np.array(SHAPES[shape].hours)
    assert np.abs(share - weights / weights.sum()).max() < 0.01


def test_gaps_are_as_bursty_as_asked() -> None:
    """With a flat shape the variation of gaps is the one asked for."""
    for cv in (0.5, 1.0, 3.0):
        total = Total(0.0, 86_400.0, 50_000, 500_000, 500_000)
        gaps = np.diff(spread_totals([total], "flat", burst_cv=cv).time_s)
        assert gaps.std() / gaps.mean() == pytest.approx(cv, rel=0.1)


def test_gaps_of_all_models_together_are_as_bursty_as_asked() -> None:
    """Models of one period share its bursts, and each still has its own requests and tokens."""
    totals = [Total(0.0, 86_400.0, 5000 + k, 50_000 + k, 500_000, model=f"m{k}") for k in range(8)]
    workload = spread_totals(totals, "flat", burst_cv=3.0)
    gaps = np.diff(workload.time_s)
    assert gaps.std() / gaps.mean() == pytest.approx(3.0, rel=0.1)
    for k in range(8):
        of_model = workload.model == k
        assert (of_model.sum(), workload.input_tokens[of_model].sum()) == (5000 + k, 50_000 + k)
        assert np.diff(workload.time_s[of_model]).max() < 1000


@given(st.integers(1, 200), st.integers(0, 5000), st.integers(0, 5000))
def test_sums_are_exact_for_any_total(requests: int, input_tokens: int, output_tokens: int) -> None:
    """Token sums are kept to the last token, however few there are."""
    cached = input_tokens // 3
    workload = spread_totals([Total(0.0, 3600.0, requests, input_tokens, output_tokens, cached, "m")])
    assert len(workload) == requests
    assert workload.cached_tokens is not None
    assert workload.cached_tokens.sum() == cached
    assert (workload.cached_tokens <= workload.input_tokens).all()
    assert workload.input_tokens.sum() == input_tokens
    assert workload.output_tokens.sum() == output_tokens
    assert workload.input_tokens.min() >= 0


def test_periods_without_requests_are_time() -> None:
    """Totals of nothing lengthen the time covered, before the first request and after the last."""
    totals = [Total(3600.0 * hour, 3600.0, 9 if hour == 2 else 0, 9, 9) for hour in range(5)]
    workload = spread_totals(totals)
    assert (len(workload), workload.span_s) == (9, 5 * 3600.0)
    assert 7200 <= workload.time_s[0] <= workload.time_s[-1] < 10_800


def test_faster_arrivals_keep_their_lengths() -> None:
    """A sped-up workload has the same requests in a shorter time, and says so."""
    workload = synthesise(1000, 100, 10)
    fast = workload.at_rate(10)
    assert fast.requests_per_month == pytest.approx(10_000)
    assert fast.input_tokens is workload.input_tokens
    assert "10 times" in fast.notes[-1]
    with pytest.raises(ValueError, match="positive"):
        workload.at_rate(0)


def test_nothing_and_unknown_shapes_are_refused() -> None:
    """No request at all and a shape nobody knows end in a sentence."""
    with pytest.raises(WorkloadError, match="at least one request"):
        synthesise(0, 1, 1)
    with pytest.raises(WorkloadError, match="hold no request"):
        spread_totals([Total(0.0, 1.0, 0, 0, 0)])
    with pytest.raises(WorkloadError, match="use one of flat, consumer, office"):
        synthesise(10, 1, 1, "weekend")


def clocked(step_s: float, count: int = 20_000, offset_s: float = 0.0) -> Workload:
    """Two weeks of requests at random, their times cut down to such steps of the clock."""
    time_s = np.sort(np.random.default_rng(5).uniform(0, 14 * 86_400, count)) // step_s * step_s
    ones = np.ones(count, dtype=np.int32)
    first_s = float(time_s[0])
    return Workload(
        time_s=time_s - first_s,
        input_tokens=np.arange(count, dtype=np.int32),
        output_tokens=ones,
        cached_tokens=None,
        model=0 * ones,
        models=("m",),
        span_s=14 * 86_400.0,
        start_wall_s=1_793_577_600.0 + first_s + offset_s,
    )


@pytest.mark.parametrize(
    ("minutes", "said"),
    [(1, "whole minutes"), (5, "multiples of 5 minutes"), (10, "multiples of 10 minutes"),
     (15, "multiples of 15 minutes"), (30, "multiples of 30 minutes"), (60, "whole hours"),
     (1440, "whole days")],
)  # fmt: skip
@pytest.mark.parametrize("zone_s", [0, 20_700])
def test_times_of_coarse_clocks_are_spread(minutes: int, said: str, zone_s: int) -> None:
    """Requests of a minute or of ten come within it, in their order, and the plan says so."""
    coarse = clocked(60.0 * minutes, offset_s=-zone_s)  # as in Nepal, whose offset is 5:45
    found = spread_coarse_times(coarse, seed=1)
    assert (np.diff(found.time_s) >= 0).all()
    assert (found.time_s // (60 * minutes) * 60 * minutes == coarse.time_s).all()
    assert len(np.unique(found.time_s)) == len(coarse)
    assert (found.input_tokens == coarse.input_tokens).all()
    assert found.grade == "derived"
    assert f"all times are {said}: requests were spread" in found.notes[-1]
    assert (spread_coarse_times(coarse, seed=1).time_s == found.time_s).all()


@pytest.mark.parametrize(
    "workload", [clocked(1.0), clocked(60.0, count=30), clocked(3600.0, offset_s=600.0), clocked(7.0)]
)
def test_times_that_tell_more_stay(workload: Workload) -> None:
    """Seconds, a handful of requests, and a job that runs at ten past the hour are taken as they are."""
    assert spread_coarse_times(workload) is workload
