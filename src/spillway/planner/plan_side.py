"""What is asked of one fleet besides its size: other policies, loads, speeds, lengths and objectives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from spillway.planner.breakeven import Case, Outcome, Spread, draw_outcomes, evaluate, monte_carlo
from spillway.planner.plan_inputs import NodeChoice, PlanInputs
from spillway.planner.plan_money import Answers, make_case, on_one_scale, share_spread, spreads_of
from spillway.planner.plan_runs import CLAIRVOYANT, OURS, POLICIES, Ran, Run, loosened, usd_per_request
from spillway.vocabulary import Objective

__all__ = [
    "MachineLine", "Patient", "PolicyLine", "Side", "future_runs", "growth_loads", "loads_of", "side_runs",
]  # fmt: skip

PATIENCE = 2.5
"""How much longer an objective is tried when looking for what would change the verdict."""
MOST_GROWTH, LEAST_GROWTH = 16.0, 0.25
"""How far from today's load a fleet is simulated; beyond that it is taken as saturated, or as idle."""


@dataclass(frozen=True)
class PolicyLine:
    """One policy on the shown fleet."""

    name: str
    ran: Ran
    regret: float | None
    """Share of the best known run's timely local requests that this one misses; ``None`` if it has none."""


@dataclass(frozen=True)
class MachineLine:
    """One machine of the catalogue with the same model, bought or rented alone."""

    key: str
    node: NodeChoice
    ran: Ran
    outcome: Outcome


@dataclass(frozen=True)
class Patient:
    """What the fleet would do under an objective that is some times as long."""

    objective: Objective
    ran: Ran
    outcome: Outcome


MORE_TRAFFIC = (2.0, 4.0, 8.0, 16.0, 64.0, 256.0, 1024.0)
"""Loads tried where nothing pays, so that traffic which would is not taken for impossible."""


def loads_of(inputs: PlanInputs, *, is_never: bool = False) -> tuple[float, ...]:
    """Loads that the traffic may grow or shrink to within the hardware's life, today's left out.

    Where nothing pays (``is_never``) much more traffic too.
    """
    growth, years = inputs.costs["growth_per_year"], inputs.life_months / 12
    least, most = (
        min(MOST_GROWTH, max(LEAST_GROWTH, float(1 + end) ** years)) for end in (growth.low, growth.high)
    )
    steps = (least, most**0.5, most) if most > 3 else (least, most)
    loads = sorted({round(load, 4) for load in steps if abs(load - 1) > 0.05})
    top = max(loads, default=1.0)
    return (*loads, *(load for load in MORE_TRAFFIC if is_never and load > 1.5 * top))


def growth_loads(inputs: PlanInputs) -> tuple[float, ...]:
    """Loads at which whatever is priced month by month is simulated; today's alone where nothing grows."""
    return (1.0, *loads_of(inputs)) if inputs.costs["growth_per_year"].mode else (1.0,)


def side_runs(inputs: PlanInputs, nodes: int, *, is_never: bool = False) -> list[Run]:
    """All of them; the best known run first since it takes longest."""
    others = [key for key in inputs.machines if key != inputs.machine]
    return [
        Run(nodes, CLAIRVOYANT),
        *(Run(nodes, name) for name in POLICIES if name not in (CLAIRVOYANT, OURS)),
        *future_runs(inputs, nodes, is_never=is_never),
        *(Run(nodes, patience=PATIENCE, load=load) for load in growth_loads(inputs)),
        *(Run(1, machine=key, load=load) for key in others for load in growth_loads(inputs)),
    ]


def future_runs(inputs: PlanInputs, nodes: int, *, is_never: bool = False) -> list[Run]:
    """Those of them that the fleet's futures rest on: other loads, speeds and lengths."""
    error, lengths = inputs.node.error_ratio, inputs.costs["output_factor"]
    return [
        Run(nodes),
        *(Run(nodes, load=load) for load in loads_of(inputs, is_never=is_never)),
        *(Run(nodes, slower=factor) for factor in (1 + error, 1 / (1 + error))),
        *(Run(nodes, longer=float(length)) for length in (lengths.low, lengths.high)),
    ]


