"""When a fleet pays for itself, month by month, with what is uncertain left uncertain.

Each month the cloud would have cost the whole traffic; with nodes there remain what they cannot take, what
they answered badly, their energy and somebody's time. The fleet is paid when what was saved covers what it
loses in value, and stays covered to the end of its life. Money is decimal throughout; only the draws of the
Monte Carlo start as floats.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TypeVar

import numpy as np

from spillway.planner.money import HOURS_PER_MONTH, span_of, usd
from spillway.vocabulary import Grade

__all__ = [
    "Band",
    "Case",
    "Month",
    "Outcome",
    "Sensitivity",
    "ShareCurve",
    "Spread",
    "band",
    "by_cost",
    "draw_outcomes",
    "evaluate",
    "monte_carlo",
    "pays",
    "quantile",
    "sensitivities",
]

ZERO, ONE = Decimal(0), Decimal(1)
MONTHS_PER_YEAR = 12


@dataclass(frozen=True)
class ShareCurve:
    """What nodes carry within the objective at several loads: pairs of (requests a month, share 0–1).

    Loads ascend. Between two loads the *number* of local requests is interpolated; above the last it stays,
    since a saturated node carries no more.
    """

    points: tuple[tuple[Decimal, Decimal], ...]

    def __post_init__(self) -> None:
        loads = [load for load, _ in self.points]
        if not loads or loads != sorted(set(loads)) or loads[0] <= 0:
            raise ValueError("a share curve needs loads above 0 in ascending order")

    def at(self, requests: Decimal) -> Decimal:
        """Share of that many requests a month that stays local."""
        first_load, first_share = self.points[0]
        if requests <= first_load:
            return first_share
        for (low, low_share), (high, high_share) in zip(self.points, self.points[1:], strict=False):
            if requests <= high:
                carried = low * low_share + (high * high_share - low * low_share) * (requests - low) / (
                    high - low
                )
                return carried / requests
        load, share = self.points[-1]
        return load * share / requests


@dataclass(frozen=True)
class Case:
    """One fleet under one set of assumptions. Ratios are 0–1; growth and decline per year."""

    nodes: int
    requests_per_month: Decimal
    cloud_usd_per_request: Decimal
    share: ShareCurve
    hardware_usd: Decimal
    """Price of one node."""
    life_months: int = 48
    residual_ratio: Decimal = ZERO
    """What a node can be sold for at the end of its life, over its price."""
    idle_w: Decimal = ZERO
    active_w: Decimal = ZERO
    busy_ratio: Decimal = ONE
    """Share of the time a node works, at the first month's load."""
    usd_per_kwh: Decimal = ZERO
    maintenance_hours: Decimal = ZERO
    """Of one node, a month."""
    usd_per_hour: Decimal = ZERO
    growth_per_year: Decimal = ZERO
    cloud_decline_per_year: Decimal = ZERO
    redone_ratio: Decimal = ZERO
    """Share of local answers that failed verification or were escalated: the cloud is paid as well."""
    share_factor: Decimal = ONE
    """Multiplies the share; what is uncertain about the simulation."""
    rent_usd_per_month: Decimal = ZERO
    """For the whole fleet, where nodes are rented instead of bought."""
    output_factor: Decimal = ONE
    """Answers this many times as long as in the workload."""
    output_cost_ratio: Decimal = ZERO
    """Share of the cloud's bill that is for answers, which ``output_factor`` multiplies."""
    output_share_loss: Decimal = ZERO
    """Share of the local requests that is lost when answers are twice as long, taken as linear."""

    @property
    def lost_value_usd(self) -> Decimal:
        """Price of the fleet less what it can be sold for at the end."""
        return self.nodes * self.hardware_usd * (1 - self.residual_ratio)


@dataclass(frozen=True)
class Month:
    """One month's money in USD."""

    all_cloud_usd: Decimal
    cloud_usd: Decimal
    """What still goes to the cloud, redone answers included."""
    energy_usd: Decimal
    maintenance_usd: Decimal
    local_share: Decimal
    requests: Decimal
    """All of them, wherever answered."""
    rent_usd: Decimal = ZERO

    @property
    def running_usd(self) -> Decimal:
        """What the nodes cost besides their own price: energy, somebody's time, rent."""
        return self.energy_usd + self.maintenance_usd + self.rent_usd

    @property
    def saved_usd(self) -> Decimal:
        """What the nodes save before their own price; may be negative."""
        return self.all_cloud_usd - self.cloud_usd - self.running_usd


@dataclass(frozen=True)
class Outcome:
    """What a case comes to."""

    case: Case
    months: tuple[Month, ...]
    """The hardware's life."""
    break_even_months: Decimal | None
    """From when savings cover the loss in value to the end; ``None`` where the whole life saves nothing."""
    reason: str | None
    """Why never; ``None`` when it pays."""

    @property
    def saved_usd(self) -> Decimal:
        """What is left over the whole life after the hardware; negative when it does not pay."""
        return sum((month.saved_usd for month in self.months), ZERO) - self.case.lost_value_usd

    @property
    def total_usd_per_month(self) -> Decimal:
        """Mean monthly cost of everything, the hardware's loss in value included."""
        running = sum((month.cloud_usd + month.running_usd for month in self.months), ZERO)
        return (running + self.case.lost_value_usd) / len(self.months)

    @property
    def cloud_usd_per_month(self) -> Decimal:
        """Mean monthly part of it that goes to the cloud."""
        return sum((month.cloud_usd for month in self.months), ZERO) / len(self.months)


