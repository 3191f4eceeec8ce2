"""The options of ``spillway evidence`` as one record."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer


@dataclass(frozen=True)
class EvidenceOptions:
    """What the command line asks for."""

    config: Annotated[Path | None, typer.Option(help="Configuration; default ./spillway.yaml if any.")] = None
    ledger: Annotated[
        str | None, typer.Option(help="URL of the ledger; default: as in the configuration.")
    ] = None
    disagreements: Annotated[
        bool, typer.Option("--disagreements", help="Show the comparisons a node lost, newest first.")
    ] = False
    limit: Annotated[
        int | None, typer.Option(min=1, help="At most so many disagreements (20) or prompts (all).")
    ] = None
    from_log: Annotated[
        Path | None, typer.Option(help="Replay this log, one chat body a line, through both sides.")
    ] = None
    local: Annotated[str | None, typer.Option(help="URL of the node to try.")] = None
    local_model: Annotated[str | None, typer.Option(help="Its model; default: the first it serves.")] = None
    local_key_env: Annotated[
        str | None, typer.Option(help="Variable that holds the node's key, if it asks for one.")
    ] = None
    reference: Annotated[
        str | None, typer.Option(help="URL, or CLOUD/MODEL; default: routing.reference.")
    ] = None
    reference_model: Annotated[str | None, typer.Option(help="The model at a reference URL.")] = None
    reference_key_env: Annotated[
        str | None, typer.Option(help="Variable that holds the reference's key.")
    ] = None
    judge: Annotated[
        bool, typer.Option("--judge", help="Let the reference judge texts that nothing else compares.")
    ] = False
    parallel: Annotated[int, typer.Option(min=1, max=64, help="Prompts at once.")] = 2
    max_usd: Annotated[
        float, typer.Option(min=0, help="Stop asking a priced reference beyond this; 0: no limit.")
    ] = 1.0
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False
