"""What ``spillway bench`` says of a measured node, beside what the live tests read."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from spillway.cli import run
from spillway.cli.bench_live import _gaps, _text
from spillway.measuring.campaign import Measured
from spillway.measuring.fit import Read
from spillway.planner.profile import Profile
from spillway.slo.pace import LinearPace
from spillway.testing.fake_upstream import FakeUpstream
from tests.planner.test_profile import PROFILE


@pytest.mark.parametrize("gap_s", [0.0, 0.0004, 0.004])
def test_gaps_are_said_where_they_cost_much(gap_s: float) -> None:
    """A tenth of a step of two is worth a line that says both times and what to try."""
    pace = LinearPace(0.01, 0.001, step_base_s=0.002, step_sequence_s=0.002, step_gap_s=gap_s, slots=4)
    said = _gaps(pace, 100)
    assert bool(said) == (gap_s > 0.001)
    for line in said:
        assert "6.0 ms a token side by side and 4.0 ms more" in line
        assert "--kv-unified" in line


def told(profile: Profile) -> list[str]:
    """The lines for a person."""
    measured = Measured(reads=[Read(100.0, 0.0, 0.1)], requests=9, elapsed_s=22.4)
    return _text(measured, profile, Path("box.json")).splitlines()


def test_names_of_a_server_do_not_break_the_summary() -> None:
    """Control characters of a model's name are spelt out, and each line stays one."""
    lines = told(replace(PROFILE, model="fa\x1b[31mke\nX"))
    assert lines[0] == r"box: fa\x1b[31mke\nX on llamacpp b1-abc, 9 requests in 22 s"
    assert len(lines) == len(told(PROFILE))


def test_the_best_slots_are_told_where_they_were_timed() -> None:
    """Without answers side by side nobody knows how many are worth it."""
    assert "slots    4; 2 reach nearly all of its speed" in told(PROFILE)
    assert "slots    1; 1 reach nearly all of its speed" in told(
        replace(PROFILE, slots=1, best_slots=1, tok_s={1: 40.0})
    )
    unknown = told(replace(PROFILE, slots=None, tok_s={1: 40.0}))
    assert "slots    no limit up to 4; what more than one at once take is unknown" in unknown


@pytest.mark.parametrize(("place", "said"), [("file/x.json", "is no folder"), ("folder", "that is a folder")])
async def test_a_place_that_cannot_be_written_is_said_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], place: str, said: str
) -> None:
    """Nothing is measured where the profile could not be kept afterwards."""
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    async with FakeUpstream() as server:
        arguments = ["bench", server.origin, "--duration", "1", "--save", str(tmp_path / place)]
        code = await asyncio.to_thread(run, arguments)
        assert not [entry for entry in server.received if "chat" in entry.path]
    assert code == 2
    assert said in capsys.readouterr().err