def evaluate(case: Case) -> Outcome:
    """The case played through, month by month, to the end of the hardware's life."""
    growth = (1 + case.growth_per_year) ** (ONE / MONTHS_PER_YEAR)
    decline = (1 - case.cloud_decline_per_year) ** (ONE / MONTHS_PER_YEAR)
    local_first = case.share.at(case.requests_per_month) * case.requests_per_month
    requests, price_usd = case.requests_per_month, case.cloud_usd_per_request
    months = []
    for _ in range(case.life_months):
        months.append(_month(case, requests, price_usd, local_first))
        requests *= growth
        price_usd *= decline
    lost_usd = case.lost_value_usd
    paid = _paid_month(months, lost_usd) if case.nodes else None
    reason = None if paid is not None else _why_never(case, months, lost_usd)
    return Outcome(case, tuple(months), paid, reason)


def _month(case: Case, requests: Decimal, price_usd: Decimal, local_first: Decimal) -> Month:
    """One month at that traffic and price; ``local_first`` is what the nodes carried in the first."""
    longer = case.output_factor - 1
    all_cloud_usd = requests * price_usd * (1 + case.output_cost_ratio * longer)
    if not case.nodes:
        return Month(all_cloud_usd, all_cloud_usd, ZERO, ZERO, ZERO, requests)
    carried = case.share.at(requests)
    share = min(ONE, max(ZERO, carried * case.share_factor * (1 - case.output_share_loss * longer)))
    load = carried * requests / local_first * case.share_factor if local_first else ZERO
    busy = min(ONE, case.busy_ratio * load)
    watts = case.nodes * (case.idle_w + busy * (case.active_w - case.idle_w))
    return Month(
        all_cloud_usd=all_cloud_usd,
        cloud_usd=all_cloud_usd * (1 - share + share * case.redone_ratio),
        energy_usd=watts / 1000 * HOURS_PER_MONTH * case.usd_per_kwh,
        maintenance_usd=case.nodes * case.maintenance_hours * case.usd_per_hour,
        local_share=share,
        requests=requests,
        rent_usd=case.rent_usd_per_month,
    )


def _paid_month(months: Sequence[Month], lost_usd: Decimal) -> Decimal | None:
    """Months, with a fraction, from which the savings cover the loss for good; ``None`` when they never do.

    What is rented has no loss to cover and may save at first only, so being covered once is not enough.
    """
    paid, left_usd = ZERO, lost_usd
    for number, month in enumerate(months):
        if 0 < left_usd <= month.saved_usd:
            paid = number + left_usd / month.saved_usd
        left_usd -= month.saved_usd
    return paid if left_usd < 0 else None


def _why_never(case: Case, months: Sequence[Month], lost_usd: Decimal) -> str:
    if case.nodes == 0:
        return "without a node there is nothing to pay back"
    they = "the node" if case.nodes == 1 else "the nodes"
    saved_usd = sum((month.saved_usd for month in months), ZERO)
    if saved_usd <= 0:
        return f"running {they} {_runs_at_a_loss(months)}"
    save, lose, it = ("saves", "loses", "it") if case.nodes == 1 else ("save", "lose", "they")
    life, (saved, lost) = span_of(case.life_months), _told_apart(saved_usd, lost_usd)
    if saved == lost:
        return f"over {life} {they} {save} no more than the {lost} that {it} {lose} in value"
    return f"over {life} {they} {save} {saved} and {lose} {lost} in value"


def _runs_at_a_loss(months: Sequence[Month]) -> str:
    """What running costs and what it saves, as means where months differ; never the same figure twice."""
    spent_usd = sum((month.running_usd for month in months), ZERO) / len(months)
    avoided_usd = sum((month.all_cloud_usd - month.cloud_usd for month in months), ZERO) / len(months)
    spent, avoided = _told_apart(spent_usd, avoided_usd)
    if avoided_usd <= 0:
        saves = "saves nothing of cloud"
    elif spent == avoided:
        saves = "saves no more of cloud"
    else:
        saves = f"saves only {avoided} of cloud"
    differ = any(month.saved_usd != months[0].saved_usd for month in months)
    mean = f", mean over {span_of(len(months))}" if differ else ""
    return f"costs {spent} a month and {saves}{mean}"


def _told_apart(one_usd: Decimal, other_usd: Decimal) -> tuple[str, str]:
    """Both as dollars, to the cent where they read alike without."""
    one, other = usd(one_usd), usd(other_usd)
    return (one, other) if one != other else (f"${one_usd:,.2f}", f"${other_usd:,.2f}")


