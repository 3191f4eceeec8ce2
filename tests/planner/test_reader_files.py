"""Files with long cells, stray quotes, doubled columns or no request are read whole or refused by name."""

from __future__ import annotations

import gzip
import json
import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from spillway.planner.readers import documents, read_workload, table
from spillway.planner.workload import ReadReport, Workload, WorkloadError

HEADER = "t_s,body,input_tokens,output_tokens\n"


def read(path: Path, **options: Any) -> tuple[Workload, ReadReport]:
    """The workload of one file and its report."""
    workload, reports = read_workload([path], **options)
    return workload, reports[0]


def write(folder: Path, text: str, name: str = "f.csv") -> Path:
    """A file with that text."""
    path = folder / name
    path.write_text(text, "utf-8")
    return path


def rows(first: int, last: int, body: str = "x") -> str:
    """Good rows from one second to another."""
    return "".join(f"{second},{body},100,10\n" for second in range(first, last))


@pytest.mark.parametrize(
    "body",
    ["x " * 70_000, '"' + '{""role"": ""user"", ""content"": ""a, b""}\n' * 5_000 + '"'],
    ids=["one line", "many lines"],
)
def test_long_cells_are_read(body: str, tmp_path: Path) -> None:
    """A prompt of any usual length is a cell like another, and no row after it is lost."""
    text = HEADER + rows(0, 3) + rows(3, 4, body) + rows(4, 10)
    workload, report = read(write(tmp_path, text))
    assert len(workload) == 10
    assert report.bad.total == 0


