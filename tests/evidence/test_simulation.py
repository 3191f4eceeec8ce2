"""A small version of the published simulation: real outcomes' rates, seeded runs."""

from __future__ import annotations

from bench.evidence.outcomes import Cell, Pairs
from bench.evidence.simulate import boundary, summarise


def pairs(both: int, reference_only: int, local_only: int) -> tuple[tuple[float, float], ...]:
    """Scores of 100 questions: both right, only the reference, only the node, neither."""
    neither = 100 - both - reference_only - local_only
    return (
        ((1.0, 1.0),) * both
        + ((0.0, 1.0),) * reference_only
        + ((1.0, 0.0),) * local_only
        + ((0.0, 0.0),) * neither
    )


def test_far_worse_is_demoted_before_forty_bad_answers() -> None:
    """A gap of 0.38 (as Gemma-7B on function calls) is found in every run, within forty bad comparisons."""
    found = summarise("", pairs(39, 43, 5), runs=100, comparisons=400)
    assert found.demoted == 100
    assert found.bad_p95 is not None
    assert found.bad_p95 <= 40


def test_better_is_kept() -> None:
    """A model that is as good as the reference or better is never demoted, and mostly trusted."""
    found = summarise("", pairs(78, 4, 11), runs=100, comparisons=400)
    assert found.demoted == 0
    assert found.trusted >= 95


def test_a_change_for_the_worse_is_noticed_after_a_good_time() -> None:
    """Five hundred good comparisons do not hide what comes after them for long."""
    found = summarise("", pairs(39, 43, 5), runs=50, comparisons=400, before=pairs(78, 4, 11))
    assert found.demoted == 50
    assert found.bad_p95 is not None
    assert found.bad_p95 <= 60


def test_at_the_limit_either_verdict_comes_in_few_runs() -> None:
    """Exactly at the allowed gap, at most five in a hundred runs demote and at most five trust."""
    mixed = boundary(Pairs(Cell("", "", "", ""), pairs(39, 43, 5)), 0.05)
    found = summarise("", mixed, runs=200, comparisons=500)
    assert found.demoted <= 10
    assert found.trusted <= 10
