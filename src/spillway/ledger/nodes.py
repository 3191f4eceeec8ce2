"""What the owner's machines cost whether used or not, and how far they have paid for themselves.

Requests carry the share of a node they used (decision 0002). The rest of its wear and its idle power are
shown here as the fixed cost that no request carries, rather than hidden or spread over the requests.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

from msgspec import Struct

from spillway.ledger.cost import HOURS_PER_MONTH, NodeRates
from spillway.ledger.period import Period
from spillway.ledger.store import LedgerStore

__all__ = ["NodeHardware", "NodeReport", "UpstreamUse", "node_reports", "uses_of"]

SECONDS_PER_MONTH = float(HOURS_PER_MONTH) * 3600

USED = """
    SELECT attempts.upstream, attempts.side, count(*),
        sum(CASE WHEN attempts.error_code IS NULL OR attempts.error_code IN
            ('client_closed', 'client_too_slow', 'gateway_stopping', 'hedge_lost') THEN 0 ELSE 1 END),
        sum(attempts.cost_usd), sum(CASE WHEN attempts.cost_usd IS NULL THEN 1 ELSE 0 END),
        sum((ended_s - started_s) / COALESCE(in_flight, 1))
    FROM attempts JOIN requests ON requests.request_id = attempts.request_id
    WHERE {when} GROUP BY attempts.upstream, attempts.side ORDER BY attempts.side, attempts.upstream
"""
AVOIDED = """
    SELECT upstream, sum(reference_cost_usd) FROM requests
    WHERE {when} AND side = 'local' AND result = 'ok' GROUP BY upstream
"""


class NodeHardware(Struct, frozen=True):
    """What is known of a node's machine; ``None`` is unknown."""

    price_usd: Decimal | None = None
    life_months: Decimal = Decimal(48)
    idle_w: Decimal | None = None
    active_w: Decimal | None = None


class NodeReport(Struct, frozen=True, kw_only=True):
    """One machine over the period; the machine is taken to be on all the time."""

    node: str
    attempts: int
    busy_s: float
    """Time its requests held it, shared time counted by shares."""
    busy_ratio: float | None
    amortisation_usd: float | None
    """Wear of the whole period, used or not."""
    energy_usd: float | None
    """Power of the whole period: active while busy, idle otherwise."""
    unattributed_usd: float | None
    """The part of both that no request carries: wear and power of idle time."""
    paid_back_usd: float | None
    """Since the ledger began: what the reference would have charged for its answers, less all its power."""
    price_usd: float | None
    paid_back_ratio: float | None
    months_to_break_even: float | None
    """At the pace of the period; ``None`` when unknown, already there, or never at that pace."""
    breaks_even: bool | None
    """Whether the pace of the period leads to break-even at all."""


class UpstreamUse(Struct, frozen=True):
    """What one upstream was asked in some span of time, failed and abandoned attempts included."""

    upstream: str
    side: str
    attempts: int
    failed: int
    """Those that were given up through no fault of theirs, since the caller left or was too slow, the gateway
    stopped, or a hedge was faster, count as attempts only."""
    known_cost_usd: float
    cost_unknown_attempts: int
    busy_s: float
    """Time its attempts held it, each counted by its share."""


class Use(Struct, frozen=True):
    """What a span of time held for one node."""

    span_s: float
    attempts: int = 0
    busy_s: float = 0.0
    avoided_usd: float | None = 0.0
    """Answers without a reference price count as nothing; ``None`` where none has one."""


def uses_of(store: LedgerStore, period: Period) -> tuple[UpstreamUse, ...]:
    """Every upstream that was tried, clouds first."""
    when, bounds = period.condition
    return tuple(
        UpstreamUse(upstream, side, attempts, failed, float(cost or 0), unknown, float(busy_s))
        for upstream, side, attempts, failed, cost, unknown, busy_s in _rows(
            store, USED.format(when=when), bounds
        )
    )


def _rows(store: LedgerStore, sql: str, bounds: tuple[float, ...]) -> Iterator[tuple[Any, ...]]:
    """Rows whose types the query itself makes sure of."""
    return store.query(sql, bounds)


