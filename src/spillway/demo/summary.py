"""The demo in numbers, read back from its ledger."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from spillway.demo.traffic import Answered
from spillway.ledger.store import LedgerStore

__all__ = ["summarise"]

SCHEMA = "spillway.demo/1"


def summarise(ledger_url: str, answers: Sequence[Answered]) -> dict[str, Any]:
    """What ``spillway demo --json`` prints; ``None`` where a figure is unknown."""
    store = LedgerStore.open(ledger_url, must_exist=True)
    try:
        rows = list(store.query("SELECT side, result, ttft_s, cost_usd, reference_cost_usd FROM requests"))
    finally:
        store.close()
    local = sum(1 for side, result, *_ in rows if side == "local" and result == "ok")
    cloud = sum(1 for side, result, *_ in rows if side == "cloud" and result == "ok")
    ttfts_s = sorted(float(row[2]) for row in rows if isinstance(row[2], float))
    cost = _sum([row[3] for row in rows])
    reference = _sum([row[4] for row in rows])
    exact = [answer.is_exact for answer in answers if answer.error is None]
    return {
        "schema": SCHEMA,
        "requests": len(answers),
        "errors": sum(1 for answer in answers if answer.error is not None),
        "local": local,
        "cloud": cloud,
        "local_share": local / (local + cloud) if local + cloud else None,
        "ttft_ms": {"p50": _quantile_ms(ttfts_s, 0.50), "p95": _quantile_ms(ttfts_s, 0.95)},
        "cost_usd": cost,
        "reference_cost_usd": reference,
        "saved_usd": None if cost is None or reference is None else round(reference - cost, 12),
        "ledger_rows": len(rows),
        "answers_exact_ratio": sum(exact) / len(exact) if exact else None,
        "notes": [
            "the cloud is simulated: measured latencies, real list prices, nothing was sent anywhere",
            "the node's cost rests on an assumed $2,000 machine drawing 40 W at $0.27/kWh (guess)",
        ],
    }


def _sum(amounts: Sequence[Any]) -> float | None:
    """The sum of what is known; unknown as soon as one is."""
    if any(amount is None for amount in amounts):
        return None
    return round(float(sum(float(amount) for amount in amounts)), 12)


def _quantile_ms(sorted_s: Sequence[float], share: float) -> float | None:
    if not sorted_s:
        return None
    return round(1000 * sorted_s[min(len(sorted_s) - 1, int(share * len(sorted_s)))], 1)
