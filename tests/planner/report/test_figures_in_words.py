"""Sentences and tables hold the figures they speak of; the words around them are tested elsewhere."""

from __future__ import annotations

import re
from dataclasses import replace
from decimal import Decimal

import pytest

from spillway.planner.breakeven import Sensitivity, Spread
from spillway.planner.plan import Plan
from spillway.planner.plan_inputs import Assumption
from spillway.planner.plan_side import PolicyLine
from spillway.planner.report.terminal import printed
from spillway.planner.report.words import SPILL_WORDS, comparison, headline, policy_cells, share, usd
from spillway.routing import reasons
from tests.planner.plans import never, pays
from tests.planner.report.ran import RAN

D = Decimal


def row(plan: Plan, what: str) -> tuple[str, str, str]:
    """The line of the comparison that begins so."""
    return next(each for each in comparison(plan) if each[0].startswith(what))


def one_node(plan: Plan, **changes: object) -> Plan:
    """The plan as if its single node had run otherwise."""
    fleets = (
        replace(line, ran=replace(line.ran, **changes)) if line.nodes == 1 else line  # type: ignore[arg-type]
        for line in plan.fleets
    )
    return replace(plan, fleets=tuple(fleets))


def test_hardware_costs_its_price_times_the_nodes() -> None:
    """Three nodes of $1,300 are $3,900 of hardware."""
    plan = replace(pays(), recommended_nodes=3)
    node = replace(plan.inputs.node, price_usd=D(1300))
    assert headline(replace(plan, inputs=replace(plan.inputs, node=node))).startswith("$3,900 ")


def test_what_remains_in_the_cloud_is_not_the_whole_bill() -> None:
    """The first month's cloud bill with one node, beside the usual calculation's of everything."""
    plan = pays()
    one = next(line for line in plan.fleets if line.nodes == 1)
    month = one.outcome.months[0]
    assert usd(month.cloud_usd) != usd(month.all_cloud_usd)
    assert row(plan, "cloud, a month")[2].startswith(usd(month.cloud_usd))


def test_a_local_request_costs_what_the_node_costs() -> None:
    """What remains in the cloud is no part of it."""
    plan = one_node(pays(), local_share=0.5)
    one = next(line for line in plan.fleets if line.nodes == 1)
    half = plan.inputs.traffic.requests_per_month / 2
    assert row(plan, "local, per request")[2] == usd(one.local_usd_per_month / half)


def test_nodes_that_take_only_a_part_do_not_take_all() -> None:
    """Where nine tenths can be in time, the nodes for them are told with that share."""
    plan = pays()
    most = replace(plan, nodes_for_all=2, ceiling=replace(plan.ceiling, in_time_share=0.9))
    assert "90 %" in row(most, "all of it")[2]
    nearly = replace(plan, nodes_for_all=2, ceiling=replace(plan.ceiling, in_time_share=0.95))
    assert row(nearly, "all of it")[2] == "2 nodes"


@pytest.mark.parametrize(("ratio", "said"), [(0.0004, "< 0.1 %"), (0.0006, "0.1 %"), (0.004, "0.4 %")])
def test_small_shares_are_told_apart(ratio: float, said: str) -> None:
    """Only what a tenth of a percent cannot tell reads as less than that."""
    assert share(ratio) == said


def test_unknown_energy_is_not_none() -> None:
    """A policy on nodes that draw nobody knows what has no zero in the table."""
    known = policy_cells(PolicyLine("ours", RAN, 0.19))
    unknown = policy_cells(PolicyLine("ours", replace(RAN, kwh_per_month=None), 0.19))
    [(before, after)] = [pair for pair in zip(known, unknown, strict=True) if pair[0] != pair[1]]
    assert (before, after) == ("28", "unknown")


def shown_ran(plan: Plan) -> Plan:
    """The plan as if the shown fleet had run like ``RAN``."""
    fleets = (replace(line, ran=RAN) if line.nodes == plan.shown_nodes else line for line in plan.fleets)
    return replace(plan, fleets=tuple(fleets))


def test_reasons_are_shares_of_all_requests() -> None:
    """300 and 100 of a thousand requests: 30 % and 10 %, not three quarters of what spilled."""
    line = next(
        line for line in printed(shown_ran(never()), 200).splitlines() if SPILL_WORDS[reasons.FULL] in line
    )
    assert re.findall(r"\d+ %", line) == ["30 %", "10 %"]


def test_guesses_are_counted() -> None:
    """One guess among three figures is one of three."""
    grades = ("guess", "given", "given")
    figures = tuple(Assumption("x", 1, "", grade, "somewhere") for grade in grades)  # type: ignore[arg-type]
    assert re.search(r"\b1 of 3\b", printed(replace(never(), assumptions=figures)))


def test_savings_at_the_least_stand_before_those_at_the_largest() -> None:
    """From, to, what is saved then and what then, in that order."""
    spread = Spread(D("0.1"), D("0.2"), D("0.3"))
    plan = replace(
        never(),
        sensitivities=(Sensitivity("usd_per_kwh", D(1111), D(2222)),),
        spreads={"usd_per_kwh": spread},
    )
    line = next(line for line in printed(plan).splitlines() if "$1,111" in line)
    assert re.findall(r"\$[\d.,]+", line) == ["$0.10", "$0.30", "$1,111", "$2,222"]


def test_a_dozen_notes_are_printed_and_the_others_counted() -> None:
    """Of fourteen warnings twelve are read, and that there are two more."""
    text = printed(replace(never(), warnings=tuple(f"warning number {n};" for n in range(14))), 200)
    assert text.count("warning number") == 12
    assert re.search(r"\b2 more\b", text)
