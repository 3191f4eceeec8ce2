"""The options of ``spillway bench`` as one record."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, get_type_hints

import typer

MOST = 1_000_000_000
"""Beyond any figure of a machine or a model; more would only overflow."""
LIVE, FIGURES = "Measuring a node", "With --predict"


@dataclass(frozen=True)
class BenchOptions:
    """What the command line asks for."""

    invocation: typer.Context
    url: Annotated[
        str | None, typer.Argument(help="The node to measure: its URL, or a GGUF file to serve meanwhile.")
    ] = None
    predict: Annotated[bool, typer.Option("--predict", help="Estimate from figures, without a node.")] = False
    bandwidth_gb_s: Annotated[
        float | None,
        typer.Option(help="Memory bandwidth in GB/s.", rich_help_panel=FIGURES, min=1e-3, max=MOST),
    ] = None
    tflops: Annotated[
        float | None,
        typer.Option(
            help="FP16 TFLOPS of the general units, as spec sheets list it.",
            rich_help_panel=FIGURES,
            min=1e-3,
            max=MOST,
        ),
    ] = None
    memory_gb: Annotated[
        float | None,
        typer.Option(help="Memory for weights and cache.", rich_help_panel=FIGURES, min=1e-3, max=MOST),
    ] = None
    family: Annotated[
        str | None, typer.Option(help="Kind of machine; inferred when left out.", rich_help_panel=FIGURES)
    ] = None
    hardware: Annotated[
        str | None,
        typer.Option(help="Catalogue key; figures replace its own.", rich_help_panel=FIGURES),
    ] = None
    weights_gb: Annotated[
        float | None,
        typer.Option(help="Size of the model file in GB.", rich_help_panel=FIGURES, min=1e-6, max=MOST),
    ] = None
    params_b: Annotated[
        float | None,
        typer.Option(help="Billions of parameters.", rich_help_panel=FIGURES, min=1e-6, max=MOST),
    ] = None
    active_params_b: Annotated[
        float | None,
        typer.Option(
            help="Billions one token uses, for a mixture of experts.",
            rich_help_panel=FIGURES,
            min=1e-6,
            max=MOST,
        ),
    ] = None
    model: Annotated[
        str | None, typer.Option(help="Model to measure where there are several; or a catalogue key.")
    ] = None
    quant: Annotated[str | None, typer.Option(help="q4, q8 or f16.", rich_help_panel=FIGURES)] = None
    kv_bytes_per_token: Annotated[
        float | None, typer.Option(help="Cache of one token.", rich_help_panel=FIGURES, min=1, max=MOST)
    ] = None
    context: Annotated[
        int,
        typer.Option(help="Tokens in each cache while decoding.", rich_help_panel=FIGURES, min=0, max=MOST),
    ] = 512
    prompt_tokens: Annotated[
        int | None,
        typer.Option(
            help="Prompt length for prefill; the context if left out.",
            rich_help_panel=FIGURES,
            min=1,
            max=MOST,
        ),
    ] = None
    cached_tokens: Annotated[
        int,
        typer.Option(help="Prompt tokens already in the cache.", rich_help_panel=FIGURES, min=0, max=MOST),
    ] = 0
    batch: Annotated[
        int, typer.Option(help="Sequences decoded at once.", rich_help_panel=FIGURES, min=1, max=MOST)
    ] = 1
    api_key: Annotated[
        str | None,
        typer.Option(help="Key the node asks for.", rich_help_panel=LIVE, envvar="SPILLWAY_NODE_KEY"),
    ] = None
    duration: Annotated[
        float, typer.Option(help="Seconds the measurement may take.", rich_help_panel=LIVE, min=1)
    ] = 60.0
    max_concurrency: Annotated[
        int, typer.Option(help="Most requests at once.", rich_help_panel=LIVE, min=1, max=256)
    ] = 32
    name: Annotated[
        str | None,
        typer.Option(
            help="Name of the profile; default: where it is, and --model if given.", rich_help_panel=LIVE
        ),
    ] = None
    save: Annotated[
        Path | None,
        typer.Option(
            help="Where to keep the profile; default: with the configuration.", rich_help_panel=LIVE
        ),
    ] = None
    force: Annotated[
        bool, typer.Option("--force", help="Measure although others use the node.", rich_help_panel=LIVE)
    ] = False
    slots: Annotated[
        int, typer.Option(help="Slots to serve a GGUF file with.", rich_help_panel=LIVE, min=1)
    ] = 2
    context_tokens: Annotated[
        int, typer.Option(help="Context per slot to serve a GGUF file with.", rich_help_panel=LIVE, min=64)
    ] = 4096
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False

    def first_named(self, panel: str) -> str | None:
        """The first option of that part of the help that the command line names, be it with its default."""
        named = (each for each in _options_in(panel) if self.is_named(each))
        return next(named, None)

    def is_named(self, field: str) -> bool:
        """Whether the command line gives it; a variable of the environment is meant for any command."""
        source = self.invocation.get_parameter_source(field)
        return source is not None and source.name == "COMMANDLINE"


@cache
def _options_in(panel: str) -> tuple[str, ...]:
    hints = get_type_hints(BenchOptions, include_extras=True)
    return tuple(
        field
        for field, hint in hints.items()
        if any(getattr(said, "rich_help_panel", None) == panel for said in getattr(hint, "__metadata__", ()))
    )
