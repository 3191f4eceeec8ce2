"""Exports of gateways and tracers: what in them is a chat request, however wrapped, and what is none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from spillway.planner.readers import read_workload
from spillway.planner.workload import WorkloadError
from tests.planner.test_reader_formats import lines, observation, read, span, spend, table

CHAT = "https://api.openai.com/v1/chat/completions"
NO_CACHE = "00000000-0000-0000-0000-000000000000"
PART = "its last page says that more follow: give all pages, or this is a part"


def helicone(second: int, **more: Any) -> dict[str, Any]:
    """A request as Helicone exports it."""
    return {
        "request_id": f"h{second}", "request_created_at": f"2026-11-02T12:00:{second:02}Z",
        "request_path": CHAT, "response_status": 200, "cache_reference_id": NO_CACHE, "prompt_tokens": 100,
        "completion_tokens": 10, "response_model": "m", "cost": 0.1, **more,
    }  # fmt: skip


@pytest.mark.parametrize("write", [lines, table])
def test_helicone_rows_that_went_to_no_chat_model_are_left_out(write: Any, tmp_path: Path) -> None:
    """Embeddings, failures and answers of its own cache are no traffic; a cancelled request was paid for."""
    embeddings = (
        "https://x.openai.azure.com/openai/deployments/e/embeddings?api-version=1",
        "/v1beta/models/gemini-embedding-001:batchEmbedContents",
        "/v1/images/generations",
    )
    chats = ("/v1beta/models/gemini-3-pro:generateContent?alt=sse", "/v1/responses", "/embed/v1/messages", "")
    paths = enumerate((*embeddings, *chats), 1)
    rows = [
        helicone(0), *(helicone(second, request_path=path) for second, path in paths),
        helicone(20, response_status=500), helicone(21, response_status=-2),
        helicone(22, response_status=-3), helicone(23, response_status=None),
        helicone(24, cache_reference_id="11111111-1111-4111-8111-111111111111", cost=0),
        helicone(25, cache_reference_id=None),
    ]  # fmt: skip
    workload, report = read(write(tmp_path, *rows))
    assert len(workload) == 1 + len(chats) + 3
    assert str(report.cost_usd) == "0.8"
    assert [sentence.split(" (")[0] for sentence in report.left_out] == [
        "3 row(s) are no chat requests",
        "2 row(s) are failed requests and were left out",
        "1 row(s) are answers out of Helicone's own cache and were left out",
    ]


def generation(second: int, **more: Any) -> dict[str, Any]:
    """A generation as OpenRouter's API tells of it."""
    return {
        "id": f"gen-{second}", "created_at": f"2026-11-02T12:00:{second:02}Z", "model": "m",
        "total_cost": 0.1, "tokens_prompt": 90, "native_tokens_prompt": 100, "tokens_completion": 9,
        "native_tokens_completion": 10, "native_tokens_cached": 60, "api_type": "completions", **more,
    }  # fmt: skip


def in_camel_case(record: dict[str, Any]) -> dict[str, Any]:
    """The record with the names of the SDK for TypeScript."""
    words = {name: name.split("_") for name in record}
    return {
        first + "".join(word.title() for word in rest): record[name] for name, (first, *rest) in words.items()
    }


@pytest.mark.parametrize("wrap", [dict, lambda record: {"data": record}, in_camel_case])
@pytest.mark.parametrize("is_listed", [True, False])
def test_openrouter_generations_are_read_however_wrapped(wrap: Any, is_listed: bool, tmp_path: Path) -> None:
    """Native tokens count, whichever way names are written; embeddings are left out."""
    kinds = ("completions", None, "embeddings")
    rows = [wrap(generation(second, api_type=kind)) for second, kind in enumerate(kinds)]
    path = lines(tmp_path, *rows)
    if is_listed:
        path.write_text(json.dumps(rows))
    workload, report = read(path)
    assert report.format == "openrouter"
    assert workload.input_tokens.tolist() == [100, 100]
    assert workload.output_tokens.tolist() == [10, 10]
    assert workload.cached_tokens is not None
    assert workload.cached_tokens.tolist() == [60, 60]
    assert str(report.cost_usd) == "0.2"
    assert report.left_out == ["1 row(s) are no chat requests (embeddings) and were left out"]


