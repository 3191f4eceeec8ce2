"""The four pictures of a plan as SVG: both bills over time, share by fleet, the day, and what moves it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from spillway.planner.money import span_of
from spillway.planner.plan import Plan
from spillway.planner.plan_money import Point
from spillway.planner.report.svg import Canvas, Scale, ticks
from spillway.planner.report.words import label_of, months, nodes_of, share, spread_of, whole_usd

__all__ = [
    "clock_of",
    "cost_over_time",
    "day",
    "months_of",
    "share_by_fleet",
    "short_count",
    "short_usd",
    "tornado",
]

WIDTH = 420.0
"""Narrow on purpose: on a phone the letters stay readable, on a desk two stand side by side."""
HEIGHT = 270.0
LEFT, RIGHT, TOP, BOTTOM = 46.0, 10.0, 14.0, 34.0
MOST_ROWS = 7
UNITS = ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k"))
LETTER = 7.4
"""Width of a figure on a phone, where letters are largest, in the same units."""
LETTERS = 16.0
"""Height of a line of letters with its room, in units of the picture."""


def cost_over_time(plan: Plan) -> str:
    """What has been spent by each month, in the cloud alone and with the shown fleet, with its band."""
    course, life = plan.course, plan.inputs.life_months
    top_usd = max(
        float(point.p90_usd) for points in (course.all_cloud, course.with_nodes) for point in points
    )
    nodes = nodes_of(plan.shown_nodes)
    canvas = Canvas(WIDTH, HEIGHT, f"Cost over {span_of(life)}: all cloud, and with {nodes}")
    x, y = Scale(0, life, LEFT, WIDTH - RIGHT), Scale(0, top_usd * 1.04, HEIGHT - BOTTOM, TOP)
    _grid(canvas, y, short_usd)
    for month in months_of(life):
        canvas.text((x(month), HEIGHT - BOTTOM + 16), str(month), "tick", "middle")
    canvas.text((x(life / 2), HEIGHT - 3), "months from now", "tick", "middle")
    for kind, points in (("cloud", course.all_cloud), ("local", course.with_nodes)):
        _band(canvas, points, x, y, kind)
    _mark_break_even(canvas, plan, x)
    _hover_months(canvas, plan, x)
    return canvas.done()


def months_of(life_months: int) -> list[int]:
    """Months that a course of so many is written at: years where there are several."""
    if life_months >= 24:
        return list(range(0, life_months + 1, 12 * max(1, life_months // 72)))
    return sorted({round(month) for month in ticks(0, life_months, 6)})


def _band(canvas: Canvas, points: Sequence[Point], x: Scale, y: Scale, kind: str) -> None:
    upper = [(x(month), y(float(point.p90_usd))) for month, point in enumerate(points)]
    lower = [(x(month), y(float(point.p10_usd))) for month, point in enumerate(points)]
    middle = [(x(month), y(float(point.p50_usd))) for month, point in enumerate(points)]
    canvas.area(upper, lower, f"band {kind}")
    canvas.path(middle, f"curve {kind}")


def _mark_break_even(canvas: Canvas, plan: Plan, x: Scale) -> None:
    """A line where the middle future has paid the hardware back."""
    at = plan.band.p50
    if not plan.is_worth_it or at is None or at == 0:
        return
    here = x(float(at))
    canvas.line((here, TOP), (here, HEIGHT - BOTTOM), "mark")
    is_late = float(at) > 0.6 * plan.inputs.life_months
    canvas.text(
        (here + (-5 if is_late else 5), TOP + 10),
        f"paid back: {months(at)}",
        "note",
        "end" if is_late else "start",
    )


def _hover_months(canvas: Canvas, plan: Plan, x: Scale) -> None:
    course = plan.course
    width = x(1) - x(0)
    for month, (cloud, local) in enumerate(zip(course.all_cloud, course.with_nodes, strict=True)):
        title = f"Month {month}: all cloud {_range(cloud)}; with {nodes_of(plan.shown_nodes)} {_range(local)}"
        canvas.rect((x(month) - width / 2, TOP), (width, HEIGHT - TOP - BOTTOM), "hover", title)


def _range(point: Point) -> str:
    """The middle, and between what eight futures of ten lie."""
    return f"{whole_usd(point.p50_usd)} ({whole_usd(point.p10_usd)} to {whole_usd(point.p90_usd)})"


def share_by_fleet(plan: Plan) -> str:
    """What each fleet carries in time, and the most any number of such nodes could."""
    lines = [line for line in plan.fleets if line.nodes]
    canvas = Canvas(WIDTH, HEIGHT, "Share of requests answered locally, by fleet size")
    y = Scale(0, 1, HEIGHT - BOTTOM - 16, TOP + 4)
    _grid(canvas, y, lambda ratio: f"{100 * ratio:.0f} %")
    most = y(plan.ceiling.in_time_share)
    canvas.line((LEFT, most), (WIDTH - RIGHT, most), "mark")
    step = (WIDTH - LEFT - RIGHT) / len(lines)
    shares = [_bare_share(line.ran.local_share) for line in lines]
    bills = [short_usd(float(line.outcome.total_usd_per_month)) for line in lines]
    every = max(1, math.ceil((max(map(len, shares + bills)) + 1) * LETTER / step))
    shown_at = next((at for at, line in enumerate(lines) if line.nodes == plan.shown_nodes), 0)
    for position, line in enumerate(lines):
        middle, top = LEFT + (position + 0.5) * step, y(line.ran.local_share)
        kind = "bar local" if line.nodes == plan.shown_nodes else "bar local faint"
        title = (
            f"{nodes_of(line.nodes)}: {share(line.ran.local_share)} of requests, "
            f"{share(line.ran.avoided_share)} of the bill, "
            f"{whole_usd(line.outcome.total_usd_per_month)} a month altogether"
        )
        canvas.rect((middle - step * 0.34, top), (step * 0.68, y(0) - top), kind, title)
        if position % every == shown_at % every:
            canvas.text((middle, _above(top, most)), shares[position], "value", "middle")
            canvas.text((middle, y(0) + 18), str(line.nodes), "tick", "middle")
            canvas.text((middle, y(0) + 35), bills[position], "faint-text", "middle")
    canvas.text((LEFT - 8, y(0) + 18), "nodes", "tick", "end")
    canvas.text((LEFT - 8, y(0) + 35), "$/mo", "faint-text", "end")
    return canvas.done()


def _bare_share(ratio: float) -> str:
    """A share without its sign, which the axis has."""
    return share(ratio).removesuffix(" %")


def _above(top: float, mark: float) -> float:
    """Where a bar's value is written: above the bar, or above the dotted line where that would cross it."""
    return (mark if top - LETTERS < mark < top else top) - 4


