"""From what somebody asked for to the inputs of a plan: traffic, then node, then cloud, then money."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal

from spillway.errors import ConfigError
from spillway.planner.breakeven import Spread
from spillway.planner.catalogue import load_machines
from spillway.planner.money import NaiveInputs
from spillway.planner.node_figures import NodeFigures
from spillway.planner.plan_cloud import (
    CloudFigures,
    choose_cloud,
    price_of_line_items,
    refuse_unknown_tiers,
)
from spillway.planner.plan_costs import ARTICLE_COSTS, KNOWN, USUAL_COSTS, with_given
from spillway.planner.plan_inputs import (
    DEFAULT_OBJECTIVE,
    Assumption,
    CloudChoice,
    Effort,
    NodeChoice,
    PlanInputs,
    Traffic,
)
from spillway.planner.plan_node import Typical, choose_node
from spillway.planner.plan_traffic import from_numbers, from_usage
from spillway.planner.presets import ARTICLE_NODE, PRESETS, article_cloud, article_traffic
from spillway.planner.readers.costs import Bill
from spillway.vocabulary import Objective

__all__ = ["Asked", "build_inputs"]

USUAL_USD_PER_HOUR = Decimal(60)
USUAL_LIFE_MONTHS = 48
MUCH_RATIO = Decimal("0.1")
"""How far a stated bill may be from list prices before it is worth a word."""


@dataclass(frozen=True)
class Asked:
    """What somebody wants planned; everything left out has a default that the plan states."""

    price_day: date
    """Cloud prices in force on that day are taken."""
    usage: tuple[str, ...] = ()
    """Files, or URLs of ledgers."""
    preset: str | None = None
    requests_per_month: int | None = None
    """Traffic by numbers instead of files, or how many requests the costs in a file were for."""
    input_tokens: float | None = None
    output_tokens: float | None = None
    shape: str = "consumer"
    format_name: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    """The files' columns and the fields they are taken as, empty for one that is not to be used."""
    node: NodeFigures = field(default_factory=NodeFigures)
    context_tokens: int | None = None
    """Prompt and answer that the node takes of one request, as configured; ``None`` for what it holds."""
    cloud: CloudFigures | None = None
    objective: Objective = DEFAULT_OBJECTIVE
    sizes: tuple[int, ...] = tuple(range(9))
    costs: Mapping[str, Decimal] = field(default_factory=dict)
    """Uncertain figures that are known better, by their name in ``plan_costs.KNOWN``."""
    usd_per_hour: Decimal | None = None
    life_months: int | None = None
    suitable_ratio: float = 1.0
    """Share of requests that a local model answers well enough."""
    most_input_tokens: int | None = None
    """Longest prompt a node may get; ``None`` for whatever fits."""
    hedge_share: float | None = None
    """Largest share of requests sent twice; ``None`` for the gateway's usual one."""
    seed: int = 0
    effort: Effort = field(default_factory=Effort.usual)
    notes: tuple[str, ...] = ()
    """What else the plan's reader should know."""


def build_inputs(asked: Asked) -> PlanInputs:
    """The inputs of the plan; ``WorkloadError`` or ``ConfigError`` says what is wrong and what to do."""
    _refuse_nonsense(asked)
    is_article = asked.preset == "article"
    traffic = _traffic(asked)
    workload = traffic.workload
    typical = Typical(workload.mean_input_tokens, workload.mean_output_tokens, asked.objective)
    figures = _node_figures(asked)
    node = _within(choose_node(figures, typical), asked.context_tokens)
    cloud, warnings = _cloud(asked, traffic)
    costs = with_given(ARTICLE_COSTS if is_article else USUAL_COSTS, asked.costs)
    life_months = asked.life_months or USUAL_LIFE_MONTHS
    machine, machines = node.machine_key, _machines(figures, typical)
    return PlanInputs(
        traffic=traffic,
        node=node,
        cloud=cloud,
        costs=costs,
        usd_per_hour=asked.usd_per_hour if asked.usd_per_hour is not None else USUAL_USD_PER_HOUR,
        life_months=life_months,
        naive=_naive(traffic, node, cloud, costs["usd_per_kwh"].mode, life_months),
        objective=asked.objective,
        sizes=asked.sizes,
        seed=asked.seed,
        effort=asked.effort,
        preset=asked.preset,
        suitable_ratio=asked.suitable_ratio,
        most_input_tokens=asked.most_input_tokens,
        hedge_share=asked.hedge_share,
        machines={**machines, machine: node} if machine in machines else machines,
        machine=machine if machine in machines else None,
        assumptions=_assumptions(asked),
        warnings=(*asked.notes, *node.warnings, *_unnamed(figures, node), *_steep(costs), *warnings),
    )


