"""What an attempt cost: a provider's price for its tokens, or a node's energy and wear for its time.

Pure and exact (``Decimal``), on the request path. Decision 0002 says why a local request costs what it does.
"""

from __future__ import annotations

from decimal import Decimal

from msgspec import Struct

from spillway.vocabulary import Attempt, Bill, Rates, Usage

__all__ = ["HOURS_PER_MONTH", "NodeRates", "bill_of", "node_cost", "price_of", "reference_cost"]

MTOK = Decimal(1_000_000)
HOURS_PER_MONTH = Decimal("730.5")
"""365.25 days a year."""
SECONDS_PER_HOUR = Decimal(3600)
WATTS_PER_KILOWATT = Decimal(1000)
ZERO = Decimal(0)
NANO = 1_000_000_000
NOTHING_BILLED = Bill(ZERO, price_usd=ZERO)
UNKNOWN = Bill(None)
FIRST_ERROR_STATUS = 400


class NodeRates(Struct, frozen=True):
    """What one busy second of a whole node costs, in USD; ``None`` where a figure it needs is unknown."""

    energy_usd_per_s: Decimal | None = None
    amortisation_usd_per_s: Decimal | None = None

    @classmethod
    def of(
        cls,
        *,
        price_usd: Decimal | None,
        life_months: Decimal,
        active_w: Decimal | None,
        usd_per_kwh: Decimal | None,
    ) -> NodeRates:
        """From the machine's price, the months it is spread over, its draw at work, and the tariff."""
        energy = amortisation = None
        if active_w is not None and usd_per_kwh is not None:
            energy = active_w / WATTS_PER_KILOWATT * usd_per_kwh / SECONDS_PER_HOUR
        if price_usd is not None:
            amortisation = price_usd / (life_months * HOURS_PER_MONTH * SECONDS_PER_HOUR)
        return cls(energy, amortisation)

    @property
    def usd_per_s(self) -> Decimal | None:
        """Both parts together; ``None`` when either is unknown."""
        if self.energy_usd_per_s is None or self.amortisation_usd_per_s is None:
            return None
        return self.energy_usd_per_s + self.amortisation_usd_per_s


def price_of(usage: Usage, rates: Rates) -> Decimal | None:
    """What a provider asks for these tokens, in USD; ``None`` when a count or a rate it needs is unknown.

    Cached tokens are part of ``input_tokens`` and are charged at their own rate only. A provider that says
    nothing of cached tokens is taken to have cached none. The whole request is charged at the dearest tier
    its input reaches, as providers do.
    """
    prompt = usage.input_tokens
    cached, written = usage.cache_read_tokens or 0, usage.cache_write_tokens or 0
    fresh = None if prompt is None else prompt - cached - written
    if prompt is not None and rates.above:
        rates = _tier(rates, prompt)
    total = ZERO
    for tokens, usd_per_mtok in (
        (fresh, rates.input_usd_per_mtok),
        (cached, rates.cache_read_usd_per_mtok),
        (written, rates.cache_write_usd_per_mtok),
        (usage.output_tokens, rates.output_usd_per_mtok),
    ):
        if tokens == 0 or usd_per_mtok == 0:
            continue
        if tokens is None or usd_per_mtok is None or tokens < 0:
            return None
        total += tokens * usd_per_mtok
    return total / MTOK + rates.request_usd


def _tier(rates: Rates, prompt_tokens: int) -> Rates:
    reached = rates
    for above_tokens, dearer in rates.above:
        if prompt_tokens > above_tokens:
            reached = dearer
    return reached


def reference_cost(usage: Usage, rates: Rates) -> Decimal | None:
    """What the same tokens would have cost at the reference, in USD; ``None`` when that is unknown.

    Tokens a local node found in its cache count as cached at the reference too. A cloud may well not have
    had them, so savings come out low rather than high.
    """
    return price_of(usage, rates)


def node_cost(busy_s: float, sharers: int, rates: NodeRates) -> Bill:
    """The bill for holding ``1/sharers`` of a node for ``busy_s`` seconds."""
    share_s = Decimal(round(busy_s * 1e9)) / (NANO * max(sharers, 1))
    energy_rate, amortisation_rate = rates.energy_usd_per_s, rates.amortisation_usd_per_s
    energy = None if energy_rate is None else share_s * energy_rate
    amortisation = None if amortisation_rate is None else share_s * amortisation_rate
    cost = None if energy is None or amortisation is None else energy + amortisation
    return Bill(cost, None, energy, amortisation)


def bill_of(attempt: Attempt, rates: Rates | None, node: NodeRates | None) -> Bill:
    """What an attempt cost: by ``rates`` at a cloud, by ``node`` on local hardware; ``None`` for unknown.

    A cloud bills nothing for an attempt that never reached it or that it answered with an error. One that
    timed out or broke off without saying what it used is unknown: the provider may well have counted it. A
    node's time is spent however the attempt ended.
    """
    if attempt.side == "local":
        return node_cost(attempt.ended_s - attempt.started_s, attempt.in_flight, node or NodeRates())
    if attempt.usage is None:
        is_error = attempt.status is not None and attempt.status >= FIRST_ERROR_STATUS
        return NOTHING_BILLED if is_error or not attempt.is_sent else UNKNOWN
    price = None if rates is None else price_of(attempt.usage, rates)
    return UNKNOWN if price is None else Bill(price, price)