def day(plan: Plan) -> str:
    """Requests per hour over the day: what stayed local, and what spilled."""
    ran = plan.shown.ran
    canvas = Canvas(WIDTH, HEIGHT, "Load over the day, local and spilled")
    most = max(a + b for a, b in zip(ran.local_by_hour, ran.cloud_by_hour, strict=True))
    y = Scale(0, most * 1.05, HEIGHT - BOTTOM, TOP)
    _grid(canvas, y, short_count)
    step = (WIDTH - LEFT - RIGHT) / 24
    for hour, (local, cloud) in enumerate(zip(ran.local_by_hour, ran.cloud_by_hour, strict=True)):
        left = LEFT + hour * step + 1
        whole = local + cloud
        title = f"{hour:02d}:00: {local:,.1f} local and {cloud:,.1f} spilled requests an hour" + (
            f", {share(local / whole)} local" if whole else ""
        )
        canvas.rect((left, y(whole)), (step - 2, y(local) - y(whole)), "bar cloud", title)
        canvas.rect((left, y(local)), (step - 2, y(0) - y(local)), "bar local", title)
        if hour % 6 == 0:
            canvas.text((left, HEIGHT - BOTTOM + 16), f"{hour:02d}:00", "tick")
    return canvas.done()


def clock_of(plan: Plan) -> str:
    """Whose hours the hours of the day are."""
    return "UTC" if plan.inputs.traffic.workload.start_wall_s is not None else "the day"


def tornado(plan: Plan) -> str:
    """What each uncertain figure alone does to the savings, the weightiest on top."""
    rows = plan.sensitivities[:MOST_ROWS]
    height = 34.0 * len(rows) + TOP + BOTTOM
    canvas = Canvas(WIDTH, max(height, 90.0), "What moves the savings most")
    base = float(plan.shown.outcome.saved_usd)
    ends = [float(value) for row in rows for value in (row.at_low_usd, row.at_high_usd)] or [base]
    low, high = min(0.0, base, *ends), max(0.0, base, *ends)
    x = Scale(low, high, 12.0, WIDTH - 12.0)
    bottom = TOP + 34.0 * len(rows)
    for value in ticks(low, high, 4):
        canvas.line((x(value), TOP), (x(value), bottom), "axis" if value == 0 else "grid")
        canvas.text((x(value), bottom + 16), short_usd(value), "tick", "middle")
    for position in range(len(rows)):
        _tornado_row(canvas, plan, position, x, base)
    return canvas.done()


def _tornado_row(canvas: Canvas, plan: Plan, position: int, x: Scale, base: float) -> None:
    row = plan.sensitivities[position]
    spread = plan.spreads[row.name]
    top = TOP + 34.0 * position
    for value, figure, kind in (
        (float(row.at_low_usd), spread.low, "bar less"),
        (float(row.at_high_usd), spread.high, "bar more"),
    ):
        left, right = sorted((x(base), x(value)))
        title = f"{label_of(row.name)} at {spread_of(row.name, figure)}: {whole_usd(value)} saved"
        canvas.rect((left, top + 17), (right - left, 12), kind, title)
    canvas.line((x(base), top + 15), (x(base), top + 31), "mark")
    said = f"{label_of(row.name)}, {spread_of(row.name, spread.low)} to {spread_of(row.name, spread.high)}"
    canvas.text((17.0, top + 11), said, "value halo")


def _grid(canvas: Canvas, y: Scale, write: Callable[[float], str]) -> None:
    """Horizontal lines with their values; the lowest is the axis."""
    for value in ticks(y.low, y.high, 4):
        canvas.line((LEFT, y(value)), (WIDTH - RIGHT, y(value)), "axis" if value == 0 else "grid")
        canvas.text((LEFT - 6, y(value) + 4), write(value), "tick", "end")


def short_usd(amount: float) -> str:
    """Dollars as an axis has room for."""
    sign, size = ("−" if amount < 0 else ""), abs(amount)
    if size < 999.5:
        return f"{sign}${size:,.0f}" if size >= 10 or size == 0 else f"{sign}${size:.2g}"
    return f"{sign}${_scaled(size)}"


def short_count(count: float) -> str:
    """A number of requests as an axis has room for."""
    if count >= 99_999.5:
        return _scaled(count)
    return f"{count:,.0f}" if count == round(count) else f"{count:g}"


def _scaled(size: float) -> str:
    """Thousands and more, with a decimal where one figure would be all."""
    limit, unit = next((limit, unit) for limit, unit in UNITS if size >= limit * 0.9995)
    digits = f"{size / limit:.1f}" if size < limit * 9.95 else f"{size / limit:,.0f}"
    return f"{digits.removesuffix('.0')}{unit}"
