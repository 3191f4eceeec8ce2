"""What is checked of the traffic before a plan is trusted."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from spillway.errors import ConfigError, WorkloadError
from spillway.planner.arrivals import DAY_S, spread_totals
from spillway.planner.plan import make_plan
from spillway.planner.plan_build import Asked, build_inputs
from spillway.planner.plan_checks import check_idle, stretch_warnings, traffic_warnings, unknown_cached
from spillway.planner.plan_inputs import Effort, PlanInputs
from spillway.planner.plan_traffic import from_numbers, from_usage
from spillway.planner.workload import Total, Workload
from spillway.vocabulary import Objective
from tests.planner.plans import CHEAP, DAY


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


def test_minutes_are_said_as_minutes(tmp_path: Path) -> None:
    """Three minutes of requests are not said to cover no hours."""
    times = [f"2026-10-01T12:{second // 60:02d}:{second % 60:02d}Z" for second in range(0, 180, 5)]
    warnings = traffic_warnings(from_usage(usage(tmp_path, times)))
    assert any(each.startswith("the usage covers 3.0 minutes;") for each in warnings)


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


def uneven(counts: Sequence[int]) -> PlanInputs:
    """A plan about days of so many requests each, of which few are simulated."""
    totals = [Total(DAY_S * day, DAY_S, count, 300 * count, 60 * count) for day, count in enumerate(counts)]
    inputs = build_inputs(CHEAP)
    traffic = replace(inputs.traffic, workload=spread_totals(totals))
    return replace(inputs, traffic=traffic, effort=Effort(4000, 1000, 40))


def test_a_stretch_unlike_the_traffic_is_said() -> None:
    """Where half of all requests come on one day, no part is like the whole; both figures say so."""
    warnings = stretch_warnings(uneven([*[200] * 12, 5800, *[200] * 17]))
    assert len(warnings) == 2
    assert "simulated per fleet size, a request meets" in warnings[0]
    assert warnings[0].endswith("--simulate-requests 11600 takes all of it")
    assert "times as many others" in warnings[1]


def test_a_stretch_like_the_traffic_needs_no_word() -> None:
    """Days alike, or one day that nearly all requests come on, are simulated as they are."""
    assert not stretch_warnings(uneven([400] * 30))
    assert not stretch_warnings(uneven([*[1] * 12, 10_000, *[1] * 17]))


OPTIONS = ("--slo-ttft-ms", "--slo-total-ms")
SINGLE, TOTAL = "2026-10-{:02d}T12:00:00Z,gpt-4o-mini,1000,0", "2026-10-{:02d},gpt-4o-mini,1000,0"


def cached_usage(folder: Path, row: str, cached: Sequence[str]) -> PlanInputs:
    """A plan about one row a day of 1,000 input tokens of gpt-4o-mini, of which so many were cached."""
    totals = ",requests" if row == TOTAL else ""
    lines = [f"{row.format(1 + day)},{cell}{',2' if totals else ''}" for day, cell in enumerate(cached)]
    path = folder / "u.csv"
    head = f"time,model,input_tokens,output_tokens,cached_tokens{totals}"
    path.write_text("\n".join([head, *lines, ""]))
    return build_inputs(Asked(DAY, usage=(str(path),)))


@pytest.mark.parametrize(("row", "prompts"), [(SINGLE, "10 of 20"), (TOTAL, "20 of 40")])
def test_cached_tokens_that_some_rows_do_not_tell_are_said(row: str, prompts: str, tmp_path: Path) -> None:
    """They count as none in the price; what the share of all other prompts would save is told beside it."""
    found = unknown_cached(cached_usage(tmp_path, row, ["800", ""] * 10))
    assert found is not None
    assert (found.name, found.value) == (f"what was cached of {prompts} prompts", None)
    # cached tokens are half price: 0.6 of the full price with 80 % cached, 0.8 where only half the rows tell
    assert found.source.endswith("the cloud would cost 25 % less were 80 % of it cached as of the others")


def test_cached_tokens_that_no_row_tells_are_said(tmp_path: Path) -> None:
    """Where nobody knows a share none is made up: the most that it could save is said, and warned of."""
    inputs = cached_usage(tmp_path, SINGLE, [""] * 20)
    found = unknown_cached(inputs)
    assert found is not None
    assert found.name == "what was cached of the prompts"
    assert found.source == (
        "unknown and taken as nothing; the cloud would cost 50 % less at most, were all of it cached"
    )


@pytest.mark.parametrize("cached", ["0", "400"])
def test_known_cached_tokens_need_no_word(cached: str, tmp_path: Path) -> None:
    """None at all is known as well; and numbers that were asked about have no cache to know of."""
    assert unknown_cached(cached_usage(tmp_path, SINGLE, [cached] * 20)) is None
    assert unknown_cached(build_inputs(CHEAP)) is None


def test_a_plan_warns_of_what_it_does_not_know(tmp_path: Path) -> None:
    """Unknown cached tokens and a stretch unlike the traffic are among a plan's warnings."""
    inputs = cached_usage(tmp_path, SINGLE, [""] * 20)
    small = replace(inputs, sizes=(0, 1), effort=Effort(600, 300, 20))
    assert any(each.startswith("what was cached of the prompts is unknown") for each in warnings_of(small))
    crowded = replace(uneven([*[20] * 12, 580, *[20] * 17]), sizes=(0, 1), effort=Effort(400, 100, 20))
    assert any("times as many others within its hour" in each for each in warnings_of(crowded))


