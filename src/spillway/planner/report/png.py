"""A plan as one picture, where matplotlib is installed: the page's four charts under its headline."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from io import BytesIO
from textwrap import fill
from typing import TYPE_CHECKING, Any

from spillway.errors import ConfigError
from spillway.planner.money import span_of
from spillway.planner.plan import Plan
from spillway.planner.plan_money import Point
from spillway.planner.report.charts import clock_of, short_count, short_usd
from spillway.planner.report.words import (
    about,
    headline,
    is_resold,
    label_of,
    months,
    nodes_of,
    share,
    spread_of,
    verdict,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis

__all__ = ["picture", "refuse_without_matplotlib"]

INK, SOFT, RULE, LOCAL, CLOUD = "#1d2329", "#5b6570", "#e2e5e8", "#0f4478", "#d07a1e"
FAINT = "#93abc4"
MOST_ROWS = 6
ROOM = 1040
"""Letters that a verdict has room for, times the size of their type in points."""
HEADROOM = 1.35
"""Height of the picture of the costs over that of its curves: above them stand the key and the break-even."""
LINE = 0.021
"""Height of a line of the headline, over that of the picture."""


def refuse_without_matplotlib() -> None:
    """``ConfigError`` when there is nothing to draw with."""
    if find_spec("matplotlib") is None:
        raise ConfigError("--png needs matplotlib; pip install 'spillway[plots]', or write --html instead")


def picture(plan: Plan) -> bytes:
    """A PNG of 1600 by 1240 pixels; the same plan gives the same bytes."""
    refuse_without_matplotlib()
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    style: Any = {
        "font.family": "sans-serif", "font.size": 9.5, "text.color": INK, "axes.labelcolor": SOFT,
        "xtick.color": SOFT, "ytick.color": SOFT, "axes.edgecolor": RULE, "text.parse_math": False,
    }  # fmt: skip
    with rc_context(style):
        figure = Figure(figsize=(10, 7.75), dpi=160, facecolor="white")
        FigureCanvasAgg(figure)
        colour = "#1a7f4b" if plan.is_worth_it else "#b3372f"
        said, lead = verdict(plan), fill(headline(plan), 115)
        size = min(20, ROOM / len(said))
        figure.text(0.06, 0.945, said, fontsize=size, fontweight="bold", color=colour)
        figure.text(0.06, 0.925, lead, fontsize=10.5, va="top")
        below = 0.912 - LINE * (1 + lead.count("\n"))
        figure.text(0.06, below, fill(_drawable(about(plan)), 135), fontsize=8.5, va="top", color=SOFT)
        axes = figure.subplots(2, 2, gridspec_kw={"hspace": 0.42, "wspace": 0.2})
        figure.subplots_adjust(left=0.06, right=0.975, top=0.77, bottom=0.065)
        _cost(plan, axes[0][0])
        _shares(plan, axes[0][1])
        _day(plan, axes[1][0])
        _tornado(plan, axes[1][1])
        out = BytesIO()
        figure.savefig(out, format="png", metadata={"Software": None})
    return out.getvalue()


def _drawable(words: str) -> str:
    """The words with a question mark where the name of a file holds what is no letter."""
    return words.encode(errors="replace").decode()


def _frame(axes: Axes, title: str, grid: str = "y") -> None:
    axes.set_title(title, loc="left", fontsize=11, fontweight="bold", color=INK)
    axes.grid(axis="y" if grid == "y" else "x", color=RULE, linewidth=0.8)
    axes.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.tick_params(length=0)


def _few_ticks(axis: Axis) -> None:
    """Round values only, which are written whole with two digits."""
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))


def _cost(plan: Plan, axes: Axes) -> None:
    _frame(axes, f"What will have been spent{', hardware less resale' if is_resold(plan) else ''}")
    course = plan.course
    for points, colour, name in (
        (course.all_cloud, CLOUD, "all cloud"),
        (course.with_nodes, LOCAL, f"with {nodes_of(plan.shown_nodes)}"),
    ):
        _band(axes, points, colour, name)
    axes.set_xlim(0, plan.inputs.life_months)
    most = max(float(point.p90_usd) for points in (course.all_cloud, course.with_nodes) for point in points)
    axes.set_ylim(0, most * HEADROOM)
    axes.set_xlabel("months from now")
    _few_ticks(axes.yaxis)
    axes.yaxis.set_major_formatter(lambda value, _: short_usd(value))
    at = plan.band.p50
    if plan.is_worth_it and at:
        axes.axvline(float(at), ymax=0.87, color=INK, linewidth=0.9, linestyle=(0, (3, 3)))
        side = "right" if float(at) > 0.6 * plan.inputs.life_months else "left"
        where = (float(at), 0.84)
        words = f" paid back: {months(at)} "
        axes.annotate(words, where, xycoords=("data", "axes fraction"), ha=side, fontsize=9)
    axes.legend(loc="upper left", frameon=False, fontsize=9, ncols=2)


def _band(axes: Axes, points: Sequence[Point], colour: str, name: str) -> None:
    low, middle, high = (
        [float(getattr(point, part)) for point in points] for part in ("p10_usd", "p50_usd", "p90_usd")
    )
    axes.fill_between(range(len(points)), low, high, color=colour, alpha=0.16, linewidth=0)
    axes.plot(range(len(points)), middle, color=colour, linewidth=1.8, label=name)


def _shares(plan: Plan, axes: Axes) -> None:
    _frame(axes, "Share answered locally, late ones too")
    lines = [line for line in plan.fleets if line.nodes]
    places = range(len(lines))
    heights = [100 * line.ran.local_share for line in lines]
    colours = [LOCAL if line.nodes == plan.shown_nodes else FAINT for line in lines]
    axes.bar(places, heights, color=colours, width=0.68)
    axes.axhline(100 * plan.ceiling.in_time_share, color=INK, linewidth=0.9, linestyle=(0, (3, 3)))
    every = max(1, -(-len(lines) // 12))
    for place, line in list(zip(places, lines, strict=True))[::every]:
        height, most = 100 * line.ran.local_share, 100 * plan.ceiling.in_time_share
        is_crossed = height < most < height + 8  # by the dotted line, were it written just above the bar
        where = (most if is_crossed else height) + 1.5
        axes.annotate(share(line.ran.local_share), (place, where), ha="center", fontsize=8.5)
    axes.set_ylim(0, 108)
    labels = [f"{line.nodes}\n{short_usd(float(line.outcome.total_usd_per_month))}" for line in lines]
    axes.set_xticks(list(places)[::every], labels[::every])
    axes.set_xlabel("nodes, and what a month costs; dotted: in time on an idle node")
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0f} %")


def _day(plan: Plan, axes: Axes) -> None:
    _frame(axes, f"The day on {nodes_of(plan.shown_nodes)}, requests an hour")
    axes.set_xlabel(f"hour of {clock_of(plan)}")
    ran = plan.shown.ran
    axes.bar(range(24), ran.local_by_hour, color=LOCAL, width=0.86, align="edge", label="local")
    axes.bar(range(24), ran.cloud_by_hour, bottom=ran.local_by_hour, color=CLOUD, width=0.86, align="edge",
             label="spilled to the cloud")  # fmt: skip
    axes.set_xticks(range(0, 25, 6), [f"{hour:02d}:00" for hour in range(0, 25, 6)])
    axes.yaxis.set_major_formatter(lambda value, _: short_count(value))
    _few_ticks(axes.yaxis)
    axes.set_ylim(top=1.22 * max(a + b for a, b in zip(ran.local_by_hour, ran.cloud_by_hour, strict=True)))
    axes.legend(loc="upper left", frameon=False, fontsize=9, ncols=2)


def _tornado(plan: Plan, axes: Axes) -> None:
    _frame(axes, f"What moves the savings over {span_of(plan.inputs.life_months)}", grid="x")
    rows = plan.sensitivities[:MOST_ROWS]
    base = float(plan.shown.outcome.saved_usd)
    for place, row in enumerate(rows):
        for value, colour in ((row.at_low_usd, CLOUD), (row.at_high_usd, LOCAL)):
            axes.barh(place + 0.22, float(value) - base, left=base, height=0.36, color=colour)
        spread = plan.spreads[row.name]
        ends = [spread_of(row.name, value) for value in (spread.low, spread.high)]
        said = f"{label_of(row.name)}, {ends[0]} to {ends[1]}"
        axes.vlines(base, place - 0.02, place + 0.46, color=INK, linewidth=0.9, linestyle=(0, (3, 3)))
        axes.annotate(said, (0.0, place - 0.12), xycoords=("axes fraction", "data"), fontsize=8.5)
    axes.set_yticks([])
    axes.set_ylim(len(rows) - 0.3, -0.5)
    axes.xaxis.set_major_formatter(lambda value, _: short_usd(value))
    _few_ticks(axes.xaxis)
    axes.set_xlabel("saved with one figure at its least (orange) or most (blue)")