def test_a_cell_beyond_reading_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Above a bound the file is refused with the line, however the cell came to be."""
    monkeypatch.setattr(table, "MOST_CELL_CHARACTERS", 1000)
    for body in ("x" * 1001, '"' + "x\n" * 501 + '"'):
        with pytest.raises(WorkloadError, match=r"f\.csv: the row that starts in line 5 .* more than 1,000"):
            read(write(tmp_path, HEADER + rows(0, 3) + rows(3, 4, body) + rows(4, 9)))


@pytest.mark.parametrize(
    "text",
    [
        rows(0, 3) + '3,"x,100,10\n' + rows(4, 300),
        rows(0, 3) + '3,"x,100,10\n' + rows(4, 30) + rows(30, 31, '"a, b"') + rows(31, 60),
        rows(0, 3) + '3,x,100,"10\n' + rows(4, 30),
    ],
    ids=["to the end", "to the next quote", "in the last column"],
)
def test_a_quote_that_stays_open_is_refused(text: str, tmp_path: Path) -> None:
    """It hides every row up to the next quote, which nobody may lose unknowingly."""
    with pytest.raises(WorkloadError, match=r"f\.csv: the row that starts in line 5 opens a quote"):
        read(write(tmp_path, HEADER + text))


def test_stray_quotes_within_a_line_are_no_fault(tmp_path: Path) -> None:
    """Quotes beside text, as careless exporters write them, are read where the line stands for itself."""
    text = HEADER + '0,"a" b,100,10\n1,say "a",100,10\n2,"a" ,100,10\n3,"a, "b", c",100,10\n' + rows(4, 6)
    workload, report = read(write(tmp_path, text))
    assert len(workload) == 5
    assert report.bad.lines == {"5 cells where the header has 4": [5]}


def test_rows_are_named_by_their_first_line(tmp_path: Path) -> None:
    """A row of several lines is found where it starts."""
    text = HEADER + '0,"a\nb\nc",100,10\n1,"a\nb",,10\n2,"a\nb",100\n'
    _, report = read(write(tmp_path, text))
    assert report.bad.lines == {"no input tokens": [5], "3 cells where the header has 4": [7]}


def test_a_header_of_several_lines_is_read(tmp_path: Path) -> None:
    """Spreadsheets break long names."""
    workload, _ = read(write(tmp_path, '\ufefft_s;"input\ntokens";"output\ntokens"\n0;100;10\n1;100;10\n'))
    assert workload.input_tokens.tolist() == [100, 100]


def test_columns_of_one_name_are_refused_where_needed(tmp_path: Path) -> None:
    """Which of two columns of one name is meant nobody knows; where neither is needed they do no harm."""
    with pytest.raises(WorkloadError, match=r"f\.csv has several columns named 'input_tokens'"):
        read(write(tmp_path, "t_s,input_tokens,output_tokens,input_tokens\n0,100,10,1\n"))
    text = "t_s,note,input_tokens,note,output_tokens,,\n0,a,100,b,10,,\n1,a,100,b,10,,\n"
    workload, _ = read(write(tmp_path, text))
    assert workload.input_tokens.tolist() == [100, 100]


EMPTY_DAY = '{"object": "bucket", "start_time": 1, "end_time": 2, "results": []}'


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[]", "holds no request; export it"),
        ("{}", "holds no request; export it"),
        ("{}\n{}\n", "holds no request; export it"),
        ("[1, 2]", r"holds no request: not a JSON object \(line 1\)"),
        ('{"object": "page", "data": []}', "holds no request; export it"),
        ('{"observations": []}', "holds no request; export it"),
        (f'{{"object": "page", "data": [{EMPTY_DAY}]}}', "holds no request, only periods without any"),
        (f"{EMPTY_DAY}\n{EMPTY_DAY}\n", "holds no request, only periods without any"),
        ("t_s;input_tokens;output_tokens\n", "holds no usable request: it is empty"),
    ],
)
def test_files_without_a_request_say_so(text: str, sentence: str, tmp_path: Path) -> None:
    """What holds no request is not said to lack columns."""
    with pytest.raises(WorkloadError, match=f"f.json {sentence}"):
        read(write(tmp_path, text, "f.json"))


def test_a_ledger_without_requests_says_so(tmp_path: Path) -> None:
    """A new ledger has columns but no request; a database of something else is no ledger."""
    path = tmp_path / "f.db"
    for table_name, sentence in (("orders", "it has no table of requests"), ("requests", "it is empty")):
        with closing(sqlite3.connect(path)) as database:
            database.execute(
                f"CREATE TABLE {table_name} (accepted_at REAL, model TEXT, result TEXT, input_tokens INTEGER,"
                " output_tokens INTEGER, reference_cost_usd REAL)"
            )
        with pytest.raises(WorkloadError, match=rf"f\.db .*{sentence}"):
            read(path)


def test_a_damaged_ledger_is_no_trace(tmp_path: Path) -> None:
    """A file that only starts like a database is refused in one sentence."""
    path = tmp_path / "f.db"
    path.write_bytes(b"SQLite format 3\0" + b"\1" * 5000)
    with pytest.raises(WorkloadError, match=r"f\.db is no spillway ledger"):
        read(path)


@pytest.mark.parametrize(
    ("times", "lines"),
    [
        (("1788220886574", "1788220961574", "1788220961"), "2 and 4"),
        (("2026-11-02T12:00:00Z", "1970-01-02T00:00:00Z", "2026-11-02T12:00:01Z"), "2 and 3"),
    ],
    ids=["two units", "a wrong year"],
)
def test_mixed_clocks_are_named_by_line(times: tuple[str, ...], lines: str, tmp_path: Path) -> None:
    """Dates beside times that count from zero are refused with a line of each."""
    text = "time,input_tokens,output_tokens\n" + "".join(f"{time},100,10\n" for time in times)
    with pytest.raises(WorkloadError, match=rf"some times are dates .* \(lines {lines}\)"):
        read(write(tmp_path, text))


@pytest.mark.parametrize("before", ["\n\n", "\r\n\r\n", "\n \n"])
def test_empty_lines_above_a_header_tell_nothing(before: str, tmp_path: Path) -> None:
    """What stands between cells is told by the header, and lines count from the file's first."""
    good = "".join(f"{second};100;10\n" for second in range(0, 200, 2))
    _, report = read(write(tmp_path, before + "t_s;input_tokens;output_tokens\n0;many;10\n" + good))
    assert report.rows == 100
    assert report.bad.lines == {"input tokens is not a number": [4]}


def test_what_is_no_file_is_said_with_what_to_give(tmp_path: Path) -> None:
    """A folder, the standard input and a pipe are not files that do not exist."""
    os.mkfifo(tmp_path / "pipe")
    for path, said in (
        (tmp_path, r"is a folder; give the files in it, as in .*/\*"),
        (Path("-"), "- is no file, and usage is read more than once; save it to one first"),
        (tmp_path / "pipe", "pipe is no file, and usage is read more than once"),
        (tmp_path / "none.csv", "none.csv does not exist$"),
    ):
        with pytest.raises(WorkloadError, match=said):
            read(path)


