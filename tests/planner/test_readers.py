"""Each kind of usage file is recognised, read, and every row that was not used is accounted for."""

from __future__ import annotations

import gzip
import json
import sqlite3
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spillway.planner.readers import open_usage, propose, read_workload
from spillway.planner.readers.times import TimeReader
from spillway.planner.readers.values import currency_of, read_money, read_tokens
from spillway.planner.workload import CHUNK_ROWS, ReadReport, Workload, WorkloadError

NOON = datetime(2026, 11, 2, 12, tzinfo=UTC).timestamp()


def read(path: Path, **options: Any) -> tuple[Workload, ReadReport]:
    """The workload of one file and its report."""
    workload, reports = read_workload([path], **options)
    return workload, reports[0]


def write(folder: Path, name: str, text: str) -> Path:
    """A file with that text."""
    path = folder / name
    path.write_text(text, "utf-8")
    return path


def lines(*records: dict[str, Any]) -> str:
    """Records as JSON lines."""
    return "".join(json.dumps(record) + "\n" for record in records)


SINGLE = {
    "azure-llm-trace": (
        "a.csv",
        "TIMESTAMP,ContextTokens,GeneratedTokens\n"
        "2026-11-02 12:00:00.0000000,100,10\n2026-11-02 12:00:05.1234567,200,20\n",
    ),
    "mooncake": (
        "m.jsonl",
        lines(
            {"timestamp": 0, "input_length": 1100, "output_length": 10, "hash_ids": [1, 2, 3]},
            {"timestamp": 5123, "input_length": 1030, "output_length": 20, "hash_ids": [1, 2, 9]},
        ),
    ),
    "litellm": (
        "l.json",
        json.dumps([
            {"startTime": "2026-11-02T12:00:00Z", "prompt_tokens": 100, "completion_tokens": 10, "model": "m",
             "spend": 0.1, "call_type": "acompletion"},
            {"startTime": "2026-11-02T13:00:05.123+01:00", "prompt_tokens": 200, "completion_tokens": 20,
             "model": "m", "spend": 0.2, "call_type": "acompletion"},
        ]),
    ),
    "helicone": (
        "h.csv",
        "request_created_at,prompt_tokens,completion_tokens,model,cost\n"
        "2026-11-02T12:00:00Z,100,10,m,0.1\n2026-11-02T12:00:05.123Z,200,20,m,0.2\n",
    ),
    "langfuse": (
        "f.csv",
        "id,trace_id,type,start_time,provided_model_name,usage_details,total_cost\n"
        '1,t,GENERATION,2026-11-02 12:00:00.000000,m,"{""input"": 100, ""output"": 10}",0.1\n'
        "2,t,SPAN,2026-11-02 12:00:01.000000,,,\n"
        '3,t,GENERATION,2026-11-02 12:00:05.123000,m,"{""input"": 200, ""output"": 20}",0.2\n',
    ),
    "openrouter": (
        "o.csv",
        "generation_id,created_at,cost_total,tokens_prompt,tokens_completion,model_permaslug\n"
        "g1,2026-11-02 12:00:00,0.1,100,10,m\ng2,2026-11-02 12:00:05.123,0.2,200,20,m\n",
    ),
    "otel-genai": (
        "s.jsonl",
        lines(
            {"name": "chat m", "startTimeUnixNano": str(int(NOON * 1e9)), "attributes": [
                {"key": "gen_ai.usage.input_tokens", "value": {"intValue": "100"}},
                {"key": "gen_ai.usage.output_tokens", "value": {"intValue": "10"}},
                {"key": "gen_ai.request.model", "value": {"stringValue": "m"}}]},
            {"name": "GET /", "startTimeUnixNano": str(int(NOON * 1e9)), "attributes": []},
            {"name": "chat m", "startTimeUnixNano": str(int(NOON * 1e9) + 5_123_000_000), "attributes": {
                "gen_ai.usage.input_tokens": 200, "gen_ai.usage.output_tokens": 20}},
        ),
    ),
    "generic": (
        "g.csv",
        "when_created,nPromptTokens,nCompletionTokens,deployment\n"
        "1793620800,100,10,m\n1793620805.123,200,20,m\n",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SINGLE)
def test_single_requests_are_read(name: str, tmp_path: Path) -> None:
    """Each format is told by its content; two requests come out, 5.123 seconds apart, with their tokens."""
    workload, report = read(write(tmp_path, *SINGLE[name]))
    assert report.format == name
    assert report.rows == 2
    assert report.bad.total == 0
    assert workload.time_s[1] == pytest.approx(5.123, abs=1e-3)
    if name == "mooncake":
        assert workload.input_tokens.tolist() == [1100, 1030]
        assert workload.cached_tokens is not None
        assert workload.cached_tokens.tolist() == [0, 1024]
        assert workload.start_wall_s is None
    else:
        assert workload.input_tokens.tolist() == [100, 200]
        assert workload.cached_tokens is None
        assert workload.start_wall_s == NOON
    assert workload.output_tokens.tolist() == [10, 20]


@pytest.mark.parametrize("name", ["litellm", "helicone", "langfuse", "openrouter"])
def test_costs_are_summed_exactly(name: str, tmp_path: Path) -> None:
    """Costs in the file add up as decimals."""
    _, report = read(write(tmp_path, *SINGLE[name]))
    assert report.cost_usd == Decimal("0.3")


@pytest.mark.parametrize("name", ["langfuse", "otel-genai"])
def test_rows_that_are_no_model_call_are_counted(name: str, tmp_path: Path) -> None:
    """Spans beside model calls are neither used nor faults, and a sentence says how many there were."""
    _, report = read(write(tmp_path, *SINGLE[name]))
    assert "1 row(s) are no model calls and were left out" in report.left_out


def test_otlp_export_is_unwrapped(tmp_path: Path) -> None:
    """A whole OTLP request on one line yields its spans."""
    span = json.loads(SINGLE["otel-genai"][1].partition("\n")[0])
    export = {"resourceSpans": [{"scopeSpans": [{"spans": [span, span]}]}]}
    workload, report = read(write(tmp_path, "x.jsonl", lines(export, export)))
    assert report.format == "otel-genai"
    assert len(workload) == 4


BUCKET = {
    "object": "bucket", "start_time": NOON, "end_time": NOON + 86_400,
    "results": [
        {"input_tokens": 1000, "output_tokens": 500, "input_cached_tokens": 100, "num_model_requests": 5,
         "model": "a"},
        {"input_tokens": 3000, "output_tokens": 700, "input_cached_tokens": 0, "num_model_requests": 7,
         "model": "b"},
    ],
}  # fmt: skip
TOTALS = {
    "openai-usage-api": ("u.json", json.dumps({"object": "page", "data": [BUCKET], "has_more": False})),
    "openai-usage-legacy": (
        "v.csv",
        "timestamp,n_requests,snapshot_id,n_context_tokens_total,n_generated_tokens_total\n"
        f"{int(NOON)},5,a,1000,500\n{int(NOON)},7,b,3000,700\n",
    ),
    "openrouter-activity": (
        "w.csv",
        "date,model,requests,prompt_tokens,completion_tokens,usage\n"
        "2026-11-02,a,5,1000,500,0.01\n2026-11-02,b,7,3000,700,0.02\n",
    ),
    "generic": ("x.csv", "day_date;calls;prompt;completion\n2026-11-02;5;1000;500\n2026-11-02;7;3000;700\n"),
}


@pytest.mark.parametrize("name", TOTALS)
def test_totals_become_arrivals_that_add_up(name: str, tmp_path: Path) -> None:
    """Totals of a day become so many requests within it, with exactly those token sums, and it is said."""
    workload, report = read(write(tmp_path, *TOTALS[name]))
    assert report.format == name
    assert len(workload) == 12
    assert workload.input_tokens.sum() == 4000
    assert workload.output_tokens.sum() == 1200
    assert workload.span_s == 86_400
    assert 0 <= workload.time_s[0] <= workload.time_s[-1] < 86_400
    assert workload.grade == "derived"
    assert "arrivals made from totals" in workload.notes[0]


def test_two_pages_of_usage_may_be_lines(tmp_path: Path) -> None:
    """Pages saved one per line are read like a single one."""
    page = {"object": "page", "data": [BUCKET]}
    workload, _ = read(write(tmp_path, "p.jsonl", lines(page, page)))
    assert len(workload) == 24


def test_ledger_is_read(tmp_path: Path) -> None:
    """A SQLite ledger is told by its header and read from its requests table."""
    path = tmp_path / "spillway.db"
    database = sqlite3.connect(path)
    database.execute(
        "CREATE TABLE requests (accepted_at REAL, model TEXT, result TEXT, input_tokens INTEGER,"
        " output_tokens INTEGER, cache_read_tokens INTEGER, reference_cost_usd REAL, prompt_text TEXT)"
    )
    rows = [
        (NOON, "a", "ok", 5, 6, 2, 0.1, "secret"),
        (NOON + 1, "b", "ok", 7, 8, None, 0.2, None),
        (NOON + 2, None, "error", None, None, None, None, None),
    ]
    database.executemany("INSERT INTO requests VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)
    database.commit()
    database.close()
    workload, report = read(path)
    assert report.format == "spillway-ledger"
    assert report.cost_usd == Decimal("0.3")
    assert report.left_out == ["1 row(s) are failed requests and were left out"]
    assert workload.input_tokens.tolist() == [5, 7]
    assert workload.cached_tokens is not None
    assert workload.models == ("a", "b")
    assert "prompt_text" not in open_usage(path).source.names


def test_bad_rows_are_counted_with_their_lines(tmp_path: Path) -> None:
    """Each fault is counted by reason with the line an editor shows; the good rows are used."""
    text = (
        "t_s,input_tokens,output_tokens\n0,10,1\n1,-5,1\n2,,1\nx,10,1\n4,10\n5,10.5,1\n6,0,0\n7,99999999999,1\n"
        "8,10,2\n\n9,-1,1\n"
    )
    workload, report = read(write(tmp_path, "bad.csv", text))
    assert len(workload) == report.rows == 2
    assert report.bad.lines == {
        "input tokens is negative": [3, 12],
        "no input tokens": [4],
        "time is not a date such as 2026-11-24 13:05:00": [5],
        "2 cells where the header has 3": [6],
        "input tokens is not a whole number": [7],
        "no tokens at all": [8],
        "input tokens is impossibly large": [9],
    }
    assert report.bad.total == 8
    assert "2 row(s) not used: input tokens is negative (line 3, 12)" in report.bad.sentences()
    assert any("not used" in note for note in workload.notes)


def test_broken_json_lines_are_counted(tmp_path: Path) -> None:
    """A line that is no JSON object is a bad row, not the end."""
    good = {"timestamp": "2026-11-02T12:00:00Z", "input_tokens": 1, "output_tokens": 1}
    path = write(tmp_path, "b.jsonl", lines(good) + '{"timestamp": \n[1]\n' + lines(good))
    _, report = read(path)
    assert report.rows == 2
    assert report.bad.lines == {"not JSON": [2], "not a JSON object": [3]}


@pytest.mark.parametrize("broken", ['{"timestamp": ', "exported by mistake", "[]"])
def test_a_broken_first_line_is_counted_as_well(tmp_path: Path, broken: str) -> None:
    """What the first line is does not hide that the file holds JSON lines."""
    good = {"timestamp": "2026-11-02T12:00:00Z", "input_tokens": 1, "output_tokens": 1}
    _, report = read(write(tmp_path, "b.jsonl", f"{broken}\n" + lines(good, good)))
    assert report.rows == 2
    assert report.bad.lines == {"not a JSON object" if broken == "[]" else "not JSON": [1]}


def test_separators_of_text_do_not_end_a_line(tmp_path: Path) -> None:
    """JSON may hold Unicode's line separators inside a text; only a line feed ends a row."""
    row = '{"timestamp": "2026-11-02T12:00:00Z", "input_tokens": 1, "output_tokens": 1, "s": "\u2028\x85"}\n'
    _, report = read(write(tmp_path, "u.jsonl", 3 * row))
    assert report.rows == 3
    assert not report.bad.total


def test_objects_on_lines_of_their_own_may_be_one_document(tmp_path: Path) -> None:
    """A JSON document with one row a line stays one."""
    rows = [{"timestamp": "2026-11-02T12:00:00Z", "input_tokens": n, "output_tokens": 1} for n in (1, 2, 3)]
    text = '{"data": [\n' + ",\n".join(map(json.dumps, rows)) + "\n]}\n"
    _, report = read(write(tmp_path, "d.json", text))
    assert report.rows == 3
    assert not report.bad.total


def test_disorder_and_zones_are_reported_and_sorted(tmp_path: Path) -> None:
    """Rows out of order and in several zones are sorted by their true time, and both facts are said."""
    text = (
        "created_at,prompt_tokens,completion_tokens\n2026-11-02T14:00:00+01:00,1,1\n"
        "2026-11-02T12:00:00Z,2,1\n2026-11-02 15:00:00,3,1\n"
    )
    workload, report = read(write(tmp_path, "z.csv", text))
    assert workload.input_tokens.tolist() == [2, 1, 3]
    assert report.out_of_order == 1
    assert len(report.zones) == 3
    assert any("out of order" in warning for warning in report.warnings())
    assert any("several zones" in warning for warning in report.warnings())


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "is empty"),
        ("  \n", "is empty"),
        ("t_s,input_tokens,output_tokens\n", "holds no usable request: it is empty"),
        ("t_s,input_tokens,output_tokens\n1,-2,3\n", "holds no usable request: 1 row.s. not used"),
        ("a,b\n1,2\n", "no column looks like time or input_tokens or output_tokens"),
        ("start_time,end_time,amount_value,amount_currency\n1,2,3,usd\n", "do not tell how many requests"),
        ("time,prompt,completion,cost,currency\n1,2,3,4,usd\n2,2,3,4,eur\n",
         r"costs in EUR \(line 3, some in USD\)"),
        ("time,prompt,completion,cost\n1,2,3,0.1\n2,2,3,€0.10\n", r"costs in € \(line 3, some in USD\)"),
        ("time,prompt,completion,cost\n1,2,3,0.10 EUR\n", r"costs in EUR \(line 2\)"),
        ("time,prompt,completion\n5,2,3\n1793620800,2,3\n", "some times are dates"),
        ("time,prompt,completion\n11/24/2026 13:05,2,3\n", "time is not a date such as 2026-11-24 13:05:00"),
    ],
)  # fmt: skip
def test_files_that_cannot_be_planned_with_say_why(text: str, sentence: str, tmp_path: Path) -> None:
    """An unusable file ends in one sentence that names it and what to do."""
    with pytest.raises(WorkloadError, match=sentence) as caught:
        read(write(tmp_path, "f.csv", text))
    assert "f.csv" in caught.value.message
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (gzip.compress(b"t_s,input_tokens,output_tokens\n" + b"1,2,3\n" * 50_000)[:-40], "ends early"),
        (b"PK\x03\x04 workbook", "workbook or a zip archive"),
        (b"PAR1....", "Parquet"),
        (bytes(range(256)) * 40, "is not text"),
    ],
    ids=["cut gzip", "workbook", "parquet", "binary"],
)
def test_files_that_are_no_text_say_what_to_do(content: bytes, sentence: str, tmp_path: Path) -> None:
    """A damaged or binary file ends in one sentence, not in a trace or in its bytes on the terminal."""
    path = tmp_path / "f.csv"
    path.write_bytes(content)
    with pytest.raises(WorkloadError, match=sentence) as caught:
        read(path)
    assert caught.value.message.isprintable()


