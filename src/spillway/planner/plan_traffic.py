"""The traffic to plan for: from usage files, from the gateway's own ledger, or from three numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path

from spillway.errors import WorkloadError
from spillway.planner.arrivals import MONTH_DAYS, SHAPES, synthesise
from spillway.planner.money import HOURS_PER_MONTH
from spillway.planner.plan_inputs import Assumption, Traffic, length_of
from spillway.planner.readers import read_workload
from spillway.planner.readers.costs import Bill
from spillway.planner.readers.values import MOST_TOKENS_PER_REQUEST
from spillway.planner.workload import MOST_REQUESTS, Workload

__all__ = ["GIVEN", "from_numbers", "from_usage"]

DAYS_PER_MONTH = float(HOURS_PER_MONTH) / 24
WEEK_S = 7 * 86_400.0
"""A shorter stretch does not hold every kind of hour of a month."""
USUAL_INPUT_TOKENS, USUAL_OUTPUT_TOKENS = 1000, 250
"""Lengths where nobody states any (guess: a question with some context, an answer of a few paragraphs)."""
GIVEN = "given"
LEAST_REQUESTS = 10
LEAST_SPAN_S = 60.0
"""What says nothing about a month's traffic: fewer requests, or a shorter time."""


def from_usage(
    sources: Sequence[str],
    *,
    format_name: str | None = None,
    columns: Mapping[str, str] | None = None,
    shape: str = "consumer",
    seed: int = 0,
    bill: Bill | None = None,
) -> Traffic:
    """The requests of one or several files or ledgers; ``WorkloadError`` says what is wrong with them.

    ``bill`` goes with cost exports, and with nothing else.
    """
    _refuse_unknown_shape(shape)
    paths = [source if "://" in source else Path(source) for source in sources]
    workload, reports = read_workload(
        paths, format_name=format_name, columns=columns, shape=shape, seed=seed, bill=bill
    )
    names = ", ".join(f"{Path(report.source).name} ({report.format})" for report in reports[:3])
    more = f" and {len(reports) - 3} more" if len(reports) > 3 else ""
    reasons = [why for each in reports for why in each.reasons()]
    guesses = [each.guess for each in reports if each.guess]
    _refuse_too_little(workload, f"{names}{more}", reasons + guesses)
    traffic = Traffic(workload, f"{names}{more}", tuple(reports))
    if bill is not None:
        said = _billed(traffic, bill, names)
        return Traffic(workload, f"costs of {traffic.described}", traffic.reports, said)
    grade, source = workload.grade, f"{names}{more}"
    if grade != "measured":
        source = "; ".join(workload.notes)
    elif workload.span_s < WEEK_S:
        grade, source = "derived", f"{source}, as if every hour were like these {length_of(workload.span_s)}"
    said = (
        Assumption("requests a month", round(float(traffic.requests_per_month)), "requests", grade, source),
        Assumption("input tokens, mean", round(workload.mean_input_tokens, 1), "tokens", "measured", names),
        Assumption("output tokens, mean", round(workload.mean_output_tokens, 1), "tokens", "measured", names),
    )
    return Traffic(workload, traffic.described, traffic.reports, said)


def _billed(traffic: Traffic, bill: Bill, names: str) -> tuple[Assumption, ...]:
    """What traffic made from costs rests on: only the number of requests was given, the rest follows."""
    workload, derived = traffic.workload, f"costs over prices of their days, over the requests: {names}"
    batch = ", batch taken at half the price" if traffic.batch else ""
    return (
        Assumption("requests a month", bill.requests_per_month, "requests", "given", "given"),
        Assumption(
            "input tokens, mean", round(workload.mean_input_tokens, 1), "tokens", "derived", derived + batch
        ),
        Assumption(
            "output tokens, mean", round(workload.mean_output_tokens, 1), "tokens", "derived", derived + batch
        ),
        Assumption("requests of each day and model", "by their tokens", "", "derived", workload.notes[0]),
        Assumption("spread of lengths and gaps", "log-normal, bursty", "", "derived", workload.notes[-1]),
    )