@pytest.mark.parametrize("line", ["sep=;\n", "sep=;\r\n", "SEP=;\n", '\ufeff"sep=;"\n'])
def test_a_line_that_names_the_delimiter_is_no_header(line: str, tmp_path: Path) -> None:
    """Excel's first line says what stands between cells, and still counts as a line."""
    path = write(tmp_path, line + "t_s;body;input_tokens;output_tokens\n0;a,b,c;100;10\n1;;;\n")
    workload, report = read(path)
    assert workload.input_tokens.tolist() == [100]
    assert report.bad.lines == {"no input tokens": [4]}
    with pytest.raises(WorkloadError, match="row that starts in line 3 opens a quote"):
        read(write(tmp_path, line + 't_s;input_tokens;output_tokens\n0;"100;10\n'))


def test_commas_in_a_quoted_name_separate_nothing(tmp_path: Path) -> None:
    """The delimiter is the sign that is most frequent outside of quotes."""
    text = 't_s;input_tokens;output_tokens;"note (a, b, c, d, e)"\n0;100;10;x\n1;100;10;x\n'
    assert len(read(write(tmp_path, text))[0]) == 2


def request(second: int, **more: Any) -> dict[str, Any]:
    """A request of a log that nobody knows."""
    return {"t_s": second, "input_tokens": 100, "output_tokens": 10, **more}


@pytest.mark.parametrize("characters", [70_000, 3_000_000])
def test_long_json_lines_are_lines(characters: int, tmp_path: Path) -> None:
    """However long the first line is, a second one makes the file JSON lines; alone it is a document."""
    lines = [json.dumps(request(second, body="x" * characters)) for second in range(3)]
    workload, report = read(write(tmp_path, "\n".join(lines), "f.jsonl"))
    assert (len(workload), report.bad.total) == (3, 0)
    workload, report = read(write(tmp_path, "\n".join((lines[0], "{", lines[1])), "f.jsonl"))
    assert report.bad.lines == {"not JSON": [2]}
    assert len(read(write(tmp_path, lines[0], "f.json"))[0]) == 1


@pytest.mark.parametrize("step", [1, 7, documents.STEP_CHARACTERS])
def test_documents_one_after_another_are_read(
    step: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pages that were appended to one file count all, wherever reading stops meanwhile."""
    monkeypatch.setattr(documents, "STEP_CHARACTERS", step)
    page = json.dumps({"data": [request(1, note='a, "b" ]'), request(2)]}, indent=2)
    alone, listed = json.dumps(request(3)), json.dumps([request(4), [], request(5, x=[-12.5e3, 7])])
    for between in ("", "\n", " \n\n "):
        workload, report = read(write(tmp_path, between.join((page, "[ ]", listed, alone, page)), "f.json"))
        assert workload.time_s.tolist() == [0, 0, 1, 1, 2, 3, 4]
        assert report.bad.lines == {"not a JSON object": [4]}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[{"a": 1},\n\n{"a": 1 "b": 2}]', r"Expecting ',' delimiter \(line 3\)"),
        ('[{"a": 1},\n{"a": 1}\n{"a": 1}]', r"Expecting ',' delimiter \(line 3\)"),
        ('[{"a": 1},\n{"a": "x', r"Unterminated string starting at \(line 2\)"),
        ('{"data": [\n{"a": 1}]}\n\nand more', r"Expecting value \(line 4\)"),
        ('[{"a": 1},\n', r"Expecting value \(line 2\)"),
    ],
)
def test_broken_documents_are_named_by_line(text: str, said: str, tmp_path: Path) -> None:
    """What is no JSON is refused with the line of the fault."""
    with pytest.raises(WorkloadError, match=rf"f\.json is not valid JSON: {said}"):
        read(write(tmp_path, text, "f.json"))


def test_documents_are_bounded_by_what_they_are_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A packed document is as long as its text; a list may be of any length, as its items are read alone."""
    monkeypatch.setattr(documents, "STEP_CHARACTERS", 100)
    monkeypatch.setattr(documents, "MOST_CHARACTERS", 1000)
    rows = [request(second) for second in range(200)]
    path = tmp_path / "f.json.gz"
    path.write_bytes(gzip.compress(json.dumps(rows).encode()))
    assert len(read(path)[0]) == 200
    path.write_bytes(gzip.compress(json.dumps({"data": rows}).encode()))
    with pytest.raises(WorkloadError, match=r"more than 1,000 characters \(line 1\).* as JSON lines or CSV"):
        read(path)


def test_pages_within_pages_are_no_trace(tmp_path: Path) -> None:
    """What is wrapped again and again is a row that is not used."""
    wrapped: Any = request(0)
    for _ in range(200):
        wrapped = {"object": "page", "data": [{"data": wrapped}]}
    _, report = read(write(tmp_path, json.dumps([wrapped, request(1)]), "f.json"))
    assert report.bad.lines == {"nested too deeply to be read": [1]}
