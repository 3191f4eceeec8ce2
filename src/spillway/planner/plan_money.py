"""From what fleets carry to what they cost: cases, futures, and the course of both bills over time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from spillway.planner.breakeven import Case, Month, Outcome, ShareCurve, Spread, quantile
from spillway.planner.plan_inputs import PlanInputs, percent
from spillway.planner.plan_runs import Ran

__all__ = ["Answers", "Course", "Point", "courses", "make_case", "on_one_scale", "share_spread", "spreads_of"]

ZERO, ONE = Decimal(0), Decimal(1)


@dataclass(frozen=True)
class Answers:
    """What longer answers do: the part of the cloud's bill they make, and the local share they cost."""

    cost_ratio: Decimal = ZERO
    share_loss: Decimal = ZERO


def make_case(
    inputs: PlanInputs, nodes: int, runs: Sequence[Ran], cloud_usd_per_request: Decimal, answers: Answers
) -> Case:
    """The money of one fleet; ``runs`` are what it carried at one or several loads."""
    node = inputs.node if runs[0].run.machine is None else inputs.machines[runs[0].run.machine]
    at_now = next(ran for ran in runs if ran.run.load == 1.0)
    mode = {name: spread.mode for name, spread in inputs.costs.items()}
    return Case(
        nodes=nodes,
        requests_per_month=inputs.traffic.requests_per_month,
        cloud_usd_per_request=cloud_usd_per_request,
        share=_curve(inputs, runs),
        hardware_usd=node.price_usd,
        life_months=inputs.life_months,
        residual_ratio=mode["residual_ratio"],
        idle_w=node.idle_w,
        active_w=node.active_w,
        busy_ratio=_busy_ratio(inputs, at_now),
        usd_per_kwh=mode["usd_per_kwh"],
        maintenance_hours=mode["maintenance_hours"],
        usd_per_hour=inputs.usd_per_hour,
        growth_per_year=mode["growth_per_year"],
        cloud_decline_per_year=mode["cloud_decline_per_year"],
        redone_ratio=mode["redone_ratio"],
        rent_usd_per_month=nodes * node.rent_usd_per_month,
        output_factor=mode["output_factor"],
        output_cost_ratio=answers.cost_ratio,
        output_share_loss=answers.share_loss,
    )


def _busy_ratio(inputs: PlanInputs, ran: Ran) -> Decimal:
    """Share of a month that a node works: for each request as long as in the run, whatever the rate there."""
    workload = inputs.traffic.workload
    all_per_s = len(workload) / workload.span_s
    return min(ONE, _decimal(ran.busy_ratio * all_per_s / ran.requests_per_s))


def _curve(inputs: PlanInputs, runs: Sequence[Ran]) -> ShareCurve:
    """The share of the cloud's bill that is avoided, over load: short requests stay, dear ones may not."""
    now = inputs.traffic.requests_per_month
    points = {now * _decimal(ran.run.load): ran.avoided_share for ran in runs}
    return ShareCurve(tuple(sorted(points.items())))


def _decimal(value: float) -> Decimal:
    return Decimal(repr(round(value, 9)))


def spreads_of(inputs: PlanInputs, share: Spread) -> dict[str, Spread]:
    """What is uncertain about a fleet's case, by the case's field."""
    return {"share_factor": share, **inputs.costs}


def on_one_scale(whole: Ran, now: Ran, others: Sequence[Ran]) -> list[Ran]:
    """Runs over a shorter stretch at other loads, brought to the longer run's share; that one comes first."""
    runs = [whole]
    for other in others:
        scale = other.avoided_share / now.avoided_share if now.avoided_share else ONE
        runs.append(replace(other, avoided_share=min(ONE, whole.avoided_share * scale)))
    return runs


def share_spread(now: Ran, slower: Ran, faster: Ran, error_ratio: float) -> Spread:
    """How far the avoided share may be off, from runs with the node slower and faster by its error."""
    base = now.avoided_share
    if base <= 0:
        return Spread(ONE, ONE, ONE, "derived", "nothing is carried")
    low = min(ONE, slower.avoided_share / base)
    high = max(ONE, faster.avoided_share / base)
    return Spread(
        low, ONE, high, "derived", f"simulated with the node {percent(error_ratio)} slower and faster"
    )


@dataclass(frozen=True)
class Point:
    """What has been spent by the end of a month, in USD, over all futures."""

    p10_usd: Decimal
    p50_usd: Decimal
    p90_usd: Decimal


@dataclass(frozen=True)
class Course:
    """Both bills over the hardware's life, month 0 first: what the nodes lose in value stands there at once.

    So they cross where the fleet is paid back, and end as far apart as it saves.
    """

    all_cloud: tuple[Point, ...]
    with_nodes: tuple[Point, ...]


def courses(outcomes: Sequence[Outcome]) -> Course:
    """The quantiles of what was spent so far, month by month."""
    cloud = [_sums(ZERO, [month.all_cloud_usd for month in outcome.months]) for outcome in outcomes]
    local = [
        _sums(each.case.lost_value_usd, [_spent_usd(month) for month in each.months]) for each in outcomes
    ]
    return Course(_points(cloud), _points(local))


def _spent_usd(month: Month) -> Decimal:
    return month.cloud_usd + month.running_usd


def _sums(start_usd: Decimal, months: Sequence[Decimal]) -> list[Decimal]:
    sums = [start_usd]
    for amount in months:
        sums.append(sums[-1] + amount)
    return sums


def _points(paths: Sequence[Sequence[Decimal]]) -> tuple[Point, ...]:
    out = []
    for amounts in zip(*paths, strict=True):
        ordered = sorted(amounts)
        out.append(Point(*(quantile(ordered, share) for share in (0.1, 0.5, 0.9))))
    return tuple(out)
