"""``spillway plan``: whether local hardware pays for this traffic, with everything that answer rests on."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from spillway.cli.options import taking
from spillway.cli.output import console_of, echo_json
from spillway.cli.plan_files import refuse_unwritable, write
from spillway.cli.plan_options import PlanOptions
from spillway.errors import ConfigError

if TYPE_CHECKING:
    from spillway.cli.plan_config import Stated
    from spillway.planner.plan import Plan
    from spillway.planner.plan_build import Asked
    from spillway.planner.plan_cloud import CloudFigures
    from spillway.planner.plan_inputs import Effort

__all__ = ["command"]

EASTERNMOST = timedelta(hours=14)
"""Before UTC: where a day begins first."""
WIDTH = 100
"""Columns where there is no terminal to ask."""


@taking(PlanOptions)
def command(options: PlanOptions) -> None:
    """Say whether local hardware pays for your traffic, from a replay of that traffic on simulated nodes.

    Examples: spillway plan usage.csv --html report.html, or spillway plan --preset article
    """
    from spillway.cli.plan_config import read_stated
    from spillway.planner.plan_build import build_inputs

    stated = read_stated(options.config, is_preset=options.preset is not None)
    refuse_unwritable(options, stated)
    asked = _asked(options, stated)
    with _progress() as say:
        from spillway.planner.plan import make_plan

        inputs = build_inputs(asked)
        plan = make_plan(inputs, workers=options.workers, backend=options.backend, on_progress=say)
    _hand_over(plan, options.html, options.png, as_json=options.as_json)


def _asked(options: PlanOptions, stated: Stated) -> Asked:
    """The plan asked for: the command line's figures, and where it gives none those of ``spillway.yaml``."""
    from spillway.cli.plan_config import context_of, filled, life_of, notes_on, refuse_unfit, wished
    from spillway.planner.node_figures import NodeFigures
    from spillway.planner.plan_build import Asked

    if options.preset is not None and options.price_date is not None and options.cloud is None:
        raise ConfigError(
            "--price-date has no place beside --preset, which brings its own prices: name a --cloud too, or "
            "leave it out"
        )
    if options.price_date is not None and options.input_usd_per_mtok is not None:
        raise ConfigError(
            "--price-date has no place beside --input-usd-per-mtok, which is the price on every day: leave "
            "one of them out"
        )
    day = _price_day(options.price_date)
    names = [field.name for field in fields(NodeFigures) if hasattr(options, field.name)]
    given = NodeFigures(**{name: getattr(options, name) for name in names})
    refuse_unfit(given, stated)
    node = filled(given, stated.node)
    return Asked(
        price_day=day,
        usage=tuple(options.usage or ()),
        preset=options.preset,
        requests_per_month=options.requests_per_month,
        input_tokens=options.input_tokens,
        output_tokens=options.output_tokens,
        shape=options.shape,
        format_name=options.format_name,
        columns=_columns(options.column_map or ()),
        node=node,
        context_tokens=context_of(given, stated),
        cloud=_cloud(options, stated, day),
        objective=wished(options.slo_ttft_ms, options.slo_total_ms, options.attainment, stated.objective),
        sizes=_sizes(options.nodes),
        costs=_costs(options, stated),
        usd_per_hour=options.usd_per_hour,
        life_months=options.life_months or life_of(node, stated),
        suitable_ratio=options.local_ratio,
        most_input_tokens=options.most_input_tokens or stated.most_input_tokens,
        hedge_share=stated.hedge_share,
        notes=notes_on(given, node, stated),
        seed=options.seed,
        effort=_effort(options.simulate_requests, options.draws),
    )


def _price_day(wished: datetime | None) -> date:
    """The day of the price list, today's unless stated; ``ConfigError`` for one that is still to come."""
    now = datetime.now(UTC)
    day = (wished or now).date()
    if day > (now + EASTERNMOST).date():
        raise ConfigError(
            f"--price-date {day} is still to come, and nobody knows its list prices: leave it out for today's"
            ", or state a price without it (--input-usd-per-mtok, --output-usd-per-mtok)"
        )
    return day


