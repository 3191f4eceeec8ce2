"""What rule 6 is made of: forecast, usual work, margin, quantile, and the pace of a node."""

from __future__ import annotations

import math
from itertools import combinations, pairwise

import numpy as np
import pytest

from spillway.planner.catalogue import load_machines, load_models
from spillway.planner.node_model import NodeModel, load_fit
from spillway.slo.forecast import forecast, miss_weight
from spillway.slo.learner import PaceLearner
from spillway.slo.margin import Margin, Margins, Quantile
from spillway.slo.pace import LinearPace, usual_gaps
from spillway.slo.usual_work import UsualWork, weighed_s
from spillway.vocabulary import Load

NODE = NodeModel(load_machines()["rtx-4090"].machine, load_models()["llama-3.1-8b"].shape(), load_fit())
IDLE = Load(0, 8, 0.0, 0.0, 0, 0, 0.0, 0.0)


def test_idle_node_takes_its_own_time() -> None:
    """With nothing else there, first token and end are those of the request alone."""
    found = forecast(IDLE, NODE, 2000, 0, 100, 100)
    assert found.ttft_s == pytest.approx(NODE.prefill_s(2000))
    assert found.total_s - found.ttft_s == pytest.approx(100 * NODE.decode_step_s(1, 2050))


def test_everything_before_it_delays_a_request() -> None:
    """Unread prompts, running answers, a full house and a cached prefix move the forecast the right way."""
    base = forecast(IDLE, NODE, 2000, 0, 100, 100)
    unread = forecast(Load(1, 8, 3.0, 4.0, 1, 0, 0.0, 2000.0), NODE, 2000, 0, 100, 100)
    assert unread.ttft_s == pytest.approx(base.ttft_s + 3.0)
    running = forecast(Load(4, 8, 0.0, 0.0, 0, 4, 8000.0, 0.0), NODE, 2000, 0, 100, 100)
    assert running.ttft_s > base.ttft_s
    assert running.total_s > base.total_s
    full = forecast(Load(8, 8, 0.0, 0.0, 0, 8, 8000.0, 0.0), NODE, 2000, 0, 100, 100)
    assert full.ttft_s > running.ttft_s
    assert forecast(IDLE, NODE, 2000, 1900, 100, 100).ttft_s < base.ttft_s


def test_usual_work_is_a_mean_at_first_and_then_moves_slowly() -> None:
    """Three arrivals make a plain mean; after ten thousand one enormous request hardly moves it."""
    usual = UsualWork()
    for work_s in (1.0, 2.0, 6.0):
        usual.see(work_s)
    assert usual.value == pytest.approx(3.0)
    for _ in range(10_000):
        usual.see(1.0)
    usual.see(50.0)
    assert usual.value == pytest.approx(1.0, abs=0.16)


def test_a_wait_counts_for_more_the_larger_the_request() -> None:
    """With the square of the size, from a half on; where nothing waits it does not matter."""
    assert [weighed_s(2.0, work_s, 1.0) for work_s in (1.0, 3.0, 0.5, 0.01)] == [2.0, 18.0, 0.5, 0.5]
    assert weighed_s(0.0, 1000.0, 1.0) == 0.0


def test_margin_settles_where_the_share_is_kept() -> None:
    """When answers are late exactly above some margin, the margin stays near it."""
    margin = Margin(0.95)
    random = np.random.default_rng(1)
    seen = []
    for _ in range(5000):
        is_in_time = bool(random.random() > (0.3 if margin.value > 1.1 else 0.0))
        margin.learn(is_in_time)
        seen.append(is_in_time)
    assert margin.value == pytest.approx(1.1, abs=0.1)
    assert np.mean(seen[1000:]) == pytest.approx(0.96, abs=0.01)


