"""Which fleet a verdict is about: the cheapest that pays in the middle future too."""

from __future__ import annotations

from decimal import Decimal

import pytest

from spillway.planner.node_figures import NodeFigures
from spillway.planner.plan import Plan, make_plan
from spillway.planner.plan_build import Asked, build_inputs
from spillway.planner.plan_cloud import CloudFigures
from spillway.planner.plan_inputs import Effort
from spillway.vocabulary import Objective
from tests.planner.plans import DAY

D = Decimal


def busy(price_usd: int) -> Plan:
    """Much more traffic than a slow node can take, whose upkeep can only turn out dearer than planned."""
    node = NodeFigures(decode_tok_s=0.13, prefill_tok_s=1, hardware_usd=D(price_usd), active_w=D(0))
    asked = Asked(
        DAY, requests_per_month=6000, input_tokens=800, output_tokens=150, sizes=(1, 2), node=node,
        cloud=CloudFigures(DAY, "openai/dear", D(360), D(1440)), effort=Effort(300, 300, 40),
        objective=Objective("default", 2400.0, 12_000.0, 0.95), usd_per_hour=D(600),
        costs={"maintenance_hours": D(0), "redone_ratio": D(0)},
    )  # fmt: skip
    return make_plan(build_inputs(asked), workers=1)


@pytest.mark.parametrize(("price_usd", "nodes"), [(31_000, 2), (33_000, 1), (33_500, 1)])
def test_a_smaller_fleet_pays_where_the_cheapest_does_in_too_few_futures(price_usd: int, nodes: int) -> None:
    """A machine at a lower price never turns a yes into a no, whichever fleet is cheapest by a hair."""
    plan = busy(price_usd)
    assert (plan.is_worth_it, plan.recommended_nodes, plan.shown_nodes) == (True, nodes, nodes)
    assert plan.band.saved_p50_usd > 0
    one, two = (line.outcome for line in plan.fleets if line.nodes)
    assert (two.saved_usd > one.saved_usd) == (price_usd < 33_500)


def test_where_none_pays_in_the_middle_the_cheapest_is_told() -> None:
    """A no is about the fleet that comes nearest, and says what it is too few of."""
    plan = busy(36_000)
    assert not plan.is_worth_it
    assert plan.shown_nodes == 1
    assert plan.reason == "1 node would pay in too few of the futures considered"