def from_numbers(
    requests_per_month: int,
    input_tokens: float | None = None,
    output_tokens: float | None = None,
    shape: str = "consumer",
    *,
    seed: int = 0,
    sources: tuple[str, str, str] = (GIVEN, GIVEN, GIVEN),
) -> Traffic:
    """A month of requests from three numbers and a daily shape; lengths that are not given are guesses.

    ``sources`` say who gave each number.
    """
    _refuse_unknown_shape(shape)
    read = USUAL_INPUT_TOKENS if input_tokens is None else input_tokens
    written = USUAL_OUTPUT_TOKENS if output_tokens is None else output_tokens
    if requests_per_month < 1 or read < 1 or written < 1:
        raise WorkloadError("requests a month, input tokens and output tokens must each be at least 1")
    _refuse_too_many(requests_per_month, read, written)
    a_month = requests_per_month * MONTH_DAYS / DAYS_PER_MONTH
    workload = synthesise(a_month, read, written, shape, days=DAYS_PER_MONTH, seed=seed)
    kind = SHAPES[shape]
    requests = "1 request" if requests_per_month == 1 else f"{requests_per_month:,} requests"
    described = f"{requests} a month of {read:,g} + {written:,g} tokens, shape {shape}"
    said = (
        Assumption("requests a month", requests_per_month, "requests", "given", sources[0]),
        _length("input", read, sources[1] if input_tokens is not None else None),
        _length("output", written, sources[2] if output_tokens is not None else None),
        Assumption("course of the day", shape, "", kind.grade, kind.source),
        Assumption("spread of lengths and gaps", "log-normal, bursty", "", "derived", workload.notes[0]),
    )
    return Traffic(workload, described, (), said)


def _length(side: str, tokens: float, source: str | None) -> Assumption:
    """A mean length as stated by its source, or as guessed without one."""
    name, value = f"{side} tokens, mean", Decimal(repr(tokens))
    if source is None:
        return Assumption(name, value, "tokens", "guess", f"not given: --{side}-tokens says it")
    return Assumption(name, value, "tokens", "given", source)


def _refuse_too_many(requests_per_month: int, input_tokens: float, output_tokens: float) -> None:
    """What no month and no model holds is a slip of the hand, and would fill the memory."""
    if requests_per_month > MOST_REQUESTS:
        raise WorkloadError(
            f"--requests-per-month {requests_per_month:,} is more than a plan can hold, {MOST_REQUESTS:,}: "
            "plan for an equal part of it"
        )
    for side, does, tokens in (("input", "reads", input_tokens), ("output", "writes", output_tokens)):
        if not tokens <= MOST_TOKENS_PER_REQUEST:
            raise WorkloadError(
                f"--{side}-tokens {tokens:,.12g}: no model {does} more than "
                f"{MOST_TOKENS_PER_REQUEST:,} tokens a request; give the mean of one request"
            )


def _refuse_too_little(workload: Workload, names: str, reasons: Sequence[str]) -> None:
    """A month's traffic out of a moment would be made up, and with it every saving.

    ``reasons`` are why rows were not used, the weightiest of which may be why there is so little, and then
    what columns were taken for.
    """
    if len(workload) >= LEAST_REQUESTS and workload.span_s >= LEAST_SPAN_S:
        return
    count = "1 request" if len(workload) == 1 else f"{len(workload):,} requests"
    why = f" ({reasons[0]})" if reasons else ""
    raise WorkloadError(
        f"{names} holds {count} within {workload.span_s:.0f} s{why}, which says nothing about a month: give "
        "a longer export, or the month's traffic by --requests-per-month, --input-tokens and --output-tokens"
    )


def _refuse_unknown_shape(shape: str) -> None:
    if shape not in SHAPES:
        raise WorkloadError(f"--shape {shape!r} is unknown; use one of {', '.join(SHAPES)}")
