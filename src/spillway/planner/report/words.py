"""A plan's figures as people write them, and the few sentences that say what it comes to."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_EVEN, Context, Decimal

from spillway.planner.breakeven import Band
from spillway.planner.catalogue import DESKTOP
from spillway.planner.money import span_of, usd
from spillway.planner.plan import CLEARLY, FleetLine, Plan
from spillway.planner.plan_costs import KNOWN
from spillway.planner.plan_inputs import DAY_S, NodeChoice, Value, exact_percent, length_of
from spillway.planner.plan_runs import CLAIRVOYANT
from spillway.planner.plan_side import MachineLine, Patient, PolicyLine
from spillway.routing import reasons
from spillway.vocabulary import Objective

__all__ = [
    "FLEET_NAMES",
    "SPILL_WORDS",
    "about",
    "comparison",
    "fleet_cells",
    "headline",
    "is_resold",
    "label_of",
    "machine_cells",
    "machine_name",
    "months",
    "nodes_of",
    "objective_of",
    "policy_cells",
    "share",
    "short_months",
    "spread_of",
    "suggestions",
    "usd",
    "value_of",
    "verdict",
    "whole_usd",
]

Number = Decimal | float | int
NEVER = "never"
AT_ONCE = "at once"
OTHER_TRAFFIC = Decimal("0.03")
"""More requests are other requests, and what they come to was seen to differ by so much at most."""

SPILL_WORDS = {
    reasons.SLO_TTFT: "first token would be late",
    reasons.SLO_TOTAL: "last token would be late",
    reasons.WORK: "too much work while the nodes are full",
    reasons.FULL: "nodes full",
    reasons.INPUT_BUDGET: "prompt above the local limit",
    reasons.OUTPUT_BUDGET: "answer above the local limit",
    reasons.TASK: "no task for a local model",
    reasons.CONTEXT: "does not fit the node's context",
    "policy": "no node",
}
"""Codes of ``routing.reasons`` for somebody who does not know them; others are shown as they are."""


def share(ratio: Number | None) -> str:
    """A percentage; small ones with a decimal, and those that are nearly all."""
    if ratio is None:
        return "unknown"
    if 0 < ratio < 0.0005:
        return "< 0.1 %"
    if 0.995 <= ratio < 1:
        return f"{min(float(ratio), 0.999):.1%}".replace("%", " %")
    if -0.005 < ratio < 0:
        return "0 %"  # a policy with luck may be a hair better than the best run that is known
    return f"{ratio:.1%}".replace("%", " %") if 0 < ratio < 0.0995 else f"{ratio:.0%}".replace("%", " %")


def months(count: Number | None) -> str:
    """Months to one decimal where they are few."""
    if not count:
        return NEVER if count is None else AT_ONCE
    if round(count, 1) == 0:
        return "less than 0.1 months"
    return f"{count:.1f} months" if count < Decimal("99.5") else f"{count:.0f} months"


def whole_usd(amount: Number) -> str:
    """Dollars without cents, for tables."""
    value = Decimal(str(amount))
    return f"{'−' if value < 0 and round(value) else ''}${abs(value):,.0f}"


def short_months(count: Number | None) -> str:
    """The same without the word, for tables."""
    if not count:
        return NEVER if count is None else AT_ONCE
    return f"{count:.1f}" if round(count, 1) else "< 0.1"


def paid(count: Number | None) -> str:
    """The same as the end of a sentence about something that would carry requests."""
    if count is None:
        return "but never be paid back"
    if not count:
        return "and cost less from the first month"
    return f"and, at the likeliest figures, be paid back {when(count)}"


def when(count: Number | None) -> str:
    """The same as an answer to when something pays."""
    return f"in {months(count)}" if count else months(count)


def nodes_of(count: int) -> str:
    """``1 node``, ``2 nodes``."""
    return f"{count} node" if count == 1 else f"{count} nodes"


def objective_of(objective: Objective) -> str:
    """The objective as a phrase."""
    parts = []
    if objective.ttft_s is not None:
        parts.append(f"first token within {objective.ttft_s:g} s")
    if objective.total_s is not None:
        parts.append(f"last within {objective.total_s:g} s")
    if not parts:
        return "no objective"
    return f"{', '.join(parts)} for {exact_percent(objective.attainment_ratio)}"


def about(plan: Plan) -> str:
    """What was planned, in one line."""
    inputs = plan.inputs
    parts = (inputs.traffic.described, inputs.cloud.name, inputs.node.name, objective_of(inputs.objective))
    return " · ".join(parts)


def label_of(field: str) -> str:
    """What an uncertain field of a case is called for people."""
    if field == "share_factor":
        return "what the nodes really carry"
    known = KNOWN.get(field)
    return known.label if known is not None else field


def spread_of(field: str, value: Decimal) -> str:
    """One end of an uncertain figure, in the unit that people use for it."""
    known = KNOWN.get(field)
    unit = "ratio" if known is None else known.unit
    if unit.startswith("ratio"):
        places = 1 if abs(value) < Decimal("0.1") else 0
        return f"{100 * value:.{places}f}".removesuffix(".0").replace("-", "−") + " %"
    return exact_usd(value) if unit.startswith("USD") else f"{value.normalize():f} h"


def value_of(value: Value) -> str:
    """One assumption's value."""
    if value is None:
        return "unknown"
    if isinstance(value, str):
        return value
    number = Decimal(str(value)).normalize()
    return f"{number:,f}"