def test_text_of_spreadsheets_is_read(tmp_path: Path) -> None:
    """UTF-16 with its byte order mark, as spreadsheets write it, is text like any other."""
    path = tmp_path / "f.csv"
    path.write_bytes("t_s;input_tokens;output_tokens\n1;2;3\n2;2;3\n".encode("utf-16"))
    workload, _ = read_workload([path])
    assert len(workload) == 2


@pytest.mark.parametrize(
    ("cell", "currency"),
    [("0.01", "usd"), ("$0.01", "usd"), ("USD 1,000.50", "usd"), ("1.5 usd", "usd"), ("US$3", "usd"),
     ("1e-05", "usd"), ("n/a", "usd"), ("", "usd"), (0.5, "usd"), ("€0.01", "€"), ("0.01 EUR", "eur"),
     ("£2", "£")],
)  # fmt: skip
def test_currencies_beside_amounts(cell: object, currency: str) -> None:
    """A currency is told by what stands beside the number; without one it is dollars."""
    assert currency_of(cell) == currency
    if currency == "usd" and cell not in ("n/a", ""):
        assert read_money(cell) is not None


def test_batch_of_the_usage_is_kept(tmp_path: Path) -> None:
    """Totals that the usage marks as batch are kept apart."""
    text = (
        "start_time,end_time,num_model_requests,model,batch,input_tokens,output_tokens\n"
        "1790812800,1790899200,20,gpt-4o-mini,True,3000,1000\n"
        "1790812800,1790899200,20,gpt-4o-mini,False,9000,3000\n"
    )
    _, (report,) = read_workload([write(tmp_path, "u.csv", text)])
    assert [(total.input_tokens, total.output_tokens) for total in report.batch] == [(3000, 1000)]


