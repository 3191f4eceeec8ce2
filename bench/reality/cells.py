"""One load: predicted, and run as often as is asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

from bench.reality.drive import Caller, Request, Seen, play, texts_for
from bench.reality.foresee import (
    Limited,
    Quantiles,
    capacity_rps,
    foresee,
    quantiles_of,
    seen_quantiles,
    workload_of,
)
from bench.reality.mixes import Mix, draw, mean_gap_s
from bench.reality.scene import Limits, gateway
from spillway.measuring.prompts import Prompts
from spillway.measuring.target import Target
from spillway.measuring.waits import waits
from spillway.planner.profile import Profile, save_profile
from spillway.vocabulary import Objective

__all__ = ["Cell", "Direct", "Load", "cell_from_json", "middle", "through_gateway"]

SEED = 11
PROFILE_NAME = "twin.json"
SECONDS, FEWEST, MOST = 15.0, 120, 150
"""How long a load should last, and within which numbers of requests. Of 120 one is 0.8 points of a share, and
six are beyond the 95th percentile."""
REFERENCE_TOKENS, REFERENCE_TIMES = (64, 24), 5
"""Tokens to read and to write of the request that tells how fast the machine is now, and how often."""

CALM_RATIO = 0.12
"""How far from the profile's a single request's time may be around a run that says something of the model."""


@dataclass(frozen=True)
class Load:
    """One load: its requests as counted by the engine, and how many tokens of each a warm cache holds."""

    mix: Mix
    rate: float
    warming: tuple[Request, ...]
    """Other requests of the mix, one per slot: after them each slot holds the shared beginning, if any."""
    requests: tuple[Request, ...]
    cached_tokens: int


@dataclass(frozen=True)
class Cell:
    """One run of a load, or the middle of several: predicted and real."""

    mix: str
    rate: float
    requests: int
    rps: float
    told: Quantiles
    real: Quantiles
    waited_ratio: float
    """Share of the engine's time in which it waited for a core."""
    speed_ratio: float | None
    """A single request's time before and after the run over its time in the profile: above 1 the machine
    was slower."""
    told_share: float | None = None
    real_share: float | None = None
    errors: int = 0
    raw: tuple[tuple[float, int, int, float, float], ...] = ()
    """Requests that the node answered: sent at, prompt and answer tokens, seconds to first and last token."""
    runs: int = 1
    of_runs: int = 1
    """How many there were, those on a faster or slower machine included."""
    spread: float = 0.0
    """By how much the longest of the runs exceeds the shortest, in the time that differs most."""

    @property
    def is_calm(self) -> bool:
        """Whether the machine was as fast as when it was measured."""
        return abs((self.speed_ratio or 1.0) - 1.0) <= CALM_RATIO


def middle(all_runs: Sequence[Cell]) -> Cell:
    """The calm runs of one load as one, or all where none was calm: the median of each figure."""
    runs = [cell for cell in all_runs if cell.is_calm] or all_runs
    real = [cell.real.all() for cell in runs]
    return replace(
        runs[0],
        told=Quantiles(*map(median, zip(*(cell.told.all() for cell in runs), strict=True))),
        real=Quantiles(*map(median, zip(*real, strict=True))),
        waited_ratio=median(cell.waited_ratio for cell in runs),
        speed_ratio=_median([cell.speed_ratio for cell in runs]),
        told_share=_median([cell.told_share for cell in runs]),
        real_share=_median([cell.real_share for cell in runs]),
        errors=sum(cell.errors for cell in runs),
        raw=(),
        runs=len(runs),
        of_runs=len(all_runs),
        spread=max(max(times) / min(times) - 1.0 for times in zip(*real, strict=True)),
    )


def _median(values: Sequence[float | None]) -> float | None:
    """Of those that are known."""
    known = [value for value in values if value is not None]
    return median(known) if known else None


def cell_from_json(fields: dict[str, Any]) -> Cell:
    """The cell as ``asdict`` wrote it."""
    told, real = Quantiles(**fields["told"]), Quantiles(**fields["real"])
    return Cell(**{**fields, "told": told, "real": real, "raw": tuple(map(tuple, fields["raw"]))})


