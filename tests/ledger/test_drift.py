"""Drift in reports: what differed, since when, and how many requests it kept off a node."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from spillway.ledger.drift import DriftLine, DriftRow, drift_lines, record_drift
from spillway.ledger.period import Period
from spillway.ledger.report import make_report
from spillway.ledger.store import LedgerStore
from tests.ledger.samples import ACCEPTED_S, row

EVER = Period(None, ACCEPTED_S + 3600)
TEMPLATE: DriftRow = (ACCEPTED_S, "mini", "qwen", "template", "sha256:a", "sha256:b", "quarantine")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LedgerStore]:
    """An empty ledger."""
    store = LedgerStore.open(f"sqlite:///{tmp_path}/ledger.db")
    yield store
    store.close()


def test_a_field_is_one_line_however_often_it_was_noticed(store: LedgerStore) -> None:
    """Told twice it is kept once; noticed anew by the next gateway it is the same line; an end is none."""
    record_drift(store, [TEMPLATE])
    record_drift(store, [TEMPLATE, (ACCEPTED_S + 60, *TEMPLATE[1:])])
    record_drift(store, [(ACCEPTED_S + 90, *TEMPLATE[1:6], "restored")])
    assert drift_lines(store, EVER) == (
        DriftLine("mini", "template", "2026-09-21T14:13:20Z", "2026-09-21T14:14:20Z"),
    )
    assert drift_lines(store, Period(None, ACCEPTED_S)) == ()
    assert len(list(store.query("SELECT * FROM drift_events"))) == 3


def test_requests_kept_off_are_counted(store: LedgerStore) -> None:
    """By the whole reason, wherever it stands among others."""
    for number, reasons in enumerate(
        (("name_auto", "node_drifted"), ("node_drifted_not",), ("node_drifted",))
    ):
        store.append([row(f"req_{number}", reasons=reasons)])
    assert make_report(store, EVER).drifted_requests == 2
    assert make_report(store, Period(None, 1.0)).drifted_requests == 0


def test_long_answers_of_canaries_are_cut(store: LedgerStore) -> None:
    """They are for recognising, not for keeping."""
    record_drift(store, [(time.time(), "mini", "qwen", "canary", "a" * 999, "b" * 999, "quarantine")])
    ((before, after),) = store.query("SELECT before, after FROM drift_events")
    assert (len(str(before)), len(str(after))) == (200, 200)
