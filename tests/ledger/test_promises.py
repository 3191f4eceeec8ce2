"""Objectives kept and forecasts held, as the report shows them."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from spillway.ledger.period import Period
from spillway.ledger.report import make_report
from spillway.ledger.rows import rows_of
from spillway.ledger.store import LedgerStore
from spillway.vocabulary import Attempt, Bill, Objective, Outcome

from .conftest import PostgresServer
from .samples import ACCEPTED_S, attempt_of, outcome_of

PERIOD = Period(None, ACCEPTED_S + 10)
LIMITS = Objective("default", ttft_s=0.5, total_s=2.0)


def forecast(first_token_s: float | None, ended_s: float, index: int = 0) -> Attempt:
    """A local attempt whose first token was forecast for 0.2 s, surely before 0.4 s, its end before 2 s."""
    return attempt_of(
        index,
        first_token_s=first_token_s,
        ended_s=ended_s,
        error_code=None if first_token_s is not None else "upstream_timeout",
        forecast_ttft_s=0.2,
        forecast_ttft_p95_s=0.4,
        forecast_total_p95_s=2.0,
    )


def outcomes() -> list[Outcome]:
    """Two in time, one late at first, one late at the end, one failed over, one without objective."""

    def one(name: str, ttft_s: float | None, total_s: float, *attempts: Attempt, **more: object) -> Outcome:
        return outcome_of(
            name, attempts=attempts, ttft_s=ttft_s, total_s=total_s, facts_objective=LIMITS, **more
        )

    return [
        one("a", 0.3, 1.5, forecast(0.3, 1.4)),
        one("b", None, 1.5, forecast(0.3, 1.4)),
        one("c", 0.9, 1.5, forecast(0.9, 1.4)),
        one("d", 0.3, 3.0, forecast(0.3, 3.0)),
        one("e", 0.4, 1.0, forecast(None, 0.2), attempt_of(1, "cloud")),
        one("gone", None, 0.1, result="cancelled"),
        outcome_of("f"),
    ]


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[LedgerStore]:
    """An empty ledger in each database."""
    url = f"sqlite:///{tmp_path / 'l.db'}"
    if request.param == "postgres":
        server: PostgresServer = request.getfixturevalue("postgres")
        url = server.fresh_url("promises_" + request.node.name.split("[")[0][-50:])
    opened = LedgerStore.open(url)
    yield opened
    opened.close()


def test_objectives_and_forecasts_are_counted(store: LedgerStore) -> None:
    """Counted as a person would, from the stored rows alone."""
    store.append([rows_of(each, [Bill(Decimal(0))] * len(each.attempts)) for each in outcomes()])
    report = make_report(store, PERIOD)
    (objective,) = report.objectives
    assert (objective.slo_class, objective.requests, objective.kept) == ("default", 5, 3)
    assert objective.attainment == pytest.approx(0.6)
    assert objective.local_attainment == pytest.approx(0.5)
    (found,) = report.forecasts
    assert (found.first_tokens, found.ttft_held, found.answers, found.total_held) == (4, 3, 4, 3)
    assert found.mean_ttft_error_ms == pytest.approx(1000 * (0.1 * 3 + 0.7) / 4)


def test_nothing_promised_nothing_shown(store: LedgerStore) -> None:
    """Without objectives and forecasts there are no lines, not lines of zeros."""
    store.append([rows_of(outcome_of("f"), [Bill(Decimal(0))])])
    report = make_report(store, PERIOD)
    assert (report.objectives, report.forecasts) == ((), ())
