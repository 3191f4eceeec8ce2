"""The options of ``spillway plan``, one name each, so that the command's signature stays readable."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated

import typer

Option, Argument = typer.Option, typer.Argument


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


Text, Number, Count = str | None, float | None, int | None
Money = Decimal | None

# The traffic.
Usage = Annotated[
    list[str] | None, Argument(help="Usage files, ledgers, or URLs of ledgers.", show_default=False)
]
Preset = Annotated[Text, Option(help="A plan by name: article.")]
Requests = Annotated[Count, Option(help="Traffic by numbers instead of files.", min=1)]
InputTokens = Annotated[Number, Option(help="Mean prompt length.", min=1)]
OutputTokens = Annotated[Number, Option(help="Mean answer length.", min=1)]
Shape = Annotated[str, Option(help="Course of the day where only totals are known: consumer, office, flat.")]
Columns = Annotated[
    list[str] | None, Option("--map", help="COLUMN=FIELD, for a file of a kind nobody knows; repeatable.")
]
Format = Annotated[Text, Option("--format", help="Kind of the usage files, where it is not told well.")]

# The node.
Hardware = Annotated[Text, Option(help="The node's machine, a key of the catalogue.")]
Model = Annotated[Text, Option(help="The node's model, a key of the catalogue.")]
Quant = Annotated[Text, Option(help="q4, q8 or f16.")]
Profile = Annotated[Path | None, Option(help="What spillway bench measured, instead.")]
Bandwidth = Annotated[Number, Option(help="The machine by figures: memory bandwidth.", min=1e-3)]
Tflops = Annotated[Number, Option(help="FP16 rate of the general units.", min=1e-3)]
Memory = Annotated[Number, Option(help="Memory for weights and cache.", min=1e-3)]
Family = Annotated[Text, Option(help="Kind of machine; inferred when left out.")]
Weights = Annotated[Number, Option(help="The model by figures: size of its file.", min=1e-6)]
Params = Annotated[Number, Option(help="Billions of parameters.", min=1e-6)]
KvBytes = Annotated[Number, Option(help="Cache of one token.", min=1)]
DecodeSpeed = Annotated[Number, Option(help="Stated speed of writing, one sequence.", min=1e-3)]
PrefillSpeed = Annotated[Number, Option(help="Stated speed of reading.", min=1e-3)]
Slots = Annotated[
    Count, Option(help="Sequences at once; default: what keeps the objective.", min=1, max=1024)
]
HardwareUsd = Annotated[Money, Option(help="Price of one node.", parser=positive)]
RentUsd = Annotated[Money, Option(help="Rent of one node instead.", parser=positive)]
IdleWatts = Annotated[Money, Option(help="Power at rest.", parser=positive)]
ActiveWatts = Annotated[Money, Option(help="Power at work.", parser=positive)]
Nodes = Annotated[str, Option(help="Fleet sizes: 0-8, or 1,2,4.")]

# The objective.
Ttft = Annotated[float, Option(help="First token within so long; 0 for no limit.", min=0)]
Total = Annotated[float, Option(help="Last token within so long; 0 for no limit.", min=0)]
Attainment = Annotated[float, Option(help="Share of requests to be in time.", min=0.01, max=0.999)]

# The cloud.
Cloud = Annotated[Text, Option(help="PROVIDER/MODEL to price everything with; default: as used.")]
InputUsd = Annotated[Money, Option(help="Stated price of input.", parser=positive)]
OutputUsd = Annotated[Money, Option(help="Stated price of output.", parser=positive)]
CachedUsd = Annotated[Money, Option(help="Stated price of cached input.", parser=positive)]
BatchRatio = Annotated[Money, Option(help="Share sent through the batch endpoint.", parser=positive)]
CloudTtft = Annotated[Number, Option(help="The cloud's median time to first token.", min=1)]
CloudSpeed = Annotated[Number, Option(help="The cloud's median speed after that.", min=1e-3)]
PriceDate = Annotated[
    datetime | None, Option(help="Day of the price list; default: today.", formats=["%Y-%m-%d"])
]

# The money.
Kwh = Annotated[Money, Option(help="Price of electricity.", parser=positive)]
Maintenance = Annotated[Money, Option(help="Hours a month that one node takes.", parser=positive)]
HourUsd = Annotated[Money, Option(help="What such an hour costs.", parser=positive)]
Growth = Annotated[Money, Option(help="Growth of traffic a year: 0.2 or 20%.", parser=amount)]
Decline = Annotated[Money, Option(help="Fall of cloud prices a year.", parser=amount)]
Life = Annotated[Count, Option(help="Life of the hardware.", min=1, max=240)]
Residual = Annotated[Money, Option(help="Resale value at the end, over the price.", parser=positive)]
Redone = Annotated[Money, Option(help="Share of local answers that the cloud does again.", parser=positive)]

# The work and what comes out of it.
Seed = Annotated[int, Option(help="The same seed, the same plan.", min=0)]
Jobs = Annotated[Count, Option("--workers", help="Processes; default: one per processor.", min=1)]
Backend = Annotated[Text, Option(help="joblib, dask[:ADDRESS] or ray[:ADDRESS] instead of processes.")]
Simulate = Annotated[
    Count, Option(help="Requests per fleet size; default: a week of a million a month.", min=1)
]
Draws = Annotated[int, Option(help="Futures drawn for the uncertain figures.", min=10, max=100_000)]
Html = Annotated[Path | None, Option(help="Write a page of its own.", dir_okay=False)]
Png = Annotated[Path | None, Option(help="Write a picture.", dir_okay=False)]
Json = Annotated[bool, Option("--json", help="Print one JSON object.")]
