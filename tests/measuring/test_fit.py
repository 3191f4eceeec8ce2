"""Measured times become figures of a node."""

from __future__ import annotations

import numpy as np
import pytest
from msgspec import structs

from spillway.measuring.fit import Read, Step, best_slots, fit_pace
from spillway.slo.pace import LinearPace

TRUE = LinearPace(0.012, 0.0004, 2e-8, 0.018, 0.0025, 3e-7, tail_attention_s=9e-8, step_gap_s=0.004, slots=8)
PROMPTS = (16, 64, 256, 1024, 3000)


def samples(spread: float, seed: int = 1) -> tuple[list[Read], list[Step]]:
    """Times of the true node with a spread, each point several times."""
    random = np.random.default_rng(seed)

    def noisy(value: float) -> float:
        return float(value * np.exp(random.normal(0.0, spread)))

    reads = [
        Read(prompt, cached, noisy(TRUE.prefill_s(prompt, cached)))
        for prompt in PROMPTS
        for cached in (0, prompt // 2, prompt - 12)
        for _ in range(3)
    ]
    alone = structs.replace(TRUE, slots=0)
    steps = [
        Step(batch, context, noisy(alone.decode_step_s(batch, context) + gaps * TRUE.step_gap_s), gaps)
        for batch, gaps in ((1, 0), (2, 0), (2, 1), (4, 0), (8, 0))
        for context in (50, 800, 3000)
        for _ in range(2)
    ]
    return reads, steps


def test_known_figures_come_back() -> None:
    """Without noise the fit finds the very figures the times were made from."""
    found = fit_pace(*samples(0.0), slots=8)
    for key in LinearPace.__struct_fields__:
        assert getattr(found, key) == pytest.approx(getattr(TRUE, key), rel=1e-6)


def test_every_batch_size_weighs_as_much() -> None:
    """Where no line fits all, many samples of requests alone do not outweigh the few of a full batch."""
    steps = [Step(batch, context, 0.01 * batch**0.8) for batch in (1, 2, 8) for context in (100, 900)]
    few, many = fit_pace([], steps), fit_pace([], [*steps[:2] * 20, *steps[2:]])
    for batch in (1, 2, 8):
        assert many.decode_step_s(batch, 400) == pytest.approx(few.decode_step_s(batch, 400), rel=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_times_are_right_within_noise(seed: int) -> None:
    """With five percent of noise the predicted times are within six."""
    found = fit_pace(*samples(0.05, seed), slots=8)
    for prompt in PROMPTS:
        assert found.prefill_s(prompt, 0) == pytest.approx(TRUE.prefill_s(prompt, 0), rel=0.06)
    for batch in (1, 3, 8):
        assert found.decode_step_s(batch, 400) == pytest.approx(TRUE.decode_step_s(batch, 400), rel=0.06)


def test_a_stolen_core_does_not_bend_the_fit() -> None:
    """Points that took three times as long, one in eight, move the predicted times by less than 5 %."""
    reads, steps = samples(0.02)
    reads = [Read(r.prompt_tokens, r.cached_tokens, r.seconds * (3 if i % 8 == 3 else 1)) for i, r in
             enumerate(reads)]  # fmt: skip
    found = fit_pace(reads, steps)
    for prompt in PROMPTS:
        assert found.prefill_s(prompt, 0) == pytest.approx(TRUE.prefill_s(prompt, 0), rel=0.05)


def test_attending_from_a_tail_is_told_from_the_rest() -> None:
    """Where no short prompt behind a cached one was measured, pairs count as they do elsewhere."""
    reads, steps = samples(0.0)
    fresh = [read for read in reads if not read.cached_tokens]
    found = fit_pace(fresh, steps)
    assert found.tail_attention_s == found.attention_s > 0.0
    assert found.prefill_s(3000, 2990) < TRUE.prefill_s(3000, 2990)


def test_no_figure_is_negative() -> None:
    """A node whose longer prompts happened to be faster gets 0 rather than a negative time per token."""
    found = fit_pace([Read(10, 0, 0.2), Read(100, 0, 0.15)], [Step(1, 10, 0.02), Step(2, 10, 0.019)])
    assert min(getattr(found, key) for key in LinearPace.__struct_fields__) >= 0
    assert found.slots == 0, "no gap was seen to cost anything"
    assert found.prefill_s(50, 0) == pytest.approx(0.175, rel=0.2)


def test_nothing_measured_is_nothing_known() -> None:
    """Without samples all figures are 0, which no profile accepts."""
    assert fit_pace([], []) == LinearPace()


def test_best_slots_stops_where_throughput_stops() -> None:
    """Flat throughput needs one slot; a step that hardly grows with the batch deserves them all."""
    assert best_slots(LinearPace(step_sequence_s=0.01), 8, 100) == 1
    assert best_slots(LinearPace(step_base_s=1.0, step_sequence_s=1e-4), 8, 100) == 8
    assert 1 < best_slots(LinearPace(step_base_s=0.02, step_sequence_s=0.01), 32, 0) < 32
