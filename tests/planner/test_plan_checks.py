"""What is checked of the traffic before a plan is trusted."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from spillway.errors import WorkloadError
from spillway.planner.plan_checks import traffic_warnings
from spillway.planner.plan_traffic import from_numbers, from_usage


def usage(folder: Path, times: Sequence[str], output_tokens: int = 5) -> list[str]:
    """A usage file with one request at each time."""
    path = folder / "u.csv"
    rows = "".join(f"{time},gpt-4o-mini,100,{output_tokens}\n" for time in times)
    path.write_text(f"time,model,input_tokens,output_tokens\n{rows}")
    return [str(path)]


def days(count: int) -> list[str]:
    """Noon of each day of October 2026."""
    return [f"2026-10-{day:02d}T12:00:00Z" for day in range(1, count + 1)]


@pytest.mark.parametrize(
    ("times", "said"),
    [(days(1), "1 request within 1 s"), (days(1) * 500, "500 requests within 1 s"), (days(9), "9 requests")],
    ids=["one", "all at once", "few"],
)
def test_a_moment_says_nothing_about_a_month(times: Sequence[str], said: str, tmp_path: Path) -> None:
    """Traffic from which no month follows is refused, with what to give instead."""
    with pytest.raises(WorkloadError, match=said) as caught:
        from_usage(usage(tmp_path, times))
    assert "--requests-per-month" in caught.value.message


def test_a_date_far_from_all_others_is_said_first(tmp_path: Path) -> None:
    """One wrong date stretches the usage over years; the plan says so before anything else."""
    warnings = traffic_warnings(from_usage(usage(tmp_path, ["2016-01-01T00:00:00Z", *days(30)])))
    assert warnings[0].startswith("no request for 3,926 days after 2016-01-01, 96 % of the time")
    steady = traffic_warnings(from_usage(usage(tmp_path, days(30))))
    assert not any("no request for" in each for each in steady)


def test_requests_without_answers_are_said(tmp_path: Path) -> None:
    """Embeddings are planned as prompts, and that is said."""
    warnings = traffic_warnings(from_usage(usage(tmp_path, days(30), output_tokens=0)))
    assert any("no output tokens" in each for each in warnings)


@pytest.mark.parametrize(
    ("lengths", "grades", "said"),
    [
        ((None, None), ("guess", "guess"), "1,000 input tokens and 250 output tokens a request are guesses"),
        ((80, None), ("given", "guess"), "250 output tokens a request are guesses"),
        ((None, 80), ("guess", "given"), "give --input-tokens"),
    ],
)
def test_lengths_that_nobody_gave_are_guesses(
    lengths: tuple[float | None, float | None], grades: tuple[str, str], said: str
) -> None:
    """A length that is not given is graded a guess, and a warning says how to give it."""
    traffic = from_numbers(100, *lengths)
    found = {each.name: each.grade for each in traffic.assumptions}
    assert (found["input tokens, mean"], found["output tokens, mean"]) == grades
    assert any(said in warning for warning in traffic_warnings(traffic))


def test_given_lengths_are_no_guesses() -> None:
    """Where both lengths are given there is nothing to warn of."""
    assert not any("guess" in warning for warning in traffic_warnings(from_numbers(100, 80, 20)))
