"""Predict a load, run it on a real engine, compare.

::

    python -m bench.reality.run [--quick] [--blocks 150] [--bench-s 60] [--json FILE] [--only direct|gateway]

The node is the demo model's slow twin on the embedded llama.cpp: one thread, four slots. The measurement of
``spillway bench`` makes a profile of it. Then fresh loads (mixes × rates, fixed seeds) are predicted by the
planner's simulator from arrivals, lengths and profile alone, and run for real: straight to the engine for the
times, and through the gateway with a simulated cloud for the share that stays local.

A run in which the engine had to wait for a core, or was not as fast before and after as when it was measured,
says more of the machine than of the model: it is repeated up to ``--tries`` times in quieter moments, the
least disturbed run counts, and how disturbed it was stands in the table. Nothing is left out for being wrong.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import platform
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.reality.cells import Cell, Direct, Tries, through_gateway
from bench.reality.mixes import MIXES
from bench.reality.quiet import calm
from bench.reality.scene import Limits, build_twin, node
from spillway.measuring.campaign import Campaign
from spillway.measuring.campaign import Limits as BenchLimits
from spillway.measuring.result import profile_of
from spillway.measuring.target import Target
from spillway.measuring.waits import waits, watch
from spillway.planner.profile import Profile, profile_to_json, save_profile

RATES = (0.5, 0.8, 1.2)
"""Shares of what the profile says the node completes; the last one overloads it."""
LIMITS = Limits(ttft_ms=1500, total_ms=4000)
TIME_RATIO, SHARE_POINTS = 0.25, 5.0
"""Errors that a prediction should stay within."""
COLUMNS = (
    "mix", "rate", "requests", "TTFT p50", "TTFT p95", "total p50", "total p95", "local share", "core wait",
    "speed", "tries",
)  # fmt: skip


def main() -> None:
    """Runs the comparison and prints its table."""
    given = _arguments()
    profile, cells = asyncio.run(_compare(given))
    print(table(cells))
    if given.json:
        given.json.write_text(json.dumps(_record(profile, cells), indent=1))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.reality.run", description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="two mixes, two rates")
    parser.add_argument("--blocks", type=int, default=150, help="identity blocks that slow the model")
    parser.add_argument("--bench-s", type=float, default=60.0, help="seconds of the measurement")
    parser.add_argument("--tries", type=int, default=20, help="runs of a load until one is undisturbed")
    parser.add_argument("--calm-s", type=float, default=300.0, help="longest wait for a quiet moment")
    parser.add_argument("--only", choices=("direct", "gateway"))
    parser.add_argument("--json", type=Path, help="also write everything there")
    return parser.parse_args()


async def _compare(given: argparse.Namespace) -> tuple[Profile, list[Cell]]:
    step = 2 if given.quick else 1
    asked = [(mix, rate) for mix in MIXES[::step] for rate in RATES[::step]]
    tries = Tries(given.tries, given.calm_s)
    cells: list[Cell] = []
    with tempfile.TemporaryDirectory(prefix="spillway-reality-") as name:
        folder = Path(name)
        twin = build_twin(folder, given.blocks)
        async with node(twin) as (target, engine):
            profile = await _profile(target, engine.pid or 0, given.bench_s, tries)
            save_profile(profile, folder / "twin.json")
            bench = Direct(target, engine.pid or 0, profile, tries)
            loads = [await bench.load(mix, rate) for mix, rate in asked]
            for load in loads if given.only != "gateway" else ():
                cells += [_said(await bench.cell(load))]
        for load in loads if given.only != "direct" else ():
            cells += [_said(await through_gateway(folder, twin, profile, load, LIMITS, tries))]
    return profile, cells


async def _profile(target: Target, pid: int, seconds: float, tries: Tries) -> Profile:
    """The profile as ``spillway bench`` makes it of a model file: disturbed waves are played again."""
    await calm(tries.calm_s)
    began = waits(pid)
    measured = await Campaign(target, BenchLimits(duration_s=seconds), disturbance=watch(pid)).run()
    profile = profile_of(measured, target, "twin", datetime.now(UTC).date())
    said = f"waited {waits(pid).since(began):.1%}, {measured.repeated} waves repeated"
    print(f"{said}: {json.dumps(profile_to_json(profile))}", file=sys.stderr, flush=True)
    return profile


def _said(cell: Cell) -> Cell:
    print(_row(cell), file=sys.stderr, flush=True)
    return cell


def table(cells: Sequence[Cell]) -> str:
    """Markdown; each time as predicted → real (error)."""
    lines = [f"| {' | '.join(COLUMNS)} |", "| --- " * len(COLUMNS) + "|", *map(_row, cells)]
    times = [
        told / real - 1.0
        for cell in cells
        if cell.told_share is None
        for told, real in zip(cell.told.all(), cell.real.all(), strict=True)
    ]
    gaps = [
        100 * (cell.told_share - cell.real_share)
        for cell in cells
        if cell.told_share is not None and cell.real_share is not None
    ]
    for what, errors, limit, unit in (
        ("times of the node alone", times, TIME_RATIO, "25 %"),
        ("local shares", gaps, SHARE_POINTS, "5 points"),
    ):
        if errors:
            good = sum(abs(error) <= limit for error in errors)
            lines.append(f"\n{good} of {len(errors)} {what} are within {unit}.")
    return "\n".join(lines)


def _row(cell: Cell) -> str:
    times = [
        f"{told:.2f} → {real:.2f} s ({told / real - 1:+.0%})"
        for told, real in zip(cell.told.all(), cell.real.all(), strict=True)
    ]
    share = ""
    if cell.told_share is not None and cell.real_share is not None:
        share = f"{cell.told_share:.0%} → {cell.real_share:.0%}"
    speed = "" if cell.speed_ratio is None else f"{cell.speed_ratio:.2f}"
    parts = [cell.mix, f"{cell.rate:.0%}", str(cell.requests), *times, share]
    return f"| {' | '.join([*parts, f'{cell.waited_ratio:.0%}', speed, str(cell.tries)])} |"


def _record(profile: Profile, cells: Sequence[Cell]) -> dict[str, Any]:
    return {
        "measured_on": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": f"{platform.machine()}, {platform.system()}",
        "profile": profile_to_json(profile),
        "cells": [asdict(cell) for cell in cells],
    }


if __name__ == "__main__":
    main()
