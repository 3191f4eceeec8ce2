"""Forecasts, work and margins worked out by hand, each term of a size that shows."""

from __future__ import annotations

import pytest

from spillway.slo.forecast import forecast, work_s
from spillway.slo.margin import HIGHEST, LOWEST, Margin, next_margin
from spillway.slo.pace import LinearPace
from spillway.vocabulary import Load

PACE = LinearPace(prefill_token_s=0.001, step_base_s=0.01, step_sequence_s=0.002, step_context_s=1e-6)
"""A token is read in 1 ms; a step takes 10 ms, 2 for each sequence and 1 µs for each token they hold."""


@pytest.mark.parametrize(
    ("load", "wait_s", "ttft_s", "total_s", "alone_s"),
    [
        # a step now takes 0.01 + 2 · 0.002 + 800 µs = 0.0148 s, and one with all four, who hold
        # 800 + 500 + 1000 + 2 · 50 tokens, 0.01 + 4 · 0.002 + 2400 µs = 0.0204 s
        (Load(3, 4, 0.5, 1.0, 1, 2, 800.0, 500.0), 0.0, 1.5444, 1.5444 + 300 * 0.0204, 1.0296),
        # full: three usual answers over four slots are waited for; 0.0196 s now, and 1600 + 900 + 1000 +
        # 3 · 50 tokens then, of no more than the four that fit: 0.02165 s
        (Load(6, 4, 0.9, 2.0, 2, 4, 1600.0, 900.0), 1.47, 3.4484, 3.4484 + 300 * 0.02165, 1.0392),
    ],
)
def test_a_forecast_counts_all_that_is_on_the_node(
    load: Load, wait_s: float, ttft_s: float, total_s: float, alone_s: float
) -> None:
    """For 1,000 tokens of prompt in two passes, usual answers of 100 tokens and long ones of 300."""
    found = forecast(load, PACE, 1000, 0, 100, 300)
    expected = (wait_s, ttft_s, total_s, alone_s)
    assert (found.wait_s, found.ttft_s, found.total_s, found.alone_s) == pytest.approx(expected)


def test_the_work_of_a_request_is_its_reading_and_its_part_of_the_steps() -> None:
    """A second of reading; of 100 steps of 18 ms a quarter, and what its own 1,050 tokens add to each."""
    assert work_s(PACE, 4, 1000, 0, 100) == pytest.approx(1.0 + 100 * (0.018 / 4 + 0.00105))


def test_a_margin_never_leaves_its_bounds() -> None:
    """However long all goes well or badly."""
    assert next_margin(HIGHEST, True, 0.95, 1.0) == HIGHEST
    assert next_margin(LOWEST, False, 0.95, 1.0) == LOWEST


@pytest.mark.parametrize("attainment", [0.95, 0.99, 0.999])
def test_a_margin_recovers_from_a_miss_whatever_is_promised(attainment: float) -> None:
    """One late answer does not keep a node out for ever, also where nearly all have to be in time."""
    margin = Margin(attainment)
    margin.learn(False)
    after_miss = margin.value
    for _ in range(100):
        margin.learn(True)
    assert margin.value > after_miss
