"""The usual calculation to the digit, and exact cloud prices of whole workloads."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from spillway.ledger.cost import price_of
from spillway.planner.arrivals import synthesise
from spillway.planner.money import ARTICLE, Naive, cloud_price_usd
from spillway.planner.workload import Workload
from spillway.vocabulary import Rates, Usage

MINI = Rates(Decimal("0.15"), Decimal("0.60"), Decimal("0.075"))
CACHED = Decimal("0.1")
LONG = Rates(Decimal(2), Decimal(8), Decimal(1))
TIERED = Rates(Decimal(1), Decimal(4), CACHED, request_usd=Decimal("0.001"), above=((200, LONG),))


def test_the_article_is_reproduced_to_the_digit() -> None:
    """$0.0006 a request, $600 a month, about $0.00005 locally, 3.4 months, and 238 % of one node's time."""
    naive = Naive(ARTICLE)
    assert naive.cloud_usd_per_request == Decimal("0.0006")
    assert naive.cloud_usd_per_month == Decimal(600)
    assert round(naive.power_usd_per_month) == 8
    assert round(naive.local_usd_per_request, 5) == Decimal("0.00005")
    assert naive.break_even_months is not None
    assert round(naive.break_even_months, 1) == Decimal("3.4")
    assert round(naive.decode_utilisation * 100) == 238
    assert naive.prefill_utilisation is None


def test_reading_prompts_takes_time_too() -> None:
    """At a thousand prompt tokens a second the article's prompts alone take three quarters of a node."""
    found = Naive(replace(ARTICLE, prefill_tok_s=Decimal(1000))).prefill_utilisation
    assert found is not None
    assert round(found * 100) == 76


def test_never_is_an_answer_of_the_usual_calculation() -> None:
    """With hardly any traffic the power costs more than the cloud: never."""
    assert Naive(replace(ARTICLE, requests_per_month=10_000)).break_even_months is None


@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 500), st.integers(0, 500), st.integers(0, 500)), min_size=1, max_size=50
    ),
    st.sampled_from([MINI, TIERED]),
)
def test_whole_workloads_cost_the_sum_of_their_requests(
    rows: list[tuple[int, int, int]], rates: Rates
) -> None:
    """The price of a workload is exactly the sum of the ledger's prices, tiers and cached tokens included."""
    inputs, outputs, cached = (np.array(column, dtype=np.int32) for column in zip(*rows, strict=True))
    cached = np.minimum(inputs, cached)
    count = len(rows)
    workload = Workload(
        np.arange(count, dtype=np.float64),
        inputs,
        outputs,
        cached,
        np.zeros(count, dtype=np.int32),
        ("m",),
        1.0,
    )
    prices = [
        price_of(Usage(int(i), int(o), cache_read_tokens=int(c)), rates)
        for i, o, c in zip(inputs, outputs, cached, strict=True)
    ]
    assert cloud_price_usd(workload, rates) == sum(price for price in prices if price is not None)
    half = np.arange(count) % 2 == 0
    assert cloud_price_usd(workload, rates, half) == sum(
        p for p, keep in zip(prices, half, strict=True) if keep and p
    )


def test_unknown_rates_make_unknown_prices() -> None:
    """A workload whose answers have no known rate has no known price."""
    workload = synthesise(10, 100, 10)
    assert cloud_price_usd(workload, Rates(Decimal(1), None)) is None


def test_batch_work_costs_half() -> None:
    """Work that may wait goes at half price."""
    workload = synthesise(1000, 2000, 500)
    full = cloud_price_usd(workload, MINI)
    assert full == Decimal("0.6")
    assert cloud_price_usd(workload, MINI, batch_ratio=Decimal(1)) == full / 2