class Direct:
    """Loads straight to the engine."""

    def __init__(self, target: Target, pid: int) -> None:
        self._target, self._pid = target, pid
        self._prompts = Prompts(SEED)  # a run that goes on where another ended plays the same loads
        self._is_learned = False

    async def load(self, mix: Mix, rate: float, profile: Profile) -> Load:
        """Requests of that mix at that share of the capacity which the profile says."""
        if not self._is_learned:
            await self._learn()
        rps = rate * capacity_rps(profile, mix)
        count = round(min(max(rps * SECONDS, FEWEST), MOST))
        seed = int(1000 * rate) + 17 * len(mix.name)
        slots = profile.usable_slots
        others = draw(mix, slots + 1, 0.0, seed + 1)
        wanted = others + draw(mix, count, mean_gap_s(rate, rps / rate), seed)
        asking, *texts = await texts_for(self._target, mix, wanted, self._prompts)
        warming, requests = tuple(texts[:slots]), tuple(texts[slots:])
        await self._play(warming)
        asked = await self._play([asking])
        return Load(mix, rate, warming, requests, asked[0].cached_tokens or 0)

    async def cell(self, load: Load, profile: Profile) -> Cell:
        """Predicted, then run once."""
        told = foresee(workload_of(load.requests, load.cached_tokens), profile, None, Objective())
        await self._play(load.warming)
        began = waits(self._pid)
        seen = await self._play(load.requests)
        cell = cell_of(load, seen, waits(self._pid).since(began))
        return replace(cell, told=quantiles_of(told.ttft_s.tolist(), told.total_s.tolist()))

    async def _play(self, requests: Sequence[Request]) -> list[Seen]:
        return await play(Caller.of_target(self._target), requests)

    async def _learn(self) -> None:
        for words in (8, 40, 40, 40):
            answer = await self._target.ask(self._prompts.of_words(words), 2, 60)
            self._prompts.learn(words, answer.prompt_tokens or 0)
        self._is_learned = True

    async def speed(self, profile: Profile) -> float:
        """How long requests alone take now over what the profile says, in the median."""
        prompt, output = REFERENCE_TOKENS
        ratios = []
        for _ in range(REFERENCE_TIMES):
            answer = await self._target.ask(self._prompts.of_tokens(prompt), output, 60)
            read = answer.prompt_tokens or prompt
            pace = profile.pace
            told_s = pace.prefill_s(read, answer.cached_tokens or 0)
            told_s += (answer.tokens - 1) * pace.decode_step_s(1, read + answer.tokens / 2)
            ratios.append(answer.total_s / told_s)
        return median(ratios)


async def through_gateway(folder: Path, twin: Path, load: Load, profile: Profile, limits: Limits) -> Cell:
    """The load once through a fresh gateway that knows the profile: above all, the share that stays local."""
    save_profile(profile, folder / PROFILE_NAME)
    objective = Objective("default", limits.ttft_ms / 1e3, limits.total_ms / 1e3, 0.95)
    policy = Limited(objective, [request.output_tokens for request in load.requests])
    told = foresee(workload_of(load.requests, load.cached_tokens), profile, policy, objective)
    cell = await _through(folder, twin, load, limits)
    local = told.is_local
    times = quantiles_of(told.ttft_s[local].tolist(), told.total_s[local].tolist())
    return replace(cell, told=times, told_share=told.local_share)


async def _through(folder: Path, twin: Path, load: Load, limits: Limits) -> Cell:
    (folder / "reality.db").unlink(missing_ok=True)
    async with gateway(folder, twin, folder / PROFILE_NAME, limits) as up:
        caller = Caller.of_gateway(up.url)
        try:
            await play(caller, load.warming)
            began = waits(up.engine_pid)
            seen = await play(caller, load.requests)
        finally:
            await caller.client.close()
        waited = waits(up.engine_pid).since(began)
    local = [one for one in seen if one.side == "local"]
    return replace(cell_of(load, seen, waited), real_share=len(local) / len(seen))


def cell_of(load: Load, seen: Sequence[Seen], waited: float) -> Cell:
    """What came, with the prediction and the machine's speed still to be put in."""
    requests = load.requests
    pairs = [(r, s) for r, s in zip(requests, seen, strict=True) if s.error is None and s.side != "cloud"]
    real = seen_quantiles([answer for _, answer in pairs])
    return Cell(
        mix=load.mix.name,
        rate=load.rate,
        requests=len(requests),
        rps=(len(requests) - 1) / max(requests[-1].at_s, 1e-9),
        told=real,
        real=real,
        waited_ratio=waited,
        speed_ratio=None,
        errors=sum(one.error is not None for one in seen),
        raw=tuple((r.at_s, r.prompt_tokens, r.output_tokens, s.ttft_s, s.total_s) for r, s in pairs),
    )
