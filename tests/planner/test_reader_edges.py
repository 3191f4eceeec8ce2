"""What just is, or just is not, a request or a total that can be planned for."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from spillway.planner.readers import read_workload
from spillway.planner.readers.values import MOST_TOKENS_PER_REQUEST, read_tokens
from spillway.planner.workload import ReadReport, Workload
from tests.cli.test_plan import ledger

REQUESTS = "time_s,input_tokens,output_tokens,cached_tokens"
TOTALS = "date,requests,input_tokens,output_tokens,cached_tokens,cost_usd"


def read(folder: Path, header: str, *rows: str, **options: Any) -> tuple[Workload, ReadReport]:
    """The workload of one CSV file and its report."""
    path = folder / "f.csv"
    path.write_text("\n".join((header, *rows)) + "\n")
    workload, reports = read_workload([path], **options)
    return workload, reports[0]


def bad_lines(report: ReadReport) -> list[int | str]:
    """Lines that hold no request or total."""
    return [line for lines in report.bad.lines.values() for line in lines]


def test_no_request_has_more_tokens_than_any_model_takes() -> None:
    """However the count is written."""
    assert read_tokens(str(MOST_TOKENS_PER_REQUEST), "input tokens") == MOST_TOKENS_PER_REQUEST
    for cell in (str(MOST_TOKENS_PER_REQUEST + 1), "12345678", 12_345_678):
        with pytest.raises(ValueError, match="impossibly large"):
            read_tokens(cell, "input tokens")


def test_requests_of_one_moment_are_in_order(tmp_path: Path) -> None:
    """Only what comes before an earlier row's time is out of order."""
    _, report = read(tmp_path, REQUESTS, "1,100,10,0", "5,100,10,0", "5,100,10,0", "3,100,10,0")
    assert report.out_of_order == 1


def test_a_prompt_that_is_cached_whole_is_one(tmp_path: Path) -> None:
    """As many cached as input tokens can be; one more cannot."""
    workload, report = read(tmp_path, REQUESTS, "1,100,10,100", "2,100,10,101", "3,100,10,0")
    assert workload.cached_tokens is not None
    assert workload.cached_tokens.tolist() == [100, 0]
    assert bad_lines(report) == [3]


def test_times_before_zero_are_none(tmp_path: Path) -> None:
    """A request at a negative time is left out and counted."""
    workload, report = read(tmp_path, REQUESTS, "1,100,10,0", "-2,100,10,0", "3,100,10,0")
    assert len(workload) == 2
    assert bad_lines(report) == [3]


def test_a_period_without_length_is_none(tmp_path: Path) -> None:
    """A total that ends when it starts stands for no time."""
    rows = [f"2026-11-0{start},2026-11-0{end},9,900,90,0,1" for start, end in ((2, 3), (3, 3), (3, 4))]
    header = TOTALS.replace("date", "date,until")
    workload, report = read(tmp_path, header, *rows, columns={"until": "end"})
    assert len(workload) == 18
    assert bad_lines(report) == [3]


@pytest.mark.parametrize("tokens", ["2000001,10", "10,2000001"], ids=["input", "output"])
def test_totals_of_more_tokens_than_their_requests_can_have_are_none(tokens: str, tmp_path: Path) -> None:
    """Neither prompts nor answers are longer than any model takes."""
    good = "2026-11-03,9,900,90,0,1"
    workload, report = read(tmp_path, TOTALS, f"2026-11-02,1,{tokens},0,1", good)
    assert len(workload) == 9
    assert bad_lines(report) == [2]


def test_costs_of_totals_are_added_up(tmp_path: Path) -> None:
    """To the cent, as the rows state them."""
    _, report = read(tmp_path, TOTALS, "2026-11-02,9,900,90,0,1.25", "2026-11-03,9,900,90,0,0.50")
    assert report.cost_usd == Decimal("1.75")


def test_a_cost_that_one_total_lacks_is_unknown(tmp_path: Path) -> None:
    """The sum of some is not the sum of all."""
    _, report = read(tmp_path, TOTALS, "2026-11-02,9,900,90,0,1.25", "2026-11-03,9,900,90,0,")
    assert report.cost_usd is None


def test_nothing_cached_is_known(tmp_path: Path) -> None:
    """Totals that state 0 cached tokens know it; those with an empty cell do not."""
    known, _ = read(tmp_path, TOTALS, "2026-11-02,9,900,90,0,1", "2026-11-03,9,900,90,0,1")
    assert known.cached_tokens is not None
    assert known.cached_tokens.sum() == 0
    unknown, _ = read(tmp_path, TOTALS, "2026-11-02,9,900,90,,1", "2026-11-03,9,900,90,,1")
    assert unknown.cached_tokens is None


def test_details_as_large_as_the_input_may_be_in_it(tmp_path: Path) -> None:
    """Langfuse's total says whether a prompt that was cached whole has 100 tokens or 200."""
    usage = {"input": 100, "input_cached_tokens": 100, "output": 10}
    for total, prompt in ((110, 100), (210, 200)):
        call = {"type": "GENERATION", "startTime": "2026-11-02T00:00:00Z", "id": "a", "model": "m"}
        path = tmp_path / "observations.jsonl"
        path.write_text(json.dumps({**call, "usageDetails": {**usage, "total": total}}) + "\n")
        workload, _ = read_workload([path], format_name="langfuse")
        assert workload.input_tokens.tolist() == [prompt]


def test_a_ledger_s_requests_are_priced_as_their_reference(tmp_path: Path) -> None:
    """What a local model answered would have gone to the model that the ledger compares it with."""
    workload, _ = read_workload([ledger(tmp_path)])
    assert workload.models == ("openai/gpt-4o-mini",)
