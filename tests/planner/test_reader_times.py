"""Times are read as the first rows of a file together say, or refused; totals know how long they are."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from spillway.planner.readers import read_workload
from spillway.planner.readers.times import TimeReader
from spillway.planner.workload import ReadReport, Workload, WorkloadError

DAY_S = 86_400.0
NOV_2 = datetime(2026, 11, 2, tzinfo=UTC).timestamp()


def read(folder: Path, header: str, *rows: str, **options: Any) -> tuple[Workload, ReadReport]:
    """The workload of a file with these lines and its report."""
    path = folder / "f.csv"
    path.write_text("\n".join([header, *rows]) + "\n")
    workload, reports = read_workload([path], **options)
    return workload, reports[0]


@pytest.mark.parametrize(
    ("first", "second"),
    [("20261102", "20261103"), ("20261102.0", "20261103.0"), ("46328", "46329"),
     ("2026110200", "2026110300"), ("202611020000", "202611030000"), ("20261102000000", "20261103000000")],
)  # fmt: skip
def test_dates_written_as_numbers_are_dates(first: str, second: str, tmp_path: Path) -> None:
    """A day without dashes and a spreadsheet's day number are days, of totals and of requests."""
    workload, report = read(
        tmp_path, "date,requests,input_tokens,output_tokens", f"{first},10,1000,100", f"{second},10,1000,100"
    )
    assert (workload.start_wall_s, workload.span_s) == (NOV_2, 2 * DAY_S)
    assert any("were taken as dates (2026-11-02)" in note for note in report.notes)
    workload, _ = read(tmp_path, "date,input_tokens,output_tokens", f"{first},100,10", f"{second},100,10")
    assert workload.time_s.tolist() == [0, DAY_S]


def test_day_numbers_tell_seconds(tmp_path: Path) -> None:
    """The five decimals that a spreadsheet writes tell the second."""
    times = [NOV_2 + second for second in (0, 1, 3600, 86_399)]
    rows = [f"{each / DAY_S + 25_569:.5f},100,10" for each in times]
    workload, _ = read(tmp_path, "time,input_tokens,output_tokens", *rows)
    assert workload.time_s.tolist() == [0, 1, 3600, 86_399]


@pytest.mark.parametrize("other", ["0", "20261301", "99999999"])
def test_numbers_beside_such_dates_are_refused(other: str, tmp_path: Path) -> None:
    """A number that is no date among numbers that are makes the file doubtful, wherever it stands."""
    good = [f"202611{day:02},100,10" for day in range(1, 30)]
    for place in (0, 5, 29):
        rows = [*good[:place], f"{other},100,10", *good[place:]]
        with pytest.raises(WorkloadError, match=rf"line {place + 2}: the time {other} is no date"):
            read(tmp_path, "date,input_tokens,output_tokens", *rows)


def test_seconds_that_pass_such_numbers_stay_seconds(tmp_path: Path) -> None:
    """A trace that counts from zero is none of dates where it comes by; a unit in the name says so too."""
    rows = [f"{second},100,10" for second in range(0, 60_000, 100)]
    workload, report = read(tmp_path, "time,input_tokens,output_tokens", *rows)
    assert workload.time_s[-1] == 59_900
    workload, report = read(tmp_path, "time_s,input_tokens,output_tokens", *rows[450:])
    assert workload.time_s[-1] == 14_900
    assert len(report.notes) == 1


def test_one_wrong_time_decides_no_unit(tmp_path: Path) -> None:
    """Milliseconds stay milliseconds behind a first row without a time."""
    rows = [f"{int(NOV_2 + 60 * i) * 1000},100,10" for i in range(200)]
    workload, report = read(tmp_path, "ts,input_tokens,output_tokens", "0,,", *rows)
    assert (len(workload), workload.start_wall_s) == (200, NOV_2)
    assert report.bad.lines == {"no input tokens": [2]}


def test_a_reader_of_one_time_decides_by_it() -> None:
    """Without others to look at, the first number decides."""
    times = TimeReader()
    assert times.read("20261102") == NOV_2
    assert TimeReader(1.0).read("20261102") == 20_261_102
