"""A plan as one self-contained page: no script, nothing fetched, readable on paper and on a phone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from spillway import __version__
from spillway.planner.money import span_of
from spillway.planner.plan import Plan
from spillway.planner.plan_money import Point
from spillway.planner.report import charts
from spillway.planner.report.words import (
    FLEET_NAMES,
    SPILL_WORDS,
    about,
    comparison,
    fleet_cells,
    headline,
    is_resold,
    label_of,
    machine_cells,
    nodes_of,
    policy_cells,
    share,
    spread_of,
    suggestions,
    value_of,
    verdict,
    whole_usd,
)

__all__ = ["page"]


@dataclass(frozen=True)
class _Row:
    cells: Sequence[str]
    is_shown: bool = False
    bar: float | None = None
    """Percent, 0 to 100, drawn beside the last cell."""


@dataclass(frozen=True)
class _Table:
    names: Sequence[str]
    rows: Sequence[_Row]
    spare: frozenset[str] = frozenset()
    """Columns that a phone leaves out."""


def page(plan: Plan) -> str:
    """The whole page; everything from the user's files is escaped."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = environment.from_string(files(__package__).joinpath("page.html.jinja").read_text("utf-8"))
    return template.render(_values(plan))


def _values(plan: Plan) -> dict[str, Any]:
    from markupsafe import Markup

    inputs = plan.inputs
    pictures = {
        "cost": charts.cost_over_time(plan),
        "share": charts.share_by_fleet(plan),
        "day": charts.day(plan),
        "tornado": charts.tornado(plan),
    }
    return {
        "version": __version__,
        "is_worth_it": plan.is_worth_it,
        "verdict": verdict(plan),
        "headline": headline(plan),
        "about": about(plan),
        "suggestions": list(suggestions(plan)),
        "comparison": comparison(plan),
        "nodes": nodes_of(plan.shown_nodes),
        "life": span_of(inputs.life_months),
        "is_resold": is_resold(plan),
        "clock": charts.clock_of(plan),
        # Our own elements with their words already escaped.
        "ceiling": share(plan.ceiling.in_time_share),
        "charts": {name: Markup(svg) for name, svg in pictures.items()},
        "fleets": _fleets(plan),
        "policies": _policies(plan),
        "machines": _machines(plan),
        "spills": _spills(plan),
        "spent": _spent(plan),
        "sensitivities": _sensitivities(plan),
        "assumptions": _assumptions(plan),
        "guesses": sum(each.grade == "guess" for each in plan.assumptions),
        "warnings": plan.warnings,
        "seed": inputs.seed,
        "draws": inputs.effort.draws,
    }


def _fleets(plan: Plan) -> _Table:
    rows = [_Row(fleet_cells(line), line.nodes == plan.shown_nodes) for line in plan.fleets]
    return _Table(FLEET_NAMES, rows, frozenset({"of the bill", "TTFT p95", "cloud $", "local $"}))


def _policies(plan: Plan) -> _Table:
    names = ("policy", "local", "in time", "regret", "kWh/month", "local and in time")
    rows = [
        _Row(policy_cells(line), line.name == "ours", 100 * line.ran.useful_share) for line in plan.policies
    ]
    return _Table(names, rows, frozenset({"kWh/month", "local and in time"}))


def _machines(plan: Plan) -> _Table:
    names = ("machine", "price", "local", "in time", "total a month", "paid back")
    return _Table(
        names, [_Row(machine_cells(line)) for line in plan.machines], frozenset({"in time", "total a month"})
    )


def _spent(plan: Plan) -> _Table:
    """The course of both bills in figures: on paper and on a phone no pointer rests on the chart."""
    course, life = plan.course, plan.inputs.life_months
    rows = [
        _Row((str(month), _two_lines(course.all_cloud[month]), _two_lines(course.with_nodes[month])))
        for month in sorted({*charts.months_of(life), life})
    ]
    return _Table(("months", "all cloud", f"with {nodes_of(plan.shown_nodes)}"), rows)


def _two_lines(point: Point) -> str:
    low, high = (charts.short_usd(float(amount)) for amount in (point.p10_usd, point.p90_usd))
    return f"{whole_usd(point.p50_usd)}\n{low} to {high}"


def _sensitivities(plan: Plan) -> _Table:
    rows = []
    for each in plan.sensitivities:
        spread = plan.spreads[each.name]
        ends = ((each.at_low_usd, spread.low), (each.at_high_usd, spread.high))
        cells = (f"{whole_usd(saved)}\nat {spread_of(each.name, figure)}" for saved, figure in ends)
        rows.append(_Row((label_of(each.name), *cells)))
    return _Table(("figure", "at its least", "at its most"), rows)


def _spills(plan: Plan) -> _Table:
    ran = plan.shown.ran
    ordered = sorted(ran.spills.items(), key=lambda item: -item[1])
    rows = [(SPILL_WORDS.get(code, code), code, count / ran.requests) for code, count in ordered]
    cells = [_Row((words, code, share(part)), bar=100 * part) for words, code, part in rows]
    return _Table(("reason", "code", "of all requests"), cells, frozenset({"code"}))


def _assumptions(plan: Plan) -> Iterable[dict[str, str]]:
    return [
        {
            "name": each.name,
            "value": f"{value_of(each.value)} {each.unit}".strip(),
            "grade": each.grade,
            "source": each.source,
        }
        for each in plan.assumptions
    ]
