"""What would be safe to keep local, from outcomes alone."""

from __future__ import annotations

import random

import pytest

from spillway.cli.evidence_safe import Case, ClassLine, LogReport, make_report


def report_of(cases: list[Case]) -> LogReport:
    """The report at the default limits."""
    return make_report(
        cases,
        0.05,
        0.95,
        log="l",
        local="a",
        reference="b",
        prompts=len(cases),
        unusable_lines=0,
        local_failures=0,
        reference_failures=0,
        not_asked=0,
        reference_cost_usd=None,
    )


def line_of(cases: list[Case]) -> ClassLine:
    """The only class."""
    (line,) = report_of(cases).classes
    return line


def test_agreement_over_enough_prompts_is_safe() -> None:
    """A hundred answers without a difference bound the gap below the limit; thirty do not."""
    line = line_of([Case("extraction", gap=0.0)] * 100)
    assert (line.verdict, line.keep_ratio, line.agreement) == ("safe", 1.0, 1.0)
    assert line.gap_upper is not None
    assert line.gap_upper < 0.05
    few = line_of([Case("extraction", gap=0.0)] * 30)
    assert (few.verdict, few.keep_ratio) == ("undecided", 0.0)
    assert few.more_prompts is not None
    assert 30 <= few.more_prompts <= 80


def test_disagreement_is_unsafe() -> None:
    """One difference in three answers is shown to be too much."""
    line = line_of([Case("math", gap=float(i % 3 == 0)) for i in range(60)])
    assert line.verdict == "unsafe"
    assert line.gap_lower is not None
    assert line.gap_lower > 0.05


def test_the_surest_part_may_be_kept() -> None:
    """Where confidence tells right from wrong, the part above a threshold is safe though the whole is not."""
    rng = random.Random(3)
    cases = []
    for _ in range(600):
        sure = rng.random()
        cases.append(Case("closed_qa", gap=float(sure < 0.3), confidence=sure))
    line = line_of(cases)
    assert line.verdict == "partly"
    assert line.least_confidence is not None
    assert 0.5 < line.keep_ratio <= 0.75


def test_gates_count_against_what_is_kept_not_against_quality() -> None:
    """What a gate turns away goes to a cloud: the rest is safe, and the share falls by as much."""
    cases = [Case("extraction", gate="gate_json")] * 25 + [Case("extraction", gap=0.0)] * 100
    line = line_of(cases)
    assert (line.verdict, line.gate_failures, line.keep_ratio) == ("safe", 0.2, 0.8)


def test_texts_without_a_judge_are_undecided() -> None:
    """Nothing that could compare them, nothing said about them."""
    line = line_of([Case("generation")] * 50)
    assert (line.verdict, line.agreement, line.gap_upper) == ("undecided", None, None)
    assert "--judge" in line.why


def test_the_quality_limit_is_the_share_over_all_classes() -> None:
    """Safe classes count by their share of the prompts; undecided ones are told apart as a hope."""
    cases = [Case("extraction", gap=0.0)] * 150 + [Case("math", gap=1.0)] * 30 + [Case("code")] * 20
    report = report_of(cases)
    assert report.quality_limit_ratio == pytest.approx(0.75)
    assert report.quality_limit_if_decided_ratio == pytest.approx(0.85)
    assert [line.task for line in report.classes] == ["extraction", "math", "code"]


def test_a_better_node_is_safe() -> None:
    """Expected answers can show the node right where the reference is wrong."""
    cases = [Case("code", gap=gap) for gap in ([-1.0] * 30 + [0.0] * 160 + [1.0] * 10)]
    line = line_of(cases)
    assert line.verdict == "safe"
    assert line.gap == pytest.approx(-0.1)


@pytest.mark.parametrize("p", [0.05, 0.08])
def test_unsafe_classes_are_rarely_called_safe(p: float) -> None:
    """At or beyond the limit, at most five in a hundred logs are called safe in whole or in part."""
    wrong = 0
    for seed in range(100):
        rng = random.Random(seed)
        cases = [Case("x", gap=float(rng.random() < p), confidence=rng.random()) for _ in range(150)]
        wrong += line_of(cases).keep_ratio > 0
    assert wrong <= 5


def test_a_class_that_gates_turned_away_says_so() -> None:
    """Where no answer passed, that is the reason, not that nothing could compare them."""
    line = line_of([Case("extraction", gate="gate_json")] * 9)
    assert (line.verdict, line.keep_ratio, line.gate_failures) == ("undecided", 0.0, 1.0)
    assert line.why == "gates turned away all 9 answers: each would be paid twice"