def test_missing_file_and_mixed_kinds_are_refused(tmp_path: Path) -> None:
    """A file that is not there, and single requests beside totals, are refused."""
    with pytest.raises(WorkloadError, match="does not exist"):
        read(tmp_path / "none.csv")
    paths = [write(tmp_path, *SINGLE["helicone"]), write(tmp_path, *TOTALS["openai-usage-legacy"])]
    with pytest.raises(WorkloadError, match="one kind at a time"):
        read_workload(paths)


def test_broken_json_document_is_refused(tmp_path: Path) -> None:
    """A JSON document that is cut off is named as such."""
    with pytest.raises(WorkloadError, match="not valid JSON"):
        read(write(tmp_path, "c.json", '[{"startTime": 1,\n'))


def test_columns_are_proposed_and_can_be_corrected(tmp_path: Path) -> None:
    """A generic file's columns are guessed by their words; the caller may name others."""
    names = (
        "ts",
        "totalPromptTokens",
        "completion_tokens_total",
        "cached_prompt_tokens",
        "Model Name",
        "cost",
    )
    assert propose(names) == {
        "time": "ts",
        "input_tokens": "totalPromptTokens",
        "output_tokens": "completion_tokens_total",
        "cached_tokens": "cached_prompt_tokens",
        "model": "Model Name",
        "cost": "cost",
    }
    path = write(tmp_path, "k.csv", "t_ms,a,b,c\n1000,1,2,3\n3000,4,5,6\n")
    workload, report = read(path, columns={"b": "input_tokens", "c": "output_tokens"})
    assert workload.input_tokens.tolist() == [2, 5]
    assert workload.time_s.tolist() == [0, 2]
    assert report.columns == {"time": "t_ms", "input_tokens": "b", "output_tokens": "c"}
    with pytest.raises(WorkloadError, match="no column 'd'; it has t_ms, a, b, c"):
        open_usage(path, columns={"d": "input_tokens"})
    with pytest.raises(WorkloadError, match="there is no field 'tokens' to map a column to; use "):
        open_usage(path, columns={"a": "tokens"})
    with pytest.raises(WorkloadError, match="'parquet' is unknown"):
        open_usage(path, format_name="parquet")


