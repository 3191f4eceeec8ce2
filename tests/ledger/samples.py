"""Requests as the relay would settle them, for tests of the ledger."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from spillway.ledger.rows import ATTEMPT_COLUMNS, REQUEST_COLUMNS, LedgerRow, Value, rows_of
from spillway.vocabulary import Attempt, Bill, Outcome, RequestFacts, Side, Usage

__all__ = ["attempt_of", "attempts_in", "named", "outcome_of", "row"]

ACCEPTED_S = 1_790_000_000.25
"""2026-09-21T14:13:20.25Z."""


def attempt_of(index: int = 0, side: Side = "local", **changes: Any) -> Attempt:
    """An attempt that went well, with what the test changes."""
    values: dict[str, Any] = {
        "index": index,
        "upstream": "mini" if side == "local" else "openai",
        "side": side,
        "model": "qwen3-4b" if side == "local" else "gpt-4o-mini",
        "started_s": 0.001,
        "first_token_s": 0.2,
        "ended_s": 1.5,
        "status": 200,
        "finish_reason": "stop",
        "usage": Usage(100, 20),
    }
    return Attempt(**(values | changes))


def outcome_of(request_id: str, attempts: Sequence[Attempt] | None = None, **changes: Any) -> Outcome:
    """A request that went well, with what the test changes; ``facts_…`` reaches into its facts."""
    facts: dict[str, Any] = {"request_id": request_id, "operation": "chat", "model": "auto"}
    facts |= {name[6:]: changes.pop(name) for name in list(changes) if name.startswith("facts_")}
    values: dict[str, Any] = {
        "facts": RequestFacts(**facts),
        "accepted_wall_s": ACCEPTED_S,
        "total_s": 1.6,
        "ttft_s": 0.201,
        "overhead_s": 0.001,
        "attempts": tuple(attempts if attempts is not None else [attempt_of()]),
        "reasons": ("task_trusted_local",),
        "status": 200,
        "result": "ok",
    }
    return Outcome(**(values | changes))


def row(request_id: str, cost_usd: str | None = "0.0001", **changes: Any) -> LedgerRow:
    """The rows of a request that went well, at a given cost."""
    outcome = outcome_of(request_id, **changes)
    cost = None if cost_usd is None else Decimal(cost_usd)
    return rows_of(outcome, [Bill(cost) for _ in outcome.attempts])


def named(row: LedgerRow) -> dict[str, Value]:
    """A request's columns by name."""
    return dict(zip(REQUEST_COLUMNS, row.request, strict=True))


def attempts_in(row: LedgerRow) -> list[dict[str, Value]]:
    """Its attempts' columns by name."""
    return [dict(zip(ATTEMPT_COLUMNS, attempt, strict=True)) for attempt in row.attempts]
