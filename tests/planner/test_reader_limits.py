"""How much usage a plan can hold, and totals that are none."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from spillway.planner import workload as workloads
from spillway.planner.readers import read_workload
from spillway.planner.workload import WorkloadError

DAY_S = 86_400
START = 1_793_577_600
HALF = 60_000_000
"""More than half of what a plan can hold."""


def totals(folder: Path, *rows: tuple[int, int, int], name: str = "usage.csv") -> Path:
    """Totals of days: requests, input tokens and output tokens of each row, a day for a row."""
    path = folder / name
    head = "start_time,end_time,num_model_requests,model,input_tokens,output_tokens"
    lines = [
        f"{START + DAY_S * day},{START + DAY_S * (day + 1)},{requests},m,{read},{written}"
        for day, (requests, read, written) in enumerate(rows)
    ]
    path.write_text("\n".join([head, *lines, ""]))
    return path


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (
            [[(2_000_000_000, 10**12, 10**11)]],
            r"0\.csv: 2,000,000,000 requests are more than a plan",
        ),
        ([[(HALF, 10**9, 10**8)], [(HALF, 10**9, 10**7)]], r"0\.csv, .*1\.csv: 120,000,000 requests"),
    ],
    ids=["one row", "two files"],
)
def test_more_than_memory_holds_is_refused(
    files: Sequence[Sequence[tuple[int, int, int]]], said: str, tmp_path: Path
) -> None:
    """The requests of all files together are looked at before any is made an arrival."""
    with pytest.raises(WorkloadError, match=said):
        read_workload([totals(tmp_path, *rows, name=f"{i}.csv") for i, rows in enumerate(files)])


def test_single_requests_are_no_more_either(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same limit holds for requests that are read one by one."""
    monkeypatch.setattr(workloads, "MOST_REQUESTS", 20)
    path = tmp_path / "usage.csv"
    rows = "".join(f"{START + second},100,10\n" for second in range(21))
    path.write_text(f"time,input_tokens,output_tokens\n{rows}")
    with pytest.raises(WorkloadError, match=r"usage\.csv: 21 requests are more than a plan can hold, 20"):
        read_workload([path])


def test_totals_without_tokens_are_no_requests(tmp_path: Path) -> None:
    """As with single requests they are counted by line; their time is covered all the same."""
    workload, (report,) = read_workload([totals(tmp_path, (100, 30_000, 3000), (300, 0, 0))])
    assert (len(workload), workload.span_s) == (100, 2 * DAY_S)
    assert report.bad.lines == {"no tokens at all": [3]}
    assert report.rows == 1


def test_nothing_but_totals_without_tokens_says_why(tmp_path: Path) -> None:
    """The file is named, and why nothing in it counts."""
    with pytest.raises(WorkloadError, match=r"usage\.csv holds no usable total: 1 row.* no tokens at all"):
        read_workload([totals(tmp_path, (300, 0, 0))])