def test_langfuse_traces_are_refused(tmp_path: Path) -> None:
    """A trace that adds up its observations, or only names them, is no request."""
    trace = {"id": "t", "timestamp": "2026-11-02T12:00:00Z", "totalCost": 0.1}
    tokens = {"observationCount": 10, "inputTokens": 5000, "outputTokens": 1000}
    for path in (table(tmp_path, trace | tokens), lines(tmp_path, trace | {"observations": ["o1", "o2"]})):
        with pytest.raises(WorkloadError, match=r"holds Langfuse's traces, .* export the observations"):
            read(path)


def test_observations_of_another_kind_stay_in_their_request(tmp_path: Path) -> None:
    """A log whose requests hold lists of their own is read by its requests."""
    counts = {"input_tokens": 100, "output_tokens": 10}
    for inner in ([], [{"what": "seen"}], ["seen"]):
        rows = [{"t_s": second, "observations": inner} | counts for second in range(3)]
        workload, report = read(lines(tmp_path, *rows))
        assert (report.format, len(workload)) == ("generic", 3)


def test_observations_within_langfuse_traces_are_read(tmp_path: Path) -> None:
    """A trace that holds its observations gives a request for each that is a model call."""
    traces = [
        {"id": f"t{n}", "timestamp": "2026-11-02T12:00:00Z", "totalCost": 0.1, "observations": [
            observation(2 * n, input=40, input_cached_tokens=60, output=10),
            observation(2 * n + 1) | {"type": "SPAN"},
        ]}
        for n in range(3)
    ]  # fmt: skip
    path = tmp_path / "f.json"
    path.write_text(json.dumps({"data": traces, "meta": {"page": 1, "totalPages": 2}}))
    workload, report = read(path)
    assert workload.input_tokens.tolist() == [100] * 3
    assert report.left_out == ["3 row(s) are no model calls and were left out"]
    assert report.notes == [PART]


@pytest.mark.parametrize("column", ["attributes", "SpanAttributes"])
@pytest.mark.parametrize("write", [lines, table])
def test_attributes_are_read_as_objects_and_as_text(write: Any, column: str, tmp_path: Path) -> None:
    """ClickHouse's column, and attributes in a cell, are a span's: that of an agent counts no chat twice."""
    spans = [span(n, name) for n, name in enumerate(("chat", "invoke_agent", "chat", "execute_tool"))]
    spans[3]["attributes"] = {"gen_ai.operation.name": "execute_tool"}
    for each in spans:
        each[column] = each.pop("attributes")
        each["start_timestamp"] = each.pop("start_time")
    spans[2][column]["gen_ai.usage.cache_read_input_tokens"] = 60
    workload, report = read(write(tmp_path, *spans))
    assert report.format == "otel-genai"
    assert workload.input_tokens.tolist() == [100, 100]
    assert workload.cached_tokens is not None
    assert workload.cached_tokens.tolist() == [0, 60]
    assert report.left_out == [
        "1 row(s) are no chat requests (invoke_agent) and were left out",
        "1 row(s) are no model calls and were left out",
    ]


def test_cells_of_attributes_bring_names_late(tmp_path: Path) -> None:
    """What the first hundred rows do not have, later ones may: cells of attributes are no fixed columns."""
    quiet = [{"start_time": "2026-11-02T11:00:00Z", "attributes": {"http.route": "/"}}] * 150
    late = span(1, "chat")
    late["attributes"]["gen_ai.usage.cache_read.input_tokens"] = 60
    rows = [{name: each[name] for name in quiet[0]} for each in (*quiet, span(0, "chat"), late)]
    workload, report = read(table(tmp_path, *rows))
    assert report.format == "otel-genai"
    assert workload.cached_tokens is not None
    assert workload.cached_tokens.tolist() == [0, 60]


