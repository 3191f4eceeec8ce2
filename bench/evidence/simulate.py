"""Whether evidence demotes what is worse than allowed in time, and keeps what is good.

Run: ``python -m bench.evidence.simulate --data FOLDER [--runs 1000] [--comparisons 1000]``. Each run draws
questions with replacement from a table of published outcomes and shows the gateway's own ``EvidenceBook`` the
difference of reference and local score, one comparison after another. A class that configuration sends
local starts as such. A row "after a good time" shows the book 500 questions of a good class first, so that
what is counted is how long it takes to notice a change. So that the limit itself is tested, one more row
mixes questions until their mean gap is exactly the allowed one: there neither verdict is right, and each may
come in at most 1 - confidence of runs.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench.evidence.outcomes import CELLS, Cell, Pairs, load
from spillway.evidence.book import EvidenceBook
from spillway.evidence.events import Event, key_of
from spillway.evidence.record import QualityLimits

__all__ = ["Run", "Summary", "boundary", "one_run", "summarise"]

LIMITS = QualityLimits()
KEY = key_of("class", "node", "model", None)
GOOD_TIME = 500
REFERENCE_BETTER = 0.5
"""A difference from here on counts as a bad answer: the reference would have been right."""


@dataclass(frozen=True)
class Run:
    """How one life of a class went, in comparisons; ``None`` for what did not happen."""

    demoted_after: int | None
    bad_before_demotion: int
    """Answers compared until then (or until the end) where the reference was right and the node was not."""
    trusted_after: int | None


@dataclass(frozen=True)
class Summary:
    """All runs of one class."""

    name: str
    gap: float
    runs: int
    demoted: int
    trusted: int
    """Runs in which it was trusted at any time."""
    comparisons_p50: int | None
    comparisons_p95: int | None
    bad_p50: int | None
    bad_p95: int | None


Scores = Sequence[tuple[float, float]]
"""(local, reference) of each question, 0 to 1."""


def one_run(scores: Scores, comparisons: int, before: Scores, seed: int) -> Run:
    """One seeded life of a class until it is demoted or ``comparisons`` are over.

    Where ``before`` is given, ``GOOD_TIME`` comparisons of that are shown first and not counted.
    """
    rng = random.Random(seed)
    book = EvidenceBook(LIMITS, local_tasks=["class"])
    bad, trusted = 0, None
    for _ in range(GOOD_TIME if before else 0):
        book.take(_event(*rng.choice(before)))
    for number in range(1, comparisons + 1):
        local, reference = rng.choice(scores)
        bad += reference - local >= REFERENCE_BETTER
        if not book.take(_event(local, reference)):
            continue
        if book.records[KEY].standing == "demoted":
            return Run(number, bad, trusted)
        trusted = trusted or number
    return Run(None, bad, trusted)


def _event(local: float, reference: float) -> Event:
    return Event(request_id="", key=KEY, kind="shadow", score=1.0 - (reference - local), at_s=0.0)


def boundary(pairs: Pairs, gap: float) -> Scores:
    """The same outcomes mixed with equal ones (or with lost ones) until their mean gap is ``gap``."""
    scores = list(pairs.scores)
    filler = (1.0, 1.0) if pairs.gap > gap else (0.0, 1.0)
    change = 0.0 if filler == (1.0, 1.0) else 1.0
    extra = round(len(scores) * (pairs.gap - gap) / (gap - change))
    return scores + [filler] * extra


def summarise(
    name: str, scores: Scores, runs: int, comparisons: int, workers: int = 1, before: Scores = ()
) -> Summary:
    """``runs`` seeded lives of one class."""
    live = partial(one_run, scores, comparisons, before)
    if workers > 1:
        with ProcessPoolExecutor(workers) as pool:
            lives = list(pool.map(live, range(runs), chunksize=25))
    else:
        lives = [live(seed) for seed in range(runs)]
    found = sorted((run.demoted_after, run.bad_before_demotion) for run in lives if run.demoted_after)
    gap = sum(reference - local for local, reference in scores) / len(scores)
    bad = sorted(each[1] for each in found)
    return Summary(
        name,
        gap,
        runs,
        len(found),
        sum(run.trusted_after is not None for run in lives),
        _at([each[0] or 0 for each in found], 0.5, runs),
        _at([each[0] or 0 for each in found], 0.95, runs),
        _at(bad, 0.5, runs),
        _at(bad, 0.95, runs),
    )


def _at(found: list[int], share: float, runs: int) -> int | None:
    """The quantile over all runs; ``None`` when so many runs did not get there."""
    index = int(share * runs)
    return found[index] if index < len(found) else None


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of routing_outcomes")
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--comparisons", type=int, default=1000)
    parser.add_argument("--workers", type=int, default=1)
    given = parser.parse_args()
    print(
        "| class: local against reference | gap | demoted | trusted | comparisons p50 · p95 | bad p50 · p95 |"
    )
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for name, scores, before in _rows(given.data):
        _print(summarise(name, scores, given.runs, given.comparisons, given.workers, before))


def _rows(folder: Path) -> list[tuple[str, Scores, Scores]]:
    pools = [load(cell, folder) for cell in CELLS]
    good = pools[-1].scores
    return [
        *((_name(pool.cell), pool.scores, ()) for pool in pools),
        *((f"after a good time: {_name(pools[i].cell)}", pools[i].scores, good) for i in CHANGES),
        *((f"at the limit: {_name(pools[i].cell)}", boundary(pools[i], LIMITS.max_gap), ()) for i in EDGES),
    ]


CHANGES = (0, 3)
EDGES = (0, 6, 9)


def _name(cell: Cell) -> str:
    return f"{cell.task.removesuffix('/') or cell.file}: {cell.local} against {cell.reference}"


def _print(row: Summary) -> None:
    print(
        f"| {row.name} | {row.gap:+.3f} | {row.demoted / row.runs:.1%} | {row.trusted / row.runs:.1%} "
        f"| {_pair(row.comparisons_p50, row.comparisons_p95)} | {_pair(row.bad_p50, row.bad_p95)} |",
        flush=True,
    )


def _pair(first: int | None, second: int | None) -> str:
    return f"{'–' if first is None else first} · {'–' if second is None else second}"


if __name__ == "__main__":
    main()