def test_several_files_share_model_names(tmp_path: Path) -> None:
    """Requests of several files are merged by time and keep their own models."""
    one = write(tmp_path, "1.csv", "time,prompt,completion,model\n3,1,1,a\n5,2,1,b\n")
    two = write(tmp_path, "2.csv", "time,prompt,completion,model\n4,3,1,b\n6,4,1,c\n")
    workload, _ = read_workload([one, two])
    assert [workload.models[i] for i in workload.model] == ["a", "b", "b", "c"]


def test_large_gzipped_files_stream_in_chunks(tmp_path: Path) -> None:
    """A long file comes in arrays of bounded length, compressed or not."""
    path = tmp_path / "big.csv.gz"
    with gzip.open(path, "wt") as out:
        out.write("t_s,input_tokens,output_tokens\n")
        out.writelines(f"{i},{i % 100},1\n" for i in range(CHUNK_ROWS + 10))
    sizes = [len(chunk) for chunk in open_usage(path).chunks()]
    assert sizes == [CHUNK_ROWS, 10]


def test_byte_order_mark_and_quotes_are_read(tmp_path: Path) -> None:
    """Spreadsheets' files, with a mark at the start, semicolons and thousands separators, are read."""
    text = '\ufefftime;prompt_tokens;completion_tokens\n1;"1,000";2\n2;5;6\n'
    workload, _ = read(write(tmp_path, "s.csv", text))
    assert workload.input_tokens.tolist() == [1000, 5]


