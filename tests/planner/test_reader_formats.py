"""What formats count in their own ways comes out as requests, prompts and answers like everywhere else."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spillway.errors import ConfigError
from spillway.ledger.store import LedgerStore
from spillway.planner.plan_cloud import CloudFigures, refuse_unknown_tiers
from spillway.planner.plan_traffic import from_usage
from spillway.planner.readers import read_workload
from spillway.planner.readers.repeats import SeenIds
from spillway.planner.workload import ReadReport, Workload, WorkloadError
from spillway.vocabulary import Usage
from tests.ledger.samples import attempt_of, row

DAY_S = 86_400
START = 1_793_577_600
"""Midnight of 2026-11-02, UTC."""
REPEATED = "1 row(s) repeat the {} of another, with its time and tokens, and were left out"


def read(path: Path, **options: Any) -> tuple[Workload, ReadReport]:
    """The workload of one file and its report."""
    workload, reports = read_workload([path], **options)
    return workload, reports[0]


def lines(folder: Path, *records: dict[str, Any], name: str = "f.jsonl") -> Path:
    """A file of records as JSON lines."""
    path = folder / name
    path.write_text("".join(json.dumps(record) + "\n" for record in records), "utf-8")
    return path


def table(folder: Path, *records: dict[str, Any], name: str = "f.csv") -> Path:
    """A CSV file of records that all have the first one's names; what is nested becomes a cell of JSON."""
    path = folder / name
    with path.open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(records[0])
        for record in records:
            writer.writerow(json.dumps(c) if isinstance(c, dict | list) else c for c in record.values())
    return path


def observation(second: int, **usage: int) -> dict[str, Any]:
    """A generation as Langfuse exports it."""
    return {
        "id": f"o{second}", "trace_id": "t", "type": "GENERATION",
        "start_time": f"2026-11-02T12:00:{second:02}.000Z", "provided_model_name": "m",
        "usage_details": usage,
    }  # fmt: skip


USAGES: dict[str, tuple[dict[str, int], tuple[int, int, int]]] = {
    "openai": (
        {"input": 40, "input_cached_tokens": 60, "output": 5, "output_reasoning_tokens": 20, "total": 125},
        (100, 60, 25),
    ),
    "audio": (
        {"input": 30, "input_audio_tokens": 20, "input_cached_tokens": 0, "output": 7, "total": 57},
        (50, 0, 7),
    ),
    "anthropic": (
        {"input": 10, "cache_read_input_tokens": 900, "cache_creation_input_tokens": 100, "output": 9,
         "total": 1019},
        (1010, 900, 9),
    ),
    "langchain": ({"input": 10, "input_cache_read": 30, "input_cache_creation": 5, "output": 9}, (45, 30, 9)),
    "details within": (
        {"input": 100, "input_cached_tokens": 60, "output": 25, "output_reasoning_tokens": 20, "total": 125},
        (100, 60, 25),
    ),
    "unsummed cache": ({"input": 10, "cache_read_input_tokens": 90, "output": 5, "total": 15}, (100, 90, 5)),
}  # fmt: skip


@pytest.mark.parametrize("name", USAGES)
@pytest.mark.parametrize("kind", ["object", "cell", "columns"])
def test_langfuse_parts_are_whole_prompts(name: str, kind: str, tmp_path: Path) -> None:
    """Cached and reasoning tokens, which Langfuse keeps apart, belong to prompt and answer; totals do not."""
    usage, (prompt, cached, answer) = USAGES[name]
    records = [observation(second, **usage) for second in range(3)]
    if kind == "object":
        path = lines(tmp_path, *records)
    elif kind == "cell":
        path = table(tmp_path, *records)
    else:
        for record in records:
            parts = record.pop("usage_details")
            record.update({f"usage_details.{part}": tokens for part, tokens in parts.items()})
        path = table(tmp_path, *records)
    workload, report = read(path)
    assert (report.format, report.rows) == ("langfuse", 3)
    assert workload.input_tokens.tolist() == [prompt] * 3
    assert workload.output_tokens.tolist() == [answer] * 3
    assert workload.cached_tokens is not None
    assert workload.cached_tokens.tolist() == [cached] * 3


