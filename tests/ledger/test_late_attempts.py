"""Attempts made after a request was recorded are added to it, and so is what they cost."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from spillway.ledger.rows import LedgerRow, rows_of
from spillway.ledger.store import LedgerStore
from spillway.vocabulary import Bill
from tests.ledger.conftest import PostgresServer
from tests.ledger.samples import attempt_of, outcome_of

MONEY = "SELECT attempts, cost_usd, price_usd, energy_usd, amortisation_usd FROM requests"
LOCAL = Bill(Decimal("0.00003"), energy_usd=Decimal("0.00001"), amortisation_usd=Decimal("0.00002"))


def local_row() -> LedgerRow:
    """A request a node answered."""
    return rows_of(outcome_of("req_1"), [LOCAL])


def shadow(price: str | None, side: Any = "cloud") -> tuple[Any, ...]:
    """The row of one late attempt."""
    cost = None if price is None else Decimal(price)
    late = outcome_of("req_1", [attempt_of(1, side, kind="shadow")])
    return rows_of(late, [Bill(cost, price_usd=cost)]).attempts[0]


def check(store: LedgerStore) -> None:
    """The behaviour, for either database."""
    store.append([local_row()])
    store.append_attempts("req_1", [shadow("0.0006")])
    store.append_attempts("req_1", [shadow("0.0006")])
    ((attempts, cost, price, energy, wear),) = store.query(MONEY)
    assert attempts == 2
    assert (cost, price) == pytest.approx((0.00063, 0.0006))
    assert (energy, wear) == pytest.approx((0.00001, 0.00002))


def test_costs_are_added_up() -> None:
    """The request costs the sum over its attempts, each kind by itself; adding twice changes nothing."""
    store = LedgerStore.open("sqlite:///:memory:")
    check(store)
    store.close()


@pytest.mark.postgres
def test_costs_are_added_up_in_postgres(postgres: PostgresServer) -> None:
    """The same in the other database."""
    store = LedgerStore.open(postgres.fresh_url("late"))
    check(store)
    store.close()


def test_an_unknown_cost_makes_the_sum_unknown() -> None:
    """A comparison whose price nobody knows is not counted as free."""
    store = LedgerStore.open("sqlite:///:memory:")
    store.append([local_row()])
    store.append_attempts("req_1", [shadow(None)])
    assert list(store.query("SELECT cost_usd, price_usd FROM requests")) == [(None, None)]
    store.close()


def test_attempts_of_a_request_that_is_not_there_are_kept() -> None:
    """A request may be set aside in a file; what was paid for it is recorded all the same."""
    store = LedgerStore.open("sqlite:///:memory:")
    store.append_attempts("req_1", [shadow("0.0006")])
    assert list(store.query("SELECT count(*) FROM attempts")) == [(1,)]
    store.close()
