"""The options of ``spillway evidence``, one name each, so that the command's signature stays readable."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Config = Annotated[Path | None, typer.Option(help="Configuration; default ./spillway.yaml if any.")]
Ledger = Annotated[str | None, typer.Option(help="URL of the ledger; default: as in the configuration.")]
Disagreements = Annotated[
    bool, typer.Option("--disagreements", help="Show the comparisons a node lost, newest first.")
]
Limit = Annotated[
    int | None, typer.Option(min=1, help="At most so many disagreements (20) or prompts (all).")
]
FromLog = Annotated[
    Path | None, typer.Option(help="Replay this log, one chat body a line, through both sides.")
]
Local = Annotated[str | None, typer.Option(help="URL of the node to try.")]
LocalModel = Annotated[str | None, typer.Option(help="Its model; default: the first it serves.")]
LocalKeyEnv = Annotated[
    str | None, typer.Option(help="Variable that holds the node's key, if it asks for one.")
]
Reference = Annotated[str | None, typer.Option(help="URL, or CLOUD/MODEL; default: routing.reference.")]
ReferenceModel = Annotated[str | None, typer.Option(help="The model at a reference URL.")]
ReferenceKeyEnv = Annotated[str | None, typer.Option(help="Variable that holds the reference's key.")]
Judge = Annotated[
    bool, typer.Option("--judge", help="Let the reference judge texts that nothing else compares.")
]
Parallel = Annotated[int, typer.Option(min=1, max=64, help="Prompts at once.")]
MaxUsd = Annotated[
    float, typer.Option(min=0, help="Stop asking a priced reference beyond this; 0: no limit.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
