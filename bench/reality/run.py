"""Predict a load, run it on a real engine, compare.

::

    python -m bench.reality.run [--quick] [--times 3] [--patience-s 600] [--json FILE] [--only direct|gateway]

The node is the demo model's slow twin on the embedded llama.cpp: one thread, four slots. The measurement of
``spillway bench`` makes a profile of it. Then fresh loads (mixes × rates, fixed seeds) are predicted by the
planner's simulator from arrivals, lengths and profile alone, and run for real: straight to the engine for the
times, and through the gateway with a simulated cloud for the share that stays local.

A machine that others use too is now faster and now slower. So the node is measured anew before the loads of
each mix, and each load runs several times, all of them in turn, so that its runs lie minutes apart. How fast
single requests are is measured before and after each run; where that is off by more than 12 % from the
profile, the load runs again while patience lasts. The medians of each figure over the calm runs are compared,
predicted and measured, whatever they show (over all where none was calm). How many there were, how far they
differ and how long the engine waited for a core stands in the table.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path

from bench.reality.cells import Cell, Direct, Load, through_gateway
from bench.reality.mixes import MIXES
from bench.reality.quiet import calm
from bench.reality.record import Record
from bench.reality.scene import Limits, build_twin, node
from spillway.measuring.ask import Answered
from spillway.measuring.campaign import Campaign
from spillway.measuring.campaign import Limits as BenchLimits
from spillway.measuring.result import profile_of
from spillway.measuring.target import Target
from spillway.measuring.waits import waits, watch
from spillway.measuring.waves import Wave
from spillway.planner.profile import Profile, profile_to_json

RATES = (0.5, 0.8, 1.2)
"""Shares of what the first profile says the node completes; the last one overloads it."""
SIDES: dict[str | None, Sequence[bool]] = {None: (False, True), "direct": (False,), "gateway": (True,)}
"""Whether runs go through the gateway, by what ``--only`` says."""
LIMITS = Limits(ttft_ms=1500, total_ms=4000)
TIME_RATIO, SHARE_POINTS = 0.25, 5.0
"""Errors that a prediction should stay within."""
DOUBT_RATIO, MOST_PROFILES = 0.1, 4
"""Error of a profile for its own probes that is good enough, and how often it is measured for it at most."""
QUIET_S = 60.0
"""Longest wait for a quiet moment before one run."""
COLUMNS = (
    "mix", "rate", "requests", "TTFT p50", "TTFT p95", "total p50", "total p95", "local share", "core wait",
    "speed", "runs", "differ",
)  # fmt: skip


def main() -> None:
    """Runs the comparison and prints its table."""
    given = _arguments()
    print(table(asyncio.run(_compare(given)).cells))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.reality.run", description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="two mixes, two rates")
    parser.add_argument("--blocks", type=int, default=80, help="identity blocks that slow the model")
    parser.add_argument("--bench-s", type=float, default=60.0, help="seconds of the measurement")
    parser.add_argument("--times", type=int, default=3, help="calm runs of each load")
    parser.add_argument("--patience-s", type=float, default=600.0, help="longest wait for calm, each time")
    parser.add_argument("--only", choices=("direct", "gateway"))
    parser.add_argument("--json", type=Path, help="keep everything there; what it holds already stays")
    return parser.parse_args()


async def _compare(given: argparse.Namespace) -> Record:
    step = 2 if given.quick else 1
    record = Record.read(given.json)
    with tempfile.TemporaryDirectory(prefix="spillway-reality-") as name:
        folder = Path(name)
        twin = build_twin(folder, given.blocks)
        async with node(twin) as (target, engine):
            pid = engine.pid or 0

            async def measure() -> Profile:
                return await _profile(target, pid, given.bench_s, given.patience_s)

            if record.profile is None:
                record.keep(await measure())
            assert record.profile is not None
            direct = Direct(target, pid)
            loads = [
                await direct.load(mix, rate, record.profile)
                for mix in MIXES[::step]
                for rate in RATES[::step]
            ]

            async def play(load: Load, routed: bool, profile: Profile) -> Cell:
                await calm(QUIET_S)
                before = await direct.speed(profile)
                if routed:
                    cell = await through_gateway(folder, twin, load, profile, LIMITS)
                else:
                    cell = await direct.cell(load, profile)
                return replace(cell, speed_ratio=(before + await direct.speed(profile)) / 2)

            await _all(
                Schedule(loads, SIDES[given.only], record), measure, play, given.times, given.patience_s
            )
    return record


@dataclass(frozen=True)
class Schedule:
    """What is to be run, and what has been."""

    loads: Sequence[Load]
    routed: Sequence[bool]
    """Straight to the engine, through the gateway, or both."""
    record: Record

    def lacking(self, times: int) -> list[list[tuple[Load, bool]]]:
        """Runs of loads that had fewer calm ones than that, by mix."""
        found = [
            (load, routed)
            for load in self.loads
            for routed in self.routed
            if self.record.times(load, routed) < times
        ]
        return [list(group) for _, group in groupby(found, key=lambda run: run[0].mix.name)]


async def _all(
    schedule: Schedule,
    measure: Callable[[], Awaitable[Profile]],
    play: Callable[[Load, bool, Profile], Awaitable[Cell]],
    times: int,
    patience_s: float,
) -> None:
    """Every load has run as often as asked: all once, then all again, and in the end those that lack calm."""

    async def once(less_than: int) -> bool:
        lacking = schedule.lacking(less_than)
        for runs in lacking:
            profile = await measure()
            for load, routed in runs:
                cell = await play(load, routed, profile)
                print(_row(cell), file=sys.stderr, flush=True)
                schedule.record.add(cell)
        return bool(lacking)

    for turn in range(times):
        await once(turn + 1)
    ends_s = time.monotonic() + patience_s
    while time.monotonic() < ends_s and await once(times):
        pass


async def _profile(target: Target, pid: int, seconds: float, patience_s: float) -> Profile:
    """A profile as ``spillway bench`` makes it of a model file: disturbed waves are played again.

    While patience lasts it is measured a few times until it foretells its own probes well, as a person would
    who reads the errors that ``bench`` prints; the best one counts.
    """
    ends_s = time.monotonic() + patience_s
    found: list[Profile] = []
    while not found or (
        len(found) < MOST_PROFILES and time.monotonic() < ends_s and min(map(_doubt, found)) > DOUBT_RATIO
    ):
        began = waits(pid)
        bench = PatientCampaign(target, BenchLimits(duration_s=seconds), disturbance=watch(pid))
        bench.ends_s = ends_s
        measured = await bench.run()
        found.append(profile_of(measured, target, "twin", datetime.now(UTC).date()))
        said = f"waited {waits(pid).since(began):.1%}, {measured.repeated} waves repeated"
        print(f"{said}: {json.dumps(profile_to_json(found[-1]))}", file=sys.stderr, flush=True)
    return min(found, key=_doubt)


def _doubt(profile: Profile) -> float:
    """How far off the profile is for requests that its fit has not seen, in the median; one with warnings is
    the last to be taken."""
    if profile.warnings:
        return math.inf
    ratios = (profile.errors.ttft_median_ratio, profile.errors.itl_median_ratio)
    return max(math.inf if ratio is None else ratio for ratio in ratios)


class PatientCampaign(Campaign):
    """Waits for a quiet moment before each wave while patience lasts; that time does not count."""

    ends_s = 0.0

    async def _play_once(self, wave: Wave) -> list[Answered]:
        began_s = time.monotonic()
        await calm(QUIET_S if began_s < self.ends_s else 0.0, looks_s=1.0)
        self._started_s += time.monotonic() - began_s
        return await super()._play_once(wave)


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
        round(100 * (cell.told_share - cell.real_share), 6)  # 2 of 40 requests are 5 points
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
    runs = f"{cell.runs} of {cell.of_runs}"
    parts = [cell.mix, f"{cell.rate:.0%}", str(cell.requests), *times, share, f"{cell.waited_ratio:.0%}"]
    return f"| {' | '.join([*parts, speed, runs, f'{cell.spread:.0%}'])} |"


if __name__ == "__main__":
    main()
