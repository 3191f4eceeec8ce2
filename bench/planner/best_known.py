"""``python -m bench.planner.best_known --data DIR``: every policy against the best run that is known.

DIR holds the folders ``request_traces`` and ``agent_sessions``. Prints a Markdown table: of what the best
known run answers locally, the part that each policy does *while 95 % of its local answers and of all answers
are in time*. Policies with a setting are shown with the best of several; a dash says that none keeps that.
"Told lengths" are our rules with every answer's length known beforehand: what ours lacks to them is that
knowledge, what they lack to the best known is the rules, and what comes later. "Equal" is ours beside the
best known run that has as many in time as ours, which may be more than it must. "As they come" is the
clairvoyant that takes whatever will be in time and delays nobody too much: it refuses no large request for
the sake of later ones.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from bench.planner.traces import Case, cases_named
from spillway.planner import compiled
from spillway.planner.policies import AllLocal, Clairvoyant, ObservedTail, Policy, Reservation, Threshold
from spillway.planner.routed import UNLIMITED, Routed
from spillway.planner.simulator import CloudModel, Engine, Result, clairvoyants, simulate

__all__ = ["Row", "compare", "main"]

NODES = (1, 3)
LOADS = (1.0, 1.5, 2.5)
WANTED = 0.95
AS_MUCH = 0.001
"""Attainments that differ by no more count as equal."""
POLICIES: dict[str, Callable[[Case], list[Policy]]] = {
    # the owner's usual limit on prompts would hide what is compared
    "ours": lambda case: [Routed(case.objective, UNLIMITED)],
    "told lengths": lambda case: [Routed(case.objective, UNLIMITED, knows_lengths=True)],
    "as they come": lambda case: [
        Clairvoyant(case.objective, None, late, packs)
        for late, packs in product((0.0, 1.0 - case.objective.attainment_ratio), (False, True))
    ],
    "reservation": lambda case: [Reservation(count) for count in range(1, case.slots + 1)],
    "threshold": lambda case: [Threshold(2**power) for power in range(7, 18)],
    "observed-p95": lambda case: [ObservedTail(case.objective)],
    "all-local": lambda case: [AllLocal()],
}


@dataclass(frozen=True)
class Row:
    """One trace on one fleet at one rate."""

    case: Case
    nodes: int
    load: float
    known: Result
    equal: Result | None
    """The best known run that keeps as much in time as ours; ``None`` where none does."""
    best: dict[str, Result | None]
    """The best run of each policy that kept the objective."""

    def cells(self) -> list[str]:
        """The row as the table shows it."""
        shares = [_percent(self.share(name)) for name in self.best]
        ours = self.best["ours"]
        return [
            self.case.name, str(self.nodes), f"{self.load:g}", f"{self.known.local_share:.1%}",
            shares[0], _percent(None if ours is None else ours.local_attainment), _percent(self.equal_share),
            *shares[1:],
        ]  # fmt: skip

    def share(self, policy: str, of: str | None = None) -> float | None:
        """The local share of a policy's best run over that of the best known, or of another policy's.

        ``None`` where either kept no objective.
        """
        return _ratio(self.best[policy], self.known if of is None else self.best[of])

    @property
    def equal_share(self) -> float | None:
        """The local share of ours over that of the best known run which keeps as much in time."""
        return _ratio(self.best["ours"], self.equal)


def compare(case: Case, data: Path, nodes: int, load: float) -> Row:
    """Every policy on one trace; the cloud always answers as fast as in its median."""
    workload, fleet = case.saturating(data, nodes, load), case.fleet(nodes)
    cloud = CloudModel(spread=0.0).times(workload)
    engine: Engine = "compiled" if compiled.can_run() else "interpreted"
    best: dict[str, Result | None] = {}
    for name, make in POLICIES.items():
        runs = [simulate(workload, fleet, policy, case.objective, cloud, engine) for policy in make(case)]
        kept = [run for run in runs if _keeps(run)]
        best[name] = max(kept, key=lambda run: run.local_share, default=None)
    runs = list(clairvoyants(workload, fleet, case.objective, cloud, 10, engine, (50, 400)))
    return Row(case, nodes, load, max(runs, key=_kept_share), _as_punctual(runs, best["ours"]), best)


def _kept_share(run: Result) -> float:
    """What the best known run has most of: the local share, below 0 where too few of them are in time."""
    is_kept = (run.local_attainment or 0.0) >= run.objective.attainment_ratio
    return run.local_share if is_kept else run.local_share - 1.0


def _as_punctual(runs: Sequence[Result], ours: Result | None) -> Result | None:
    """The largest local share among those that keep as much in time as ours, of all and of the local ones."""
    if ours is None:
        return None
    wanted, local = ours.attainment - AS_MUCH, (ours.local_attainment or 0.0) - AS_MUCH
    found = [run for run in runs if run.attainment >= wanted and (run.local_attainment or 0.0) >= local]
    return max(found, key=lambda run: run.local_share, default=None)


def _keeps(run: Result) -> bool:
    """Whether the objective's share is in time, of all answers and of the local ones."""
    wanted = run.objective.attainment_ratio
    return run.attainment >= wanted and (run.local_attainment or 0.0) >= wanted


def _ratio(run: Result | None, base: Result | None) -> float | None:
    """One local share over the other; ``None`` where either kept no objective."""
    return None if run is None or base is None else run.local_share / base.local_share


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{share:.1%}"


def table(rows: Iterable[Row]) -> Iterator[str]:
    """Lines of a Markdown table, as rows come, and below it how many cases are as good as was asked."""
    head = ["trace", "nodes", "load", "best known", "ours", "in time", "equal", *list(POLICIES)[1:]]
    yield f"| {' | '.join(head)} |"
    yield f"| --- {'| ---: ' * (len(head) - 1)}|"
    seen = []
    for row in rows:
        seen.append(row)
        yield f"| {' | '.join(row.cells())} |"
    yield ""
    yield _summary("Ours, of the best known", [row.share("ours") for row in seen])
    yield _summary("Ours, of the best known that keeps as much in time", [row.equal_share for row in seen])
    yield _summary("Told lengths, of the best known", [row.share("told lengths") for row in seen])
    for other in ("told lengths", "as they come"):
        yield _summary(f"Ours, of {other}", [row.share("ours", of=other) for row in seen])


def _summary(what: str, shares: Sequence[float | None]) -> str:
    """Cases that reach ``WANTED``, and the mean; one without a share counts as 0."""
    values = [share or 0.0 for share in shares]
    kept, mean = sum(value >= WANTED for value in values), sum(values) / len(values)
    return f"{what}: {kept} of {len(values)} at least {WANTED:.0%}, on average {mean:.1%}."


def main() -> int:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with the traces")
    parser.add_argument("--trace", default="", help="only traces with this in their name")
    parser.add_argument("--loads", default=",".join(f"{load:g}" for load in LOADS))
    options = parser.parse_args()
    loads = [float(load) for load in options.loads.split(",")]
    try:
        cases = cases_named(options.trace)
    except ValueError as fault:
        parser.error(f"--trace: {fault}")
    rows = (compare(case, options.data, nodes, load) for case in cases for nodes in NODES for load in loads)
    for line in table(rows):
        print(line, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