def test_each_attainment_gets_what_it_asked_for() -> None:
    """On one node, where answers are late the more often the more a forecast may use."""
    margins, random = Margins(), np.random.default_rng(3)
    seen: dict[float, list[bool]] = {0.9: [], 0.99: []}
    for _ in range(20_000):
        for attainment, kept in seen.items():
            share = dict(margins.values).get(attainment, 0.85)
            kept.append(bool(random.random() > 0.2 * share**2))
            margins.learn(attainment, kept[-1])
    assert [attainment for attainment, _ in margins.values] == [0.9, 0.99]
    assert np.mean(seen[0.9][2000:]) == pytest.approx(0.91, abs=0.01)
    assert np.mean(seen[0.99][2000:]) == pytest.approx(0.997, abs=0.004)
    assert dict(margins.values)[0.99] < dict(margins.values)[0.9]


def test_quantile_covers_its_share_and_follows_a_change() -> None:
    """95 of 100 values lie below it, also after all of them tripled."""
    random = np.random.default_rng(2)
    quantile = Quantile(0.95)
    for _ in range(3000):
        quantile.learn(float(random.lognormal(0.0, 0.4)))
    assert quantile.covered / quantile.seen == pytest.approx(0.95, abs=0.01)
    for _ in range(60):
        quantile.learn(3 * float(random.lognormal(0.0, 0.4)))
    before = quantile.covered, quantile.seen
    for _ in range(1000):
        quantile.learn(3 * float(random.lognormal(0.0, 0.4)))
    assert (quantile.covered - before[0]) / (quantile.seen - before[1]) == pytest.approx(0.95, abs=0.015)


def test_a_part_of_a_miss_lowers_the_margin_by_a_part() -> None:
    """Who leaves the queue while a cloud is still in time missed less than one whose cloud is late."""
    whole, part = Margin(start=1.0), Margin(start=1.0)
    whole.learn(False)
    part.learn(False, miss_weight(1.0, 2.0, 0.5))
    assert 1.0 - part.value == pytest.approx(0.25 * (1.0 - whole.value))
    assert (
        miss_weight(1.6, 2.0, 0.5)
        == miss_weight(1.0, math.inf, 0.5)
        == miss_weight(1.0, 2.0, math.inf)
        == 1.0
    )


def test_margin_learns_faster_at_first() -> None:
    """The first miss moves it more than one after a thousand answers."""
    fresh, old = Margin(), Margin()
    for _ in range(1000):
        old.learn(True)
    before = old.value
    fresh.learn(False)
    old.learn(False)
    assert Margin().value - fresh.value > 4 * (before - old.value)


TRUTH = LinearPace(0.02, 0.001, 0.0, 0.01, 0.005, 1e-6)


def teach(learner: PaceLearner, answers: int, start_s: float, slower: float = 1.0, seed: int = 0) -> float:
    """Answers of a node that is ``slower`` than the truth, one a second; returns the time after them."""
    random = np.random.default_rng(seed)
    for i in range(answers):
        now_s = start_s + i
        prompt, batch = float(random.integers(20, 3000)), float(random.integers(1, 5))
        noise = float(random.lognormal(0.0, 0.1))
        learner.note_prefill(now_s, slower * noise * TRUTH.prefill_s(prompt), [(prompt, 0.0)])
        learner.note_decode(now_s, slower * noise * TRUTH.decode_step_s(batch, prompt), batch, prompt)
    return start_s + answers


def test_pace_is_unknown_before_the_first_answer_and_close_after_thirty() -> None:
    """No answer, no pace; thirty answers of random size tell it to a fifth, inside what was seen."""
    learner = PaceLearner()
    assert learner.pace(0.0) is None
    now_s = teach(learner, 60, 0.0)
    pace = learner.pace(now_s)
    assert pace is not None
    for prompt in (100.0, 1000.0, 3000.0):
        assert pace.prefill_s(prompt) == pytest.approx(TRUTH.prefill_s(prompt), rel=0.25)
        for batch in (1.0, 4.0):
            expected_s = TRUTH.decode_step_s(batch, prompt)
            assert pace.decode_step_s(batch, prompt) == pytest.approx(expected_s, rel=0.25)


