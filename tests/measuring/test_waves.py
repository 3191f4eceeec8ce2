"""What a measurement plans to send, and how its answers are read."""

from __future__ import annotations

import math
import random
from dataclasses import replace

import pytest

from spillway.measuring.ask import Answered
from spillway.measuring.campaign import step_of
from spillway.measuring.foretell import Sent, fit_errors, foretell
from spillway.measuring.prompts import Prompts
from spillway.measuring.waves import Plan, work_s
from spillway.slo.pace import LinearPace

PACE = LinearPace(0.01, 0.001, 0.0, 0.02, 0.005, 1e-5)


@pytest.mark.parametrize("context", [128, 512, 4096, None])
@pytest.mark.parametrize("duration_s", [5.0, 60.0])
@pytest.mark.parametrize("slowness", [0.01, 1.0, 30.0])
def test_a_plan_fits_the_node(context: int | None, duration_s: float, slowness: float) -> None:
    """No prompt with its answer exceeds the context, and no single read takes a tenth of the time."""
    pace = PACE.scaled(slowness, slowness)
    plan = Plan.made_for(pace, duration_s, context, 20, 4)
    dice = random.Random(1)
    waves = [*plan.alone(dice), plan.batch(4), plan.batch(4, is_long=True), *plan.probes(5, dice)]
    for ask in [ask for wave in waves for ask in wave.asks if not ask.continues]:
        assert ask.prompt_tokens + ask.output_tokens <= (context or 10_000)
        assert ask.output_tokens >= 2
        if ask.prompt_tokens > plan.shortest_tokens:
            assert pace.prefill_s(ask.prompt_tokens) <= duration_s / 10
    assert all(1 <= wave.size <= 5 for wave in waves)


def test_no_two_rounds_read_the_same_lengths() -> None:
    """Lengths vary from round to round, and over some rounds every eighth of the way has its part."""
    plan, dice = Plan.made_for(PACE, 60.0, 4096, 20, 4), random.Random(7)
    rounds = [[wave.asks[0].prompt_tokens for wave in plan.alone(dice)[:5]] for _ in range(8)]
    assert len({tuple(lengths) for lengths in rounds}) == 8
    for lengths in rounds:
        assert lengths == sorted(lengths)
        assert plan.shortest_tokens <= lengths[0]
        assert lengths[-1] <= plan.longest_tokens
    ratio = plan.longest_tokens / plan.shortest_tokens
    places = [math.log(n / plan.shortest_tokens, ratio) for lengths in rounds for n in lengths]
    assert {min(int(8 * place), 7) for place in places} == set(range(8))
    tails = [
        wave.asks[0].prompt_tokens for _ in range(8) for wave in plan.alone(dice) if wave.purpose == "cached"
    ]
    assert min(tails) >= plan.shortest_tokens
    assert len(set(tails)) > 8


def test_probes_differ_from_what_is_fitted() -> None:
    """Probes come at odd moments, from zero on, within about the time they take."""
    plan = Plan.made_for(PACE, 60.0, 4096, 20, 4)
    for wave in plan.probes(4, random.Random(3)):
        delays = [ask.delay_s for ask in wave.asks]
        assert delays[0] == 0.0
        assert delays == sorted(delays)
        assert work_s(wave, PACE) >= delays[-1]


def test_slots_are_chosen_where_they_can_be() -> None:
    """Batches run side by side and one pair apart; an engine that chooses itself is asked for none."""
    plan = replace(Plan.made_for(PACE, 60.0, 4096, 20, 4), slots=4)
    assert [ask.slot for ask in plan.batch(3).asks] == [0, 1, 2]
    assert [ask.slot for wave in plan.apart() for ask in wave.asks] == [0, 2]
    assert [wave.gaps for wave in (plan.batch(1), plan.batch(4), *plan.apart())] == [0, 0, 1]
    assert {ask.slot for ask in plan.batch(5).asks} == {None}, "it has no fifth slot"
    two, none = replace(plan, slots=2), replace(plan, slots=0)
    assert two.apart() == none.apart() == []
    assert [ask.slot for ask in none.batch(2).asks] == [None, None]


def test_prompts_get_the_length_they_should() -> None:
    """After two counted prompts the next are as long as wanted, and no two begin alike."""
    prompts = Prompts(seed=1)
    prompts.learn(8, 5 + 16)
    prompts.learn(32, 5 + 64)
    texts = [prompts.of_tokens(205) for _ in range(50)]
    assert {len(text.split()) for text in texts} == {100}
    assert len({text.split()[0] for text in texts}) == 50
    longer = prompts.continued(texts[0], 20)
    assert longer.startswith(texts[0] + " ")
    assert len(longer.split()) == 110


def answered(first_s: float, step_s: float, tokens: int, pieces: int | None = None) -> Answered:
    """An answer with evenly spaced pieces."""
    count = pieces or tokens
    gap_s = step_s * (tokens - 1) / max(count - 1, 1)
    return Answered(0.0, tuple(first_s + k * gap_s for k in range(count)), 50, 0, tokens)


def test_a_step_is_timed_while_all_write() -> None:
    """Only the stretch between the last first token and the first last token counts."""
    step = step_of([answered(1.0, 0.1, 40), answered(2.0, 0.1, 40)])
    assert step is not None
    assert step.batch == 2
    assert step.seconds == pytest.approx(0.1, rel=0.05)
    assert step.context_tokens == 70


def test_pieces_of_several_tokens_count_as_tokens() -> None:
    """An engine that sends two tokens at a time is not taken to be twice as slow."""
    step = step_of([answered(1.0, 0.05, 41, pieces=21)] * 2)
    assert step is not None
    assert step.seconds == pytest.approx(0.05, rel=0.05)


def test_answers_that_hardly_overlap_give_no_step() -> None:
    """Where sequences did not write together nothing is learned of writing together."""
    assert step_of([answered(0.0, 0.1, 10), answered(5.0, 0.1, 10)]) is None


def test_what_the_simulator_says_has_no_error_against_itself() -> None:
    """A wave that took exactly what the node model says is foretold exactly; a slower one by its factor."""
    asked = [
        Sent(0.0, 100, 0, 20, 1.0, 1.0),
        Sent(0.3, 400, 100, 10, 1.0, 1.0),
        Sent(0.5, 60, 0, 1, 1.0, None),
    ]
    told = foretell(PACE, 2, asked)
    real = [
        Sent(s.sent_s, s.prompt_tokens, s.cached_tokens, s.output_tokens, ttft_s, itl_s)
        for s, (ttft_s, itl_s) in zip(asked, told, strict=True)
    ]
    errors = fit_errors(PACE, 2, [real])
    assert (errors.probes, errors.ttft_p90_ratio, errors.itl_p90_ratio) == (3, 0.0, 0.0)
    assert told[2][1] is None
    slower = [Sent(s.sent_s, s.prompt_tokens, 0, s.output_tokens, 2 * s.ttft_s, s.itl_s) for s in real[:1]]
    assert fit_errors(PACE, 2, [slower]).ttft_median_ratio == 0.5


def test_no_probe_no_error_figure() -> None:
    """Without probes the error is unknown, not zero."""
    errors = fit_errors(PACE, 2, [])
    assert errors.probes == 0
    assert errors.ttft_median_ratio is None
