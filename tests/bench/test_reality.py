"""The comparison with reality: loads, predictions and the table; no engine needed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench.reality.cells import Cell, Load, middle
from bench.reality.drive import Request
from bench.reality.foresee import Quantiles, capacity_rps, foresee, quantiles_of, workload_of
from bench.reality.mixes import MIXES, Mix, draw, mean_gap_s
from bench.reality.record import Record
from bench.reality.run import Schedule, table
from spillway.planner.profile import FitErrors, Profile
from spillway.slo.pace import LinearPace
from spillway.vocabulary import Objective

PROFILE = Profile(
    "twin", "llamacpp", None, "twin", "2026-11-24", 4, 4, 4, 512,
    LinearPace(0.01, 0.004, 0.0, 0.01, 0.003, 0.0), FitErrors(0, None, None, None, None), 1,
)  # fmt: skip


@pytest.mark.parametrize("mix", MIXES, ids=lambda mix: mix.name)
def test_a_load_is_what_its_mix_says(mix: Mix) -> None:
    """Lengths in range, the stated mean rate and burstiness, and the same seed gives the same load."""
    load = draw(mix, 4000, 0.5, seed=3)
    assert load == draw(mix, 4000, 0.5, seed=3)
    assert load != draw(mix, 4000, 0.5, seed=4)
    gaps = np.diff([one.at_s for one in load])
    assert gaps.mean() == pytest.approx(0.5, rel=0.1)
    assert gaps.var() / gaps.mean() ** 2 == pytest.approx(mix.burstiness, rel=0.25)
    low, high = mix.output_tokens
    assert all(low <= one.output_tokens <= high for one in load)
    is_long = [one.prompt_tokens > mix.prompt_tokens[1] for one in load]
    assert np.mean(is_long) == pytest.approx(mix.long_share, abs=0.03)


def test_rates_are_shares_of_what_the_node_completes() -> None:
    """At half the capacity requests hardly wait; at twice it the last ones wait longest."""
    mix = MIXES[0]
    capacity = capacity_rps(PROFILE, mix)
    medians = []
    for rate in (0.5, 2.0):
        wanted = draw(mix, 200, mean_gap_s(rate, capacity), seed=1)
        load = [Request(one.at_s, (), one.prompt_tokens, one.output_tokens) for one in wanted]
        result = foresee(workload_of(load, 0), PROFILE, None, Objective())
        medians.append(float(np.median(result.ttft_s)))
    assert medians[0] < 1.0 < medians[1]


def test_errors_are_told_over_real() -> None:
    """A prediction that was too long is a positive error."""
    real = quantiles_of([1.0] * 20, [2.0] * 20)
    assert Quantiles(1.5, 1.0, 1.0, 2.0).off_by(real) == pytest.approx(
        {"TTFT p50": 0.5, "TTFT p95": 0.0, "total p50": -0.5, "total p95": 0.0}
    )


def test_the_table_counts_hits_and_misses() -> None:
    """Times are judged where the node was alone, shares where the gateway was before it."""
    real = Quantiles(1.0, 2.0, 3.0, 4.0)
    told = Quantiles(1.1, 2.0, 3.0, 6.0)
    direct = Cell("m", 0.5, 50, 1.0, told, real, 0.01, 1.02)
    routed = Cell("m", 0.5, 50, 1.0, told, real, 0.01, None, told_share=0.8, real_share=0.7)
    text = table([direct, routed])
    assert "3 of 4 times of the node alone are within 25 %" in text
    assert "0 of 1 local shares are within 5 points" in text
    assert "6.00 → 4.00 s (+50%)" in text


def test_runs_of_a_load_are_judged_by_their_medians(tmp_path: Path) -> None:
    """Each figure's median over the calm runs; all are kept, and the table says how far they differ."""
    file = tmp_path / "runs.json"
    record = Record.read(file)
    record.keep(PROFILE)
    told = Quantiles(1.0, 2.0, 3.0, 4.0)
    reals = [Quantiles(1.0, 2.0, 3.0, 4.0), Quantiles(1.1, 2.4, 3.0, 9.0), Quantiles(0.9, 2.2, 3.0, 4.5)]
    shares = [0.9, 0.7, 0.8]
    cells = [
        Cell("m", 0.5, 50, 1.0, told, real, 0.0, 1.1, told_share=0.8, real_share=share, errors=1)
        for real, share in zip(reals, shares, strict=True)
    ]
    slow = replace(cells[0], real=Quantiles(9.0, 9.0, 9.0, 9.0), speed_ratio=1.3)
    assert middle([slow, slow]).real == slow.real
    for cell in (slow, *cells):
        record.add(cell)
    (cell,) = Record.read(file).cells
    assert cell.real == Quantiles(1.0, 2.2, 3.0, 4.5)
    assert (cell.real_share, cell.errors, cell.runs) == (0.8, 3, 3)
    assert cell.of_runs == 4
    assert cell.spread == pytest.approx(9.0 / 4.0 - 1.0)
    assert "| 3 of 4 | 125% |" in table([cell])


def test_loads_are_run_by_mix_until_each_was_run_in_calm() -> None:
    """What lacks a calm run comes again, mix after mix, straight to the engine and through the gateway."""
    loads = [Load(mix, rate, (), (), 0) for mix in MIXES[:2] for rate in (0.5, 0.8)]
    record = Record(None)
    record.keep(PROFILE)
    schedule = Schedule(loads, (False, True), record)
    both = [[(load, routed) for load in part for routed in (False, True)] for part in (loads[:2], loads[2:])]
    assert schedule.lacking(1) == both
    times = Quantiles(1.0, 2.0, 3.0, 4.0)
    for load in loads:
        speed = 1.3 if load is loads[0] else 1.0
        record.add(Cell(load.mix.name, load.rate, 9, 1.0, times, times, 0.0, speed))
    assert schedule.lacking(1) == [
        [(loads[0], False), (loads[0], True), (loads[1], True)],
        [(load, True) for load in loads[2:]],
    ]
    assert [len(part) for part in schedule.lacking(2)] == [4, 4]
