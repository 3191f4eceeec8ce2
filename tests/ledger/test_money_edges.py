"""Where bills, price lists and promises end: error statuses, tiers, cache writes, prices that ran out."""

from __future__ import annotations

import sys
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from spillway.ledger.catalogue import Entry, Resolved, Span, catalogue_name
from spillway.ledger.cost import bill_of, price_of
from spillway.ledger.period import Period
from spillway.ledger.prices import FORM, flat_rates, load_prices
from spillway.ledger.report import make_report
from spillway.ledger.rows import rows_of
from spillway.ledger.store import LedgerStore
from spillway.vocabulary import Bill, Objective, Outcome, Rates, Usage

from .samples import ACCEPTED_S, attempt_of, outcome_of

D = Decimal
DAY_S = 86_400.0


@pytest.mark.parametrize(("status", "cost"), [(399, None), (400, D(0)), (503, D(0))])
def test_every_error_of_a_cloud_is_free(status: int, cost: Decimal | None) -> None:
    """From 400 on; whatever else came without usage may have been counted."""
    attempt = attempt_of(side="cloud", status=status, usage=None)
    assert bill_of(attempt, flat_rates(D(1), D(1)), None).cost_usd == cost


@pytest.mark.parametrize(("prompt", "rate"), [(100, 1), (101, 2), (200, 2), (201, 3)])
def test_of_several_tiers_the_highest_that_is_reached_counts(prompt: int, rate: int) -> None:
    """For the whole request."""
    free = D(0)
    rates = Rates(D(1), free, above=((100, Rates(D(2), free)), (200, Rates(D(3), free))))
    assert price_of(Usage(prompt, 9), rates) == D(prompt * rate) / 1_000_000


def test_an_own_price_holds_for_the_cache_unless_another_is_stated() -> None:
    """Tokens read from it and written to it are input like any other."""
    plain = flat_rates(D(3), D(15))
    assert (plain.cache_read_usd_per_mtok, plain.cache_write_usd_per_mtok) == (D(3), D(3))
    stated = flat_rates(D(3), D(15), D("0.3"), D("3.75"))
    assert (stated.cache_read_usd_per_mtok, stated.cache_write_usd_per_mtok) == (D("0.3"), D("3.75"))
    assert flat_rates(D(3), D(15), D(0)).cache_read_usd_per_mtok == 0


def kept_prices(folder: Path, **days_left: float | None) -> None:
    """A cache of prices of 1 per million tokens that are known for so many days, ``None`` for ever."""
    rates = flat_rates(D(1), D(1))
    entries = tuple(
        Entry("p", model, (Span(None, None if days is None else time.time() + DAY_S * days, rates),))
        for model, days in days_left.items()
    )
    path = folder / f"rates-{FORM}-{catalogue_name().replace(' ', '-')}.json"
    path.write_bytes(msgspec.json.encode(Resolved(catalogue_name(), entries)))


async def test_prices_that_run_out_within_a_day_are_asked_for_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else those of a cheap hour would be gone tomorrow. Where they cannot be had, the others stay known."""
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    kept_prices(tmp_path, steady=None, week=7.0)
    good = await load_prices([("p", "steady"), ("p", "week")], cache_folder=tmp_path)
    assert good.problem is None
    kept_prices(tmp_path, steady=None, week=0.5)
    old = await load_prices([("p", "steady"), ("p", "week")], cache_folder=tmp_path)
    assert old.problem is not None
    assert old.rates("p", "steady", time.time()) is not None
    assert old.rates("p", "week", time.time()) is None


def test_an_error_keeps_no_promise_however_quick_it_was() -> None:
    """Nor does an answer that broke off; and of a retried node only the forecast that was made counts."""

    def one(name: str, **more: object) -> Outcome:
        limits = Objective("default", ttft_s=0.5, total_s=2.0)
        forecast: dict[str, Any] = {
            "forecast_ttft_s": 0.2,
            "forecast_ttft_p95_s": 0.4,
            "forecast_total_p95_s": 2.0,
        }
        attempts = [attempt_of(0, **forecast), attempt_of(1, **forecast)]
        return outcome_of(name, attempts=attempts, facts_objective=limits, ttft_s=0.1, total_s=0.2, **more)

    store = LedgerStore.open("sqlite:///:memory:")
    outcomes = [one("good"), one("error", result="error", status=502), one("cut", result="cut")]
    store.append([rows_of(each, [Bill(D(0))] * 2) for each in outcomes])
    report = make_report(store, Period(None, ACCEPTED_S + 10))
    assert [(line.requests, line.kept, line.local_kept) for line in report.objectives] == [(3, 1, 1)]
    assert [line.first_tokens for line in report.forecasts] == [3]
    store.close()
