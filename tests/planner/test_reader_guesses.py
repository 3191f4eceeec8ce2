"""What columns hold decides what they are taken for, and a guess that is doubted is shown."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from spillway.planner.plan_traffic import from_usage
from spillway.planner.readers import propose, read_workload
from spillway.planner.readers.samples import Moments, Samples
from spillway.planner.workload import WorkloadError
from tests.planner.test_reader_columns import read, table

ROWS = 30
TOOK = ["9.1", "0.4", "31.0"]
"""Seconds that requests took, again and again."""


def log(folder: Path, times: dict[str, list[str]], rest: str = "prompt_tokens,completion_tokens") -> Path:
    """Thirty requests with these columns of times, each repeated from its start."""
    rows = [",".join([*(held[i % len(held)] for held in times.values()), "100,10"]) for i in range(ROWS)]
    return table(folder, ",".join([*times, rest]), *rows)


def minutes(start: str = "2026-11-02T12") -> list[str]:
    """A moment in each minute."""
    return [f"{start}:{minute:02}:07Z" for minute in range(ROWS)]


@pytest.mark.parametrize("name", ["time_iso8601", "date", "day", "logged_time"])
@pytest.mark.parametrize("length", ["request_time", "generation_time", "time_taken"])
def test_a_length_of_time_is_no_time_of_arrival(length: str, name: str, tmp_path: Path) -> None:
    """Beside dates, how long requests took is not taken for when they came, whatever it is called."""
    workload, report = read(log(tmp_path, {length: TOOK, name: minutes()}))
    assert report.columns["time"] == name
    assert workload.time_s[-1] == 60 * (ROWS - 1)


def test_nothing_but_lengths_of_time_is_refused_with_them(tmp_path: Path) -> None:
    """The column that looked like one of times is named, with what was taken and what to write."""
    said = r"\('request_time' holds numbers that go up and down, .*=time, .*; taken so far: input_tokens = 'p"
    path = log(tmp_path, {"request_time": TOOK})
    with pytest.raises(WorkloadError, match=said):
        read(path)
    assert len(read(path, columns={"request_time": "time"})[0]) == ROWS


def test_a_name_is_no_time_where_another_column_holds_dates(tmp_path: Path) -> None:
    """Who created a row says nothing of when."""
    _, report = read(log(tmp_path, {"created_by": ["ann", "bob"], "date": minutes()}))
    assert report.columns["time"] == "date"


@pytest.mark.parametrize(
    ("cells", "moments"),
    [
        (minutes(), Moments.DATES),
        ([str(1_793_620_800 + second) for second in (5, 1, 9, 3) * 6], Moments.DATES),
        ([str(second * 1_000_000) for second in (5_000, 100, 9_000, 300) * 6], Moments.LENGTHS),
        ([str(0.5 * second) for second in range(ROWS)], Moments.COURSE),
        ([str(ROWS - second) for second in range(ROWS)], Moments.COURSE),
        (TOOK * 10, Moments.LENGTHS),
        (TOOK, Moments.COURSE),
        ([], Moments.COURSE),
        (["01/Nov/2026:00:00:00 +0000"] * ROWS, Moments.TEXT),
    ],
    ids=["dates", "epochs", "microseconds", "rising", "falling", "lengths", "few", "none", "text"],
)
def test_what_a_column_holds_of_time(cells: list[str], moments: Moments) -> None:
    """Dates in any order, numbers that go one way and those that go up and down are told apart."""
    assert Samples([{"t": cell} for cell in cells]).moments("t", None) is moments


def test_dates_that_nobody_reads_are_shown_as_taken(tmp_path: Path) -> None:
    """A refusal of all rows names the columns that were guessed and how to name others."""
    path = log(tmp_path, {"time": ["02/Nov/2026 12:00"]})
    with pytest.raises(WorkloadError, match=r"not a date.*; columns taken as time = 'time', .*--map COLUMN"):
        read(path)


def test_too_little_is_refused_with_the_guess(tmp_path: Path) -> None:
    """Where a guess leaves next to no traffic, the refusal shows it."""
    path = table(tmp_path, "t_s,prompt_tokens,completion_tokens", "1,100,10", "2,100,10")
    with pytest.raises(WorkloadError, match=r"holds 2 requests within 2 s \(columns taken as time = 't_s'"):
        from_usage([str(path)])


def test_an_hour_of_the_day_is_no_time() -> None:
    """A column named for an hour or a day is one of times where it holds dates."""
    hours = [str(hour) for hour in range(24)]
    assert propose(("hour",), Samples([{"hour": hour} for hour in hours])) == {}
    assert propose(("day",), Samples([{"day": "2026-11-02"}])) == {"time": "day"}


def test_texts_are_no_counts(tmp_path: Path) -> None:
    """A prompt itself is not taken for its length, and a refusal says so."""
    rows = ["2026-11-02T12:00:07Z,hello there,500,hi,50", "2026-11-02T12:01:07Z,1 2 3 go,600,hi,60"]
    workload, report = read(table(tmp_path, "timestamp,prompt,input_tok,completion,output_tok", *rows))
    assert (report.columns["input_tokens"], report.columns["output_tokens"]) == ("input_tok", "output_tok")
    assert workload.input_tokens.tolist() == [500, 600]
    path = table(tmp_path, "timestamp,prompt,completion", "2026-11-02T12:00:07Z,hello,hi")
    with pytest.raises(WorkloadError, match=r"\('prompt' holds no numbers, 'completion' holds no numbers\)"):
        read(path)


@pytest.mark.parametrize("cell", ["1,000", "1000", "1000.0", "1e3", "-5", 1000, 7.0])
def test_numbers_however_written_are_counts(cell: object) -> None:
    """What may be a number stays a count, so that a faulty one is named."""
    assert Samples([{"n": cell}]).may_be_counts("n")


@pytest.mark.parametrize(
    "name",
    ["num_requests_waiting", "requests_in_flight", "total_requests_so_far", "retry_count", "tokens_count",
     "llm.token_count.total", "requests_per_minute", "concurrent_requests", "web_search_requests"],
)  # fmt: skip
def test_gauges_and_parts_are_no_number_of_requests(name: str) -> None:
    """One word more than a number of requests needs makes it something else."""
    assert propose((name,)) == {}


@pytest.mark.parametrize(
    "name", ["count_count", "count", "metrics.successful_requests", "num_model_requests", "Total Requests"]
)
def test_numbers_of_requests_are_found(name: str) -> None:
    """Langfuse's metrics, LiteLLM's activity and plain tables say it in few words."""
    assert propose((name,)) == {"requests": name}


def hourly(folder: Path, **more: str) -> Path:
    """Langfuse's metrics of two days by the hour."""
    usage = {"providedModelName": "m", "sum_inputTokens": "2000", "sum_outputTokens": "400", **more}
    starts = [f"2026-11-{day:02}T{hour:02}:00:00.000Z" for day in (2, 3) for hour in range(24)]
    path = folder / "m.json"
    path.write_text(json.dumps({"data": [{"time_dimension": start, **usage} for start in starts]}))
    return path


