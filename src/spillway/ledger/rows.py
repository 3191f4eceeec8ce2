"""An outcome as the rows the ledger keeps: one for the request, one for each attempt.

Rows are bare tuples in the order of the column lists below, since they are built and bound on the request
path. Money becomes a float here: SQLite stores nothing finer, and Postgres rounds it to its 12 decimals.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import NamedTuple

from spillway.vocabulary import Attempt, Bill, Outcome, Usage

__all__ = ["ATTEMPT_COLUMNS", "REQUEST_COLUMNS", "LedgerRow", "Value", "attempt_row", "rows_of", "total_bill"]

Value = str | int | float | bool | None

REQUEST_COLUMNS = (
    "request_id",
    "client_request_id",
    "accepted_at",
    "ttft_s",
    "total_s",
    "overhead_s",
    "operation",
    "is_stream",
    "model_asked",
    "task",
    "pin",
    "is_private",
    "slo_class",
    "slo_ttft_s",
    "slo_total_s",
    "key_name",
    "side",
    "upstream",
    "model",
    "model_reported",
    "reasons",
    "attempts",
    "status",
    "result",
    "finish_reason",
    "error_code",
    "input_tokens",
    "input_tokens_grade",
    "output_tokens",
    "output_tokens_grade",
    "cache_read_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
    "cost_usd",
    "price_usd",
    "energy_usd",
    "amortisation_usd",
    "reference_cost_usd",
    "reference_model",
    "request_bytes",
    "response_bytes",
    "prompt_text",
    "completion_text",
)
"""``accepted_at`` is seconds since the epoch: ``datetime(accepted_at, 'unixepoch')`` in SQLite,
``to_timestamp(accepted_at)`` in PostgreSQL. What describes the answer is that of the last attempt."""

ATTEMPT_COLUMNS = (
    "request_id",
    "attempt_index",
    "kind",
    "upstream",
    "side",
    "model",
    "model_reported",
    "in_flight",
    "started_s",
    "first_token_s",
    "ended_s",
    "forecast_ttft_s",
    "forecast_ttft_p95_s",
    "forecast_total_p95_s",
    "status",
    "finish_reason",
    "error_code",
    "input_tokens",
    "output_tokens",
    "tokens_grade",
    "cache_read_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
    "cost_usd",
    "price_usd",
    "energy_usd",
    "amortisation_usd",
    "forecast_cached_tokens",
)
"""Times are seconds after the request was accepted."""

MONEY = slice(ATTEMPT_COLUMNS.index("cost_usd"), ATTEMPT_COLUMNS.index("amortisation_usd") + 1)
NO_USAGE = Usage()
NOTHING_TRIED = Bill(Decimal(0))


class LedgerRow(NamedTuple):
    """One request and its attempts, ready to be inserted."""

    request: tuple[Value, ...]
    attempts: tuple[tuple[Value, ...], ...]


def rows_of(
    outcome: Outcome,
    bills: Sequence[Bill],
    reference_cost_usd: Decimal | None = None,
    reference_model: str | None = None,
) -> LedgerRow:
    """The rows of one request; ``bills`` belong to its attempts, in the same order.

    A request's cost is the sum over its attempts, ``None`` as soon as one of them is unknown. ``NULL`` in a
    part of the cost means unknown, or that no attempt has such a part: a cloud bills no energy.
    """
    attempts, request_id = outcome.attempts, outcome.facts.request_id
    rows = tuple([attempt_row(request_id, attempts[index], bill) for index, bill in enumerate(bills)])
    money = rows[0][MONEY] if len(rows) == 1 else _money(total_bill(attempts, bills))
    request = (
        *_asked(outcome),
        *_answered(outcome),
        *money,
        None if reference_cost_usd is None else float(reference_cost_usd),
        reference_model,
        outcome.facts.body_bytes,
        outcome.response_bytes,
        outcome.prompt_text,
        outcome.completion_text,
    )
    return LedgerRow(request, rows)


def total_bill(attempts: Sequence[Attempt], bills: Sequence[Bill]) -> Bill:
    """The sum over attempts; a kind of cost is ``None`` when one attempt's is unknown or none has it."""
    if not bills:
        return NOTHING_TRIED
    cloud = [bill for attempt, bill in zip(attempts, bills, strict=True) if attempt.side == "cloud"]
    local = [bill for attempt, bill in zip(attempts, bills, strict=True) if attempt.side == "local"]
    return Bill(
        cost_usd=_sum([bill.cost_usd for bill in bills]),
        price_usd=_sum([bill.price_usd for bill in cloud]),
        energy_usd=_sum([bill.energy_usd for bill in local]),
        amortisation_usd=_sum([bill.amortisation_usd for bill in local]),
    )


