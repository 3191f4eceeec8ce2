"""What one figure alone would have to be for a fleet to pay, by the futures that the verdict rests on.

A fleet pays when it costs less than the cloud over its whole life in the middle future and at the likeliest
figures. Prices follow from the futures' own months; traffic is searched, as shares bend over load.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import ROUND_CEILING, ROUND_DOWN, ROUND_UP, Context, Decimal

from spillway.planner.breakeven import Case, Outcome, evaluate

__all__ = ["what_would_pay"]

ZERO, ONE = Decimal(0), Decimal(1)
MOST = 1000
"""How many times today's price or traffic is still worth naming."""
STEP, NEAR = Decimal("1.002"), Decimal("1.25")
"""How exactly traffic is found, and how near the likeliest case's answer it is looked for first."""
CENT = Decimal("0.01")
SHORT = Context(prec=6, rounding=ROUND_UP)
"""Prices of a request are told to six digits, rounded so that they are enough."""


def what_would_pay(likeliest: Outcome, futures: Sequence[Outcome]) -> dict[str, Decimal | None]:
    """What each of three figures would have to be, alone, for the fleet to pay within its life.

    ``hardware_usd`` is the highest price of a node, ``cloud_usd_per_request`` and ``requests_per_month`` the
    least; ``None`` where no value up to a thousandfold would do, for the price of what is rented, and where
    the cloud charges nothing: how it would charge nobody knows.
    """
    return {
        "hardware_usd": _highest_price(likeliest, futures),
        "cloud_usd_per_request": _least_charge(likeliest, futures),
        "requests_per_month": _least_traffic(likeliest, futures),
    }


def _highest_price(likeliest: Outcome, futures: Sequence[Outcome]) -> Decimal | None:
    if likeliest.case.rent_usd_per_month:
        return None
    paid = sorted((_price_paid(future) for future in futures), reverse=True)
    highest = min(paid[len(futures) // 2], _price_paid(likeliest))
    return highest.quantize(CENT, ROUND_DOWN) if highest >= CENT else None


def _price_paid(outcome: Outcome) -> Decimal:
    """Price of a node whose loss in value the savings of its whole life cover."""
    saved_usd = sum((month.saved_usd for month in outcome.months), ZERO)
    return saved_usd / (outcome.case.nodes * (1 - outcome.case.residual_ratio))


def _least_charge(likeliest: Outcome, futures: Sequence[Outcome]) -> Decimal | None:
    """Savings are what the cloud charges times what is avoided, so each future's answer is a division."""
    now = likeliest.case.cloud_usd_per_request
    if now <= 0:
        return None
    factors = sorted(_factor(future) for future in futures)
    factor = max(factors[len(futures) // 2], _factor(likeliest))
    return SHORT.create_decimal(factor * now) if factor <= MOST else None


def _factor(outcome: Outcome) -> Decimal:
    """By how much the cloud's prices would have to rise for the fleet to cost no more over its whole life."""
    avoided_usd = sum((month.all_cloud_usd - month.cloud_usd for month in outcome.months), ZERO)
    running_usd = sum((month.running_usd for month in outcome.months), ZERO)
    return (
        (outcome.case.lost_value_usd + running_usd) / avoided_usd if avoided_usd > 0 else Decimal("Infinity")
    )


def _least_traffic(likeliest: Outcome, futures: Sequence[Outcome]) -> Decimal | None:
    """More traffic must never save less. Only futures that may still change sides are played again."""
    guess = _least_of_one(likeliest.case)
    if guess is None:
        return None
    now = likeliest.case.requests_per_month
    low, high, wanted = now, now * MOST, len(futures) // 2 + 1
    unsure, sure = [future.case for future in futures], 0
    probes = [high, guess * NEAR, guess / NEAR]
    while high / low > STEP:
        middle = probes.pop() if probes else (low * high).sqrt()
        if not low < middle < high * STEP:
            continue
        paying, losing = _parted(unsure, middle)
        if sure + len(paying) >= wanted and _pays(likeliest.case, middle):
            high, unsure = middle, paying
        elif middle >= high:
            return None
        else:
            low, unsure, sure = middle, losing, sure + len(paying)
    return high.to_integral_value(ROUND_CEILING)


def _parted(cases: Sequence[Case], requests: Decimal) -> tuple[list[Case], list[Case]]:
    """The cases that pay with so much traffic, and the others."""
    paying: list[Case] = []
    losing: list[Case] = []
    for case in cases:
        (paying if _pays(case, requests) else losing).append(case)
    return paying, losing


def _least_of_one(case: Case) -> Decimal | None:
    """The same for the likeliest figures alone."""
    low, high = case.requests_per_month, case.requests_per_month * MOST
    if not _pays(case, high):
        return None
    while high / low > STEP:
        middle = (low * high).sqrt()
        low, high = (low, middle) if _pays(case, middle) else (middle, high)
    return high


def _pays(case: Case, requests: Decimal) -> bool:
    return evaluate(_with_traffic(case, requests)).break_even_months is not None


def _with_traffic(case: Case, requests: Decimal) -> Case:
    """The case at another traffic, its nodes as busy as that makes them."""
    carried = case.share.at(case.requests_per_month) * case.requests_per_month
    times = case.share.at(requests) * requests / carried if carried else ONE
    return replace(case, requests_per_month=requests, busy_ratio=min(ONE, case.busy_ratio * times))
