"""Whether objectives were kept, and whether the forecasts behind admissions were right."""

from __future__ import annotations

from msgspec import Struct

from spillway.ledger.period import Period
from spillway.ledger.rows import Value
from spillway.ledger.store import LedgerStore

__all__ = ["ForecastLine", "ObjectiveLine", "forecast_lines", "objective_lines"]

KEPT = """
    result = 'ok'
    AND (slo_ttft_s IS NULL OR ttft_s IS NULL OR ttft_s <= slo_ttft_s)
    AND (slo_total_s IS NULL OR total_s <= slo_total_s)
"""
"""An unstreamed answer has no first token that its caller could see: its time to the end decides."""
OBJECTIVES = f"""
    SELECT slo_class, count(*), sum(CASE WHEN {KEPT} THEN 1 ELSE 0 END),
        sum(CASE WHEN side = 'local' THEN 1 ELSE 0 END),
        sum(CASE WHEN side = 'local' AND {KEPT} THEN 1 ELSE 0 END)
    FROM requests
    WHERE {{when}} AND result <> 'cancelled' AND (slo_ttft_s IS NOT NULL OR slo_total_s IS NOT NULL)
    GROUP BY slo_class ORDER BY slo_class
"""
FORECASTS = """
    SELECT attempts.upstream,
        sum(CASE WHEN first_token_s IS NOT NULL THEN 1 ELSE 0 END),
        sum(CASE WHEN first_token_s <= forecast_ttft_p95_s THEN 1 ELSE 0 END),
        sum(CASE WHEN attempts.error_code IS NULL THEN 1 ELSE 0 END),
        sum(CASE WHEN attempts.error_code IS NULL AND ended_s <= forecast_total_p95_s THEN 1 ELSE 0 END),
        avg(ABS(first_token_s - forecast_ttft_s))
    FROM attempts JOIN requests ON requests.request_id = attempts.request_id
    WHERE {when} AND attempts.side = 'local' AND attempt_index = 0 AND forecast_ttft_s IS NOT NULL
    GROUP BY attempts.upstream ORDER BY attempts.upstream
"""


class ObjectiveLine(Struct, frozen=True):
    """One class of objectives over the period; requests whose caller left are not counted."""

    slo_class: str
    requests: int
    kept: int
    local: int
    local_kept: int

    @property
    def attainment(self) -> float:
        """Share of requests that kept it."""
        return self.kept / self.requests

    @property
    def local_attainment(self) -> float | None:
        """The same of those answered by a node; ``None`` when none was."""
        return self.local_kept / self.local if self.local else None


class ForecastLine(Struct, frozen=True):
    """The forecasts for one node, against what happened."""

    node: str
    first_tokens: int
    ttft_held: int
    """First tokens that came before the forecast's 95th percentile."""
    answers: int
    total_held: int
    mean_ttft_error_ms: float | None
    """Forecast less observed, without sign."""

    @property
    def ttft_held_ratio(self) -> float | None:
        """0.95 is right; below, the node is slower than believed."""
        return self.ttft_held / self.first_tokens if self.first_tokens else None

    @property
    def total_held_ratio(self) -> float | None:
        """The same for the end of the answer."""
        return self.total_held / self.answers if self.answers else None


def objective_lines(store: LedgerStore, period: Period) -> tuple[ObjectiveLine, ...]:
    """One line per class that had an objective."""
    when, bounds = period.condition
    rows = store.query(OBJECTIVES.format(when=when), bounds)
    return tuple(ObjectiveLine(str(name), *map(_count, counts)) for name, *counts in rows)


def forecast_lines(store: LedgerStore, period: Period) -> tuple[ForecastLine, ...]:
    """One line per node for which something was forecast."""
    when, bounds = period.condition
    return tuple(
        ForecastLine(str(node), _count(first), _count(ttft), _count(ends), _count(total), _ms(error_s))
        for node, first, ttft, ends, total, error_s in store.query(FORECASTS.format(when=when), bounds)
    )


def _count(value: Value) -> int:
    return int(value or 0)


def _ms(value_s: Value) -> float | None:
    return None if value_s is None else 1000 * float(value_s)
