"""Thresholds keep the owner's bound, in simulation as promised."""

from __future__ import annotations

import bisect
import math
import random
from collections.abc import Callable

import pytest

from spillway.verify import OnlineThreshold, choose_threshold
from spillway.verify.thresholds import GRID, binomial_cdf, least_answers, lower_bound, p_value, upper_bound

Curve = Callable[[float], float]
"""Confidence → chance that such an answer is right."""

DELTA = 0.1
RUNS = 1_000


def confidence(rng: random.Random) -> float:
    """Confidences as a model gives them: most near one, some low."""
    return 1.0 / (1.0 + math.exp(-rng.gauss(3.0, 2.0)))


def draw(rng: random.Random, count: int, right: Curve) -> list[tuple[float, float]]:
    """(confidence, correctness) of independent answers."""
    scores = [confidence(rng) for _ in range(count)]
    return [(score, float(rng.random() < right(score))) for score in scores]


def true_rates(right: Curve) -> list[float]:
    """The rate of wrong answers that each threshold of the grid keeps, from 200,000 confidences."""
    rng = random.Random(99)
    scores = sorted(confidence(rng) for _ in range(200_000))
    wrong = [1.0 - right(score) for score in scores]
    below, total = [0.0], sum(wrong)
    for value in wrong:
        below.append(below[-1] + value)
    places = [bisect.bisect_left(scores, threshold) for threshold in GRID]
    return [(total - below[at]) / max(1, len(scores) - at) for at in places]


def informative(score: float) -> float:
    """Sure answers are right, unsure ones a coin."""
    return 0.5 + 0.499 * math.sqrt(score)


def useless(score: float) -> float:
    """Every answer is a little more often wrong than allowed, whatever its confidence."""
    return 1.0 - 0.0505


def calm(score: float) -> float:
    """Overconfident at the very top, good below: the strictest thresholds are the worst."""
    return 0.9 if score > 0.999 else 0.97


CURVES = {"informative": informative, "useless": useless, "overconfident": calm}


@pytest.mark.parametrize("name", CURVES)
def test_at_most_delta_of_a_thousand_calibrations_break_the_bound(name: str) -> None:
    """Over 1,000 seeded runs the true rate of what is kept exceeds alpha in at most the promised share."""
    right, alpha = CURVES[name], 0.05
    rates = dict(zip(GRID, true_rates(right), strict=True))
    violations = kept = 0
    for seed in range(RUNS):
        chosen = choose_threshold(draw(random.Random(seed), 300, right), alpha=alpha, delta=DELTA)
        if chosen.value is not None:
            kept += 1
            violations += rates[chosen.value] > alpha
    assert violations <= DELTA * RUNS
    if name == "informative":
        assert kept > 0.9 * RUNS  # it does not keep its promise by never promising


def test_a_start_given_in_advance_keeps_the_bound_too() -> None:
    """With the first threshold fixed beforehand the promise needs no assumption at all."""
    rates = dict(zip(GRID, true_rates(calm), strict=True))
    violations = 0
    for seed in range(RUNS):
        pairs = draw(random.Random(seed), 300, calm)
        chosen = choose_threshold(pairs, alpha=0.05, delta=DELTA, start=0.98)
        violations += chosen.value is not None and rates[chosen.value] > 0.05
    assert violations <= DELTA * RUNS


def test_more_answers_allow_a_looser_threshold() -> None:
    """What is kept grows with the evidence."""
    small = choose_threshold(draw(random.Random(5), 200, informative), alpha=0.05)
    large = choose_threshold(draw(random.Random(5), 5_000, informative), alpha=0.05)
    assert small.value is not None
    assert large.value is not None
    assert large.value < small.value
    assert large.kept_ratio is not None
    assert large.wrong / large.kept < 0.05


def test_nothing_is_kept_without_support() -> None:
    """No answers, too few, or all wrong: no threshold, and the gate gets infinity."""
    for pairs in ([], [(0.9, 1.0)] * 20, [(0.9, 0.0)] * 500):
        chosen = choose_threshold(pairs, alpha=0.05)
        assert chosen.value is None
        assert chosen.gate_value == math.inf
    assert choose_threshold([], alpha=0.05).kept_ratio is None
    assert choose_threshold([(0.9, 1.0)] * 500, alpha=0.05).value == 0.0


def test_shares_of_points_are_allowed() -> None:
    """Fractional correctness is judged by a bound for losses between 0 and 1."""
    pairs = [(random.Random(i).random() * 0.1 + 0.9, 0.98) for i in range(400)]
    assert choose_threshold(pairs, alpha=0.05).value == 0.0
    assert choose_threshold([(0.9, 0.9)] * 400, alpha=0.05).value is None


