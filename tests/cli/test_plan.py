"""``spillway plan`` end to end: every kind of input and every kind of output."""

from __future__ import annotations

import csv
import gzip
import io
import json
import sqlite3
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest

from spillway.cli import run
from spillway.cli.plan import _progress
from spillway.ledger.rows import REQUEST_COLUMNS
from spillway.ledger.store import LedgerStore

NOON = datetime(2026, 11, 2, 12, tzinfo=UTC)
SMALL = ("--nodes", "0-1", "--workers", "1", "--draws", "20", "--simulate-requests", "200")
"""Options that keep a test short."""
Write = Callable[[Path], Path]


def moments(count: int = 40) -> list[datetime]:
    """Arrivals a minute apart."""
    return [NOON + timedelta(minutes=number) for number in range(count)]


def plan(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of one command line."""
    code = run(["plan", *(str(each) for each in arguments), *SMALL])
    out, err = capsys.readouterr()
    return code, out, err


def as_json(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict[str, Any]:
    """The plan as JSON; nothing else was printed."""
    code, out, err = plan(capsys, *arguments, "--json")
    assert (code, err) == (0, "")
    found: dict[str, Any] = json.loads(out)
    return found


def rows(path: Path, names: list[str], cells: Callable[[int, datetime], list[object]]) -> Path:
    """A CSV file with one row per moment."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(names)
        writer.writerows(cells(number, moment) for number, moment in enumerate(moments()))
    return path


def json_lines(path: Path, make: Callable[[int, datetime], dict[str, object]]) -> Path:
    """A file of JSON lines with one record per moment."""
    path.write_text("".join(json.dumps(make(i, moment)) + "\n" for i, moment in enumerate(moments())))
    return path


def generic(folder: Path) -> Path:
    """A file of a kind nobody knows."""
    return rows(
        folder / "log.csv", ["created_at", "prompt_tokens", "completion_tokens", "model"],
        lambda i, moment: [moment.isoformat(), 200 + i, 40, "gpt-4o-mini"],
    )  # fmt: skip


def litellm(folder: Path) -> Path:
    """LiteLLM's spend log."""
    records = [
        {"startTime": moment.isoformat(), "prompt_tokens": 200, "completion_tokens": 40,
         "model": "gpt-4o-mini", "spend": 0.001, "call_type": "acompletion"}
        for moment in moments()
    ]  # fmt: skip
    path = folder / "spend.json"
    path.write_text(json.dumps(records))
    return path


def openai_usage(folder: Path) -> Path:
    """OpenAI's usage API: totals of days."""
    day = int(datetime(2026, 11, 2, tzinfo=UTC).timestamp())
    buckets = [
        {"object": "bucket", "start_time": day + 86_400 * i, "end_time": day + 86_400 * (i + 1), "results": [
            {"input_tokens": 8000, "output_tokens": 1600, "input_cached_tokens": 800,
             "num_model_requests": 40, "model": "gpt-4o-mini-2024-07-18"}]}
        for i in range(8)
    ]  # fmt: skip
    path = folder / "usage.json"
    path.write_text(json.dumps({"object": "page", "data": buckets}))
    return path


def langfuse(folder: Path) -> Path:
    """Langfuse observations."""
    return json_lines(
        folder / "observations.jsonl",
        lambda i, moment: {
            "id": str(i), "traceId": "t", "type": "GENERATION", "startTime": moment.isoformat(),
            "model": "gpt-4o-mini", "usageDetails": {"input": 200, "output": 40},
        },
    )  # fmt: skip


def helicone(folder: Path) -> Path:
    """Helicone's export."""
    return rows(
        folder / "helicone.csv",
        ["request_created_at", "prompt_tokens", "completion_tokens", "request_model"],
        lambda i, moment: [moment.isoformat(), 200, 40, "gpt-4o-mini"],
    )


def openrouter(folder: Path) -> Path:
    """OpenRouter's generations."""
    return json_lines(
        folder / "openrouter.jsonl",
        lambda i, moment: {
            "created_at": moment.isoformat(), "model": "openai/gpt-4o-mini", "tokens_prompt": 200,
            "tokens_completion": 40, "native_tokens_prompt": 210, "native_tokens_completion": 41,
            "usage": 0.1,
        },
    )  # fmt: skip


def otel(folder: Path) -> Path:
    """OpenTelemetry's GenAI spans."""
    return json_lines(
        folder / "spans.jsonl",
        lambda i, moment: {
            "name": "chat", "startTimeUnixNano": int(moment.timestamp() * 1e9),
            "attributes": {"gen_ai.usage.input_tokens": 200, "gen_ai.usage.output_tokens": 40,
                           "gen_ai.request.model": "gpt-4o-mini"},
        },
    )  # fmt: skip


def azure(folder: Path) -> Path:
    """The Azure trace's form, gzipped."""
    path = folder / "azure.csv.gz"
    with gzip.open(path, "wt") as file:
        file.write("TIMESTAMP,ContextTokens,GeneratedTokens\n")
        for moment in moments():
            file.write(f"{moment:%Y-%m-%d %H:%M:%S}.0000000,200,40\n")
    return path


def mooncake(folder: Path) -> Path:
    """Mooncake's form, whose hashes say what a cache holds."""
    return json_lines(
        folder / "mooncake.jsonl",
        lambda i, moment: {
            "timestamp": 60_000 * i,
            "input_length": 900,
            "output_length": 40,
            "hash_ids": [1, i + 2],
        },
    )


def ledger(folder: Path) -> Path:
    """The gateway's own ledger."""
    path = folder / "spillway.db"
    LedgerStore.open(f"sqlite:///{path}").close()
    known: dict[str, object] = {
        "operation": "chat", "is_stream": 0, "model_asked": "auto", "is_private": 0, "slo_class": "default",
        "side": "local", "upstream": "mini", "model": "qwen", "reasons": "", "attempts": 1, "status": 200,
        "result": "ok", "input_tokens": 200, "input_tokens_grade": "reported", "output_tokens": 40,
        "output_tokens_grade": "reported", "cost_usd": 0.0001, "reference_cost_usd": 0.001,
        "reference_model": "openai/gpt-4o-mini", "request_bytes": 1, "response_bytes": 1, "total_s": 1.0,
    }  # fmt: skip
    with sqlite3.connect(path) as database:
        for number, moment in enumerate(moments()):
            values = {**known, "request_id": str(number), "accepted_at": moment.timestamp()}
            names = [name for name in REQUEST_COLUMNS if name in values]
            marks = ", ".join("?" * len(names))
            database.execute(
                f"INSERT INTO requests ({', '.join(names)}) VALUES ({marks})", [values[n] for n in names]
            )
    database.close()
    return path


KINDS: dict[str, Write] = {
    "generic": generic,
    "litellm": litellm,
    "openai-usage-api": openai_usage,
    "langfuse": langfuse,
    "helicone": helicone,
    "openrouter": openrouter,
    "otel-genai": otel,
    "azure-llm-trace": azure,
    "mooncake": mooncake,
    "spillway-ledger": ledger,
}


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_file_becomes_a_plan(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every kind of usage file is recognised, priced and planned without a single option about it."""
    found = as_json(capsys, KINDS[kind](tmp_path))
    assert found["schema"] == "spillway.plan/1"
    sources = [a["source"] for a in found["assumptions"] if a["name"] == "input tokens, mean"]
    assert f"({kind})" in sources[0]
    assert found["naive"]["cloud_usd_per_month"] > 0
    assert len(found["fleets"]) == 2


def costs(folder: Path, *line_items: tuple[str, str]) -> Path:
    """OpenAI's cost export: ten days in July of which the last is idle, each with these line items."""
    day = int(datetime(2026, 7, 1, tzinfo=UTC).timestamp())
    head = "start_time,end_time,start_time_iso,end_time_iso,amount_value,amount_currency,line_item,project_id"
    lines = [
        f'{day + 86_400 * i},{day + 86_400 * (i + 1)},,,{amount},usd,"{text}",'
        for i in range(9)
        for text, amount in line_items
    ]
    path = folder / "costs.csv"
    path.write_text("\n".join([head, *lines, f"{day + 86_400 * 9},{day + 86_400 * 10},,,,,,", ""]))
    return path


MINI_COSTS = (
    ("gpt-4o-mini-2024-07-18, input", "0.4500000000000"), ("gpt-4o-mini-2024-07-18, output", "0.36"),
)  # fmt: skip
MORE_COSTS = (
    ("gpt-4o-mini-2024-07-18, cached input", "0.075"), ("gpt-4o-2024-08-06, input", "1.25"),
    ("gpt-4o-2024-08-06, output", "2.50"), ("batch | gpt-4o-mini-2024-07-18, output", "0.12"),
)  # fmt: skip
STEADY = ("--growth", 0, "--cloud-decline", 0, "--price-date", "2026-07-05")
"""Every month like the first, and the first at the prices of the bill."""


def test_costs_come_back_as_the_bill(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A plan from costs charges no fleet at all a month's part of exactly what was paid for tokens."""
    path = costs(tmp_path, *MINI_COSTS, *MORE_COSTS, ("web search tool calls", "0.50"))
    found = as_json(capsys, path, "--requests-per-month", 20_000, *STEADY)
    paid = 9 * (0.45 + 0.36 + 0.075 + 1.25 + 2.50 + 0.12)
    assert found["fleets"][0]["cloud_usd_per_month"] == pytest.approx(paid * 730.5 / 240, rel=2e-4)
    said = " ".join(found["warnings"])
    assert "9 row(s) not used: 'web search tool calls' is no tokens of a chat model (line 8, " in said
    assert "; $4.50)" in said
    assert "tokens derived from costs" in said
    grades = {each["name"]: each["grade"] for each in found["assumptions"]}
    assert grades["requests a month"] == "given"
    assert grades["input tokens, mean"] == grades["output tokens, mean"] == "derived"


def test_plain_costs_come_back_in_the_usual_calculation(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without cache or batch the usual calculation too comes to what was paid."""
    path = costs(tmp_path, *MINI_COSTS)
    found = as_json(capsys, path, "--requests-per-month", 20_000, *STEADY)
    a_month = pytest.approx(9 * 0.81 * 730.5 / 240, rel=1e-4)
    assert found["naive"]["cloud_usd_per_month"] == a_month
    assert found["fleets"][0]["cloud_usd_per_month"] == a_month


def test_ledger_by_url(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The ledger's URL is as good as its file, and local answers are priced at their reference."""
    path = ledger(tmp_path)
    by_url = as_json(capsys, f"sqlite:///{path}")
    assert by_url["naive"] == as_json(capsys, path)["naive"]
    assert by_url["naive"]["cloud_usd_per_request"] == pytest.approx((200 * 0.15 + 40 * 0.6) / 1e6)


def test_several_files_are_one_workload(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Files of different kinds add up to one traffic."""
    one = as_json(capsys, generic(tmp_path))
    both = as_json(capsys, generic(tmp_path), litellm(tmp_path))

    def requests(found: dict[str, Any]) -> float:
        return next(float(a["value"]) for a in found["assumptions"] if a["name"] == "requests a month")

    assert requests(both) == pytest.approx(2 * requests(one), rel=0.05)


def test_a_bill_that_differs_from_list_prices_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Costs in the file are compared with list prices, and a large difference is a warning."""
    said = " ".join(as_json(capsys, litellm(tmp_path))["warnings"])
    assert "the usage states costs of $0.04 in all and list prices come to $0.00" in said


def test_same_seed_same_output(capsys: pytest.CaptureFixture[str]) -> None:
    """The same command prints the same bytes."""
    numbers = (
        "--requests-per-month",
        300,
        "--input-tokens",
        200,
        "--output-tokens",
        40,
        "--seed",
        7,
        "--json",
    )
    assert plan(capsys, *numbers) == plan(capsys, *numbers)


def test_profile_is_taken(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A measured profile stands in for the catalogue's physics; what it cost is still asked for."""
    path = tmp_path / "mini.json"
    path.write_text(json.dumps({
        "schema": "spillway.profile/1", "name": "mini", "engine": "llamacpp", "engine_version": None,
        "model": "tiny", "measured_on": "2026-11-20", "slots": 4, "best_slots": 2, "tested_concurrency": 4,
        "context_tokens": 4096, "samples": 80,
        "pace": {"prefill_base_s": 0.01, "prefill_token_s": 0.001, "attention_s": 0.0, "step_base_s": 0.01,
                 "step_sequence_s": 0.001, "step_context_s": 0.0},
        "errors": {"probes": 10, "ttft_median_ratio": 0.05, "ttft_p90_ratio": 0.1, "itl_median_ratio": 0.04,
                   "itl_p90_ratio": 0.1},
    }))  # fmt: skip
    usage = generic(tmp_path)
    code, _, err = plan(capsys, usage, "--profile", path)
    assert code == 2
    assert "what the node costs is unknown" in err
    found = as_json(capsys, usage, "--profile", path, "--hardware-usd", 900, "--active-w", 30)
    speed = next(a for a in found["assumptions"] if a["name"] == "decode speed, one sequence")
    assert speed["grade"] == "measured"
    assert speed["value"] == pytest.approx(1 / 0.011, abs=0.1)
    assert found["machines"] == []


def test_files_are_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The page and the picture land where they were asked for, and the summary says so."""
    pytest.importorskip("matplotlib")
    html, png = tmp_path / "report.html", tmp_path / "report.png"
    code, out, err = plan(capsys, generic(tmp_path), "--html", html, "--png", png)
    assert (code, err) == (0, "")
    assert html.read_text().startswith("<!doctype html>")
    assert png.read_bytes().startswith(b"\x89PNG")
    assert f"wrote {html}" in out.replace("\n", "")


def test_usage_of_answers_alone_is_planned(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Where no prompt has a token, reading takes none of a node's time."""
    path = tmp_path / "answers.csv"
    lines = [f"{moment.isoformat()},0,50,gpt-4o-mini" for moment in moments()]
    path.write_text("\n".join(["time,input_tokens,output_tokens,model", *lines]))
    assert as_json(capsys, path)["naive"]["prefill_utilisation"] == 0


def test_a_very_slow_node_is_planned(capsys: pytest.CaptureFixture[str]) -> None:
    """Where nothing has to be in time, a token in minutes takes years of work and is no error."""
    slow = ("--decode-tok-s", 0.004, "--prefill-tok-s", 0.3, "--slo-ttft-ms", 0, "--slo-total-ms", 0)
    naive = as_json(capsys, "--requests-per-month", 600, *slow)["naive"]
    assert naive["decode_utilisation"] == pytest.approx(600 * 250 / 0.004 / (730.5 * 3600), rel=1e-3)
    assert naive["prefill_utilisation"] > 0


def test_bad_rows_are_shown_with_their_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Negative tokens and broken times are left out, counted, and named by line; order is mended and said."""
    path = tmp_path / "usage.csv"
    path.write_text(
        "time,input_tokens,output_tokens\n"
        "2026-11-02T12:00:00Z,100,10\n2026-11-02T12:02:00Z,-5,10\nnever,100,10\n"
        "2026-11-02T13:01:00+01:00,100,10\n2026-11-02T12:04:00Z,100,10\n"
        + "".join(f"{moment.isoformat()},100,10\n" for moment in moments())
    )
    said = " ".join(as_json(capsys, path)["warnings"])
    assert "1 row(s) not used: input tokens is negative (line 3)" in said
    assert "1 row(s) not used: time is not a date such as 2026-11-24 13:05:00 (line 4)" in said
    assert "times in several zones" in said


def test_times_out_of_order_are_sorted_and_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Rows in the wrong order are no fault, but no secret either."""
    path = tmp_path / "usage.csv"
    path.write_text("time,input_tokens,output_tokens\n60,100,10\n0,100,10\n" + "120,100,10\n" * 20)
    assert "1 row(s) were out of order and have been sorted" in " ".join(as_json(capsys, path)["warnings"])


def test_help_has_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    """``--help`` shows how it is meant to be called."""
    assert run(["plan", "--help"]) == 0
    assert "spillway plan usage.csv" in capsys.readouterr().out


class Screen(io.StringIO):
    """Keeps what a terminal would show."""

    def isatty(self) -> bool:
        """That it is one."""
        return True


@pytest.mark.parametrize(
    ("done", "shown"),
    [(None, "reading the traffic"), (3, "3/30"), (3, "simulating"), (30, "drawing futures")],
)
def test_the_bar_says_what_is_done(monkeypatch: pytest.MonkeyPatch, done: int | None, shown: str) -> None:
    """No count is shown before there is one, and drawing futures, which may take longest, is named."""
    monkeypatch.setattr(sys, "stderr", Screen())
    monkeypatch.setenv("TERM", "xterm")
    with _progress() as say:
        assert say is not None
        if done is not None:
            say(done, 30)
    said = cast(Screen, sys.stderr).getvalue()
    assert shown in said
    assert "None" not in said
