"""What a plan is made from: traffic, a node, a cloud, an objective, and figures that are not sure.

Every figure carries a grade and a source; the assumptions of a plan are gathered from here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from spillway.planner import compiled
from spillway.planner.breakeven import Spread
from spillway.planner.catalogue import Figure
from spillway.planner.money import HOURS_PER_MONTH, NaiveInputs, cloud_price_usd
from spillway.planner.plan_stretch import stretch
from spillway.planner.simulator import CloudModel, Fleet
from spillway.planner.workload import Ints, ReadReport, Total, Workload
from spillway.vocabulary import Objective, Pace, Rates

__all__ = [
    "DEFAULT_OBJECTIVE",
    "Assumption",
    "CloudChoice",
    "Effort",
    "NodeChoice",
    "PlanGrade",
    "PlanInputs",
    "SlowedPace",
    "Traffic",
    "Value",
    "exact_percent",
    "length_of",
    "percent",
    "percent_below",
    "promises",
]

SECONDS_PER_MONTH = HOURS_PER_MONTH * 3600
DAY_S = 86_400.0

PlanGrade = Literal["measured", "vendor", "derived", "guess", "given"]
"""How a figure came about; ``given`` by whoever asked for the plan."""
Value = Decimal | float | int | str | None

DEFAULT_OBJECTIVE = Objective("default", ttft_s=2.0, total_s=20.0, attainment_ratio=0.95)
"""As in the gateway's example configuration."""


@dataclass(frozen=True)
class Assumption:
    """One figure the plan rests on, and how we know it. ``value`` is ``None`` when nobody knows."""

    name: str
    value: Value
    unit: str
    grade: PlanGrade
    source: str

    @classmethod
    def of(cls, name: str, figure: Figure, unit: str) -> Assumption:
        """A figure of the catalogue."""
        return cls(name, figure.value, unit, figure.grade, f"{figure.source} ({figure.date})")


def promises(objective: Objective) -> list[Assumption]:
    """The objective's figures; each that is the default's is a guess, whatever was said of the others."""
    usual = DEFAULT_OBJECTIVE
    return [
        _promise("first token", _ms(objective.ttft_s), _ms(usual.ttft_s), "ms"),
        _promise("last token", _ms(objective.total_s), _ms(usual.total_s), "ms"),
        _promise("share of requests in time", objective.attainment_ratio, usual.attainment_ratio, "ratio"),
    ]


def _promise(what: str, value: float | None, usual: float | None, unit: str) -> Assumption:
    name = f"objective: {what}"
    if value == usual:
        return Assumption(name, value, unit, "guess", "default objective")
    if value is None:
        return Assumption(name, "no limit", "", "given", "given")
    return Assumption(name, value, unit, "given", "given")


def _ms(seconds: float | None) -> int | None:
    return None if seconds is None else round(1000 * seconds)


@dataclass(frozen=True)
class Traffic:
    """The requests to plan for and where they came from."""

    workload: Workload
    described: str
    """One phrase for a person."""
    reports: tuple[ReadReport, ...] = ()
    assumptions: tuple[Assumption, ...] = ()

    @property
    def requests_per_month(self) -> Decimal:
        """Requests in a twelfth of a year at the workload's mean rate."""
        return self.per_month(Decimal(len(self.workload)))

    @property
    def batch(self) -> tuple[Total, ...]:
        """What the usage says went through the provider's batch endpoint."""
        return tuple(total for report in self.reports for total in report.batch)

    @property
    def tiers(self) -> dict[str, int]:
        """Requests by model and service tier, of those that the list price does not hold for."""
        found: dict[str, int] = {}
        for report in self.reports:
            for tier, requests in report.tiers.items():
                found[tier] = found.get(tier, 0) + requests
        return found

    def per_month(self, amount: Decimal) -> Decimal:
        """What so much over the workload's span comes to in a month."""
        return amount * SECONDS_PER_MONTH / Decimal(repr(self.workload.span_s))


