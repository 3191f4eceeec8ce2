"""``spillway plan``: whether local hardware pays for this traffic, with everything that answer rests on."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from spillway.cli import plan_options as o
from spillway.errors import ConfigError

if TYPE_CHECKING:
    from spillway.planner.plan import Plan
    from spillway.planner.plan_inputs import Effort

__all__ = ["command"]

MOST_NODES = 64
WIDTH = 100
"""Columns where there is no terminal to ask."""


def command(
    usage: o.Usage = None,
    preset: o.Preset = None,
    requests_per_month: o.Requests = None,
    input_tokens: o.InputTokens = None,
    output_tokens: o.OutputTokens = None,
    shape: o.Shape = "consumer",
    column_map: o.Columns = None,
    format_name: o.Format = None,
    hardware: o.Hardware = None,
    model: o.Model = None,
    quant: o.Quant = None,
    profile: o.Profile = None,
    bandwidth_gb_s: o.Bandwidth = None,
    tflops: o.Tflops = None,
    memory_gb: o.Memory = None,
    family: o.Family = None,
    weights_gb: o.Weights = None,
    params_b: o.Params = None,
    kv_bytes_per_token: o.KvBytes = None,
    decode_tok_s: o.DecodeSpeed = None,
    prefill_tok_s: o.PrefillSpeed = None,
    slots: o.Slots = None,
    hardware_usd: o.HardwareUsd = None,
    rent_usd_per_hour: o.RentUsd = None,
    idle_w: o.IdleWatts = None,
    active_w: o.ActiveWatts = None,
    local_ratio: o.Suitable = 1.0,
    most_input_tokens: o.LocalTokens = None,
    nodes: o.Nodes = "0-8",
    slo_ttft_ms: o.Ttft = None,
    slo_total_ms: o.Total = None,
    attainment: o.Attainment = None,
    cloud: o.Cloud = None,
    input_usd_per_mtok: o.InputUsd = None,
    output_usd_per_mtok: o.OutputUsd = None,
    cached_usd_per_mtok: o.CachedUsd = None,
    batch_ratio: o.BatchRatio = None,
    cloud_ttft_ms: o.CloudTtft = None,
    cloud_tok_s: o.CloudSpeed = None,
    price_date: o.PriceDate = None,
    usd_per_kwh: o.Kwh = None,
    maintenance_hours: o.Maintenance = None,
    usd_per_hour: o.HourUsd = None,
    growth: o.Growth = None,
    cloud_decline: o.Decline = None,
    life_months: o.Life = None,
    residual: o.Residual = None,
    redone: o.Redone = None,
    config: o.Config = None,
    seed: o.Seed = 0,
    workers: o.Jobs = None,
    backend: o.Backend = None,
    simulate_requests: o.Simulate = None,
    draws: o.Draws = 1000,
    html: o.Html = None,
    png: o.Png = None,
    as_json: o.Json = False,
) -> None:
    """Say whether local hardware pays for your traffic, from a replay of that traffic on simulated nodes.

    Examples: spillway plan usage.csv --html report.html, or spillway plan --preset article
    """
    _refuse_unwritable(html, png)
    from spillway.cli.plan_config import filled, read_stated, wished
    from spillway.planner.plan_build import Asked, build_inputs
    from spillway.planner.plan_cloud import CloudFigures
    from spillway.planner.plan_node import NodeFigures

    stated = read_stated(config, is_preset=preset is not None)
    day = (price_date or datetime.now(UTC)).date()
    asked = Asked(
        price_day=day,
        usage=tuple(usage or ()),
        preset=preset,
        requests_per_month=requests_per_month,
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        shape=shape,
        format_name=format_name,
        columns=_columns(column_map or ()),
        node=filled(NodeFigures(
            hardware=hardware, model=model, quant=quant, profile=profile, bandwidth_gb_s=bandwidth_gb_s,
            tflops=tflops, memory_gb=memory_gb, family=family, weights_gb=weights_gb, params_b=params_b,
            kv_bytes_per_token=kv_bytes_per_token, decode_tok_s=decode_tok_s, prefill_tok_s=prefill_tok_s,
            slots=slots, hardware_usd=hardware_usd, rent_usd_per_hour=rent_usd_per_hour, idle_w=idle_w,
            active_w=active_w,
        ), stated.node),
        cloud=CloudFigures(
            day, cloud, input_usd_per_mtok, output_usd_per_mtok, cached_usd_per_mtok,
            batch_ratio, _seconds(cloud_ttft_ms), cloud_tok_s, own=stated.prices, usual=stated.reference,
        ),
        objective=wished(slo_ttft_ms, slo_total_ms, attainment, stated.objective),
        sizes=_sizes(nodes),
        costs=_known(
            usd_per_kwh=stated.usd_per_kwh if usd_per_kwh is None else usd_per_kwh,
            maintenance_hours=maintenance_hours, growth_per_year=growth,
            cloud_decline_per_year=cloud_decline, residual_ratio=residual, redone_ratio=redone,
        ),
        usd_per_hour=usd_per_hour,
        life_months=life_months,
        suitable_ratio=local_ratio,
        most_input_tokens=most_input_tokens or stated.most_input_tokens,
        notes=stated.notes,
        seed=seed,
        effort=_effort(simulate_requests, draws),
    )  # fmt: skip
    with _progress() as say:
        from spillway.planner.plan import make_plan

        plan = make_plan(build_inputs(asked), workers=workers, backend=backend, on_progress=say)
    _hand_over(plan, html, png, as_json=as_json)


def _refuse_unwritable(html: Path | None, png: Path | None) -> None:
    """What cannot be written is said before half a minute of work, not after it."""
    for option, path in (("--html", html), ("--png", png)):
        if path is not None and not path.absolute().parent.is_dir():
            raise ConfigError(f"{option} {path}: there is no folder {path.absolute().parent}; make it first")
    if png is not None:
        from spillway.planner.report.png import refuse_without_matplotlib

        refuse_without_matplotlib()


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
    """Our field → the file's column, from ``COLUMN=FIELD``."""
    found: dict[str, str] = {}
    for pair in pairs:
        column, equals, field = pair.rpartition("=")
        if not equals or not column or not field:
            raise ConfigError(
                f"--map {pair!r} is no pair; write COLUMN=FIELD, such as prompt_len=input_tokens"
            )
        found.update({column: field} if _is_field(column) and not _is_field(field) else {field: column})
    return found


