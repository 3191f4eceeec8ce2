"""Figures of the money side that nobody knows for sure, each with how far it may be off."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from spillway.planner.breakeven import Spread
from spillway.planner.plan_inputs import Assumption

__all__ = ["ARTICLE_COSTS", "KNOWN", "USUAL_COSTS", "Uncertain", "assumptions_of", "with_given"]

D = Decimal
ZERO, ONE = D(0), D(1)


@dataclass(frozen=True)
class Uncertain:
    """What one uncertain figure is called, counted in, and how it may be bounded."""

    label: str
    unit: str
    least: Decimal = ZERO
    most: Decimal = ONE
    option: str | None = None
    """``None`` where the command line has none for it."""


KNOWN: Mapping[str, Uncertain] = {
    "usd_per_kwh": Uncertain("electricity", "USD/kWh", most=D(100), option="--usd-per-kwh"),
    "maintenance_hours": Uncertain(
        "maintenance of one node", "hours/month", most=D(744), option="--maintenance-hours"
    ),
    "growth_per_year": Uncertain(
        "growth of traffic", "ratio/year", least=D("-0.9"), most=D(10), option="--growth"
    ),
    "cloud_decline_per_year": Uncertain(
        "fall of cloud prices", "ratio/year", least=D("-0.5"), most=D("0.95"), option="--cloud-decline"
    ),
    "residual_ratio": Uncertain("resale value at the end", "ratio", most=D("0.95"), option="--residual"),
    "redone_ratio": Uncertain("local answers done again by the cloud", "ratio", option="--redone"),
    "output_factor": Uncertain("length of answers against the usage", "ratio", least=D("0.05"), most=D(20)),
}


def _guess(low: str, mode: str, high: str, source: str) -> Spread:
    return Spread(D(low), D(mode), D(high), "guess", source)


USUAL_COSTS: Mapping[str, Spread] = {
    "usd_per_kwh": _guess("0.20", "0.27", "0.34", "a household tariff"),
    "maintenance_hours": _guess("0", "0.25", "0.5", "updates and a restart now and then"),
    "growth_per_year": _guess("-0.2", "0", "0.2", "nobody knows; steady unless stated"),
    "cloud_decline_per_year": _guess("0", "0.1", "0.2", "successors of a model cost less"),
    "residual_ratio": _guess("0", "0.1", "0.2", "used machines sell for little after four years"),
    "redone_ratio": _guess("0", "0.02", "0.04", "answers that fail a check are paid twice"),
    "output_factor": _guess("0.8", "1", "1.2", "prompts and models change how long answers are"),
}
"""Even around the likeliest, so that the middle of all futures is near the plan's own figures."""

ARTICLE_COSTS: Mapping[str, Spread] = {
    "usd_per_kwh": _guess("0.20", "0.27", "0.34", "the article's tariff, give or take"),
    "maintenance_hours": _guess("0", "0", "0", "the article has none"),
    "growth_per_year": _guess("-0.2", "0", "0.2", "the article has none"),
    "cloud_decline_per_year": _guess("-0.1", "0", "0.1", "the article has none; prices fall and rise"),
    "residual_ratio": _guess("0", "0", "0", "the article has none"),
    "redone_ratio": _guess("0", "0", "0.04", "the article has none"),
    "output_factor": _guess("0.8", "1", "1.2", "prompts and models change how long answers are"),
}
"""The article's own figures, so that what differs is what it forgot."""


def with_given(costs: Mapping[str, Spread], given: Mapping[str, Decimal]) -> dict[str, Spread]:
    """The costs with some figures replaced; what was uncertain about them stays as far around the new one."""
    out = dict(costs)
    for name, value in given.items():
        known, old = KNOWN[name], costs[name]
        low = max(known.least, value - (old.mode - old.low))
        high = min(known.most, value + (old.high - old.mode))
        out[name] = Spread(min(low, value), value, max(high, value), old.grade, "given")
    return out


def assumptions_of(costs: Mapping[str, Spread]) -> list[Assumption]:
    """The costs as the plan's table shows them, with what was assumed around each."""
    return [
        Assumption(
            KNOWN[name].label,
            spread.mode,
            KNOWN[name].unit,
            "given" if spread.source == "given" else spread.grade,
            spread.source if spread.low == spread.high else f"{spread.source}; {spread.low} to {spread.high}",
        )
        for name, spread in costs.items()
    ]
