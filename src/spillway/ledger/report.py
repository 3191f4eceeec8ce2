"""What a period cost and saved against the reference, who answered, how fast: sums made in the database.

Nothing here holds more than one line per day, task or upstream in memory, however many requests there are.
``None`` is unknown everywhere; a sum with an unknown part is unknown, and its known part stands beside it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import fsum
from typing import Any, Literal

from msgspec import Struct

from spillway.ledger.drift import DriftLine, drift_lines, drifted_requests
from spillway.ledger.nodes import NodeHardware, NodeReport, UpstreamUse, node_reports, uses_of
from spillway.ledger.period import Period
from spillway.ledger.promises import ForecastLine, ObjectiveLine, forecast_lines, objective_lines
from spillway.ledger.store import LedgerStore

__all__ = ["SCHEMA", "By", "Line", "Report", "UpstreamSpend", "make_report"]

SCHEMA = "spillway.report/1"
By = Literal["day", "task", "upstream"]

SUMS = """
    count(*),
    sum(CASE WHEN result = 'ok' THEN 1 ELSE 0 END),
    sum(CASE WHEN result = 'error' THEN 1 ELSE 0 END),
    sum(CASE WHEN result = 'cancelled' THEN 1 ELSE 0 END),
    sum(CASE WHEN result = 'cut' THEN 1 ELSE 0 END),
    sum(CASE WHEN result = 'ok' AND side = 'local' THEN 1 ELSE 0 END),
    sum(CASE WHEN result = 'ok' AND side = 'cloud' THEN 1 ELSE 0 END),
    sum(CASE WHEN result = 'ok' AND side = 'local' THEN {tokens} END),
    sum(CASE WHEN result = 'ok' AND side = 'cloud' THEN {tokens} END),
    sum(CASE WHEN result = 'ok' AND {tokens} IS NULL THEN 1 ELSE 0 END),
    sum(cost_usd), sum(price_usd), sum(energy_usd), sum(amortisation_usd),
    sum(CASE WHEN cost_usd IS NULL THEN 1 ELSE 0 END),
    sum(CASE WHEN cost_usd IS NOT NULL THEN reference_cost_usd END),
    sum(CASE WHEN reference_cost_usd IS NOT NULL THEN cost_usd END),
    sum(CASE WHEN reference_cost_usd IS NOT NULL AND cost_usd IS NOT NULL THEN 1 ELSE 0 END),
    sum(CASE WHEN reference_cost_usd IS NULL AND result = 'ok' THEN 1 ELSE 0 END),
    sum(CASE WHEN reference_cost_usd IS NOT NULL AND cost_usd IS NULL THEN 1 ELSE 0 END)
""".replace("{tokens}", "(input_tokens + CASE WHEN operation = 'embedding' THEN 0 ELSE output_tokens END)")

SUM_COLUMNS = 20

QUANTILES = """
    SELECT grp, max(CASE WHEN place = (total * 50 + 99) / 100 THEN ttft_s END),
        max(CASE WHEN place = (total * 95 + 99) / 100 THEN ttft_s END)
    FROM (
        SELECT {group} AS grp, ttft_s,
            row_number() OVER (PARTITION BY {group} ORDER BY ttft_s) AS place,
            count(*) OVER (PARTITION BY {group}) AS total
        FROM requests WHERE {when} AND ttft_s IS NOT NULL
    ) AS ranked GROUP BY grp
"""
"""Nearest rank: the smallest value that at least so many per cent do not exceed."""


class Line(Struct, frozen=True, kw_only=True):
    """The sums over one group of requests."""

    group: str | None
    """The day (UTC), task or upstream; ``None`` for the whole period."""
    requests: int
    ok: int
    errors: int
    cancelled: int
    cut: int
    local: int
    """Answered by a node; ``cloud`` likewise."""
    cloud: int
    local_ratio: float | None
    local_tokens_ratio: float | None
    """Of the tokens of answered requests whose count is known."""
    tokens: int
    tokens_unknown_requests: int
    cost_usd: float | None
    known_cost_usd: float
    cost_unknown_requests: int
    price_usd: float
    energy_usd: float
    amortisation_usd: float
    reference_cost_usd: float | None
    """Of the compared requests only, as is ``compared_cost_usd``."""
    compared_cost_usd: float | None
    saved_usd: float | None
    compared_requests: int
    """Requests whose cost and reference are both known; only they count as saved or lost."""
    excluded_requests: int
    excluded_unanswered: int
    excluded_no_reference: int
    excluded_unknown_cost: int
    ttft_p50_ms: float | None
    ttft_p95_ms: float | None


class UpstreamSpend(Struct, frozen=True):
    """What one upstream was asked and what that cost, failed and abandoned attempts included."""

    upstream: str
    side: str
    attempts: int
    failed: int
    cost_usd: float | None
    known_cost_usd: float
    cost_unknown_attempts: int


class Report(Struct, frozen=True, kw_only=True):
    """Everything ``spillway report`` shows."""

    schema: str = SCHEMA
    ledger: str
    since: str | None
    until: str
    by: By
    total: Line
    groups: tuple[Line, ...]
    upstreams: tuple[UpstreamSpend, ...]
    nodes: tuple[NodeReport, ...]
    reference_models: tuple[str, ...]
    objectives: tuple[ObjectiveLine, ...] = ()
    forecasts: tuple[ForecastLine, ...] = ()
    drift: tuple[DriftLine, ...] = ()
    drifted_requests: int = 0
    """Requests that drift kept off some node."""


def make_report(
    store: LedgerStore,
    period: Period,
    by: By = "day",
    hardware: Mapping[str, NodeHardware] | None = None,
    usd_per_kwh: float | None = None,
) -> Report:
    """The report of one period; ``hardware`` holds what is known of the nodes' machines, by node."""
    group = {
        "day": store.day_sql,
        "task": "COALESCE(task, 'unknown')",
        "upstream": "COALESCE(upstream, 'none')",
    }[by]
    sums = _sums(store, period, group)
    quantiles = _quantiles(store, period, group)
    all_ttft_ms = _quantiles(store, period, "'all'").get("all", (None, None))
    uses = uses_of(store, period)
    return Report(
        ledger=store.place,
        since=period.since_text,
        until=period.until_text,
        by=by,
        total=_line(None, _added(sums.values()), all_ttft_ms),
        groups=tuple(_line(key, row, quantiles.get(key, (None, None))) for key, row in sums.items()),
        upstreams=tuple(_spend(use) for use in uses),
        nodes=node_reports(store, period, uses, hardware or {}, usd_per_kwh),
        reference_models=_references(store, period),
        objectives=objective_lines(store, period),
        forecasts=forecast_lines(store, period),
        drift=drift_lines(store, period),
        drifted_requests=drifted_requests(store, period),
    )


