"""What vendors' numbers mean: parts of prompts, names of operations, spans around spans, sizes of blocks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from spillway.planner.readers import read_workload
from spillway.planner.workload import WorkloadError
from tests.planner.test_reader_exports import helicone
from tests.planner.test_reader_formats import lines, observation, read, span, spend, table


@pytest.mark.parametrize("write", [lines, table])
def test_helicone_parts_are_whole_requests(write: Any, tmp_path: Path) -> None:
    """What a cache held or got belongs to the prompt, what was thought to the answer."""
    parts = {"prompt_cache_read_tokens": 900, "prompt_cache_write_tokens": 50, "reasoning_tokens": 300}
    plain = dict.fromkeys(parts, 0) | {"reasoning_tokens": None}
    workload, report = read(write(tmp_path, helicone(0, **parts), helicone(1, **plain)))
    assert workload.input_tokens.tolist() == [1050, 100]
    assert workload.output_tokens.tolist() == [310, 10]
    assert workload.cached_tokens is not None
    assert workload.cached_tokens.tolist() == [900, 0]
    assert report.bad.total == 0


def test_a_part_that_is_no_count_is_named(tmp_path: Path) -> None:
    """A prompt with a part nobody can read is not taken for the rest of it."""
    path = lines(tmp_path, helicone(0), helicone(1, prompt_cache_write_tokens="many"))
    _, report = read(path)
    assert report.bad.lines == {"prompt cache write tokens is not a number": [2]}


@pytest.mark.parametrize("operation", ["acompletion", "aresponses", "anthropic_messages", "responses"])
def test_operations_of_gateways_are_model_calls(operation: str, tmp_path: Path) -> None:
    """LiteLLM and Sentry name their spans' operations in words of their own."""
    workload, report = read(lines(tmp_path, span(0, operation), span(1, "chat"), span(2, "aembedding")))
    assert len(workload) == 2
    assert report.left_out == ["1 row(s) are no chat requests (aembedding) and were left out"]


def inner(second: int, name: str, around: str | None, usage: bool = True) -> dict[str, Any]:
    """A span of that name within another, without an operation."""
    found = span(second, None)
    attributes = found["attributes"] if usage else {}
    return {**found, "trace_id": "t", "span_id": name, "parent_span_id": around, "attributes": attributes}


@pytest.mark.parametrize("write", [lines, table])
def test_spans_around_calls_are_left_out_by_their_ids(write: Any, tmp_path: Path) -> None:
    """An agent's span that names no operation is told by the calls in it, however deep they are."""
    rows = [
        inner(0, "call", "step"), inner(1, "step", "agent", usage=False), inner(2, "lone", "handler"),
        inner(3, "agent", None), inner(4, "handler", None, usage=False),
    ]  # fmt: skip
    workload, report = read(write(tmp_path, *rows))
    assert workload.time_s.tolist() == [0, 2]
    assert "1 row(s) are spans around other spans and were left out" in report.left_out


def test_a_span_around_a_call_may_come_first(tmp_path: Path) -> None:
    """The order in which spans are stored does not matter for what is right around a call."""
    workload, _ = read(lines(tmp_path, inner(0, "agent", None), inner(1, "call", "agent")))
    assert workload.time_s.tolist() == [0]


def test_equal_span_ids_of_two_traces_are_two_spans(tmp_path: Path) -> None:
    """A call in one trace leaves out nothing of another."""
    other = {**inner(1, "agent", None), "trace_id": "u"}
    workload, _ = read(lines(tmp_path, inner(0, "call", "agent"), other))
    assert len(workload) == 2


def traced(second: float, hashes: list[int], **more: Any) -> dict[str, Any]:
    """A request of 100 tokens as block traces have it."""
    return {"timestamp": second, "input_length": 100, "output_length": 10, "hash_ids": hashes, **more}


def test_bailian_traces_have_seconds_and_small_blocks(tmp_path: Path) -> None:
    """The same columns as Mooncake's hold seconds and blocks of 16 tokens there."""
    chat = {"chat_id": 1, "parent_chat_id": -1, "turn": 1, "type": "text"}
    rows = [traced(0.5, list(range(7)), **chat), traced(61.5, [0, 1, 2, 9, 10, 11, 12], **chat)]
    workload, report = read(lines(tmp_path, *rows))
    assert report.format == "qwen-bailian"
    assert workload.time_s.tolist() == [0, 61]
    assert workload.cached_tokens is not None
    assert workload.cached_tokens.tolist() == [0, 48]


