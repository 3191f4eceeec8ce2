"""What ours is compared with: the most that is known, and the most with as many answers in time."""

from __future__ import annotations

import numpy as np

from bench.planner.best_known import Row, table
from bench.planner.best_known import _as_punctual as as_punctual
from bench.planner.traces import CASES
from spillway.planner.simulator import Result
from spillway.vocabulary import Objective

CASE = CASES[0]


def run(local: int, late: int, requests: int = 1000) -> Result:
    """So many of the requests on a node, and so many of these late."""
    node = np.where(np.arange(requests) < local, 0, -1).astype(np.int16)
    times_s = np.where(np.arange(requests) < late, 99.0, 1.0)
    ones = np.ones(requests, dtype=np.int64)
    return Result(
        "x",
        Objective(ttft_s=2.0, total_s=20.0),
        node,
        times_s,
        times_s,
        ones < 0,
        ones,
        1000.0,
        (1.0,),
        (1.0,),
    )


def test_more_answers_with_more_of_them_late_are_not_equal() -> None:
    """Beside one that is always in time only those count that are too, to a thousandth."""
    runs = [run(900, 40), run(850, 0), run(860, 1), run(800, 0)]
    assert as_punctual(runs, run(820, 0)) is runs[1], "one in 860 is more than a thousandth"
    assert as_punctual(runs, run(820, 40)) is runs[0]
    assert as_punctual(runs[:1], run(820, 0)) is None
    assert as_punctual(runs, None) is None


def test_a_row_has_a_cell_for_every_column() -> None:
    """And the lines below count the cases of each comparison."""
    ours, known, equal = run(820, 0), run(900, 40), run(850, 0)
    row = Row(CASE, 1, 1.5, known, equal, {"ours": ours, "told lengths": known, "as they come": None})
    assert row.cells() == [
        CASE.name, "1", "1.5", "90.0%", "91.1%", "100.0%", "96.5%", "100.0%", "–",
    ]  # fmt: skip
    lines = list(table([row]))
    assert "Ours, of the best known: 0 of 1 at least 95%, on average 91.1%." in lines
    assert (
        "Ours, of the best known that keeps as much in time: 1 of 1 at least 95%, on average 96.5%." in lines
    )