def _sums(store: LedgerStore, period: Period, group: str) -> dict[str, list[float]]:
    """The columns of ``SUMS`` by group, in the order of groups."""
    when, bounds = period.condition
    sql = f"SELECT {group} AS grp, {SUMS} FROM requests WHERE {when} GROUP BY grp ORDER BY grp"
    return {str(key): [float(value or 0) for value in row] for key, *row in store.query(sql, bounds)}


def _added(rows: Iterable[list[float]]) -> list[float]:
    return [fsum(column) for column in zip(*rows, strict=True)] or [0.0] * SUM_COLUMNS


def _quantiles(
    store: LedgerStore, period: Period, group: str
) -> dict[str, tuple[float | None, float | None]]:
    when, bounds = period.condition
    rows = store.query(QUANTILES.format(group=group, when=when), bounds)
    return {str(key): (_milliseconds(p50_s), _milliseconds(p95_s)) for key, p50_s, p95_s in rows}


def _line(group: str | None, sums: list[float], ttft_ms: tuple[float | None, float | None]) -> Line:
    requests, ok, errors, cancelled, cut, local, cloud, local_tokens, cloud_tokens, no_tokens = map(
        int, sums[:10]
    )
    known_cost, price, energy, amortisation = map(_usd, sums[10:14])
    no_cost, compared, no_reference, reference_only = (int(sums[index]) for index in (14, 17, 18, 19))
    reference, compared_cost = (_usd(value) if compared else None for value in sums[15:17])
    saved = None if reference is None or compared_cost is None else _usd(reference - compared_cost)
    tokens = local_tokens + cloud_tokens
    return Line(
        group=group,
        requests=requests,
        ok=ok,
        errors=errors,
        cancelled=cancelled,
        cut=cut,
        local=local,
        cloud=cloud,
        local_ratio=local / (local + cloud) if local + cloud else None,
        local_tokens_ratio=local_tokens / tokens if tokens else None,
        tokens=tokens,
        tokens_unknown_requests=no_tokens,
        cost_usd=None if no_cost else known_cost,
        known_cost_usd=known_cost,
        cost_unknown_requests=no_cost,
        price_usd=price,
        energy_usd=energy,
        amortisation_usd=amortisation,
        reference_cost_usd=reference,
        compared_cost_usd=compared_cost,
        saved_usd=saved,
        compared_requests=compared,
        excluded_requests=requests - compared,
        excluded_unanswered=requests - compared - no_reference - reference_only,
        excluded_no_reference=no_reference,
        excluded_unknown_cost=reference_only,
        ttft_p50_ms=ttft_ms[0],
        ttft_p95_ms=ttft_ms[1],
    )


def _spend(use: UpstreamUse) -> UpstreamSpend:
    known = _usd(use.known_cost_usd)
    return UpstreamSpend(
        use.upstream,
        use.side,
        use.attempts,
        use.failed,
        None if use.cost_unknown_attempts else known,
        known,
        use.cost_unknown_attempts,
    )


def _references(store: LedgerStore, period: Period) -> tuple[str, ...]:
    when, bounds = period.condition
    sql = f"SELECT DISTINCT reference_model FROM requests WHERE {when} AND reference_cost_usd IS NOT NULL"
    return tuple(sorted(str(name) for (name,) in store.query(sql, bounds)))


def _usd(amount: float) -> float:
    """Without the noise that adding floats leaves behind the twelfth decimal."""
    return round(amount, 12)


def _milliseconds(value_s: Any) -> float | None:
    return None if value_s is None else round(float(value_s) * 1000, 3)