def test_langfuse_metrics_are_totals(tmp_path: Path) -> None:
    """Sums with a count are so many requests."""
    workload, report = read(hourly(tmp_path, count_count="40"))
    assert report.columns["requests"] == "count_count"
    assert (len(workload), workload.mean_input_tokens) == (48 * 40, 50)


def test_sums_without_a_count_are_refused(tmp_path: Path) -> None:
    """What is named a sum is no single request unless the caller says so."""
    path = hourly(tmp_path)
    with pytest.raises(WorkloadError, match=r"'sum_inputTokens' looks like a sum .* --map COLUMN=requests"):
        read(path)
    named = {"sum_inputTokens": "input_tokens", "sum_outputTokens": "output_tokens"}
    with pytest.raises(WorkloadError, match="one row for each hour"):
        read(path, columns=named)


def days(step_hours: int, column: str = "model") -> tuple[str, list[str]]:
    """Header and rows of twelve whole hours, so far apart."""
    moments = (
        f"2026-11-{2 + at // 24:02}T{at % 24:02}:00:00+05:30" for at in range(0, 12 * step_hours, step_hours)
    )
    rows = [f"{moment},{number},100,10" for number, moment in enumerate(moments)]
    return f"timestamp,{column},input_tokens,output_tokens", rows


@pytest.mark.parametrize(("step_hours", "period"), [(1, "hour"), (24, "day")])
def test_one_row_for_each_period_is_doubted(step_hours: int, period: str, tmp_path: Path) -> None:
    """Rows at whole hours or days, one at each, are totals of an unknown number, unless ids tell more."""
    header, rows = days(step_hours)
    with pytest.raises(
        WorkloadError, match=f"one row for each {period}, .*=requests, .*=id; columns taken as time"
    ):
        read(table(tmp_path, header, *rows))
    header, rows = days(step_hours, "request_id")
    workload, _ = read(table(tmp_path, header, *rows))
    assert (len(workload), workload.grade) == (12, "measured")
    header, rows = days(step_hours, "number")
    assert len(read(table(tmp_path, header, *rows), columns={"number": "id"})[0]) == 12


def test_several_rows_at_whole_hours_are_requests(tmp_path: Path) -> None:
    """Times that are only hours are no totals where several requests of a model share one."""
    header, rows = days(1)
    workload, _ = read(table(tmp_path, header.replace("model", "user"), *rows, rows[0]))
    assert len(workload) == 13


