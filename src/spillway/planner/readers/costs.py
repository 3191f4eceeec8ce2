"""A bill by line items as totals of tokens: amounts over prices, and requests shared out by tokens.

A cost export states dollars by day and line item. How many tokens they bought follows from a price that the
caller looks up, how many requests that were from nobody but the caller.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation

from spillway.planner.money import SECONDS_PER_MONTH
from spillway.planner.readers.cells import Cells
from spillway.planner.readers.formats import Format
from spillway.planner.readers.line_items import NO_LINE_ITEM, LineItem, read_line_item
from spillway.planner.readers.records import Record
from spillway.planner.readers.values import MOST_TOKENS_PER_REQUEST
from spillway.planner.workload import ReadReport, Total, WorkloadError

__all__ = ["DERIVED", "Bill", "CostReader", "Price", "share_out"]

Price = Callable[[LineItem, float], Decimal | None]
"""USD per million tokens of a line item at a time in seconds since 1970; ``None`` when that is unknown."""

DERIVED = (
    "tokens derived from costs: each amount over the price of its model on its day; requests shared out to "
    "days and models in proportion to their tokens"
)
DAY_S = 86_400.0
"""What a line item without an end is of: bills are by days."""
MILLION = Decimal(1_000_000)


@dataclass(frozen=True)
class Bill:
    """What must be known beside a cost export to make traffic of it."""

    requests_per_month: int
    price: Price


@dataclass
class _Sum:
    """Tokens of one period, model and endpoint; fractions are kept until the end, so that nothing is lost."""

    input_tokens: Decimal = Decimal(0)
    cached_tokens: Decimal = Decimal(0)
    output_tokens: Decimal = Decimal(0)
    cost_usd: Decimal = Decimal(0)

    def add(self, item: LineItem, tokens: Decimal, cost_usd: Decimal) -> None:
        """Count a line item."""
        if item.kind == "output":
            self.output_tokens += tokens
        elif item.kind == "cached input":
            self.cached_tokens += tokens
        else:
            self.input_tokens += tokens
        self.cost_usd += cost_usd


class CostReader(Cells):
    """Adds up what line items bought, by period, model and endpoint."""

    def __init__(self, kind: Format, report: ReadReport, price: Price) -> None:
        super().__init__(kind, report)
        self._price = price
        self._periods: set[tuple[float, float]] = set()
        self._sums: dict[tuple[float, float, str, bool], _Sum] = {}
        self._stated = 0

    def add(self, line: int, record: Record | str) -> None:
        """Count a record, or say in the report why it is not used; ``WorkloadError`` for an unknown price."""
        if isinstance(record, str):
            self.report.bad.add(record, line)
            return
        amount: Decimal | None = None
        try:
            start_s, length_s = self.period(record)
            period = start_s, length_s or DAY_S
            amount = self.money(record, line)
            text = " ".join(str(self.cell(record, "line_item") or "").split())
            self._periods.add(period)
            if not text and not amount:
                return  # a day without use: exports write one row for it, with nothing but the day
            item = read_line_item(text)
            tokens = self._tokens(record, item, amount, period[0] + period[1] / 2, line)
        except ValueError as fault:
            self.reject(fault, line, amount)
            return
        self.report.rows += 1
        self.add_cost(amount)
        found = self._sums.setdefault((*period, item.model, item.is_batch), _Sum())
        found.add(item, tokens, amount or Decimal(0))

    def totals(self) -> list[Total]:
        """What was used, still without requests, and each period once more with nothing: some were idle."""
        totals = [Total(start_s, length_s, 0, 0, 0) for start_s, length_s in sorted(self._periods)]
        for (start_s, length_s, model, is_batch), found in sorted(self._sums.items()):
            cached, fresh = round(found.cached_tokens), round(found.input_tokens)
            out = round(found.output_tokens)
            total = Total(start_s, length_s, 0, fresh + cached, out, cached, model, found.cost_usd)
            totals.append(total)
            if is_batch and total.input_tokens + total.output_tokens:
                self.report.batch.append(total)
        return totals

    def finish(self) -> None:
        """Complete the report; ``WorkloadError`` for a bill that is not by line items."""
        super().finish()
        if NO_LINE_ITEM in self.report.bad.counts and not self.report.rows:
            raise WorkloadError(
                f"{self.report.source} holds costs of whole days, which say nothing of models and tokens: "
                "export it again grouped by line item"
            )
        if self._stated:
            self.report.notes.append(f"{self._stated} line item(s) state their tokens, which were taken")

    def _tokens(
        self, record: Record, item: LineItem, amount: Decimal | None, at_s: float, line: int
    ) -> Decimal:
        """Tokens of a line item: as stated, else the amount over the price."""
        stated = self._quantity(record)
        if stated is not None:
            self._stated += 1
            return stated
        if amount is None:
            raise ValueError("no amount")
        if not amount:
            return Decimal(0)
        usd_per_mtok = self._price(item, at_s)
        if usd_per_mtok:
            return amount * MILLION / usd_per_mtok
        if usd_per_mtok is not None:
            raise ValueError(f"{item.text!r} cost something, but its stated price is 0: correct that price")
        if item.terms:
            raise ValueError(f"the price of {item.text!r} is unknown")
        day = datetime.fromtimestamp(at_s, UTC).date()
        raise WorkloadError(
            f"{self.report.source}: the price of {item.text!r} on {day} is unknown (line {line}), so that "
            "its cost tells no tokens: state your own under prices in spillway.yaml, or one for everything "
            "(--input-usd-per-mtok, --output-usd-per-mtok, --cached-usd-per-mtok)"
        )

    def _quantity(self, record: Record) -> Decimal | None:
        """The number of tokens that the record states; ``None`` when it states none, or something else.

        Answers of the API from before it had units count tokens, where a line item is of tokens at all.
        """
        raw, unit = self.cell(record, "quantity"), str(self.cell(record, "quantity_unit") or "tokens")
        if raw is None or raw == "" or unit.lower() not in ("token", "tokens"):
            return None
        try:
            tokens = Decimal(str(raw))
        except InvalidOperation:
            raise ValueError("quantity is not a number") from None
        if not tokens.is_finite() or tokens < 0:
            raise ValueError("quantity is not a number of tokens")
        return tokens


def share_out(totals: Sequence[Total], requests_per_month: int) -> list[Total]:
    """The totals with so many requests a month among them, in proportion to tokens and at least one each.

    ``WorkloadError`` when so many requests cannot be: fewer than the totals, or longer than any model takes.
    """
    busy = [total for total in totals if total.input_tokens + total.output_tokens]
    idle = [total for total in totals if not total.input_tokens + total.output_tokens]
    span_s = max(t.start_s + t.length_s for t in totals) - min(t.start_s for t in totals)
    count = round(requests_per_month * Decimal(repr(span_s)) / SECONDS_PER_MONTH)
    tokens = [total.input_tokens + total.output_tokens for total in busy]
    whole, spare = sum(tokens), count - len(busy)
    asked = f"--requests-per-month {requests_per_month} comes to {count:,} in the time of the costs"
    if spare < 0:
        raise WorkloadError(f"{asked}, fewer than its days times models ({len(busy):,}); check the number")
    if whole > count * MOST_TOKENS_PER_REQUEST:
        raise WorkloadError(
            f"{asked}, which would be {whole // count:,} tokens a request, more than any model takes; "
            "check the number"
        )
    shares = [spare * each // whole for each in tokens]
    nearly = sorted(range(len(busy)), key=lambda i: -(spare * tokens[i] % whole))
    for index in nearly[: spare - sum(shares)]:
        shares[index] += 1
    return idle + [replace(t, requests=1 + more) for t, more in zip(busy, shares, strict=True)]
