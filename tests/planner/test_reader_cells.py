"""Cells are found under whichever of a format's names a row has, and numbers are never guessed at."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from spillway.planner.readers import read_workload
from spillway.planner.workload import ReadReport, Workload

START = 1_793_620_800


def read(path: Path, **options: Any) -> tuple[Workload, ReadReport]:
    """The workload of one file and its report."""
    workload, reports = read_workload([path], **options)
    return workload, reports[0]


def json_lines(folder: Path, *records: dict[str, Any]) -> Path:
    """Records as a file of JSON lines."""
    path = folder / "usage.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def span(second: int, **attributes: Any) -> dict[str, Any]:
    """A span of OpenTelemetry with such ``gen_ai`` attributes; dots are written as double underscores."""
    named = {"gen_ai." + name.replace("__", "."): value for name, value in attributes.items()}
    return {"name": "chat", "start_time": START + second, "attributes": named}


def call(second: int, **more: Any) -> dict[str, Any]:
    """A model call's span with 100 input and 10 output tokens."""
    return span(second, usage__input_tokens=100, usage__output_tokens=10, **more)


def test_a_name_that_comes_late_is_read(tmp_path: Path) -> None:
    """Cached tokens that only later spans state count there, and the report names their column."""
    spans = [call(i, **({"usage__cache_read__input_tokens": 60} if i >= 150 else {})) for i in range(200)]
    workload, report = read(json_lines(tmp_path, *spans))
    assert workload.cached_tokens is not None
    assert workload.cached_tokens.sum() == 50 * 60
    assert report.columns["cached_tokens"] == "gen_ai.usage.cache_read.input_tokens"


def test_each_row_is_asked_for_every_name(tmp_path: Path) -> None:
    """A model named as answered by some spans only, empty in others, is elsewhere the model asked for."""
    spans = [
        call(0, request__model="gpt-4.1", response__model="gpt-4.1-2025-04-14"),
        call(1, request__model="gpt-4.1", response__model=""),
        call(2, request__model="gpt-4.1", response__model=None),
        call(3, request__model="gpt-4.1"),
        span(4, request__model="gpt-4.1", response__model="gpt-4.1", error="timeout"),
    ]
    workload, report = read(json_lines(tmp_path, *spans))
    assert [workload.models[i] for i in workload.model] == ["gpt-4.1-2025-04-14", *["gpt-4.1"] * 3]
    assert report.columns["model"] == "gen_ai.response.model or gen_ai.request.model"


def test_spans_of_other_work_may_come_first(tmp_path: Path) -> None:
    """Spans without tokens before the first model call hide neither the format nor its columns."""
    others = [span(0) for _ in range(150)]
    workload, report = read(json_lines(tmp_path, *others, call(1), call(2)))
    assert len(workload) == 2
    assert report.bad.total == 0
    assert report.notes == ["150 row(s) are no model calls and were left out"]


def test_a_format_is_told_by_what_comes_late(tmp_path: Path) -> None:
    """Records are read on until they tell a format: here after three hundred without usage."""
    other = {"id": "o", "traceId": "t", "type": "SPAN", "startTime": "2026-11-02T12:00:00Z"}
    made = {**other, "type": "GENERATION", "model": "m", "usageDetails": {"input": 100, "output": 10}}
    workload, report = read(json_lines(tmp_path, *[other] * 300, made, made))
    assert report.format == "langfuse"
    assert len(workload) == 2


def test_a_guessed_column_may_come_late(tmp_path: Path) -> None:
    """A file nobody knows has its columns proposed from what later records name, too."""
    rows: list[dict[str, Any]] = [{"t_s": i, "input_tokens": 100, "output_tokens": 10} for i in range(300)]
    rows[200]["cached_tokens"] = 60
    workload, report = read(json_lines(tmp_path, *rows))
    assert report.columns["cached_tokens"] == "cached_tokens"
    assert workload.cached_tokens is not None
    assert workload.cached_tokens.sum() == 60
    _, report = read(json_lines(tmp_path, *rows), columns={"cached_tokens": "cached_tokens"})
    assert report.bad.total == 0


@pytest.mark.parametrize("is_text", [False, True], ids=["nested", "as text"])
@pytest.mark.parametrize("name", ["l.jsonl", "l.json"])
def test_cached_tokens_of_spend_logs_are_read(name: str, is_text: bool, tmp_path: Path) -> None:
    """LiteLLM's cached tokens lie four names deep, in metadata that may be JSON written as text."""
    metadata = {"usage_object": {"prompt_tokens": 100, "prompt_tokens_details": {"cached_tokens": 60}}}
    row = {
        "startTime": "2026-11-02T12:00:00Z", "prompt_tokens": 100, "completion_tokens": 10, "model": "m",
        "spend": 0.1, "call_type": "acompletion", "metadata": json.dumps(metadata) if is_text else metadata,
    }  # fmt: skip
    path = tmp_path / name
    path.write_text(json.dumps(row) + "\n" + json.dumps(row) if name == "l.jsonl" else json.dumps([row, row]))
    workload, report = read(path)
    assert report.format == "litellm"
    assert workload.cached_tokens is not None
    assert workload.cached_tokens.tolist() == [60, 60]


def test_cached_tokens_of_spend_logs_are_read_from_cells(tmp_path: Path) -> None:
    """The same out of a database's CSV, where the metadata is a cell, and one row has another name for it."""
    cell = '"{""usage_object"": {""prompt_tokens_details"": {""cached_tokens"": 60}}}"'
    path = tmp_path / "l.csv"
    path.write_text(
        "startTime,prompt_tokens,completion_tokens,model,spend,metadata,cache_read_input_tokens\n"
        f"2026-11-02 12:00:00,100,10,m,0.1,{cell},\n2026-11-02 12:00:01,100,10,m,0.1,{{}},40\n"
    )
    workload, _ = read(path)
    assert workload.cached_tokens is not None
    assert workload.cached_tokens.tolist() == [60, 40]