def _refuse_nonsense(asked: Asked) -> None:
    if asked.preset is not None and asked.preset not in PRESETS:
        raise ConfigError(f"--preset {asked.preset!r} is unknown; use {', '.join(PRESETS)}")
    if asked.preset is not None and asked.usage:
        raise ConfigError("--preset brings its own traffic; leave out the usage files or the preset")
    if not (asked.usage or asked.requests_per_month is not None or asked.preset):
        raise ConfigError(
            "nothing to plan from: give a usage file, or --requests-per-month with --input-tokens and "
            "--output-tokens, or --preset article"
        )
    if not asked.usage and (asked.format_name is not None or asked.columns):
        raise ConfigError("--format and --map are about usage files: give one, or leave them out")
    if asked.usage and (asked.input_tokens is not None or asked.output_tokens is not None):
        raise ConfigError(
            "usage files tell the tokens: leave out --input-tokens and --output-tokens, or the files"
        )
    for name, value in asked.costs.items():
        known = KNOWN[name]
        if not known.least <= value <= known.most:
            named = f"{known.option}: {known.label}" if known.option else known.label
            raise ConfigError(f"{named} must be between {known.least} and {known.most}, not {_short(value)}")
    batch_ratio = asked.cloud.batch_ratio if asked.cloud else None
    if batch_ratio is not None and not 0 <= batch_ratio <= 1:
        raise ConfigError(f"--batch-ratio is a share between 0 and 1, not {batch_ratio}")
    if not any(asked.sizes):
        raise ConfigError("--nodes needs at least one fleet of 1 or more nodes, such as 0-8")


def _short(value: Decimal) -> str:
    """The number without a hundred zeros."""
    return f"{value:f}" if -9 <= value.adjusted() <= 9 else f"{value:.3g}"


def _traffic(asked: Asked) -> Traffic:
    lengths = (asked.input_tokens, asked.output_tokens)
    if asked.preset == "article":
        return article_traffic(asked.requests_per_month, *lengths, asked.shape, seed=asked.seed)
    if asked.requests_per_month is not None and not asked.usage:
        return from_numbers(asked.requests_per_month, *lengths, asked.shape, seed=asked.seed)
    return from_usage(
        asked.usage,
        format_name=asked.format_name,
        columns=asked.columns,
        shape=asked.shape,
        seed=asked.seed,
        bill=_bill(asked),
    )


def _bill(asked: Asked) -> Bill | None:
    """What makes traffic of costs, where the number of requests is given."""
    if asked.requests_per_month is None:
        return None
    return Bill(asked.requests_per_month, price_of_line_items(_figures(asked)))


def _figures(asked: Asked) -> CloudFigures:
    return asked.cloud or CloudFigures(asked.price_day)


def _node_figures(asked: Asked) -> NodeFigures:
    """The article's node where the preset's owner names none."""
    return ARTICLE_NODE if asked.preset == "article" and asked.node == NodeFigures() else asked.node


def _within(node: NodeChoice, context_tokens: int | None) -> NodeChoice:
    """The node that takes no request of more than so many tokens, where it could hold them."""
    if context_tokens is None or context_tokens >= node.context_tokens:
        return node
    said = Assumption(
        "prompt and answer of one request, at most", context_tokens, "tokens", "given",
        "context_tokens of the configuration",
    )  # fmt: skip
    return replace(
        node,
        context_tokens=float(context_tokens),
        is_context_configured=True,
        assumptions=(*node.assumptions, said),
    )


