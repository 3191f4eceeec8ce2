"""What a workload costs in the cloud, and the usual back-of-envelope sum about buying a machine instead.

Amounts are exact decimals; a price that is unknown stays unknown.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

import numpy as np
from numpy.typing import NDArray

from spillway.planner.workload import Workload
from spillway.vocabulary import Rates

__all__ = [
    "ARTICLE",
    "BATCH_DISCOUNT",
    "HOURS_PER_MONTH",
    "MILLION",
    "SECONDS_PER_MONTH",
    "Naive",
    "NaiveInputs",
    "cloud_price_usd",
    "span_of",
    "usd",
]

MILLION = Decimal(1_000_000)
HOURS_PER_MONTH = Decimal("730.5")
"""365.25 days a year, as in the ledger."""
SECONDS_PER_MONTH = HOURS_PER_MONTH * 3600
BATCH_DISCOUNT = Decimal("0.5")
"""What providers take off for work they may do within a day (vendor: OpenAI and Anthropic, 2026)."""


def cloud_price_usd(
    workload: Workload,
    rates: Rates,
    chosen: NDArray[np.bool_] | None = None,
    batch_ratio: Decimal = Decimal(0),
) -> Decimal | None:
    """List price of the chosen requests (all without a choice), tiers and cached tokens considered.

    ``batch_ratio`` is the share, 0–1, that goes through the provider's batch endpoint. ``None`` when a rate
    that is needed is unknown, the one for cached tokens included.
    """
    keep = np.ones(len(workload), dtype=bool) if chosen is None else chosen
    tiers = [(0, rates), *rates.above]
    total = Decimal(0)
    for position, (above, tier) in enumerate(tiers):
        upper = tiers[position + 1][0] if position + 1 < len(tiers) else None
        mask = keep & ((workload.input_tokens > above) if position else True)
        if upper is not None:
            mask &= workload.input_tokens <= upper
        price = _tier_price_usd(workload, tier, np.asarray(mask))
        if price is None:
            return None
        total += price
    return total * (1 - batch_ratio * BATCH_DISCOUNT)


def _tier_price_usd(workload: Workload, rates: Rates, mask: NDArray[np.bool_]) -> Decimal | None:
    """Price of the masked requests at one tier: sums of whole tokens first, so nothing is rounded."""
    cached = 0 if workload.cached_tokens is None else _sum(workload.cached_tokens[mask])
    fresh = _sum(workload.input_tokens[mask]) - cached
    total = rates.request_usd * int(mask.sum())
    for tokens, rate in (
        (fresh, rates.input_usd_per_mtok),
        (cached, rates.cache_read_usd_per_mtok),
        (_sum(workload.output_tokens[mask]), rates.output_usd_per_mtok),
    ):
        if tokens:
            if rate is None:
                return None
            total += tokens * rate / MILLION
    return total


def usd(amount: Decimal | float | int | None) -> str:
    """Dollars with as many digits as matter: whole above 100, two significant ones below a cent."""
    if amount is None:
        return "unknown"
    value = Decimal(str(amount))
    sign, size = ("−" if value < 0 else ""), abs(value)
    if size >= 100 or size == size.to_integral_value():
        return f"{sign}${size:,.0f}"
    if size >= Decimal("0.1"):
        return f"{sign}${size:,.2f}"
    digits = f"{size:.{1 - size.adjusted()}f}".rstrip("0")
    return f"{sign}${digits}"


def span_of(months: int) -> str:
    """``1 month``, ``48 months``."""
    return "1 month" if months == 1 else f"{months} months"


def _sum(tokens: NDArray[np.int32]) -> int:
    return int(tokens.sum(dtype=np.int64))


@dataclass(frozen=True)
class NaiveInputs:
    """The numbers of the usual calculation."""

    requests_per_month: int | Decimal
    input_tokens: int | Decimal
    output_tokens: int | Decimal
    input_usd_per_mtok: Decimal
    output_usd_per_mtok: Decimal
    hardware_usd: Decimal
    active_w: Decimal
    usd_per_kwh: Decimal
    life_months: Decimal
    decode_tok_s: Decimal
    prefill_tok_s: Decimal | None = None
    """``None`` when unknown: the usual calculation never asks."""


ARTICLE = NaiveInputs(
    requests_per_month=1_000_000,
    input_tokens=2000,
    output_tokens=500,
    input_usd_per_mtok=Decimal("0.15"),
    output_usd_per_mtok=Decimal("0.60"),
    hardware_usd=Decimal(2000),
    active_w=Decimal(40),
    usd_per_kwh=Decimal("0.27"),
    life_months=Decimal(48),
    decode_tok_s=Decimal(80),
)
"""The calculation that is usually shown: a million requests a month against one 2,000-dollar node."""


@dataclass(frozen=True)
class Naive:
    """The usual calculation: prices divided by prices, with all work done by one node at no one's wait."""

    inputs: NaiveInputs

    @property
    def cloud_usd_per_request(self) -> Decimal:
        """List price of one request."""
        i = self.inputs
        return (i.input_tokens * i.input_usd_per_mtok + i.output_tokens * i.output_usd_per_mtok) / MILLION

    @property
    def cloud_usd_per_month(self) -> Decimal:
        """List price of a month."""
        return self.cloud_usd_per_request * self.inputs.requests_per_month

    @property
    def power_usd_per_month(self) -> Decimal:
        """The node's electricity, as if it drew its active watts all month."""
        return self.inputs.active_w / 1000 * HOURS_PER_MONTH * self.inputs.usd_per_kwh

    @property
    def local_usd_per_request(self) -> Decimal:
        """Electricity and a month's share of the hardware over all requests."""
        i = self.inputs
        return (i.hardware_usd / i.life_months + self.power_usd_per_month) / i.requests_per_month

    @property
    def break_even_months(self) -> Decimal | None:
        """Months until the hardware is paid by what the cloud would have cost; ``None`` for never."""
        saved = self.cloud_usd_per_month - self.power_usd_per_month
        return self.inputs.hardware_usd / saved if saved > 0 else None

    @property
    def decode_utilisation(self) -> Decimal:
        """Share of one node's time that writing the answers takes; what the calculation forgets."""
        i = self.inputs
        return i.requests_per_month * i.output_tokens / i.decode_tok_s / SECONDS_PER_MONTH

    @property
    def prefill_utilisation(self) -> Decimal | None:
        """Share of one node's time that reading the prompts takes; ``None`` when the speed is unknown."""
        i = self.inputs
        if i.prefill_tok_s is None:
            return None
        return i.requests_per_month * i.input_tokens / i.prefill_tok_s / SECONDS_PER_MONTH
