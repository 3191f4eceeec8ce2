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


TOTALS = "date,requests,input_tokens,output_tokens"


def at(start: str, requests: int = 100) -> str:
    """A row of totals that starts then."""
    return f"{start},{requests},{10 * requests},{requests}"


@pytest.mark.parametrize(
    ("starts", "name", "days"),
    [
        ([f"2026-11-02T{hour:02}:00:00Z" for hour in range(24)], "an hour", 1),
        ([f"2026-11-02T{hour:02}:00:00+05:30" for hour in (8, 9, 10, 17)], "an hour", 10 / 24),
        ([f"2026-11-02T{i // 12:02}:{i % 12 * 5:02}:00Z" for i in range(288)], "5 minutes", 1),
        ([f"2026-11-02T{hour:02}:00:00Z" for hour in (0, 6, 12, 18)], "6 hours", 1),
        ([f"2026-11-{day:02}" for day in (2, 3, 6, 9)], "a day", 8),
        (["2026-10-24T00:00+02:00", "2026-10-25T00:00+02:00", "2026-10-26T00:00+01:00"], "a day", 73 / 24),
        ([f"2026-11-{day:02}" for day in (2, 9, 16, 30)], "a week", 35),
        (["2026-01-01", "2026-02-01", "2026-03-01"], "a month", 90),
        (["2026-09-01T00:00+02:00", "2026-10-01T00:00+02:00", "2026-11-01T00:00+01:00"], "a month",
         91 + 1 / 24),
        (["2026-12-31"], "a day", 1),
        (["2025-10-01", "2026-01-01"], "3 months", 182),
    ],
)  # fmt: skip
def test_totals_are_as_long_as_they_lie_apart(
    starts: list[str], name: str, days: float, tmp_path: Path
) -> None:
    """Totals without an end cover the time up to the next, in hours, days or months of any zone."""
    workload, report = read(tmp_path, TOTALS, *map(at, starts))
    assert workload.span_s == pytest.approx(days * DAY_S)
    assert f"its totals do not say when they end, and were taken as {name} each" in report.notes[-1]


def test_the_course_of_hours_is_kept(tmp_path: Path) -> None:
    """Requests of an hour come in that hour, and hours without any stay empty."""
    counts = [100 if 8 <= hour < 18 else 0 for hour in range(24)]
    rows = [at(f"2026-11-02 {hour:02}:00:00", count) for hour, count in enumerate(counts)]
    workload, _ = read(tmp_path, TOTALS, *rows)
    hours = (workload.time_s // 3600).astype(int)
    assert [int((hours == hour).sum()) for hour in range(24)] == counts
    assert "evenly over each" in workload.notes[0]


@pytest.mark.parametrize(
    ("column", "starts", "days"),
    [("day_date", ("2026-11-02", "2026-11-09"), 8), ("week_start", ("2026-11-02",), 7),
     ("month start", ("2026-08-01",), 31), ("hour_start", ("2026-11-02 10:00:00",), 1 / 24),
     ("week_start", ("2026-11-02", "2026-11-03"), 2)],
)  # fmt: skip
def test_a_name_of_a_column_tells_its_period(
    column: str, starts: tuple[str, ...], days: float, tmp_path: Path
) -> None:
    """What the column of times is named says how long totals are, unless they lie closer together."""
    header = TOTALS.replace("date", column)
    workload, _ = read(tmp_path, header, *map(at, starts))
    assert workload.span_s == pytest.approx(days * DAY_S)


def test_totals_at_any_time_are_refused(tmp_path: Path) -> None:
    """How long a total stands for is not guessed where times lie apart as no period does."""
    starts = ("2026-11-02 10:00:00", "2026-11-02 10:07:31", "2026-11-02 12:01:10")
    with pytest.raises(WorkloadError, match=r"f\.csv holds totals .* no hours.* --map requests=; .*'date'"):
        read(tmp_path, TOTALS, *(at(start, requests=9) for start in starts))
    with pytest.raises(WorkloadError, match=r"no hours.* --map COLUMN=end; columns taken as time = 'date'"):
        read(tmp_path, TOTALS, *map(at, starts))
    with pytest.raises(WorkloadError, match="no hours, days, weeks or months"):
        read(tmp_path, TOTALS, *map(at, "123"))


def test_activity_is_of_days(tmp_path: Path) -> None:
    """OpenRouter's activity is by days, also where it was used on Mondays only."""
    header = "date,model,requests,prompt_tokens,completion_tokens,usage"
    rows = [f"2026-11-{day:02},m,100,1000,100,0.1" for day in (2, 9)]
    workload, report = read(tmp_path, header, *rows)
    assert (report.format, workload.span_s, report.notes) == ("openrouter-activity", 8 * DAY_S, [])


def test_totals_of_any_year_have_an_end(tmp_path: Path) -> None:
    """Months end also where no date can tell it."""
    _, report = read(tmp_path, TOTALS, at("9999-11-01"), at("9999-12-01"))
    assert "taken as a month each" in report.notes[-1]
    _, report = read(tmp_path, TOTALS, at("9999-12-30T23:30"), at("9999-12-31T23:30"))
    assert "taken as a day each" in report.notes[-1]
