"""The options of ``spillway plan``, one name each, so that the command's signature stays readable."""

from __future__ import annotations

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


def amount(text: str) -> Decimal:
    """A number, or a percentage as its ratio."""
    body = text.strip()
    try:
        value = Decimal(body[:-1]) / 100 if body.endswith("%") else Decimal(body)
    except InvalidOperation:
        raise typer.BadParameter(f"{text!r} is not a number") from None
    if not value.is_finite():
        raise typer.BadParameter(f"{text!r} is not a number")
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

# The traffic.
Usage = Annotated[
    list[str] | None, Argument(help="Usage files, ledgers, or URLs of ledgers.", show_default=False)
]
Preset = Annotated[Text, TRAFFIC(help="A plan by name: article.")]
Requests = Annotated[Count, TRAFFIC(help="Traffic by numbers instead of files.", min=1)]
InputTokens = Annotated[Number, TRAFFIC(help="Mean prompt length.", min=1)]
OutputTokens = Annotated[Number, TRAFFIC(help="Mean answer length.", min=1)]
Shape = Annotated[str, TRAFFIC(help="Course of the day where only totals are known: consumer, office, flat.")]
Columns = Annotated[
    list[str] | None, TRAFFIC("--map", help="COLUMN=FIELD, for a file of a kind nobody knows; repeatable.")
]
Format = Annotated[Text, TRAFFIC("--format", help="Kind of the usage files, where it is not told well.")]

# The node.
Hardware = Annotated[Text, NODE(help="The node's machine, a key of the catalogue.")]
Model = Annotated[Text, NODE(help="The node's model, a key of the catalogue.")]
Quant = Annotated[Text, NODE(help="q4, q8 or f16.")]
Profile = Annotated[Path | None, NODE(help="What spillway bench measured, instead.")]
Bandwidth = Annotated[Number, NODE(help="The machine by figures: memory bandwidth.", min=1e-3)]
Tflops = Annotated[Number, NODE(help="FP16 rate of the general units.", min=1e-3)]
Memory = Annotated[Number, NODE(help="Memory for weights and cache.", min=1e-3)]
Family = Annotated[Text, NODE(help="Kind of machine; inferred when left out.")]
Weights = Annotated[Number, NODE(help="The model by figures: size of its file.", min=1e-6)]
Params = Annotated[Number, NODE(help="Billions of parameters.", min=1e-6)]
KvBytes = Annotated[Number, NODE(help="Cache of one token.", min=1)]
DecodeSpeed = Annotated[Number, NODE(help="Stated speed of writing, one sequence.", min=1e-3)]
PrefillSpeed = Annotated[Number, NODE(help="Stated speed of reading.", min=1e-3)]
Slots = Annotated[Count, NODE(help="Sequences at once; default: what keeps the objective.", min=1, max=1024)]
HardwareUsd = Annotated[Money, NODE(help="Price of one node.", parser=positive)]
RentUsd = Annotated[Money, NODE(help="Rent of one node instead.", parser=positive)]
IdleWatts = Annotated[Money, NODE(help="Power at rest.", parser=positive)]
ActiveWatts = Annotated[Money, NODE(help="Power at work.", parser=positive)]
LocalTokens = Annotated[
    Count, NODE("--max-local-input-tokens", help="Longest prompt a node may get; default: what fits.", min=1)
]
Suitable = Annotated[
    float,
    NODE("--local-ratio", help="Share of requests a local model answers well enough.", min=0.001, max=1),
]
Nodes = Annotated[str, NODE(help="Fleet sizes: 0-8, or 1,2,4.")]

# The objective.
Ttft = Annotated[Number, OBJECTIVE(help="First token within so long; 0: no limit; default: 2000.", min=0)]
Total = Annotated[Number, OBJECTIVE(help="Last token within so long; 0: no limit; default: 20000.", min=0)]
Attainment = Annotated[
    Number, OBJECTIVE(help="Share of requests to be in time; default: 0.95.", min=0.01, max=0.999)
]

# The cloud.
Cloud = Annotated[Text, CLOUD(help="PROVIDER/MODEL to price everything with; default: as used.")]
InputUsd = Annotated[Money, CLOUD(help="Stated price of input.", parser=positive)]
OutputUsd = Annotated[Money, CLOUD(help="Stated price of output.", parser=positive)]
CachedUsd = Annotated[Money, CLOUD(help="Stated price of cached input.", parser=positive)]
BatchRatio = Annotated[Money, CLOUD(help="Share sent through the batch endpoint.", parser=positive)]
CloudTtft = Annotated[Number, CLOUD(help="The cloud's median time to first token.", min=1)]
CloudSpeed = Annotated[Number, CLOUD(help="The cloud's median speed after that.", min=1e-3)]
PriceDate = Annotated[
    datetime | None, CLOUD(help="Day of the price list; default: today.", formats=["%Y-%m-%d"])
]

# The money.
Kwh = Annotated[Money, MONEY(help="Price of electricity.", parser=positive)]
Maintenance = Annotated[Money, MONEY(help="Hours a month that one node takes.", parser=positive)]
HourUsd = Annotated[Money, MONEY(help="What such an hour costs.", parser=positive)]
Growth = Annotated[Money, MONEY(help="Growth of traffic a year: 0.2 or 20%.", parser=amount)]
Decline = Annotated[Money, MONEY(help="Fall of cloud prices a year.", parser=amount)]
Life = Annotated[Count, MONEY(help="Life of the hardware.", min=1, max=240)]
Residual = Annotated[Money, MONEY(help="Resale value at the end, over the price.", parser=positive)]
Redone = Annotated[Money, MONEY(help="Share of local answers that the cloud does again.", parser=positive)]

# The work and what comes out of it.
Config = Annotated[
    Path | None,
    WORK(help="Take what it says of prices, electricity, objective and hardware; default: spillway.yaml."),
]
Seed = Annotated[int, WORK(help="The same seed, the same plan.", min=0)]
Jobs = Annotated[Count, WORK("--workers", help="Processes; default: one per processor.", min=1)]
Backend = Annotated[Text, WORK(help="joblib, dask[:ADDRESS] or ray[:ADDRESS] instead of processes.")]
Simulate = Annotated[
    Count, WORK(help="Requests per fleet size; default: a week of a million a month.", min=1)
]
Draws = Annotated[int, WORK(help="Futures drawn for the uncertain figures.", min=10, max=100_000)]
Html = Annotated[Path | None, WORK(help="Write a page of its own.", dir_okay=False)]
Png = Annotated[Path | None, WORK(help="Write a picture.", dir_okay=False)]
Json = Annotated[bool, WORK("--json", help="Print one JSON object.")]