def warnings_of(inputs: PlanInputs) -> Sequence[str]:
    """What the whole plan warns of."""
    return make_plan(inputs, workers=1).warnings


def test_what_an_idle_node_could_do_is_asked_of_requests_at_random(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where every second request is too long to be in time, half of all could be, not all or none."""
    monkeypatch.setattr("spillway.planner.plan_checks.LOOKED_AT", 100)
    inputs = build_inputs(CHEAP)
    whole = from_numbers(200, 100, 20).workload
    prompts = np.where(np.arange(len(whole)) % 2, 100, 100_000).astype(np.int32)
    workload = replace(whole, input_tokens=prompts)
    ceiling = check_idle(replace(inputs, traffic=replace(inputs.traffic, workload=workload)))
    assert 0.35 < ceiling.in_time_share < 0.65


def lengths(*pairs: tuple[int, int]) -> Workload:
    """A month of requests that take turns at these lengths, prompt and answer."""
    whole = from_numbers(200, 100, 20).workload
    prompts, answers = np.resize(np.array(pairs, dtype=np.int32), (len(whole), 2)).T
    return replace(whole, input_tokens=prompts, output_tokens=answers)


def asked_of(
    workload: Workload, objective: Objective = CHEAP.objective, limit: int | None = None
) -> PlanInputs:
    """A plan about those requests."""
    inputs = build_inputs(CHEAP)
    traffic = replace(inputs.traffic, workload=workload)
    return replace(inputs, traffic=traffic, objective=objective, most_input_tokens=limit)


def test_a_node_may_not_get_what_the_owner_keeps_from_it() -> None:
    """A limit on prompts and a share of unsuitable requests lower what may go local, not what is in time."""
    limited = check_idle(asked_of(lengths((100, 20), (300, 20)), limit=200))
    assert (limited.in_time_share, limited.alone_share) == (0.5, 1.0)
    unsuited = check_idle(replace(asked_of(lengths((100, 20))), suitable_ratio=0.3))
    assert (unsuited.in_time_share, unsuited.alone_share) == (0.3, 1.0)


def test_a_limit_that_leaves_a_node_nothing_is_refused() -> None:
    """Where every prompt is longer than a node may get, no fleet is worth simulating."""
    with pytest.raises(ConfigError, match=r"as short as the 50 tokens .* raise --max-local-input-tokens"):
        check_idle(asked_of(lengths((100, 20)), limit=50))


def test_each_limit_that_requests_miss_is_named() -> None:
    """Where some are late with the first token and the others with the last, either limit may be raised."""
    mixed = lengths((6000, 20), (50, 2000))
    with pytest.raises(ConfigError) as caught:
        check_idle(asked_of(mixed, Objective("default", 0.5, 30.0)))
    said = caught.value.message
    assert "to the first token of 50 % of the requests and 0.5 s are allowed" in said
    assert "to the last token of 50 % of the requests and 30 s are allowed" in said
    first, last = (int(said.partition(f"{option} above ")[2].split()[0]) for option in OPTIONS)
    for ttft_s, total_s in ((first / 1000 + 0.1, 30.0), (0.5, last / 1000 + 0.1)):
        assert check_idle(asked_of(mixed, Objective("default", ttft_s, total_s))).in_time_share > 0


def test_both_limits_are_named_where_all_requests_miss_both() -> None:
    """Raising one of them alone would not help."""
    with pytest.raises(ConfigError, match=r"raise --slo-ttft-ms above \d+ and --slo-total-ms above \d+"):
        check_idle(asked_of(lengths((6000, 2000)), Objective("default", 0.01, 0.1)))


def test_what_a_node_cannot_hold_is_not_called_late() -> None:
    """Times are those of requests that a node may get, and it says so where others are among them."""
    inputs = asked_of(lengths((1000, 20), (90_000, 20), (90_000, 20)), Objective("default", 0.01))
    small = replace(inputs, node=replace(inputs.node, context_tokens=8000.0))
    alone = asked_of(lengths((1000, 20)), Objective("default", 0.01))
    said = []
    for each in (small, alone):
        with pytest.raises(ConfigError) as caught:
            check_idle(each)
        said.append(caught.value.message)
    assert "of the median request and" in said[1]
    of_those = r"of the median of the 3\d % of the requests that a node may get"
    assert re.sub(of_those, "of the median request", said[0]) == said[1] != said[0]
