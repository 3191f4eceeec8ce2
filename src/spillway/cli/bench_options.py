"""The options of ``spillway bench``, one name each, so that the command's signature stays readable."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

LIVE, FIGURES = "Measuring a node", "With --predict"

Url = Annotated[
    str | None, typer.Argument(help="The node to measure: its URL, or a GGUF file to serve meanwhile.")
]
Predict = Annotated[bool, typer.Option("--predict", help="Estimate from figures, without a node.")]
BandwidthGbS = Annotated[
    float | None, typer.Option(help="Memory bandwidth in GB/s.", rich_help_panel=FIGURES, min=1e-3)
]
Tflops = Annotated[
    float | None,
    typer.Option(
        help="FP16 TFLOPS of the general units, as spec sheets list it.",
        rich_help_panel=FIGURES,
        min=1e-3,
    ),
]
MemoryGb = Annotated[
    float | None, typer.Option(help="Memory for weights and cache.", rich_help_panel=FIGURES, min=1e-3)
]
Family = Annotated[
    str | None, typer.Option(help="Kind of machine; inferred when left out.", rich_help_panel=FIGURES)
]
Hardware = Annotated[
    str | None, typer.Option(help="Catalogue key instead of figures.", rich_help_panel=FIGURES)
]
WeightsGb = Annotated[
    float | None, typer.Option(help="Size of the model file in GB.", rich_help_panel=FIGURES, min=1e-6)
]
ParamsB = Annotated[
    float | None, typer.Option(help="Billions of parameters.", rich_help_panel=FIGURES, min=1e-6)
]
ActiveParamsB = Annotated[
    float | None,
    typer.Option(
        help="Billions one token uses, for a mixture of experts.", rich_help_panel=FIGURES, min=1e-6
    ),
]
Model = Annotated[
    str | None, typer.Option(help="Model to measure where there are several; or a catalogue key.")
]
Quant = Annotated[str | None, typer.Option(help="q4, q8 or f16.", rich_help_panel=FIGURES)]
KvBytesPerToken = Annotated[
    float | None, typer.Option(help="Cache of one token.", rich_help_panel=FIGURES, min=0)
]
Context = Annotated[
    int, typer.Option(help="Tokens in each cache while decoding.", rich_help_panel=FIGURES, min=0)
]
PromptTokens = Annotated[
    int | None,
    typer.Option(help="Prompt length for prefill; the context if left out.", rich_help_panel=FIGURES, min=1),
]
CachedTokens = Annotated[
    int, typer.Option(help="Prompt tokens already in the cache.", rich_help_panel=FIGURES, min=0)
]
Batch = Annotated[int, typer.Option(help="Sequences decoded at once.", rich_help_panel=FIGURES, min=1)]
ApiKey = Annotated[
    str | None,
    typer.Option(help="Key the node asks for.", rich_help_panel=LIVE, envvar="SPILLWAY_NODE_KEY"),
]
Duration = Annotated[
    float, typer.Option(help="Seconds the measurement may take.", rich_help_panel=LIVE, min=1)
]
MaxConcurrency = Annotated[
    int, typer.Option(help="Most requests at once.", rich_help_panel=LIVE, min=1, max=256)
]
Name = Annotated[
    str | None, typer.Option(help="Name of the profile; default: where it is.", rich_help_panel=LIVE)
]
Save = Annotated[
    Path | None,
    typer.Option(help="Where to keep the profile; default: with the configuration.", rich_help_panel=LIVE),
]
Force = Annotated[
    bool, typer.Option("--force", help="Measure although others use the node.", rich_help_panel=LIVE)
]
Slots = Annotated[int, typer.Option(help="Slots to serve a GGUF file with.", rich_help_panel=LIVE, min=1)]
ContextTokens = Annotated[
    int, typer.Option(help="Context per slot to serve a GGUF file with.", rich_help_panel=LIVE, min=64)
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