def verdict(plan: Plan) -> str:
    """The answer in a few words."""
    node = plan.inputs.node
    action = "rent" if node.rent_usd_per_month else "buy"
    if not plan.is_worth_it:
        return f"Do not {action}{_refused(plan)}{_but(plan)}"
    return f"{_capital(action)} {nodes_of(plan.recommended_nodes)}: it pays"


def _refused(plan: Plan) -> str:
    """Which fleets are no good, and why; fleets of several nodes are not told as the machine's own fault."""
    sizes, keeps = [nodes for nodes in plan.inputs.sizes if nodes], plan.shown.keeps_objective
    if 1 not in sizes:
        several = nodes_of(sizes[0]) if len(sizes) == 1 else f"{min(sizes)} or more nodes"
        return f" {several}: they {'never pay' if keeps else 'miss the objective'}"
    node = plan.inputs.node
    named = f" {short_machine(node).removeprefix('rented ')}" if plan.inputs.machine is not None else ""
    return f"{named}: it {'never pays' if keeps else 'misses the objective'}"


def _but(plan: Plan) -> str:
    """What would do instead, one node before another machine."""
    other = "1 node" if plan.alone else short_machine(plan.better.node) if plan.better else None
    does = "does" if plan.shown.keeps_objective else "pays"
    return "" if other is None else f", but {other} {does}"


def headline(plan: Plan) -> str:
    """The answer in one or two sentences, and the condition it stands under where usage is a mere sample."""
    return _answer(plan) + _condition(plan)


def _condition(plan: Plan) -> str:
    """Less than a day of usage has no night, or no peak."""
    traffic = plan.inputs.traffic
    if not traffic.reports or traffic.workload.span_s >= DAY_S:
        return ""
    return f" All this if every hour of the month is like these {length_of(traffic.workload.span_s)}."


def _answer(plan: Plan) -> str:
    band, node = plan.band, plan.inputs.node
    if not plan.is_worth_it:
        is_chance = band.pays_ratio and plan.shown.keeps_objective
        chance = f" It pays in {share(band.pays_ratio)} of the futures considered." if is_chance else ""
        return f"{_capital(plan.reason or '')}.{chance}"
    life = plan.inputs.life_months
    p10, p50, p90 = (saved / life for saved in (band.saved_p10_usd, band.saved_p50_usd, band.saved_p90_usd))
    saves = f"saves {usd(p50)} a month over {span_of(life)} ({usd(p10)} to {usd(p90)})"
    of = f" Middle of {plan.inputs.effort.draws:,} futures; the tables show the likeliest figures."
    if node.rent_usd_per_month:
        return f"It {saves}, rent paid.{of}"
    cost = node.price_usd * plan.recommended_nodes
    if not cost:
        return f"Nothing has to be paid back, and it {saves}.{of}"
    less = ", less resale," if is_resold(plan) else ""
    return f"{usd(cost)} of hardware{less} is paid back {when(band.p50)} ({_range(band)}) and {saves}.{of}"


def _range(band: Band) -> str:
    """From when to when in eight futures of ten; how many are never, where those are a tenth or more."""
    if band.p90 is None:
        return f"from {short_months(band.p10)}, never in {share(1 - band.pays_ratio)} of the futures"
    p10, p90 = short_months(band.p10), months(band.p90)
    return p90 if p90.startswith("less") else f"{p10} to {p90}"


def is_resold(plan: Plan) -> bool:
    """Whether something is bought that may be worth something at the end: only what it loses is paid back."""
    return plan.inputs.node.price_usd > 0 and plan.inputs.costs["residual_ratio"].high > 0


def _capital(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]


