"""Columns are guessed by words that leave no doubt, and what the caller says of them holds for any format."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from spillway.planner.readers import propose, read_workload
from spillway.planner.workload import ReadReport, Workload, WorkloadError


def read(path: Path, **options: Any) -> tuple[Workload, ReadReport]:
    """The workload of one file and its report."""
    workload, reports = read_workload([path], **options)
    return workload, reports[0]


def table(folder: Path, header: str, *rows: str, name: str = "f.csv") -> Path:
    """A CSV with these lines."""
    path = folder / name
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def spend(folder: Path, *records: dict[str, Any]) -> Path:
    """LiteLLM's spend log with these records, a second apart."""
    path = folder / "l.jsonl"
    usual = {"prompt_tokens": 100, "completion_tokens": 10, "spend": 0.1, "model": "m"}
    rows = ({**usual, "startTime": f"2026-11-02T12:00:{i:02}Z", **each} for i, each in enumerate(records))
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.parametrize(
    "name",
    ["tool_calls", "requests_remaining", "max_requests", "failed_requests", "is_cached", "cached",
     "cached_at", "cache_read_cost", "cache_hit", "max_completion_tokens", "max_tokens", "input_token_price",
     "prompt_chars", "input_cost", "completion_characters", "uncached_input_tokens",
     "usage_input_tokens_no_cache", "cache_creation_input_tokens", "prompt_id", "output_reasoning_tokens",
     "response_time", "avg_input_tokens", "cost_center", "user_id", "tokens_per_request"],
)  # fmt: skip
def test_names_of_something_else_are_not_taken(name: str) -> None:
    """Flags, limits, prices, characters and parts of a count are no count, and a duration is no moment."""
    assert propose((name,)) == {}


@pytest.mark.parametrize(
    ("name", "our"),
    [("cached_input_tokens", "cached_tokens"), ("cachedTokens", "cached_tokens"),
     ("usage_input_tokens_cache_read", "cached_tokens"), ("prompt_cache_hit_tokens", "cached_tokens"),
     ("input_token_count", "input_tokens"), ("completion_tokens_total", "output_tokens"),
     ("request_created_at", "time"), ("numRequests", "requests"), ("calls", "requests"), ("requestId", "id"),
     ("ID", "id"), ("total_cost_usd", "cost")],
)  # fmt: skip
def test_names_that_say_what_they_are_are_taken(name: str, our: str) -> None:
    """The words that make a count one are enough, in any case and order."""
    assert propose((name,)) == {our: name}


def test_a_common_log_is_one_of_requests(tmp_path: Path) -> None:
    """Calls of tools and a flag of a cache make neither totals nor faults."""
    header = "timestamp,model,prompt_tokens,completion_tokens,tool_calls,cached,cached_at"
    path = table(tmp_path, header, *(f"2026-11-02T12:00:0{i}Z,m,100,10,{i % 2},false," for i in range(9)))
    workload, report = read(path)
    assert (len(workload), workload.grade, report.bad.total) == (9, "measured", 0)


def test_parts_of_a_prompt_are_not_taken_for_it(tmp_path: Path) -> None:
    """Where only parts of prompts have columns, the whole has to be named."""
    path = table(tmp_path, "ts,uncached_input_tokens,cached_input_tokens,output_tokens", "1,100,900,10")
    with pytest.raises(WorkloadError, match=r"no column looks like input_tokens; .* what a cache held"):
        read(path)


def test_a_column_can_be_left_out(tmp_path: Path) -> None:
    """A column that is named as nothing is not taken, guessed or known."""
    path = table(tmp_path, "t_s,calls,prompt,completion", *(f"{60 * i},1,100,10" for i in range(3)))
    assert read(path)[0].grade == "derived"
    workload, report = read(path, columns={"calls": ""})
    assert (workload.grade, workload.time_s.tolist()) == ("measured", [0, 60, 120])
    assert "requests" not in report.columns
    _, report = read(spend(tmp_path, {}, {}), columns={"spend": ""})
    assert (report.format, report.cost_usd) == ("litellm", None)
    with pytest.raises(WorkloadError, match="no column 'wishes'"):
        read(path, columns={"wishes": ""})


def test_a_field_has_one_column(tmp_path: Path) -> None:
    """Two columns for one field are refused instead of the last being taken."""
    path = table(tmp_path, "t_s,a,b,completion", "1,2,3,4")
    with pytest.raises(WorkloadError, match="names both 'a' and 'b' as input_tokens; name one"):
        read(path, columns={"a": "input_tokens", "b": "input_tokens"})


def test_a_named_column_keeps_the_filters_of_a_format(tmp_path: Path) -> None:
    """Embeddings and failed requests stay out where the caller names another column for the model."""
    records = [{"call_type": "acompletion"}, {"call_type": "aembedding"}, {"status": "failure"}, {}]
    path = spend(tmp_path, *({**each, "model_group": "g", "request_id": "r"} for each in records))
    workload, report = read(path, columns={"model_group": "model"})
    assert (len(workload), workload.models, report.format) == (2, ("g",), "litellm")
    assert len(report.left_out) == 2
    _, report = read(path, columns={"call_type": ""})
    assert report.left_out == ["1 row(s) are failed requests and were left out"]
    workload, report = read(path, format_name="generic")
    assert (len(workload), report.format) == (4, "generic")


def test_spans_with_named_tokens_are_model_calls(tmp_path: Path) -> None:
    """A span whose tokens only the named columns hold is a model call like the others."""
    path = tmp_path / "s.jsonl"
    usual = {"gen_ai.usage.input_tokens": 100, "gen_ai.usage.output_tokens": 10}
    spans = [usual, {"llm.in": 200, "llm.out": 20}, {}]
    path.write_text(
        "".join(json.dumps({"start_time": i, "attributes": a}) + "\n" for i, a in enumerate(spans))
    )
    columns = {"llm.in": "input_tokens", "llm.out": "output_tokens"}
    workload, report = read(path, columns=columns)
    assert report.format == "otel-genai"
    assert workload.input_tokens.tolist() == [200]
    assert report.left_out == ["1 row(s) are no model calls and were left out"]


@pytest.mark.parametrize(
    ("column", "columns"),
    [("request_id", None), ("id", None), ("number", {"number": "id"})],
)
def test_repeats_by_id_count_once(column: str, columns: dict[str, str] | None, tmp_path: Path) -> None:
    """A file nobody knows has its repeats left out like any other, in one file and in two."""
    header = f"{column},timestamp,input_tokens,output_tokens"
    rows = [f"a{i},2026-11-02T12:00:0{i}Z,100,10" for i in range(5)]
    paths = [table(tmp_path, header, *rows, *rows), table(tmp_path, header, *rows, name="g.csv")]
    workload, reports = read_workload(paths, columns=columns)
    assert len(workload) == 5
    assert all(f"5 row(s) repeat the {column} of another" in report.left_out[0] for report in reports)
    assert f"id = {column!r}" in reports[0].notes[0]
    workload, _ = read_workload(paths[:1], columns={column: ""})
    assert len(workload) == 10


def test_an_end_can_be_named(tmp_path: Path) -> None:
    """A column of ends says how long totals are; without totals it says nothing and is refused."""
    path = table(tmp_path, "date,until,requests,prompt,completion", "2026-11-02,2026-11-04,9,900,90")
    workload, report = read(path, columns={"until": "end"})
    assert workload.span_s == 2 * 86_400
    assert len(report.notes) == 1
    with pytest.raises(WorkloadError, match="--map until=end is for totals"):
        read(path, columns={"until": "end", "requests": ""})