def _cloud(options: PlanOptions, stated: Stated, day: date) -> CloudFigures:
    from spillway.planner.plan_cloud import CloudFigures

    return CloudFigures(
        day,
        options.cloud,
        options.input_usd_per_mtok,
        options.output_usd_per_mtok,
        options.cached_usd_per_mtok,
        options.batch_ratio,
        _seconds(options.cloud_ttft_ms),
        options.cloud_tok_s,
        own=stated.prices,
        usual=stated.reference,
    )


def _costs(options: PlanOptions, stated: Stated) -> dict[str, Decimal]:
    return _known(
        usd_per_kwh=stated.usd_per_kwh if options.usd_per_kwh is None else options.usd_per_kwh,
        maintenance_hours=options.maintenance_hours,
        growth_per_year=options.growth,
        cloud_decline_per_year=options.cloud_decline,
        residual_ratio=options.residual,
        redone_ratio=options.redone,
    )


def _effort(requests: int | None, draws: int) -> Effort:
    """The usual effort, or that many requests per fleet size and no more for anything else."""
    from spillway.planner.plan_inputs import Effort

    usual = replace(Effort.usual(), draws=draws)
    if requests is None:
        return usual
    return replace(usual, fleet_requests=requests, side_requests=min(requests, usual.side_requests))


def _seconds(milliseconds: float | None) -> float | None:
    return milliseconds / 1000 if milliseconds else None


def _known(**given: Decimal | None) -> dict[str, Decimal]:
    return {name: value for name, value in given.items() if value is not None}


def _columns(pairs: Sequence[str]) -> Mapping[str, str]:
    """The file's column → our field, from ``COLUMN=FIELD``; empty for one that is not to be used."""
    found: dict[str, str] = {}
    for pair in pairs:
        column, equals, field = pair.rpartition("=")
        if not equals or not column:
            raise ConfigError(
                f"--map {pair!r} is no pair; write COLUMN=FIELD, such as prompt_len=input_tokens, or COLUMN= "
                "for one that is not to be used"
            )
        if _is_field(column) and field and not _is_field(field):
            column, field = field, column
        if column in found:
            raise ConfigError(f"--map names {column!r} twice; name each column once")
        found[column] = field
    return found


def _is_field(name: str) -> bool:
    """Whether it is one of our own columns; ``FIELD=COLUMN`` is understood too."""
    from spillway.planner.readers.generic import FIELDS

    return name in FIELDS


def _sizes(text: str) -> tuple[int, ...]:
    """Fleet sizes from ``0-8``, ``3`` or ``1,2,4``, in ascending order."""
    from spillway.planner.plan import MOST_NODES

    sizes: set[int] = set()
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d{1,18})(?:-(\d{1,18}))?\s*", part)
        if match is None:
            raise ConfigError(f"--nodes {text!r} is no set of fleet sizes; write 0-8 or 1,2,4")
        low, high = int(match[1]), int(match[2] or match[1])
        if low > high or high > MOST_NODES:
            raise ConfigError(f"--nodes {part!r}: sizes ascend and end at {MOST_NODES}")
        sizes.update(range(low, high + 1))
    return tuple(sorted(sizes))


@contextmanager
def _progress() -> Iterator[Callable[[int, int], None] | None]:
    """A bar on stderr where somebody looks at it, nothing elsewhere."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[counted]}"))
    with Progress(*columns, TimeElapsedColumn(), console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("reading the traffic", total=None, counted="")

        def say(done: int, total: int) -> None:
            doing = "simulating" if done < total else "drawing futures"
            bar.update(task, description=doing, completed=done, total=total, counted=f"{done}/{total}")

        yield say


def _hand_over(plan: Plan, html: Path | None, png: Path | None, *, as_json: bool) -> None:
    """Files first, so that what is printed last is the answer."""
    if html is not None:
        from spillway.planner.report.page import page

        write(html, page(plan).encode(errors="replace"))
    if png is not None:
        from spillway.planner.report.png import picture

        write(png, picture(plan))
    if as_json:
        from spillway.planner.report.as_json import dumps

        echo_json(dumps(plan).encode(errors="replace"))
        return
    from spillway.planner.report.terminal import print_plan

    print_plan(plan, console_of(WIDTH))
    for path in (html, png):
        if path is not None:
            typer.echo(f"wrote {path}")