def test_langfuse_faults_are_named(tmp_path: Path) -> None:
    """A part that is no number of tokens is a fault of its row."""
    _, report = read(lines(tmp_path, observation(0, input=1, output=1), observation(1, input=-5, output=1)))
    assert report.bad.lines == {"input tokens is negative": [2]}


def span(second: int, operation: str | None, answer: int | None = 10) -> dict[str, Any]:
    """An OpenTelemetry span of an operation on a model."""
    usage = {"gen_ai.usage.input_tokens": 100} | (
        {} if answer is None else {"gen_ai.usage.output_tokens": answer}
    )
    named = {} if operation is None else {"gen_ai.operation.name": operation}
    return {"name": "s", "start_time": f"2026-11-02T12:00:{second:02}Z", "attributes": {**named, **usage}}


def test_spans_around_model_calls_count_once(tmp_path: Path) -> None:
    """An agent's span has the usage of the chats in it; embeddings are no chat; both are named."""
    spans = [
        span(0, "invoke_agent"), span(0, "chat"), span(1, "text_completion"), span(2, "generate_content"),
        span(3, None), span(4, "embeddings", None), span(5, "create_agent"),
    ]  # fmt: skip
    workload, report = read(lines(tmp_path, *spans))
    assert len(workload) == report.rows == 4
    assert report.bad.total == 0
    assert report.left_out == [
        "3 row(s) are no chat requests (create_agent, embeddings, invoke_agent) and were left out"
    ]


def spend(second: int, **more: Any) -> dict[str, Any]:
    """A row of LiteLLM's spend log."""
    return {
        "request_id": f"r{second}", "call_type": "acompletion", "spend": 0.1, "prompt_tokens": 100,
        "completion_tokens": 10, "startTime": f"2026-11-02T12:00:{second:02}Z", "model": "gpt-4o-mini",
        "cache_hit": "False", "status": "success", **more,
    }  # fmt: skip


@pytest.mark.parametrize("write", [lines, table])
def test_litellm_rows_that_went_to_no_chat_model_are_left_out(write: Any, tmp_path: Path) -> None:
    """Answers of its own cache, failures and embeddings are no traffic, and each is said by its name."""
    rows = [
        spend(0), spend(1, cache_hit="True", spend=0), spend(2, cache_hit=True, spend=0),
        spend(3, call_type="aembedding", completion_tokens=0), spend(4, cache_hit=None),
        spend(5, status="failure", completion_tokens=0, spend=0), spend(6, call_type="aretrieve_batch"),
        spend(7, call_type="anthropic_messages"),
    ]  # fmt: skip
    workload, report = read(write(tmp_path, *rows))
    assert len(workload) == 3
    assert str(report.cost_usd) == "0.3"
    assert report.left_out == [
        "2 row(s) are answers out of LiteLLM's own cache and were left out",
        "2 row(s) are no chat requests (aembedding, aretrieve_batch) and were left out",
        "1 row(s) are failed requests and were left out",
    ]


def test_nothing_but_other_rows_says_what_they_are(tmp_path: Path) -> None:
    """A log of embeddings alone is not called empty."""
    path = lines(tmp_path, *(spend(second, call_type="embedding") for second in range(3)))
    with pytest.raises(WorkloadError, match=r"request: 3 row\(s\) are no chat requests \(embedding\)"):
        read(path)


def bucket(day: int, *results: dict[str, Any]) -> dict[str, Any]:
    """A day of OpenAI's usage."""
    start = START + day * DAY_S
    return {"object": "bucket", "start_time": start, "end_time": start + DAY_S, "results": list(results)}


def usage(model: str = "gpt-4o-mini", **more: Any) -> dict[str, Any]:
    """A result of OpenAI's usage API."""
    return {
        "object": "organization.usage.completions.result", "num_model_requests": 20, "model": model,
        "input_tokens": 3000, "output_tokens": 900, "input_cached_tokens": 0, "batch": False, **more,
    }  # fmt: skip