def test_cached_prompts_teach_the_same_pace() -> None:
    """Answers whose prompts were there for the most part tell the time of what was read, attention too."""
    truth = LinearPace(0.02, 0.001, 1e-7, 0.01, 0.005, 1e-6)
    learner = PaceLearner(truth)
    random = np.random.default_rng(3)
    for i in range(200):
        prompt = float(random.integers(100, 8000))
        cached = prompt * float(random.uniform(0.0, 0.95))
        learner.note_prefill(float(i), truth.prefill_s(prompt, cached), [(prompt, cached)])
    pace = learner.pace(200.0)
    assert pace is not None
    assert pace.prefill_s(6000, 0) == pytest.approx(truth.prefill_s(6000, 0), rel=0.01)
    assert pace.prefill_s(6000, 5500) == pytest.approx(truth.prefill_s(6000, 5500), rel=0.01)


def test_gaps_are_the_mean_over_all_choices_of_slots() -> None:
    """Counted over every set of busy slots that there is."""
    for slots in range(1, 8):
        for batch in range(1, slots + 1):
            sets = list(combinations(range(slots), batch))
            gaps = sum(b - a > 1 for chosen in sets for a, b in pairwise(chosen))
            assert usual_gaps(batch, slots) == pytest.approx(gaps / len(sets))
    assert usual_gaps(9, 4) == usual_gaps(0, 4) == usual_gaps(2, 0) == 0.0


def test_known_gaps_are_not_taken_for_a_slower_node() -> None:
    """A node whose gaps the profile tells is found as fast as it was, whatever the batch."""
    truth = LinearPace(0.02, 0.001, 0.0, 0.01, 0.005, 1e-6, step_gap_s=0.02, slots=4)
    learner = PaceLearner(truth)
    random = np.random.default_rng(5)
    for i in range(200):
        batch = float(random.integers(1, 5))
        learner.note_decode(float(i), truth.decode_step_s(batch, 500.0), batch, 500.0)
    pace = learner.pace(200.0)
    assert pace is not None
    for batch in (1.0, 2.0, 3.0, 4.0):
        assert pace.decode_step_s(batch, 500) == pytest.approx(truth.decode_step_s(batch, 500), rel=0.01)


def test_a_few_tokens_behind_a_long_history_take_longer_than_their_length_says() -> None:
    """Where fewer than 64 are read at once each pair takes its own time."""
    pace = LinearPace(prefill_token_s=0.001, attention_s=1e-6, tail_attention_s=5e-6)
    assert pace.prefill_s(464, 400) == pytest.approx(0.064 + 1e-6 * 64 * 432)
    assert pace.prefill_s(463, 400) == pytest.approx(0.063 + 5e-6 * 63 * 431.5)


@pytest.mark.parametrize("profile", [None, TRUTH])
def test_a_node_that_gets_slower_is_believed_within_ten_answers(profile: LinearPace | None) -> None:
    """Three times slower: after ten answers, far below a minute of traffic, the forecast has followed."""
    learner = PaceLearner(profile)
    now_s = teach(learner, 60, 0.0)
    now_s = teach(learner, 10, now_s, slower=3.0, seed=1)
    pace = learner.pace(now_s)
    assert pace is not None
    assert pace.prefill_s(1000) == pytest.approx(3 * TRUTH.prefill_s(1000), rel=0.3)
    assert pace.decode_step_s(2, 1000) == pytest.approx(3 * TRUTH.decode_step_s(2, 1000), rel=0.3)
    later = learner.pace(now_s + 600)
    assert later is not None
    assert later.prefill_s(1000) < 2 * TRUTH.prefill_s(1000), "without answers it is tried again"


def test_a_profile_speaks_before_any_answer() -> None:
    """What ``spillway bench`` saved is what the first request is judged by."""
    pace = PaceLearner(TRUTH).pace(0.0)
    assert pace is not None
    assert pace.prefill_s(1000) == pytest.approx(TRUTH.prefill_s(1000))
    assert pace.decode_step_s(2, 1000) == pytest.approx(TRUTH.decode_step_s(2, 1000))