@pytest.mark.parametrize(
    ("cell", "seconds"),
    [(1793620800, 1793620800), (1793620800000, 1793620800), (1793620800e6, 1793620800),
     ("1793620800000000000", 1793620800), ("2026-11-02T12:00:00 UTC", NOON), (12.5, 12.5)],
)  # fmt: skip
def test_numeric_times_find_their_unit(cell: object, seconds: float) -> None:
    """The unit of time since 1970 is told by its size; small numbers count from the file's zero."""
    assert TimeReader().read(cell) == pytest.approx(seconds)


@pytest.mark.parametrize("cell", [None, "", True, -1, float("nan"), "yesterday", [1]])
def test_no_time_is_an_error(cell: object) -> None:
    """What is no time is never taken for zero."""
    with pytest.raises(ValueError, match=r"time"):
        TimeReader().read(cell)


def test_cells_that_are_no_numbers_are_errors() -> None:
    """Money and tokens that are not numbers, or negative, are refused; an empty cost is unknown."""
    assert read_money("$1,234.50") == Decimal("1234.50")
    assert read_money("") is None
    for wrong in ("free", "-1", "nan"):
        with pytest.raises(ValueError, match="cost"):
            read_money(wrong)
    for count in ("many", float("inf"), None):
        with pytest.raises(ValueError, match="x"):
            read_tokens(count, "x")