def page(folder: Path, *buckets: dict[str, Any], more: bool = False, name: str = "u.json") -> Path:
    """A page of OpenAI's usage API."""
    path = folder / name
    path.write_text(json.dumps({"object": "page", "data": list(buckets), "has_more": more}))
    return path


def test_service_tiers_of_unknown_price_are_refused(tmp_path: Path) -> None:
    """Usage at priority or flex has no known price: the models are named, and a stated price settles it."""
    results = [usage(service_tier=tier) for tier in (None, "default", "flex", "priority", "batch")]
    traffic = from_usage([str(page(tmp_path, bucket(0, *results), bucket(1, results[2])))])
    assert traffic.tiers == {
        "gpt-4o-mini at service tier 'flex'": 40, "gpt-4o-mini at service tier 'priority'": 20,
    }  # fmt: skip
    assert sum(total.requests for total in traffic.batch) == 20
    figures = CloudFigures(date(2026, 11, 24))
    with pytest.raises(ConfigError, match=r"tier 'flex' \(40 requests\), .*'priority' .*\(--cloud") as caught:
        refuse_unknown_tiers(traffic.tiers, figures)
    assert caught.value.exit_code == 2
    stated = replace(figures, input_usd_per_mtok=Decimal(1), output_usd_per_mtok=Decimal(2))
    refuse_unknown_tiers(traffic.tiers, stated)
    refuse_unknown_tiers(traffic.tiers, replace(figures, cloud="openai/gpt-4o-mini"))


def test_embeddings_and_sound_in_openai_usage_are_said(tmp_path: Path) -> None:
    """Other services' results are left out; tokens that are no text are planned as text, and that is said."""
    embedded = {"object": "organization.usage.embeddings.result", "input_tokens": 9, "num_model_requests": 3}
    sound = usage(input_audio_tokens=1200, output_audio_tokens=100, input_image_tokens=0)
    _, report = read(page(tmp_path, bucket(0, sound, embedded), bucket(1, usage(input_audio_tokens=-1))))
    assert report.left_out == [
        "1 row(s) are no chat requests (organization.usage.embeddings.result) and were left out"
    ]
    assert report.bad.counts == {"input_audio_tokens is negative": 1}
    assert report.notes[0].startswith("1,200 input audio tokens and 100 output audio tokens are planned")


def test_requests_with_one_id_count_once(tmp_path: Path) -> None:
    """A request that was exported twice, within a file or in two, counts once and the rest are said."""
    rows = [spend(0), spend(1), spend(1), spend(2), spend(3) | {"request_id": None}]
    first = lines(tmp_path, *rows, rows[-1], name="a.jsonl")
    second = table(tmp_path, spend(2), spend(4), name="b.csv")
    workload, reports = read_workload([first, second])
    assert len(workload) == 6
    assert [report.rows for report in reports] == [5, 1]
    assert str(reports[0].cost_usd) == "0.5"
    for report in reports:
        assert report.left_out == [REPEATED.format("request_id")]


