"""Cells are found under whichever of a format's names a row has, and numbers are never guessed at."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from spillway.planner.readers import read_workload
from spillway.planner.readers.values import (
    AmbiguousNumber,
    currency_named,
    read_money,
    read_tokens,
)
from spillway.planner.workload import ReadReport, Workload, WorkloadError

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
    assert report.left_out == ["150 row(s) are no model calls and were left out"]


def test_a_format_is_told_by_what_comes_late(tmp_path: Path) -> None:
    """Records are read on until they tell a format: here after three hundred without usage."""
    other = {"id": "o", "traceId": "t", "type": "SPAN", "startTime": "2026-11-02T12:00:00Z"}
    made = {**other, "type": "GENERATION", "model": "m", "usageDetails": {"input": 100, "output": 10}}
    workload, report = read(json_lines(tmp_path, *[other] * 300, made, {**made, "id": "p"}))
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


def test_numbers_of_any_length_are_no_trace(tmp_path: Path) -> None:
    """JSON has integers of any length and truth values where numbers belong: such rows are not used."""
    good = {"timestamp": START, "input_tokens": 100, "output_tokens": 10}
    path = json_lines(
        tmp_path, good, {**good, "input_tokens": 10**400}, {**good, "timestamp": 10**400},
        {**good, "output_tokens": True}, {**good, "input_tokens": 2_000_001},
    )  # fmt: skip
    _, report = read(path)
    assert report.rows == 1
    assert report.bad.lines == {
        "input tokens is impossibly large": [2, 5],
        "time is impossibly large": [3],
        "output tokens is not a number": [4],
    }
    with pytest.raises(ValueError, match="cost is impossibly large"):
        read_money("1e999999")


@pytest.mark.parametrize("nested", ["[" * 100_000, '{"a":' * 50_000 + "1" + "}" * 50_000])
def test_deep_json_is_no_trace(nested: str, tmp_path: Path) -> None:
    """A line nested beyond reading is a row that is not used; a document is refused."""
    good = json.dumps({"timestamp": START, "input_tokens": 100, "output_tokens": 10}) + "\n"
    path = tmp_path / "d.jsonl"
    path.write_text(good + nested + "\n" + good)
    _, report = read(path)
    assert report.bad.lines == {"nested too deeply to be read": [2]}
    path.write_text(nested)
    with pytest.raises(WorkloadError, match=r"d\.jsonl is JSON nested too deeply"):
        read(path)
    path.write_text(good + json.dumps({**json.loads(good), "metadata": nested}) + "\n")
    assert len(read(path)[0]) == 2


@pytest.mark.parametrize(
    "record",
    [{"object": "page", "data": [1]}, {"object": "bucket", "results": [1]}, {"object": "page", "data": [[]]}],
)
def test_lists_of_something_else_are_no_records(record: dict[str, Any], tmp_path: Path) -> None:
    """What stands in a page or bucket and is no object is a row that is not used."""
    good = {"timestamp": START, "input_tokens": 100, "output_tokens": 10}
    _, report = read(
        json_lines(tmp_path, good, record, {"resourceSpans": [1, {"scopeSpans": [{"spans": [2]}]}]})
    )
    assert report.bad.lines == {"not a JSON object": [2]}


def test_wrong_ends_and_hashes_are_no_trace(tmp_path: Path) -> None:
    """A period that never ends, and block hashes that are none, are rows that are not used."""
    path = tmp_path / "u.csv"
    path.write_text(
        "start_time,end_time,num_model_requests,input_tokens,output_tokens\n"
        "2026-11-02,2026-11-03,5,500,50\n2026-11-03,9999-12-31,5,500,50\n1793620800,1e300,5,500,50\n"
    )
    wanted = {"a period of more than ten years": [3], "time is beyond the year 9999": [4]}
    assert read(path)[1].bad.lines == wanted
    good = {"timestamp": 0, "input_length": 1100, "output_length": 10, "hash_ids": [1, 2, 3]}
    _, report = read(json_lines(tmp_path, good, {**good, "hash_ids": [[1]]}, {**good, "hash_ids": 7}))
    assert report.bad.lines == {"no list of block hashes": [2, 3]}


def test_totals_may_be_billions(tmp_path: Path) -> None:
    """A company's day may hold more than 32 bits count, but not more a request than models take."""
    path = tmp_path / "t.csv"
    path.write_text(
        "date,requests,input_tokens,output_tokens,cached_tokens\n"
        "2026-11-02,10000,5000000000,3000000000,2500000000\n2026-11-03,10,20000001,10,0\n"
    )
    workload, report = read(path)
    assert report.bad.lines == {"more tokens a request than any model takes": [3]}
    assert len(workload) == 10_000
    assert workload.input_tokens.sum() == 5_000_000_000
    assert workload.output_tokens.sum() == 3_000_000_000
    assert workload.cached_tokens is not None
    assert workload.cached_tokens.sum() == 2_500_000_000


@pytest.mark.parametrize(
    "text", ["1.000", "2.000", "1.941", "1.234.567", "1.234,0", "0,5", "358,0", "1234,5", "0,123", ",5"]
)
def test_counts_that_countries_read_differently_are_refused(text: str) -> None:
    """Points between thousands and decimal commas are never taken for something else."""
    with pytest.raises(AmbiguousNumber, match="input tokens is written"):
        read_tokens(text, "input tokens")