def comparison(plan: Plan) -> list[tuple[str, str, str]]:
    """Triples of what, the usual calculation's answer, and the one with the objective kept."""
    naive = plan.naive
    one = next((line for line in plan.fleets if line.nodes == 1), plan.shown)
    is_rented = plan.inputs.node.rent_usd_per_month > 0
    read = naive.prefill_utilisation
    bill = share(one.ran.avoided_share)
    work = f"{share(naive.decode_utilisation)} writing"
    whole = f"{work} + {share(read)} reading" if read is not None else work
    return [
        ("cloud, per request", usd(naive.cloud_usd_per_request), usd(plan.cloud_usd_per_request)),
        ("cloud, a month", usd(naive.cloud_usd_per_month), f"{usd(one.outcome.months[0].cloud_usd)} remain"),
        ("local, per request", usd(naive.local_usd_per_request), usd(_local_usd(one))),
        ("one node's time", "not asked", whole),
        ("one node carries", "everything", f"{share(one.ran.local_share)}, {bill} of the bill"),
        (
            "one node is paid back in",
            "-" if is_rented else months(naive.break_even_months),
            months(one.outcome.break_even_months),
        ),
        ("all of it takes", "1 node", _all_of_it(plan)),
    ]  # fmt: skip


def _local_usd(one: FleetLine) -> Decimal | None:
    """What one of the requests that stay costs on the node, over its life.

    What stays of the bill tells how the share that stays moves as traffic does.
    """
    months, now = one.outcome.months, one.outcome.months[0].local_share
    stay = sum((month.requests * (month.local_share / now if now else 1) for month in months), Decimal(0))
    stay *= Decimal(repr(one.ran.local_share)) / len(months)
    return one.local_usd_per_month / stay if stay else None


def _all_of_it(plan: Plan) -> str:
    """Nodes that carry nearly all; "at most" where fewer were not tried."""
    ceiling, count = plan.ceiling.in_time_share, plan.nodes_for_all
    tried = [line.nodes for line in plan.fleets]
    if count is None:
        nodes = f"more than {nodes_of(max(tried))}"
    else:
        nodes = nodes_of(count) if count - 1 in tried else f"at most {nodes_of(count)}"
    if ceiling >= 0.95:
        return nodes
    is_limited = plan.inputs.most_input_tokens is not None or plan.inputs.suitable_ratio < 1.0
    may = "may go local and " if is_limited else ""
    take = "takes" if nodes.endswith("node") else "take"
    return f"no number of them; {nodes} {take} the {share(ceiling)} that {may}can be in time"


def suggestions(plan: Plan) -> Iterator[str]:
    """What would change the answer for the better, one sentence each."""
    if plan.alone is not None:
        yield _one_instead(plan, plan.alone)
    best = plan.better
    if best is not None:
        rent = best.node.rent_usd_per_month
        cost = f"{usd(rent)} a month" if rent else usd(best.node.price_usd)
        then = paid(best.outcome.break_even_months)
        yield f"One {machine_name(best)} ({cost}) would carry {share(best.ran.local_share)} {then}."
    if plan.patient is not None and _is_worth_waiting(plan, plan.patient):
        ran, outcome = plan.patient.ran, plan.patient.outcome
        yield (
            f"With {objective_of(plan.patient.objective)}, {nodes_of(plan.shown_nodes)} would carry "
            f"{share(ran.local_share)} {paid(outcome.break_even_months)}."
        )
    yield from _what_would_pay(plan)


def _is_worth_waiting(plan: Plan, patient: Patient) -> bool:
    """Whether it clearly saves more under a longer objective, which it keeps if it misses its own."""
    least_usd = max(plan.shown.outcome.saved_usd * CLEARLY, Decimal(0))
    keeps = plan.shown.keeps_objective or patient.ran.attainment >= patient.objective.attainment_ratio
    return keeps and patient.outcome.saved_usd > least_usd


def _one_instead(plan: Plan, one: FleetLine) -> str:
    """What one node would cost, beside the fleet that is recommended or the cloud alone."""
    other = plan.shown if plan.is_worth_it else plan.fleets[0]
    costs = f"{usd(one.outcome.total_usd_per_month)} a month altogether"
    instead = f"instead of {usd(other.outcome.total_usd_per_month)}"
    most, then = max(plan.inputs.sizes), paid(one.outcome.break_even_months)
    return f"1 node would cost {costs} {instead} {then}: --nodes 1-{most} asks about it too."


def machine_name(line: MachineLine) -> str:
    """The machine without the model on it."""
    return line.node.machine_name.removesuffix(DESKTOP)


def short_machine(node: NodeChoice) -> str:
    """The machine without its memory and its cores."""
    return node.machine_name.partition(",")[0]