def _cloud(asked: Asked, traffic: Traffic) -> tuple[CloudChoice, list[str]]:
    figures = _figures(asked)
    if asked.preset == "article":
        figures = article_cloud(figures)
    refuse_unknown_tiers(traffic.tiers, figures)
    cloud, warnings = choose_cloud(traffic.workload, figures, traffic.batch)
    is_as_used = figures.cloud is None and figures.input_usd_per_mtok is None
    return cloud, warnings + (_difference(traffic, cloud) if is_as_used else [])


def _difference(traffic: Traffic, cloud: CloudChoice) -> list[str]:
    """A warning where the usage states another bill than list prices come to."""
    stated = [report.cost_usd for report in traffic.reports]
    listed = cloud.price_usd(traffic.workload)
    if not stated or None in stated or not listed:
        return []
    whole = sum((amount for amount in stated if amount is not None), Decimal(0))
    if abs(whole / listed - 1) <= MUCH_RATIO:
        return []
    return [
        f"the usage states costs of ${whole:,.2f} in all and list prices come to ${listed:,.2f}; the plan "
        "uses list prices (discounts, retries or other services may explain the difference)"
    ]


def _unnamed(figures: NodeFigures, node: NodeChoice) -> list[str]:
    """That nobody chose the machine."""
    if node.machine_key is None or figures.hardware is not None:
        return []
    return [f"nobody named a machine: planned with {node.machine_name}; --hardware names another"]


def _steep(costs: Mapping[str, Spread]) -> list[str]:
    """That traffic doubles within a year or more, where a percentage may have been meant."""
    growth = costs["growth_per_year"].mode.normalize()
    if growth <= 1:
        return []
    return [
        f"traffic is taken to be {growth + 1:f} times as much after each year: where only {growth:f} % more "
        f"was meant, write --growth {growth:f}%"
    ]


def _machines(figures: NodeFigures, typical: Typical) -> dict[str, NodeChoice]:
    """One of each machine in the catalogue that holds the same model."""
    if figures.profile is not None:
        return {}
    found = {}
    for key in load_machines():
        other = NodeFigures(
            hardware=key, model=figures.model, quant=figures.quant, weights_gb=figures.weights_gb,
            params_b=figures.params_b, kv_bytes_per_token=figures.kv_bytes_per_token,
        )  # fmt: skip
        try:
            found[key] = choose_node(other, typical)
        except ConfigError:
            continue  # too little memory, or nobody knows what it costs
    return found


def _naive(
    traffic: Traffic, node: NodeChoice, cloud: CloudChoice, usd_per_kwh: Decimal, life_months: int
) -> NaiveInputs:
    """The usual calculation over the same traffic."""
    input_rate, output_rate = cloud.mean_rates(traffic.workload)
    a_prompt = max(traffic.workload.mean_input_tokens, 1.0)  # usage may be all answers
    return NaiveInputs(
        requests_per_month=traffic.requests_per_month,
        input_tokens=Decimal(repr(traffic.workload.mean_input_tokens)),
        output_tokens=Decimal(repr(traffic.workload.mean_output_tokens)),
        input_usd_per_mtok=input_rate,
        output_usd_per_mtok=output_rate,
        hardware_usd=node.price_usd or node.rent_usd_per_month * life_months,
        active_w=node.active_w,
        usd_per_kwh=usd_per_kwh,
        life_months=Decimal(life_months),
        decode_tok_s=_speed(node.decode_tok_s()),
        prefill_tok_s=_speed(node.prefill_tok_s(a_prompt)),
    )


def _speed(tok_s: float) -> Decimal:
    """To six digits: what is slow is not none."""
    return Decimal(f"{tok_s:.6g}")


def _assumptions(asked: Asked) -> tuple[Assumption, ...]:
    hour, life = asked.usd_per_hour, asked.life_months
    is_article = asked.preset == "article"
    return (
        Assumption(
            "an hour of maintenance", hour if hour is not None else USUAL_USD_PER_HOUR, "USD",
            "given" if hour is not None else "guess", "given" if hour is not None else "an engineer's hour",
        ),
        Assumption(
            "life of the hardware", life or USUAL_LIFE_MONTHS, "months", "given" if life else "guess",
            "given" if life else "the article's own figure" if is_article else "four years, as books have it",
        ),
    )  # fmt: skip