def test_a_plain_log_may_have_attributes(tmp_path: Path) -> None:
    """Attributes that tell of no model call make no spans of a log, and its own columns stay."""
    rows = [
        {"timestamp": f"2026-11-02T12:00:{n:02}Z", "model": "m", "prompt_tokens": 100,
         "completion_tokens": 10, "attributes": {"team": "a", "model": "other"}}
        for n in range(3)
    ]  # fmt: skip
    workload, report = read(lines(tmp_path, *rows))
    assert (report.format, len(workload)) == ("generic", 3)
    assert workload.models == ("m",)


@pytest.mark.parametrize(
    "metadata",
    [
        {"usage_object": {"prompt_tokens_details": {"cached_tokens": 60}}},
        {"usage_object": {"cache_read_input_tokens": 60}},
        {"additional_usage_values": {"prompt_tokens_details": {"cached_tokens": 60}}},
        {"additional_usage_values": {"cache_read_input_tokens": 60}},
    ],
)
def test_litellm_tells_cached_tokens_in_several_ways(metadata: dict[str, Any], tmp_path: Path) -> None:
    """Each provider's name for them is read, in a cell of text too."""
    for write in (lines, table):
        workload, _ = read(write(tmp_path, spend(0, metadata=metadata), spend(1, metadata=metadata)))
        assert workload.cached_tokens is not None
        assert workload.cached_tokens.tolist() == [60, 60]


@pytest.mark.parametrize(
    ("before", "last"),
    [
        ({"page": 1, "total_pages": 2}, {"page": 2, "total_pages": 2}),
        ({"meta": {"page": 1, "totalPages": 2}}, {"meta": {"page": 2, "totalPages": 2}}),
        ({"metadata": {"page": 1, "total_pages": 2}}, {"metadata": {"page": 2, "total_pages": 2}}),
        ({"metadata": {"has_more": True}}, {"metadata": {"has_more": False}}),
        ({"meta": {"cursor": "abc"}}, {"meta": {"cursor": None}}),
        ({"has_more": True}, {"has_more": False}),
    ],
)
def test_pages_of_requests_that_others_follow_are_a_part(
    before: dict[str, Any], last: dict[str, Any], tmp_path: Path
) -> None:
    """However a page says that more follow, a note says so unless some file holds the last page."""
    pages = [{"data": [spend(n), spend(n + 1)], **said} for n, said in enumerate((before, last))]
    first, both, second = tmp_path / "1.json", tmp_path / "both.jsonl", tmp_path / "2.json"
    first.write_text(json.dumps(pages[0]))
    second.write_text(json.dumps(pages[1]))
    both.write_text("\n".join(map(json.dumps, pages)))
    assert read(first)[1].notes == [PART]
    workload, report = read(both)
    assert (len(workload), report.notes) == (3, [])
    _, reports = read_workload([first, second])
    assert not any(report.notes for report in reports)


def test_a_named_format_needs_its_columns(tmp_path: Path) -> None:
    """A file of other columns is not said to hold rows without a time; what comes late is looked for."""
    rows = [{"timestamp": "2026-11-02T12:00:00Z", "input_tokens": 100, "output_tokens": 10}]
    for path in (table(tmp_path, *rows), lines(tmp_path, *rows)):
        said = r"has no startTime, which litellm files have; .*; the file has timestamp, input_tokens, output"
        with pytest.raises(WorkloadError, match=said):
            read(path, format_name="litellm")
    path = lines(tmp_path, *[{"status": "failure"}] * 150, spend(1))
    assert len(read(path, format_name="litellm")[0]) == 1