@pytest.mark.parametrize(
    "text", ["0,01", "1,5", "1,234", "1.234,50", "1.234.567", "$0,01", "0,010", "1,23 USD"]
)
def test_amounts_that_countries_read_differently_are_refused(text: str) -> None:
    """A comma before cents is never taken for one between thousands."""
    with pytest.raises(AmbiguousNumber, match="cost is written"):
        read_money(text)


def test_numbers_that_mean_one_thing_are_read() -> None:
    """Commas between thousands, and points before anything but three digits, are what they seem."""
    counts = {"1,000": 1000, "1,234,567": 1_234_567, "358.0": 358, "1234.000": 1234, "1e3": 1000}
    assert {text: read_tokens(text, "x") for text in counts} == counts
    amounts = {
        "1,234.50": "1234.50",
        "1,234,567": "1234567",
        "0.010": "0.010",
        "1.234": "1.234",
        "3e-7": "3e-7",
    }
    assert {text: read_money(text) for text in amounts} == {k: Decimal(v) for k, v in amounts.items()}


@pytest.mark.parametrize(
    ("header", "row"),
    [
        ("time;input_tokens;output_tokens", "1;{};10"),
        ("time,input_tokens,output_tokens", "1,{},10"),
        ("time;input_tokens;output_tokens;cost", '1;100;10;"0,01"'),
        ("date;requests;input_tokens;output_tokens", "2026-11-02;5;{};10"),
    ],
)
def test_a_file_of_such_numbers_is_refused(header: str, row: str, tmp_path: Path) -> None:
    """One such number makes the whole file doubtful, and the sentence says where and what to do."""
    path = tmp_path / "n.csv"
    path.write_text("\n".join([header, row.format("100"), row.format("2.000")]) + "\n")
    with pytest.raises(WorkloadError, match=r"n\.csv, line [23]: .* write numbers with a decimal point"):
        read(path)


@pytest.mark.parametrize(
    ("column", "currency"),
    [("cost_eur", "eur"), ("spendGbp", "gbp"), ("Cost (€)", "€"), ("cost_usd", "usd"), ("cost", ""),
     ("neural_cost", "")],
)  # fmt: skip
def test_currencies_in_names_of_columns(column: str, currency: str) -> None:
    """A currency is a word of its own in a column's name."""
    assert currency_named(column) == currency


def test_costs_in_a_named_currency_are_refused(tmp_path: Path) -> None:
    """A column of euros is no column of dollars, unless another column or the cell says dollars."""
    path = tmp_path / "e.csv"
    path.write_text("time,input_tokens,output_tokens,cost_eur\n1,100,10,0.5\n2,100,10,0.5\n")
    with pytest.raises(WorkloadError, match=r"e\.csv states costs in EUR \(line 2\)"):
        read(path)
    path.write_text("time,input_tokens,output_tokens,cost_eur\n1,100,10,\n2,100,10,\n")
    assert read(path)[1].cost_usd is None
    path.write_text("time,input_tokens,output_tokens,cost_usd\n1,100,10,0.5\n2,100,10,0.5\n")
    assert read(path)[1].cost_usd == 1


def test_a_time_beyond_all_dates_is_no_time(tmp_path: Path) -> None:
    """A number with a slipped exponent is a row that is not used, not a gap of aeons."""
    good = [{"timestamp": 1_790_000_000 + 60 * i, "input_tokens": 9, "output_tokens": 9} for i in range(3)]
    _, report = read(json_lines(tmp_path, *good, {**good[0], "timestamp": 1e300}))
    assert report.bad.sentences() == ["1 row(s) not used: time is beyond the year 9999 (line 4)"]


@pytest.mark.parametrize("nothing", ["", " ", "NULL", "null", "None", "NaN", "\\N", "-", "N/A", "n/a"])
def test_a_word_for_nothing_is_no_value(nothing: str, tmp_path: Path) -> None:
    """It is unknown in a column that may be empty, and a counted fault in one that may not."""
    path = tmp_path / "n.csv"
    header = "time,input_tokens,output_tokens,cached_tokens,cost,currency,model\n"
    row = ["60", "100", "10", "60", "0.5", "usd", "m"]
    wrong = [",".join([*row[:place], nothing, *row[place + 1 :]]) for place in range(7)]
    path.write_text(header + "\n".join([",".join(row), *wrong]) + "\n")
    workload, report = read(path)
    assert report.bad.lines == {"no time": [3], "no input tokens": [4], "no output tokens": [5]}
    assert (report.rows, report.cost_usd) == (5, None)
    assert workload.cached_tokens is not None
    assert workload.cached_tokens.tolist() == [60, 0, 60, 60, 60]
    assert [workload.models[i] for i in workload.model] == ["m", "m", "m", "m", ""]


def test_no_number_in_json_is_no_value(tmp_path: Path) -> None:
    """What scripts write as NaN is unknown."""
    good = {"t_s": 1, "input_tokens": 100, "output_tokens": 10, "cached_tokens": float("nan")}
    workload, report = read(json_lines(tmp_path, good, {**good, "input_tokens": float("nan")}))
    assert workload.cached_tokens is None
    assert report.bad.lines == {"no input tokens": [2]}
