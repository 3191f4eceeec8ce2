"""The live half of ``spillway bench``: measure a node, say what it does, keep the profile."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from spillway.cli.bench_options import BenchOptions
    from spillway.measuring.campaign import Measured
    from spillway.planner.profile import Profile
    from spillway.slo.pace import LinearPace

__all__ = ["bench_live"]

SCHEMA = "spillway.bench/1"
GAP_RATIO = 0.1
"""Of a step with two answers, what a gap must add to be worth a word (guess)."""
Show = Callable[[float, str], None]


def bench_live(target: str, options: BenchOptions) -> None:
    """The profile of ``target``, a server's URL or the path of a model file, is saved and shown.

    SpillwayError leaves say why it cannot be.
    """
    from spillway.errors import printable
    from spillway.planner.profile import save_profile

    with _progress() as show:
        measured, profile, path = asyncio.run(_measure(target, options, show))
    save_profile(profile, path)
    for warning in profile.warnings:
        print(f"spillway: {printable(warning)}", file=sys.stderr)
    typer.echo(
        json.dumps(_json(measured, profile, path)) if options.as_json else _text(measured, profile, path)
    )


async def _measure(where: str, options: BenchOptions, show: Show) -> tuple[Measured, Profile, Path]:
    """What was measured, the profile of it and where that is to be kept; the place was tried before."""
    from datetime import UTC, datetime

    from spillway.measuring.campaign import Campaign, Limits
    from spillway.measuring.result import profile_of
    from spillway.measuring.target import find_target
    from spillway.measuring.waits import watch
    from spillway.planner.profile import profile_path, refuse_place

    limits = Limits(duration_s=options.duration, max_concurrency=options.max_concurrency)
    async with _server(where, options) as node:
        target = await find_target(node.url, options.model, node.api_key)
        name = options.name or _usual_name(node.name, options.model) or target.model
        path = options.save or profile_path(name, os.environ)
        try:
            refuse_place(path)
            disturbance = watch(node.pid) if node.pid else None
            bench = Campaign(target, limits, show, is_forced=options.force, disturbance=disturbance)
            measured = await bench.run()
        finally:
            await target.close()
        return measured, profile_of(measured, target, name, datetime.now(UTC).date()), path


def _usual_name(place: str | None, model: str | None) -> str | None:
    """Where it is and the model that was chosen there: the profile of another is not written over."""
    return f"{place}-{model}" if place and model else place


@dataclass(frozen=True)
class Node:
    """What is measured, and its process where it is ours."""

    url: str
    api_key: str | None
    name: str | None
    pid: int | None = None


@asynccontextmanager
async def _server(where: str, options: BenchOptions) -> AsyncIterator[Node]:
    """The node that runs there, or a model file served meanwhile."""
    if "://" in where:
        host = where.partition("://")[2].partition("/")[0].rpartition("@")[2]
        yield Node(where, options.api_key, host.replace(":", "-") or None)
        return
    from spillway.engines.embedded import EmbeddedEngine

    path = Path(where)
    engine = EmbeddedEngine(path, name=path.stem, slots=options.slots, context_tokens=options.context_tokens)
    await engine.start()
    try:
        yield Node(engine.url, engine.api_key, path.stem, engine.pid)
    finally:
        await engine.stop()


@contextmanager
def _progress() -> Iterator[Show]:
    """A bar on a terminal, nothing elsewhere."""
    if not sys.stderr.isatty():
        yield lambda ratio, text: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (BarColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=1.0)
        yield lambda ratio, text: bar.update(task, completed=ratio, description=text)


def _json(measured: Measured, profile: Profile, path: Path) -> dict[str, Any]:
    """One object; speeds stand beside the profile under the names ``--predict`` uses."""
    from spillway.planner.profile import profile_to_json

    prompt = _usual_prompt(measured)
    return {
        "schema": SCHEMA,
        "grade": "measured",
        "decode_tok_s": round(1 / profile.pace.decode_step_s(1, prompt), 3),
        "prefill_tok_s": round(prompt / profile.pace.prefill_s(prompt), 3),
        "prompt_tokens": prompt,
        "slots": profile.slots,
        "best_slots": profile.best_slots,
        "requests": measured.requests,
        "tokens": measured.tokens,
        "elapsed_s": round(measured.elapsed_s, 3),
        "saved_as": str(path),
        "profile": profile_to_json(profile),
    }


def _text(measured: Measured, profile: Profile, path: Path) -> str:
    from spillway.errors import printable

    pace, errors = profile.pace, profile.errors
    prompts = sorted({_usual_prompt(measured), int(max(read.prompt_tokens for read in measured.reads))})
    reading = " · ".join(f"{n / pace.prefill_s(n):,.0f} at {n:,} tokens" for n in prompts)
    speeds = profile.tok_s or {}
    writing = " · ".join(f"{speed:,.0f} with {n}" for n, speed in speeds.items())
    version = f" {profile.engine_version}" if profile.engine_version else ""
    lines = [
        f"{profile.name}: {profile.model} on {profile.engine}{version}, "
        f"{measured.requests} requests in {measured.elapsed_s:.0f} s",
        f"prefill  {reading}  (tok/s)",
        f"decode   {writing}  (tok/s, by sequences at once)",
        f"slots    {_slots(profile)}",
        *_gaps(pace, _usual_prompt(measured)),
        f"error    TTFT {_share(errors.ttft_median_ratio)} median, {_share(errors.ttft_p90_ratio)} p90; "
        f"ITL {_share(errors.itl_median_ratio)} median, {_share(errors.itl_p90_ratio)} p90 "
        f"on {errors.probes} probes that the fit had not seen",
        f"saved    {path}",
        f"use it   spillway plan --profile {path}   or   profile: {path}   under the node",
    ]
    return "\n".join(map(printable, lines))


def _slots(profile: Profile) -> str:
    """How many it works on at once, and how many are worth it where that was timed."""
    limit = f"{profile.slots}" if profile.slots else f"no limit up to {profile.tested_concurrency}"
    if profile.slots != 1 and not profile.knows_batches:
        return f"{limit}; what more than one at once take is unknown"
    return f"{limit}; {profile.best_slots} reach nearly all of its speed"


def _gaps(pace: LinearPace, prompt_tokens: int) -> list[str]:
    """A line where an idle slot between busy ones costs much, and what to try."""
    pair_s = pace.decode_step_s(2, prompt_tokens) - pace.gaps_s(2)
    if pace.step_gap_s < GAP_RATIO * pair_s:
        return []
    return [
        f"gaps     two answers take {1e3 * pair_s:.1f} ms a token side by side and "
        f"{1e3 * pace.step_gap_s:.1f} ms more with an idle slot between them: "
        "fewer slots or --kv-unified may be faster, measure both"
    ]


def _usual_prompt(measured: Measured) -> int:
    lengths = sorted(read.prompt_tokens for read in measured.reads)
    return int(lengths[len(lengths) // 2])


def _share(ratio: float | None) -> str:
    return "unknown" if ratio is None else f"{ratio:.0%}"