def test_blocks_of_another_size_are_not_taken_for_mooncakes(tmp_path: Path) -> None:
    """Hashes that are too many for the prompt say that the file is of another kind."""
    with pytest.raises(WorkloadError, match="its block hashes are not of 512 tokens each"):
        read(lines(tmp_path, traced(0, list(range(7))), traced(1, list(range(7)))))


def two_tools(folder: Path, seconds: list[int]) -> list[Path]:
    """Thirty requests as LiteLLM tells of them, and some as Langfuse does."""
    paths = [folder / "litellm", folder / "langfuse"]
    for path in paths:
        path.mkdir()
    one = lines(paths[0], *(spend(second) for second in range(30)))
    return [one, lines(paths[1], *(observation(i, input=100, output=10) for i in seconds))]


def test_the_same_traffic_of_two_tools_is_said(tmp_path: Path) -> None:
    """Two tools' records of the same requests, which share no ids, are doubted by their numbers."""
    _, reports = read_workload(two_tools(tmp_path, list(range(1, 30))))
    (said,) = reports[-1].across
    assert "hold nearly as many requests hour by hour, 30 and 29 in the same time" in said
    assert said in reports[-1].warnings()


def test_other_traffic_of_two_tools_is_not_doubted(tmp_path: Path) -> None:
    """Half as many requests are others."""
    _, reports = read_workload(two_tools(tmp_path, list(range(0, 30, 2))))
    assert reports[-1].across == []


def without_ids(folder: Path, name: str, seconds: range) -> Path:
    """An Azure trace with one request at each of these seconds, longer and longer."""
    rows = [f"2026-11-01 00:{second // 60:02}:{second % 60:02},{100 + second},10" for second in seconds]
    path = folder / name
    path.write_text("\n".join(["TIMESTAMP,ContextTokens,GeneratedTokens", *rows]))
    return path


def test_a_copy_of_a_file_without_ids_is_refused(tmp_path: Path) -> None:
    """Where no id tells requests apart, the same ones under another name would double the traffic."""
    paths = [without_ids(tmp_path, name, range(300)) for name in ("one.csv", "two.csv")]
    with pytest.raises(
        WorkloadError, match=r"two\.csv hold the same 300 requests, to the token and the second"
    ):
        read_workload(paths)


@pytest.mark.parametrize("seconds", [range(300, 600), range(1, 301)], ids=["later", "longer"])
def test_other_requests_without_ids_count(seconds: range, tmp_path: Path) -> None:
    """Two parts of a trace, or two gateways that are as busy, are all traffic."""
    paths = [without_ids(tmp_path, "one.csv", range(300)), without_ids(tmp_path, "two.csv", seconds)]
    workload, reports = read_workload(paths)
    assert len(workload.time_s) == 600
    assert reports[-1].across == []


OTLP = {"traceId": "t", "spanId": "s", "startTimeUnixNano": "1793491200000000000", "attributes": [
    {"key": "gen_ai.usage.input_tokens", "value": {"intValue": "100"}},
    {"key": "gen_ai.usage.output_tokens", "value": {"intValue": "10"}}]}  # fmt: skip
SNAKE = {"trace_id": "t", "span_id": "s", "start_time_unix_nano": "1793491200000000000", "attributes": [
    {"key": "gen_ai.usage.input_tokens", "value": {"int_value": "100"}},
    {"key": "gen_ai.usage.output_tokens", "value": {"int_value": "10"}}]}  # fmt: skip


@pytest.mark.parametrize(
    "export",
    [
        {"batches": [{"scopeSpans": [{"spans": [OTLP]}]}]},
        {"trace": {"resourceSpans": [{"scopeSpans": [{"spans": [OTLP]}]}]}},
        {"resource_spans": [{"scope_spans": [{"spans": [SNAKE]}]}]},
    ],
    ids=["Tempo", "Tempo's API", "names of the message"],
)
def test_spans_are_read_out_of_other_wrappers(export: dict[str, Any], tmp_path: Path) -> None:
    """Tempo's answers and exports with the message's own names hold the same spans."""
    path = tmp_path / "t.json"
    path.write_text(json.dumps(export, indent=1))
    workload, report = read(path)
    assert (report.format, workload.input_tokens.tolist()) == ("otel-genai", [100])