def test_totals_start_where_periods_do(tmp_path: Path) -> None:
    """When a row of totals was written is not when what it counts began."""
    header = "date,prompt_tokens,completion_tokens,successful_requests,created_at"
    rows = [f"2026-11-{day:02},9000,900,90,2026-11-{day:02} 02:{day:02}:31.000" for day in range(2, 9)]
    workload, report = read(table(tmp_path, header, *rows))
    assert report.columns["time"] == "date"
    assert (len(workload), workload.span_s) == (7 * 90, 7 * 86_400)


def anthropic(folder: Path, **usage: Any) -> Path:
    """A log of messages with this usage."""
    records = [
        {"timestamp": f"2026-11-02T12:00:{i:02}Z", "usage": {**usage, "output_tokens": 7}} for i in (1, 2)
    ]
    path = folder / "a.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


CACHE = {"cache_creation_input_tokens": 3000, "cache_read_input_tokens": 2000}


def test_anthropic_usage_is_whole_prompts(tmp_path: Path) -> None:
    """Input beside what a cache got goes without both parts, which the guess shows."""
    path = anthropic(tmp_path, input_tokens=50, **CACHE)
    workload, report = read(path)
    assert workload.input_tokens.tolist() == [5050, 5050]
    assert workload.cached_tokens is not None
    assert workload.cached_tokens.tolist() == [2000, 2000]
    assert "'usage.input_tokens' + 'usage.cache_creation_input_tokens' + 'usage.cache_read" in report.notes[0]


def test_a_named_column_is_the_whole_prompt(tmp_path: Path) -> None:
    """The caller's word goes before the names beside it, and OpenAI's name is always of the whole."""
    path = anthropic(tmp_path, input_tokens=6000, **CACHE)
    workload, _ = read(path, columns={"usage.input_tokens": "input_tokens"})
    assert workload.input_tokens.tolist() == [6000, 6000]
    workload, _ = read(anthropic(tmp_path, prompt_tokens=6000, **CACHE))
    assert workload.input_tokens.tolist() == [6000, 6000]


@pytest.mark.parametrize(
    "record",
    [
        {"input": {"inputTokenCount": 50, "cacheReadInputTokenCount": 2000, "cacheWriteInputTokenCount": 30},
         "output": {"outputTokenCount": 7}, "modelId": "m"},
        {"usage": {"inputTokens": 50, "outputTokens": 7, "cacheReadInputTokens": 2000,
                   "cacheReadInputTokenCount": 2000, "cacheWriteInputTokens": 30,
                   "cacheWriteInputTokenCount": 30}},
        {"usageMetadata": {"promptTokenCount": 2080, "candidatesTokenCount": 3, "thoughtsTokenCount": 4,
                           "cachedContentTokenCount": 2000, "totalTokenCount": 2087}},
    ],
    ids=["Bedrock's log", "Bedrock's answer", "Gemini"],
)  # fmt: skip
def test_counts_without_parts_are_made_whole(record: dict[str, Any], tmp_path: Path) -> None:
    """Bedrock counts a prompt without what a cache got and held, Gemini an answer without its thoughts."""
    path = tmp_path / "a.jsonl"
    rows = [{"timestamp": f"2026-11-02T12:00:{i:02}Z", **record} for i in (1, 2)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    workload, _ = read(path)
    assert workload.input_tokens.tolist() == [2080, 2080]
    assert workload.output_tokens.tolist() == [7, 7]
    assert workload.cached_tokens is not None
    assert workload.cached_tokens.tolist() == [2000, 2000]


TRACE = {"id": "t", "timestamp": "2026-11-02", "bookmarked": False, "public": False, "input": "a"}


@pytest.mark.parametrize(
    ("record", "said"),
    [
        (TRACE, "holds Langfuse's traces"),
        (
            {"starting_at": "2026-11-01T00:00:00Z", "ending_at": "2026-11-02T00:00:00Z", "results": []},
            "holds Anthropic's usage or costs by period, which do not tell how many requests",
        ),
        (
            {"usage_date_utc": "2026-11-01", "usage_input_tokens_no_cache": 9, "usage_output_tokens": 9},
            "give a log of the requests, or their number and mean lengths",
        ),
        ({"traceID": "0", "spans": [], "processes": {}}, "as Jaeger writes them; give the spans as OpenTel"),
    ],
)
def test_traces_of_other_kinds_are_named(record: dict[str, Any], said: str, tmp_path: Path) -> None:
    """What cannot be read is refused with what to export instead."""
    path = tmp_path / "t.json"
    path.write_text(json.dumps([record, record]))
    with pytest.raises(WorkloadError, match=said):
        read_workload([path])