def node_reports(
    store: LedgerStore,
    period: Period,
    uses: Sequence[UpstreamUse],
    hardware: Mapping[str, NodeHardware],
    usd_per_kwh: float | None,
) -> tuple[NodeReport, ...]:
    """One report for each node that is configured or was used; ``uses`` are those of the period."""
    always = Period(None, period.until_s)
    now = _by_node(store, period, uses)
    ever = now if period.since_s is None else _by_node(store, always, uses_of(store, always))
    span_s, whole_span_s = _span_s(store, period), _span_s(store, always)
    return tuple(
        _report(
            name,
            now.get(name, Use(span_s)),
            ever.get(name, Use(whole_span_s)),
            hardware.get(name, NodeHardware()),
            usd_per_kwh,
        )
        for name in sorted({*hardware, *now})
    )


def _by_node(store: LedgerStore, period: Period, uses: Sequence[UpstreamUse]) -> dict[str, Use]:
    when, bounds = period.condition
    span_s = _span_s(store, period)
    avoided = {name: _float(usd) for name, usd in _rows(store, AVOIDED.format(when=when), bounds)}
    return {
        use.upstream: Use(span_s, use.attempts, use.busy_s, avoided.get(use.upstream, 0.0))
        for use in uses
        if use.side == "local"
    }


def _span_s(store: LedgerStore, period: Period) -> float:
    """The part of the period in which there was a ledger: a node is not charged for the time before."""
    sql = "SELECT min(accepted_at) FROM requests WHERE accepted_at < ?"
    ((first,),) = list(store.query(sql, (period.until_s,)))
    if first is None:
        return 0.0
    return period.until_s - max(float(first), period.since_s or 0.0)


def _report(name: str, now: Use, ever: Use, hardware: NodeHardware, usd_per_kwh: float | None) -> NodeReport:
    rates = NodeRates.of(
        price_usd=hardware.price_usd, life_months=hardware.life_months, active_w=None, usd_per_kwh=None
    )
    wear_per_s = _float(rates.amortisation_usd_per_s)
    energy, idle_energy = _power(now, hardware, usd_per_kwh)
    amortisation = None if wear_per_s is None else wear_per_s * now.span_s
    unattributed = None
    if wear_per_s is not None and idle_energy is not None:
        unattributed = wear_per_s * max(0.0, now.span_s - now.busy_s) + idle_energy
    paid_back = _net(ever, hardware, usd_per_kwh)
    price = _float(hardware.price_usd)
    pays, months = _break_even(price, paid_back, _net(now, hardware, usd_per_kwh), now.span_s)
    return NodeReport(
        node=name,
        attempts=now.attempts,
        busy_s=now.busy_s,
        busy_ratio=now.busy_s / now.span_s if now.span_s else None,
        amortisation_usd=amortisation,
        energy_usd=energy,
        unattributed_usd=unattributed,
        paid_back_usd=paid_back,
        price_usd=price,
        paid_back_ratio=None if paid_back is None or not price else paid_back / price,
        months_to_break_even=months,
        breaks_even=pays,
    )


def _power(use: Use, hardware: NodeHardware, usd_per_kwh: float | None) -> tuple[float | None, float | None]:
    """Cost of all power and of the idle part of it; ``None`` where a figure is missing."""
    if usd_per_kwh is None or hardware.idle_w is None:
        return None, None
    usd_per_ws = usd_per_kwh / 3_600_000
    idle = float(hardware.idle_w) * max(0.0, use.span_s - use.busy_s) * usd_per_ws
    if hardware.active_w is None:
        return None, idle
    return idle + float(hardware.active_w) * use.busy_s * usd_per_ws, idle


def _net(use: Use, hardware: NodeHardware, usd_per_kwh: float | None) -> float | None:
    """What having the node has saved in cash: the reference's charges it avoided, less its power."""
    energy, _ = _power(use, hardware, usd_per_kwh)
    return None if energy is None or use.avoided_usd is None else use.avoided_usd - energy


def _break_even(
    price: float | None, paid_back: float | None, pace: float | None, span_s: float
) -> tuple[bool | None, float | None]:
    """Whether the node pays for itself at this pace, and in how many more months."""
    if price is None or paid_back is None or pace is None:
        return None, None
    if paid_back >= price:
        return True, None
    if pace <= 0 or span_s <= 0:
        return False, None
    return True, (price - paid_back) / (pace / (span_s / SECONDS_PER_MONTH))


def _float(value: Any) -> float | None:
    return None if value is None else float(value)
