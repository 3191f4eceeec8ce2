"""The options of ``spillway plan`` as one record."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation
from functools import partial
from pathlib import Path
from typing import Annotated, TypeAlias

import typer

Argument = typer.Argument
TRAFFIC, NODE, OBJECTIVE, CLOUD, MONEY, WORK = (
    partial(typer.Option, rich_help_panel=panel)
    for panel in ("Traffic", "Node", "Objective", "Cloud", "Money", "Work and output")
)


MOST_MONTHS = 240
"""Longest life of the hardware that a plan counts."""
LEAST, MOST = Decimal("0.000000001"), 1_000_000_000
"""Between these lies every figure that a plan can mean; what is not is a slip of the hand."""


def amount(text: str) -> Decimal:
    """A number, or a percentage as its ratio."""
    body = text.strip()
    try:
        value = Decimal(body[:-1]) / 100 if body.endswith("%") else Decimal(body)
    except InvalidOperation:
        raise typer.BadParameter(f"{text!r} is not a number") from None
    if not value.is_finite():
        raise typer.BadParameter(f"{text!r} is not a number")
    if value and not LEAST <= abs(value) <= MOST:
        raise typer.BadParameter(f"{text!r} is out of bounds: write 0, or {LEAST:f} to {MOST:,}")
    return value


def positive(text: str) -> Decimal:
    """A number of 0 or more, or such a percentage."""
    value = amount(text)
    if value < 0:
        raise typer.BadParameter(f"{text!r} is negative")
    return value


Text: TypeAlias = str | None
Number: TypeAlias = float | None
Count: TypeAlias = int | None
Money: TypeAlias = Decimal | None


@dataclass(frozen=True)
class PlanOptions:
    """What the command line asks for; ``None`` leaves it to the files and the usual."""

    usage: Annotated[
        list[str] | None, Argument(help="Usage files, ledgers, or URLs of ledgers.", show_default=False)
    ] = None
    preset: Annotated[Text, TRAFFIC(help="A plan by name: article.")] = None
    requests_per_month: Annotated[
        Count,
        TRAFFIC(help="Traffic by numbers instead of files; beside a cost export, its requests.", min=1),
    ] = None
    input_tokens: Annotated[Number, TRAFFIC(help="Mean prompt length.", min=1)] = None
    output_tokens: Annotated[Number, TRAFFIC(help="Mean answer length.", min=1)] = None
    shape: Annotated[
        str, TRAFFIC(help="Course of the day where only totals are known: consumer, office, flat.")
    ] = "consumer"
    column_map: Annotated[
        list[str] | None,
        TRAFFIC("--map", help="COLUMN=FIELD says what a column holds, COLUMN= leaves it out; repeatable."),
    ] = None
    format_name: Annotated[
        Text, TRAFFIC("--format", help="Kind of the usage files, where it is not told well; generic: guess.")
    ] = None
    hardware: Annotated[Text, NODE(help="The node's machine, a key of the catalogue.")] = None
    model: Annotated[Text, NODE(help="The node's model, a key of the catalogue.")] = None
    quant: Annotated[Text, NODE(help="q4, q8 or f16.")] = None
    profile: Annotated[Path | None, NODE(help="What spillway bench measured, instead.")] = None
    bandwidth_gb_s: Annotated[
        Number, NODE(help="The machine by figures: memory bandwidth.", min=1e-3, max=MOST)
    ] = None
    tflops: Annotated[Number, NODE(help="FP16 rate of the general units.", min=1e-3, max=MOST)] = None
    memory_gb: Annotated[Number, NODE(help="Memory for weights and cache.", min=1e-3, max=MOST)] = None
    family: Annotated[Text, NODE(help="Kind of machine; inferred when left out.")] = None
    weights_gb: Annotated[
        Number, NODE(help="The model by figures: size of its file.", min=1e-6, max=MOST)
    ] = None
    params_b: Annotated[Number, NODE(help="Billions of parameters.", min=1e-6, max=MOST)] = None
    kv_bytes_per_token: Annotated[Number, NODE(help="Cache of one token.", min=1, max=MOST)] = None
    decode_tok_s: Annotated[
        Number, NODE(help="Stated speed of writing, one sequence.", min=1e-3, max=MOST)
    ] = None
    prefill_tok_s: Annotated[Number, NODE(help="Stated speed of reading.", min=1e-3, max=MOST)] = None
    slots: Annotated[
        Count, NODE(help="Sequences at once; default: what keeps the objective.", min=1, max=1024)
    ] = None
    hardware_usd: Annotated[Money, NODE(help="Price of one node.", parser=positive)] = None
    rent_usd_per_hour: Annotated[Money, NODE(help="Rent of one node instead.", parser=positive)] = None
    idle_w: Annotated[Money, NODE(help="Power at rest.", parser=positive)] = None
    active_w: Annotated[Money, NODE(help="Power at work.", parser=positive)] = None
    local_ratio: Annotated[
        float,
        NODE("--local-ratio", help="Share of requests a local model answers well enough.", min=0.001, max=1),
    ] = 1.0
    most_input_tokens: Annotated[
        Count,
        NODE("--max-local-input-tokens", help="Longest prompt a node may get; default: what fits.", min=1),
    ] = None
    nodes: Annotated[str, NODE(help="Fleet sizes: 0-8, or 1,2,4.")] = "0-8"
    slo_ttft_ms: Annotated[
        Number, OBJECTIVE(help="First token within so long; 0: no limit; default: 2000.", min=0)
    ] = None
    slo_total_ms: Annotated[
        Number, OBJECTIVE(help="Last token within so long; 0: no limit; default: 20000.", min=0)
    ] = None
    attainment: Annotated[
        Number, OBJECTIVE(help="Share of requests to be in time; default: 0.95.", min=0.01, max=0.999)
    ] = None
    cloud: Annotated[Text, CLOUD(help="PROVIDER/MODEL to price everything with; default: as used.")] = None
    input_usd_per_mtok: Annotated[Money, CLOUD(help="Stated price of input.", parser=positive)] = None
    output_usd_per_mtok: Annotated[Money, CLOUD(help="Stated price of output.", parser=positive)] = None
    cached_usd_per_mtok: Annotated[Money, CLOUD(help="Stated price of cached input.", parser=positive)] = None
    batch_ratio: Annotated[Money, CLOUD(help="Share sent through the batch endpoint.", parser=positive)] = (
        None
    )
    cloud_ttft_ms: Annotated[Number, CLOUD(help="The cloud's median time to first token.", min=1)] = None
    cloud_tok_s: Annotated[Number, CLOUD(help="The cloud's median speed after that.", min=1e-3)] = None
    price_date: Annotated[
        datetime | None, CLOUD(help="Day of the price list; default and latest: today.", formats=["%Y-%m-%d"])
    ] = None
    usd_per_kwh: Annotated[Money, MONEY(help="Price of electricity.", parser=positive)] = None
    maintenance_hours: Annotated[Money, MONEY(help="Hours a month that one node takes.", parser=positive)] = (
        None
    )
    usd_per_hour: Annotated[Money, MONEY(help="What such an hour costs.", parser=positive)] = None
    growth: Annotated[Money, MONEY(help="Growth of traffic a year: 0.2 or 20%.", parser=amount)] = None
    cloud_decline: Annotated[Money, MONEY(help="Fall of cloud prices a year.", parser=amount)] = None
    life_months: Annotated[Count, MONEY(help="Life of the hardware.", min=1, max=MOST_MONTHS)] = None
    residual: Annotated[Money, MONEY(help="Resale value at the end, over the price.", parser=positive)] = None
    redone: Annotated[
        Money, MONEY(help="Share of local answers that the cloud does again.", parser=positive)
    ] = None
    config: Annotated[
        Path | None,
        WORK(
            help="Take what it says of prices, electricity, objective and hardware; default: spillway.yaml."
        ),
    ] = None
    seed: Annotated[int, WORK(help="The same seed, the same plan.", min=0)] = 0
    workers: Annotated[Count, WORK("--workers", help="Processes; default: one per processor.", min=1)] = None
    backend: Annotated[Text, WORK(help="joblib, dask[:ADDRESS] or ray[:ADDRESS] instead of processes.")] = (
        None
    )
    simulate_requests: Annotated[
        Count, WORK(help="Requests per fleet size, at least a day; default: a week of 1 M a month.", min=1)
    ] = None
    draws: Annotated[
        int,
        WORK(
            help="Futures drawn for the uncertain figures; ten thousand take half a minute.",
            min=10,
            max=100_000,
        ),
    ] = 1000
    html: Annotated[Path | None, WORK(help="Write a page of its own.", dir_okay=False)] = None
    png: Annotated[Path | None, WORK(help="Write a picture.", dir_okay=False)] = None
    as_json: Annotated[bool, WORK("--json", help="Print one JSON object.")] = False