def test_more_cached_than_input_is_a_fault(tmp_path: Path) -> None:
    """A row that claims more cached than input tokens is not used."""
    text = "time,prompt_tokens,completion_tokens,cached_tokens\n1,10,1,11\n2,10,1,4\n3,10,1,\n"
    workload, report = read(write(tmp_path, "c.csv", text))
    assert report.bad.counts == {"more cached than input tokens": 1}
    assert workload.cached_tokens is not None
    assert workload.cached_tokens.tolist() == [4, 0]
    assert workload.cached_tokens.dtype == np.int32


def test_totals_faults_are_counted(tmp_path: Path) -> None:
    """A period that ends before it starts and tokens without a request are faults of a totals file."""
    text = (
        "start_time,end_time,num_model_requests,input_tokens,output_tokens\n"
        "1793620800,1793620700,1,5,5\n1793620800,1793707200,0,5,5\n1793620800,1793707200,2,5,5\n"
    )
    workload, report = read(write(tmp_path, "t.csv", text))
    assert len(workload) == 2
    assert report.bad.total == 2


def test_a_file_given_twice_is_refused(tmp_path: Path) -> None:
    """Also under another spelling of its name: its requests would count twice."""
    path = tmp_path / "usage.csv"
    path.write_text("time,input_tokens,output_tokens\n0,10,5\n60,10,5\n")
    with pytest.raises(WorkloadError, match="given twice"):
        read_workload([path, tmp_path / "." / ".." / tmp_path.name / "usage.csv"])
