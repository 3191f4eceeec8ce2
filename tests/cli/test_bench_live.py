"""What ``spillway bench`` says of a measured node, beside what the live tests read."""

from __future__ import annotations

import pytest

from spillway.cli.bench_live import _gaps
from spillway.slo.pace import LinearPace


@pytest.mark.parametrize("gap_s", [0.0, 0.0004, 0.004])
def test_gaps_are_said_where_they_cost_much(gap_s: float) -> None:
    """A tenth of a step of two is worth a line that says both times and what to try."""
    pace = LinearPace(0.01, 0.001, step_base_s=0.002, step_sequence_s=0.002, step_gap_s=gap_s, slots=4)
    said = _gaps(pace, 100)
    assert bool(said) == (gap_s > 0.001)
    for line in said:
        assert "6.0 ms a token side by side and 4.0 ms more" in line
        assert "--kv-unified" in line
