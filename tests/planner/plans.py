"""Small plans that tests share: a few hundred requests, simulated in this process."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal
from functools import lru_cache

from spillway.planner.plan import Plan, make_plan
from spillway.planner.plan_build import Asked, build_inputs
from spillway.planner.plan_cloud import CloudFigures
from spillway.planner.plan_inputs import Effort

DAY = date(2026, 11, 24)
DEAR = CloudFigures(DAY, "openai/dear", Decimal(1000), Decimal(4000))
"""A cloud so dear that hardware pays even for little traffic."""
CHEAP = Asked(
    DAY,
    requests_per_month=600,
    input_tokens=300,
    output_tokens=60,
    cloud=CloudFigures(DAY, "openai/cheap", Decimal(3), Decimal(12)),
    sizes=(0, 1, 2),
    effort=Effort(600, 300, 40),
)
"""Traffic that no node pays for."""


@lru_cache
def never() -> Plan:
    """A plan that says no."""
    return make_plan(build_inputs(CHEAP), workers=1)


@lru_cache
def pays() -> Plan:
    """A plan that says yes."""
    return make_plan(build_inputs(replace(CHEAP, cloud=DEAR)), workers=1)


@lru_cache
def article() -> Plan:
    """The article's plan in full: half a minute of two cores."""
    return make_plan(build_inputs(Asked(DAY, preset="article")))