@dataclass(frozen=True)
class SlowedPace:
    """A node that takes ``factor`` times as long for everything."""

    pace: Pace
    factor: float

    @property
    def pass_s(self) -> float:
        """Seconds of a pass whatever it carries; prompts that are read together share one."""
        return self.factor * self.pace.pass_s

    def decode_step_s(self, batch: float, context_tokens: float) -> float:
        """Seconds of a step that gives ``batch`` sequences one token each at that mean context."""
        return self.factor * self.pace.decode_step_s(batch, context_tokens)

    def prefill_s(self, prompt_tokens: float, cached_tokens: float = 0.0) -> float:
        """Seconds to read a prompt when nothing else runs."""
        return self.factor * self.pace.prefill_s(prompt_tokens, cached_tokens)


@dataclass(frozen=True)
class NodeChoice:
    """One kind of node: how fast, how much at once, what it costs to have and to run."""

    name: str
    """Model and machine, for people."""
    pace: Pace
    slots: int
    cache_tokens: float
    """What all requests on it may hold together."""
    context_tokens: float
    """What one of them may, prompt and answer; never more than all."""
    price_usd: Decimal
    """0 for a rented one."""
    idle_w: Decimal
    active_w: Decimal
    rent_usd_per_month: Decimal = Decimal(0)
    error_ratio: float = 0.0
    """How far its times may be off, as a share."""
    assumptions: tuple[Assumption, ...] = ()
    machine_key: str | None = None
    """Of the catalogue's machine; ``None`` where figures or a profile stand in for it."""
    machine_name: str = ""
    """The machine alone, for people; empty without one of the catalogue."""
    is_context_configured: bool = False
    """Whether ``context_tokens`` are by the configuration, and fewer than the node could hold."""
    is_measured: bool = False
    """Whether a profile of a live node tells its speed."""
    warnings: tuple[str, ...] = ()
    """What speaks against relying on these figures."""

    @property
    def fleet(self) -> Fleet:
        """One such node for the simulator."""
        return Fleet(self.pace, 1, self.slots, self.cache_tokens, self.context_tokens)

    def decode_tok_s(self, context_tokens: float = 512.0) -> float:
        """Tokens per second of one sequence alone."""
        return 1.0 / self.pace.decode_step_s(1.0, context_tokens)

    def prefill_tok_s(self, prompt_tokens: float) -> float:
        """Prompt tokens per second of one prompt of that length alone."""
        return prompt_tokens / self.pace.prefill_s(prompt_tokens, 0.0)


@dataclass(frozen=True)
class CloudChoice:
    """The alternative: what it charges, by model of the workload, and how long it takes."""

    name: str
    rates: tuple[Rates, ...]
    """One per name in ``Workload.models``, or a single one for all."""
    latency: CloudModel = field(default_factory=CloudModel)
    batch_ratio: Decimal = Decimal(0)
    """Share of the traffic that goes through the provider's batch endpoint."""
    assumptions: tuple[Assumption, ...] = ()

    def price_usd(self, workload: Workload, chosen: NDArray[np.bool_] | None = None) -> Decimal | None:
        """List price of the chosen requests, all without a choice; ``None`` when a needed rate is unknown."""
        if len(self.rates) == 1:
            return cloud_price_usd(workload, self.rates[0], chosen, self.batch_ratio)
        total = Decimal(0)
        for index, rates in enumerate(self.rates):
            mask = workload.model == index
            price = cloud_price_usd(
                workload, rates, mask if chosen is None else mask & chosen, self.batch_ratio
            )
            if price is None:
                return None
            total += price
        return total

    def mean_rates(self, workload: Workload) -> tuple[Decimal, Decimal]:
        """USD per million input and output tokens, were all charged at their model's plain list price."""
        read = self._list_usd(workload, workload.input_tokens, [r.input_usd_per_mtok for r in self.rates])
        written = self._list_usd(
            workload, workload.output_tokens, [r.output_usd_per_mtok for r in self.rates]
        )
        return read, written

    def _list_usd(self, workload: Workload, tokens: Ints, rates: Sequence[Decimal | None]) -> Decimal:
        """Mean rate over the tokens of every model."""
        total = Decimal(0)
        for index, rate in enumerate(rates):
            mine = tokens if len(rates) == 1 else tokens[workload.model == index]
            total += int(mine.sum(dtype=np.int64)) * (rate or Decimal(0))
        return total / max(int(tokens.sum(dtype=np.int64)), 1)

    def output_usd(self, workload: Workload) -> Decimal | None:
        """The part of the price of everything that is for the answers."""
        whole = self.price_usd(workload)
        silent = replace(workload, output_tokens=np.zeros_like(workload.output_tokens))
        read = self.price_usd(silent)
        return None if whole is None or read is None else whole - read