def _sum(amounts: list[Decimal | None]) -> Decimal | None:
    known = [amount for amount in amounts if amount is not None]
    return sum(known, Decimal(0)) if known and len(known) == len(amounts) else None


def _asked(outcome: Outcome) -> tuple[Value, ...]:
    facts = outcome.facts
    objective = facts.objective
    return (
        facts.request_id,
        facts.client_request_id,
        outcome.accepted_wall_s,
        outcome.ttft_s,
        outcome.total_s,
        outcome.overhead_s,
        facts.operation,
        facts.is_stream,
        facts.model,
        facts.task,
        facts.pin,
        facts.is_private,
        facts.slo_class,
        objective.ttft_s if objective else None,
        objective.total_s if objective else None,
        facts.key_name,
    )


def _answered(outcome: Outcome) -> tuple[Value, ...]:
    facts, attempts = outcome.facts, outcome.attempts
    last = attempts[-1] if attempts else None
    usage = (last.usage if last else None) or NO_USAGE
    has_input, has_output = usage.input_tokens is not None, usage.output_tokens is not None
    return (
        last.side if last else None,
        last.upstream if last else None,
        last.model if last else None,
        last.model_reported if last else None,
        ",".join(outcome.reasons),
        len(attempts),
        outcome.status,
        outcome.result,
        last.finish_reason if last else None,
        outcome.error_code,
        usage.input_tokens if has_input else facts.input_tokens,
        usage.grade if has_input else facts.input_grade,
        usage.output_tokens,
        usage.grade if has_output else None,
        usage.cache_read_tokens,
        usage.cache_write_tokens,
        usage.reasoning_tokens,
    )


def attempt_row(request_id: str, attempt: Attempt, bill: Bill) -> tuple[Value, ...]:
    """One attempt as a row of ``ATTEMPT_COLUMNS``."""
    usage = attempt.usage or NO_USAGE
    return (
        request_id,
        attempt.index,
        attempt.kind,
        attempt.upstream,
        attempt.side,
        attempt.model,
        attempt.model_reported,
        attempt.in_flight,
        attempt.started_s,
        attempt.first_token_s,
        attempt.ended_s,
        attempt.forecast_ttft_s,
        attempt.forecast_ttft_p95_s,
        attempt.forecast_total_p95_s,
        attempt.status,
        attempt.finish_reason,
        attempt.error_code,
        usage.input_tokens,
        usage.output_tokens,
        usage.grade if attempt.usage else None,
        usage.cache_read_tokens,
        usage.cache_write_tokens,
        usage.reasoning_tokens,
        *_money(bill),
        attempt.forecast_cached_tokens,
    )


def _money(bill: Bill) -> tuple[float | None, float | None, float | None, float | None]:
    cost, price = bill.cost_usd, bill.price_usd
    energy, amortisation = bill.energy_usd, bill.amortisation_usd
    return (
        None if cost is None else float(cost),
        None if price is None else float(price),
        None if energy is None else float(energy),
        None if amortisation is None else float(amortisation),
    )