@dataclass(frozen=True)
class Side:
    """The answers to ``side_runs``, or to ``future_runs`` where only the futures are asked for."""

    inputs: PlanInputs
    ran: tuple[Ran, ...]

    def _of(self, **wanted: object) -> Ran:
        """The run that differs from the plan in just this way."""
        return next(each for each in self._at_loads(**wanted) if each.run.load == 1.0)

    def _at_loads(self, **wanted: object) -> list[Ran]:
        """The runs that differ from the plan in just this way, and in load."""
        run = replace(Run(self.ran[0].run.nodes), **wanted)  # type: ignore[arg-type]
        return [each for each in self.ran if replace(each.run, load=1.0) == run]

    @property
    def now(self) -> Ran:
        """Nothing changed, over the same stretch as all others."""
        return self._of()

    def case(self, whole: Ran) -> Case:
        """The fleet's money with what is known of other loads and lengths; ``whole`` is the longer run."""
        others = [ran for ran in self._at_loads() if ran.run.load != 1.0]
        runs = on_one_scale(whole, self.now, others)
        return make_case(self.inputs, whole.run.nodes, runs, usd_per_request(self.inputs), self.answers())

    def answers(self) -> Answers:
        """What longer answers do to the bill and to the share, from the two runs with other lengths."""
        lengths = self.inputs.costs["output_factor"]
        whole = self.inputs.cloud.price_usd(self.inputs.traffic.workload)
        written = self.inputs.cloud.output_usd(self.inputs.traffic.workload)
        cost_ratio = written / whole if whole and written is not None else Decimal(0)
        base = self.now.avoided_share
        if lengths.low == lengths.high or not base:
            return Answers(cost_ratio)
        short = self._of(longer=float(lengths.low)).avoided_share
        long = self._of(longer=float(lengths.high)).avoided_share
        return Answers(cost_ratio, (short - long) / base / (lengths.high - lengths.low))

    def share_spread(self) -> Spread:
        """How far the share may be off when the node is as wrong as its figures may be."""
        error = self.inputs.node.error_ratio
        slower, faster = self._of(slower=1 + error), self._of(slower=1 / (1 + error))
        return share_spread(self.now, slower, faster, error)

    def spreads(self) -> dict[str, Spread]:
        """All that is uncertain about the fleet, by the field of its case."""
        return spreads_of(self.inputs, self.share_spread())

    def futures(self, whole: Ran) -> list[Outcome]:
        """What the fleet comes to in each future; ``whole`` is the longer run."""
        inputs = self.inputs
        return draw_outcomes(self.case(whole), self.spreads(), draws=inputs.effort.draws, seed=inputs.seed)

    def pays_elsewhere(self, outcome: Outcome) -> bool:
        """Whether another fleet or machine pays in the middle future.

        What is uncertain about its share is taken to be what is uncertain about the plan's own.
        """
        inputs, answers = self.inputs, self.answers()
        case = replace(
            outcome.case, output_cost_ratio=answers.cost_ratio, output_share_loss=answers.share_loss
        )
        found = monte_carlo(case, self.spreads(), draws=inputs.effort.draws, seed=inputs.seed)
        return found.p50 is not None

    def policies(self) -> tuple[PolicyLine, ...]:
        """Every policy on the fleet, in the order of ``POLICIES``."""
        best = self._of(policy=CLAIRVOYANT).useful_share
        found = []
        for name in POLICIES:
            ran = self._of(policy=name)
            regret = 1.0 - ran.useful_share / best if best else None
            found.append(PolicyLine(name, ran, regret))
        return tuple(found)

    def machines(self, own: Ran, own_outcome: Outcome) -> tuple[MachineLine, ...]:
        """One of each machine, the one that saves most over its life first.

        ``own`` is the longer run of one of the plan's own nodes: it is told as the fleets tell it.
        """
        price_usd = usd_per_request(self.inputs)
        found = []
        for key, node in self.inputs.machines.items():
            if key == self.inputs.machine:
                found.append(MachineLine(key, node, own, own_outcome))
                continue
            runs = self._at_loads(nodes=1, machine=key)
            case = make_case(self.inputs, 1, runs, price_usd, Answers())
            found.append(MachineLine(key, node, runs[0], evaluate(case)))
        return tuple(sorted(found, key=lambda line: (-line.outcome.saved_usd, line.key)))

    def better(self, lines: Sequence[MachineLine], promised: float) -> MachineLine | None:
        """The first other machine that keeps the objective and pays in the middle future too."""
        for line in lines:
            if line.key == self.inputs.machine or line.ran.attainment < promised:
                continue
            if line.outcome.saved_usd > 0 and self.pays_elsewhere(line.outcome):
                return line
        return None

    def patient(self, whole: Ran) -> Patient | None:
        """The same fleet under a longer objective; ``None`` when there is none to loosen."""
        objective = self.inputs.objective
        if objective.ttft_s is None and objective.total_s is None:
            return None
        runs = self._at_loads(patience=PATIENCE)
        case = make_case(self.inputs, whole.run.nodes, runs, usd_per_request(self.inputs), Answers())
        return Patient(loosened(objective, PATIENCE), runs[0], evaluate(case))