def _what_would_pay(plan: Plan) -> Iterator[str]:
    if plan.is_worth_it:
        return
    nodes, they = nodes_of(plan.shown_nodes), "It" if plan.shown_nodes == 1 else "They"
    if not plan.shown.keeps_objective:
        yield (
            "A faster machine, a smaller model, a longer objective (--slo-ttft-ms, --slo-total-ms) or a "
            f"lower --attainment than {plan.inputs.objective.attainment_ratio:g} would change that."
        )
        return
    paid_back = plan.shown.outcome.break_even_months
    if paid_back is not None:
        yield f"At the likeliest figures {they.lower()} would pay, {when(paid_back)}; in most futures not."
    if not plan.cloud_usd_per_request:
        yield "The cloud charges nothing, so there is nothing to save: only a price of it would change that."
        return
    said = list(_what_alone(plan, nodes, they))
    yield from said
    if not said and paid_back is None:
        nothing = "Neither traffic nor a cloud price a thousand times as high would change that"
        is_rented = plan.inputs.node.rent_usd_per_month > 0
        yield f"{nothing}." if is_rented else f"{nothing}, nor would any price of the machine."


def _what_alone(plan: Plan, nodes: str, they: str) -> Iterator[str]:
    """Each figure that alone would make it pay, where that is another than today's; rounded to be enough."""
    would, now_usd = plan.would_pay, plan.inputs.node.price_usd
    if (price := would.get("hardware_usd")) is not None and price < now_usd:
        most, now = _apart(price, now_usd, ROUND_FLOOR)
        yield f"{_capital(nodes)} would pay if one cost at most {most}, not {now}."
    charged = plan.cloud_usd_per_request
    if (charge := would.get("cloud_usd_per_request")) is not None and charge > charged:
        least, now = _apart(charge, charged, ROUND_CEILING)
        yield f"{they} would pay if the cloud charged {least} a request, not {now}."
    now_count = plan.inputs.traffic.requests_per_month
    if (count := would.get("requests_per_month")) is not None and count > now_count:
        yield f"{they} would pay from about {_enough(count):,f} requests a month, not {now_count:,.0f}."


def _enough(count: Decimal) -> Decimal:
    """A count of requests that holds when it is planned for, to two digits."""
    rounded = Context(2, ROUND_CEILING).create_decimal(count * (1 + OTHER_TRAFFIC))
    return rounded.to_integral_value(ROUND_CEILING)


def _apart(needed: Decimal, now: Decimal, rounding: str) -> tuple[str, str]:
    """Both as dollars, with as many digits, three at least, as it takes to tell one from the other."""
    least, today = exact_usd(needed), exact_usd(now)
    for digits in range(3, 9):
        least, today = _digits(needed, digits, rounding), _digits(now, digits, ROUND_HALF_EVEN)
        if least != today:
            break
    return least, today


def _digits(amount: Decimal, digits: int, rounding: str) -> str:
    """Dollars with so many significant digits, or all that whole dollars have."""
    return exact_usd(Context(max(digits, amount.adjusted() + 1), rounding).create_decimal(amount))


def exact_usd(amount: Decimal) -> str:
    """Dollars with all the digits there are, cents in pairs."""
    plain = amount.normalize()
    exponent = plain.as_tuple().exponent
    places = -exponent if isinstance(exponent, int) and exponent < 0 else 0
    return f"${plain:,.{2 if places == 1 else places}f}"


FLEET_NAMES = (
    *("nodes", "local", "of the bill", "in time", "TTFT p95"),
    *("cloud $", "local $", "total $", "paid back"),
)
"""What the cells of ``fleet_cells`` are called."""


def fleet_cells(line: FleetLine) -> tuple[str, ...]:
    """One row of the fleets: nodes, shares, first token, money, and when it is paid back."""
    outcome, ran = line.outcome, line.ran
    return (
        str(line.nodes),
        share(ran.local_share),
        share(ran.avoided_share),
        share(ran.attainment),
        f"{ran.ttft_p95_s:.1f} s",
        whole_usd(outcome.cloud_usd_per_month),
        whole_usd(line.local_usd_per_month),
        whole_usd(outcome.total_usd_per_month),
        short_months(outcome.break_even_months) if line.nodes else "",
    )


def policy_cells(line: PolicyLine) -> tuple[str, ...]:
    """One row of the policies; the clairvoyant is behind nobody."""
    ran = line.ran
    behind = "" if line.name == CLAIRVOYANT else share(line.regret)
    energy = "unknown" if ran.kwh_per_month is None else f"{ran.kwh_per_month:,.0f}"
    return line.name, share(ran.local_share), share(ran.attainment), behind, energy, share(ran.useful_share)


def machine_cells(line: MachineLine) -> tuple[str, ...]:
    """One row of the machines; a rented one has nothing to pay back, but may cost more than it saves."""
    node, ran = line.node, line.ran
    is_rented = node.rent_usd_per_month > 0
    price = f"{whole_usd(node.rent_usd_per_month)}/mo" if is_rented else whole_usd(node.price_usd)
    rented = "rented" if line.outcome.saved_usd > 0 else NEVER
    return (
        machine_name(line),
        price,
        share(ran.local_share),
        share(ran.attainment),
        whole_usd(line.outcome.total_usd_per_month),
        rented if is_rented else short_months(line.outcome.break_even_months),
    )