@dataclass(frozen=True)
class Spread:
    """What one figure of a case may be: least, most likely and largest (a triangular distribution)."""

    low: Decimal
    mode: Decimal
    high: Decimal
    grade: Grade = "guess"
    source: str = ""

    def __post_init__(self) -> None:
        if not self.low <= self.mode <= self.high:
            raise ValueError("a spread needs low, mode and high in ascending order")


@dataclass(frozen=True)
class Band:
    """The outcome over the stated uncertainties; a quantile is ``None`` where it is never."""

    p10: Decimal | None
    p50: Decimal | None
    p90: Decimal | None
    pays_ratio: Decimal
    """Share of the draws in which the fleet pays for itself."""
    saved_p10_usd: Decimal
    saved_p50_usd: Decimal
    saved_p90_usd: Decimal


def monte_carlo(case: Case, spreads: Mapping[str, Spread], *, draws: int = 1000, seed: int = 0) -> Band:
    """Break-even and savings over draws of every figure named in ``spreads`` (fields of ``Case``)."""
    return band(draw_outcomes(case, spreads, draws=draws, seed=seed))


def draw_outcomes(
    case: Case, spreads: Mapping[str, Spread], *, draws: int = 1000, seed: int = 0
) -> list[Outcome]:
    """What the case comes to in each of ``draws`` futures; the same for the same seed."""
    random = np.random.default_rng(seed)
    columns = {name: _draw(spread, draws, random) for name, spread in sorted(spreads.items())}
    outcomes = []
    for number in range(draws):
        changes = {name: values[number] for name, values in columns.items()}
        outcomes.append(evaluate(_with(case, changes)))
    return outcomes


def band(outcomes: Sequence[Outcome]) -> Band:
    """The quantiles of several futures."""
    draws = len(outcomes)
    months = sorted(
        (o.break_even_months for o in outcomes), key=lambda m: Decimal("Infinity") if m is None else m
    )
    saved = sorted(outcome.saved_usd for outcome in outcomes)
    paying = sum(month is not None for month in months)
    return Band(
        p10=quantile(months, 0.10),
        p50=quantile(months, 0.50),
        p90=quantile(months, 0.90),
        pays_ratio=Decimal(paying) / draws,
        saved_p10_usd=quantile(saved, 0.10),
        saved_p50_usd=quantile(saved, 0.50),
        saved_p90_usd=quantile(saved, 0.90),
    )


def pays(outcomes: Sequence[Outcome]) -> bool:
    """Whether the fleet pays for itself in the middle future."""
    return band(outcomes).p50 is not None


T = TypeVar("T")


def quantile(values: Sequence[T], share: float) -> T:
    """The one of these ascending values that the share, 0–1, of them lies below."""
    return values[min(len(values) - 1, int(share * len(values)))]


def _draw(spread: Spread, count: int, random: np.random.Generator) -> list[Decimal]:
    """Values of which one lies in each of ``count`` equally likely parts of the spread, in random order.

    Such a Latin hypercube has the quantiles of as many plain draws, with a fraction of their noise.
    """
    if spread.low == spread.high:
        return [spread.mode] * count
    low, mode, high = (float(end) for end in (spread.low, spread.mode, spread.high))
    ranks = (random.permutation(count) + random.random(count)) / count
    below = (mode - low) / (high - low)
    rising = low + np.sqrt(ranks * (high - low) * (mode - low))
    falling = high - np.sqrt((1.0 - ranks) * (high - low) * (high - mode))
    values = np.where(ranks < below, rising, falling)
    return [Decimal(repr(round(float(value), 9))) for value in values]


def _with(case: Case, changes: Mapping[str, Decimal]) -> Case:
    """The case with other figures; names that are no decimal field of it are a mistake of the caller."""
    unknown = [name for name in changes if not isinstance(getattr(case, name, None), Decimal)]
    if unknown:
        raise ValueError(f"a case has no uncertain figure called {unknown[0]!r}")
    return replace(case, **changes)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Sensitivity:
    """How far one figure alone moves the savings over the hardware's life."""

    name: str
    at_low_usd: Decimal
    at_high_usd: Decimal

    @property
    def weight_usd(self) -> Decimal:
        """Distance between the two."""
        return abs(self.at_high_usd - self.at_low_usd)


def sensitivities(case: Case, spreads: Mapping[str, Spread]) -> list[Sensitivity]:
    """Each uncertain figure at its least and its largest, all others most likely; the weightiest first."""
    base = _with(case, {name: spread.mode for name, spread in spreads.items()})
    found = [
        Sensitivity(
            name,
            evaluate(_with(base, {name: spread.low})).saved_usd,
            evaluate(_with(base, {name: spread.high})).saved_usd,
        )
        for name, spread in spreads.items()
    ]
    return sorted(found, key=lambda item: (-item.weight_usd, item.name))


def by_cost(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """The fleets in the order of their mean monthly cost; the smaller first among equals."""
    return sorted(outcomes, key=lambda outcome: (outcome.total_usd_per_month, outcome.case.nodes))
