"""``spillway demo``: watch a real local model and a simulated cloud share traffic, then read the bill."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from spillway.demo.stage import Stage

__all__ = ["command"]


def command(
    duration: Annotated[float, typer.Option(help="Seconds of traffic.", min=1, max=3600)] = 30.0,
    port: Annotated[int, typer.Option(help="Port of the gateway; 0 takes a free one.", min=0, max=65535)] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object at the end.")] = False,
    keep_running: Annotated[
        bool, typer.Option("--keep-running", help="Leave the gateway up until Ctrl-C.")
    ] = False,
) -> None:
    """Watch a real local model and a simulated cloud share traffic under one endpoint.

    Example: spillway demo --duration 20 --json
    """
    logging.basicConfig(level="WARNING", format="%(levelname)s %(name)s: %(message)s")
    asyncio.run(_main(duration, port, as_json=as_json, keep_running=keep_running))


async def _main(duration_s: float, port: int, *, as_json: bool, keep_running: bool) -> None:
    from spillway.demo.stage import Stage
    from spillway.demo.summary import summarise
    from spillway.demo.traffic import send_bursts

    async with Stage(port) as stage:
        view = _view(stage, duration_s, is_quiet=as_json)
        with view:
            answers = await send_bursts(stage.url, duration_s, lambda: _has_stopped(stage), view.show)
        summary = summarise(stage.ledger_url, answers)
        print(json.dumps(summary) if as_json else _text(summary))
        if keep_running and stage.serving is not None:
            print(f"still serving at {stage.url}; Ctrl-C ends it", file=sys.stderr)
            await stage.serving


def _has_stopped(stage: Stage) -> bool:
    return stage.serving is None or stage.serving.done()


def _view(stage: Stage, duration_s: float, *, is_quiet: bool) -> Any:
    from spillway.demo.view import LiveView, QuietView

    if is_quiet or not sys.stdout.isatty():
        return QuietView()
    return LiveView(stage.url, duration_s)


def _text(summary: dict[str, Any]) -> str:
    """The bill, for a person."""
    lines = [
        f"{summary['requests']} messages, {summary['errors']} errors: "
        f"{summary['local']} answered locally, {summary['cloud']} by the simulated cloud "
        f"({_percent(summary['local_share'])} local)",
        f"time to first token: p50 {_number(summary['ttft_ms']['p50'], ' ms')}, "
        f"p95 {_number(summary['ttft_ms']['p95'], ' ms')}",
        f"answers exactly right: {_percent(summary['answers_exact_ratio'])}",
        f"cost {_usd(summary['cost_usd'])}; all of it in the cloud would have cost "
        f"{_usd(summary['reference_cost_usd'])}; saved {_usd(summary['saved_usd'])}",
        f"in the ledger: {summary['ledger_rows']} requests",
        *(f"  note: {note}" for note in summary["notes"]),
    ]
    return "\n".join(lines)


def _percent(ratio: float | None) -> str:
    return "unknown" if ratio is None else f"{100 * ratio:.1f} %"


def _number(value: float | None, unit: str) -> str:
    return "unknown" if value is None else f"{value:g}{unit}"


def _usd(value: float | None) -> str:
    return "unknown" if value is None else f"${value:.6f}"
