"""Rows set aside for a second time, by another release, and on a disk that fills up within a line."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest

from spillway.ledger.rows import ATTEMPT_COLUMNS, REQUEST_COLUMNS
from spillway.ledger.spill import SCHEMA, Spill

from .samples import named, row


def files(folder: Path) -> list[Path]:
    """The files of rows there."""
    return sorted(folder.glob("*.spill-*.jsonl"))


def test_rows_of_a_second_outage_are_kept_too(tmp_path: Path) -> None:
    """The file of the first one was removed once it was read: the next rows go into a new one."""
    spill = Spill(tmp_path / "a.db")
    for name in ("first", "second"):
        spill.append([row(name)])
        assert len(files(tmp_path)) == 1
        assert spill.has_rows
        assert spill.batch(9) == [row(name)]
        spill.confirm()
        assert files(tmp_path) == []
    spill.close()


def test_rows_of_another_release_find_their_columns(tmp_path: Path) -> None:
    """By name: one that is new is unknown, one that is gone is left out, the order does not matter."""
    spill = Spill(tmp_path / "a.db")
    written = row("req_1")
    given = dict(zip(REQUEST_COLUMNS, written.request, strict=True))
    columns = ("gone", *[name for name in reversed(REQUEST_COLUMNS) if name != "cost_usd"])
    header = {"schema": SCHEMA, "request_columns": columns, "attempt_columns": ATTEMPT_COLUMNS}
    line = (["x", *[given[name] for name in columns[1:]]], written.attempts)
    lines = b"\n".join(msgspec.json.encode(each) for each in (header, line)) + b"\n"
    (tmp_path / "a.db.spill-1-abc.jsonl").write_bytes(lines)
    assert spill.adopt() == 1
    (found,) = spill.batch(9)
    assert named(found) == {**given, "cost_usd": None}
    spill.close()


def test_half_a_line_that_did_not_fit_is_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the next row would be written behind it, and both would be lost."""
    spill, write = Spill(tmp_path / "a.db"), os.pwrite
    spill.append([row("before")])
    with monkeypatch.context() as full:
        full.setattr(os, "pwrite", lambda file, data, at: write(file, data[:20], at))
        with pytest.raises(OSError, match="No space"):
            spill.append([row("lost")])
    spill.append([row("after")])
    assert spill.batch(9) == [row("before"), row("after")]
    spill.confirm()
    assert spill.lost_lines == 0