@dataclass(frozen=True)
class Effort:
    """How much is simulated: requests per fleet size, requests per side question, draws of the Monte Carlo.

    Fewer requests than the workload has are a stretch of it, in whole days where it has whole days.
    """

    fleet_requests: int
    side_requests: int
    draws: int = 1000

    @classmethod
    def usual(cls) -> Effort:
        """A week and a day of a million requests a month; less where the simulator runs interpreted."""
        return cls(250_000, 40_000) if compiled.can_run() else cls(40_000, 10_000)


@dataclass(frozen=True)
class PlanInputs:
    """All that a plan is a function of; the same inputs give the same plan."""

    traffic: Traffic
    node: NodeChoice
    cloud: CloudChoice
    costs: Mapping[str, Spread]
    """Uncertain figures by their name in ``plan_costs.KNOWN``."""
    usd_per_hour: Decimal
    """What an hour of maintenance costs."""
    life_months: int
    naive: NaiveInputs
    objective: Objective = DEFAULT_OBJECTIVE
    sizes: tuple[int, ...] = tuple(range(9))
    seed: int = 0
    effort: Effort = field(default_factory=Effort.usual)
    preset: str | None = None
    suitable_ratio: float = 1.0
    """Share of requests that a local model answers well enough."""
    most_input_tokens: int | None = None
    """Longest prompt a node may get; ``None`` for whatever fits."""
    hedge_share: float | None = None
    """Largest share of requests sent twice as configured; ``None`` for the gateway's usual one."""
    machines: Mapping[str, NodeChoice] = field(default_factory=dict)
    """Machines to try one of, by catalogue key; none where the plan is about a measured node."""
    machine: str | None = None
    """The one of them that is the plan's own node; ``None`` when it is described otherwise."""
    assumptions: tuple[Assumption, ...] = ()
    """Those that belong to none of the parts."""
    warnings: tuple[str, ...] = ()

    @cached_property
    def simulated(self) -> Workload:
        """The part of the traffic that is simulated for each fleet size."""
        return stretch(self.traffic.workload, self.effort.fleet_requests)

    @cached_property
    def sampled(self) -> Workload:
        """The part that is simulated for each side question."""
        return stretch(self.traffic.workload, self.effort.side_requests)


def length_of(span_s: float) -> str:
    """A stretch of time as people say it: ``3.0 minutes``, ``1.8 hours``, ``6.2 days``."""
    if span_s >= DAY_S:
        return f"{span_s / DAY_S:.1f} days"
    return f"{span_s / 3600:.1f} hours" if span_s >= 3600 else f"{span_s / 60:.1f} minutes"


def percent(ratio: float) -> str:
    """The share as people write it: ``36 %``."""
    return f"{ratio:.0%}".replace("%", " %")


def exact_percent(ratio: float) -> str:
    """The share with the decimals that it was stated with: ``99.9 %``."""
    return f"{100 * ratio:.6g} %"


def percent_below(ratio: float, limit: float) -> str:
    """The share with the decimals, four at most, that it takes to read as less than the limit it misses."""
    places = next((n for n in range(4) if round(100 * ratio, n) < round(100 * limit, n)), 4)
    return f"{100 * ratio:.{places}f} %"