@pytest.mark.parametrize(("alpha", "delta"), [(0.0, 0.1), (1.0, 0.1), (0.1, 0.0), (0.1, 1.5)])
def test_senseless_bounds_are_refused(alpha: float, delta: float) -> None:
    """Bounds outside of 0 to 1 are errors of the caller."""
    with pytest.raises(ValueError):
        choose_threshold([], alpha=alpha, delta=delta)
    with pytest.raises(ValueError):
        OnlineThreshold(alpha=alpha, delta=delta)


def test_binomial_figures() -> None:
    """Exact values by hand: a fair coin, a rule of three, bounds that invert the test."""
    assert binomial_cdf(1, 2, 0.5) == pytest.approx(0.75)
    assert binomial_cdf(5, 5, 0.3) == 1.0
    assert upper_bound(0, 100, 0.05) == pytest.approx(1 - 0.05**0.01, abs=1e-9)
    assert upper_bound(3, 3, 0.05) == 1.0
    assert binomial_cdf(4, 200, upper_bound(4, 200, 0.05)) == pytest.approx(0.05, abs=1e-6)
    assert lower_bound(0, 100, 0.05) == pytest.approx(0.0, abs=1e-9)
    assert lower_bound(100, 100, 0.05) == pytest.approx(0.05**0.01, abs=1e-9)
    assert least_answers(0.05, 0.05) == 59
    assert p_value(0, 0, 0.1) == 1.0
    assert p_value(20, 100, 0.1) == 1.0
    assert p_value(1.5, 100, 0.1, is_binary=False) < 0.01


COARSE = tuple(GRID[i] for i in range(0, len(GRID), 6))


@pytest.mark.parametrize("name", ["informative", "useless"])
def test_a_learned_threshold_keeps_the_bound_at_every_moment(name: str) -> None:
    """Over 200 seeded streams, looked at after every answer, at most delta ever use a wrong threshold."""
    right, alpha, runs = CURVES[name], 0.1 if name == "informative" else 0.05, 200
    rates = dict(zip(GRID, true_rates(right), strict=True))
    violations = earned = 0
    for seed in range(runs):
        rng = random.Random(seed)
        learned = OnlineThreshold(alpha=alpha, delta=DELTA, grid=COARSE)
        is_wrong = False
        for score, correctness in draw(rng, 300, right):
            value = learned.update(score, correctness)
            is_wrong = is_wrong or (value is not None and rates[value] > alpha)
        violations += is_wrong
        earned += learned.value is not None
    assert violations <= DELTA * runs
    if name == "informative":
        assert earned > 0.5 * runs


def test_unequal_checking_is_weighed() -> None:
    """When unsure answers are checked always and sure ones rarely, the shares make up for it."""
    rng = random.Random(4)
    learned = OnlineThreshold(alpha=0.1, least_share=0.2, grid=COARSE)
    for score, right in draw(rng, 12_000, informative):
        share = 0.2 if score > 0.9 else 1.0
        if rng.random() < share:
            learned.update(score, right, share=share)
        else:
            learned.observe(score)
    assert learned.value is not None
    assert dict(zip(GRID, true_rates(informative), strict=True))[learned.value] <= 0.1


def test_starts_over_when_the_traffic_turns() -> None:
    """A model that becomes worse loses its threshold within some tens of answers."""
    learned = OnlineThreshold(alpha=0.05, grid=COARSE)
    for score, right in draw(random.Random(1), 1_500, informative):
        learned.update(score, right)
    earned, restarts = learned.value, learned.restarts
    assert OnlineThreshold(alpha=0.05).gate_value is None
    assert learned.gate_value == earned
    assert earned is not None
    assert restarts == 0
    rng, taken = random.Random(2), 0
    while learned.restarts == 0 and taken < 400:
        learned.update(0.999, float(rng.random() < 0.7))
        taken += 1
    assert learned.restarts == 1
    assert learned.value is None
    assert learned.gate_value == math.inf
    assert taken < 100


def test_state_survives_a_restart() -> None:
    """What was learned can be stored as JSON values and taken up again; other settings' state is refused."""
    learned = OnlineThreshold(alpha=0.05, grid=COARSE)
    for score, right in draw(random.Random(1), 900, informative):
        learned.update(score, right)
    again = OnlineThreshold(alpha=0.05, grid=COARSE)
    assert again.restore(learned.to_state())
    for score, right in draw(random.Random(2), 300, informative):
        assert learned.update(score, right) == again.update(score, right)
    assert again.threshold == learned.threshold
    assert not OnlineThreshold(alpha=0.04, grid=COARSE).restore(learned.to_state())
    assert not again.restore({})
    for damage in ({"wealth": None}, {"wealth": [[0.0]] * len(COARSE)}, {"kept": [1]}, {"n": "many"}):
        assert not again.restore({**learned.to_state(), **damage})
    assert again.threshold == learned.threshold
