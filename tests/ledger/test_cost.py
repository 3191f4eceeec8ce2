from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from spillway.ledger.cost import NodeRates, bill_of, node_cost, price_of, reference_cost
from spillway.vocabulary import Bill, Rates, Usage

from .samples import attempt_of

MINI = Rates(Decimal("0.15"), Decimal("0.60"), Decimal("0.075"), request_usd=Decimal(0))


def test_price_is_tokens_times_rates() -> None:
    """2,000 input and 500 output tokens at $0.15 and $0.60 per million are $0.0003 + $0.0003."""
    assert price_of(Usage(2000, 500), MINI) == Decimal("0.0006")


def test_cached_tokens_are_charged_once() -> None:
    """800 fresh at 0.15, 1,200 cached at 0.075 and 500 out at 0.60: 120 + 90 + 300 millionths of a dollar."""
    assert price_of(Usage(2000, 500, cache_read_tokens=1200), MINI) == Decimal("0.00051")


def test_written_cache_is_charged_at_its_own_rate() -> None:
    """100 fresh at 3, 1,000 written at 3.75, 400 read at 0.30, 10 out at 15: 300 + 3750 + 120 + 150."""
    rates = Rates(Decimal(3), Decimal(15), Decimal("0.30"), Decimal("3.75"))
    usage = Usage(1500, 10, cache_read_tokens=400, cache_write_tokens=1000)
    assert price_of(usage, rates) == Decimal("0.00432")


@pytest.mark.parametrize(("prompt", "expected"), [(200_000, "0.25015"), (200_001, "0.5002275")])
def test_a_tier_applies_to_the_whole_request(prompt: int, expected: str) -> None:
    """Above 200,000 tokens every token costs the dearer rate.

    200,000 × 1.25 + 15 × 10 = 250,150 and 200,001 × 2.50 + 15 × 15 = 500,227.5 millionths of a dollar.
    """
    dearer = Rates(Decimal("2.50"), Decimal(15))
    rates = Rates(Decimal("1.25"), Decimal(10), above=((200_000, dearer),))
    assert price_of(Usage(prompt, 15), rates) == Decimal(expected)


def test_price_per_request_is_added() -> None:
    """Five dollars per thousand requests are half a cent on top of the tokens."""
    rates = Rates(Decimal(1), Decimal(1), request_usd=Decimal("0.005"))
    assert price_of(Usage(10, 10), rates) == Decimal("0.00502")


@pytest.mark.parametrize(
    "usage",
    [
        Usage(None, 5),
        Usage(5, None),
        Usage(),
        Usage(100, 5, cache_write_tokens=10),
        Usage(100, 5, cache_read_tokens=101),
    ],
)
def test_unknown_counts_and_rates_make_the_price_unknown(usage: Usage) -> None:
    """A count nobody reported, a rate nobody published, more cached than sent: no price, and never zero."""
    assert price_of(usage, MINI) is None


def test_an_unknown_rate_is_no_matter_where_it_is_not_needed() -> None:
    """Without written cache tokens the rate for them may stay unknown."""
    assert price_of(Usage(100, 0, cache_write_tokens=0), MINI) == Decimal("0.000015")


def test_free_output_needs_no_count() -> None:
    """Embeddings report no output and are charged for none."""
    assert price_of(Usage(1_000_000, None), Rates(Decimal("0.02"), Decimal(0))) == Decimal("0.02")


def test_reference_is_priced_like_any_cloud() -> None:
    """What a local answer would have cost keeps the cached share, so savings are rather too low."""
    assert reference_cost(Usage(2000, 500, cache_read_tokens=1200), MINI) == Decimal("0.00051")


def test_busy_second_of_a_node() -> None:
    """$2,000 over 48 months and 40 W at $0.27: 15.84 and 3.00 millionths of a dollar a second."""
    rates = NodeRates.of(
        price_usd=Decimal(2000), life_months=Decimal(48), active_w=Decimal(40), usd_per_kwh=Decimal("0.27")
    )
    # 48 × 730.5 h × 3600 s = 126,230,400 s;  2000 / 126,230,400 = 15.844e-6
    # 0.040 kW × 0.27 / 3600 s = 3.000e-6
    assert rates.energy_usd_per_s == Decimal("0.000003")
    assert rates.amortisation_usd_per_s is not None
    assert round(rates.amortisation_usd_per_s * 1_000_000, 3) == Decimal("15.844")
    assert rates.usd_per_s == rates.energy_usd_per_s + rates.amortisation_usd_per_s


def test_sharers_split_the_node() -> None:
    """Four requests at once for eight seconds each pay for two seconds."""
    bill = node_cost(8.0, 4, NodeRates(Decimal("0.001"), Decimal("0.002")))
    assert bill == Bill(Decimal("0.006"), None, Decimal("0.002"), Decimal("0.004"))


def test_an_unknown_part_makes_the_whole_unknown() -> None:
    """Without a tariff the wear is known, the energy and the sum are not."""
    rates = NodeRates.of(
        price_usd=Decimal(2000), life_months=Decimal(48), active_w=Decimal(40), usd_per_kwh=None
    )
    bill = node_cost(1.0, 1, rates)
    assert bill.cost_usd is None
    assert bill.energy_usd is None
    assert bill.amortisation_usd is not None
    assert rates.usd_per_s is None


def test_cloud_attempts_cost_their_price() -> None:
    """A whole answer is billed by its usage."""
    bill = bill_of(attempt_of(side="cloud", usage=Usage(2000, 500)), MINI, None)
    assert bill == Bill(Decimal("0.0006"), Decimal("0.0006"))


def test_cloud_without_known_rates_costs_something_unknown() -> None:
    """No price list, no figure."""
    assert bill_of(attempt_of(side="cloud"), None, None) == Bill(None)


@pytest.mark.parametrize("failed", [{"status": 429}, {"status": None, "is_sent": False}])
def test_cloud_bills_nothing_for_refusals(failed: dict[str, Any]) -> None:
    """Providers do not charge for errors, nor for requests that never reached them."""
    assert bill_of(attempt_of(side="cloud", usage=None, **failed), MINI, None).cost_usd == 0


@pytest.mark.parametrize("cut", [{"status": 200}, {"status": None, "error_code": "upstream_timeout"}])
def test_a_cut_cloud_attempt_has_an_unknown_cost(cut: dict[str, Any]) -> None:
    """The provider may well have counted what it generated before the connection broke."""
    assert bill_of(attempt_of(side="cloud", usage=None, **cut), MINI, None).cost_usd is None


def test_failed_local_attempts_cost_their_time() -> None:
    """A node's time is spent even when the answer never came."""
    failed = attempt_of(started_s=1.0, ended_s=3.0, status=None, usage=None, in_flight=2)
    bill = bill_of(failed, None, NodeRates(Decimal(1), Decimal(2)))
    assert bill == Bill(Decimal(3), None, Decimal(1), Decimal(2))


def test_a_node_without_figures_has_an_unknown_cost() -> None:
    """Local is not free, only unknown."""
    assert bill_of(attempt_of(), None, None).cost_usd is None
