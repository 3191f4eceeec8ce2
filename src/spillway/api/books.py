"""Accounting for the relay: bills attempts, compares with the reference, records and counts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from decimal import Decimal

from spillway.ledger.cost import NodeRates, bill_of, reference_cost
from spillway.ledger.rows import LedgerRow, rows_of
from spillway.ledger.writer import LedgerWriter
from spillway.telemetry.metrics import Metrics
from spillway.vocabulary import Attempt, Bill, Outcome, Rates

__all__ = ["LedgerBooks", "RatesOf"]

RatesOf = Callable[[str, str], Rates | None]
"""Upstream and model → what they charge now; ``None`` while or where it is unknown."""


class LedgerBooks:
    """The relay's ``Books`` over the ledger."""

    def __init__(
        self,
        writer: LedgerWriter,
        metrics: Metrics,
        rates_of: RatesOf,
        node_rates: Mapping[str, NodeRates],
        reference: tuple[str, str] | None,
    ) -> None:
        """``reference`` is the cloud and model whose price every answer is compared with."""
        self._writer = writer
        self._metrics = metrics
        self._rates_of = rates_of
        self._node_rates = node_rates
        self._reference = reference
        self._reference_name = "/".join(reference) if reference else None

    def bill(self, attempt: Attempt) -> Bill:
        """What that attempt cost."""
        if attempt.side == "local":
            return bill_of(attempt, None, self._node_rates.get(attempt.upstream))
        return bill_of(attempt, self._rates_of(attempt.upstream, attempt.model), None)

    def settle(self, outcome: Outcome, bills: Sequence[Bill]) -> Awaitable[object]:
        """Records the request; done once committed, or once waiting for that would hold up traffic."""
        return self._writer.record(self._row(outcome, bills))

    def note(self, outcome: Outcome, bills: Sequence[Bill]) -> None:
        """Records a request whose end nobody waits for."""
        self._writer.record_nowait(self._row(outcome, bills))

    def _row(self, outcome: Outcome, bills: Sequence[Bill]) -> LedgerRow:
        reference_usd = self._reference_usd(outcome)
        row = rows_of(outcome, bills, reference_usd, self._reference_name)
        self._metrics.note(outcome, bills, _saved(reference_usd, bills))
        return row

    def _reference_usd(self, outcome: Outcome) -> Decimal | None:
        """What the answer would have cost at the reference; only an answer that was given counts."""
        last = outcome.last
        if self._reference is None or last is None or last.usage is None or outcome.result != "ok":
            return None
        rates = self._rates_of(*self._reference)
        return reference_cost(last.usage, rates) if rates is not None else None


def _saved(reference_usd: Decimal | None, bills: Sequence[Bill]) -> Decimal | None:
    if reference_usd is None:
        return None
    for bill in bills:
        if bill.cost_usd is None:
            return None
        reference_usd -= bill.cost_usd
    return reference_usd