def _is_field(name: str) -> bool:
    """Whether it is one of our own columns; ``FIELD=COLUMN`` is understood too."""
    from spillway.planner.readers.generic import WORDS

    return name in WORDS


def _sizes(text: str) -> tuple[int, ...]:
    """Fleet sizes from ``0-8``, ``3`` or ``1,2,4``, in ascending order."""
    sizes: set[int] = set()
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d{1,3})(?:-(\d{1,3}))?\s*", part)
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

    columns = (TextColumn("simulating"), BarColumn(), TextColumn("{task.completed}/{task.total}"))
    with Progress(*columns, TimeElapsedColumn(), console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _hand_over(plan: Plan, html: Path | None, png: Path | None, *, as_json: bool) -> None:
    """Files first, so that what is printed last is the answer."""
    if html is not None:
        from spillway.planner.report.page import page

        _write(html, page(plan).encode())
    if png is not None:
        from spillway.planner.report.png import picture

        _write(png, picture(plan))
    if as_json:
        from spillway.planner.report.as_json import dumps

        typer.echo(dumps(plan))
        return
    from rich.console import Console

    from spillway.planner.report.terminal import print_plan

    console = Console(highlight=False)
    print_plan(plan, console if console.is_terminal else Console(highlight=False, width=WIDTH))
    for path in (html, png):
        if path is not None:
            typer.echo(f"wrote {path}")


def _write(path: Path, content: bytes) -> None:
    try:
        path.write_bytes(content)
    except OSError as fault:
        raise ConfigError(f"{path} cannot be written: {fault.strerror}") from None