@pytest.mark.parametrize(
    "name",
    ["null", "NULL", "None", "nan", "undefined", "0", 0, "00000000-0000-0000-0000-000000000000", " ", "\\N"],
)
def test_a_word_for_nothing_is_no_id(name: str | int, tmp_path: Path) -> None:
    """Where the column of ids holds none, equal requests of one second are requests all the same."""
    for write in (lines, table):
        workload, report = read(write(tmp_path, *(spend(n // 2, request_id=name) for n in range(48))))
        assert (len(workload), report.left_out) == (48, [])


def test_one_id_with_other_times_or_tokens_is_no_repeat(tmp_path: Path) -> None:
    """A mock's fixed id, or one per session, hides no request; Helicone's like LiteLLM's."""
    rows = [spend(n, request_id="mock") for n in range(48)] + [spend(0, request_id="mock", prompt_tokens=101)]
    assert len(read(lines(tmp_path, *rows))[0]) == 49
    helicone = [
        {
            "request_id": "fixed", "request_created_at": f"2026-11-02T12:00:{n:02}Z", "prompt_tokens": 100,
            "completion_tokens": 10, "response_model": "m",
        }
        for n in range(48)
    ]  # fmt: skip
    workload, report = read(table(tmp_path, *helicone))
    assert (len(workload), report.left_out) == (48, [])


@pytest.mark.parametrize("nothing", ["NULL", "null", "None", "nan", "\\N", ""])
def test_a_word_for_nothing_makes_no_failure_and_no_cached_answer(nothing: str, tmp_path: Path) -> None:
    """An export of a database writes what is not there as a word; 0 and f are how it writes false."""
    rows = [spend(n, status=nothing, call_type=nothing, cache_hit=nothing) for n in range(9)]
    rows += [spend(10, cache_hit="0"), spend(11, cache_hit="f"), spend(12, cache_hit=0)]
    rows += [spend(13, cache_hit="1"), spend(14, cache_hit="t")]
    workload, report = read(table(tmp_path, *rows))
    assert len(workload) == 12
    assert report.left_out == ["2 row(s) are answers out of LiteLLM's own cache and were left out"]


def test_spans_are_told_apart_by_id_and_start(tmp_path: Path) -> None:
    """A span that was exported again counts once; without an id every span counts."""
    spans = [span(second, "chat") | {"spanId": "b7ad6b7169203331"} for second in (0, 0, 1)]
    workload, report = read(lines(tmp_path, *spans, span(0, "chat"), span(0, "chat")))
    assert len(workload) == 4
    assert report.left_out == [REPEATED.format("spanId and startTimeUnixNano")]


def test_ids_are_remembered_in_little_room() -> None:
    """Tens of thousands of ids are all known again, and no other is."""
    seen = SeenIds()
    names = [f"chatcmpl-{number}" for number in range(20_000)]
    assert all(seen.add(name) for name in names)
    assert not any(seen.add(name) for name in names)
    assert seen.add("chatcmpl-20000")


def test_one_export_in_two_formats_is_refused(tmp_path: Path) -> None:
    """The same totals in CSV and JSON would double the traffic."""
    days = (bucket(0, usage(), usage(model="gpt-4o")), bucket(1, usage()))
    rows = [
        {"start_time": each["start_time"], "end_time": each["end_time"], **result}
        for each in days
        for result in each["results"]
    ]
    paths = [page(tmp_path, *days), table(tmp_path, *rows)]
    with pytest.raises(WorkloadError, match=r"f\.csv hold the same totals \(gpt-4o on 2026-11-02, for one\)"):
        read_workload(paths)


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        ((0, 1, 2), (2, 3), r"u\.json and .*v\.json overlap: .* of 1 period\(s\), the first gpt-4o-mini on "
         "2026-11-04, .*; export them so that they do not overlap"),
        ((0, 1, 2), (1, 2, 3), r"same totals of 2 period\(s\), the first gpt-4o-mini on 2026-11-03"),
        ((0, 1, 2), (1, 2), r"all totals of .*v\.json are in .*u\.json too .*; give only .*u\.json$"),
        ((1,), (0, 1, 2), r"all totals of .*u\.json are in .*v\.json too .*; give only .*v\.json$"),
    ],
)  # fmt: skip
def test_exports_that_overlap_are_refused(
    first: tuple[int, ...], second: tuple[int, ...], said: str, tmp_path: Path
) -> None:
    """A month's export that holds a day of the next one's is not called the same, but refused."""
    one, two = ([bucket(day, usage(input_tokens=3000 + day)) for day in days] for days in (first, second))
    with pytest.raises(WorkloadError, match=said):
        read_workload([page(tmp_path, *one), page(tmp_path, *two, name="v.json")])


def test_an_overlap_whose_last_day_has_grown_is_refused(tmp_path: Path) -> None:
    """A day that was exported before it had ended differs in the later export; the day before is equal."""
    first = page(tmp_path, bucket(0, usage()), bucket(1, usage()), bucket(2, usage()))
    grown = bucket(2, usage(input_tokens=4000))
    second = page(tmp_path, bucket(1, usage()), grown, bucket(3, usage()), name="v.json")
    with pytest.raises(WorkloadError, match=r"overlap: they hold the same totals of 1 period\(s\)"):
        read_workload([first, second])


def test_equal_totals_in_one_file_are_said(tmp_path: Path) -> None:
    """A page that is in a file twice doubles the traffic; rows of two projects do not repeat each other."""
    projects = [usage(project_id=name) for name in ("a", "b")]
    pages = [
        {"object": "page", "data": [bucket(0, *projects), bucket(1, usage())], "has_more": more}
        for more in (True, False)
    ]
    path = tmp_path / "pages.json"
    path.write_text(json.dumps(pages))
    workload, report = read(path)
    assert len(workload) == 120
    (note,) = [note for note in report.notes if "equal" in note]
    assert note.startswith("3 row(s) are equal to another in every column, and count as well")
    path.write_text(json.dumps(pages[1:]))
    assert not read(path)[1].notes


def test_totals_of_the_same_days_are_said(tmp_path: Path) -> None:
    """Two projects' exports overlap in time without being the same; a sentence says so. Months do not."""
    first = page(tmp_path, bucket(0, usage()), bucket(1, usage()))
    second = page(tmp_path, bucket(1, usage(input_tokens=4000)), bucket(2, usage()), name="v.json")
    third = page(tmp_path, bucket(3, usage()), name="w.json")
    workload, reports = read_workload([first, second, third])
    assert len(workload) == 100
    (sentence,) = [found for report in reports for found in report.warnings()]
    assert "both hold totals of 1 periods and models (gpt-4o-mini on 2026-11-03, for one)" in sentence


def test_the_ledger_is_read_as_requests_came_in(tmp_path: Path) -> None:
    """However ids sort, nothing is out of order; faults are named by request, failures by what they are."""
    path = tmp_path / "spillway.db"
    store = LedgerStore.open(f"sqlite:///{path}")
    wall_s = 1_790_000_000.0
    rows = [row(f"r{i}", accepted_wall_s=wall_s + 60 * i) for i in range(20)]
    silent = [attempt_of(usage=Usage(100, None))]
    rows.append(row("r-silent", attempts=silent, accepted_wall_s=wall_s + 5))
    rows.append(row("r-failed", result="error", accepted_wall_s=wall_s + 6))
    rows.append(row("r-vector", facts_operation="embedding", accepted_wall_s=wall_s + 7))
    store.append(rows)
    store.close()
    for place in (path, f"sqlite:///{path}"):
        workload, reports = read_workload([place])
        assert (len(workload), reports[0].out_of_order) == (20, 0)
        assert reports[0].reasons() == [
            "1 row(s) not used: no output tokens (request r-silent)",
            "1 row(s) are failed requests and were left out",
            "1 row(s) are no chat requests (embedding) and were left out",
        ]


MORE = "its last page says that more follow: give all pages, or this is a part"


def test_a_page_that_others_follow_is_a_part(tmp_path: Path) -> None:
    """The last page of all files says whether there is more; pages before it always do."""
    first = page(tmp_path, bucket(0, usage()), bucket(1, usage()), more=True, name="1.json")
    _, report = read(first)
    assert report.notes == [MORE]
    last = page(tmp_path, bucket(2, usage()), name="2.json")
    for paths in ([first, last], [last, first]):
        _, reports = read_workload(paths)
        assert not any(report.notes for report in reports)
    both = tmp_path / "pages.jsonl"
    both.write_text(first.read_text() + "\n" + first.read_text().replace("gpt-4o-mini", "gpt-4o") + "\n")
    assert read(both)[1].notes == [MORE]
    both.write_text(first.read_text() + "\n" + last.read_text() + "\n")
    assert read(both)[1].notes == []


def requests(folder: Path, *times: str) -> Path:
    """Single requests at these times, each a token longer than the one before."""
    rows = ({"time": each, "input_tokens": 100 + i, "output_tokens": 10} for i, each in enumerate(times))
    return table(folder, *rows)


def test_times_that_are_only_days_are_spread(tmp_path: Path) -> None:
    """Requests of which only the day is known do not all come at midnight; the rest stays as it is."""
    days = [f"2026-11-{2 + number // 50:02}" for number in range(150)]
    workload, _ = read(requests(tmp_path, *days))
    assert workload.grade == "derived"
    assert workload.span_s == 3 * DAY_S
    assert (np.diff(workload.time_s) >= 0).all()
    assert np.bincount((workload.time_s // DAY_S).astype(int)).tolist() == [50, 50, 50]
    assert workload.input_tokens.tolist() == list(range(100, 250))
    assert len({int(hour) for hour in workload.time_s % DAY_S // 3600}) > 15
    assert "all times are whole days: requests were spread" in workload.notes[-1]
    assert "consumer" in workload.notes[-1]
    traffic = from_usage([str(tmp_path / "f.csv")], shape="office")
    assert traffic.assumptions[0].grade == "derived"
    assert "office" in traffic.assumptions[0].source


def test_times_that_are_only_hours_are_spread(tmp_path: Path) -> None:
    """Requests of an hour do not all come as it strikes."""
    hours = [f"2026-11-02 {8 + number // 50:02}:00:00" for number in range(150)]
    workload, _ = read(requests(tmp_path, *hours))
    assert workload.span_s == 3 * 3600
    assert np.bincount((workload.time_s // 3600).astype(int)).tolist() == [50, 50, 50]
    assert len(set(workload.time_s)) == 150
    assert "all times are whole hours" in workload.notes[-1]


@pytest.mark.parametrize("zone", ["+05:30", "-03:30", "+05:45", "+12:45"])
def test_hours_and_days_of_any_zone_are_spread(zone: str, tmp_path: Path) -> None:
    """Whole hours and days of India or Nepal begin at a half or a quarter of an hour of UTC."""
    hours = [f"2026-11-02T{8 + number // 50:02}:00:00{zone}" for number in range(150)]
    workload, _ = read(requests(tmp_path, *hours))
    assert (workload.grade, workload.span_s) == ("derived", 3 * 3600)
    assert np.bincount((workload.time_s // 3600).astype(int)).tolist() == [50, 50, 50]
    assert "all times are whole hours" in workload.notes[-1]
    days = [f"2026-11-{2 + number // 50:02}T00:00:00{zone}" for number in range(150)]
    workload, _ = read(requests(tmp_path, *days))
    assert np.bincount((workload.time_s // DAY_S).astype(int)).tolist() == [50, 50, 50]
    assert "all times are whole days" in workload.notes[-1]


@pytest.mark.parametrize(
    "times",
    [
        [f"2026-11-{2 + day:02} 06:00:00" for day in range(12)],
        ["2026-11-02 08:00:00"] * 12,
        ["2026-11-02 08:00:00", "2026-11-02 08:00:00", "2026-11-02 09:00:00", "2026-11-02 09:10:00"],
        ["0", "0", "3600", "7200"],
        [f"2026-11-02T{hour:02}:10:00Z" for hour in range(12) for _ in range(2)],
    ],
    ids=["one a day", "one moment", "minutes", "no dates", "past the hour"],
)
def test_other_times_stay(times: list[str], tmp_path: Path) -> None:
    """A job on the hour, one moment, finer times and times without a date are taken as they are."""
    workload, _ = read(requests(tmp_path, *times))
    assert workload.grade == "measured"
    assert not (workload.time_s % 600).any()


def test_too_little_that_is_left_says_where_the_rest_went(tmp_path: Path) -> None:
    """An export of one request, again and again, is refused with that fact, not only with their number."""
    path = lines(tmp_path, *[spend(0, request_id="hidden")] * 50)
    with pytest.raises(WorkloadError, match=r"1 request within 1 s \(49 row\(s\) repeat the request_id of"):
        from_usage([str(path)])
