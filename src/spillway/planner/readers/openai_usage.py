"""What OpenAI's usage says of a total beside its tokens: endpoint, service tier, sound and pictures."""

from __future__ import annotations

from spillway.planner.readers.records import Record
from spillway.planner.readers.values import MOST_PER_PERIOD, read_tokens
from spillway.planner.workload import ReadReport, Total

__all__ = ["Extras"]

LIST_PRICE_TIERS = frozenset({"", "none", "default", "standard", "auto"})
"""Service tiers at the plain list price."""
NO_TEXT = tuple(
    f"{way}_{what}_tokens" for way in ("input", "output") for what in ("audio", "image")
)  # fmt: skip
"""Columns of tokens that are not of text; those that were cached are among them."""


class Extras:
    """Keeps in the report what the price of totals hangs on beside their tokens."""

    def __init__(self, report: ReadReport) -> None:
        self._report = report
        self._no_text = dict.fromkeys(NO_TEXT, 0)

    def add(self, record: Record, total: Total) -> None:
        """Take down the record that a total was made from; ``ValueError`` for a count that is none."""
        if not total.input_tokens + total.output_tokens:
            return
        given = [name for name in NO_TEXT if record.get(name) not in (None, "")]
        counts = {name: read_tokens(record[name], name, MOST_PER_PERIOD) for name in given}
        for name, tokens in counts.items():
            self._no_text[name] += tokens
        tier = str(record.get("service_tier") or "").strip().lower()
        if str(record.get("batch")).lower() in ("true", "1") or tier == "batch":
            self._report.batch.append(total)
        elif tier not in LIST_PRICE_TIERS:
            at = f"{total.model or 'a model without a name'} at service tier {tier!r}"
            self._report.tiers[at] = self._report.tiers.get(at, 0) + total.requests

    def finish(self) -> None:
        """Say what is planned as something that it is not."""
        found = [f"{tokens:,} {name.replace('_', ' ')}" for name, tokens in self._no_text.items() if tokens]
        if found:
            self._report.notes.append(
                f"{' and '.join(found)} are planned and priced as text: sound and pictures cost more in the "
                "cloud, and a local text model does not take them"
            )
