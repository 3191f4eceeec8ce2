"""``python -m bench.planner.upper_bound --data DIR``: every policy against the most that could be kept local.

DIR holds the folders ``request_traces`` and ``agent_sessions``. Prints a Markdown table: of what the upper
bound answers locally, the part that each policy does *while 95 % of its local answers and of all answers are
in time*. Policies with a setting are shown with the best of several; a dash says that none keeps that.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.planner.traces import CASES, Case
from spillway.planner import compiled
from spillway.planner.policies import AllLocal, ObservedTail, Policy, Reservation, Threshold
from spillway.planner.routed import UNLIMITED, Routed
from spillway.planner.simulator import CloudModel, Engine, Result, simulate, upper_bound

__all__ = ["Row", "compare", "main"]

NODES = (1, 3)
LOADS = (1.0, 1.5, 2.5)
POLICIES: dict[str, Callable[[Case], list[Policy]]] = {
    # the owner's usual limit on prompts would hide what is compared
    "ours": lambda case: [Routed(case.objective, UNLIMITED)],
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
    bound: Result
    best: dict[str, Result | None]
    """The best run of each policy that kept the objective."""

    def cells(self) -> list[str]:
        """The row as the table shows it."""
        shares = ["–" if run is None else f"{self.share(run):.0%}" for run in self.best.values()]
        ours = self.best["ours"]
        attained = "–" if ours is None else f"{ours.local_attainment:.1%}"
        return [
            self.case.name, str(self.nodes), f"{self.load:g}", f"{self.bound.local_share:.0%}",
            shares[0], attained, *shares[1:],
        ]  # fmt: skip

    def share(self, run: Result) -> float:
        """The local share of a run over that of the bound."""
        return run.local_share / self.bound.local_share


def compare(case: Case, data: Path, nodes: int, load: float) -> Row:
    """Every policy on one trace; the cloud always answers as fast as in its median."""
    workload, fleet = case.saturating(data, nodes, load), case.fleet(nodes)
    cloud = CloudModel(spread=0.0).times(workload)
    engine: Engine = "compiled" if compiled.can_run() else "interpreted"
    bound = upper_bound(workload, fleet, case.objective, cloud, 10, engine, reaches=(50, 400))
    best: dict[str, Result | None] = {}
    for name, make in POLICIES.items():
        runs = [simulate(workload, fleet, policy, case.objective, cloud, engine) for policy in make(case)]
        kept = [run for run in runs if _keeps(run)]
        best[name] = max(kept, key=lambda run: run.local_share, default=None)
    return Row(case, nodes, load, bound, best)


def _keeps(run: Result) -> bool:
    """Whether the objective's share is in time, of all answers and of the local ones."""
    wanted = run.objective.attainment_ratio
    return run.attainment >= wanted and (run.local_attainment or 0.0) >= wanted


def table(rows: Iterator[Row]) -> Iterator[str]:
    """Lines of a Markdown table, as rows come."""
    head = ["trace", "nodes", "load", "bound", "ours", "in time", *list(POLICIES)[1:]]
    yield f"| {' | '.join(head)} |"
    yield f"| --- {'| ---: ' * (len(head) - 1)}|"
    for row in rows:
        yield f"| {' | '.join(row.cells())} |"


def main() -> int:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with the traces")
    parser.add_argument("--trace", default="", help="only traces with this in their name")
    parser.add_argument("--loads", default=",".join(f"{load:g}" for load in LOADS))
    options = parser.parse_args()
    loads = [float(load) for load in options.loads.split(",")]
    cases = [case for case in CASES if options.trace.lower() in case.name.lower()]
    rows = (compare(case, options.data, nodes, load) for case in cases for nodes in NODES for load in loads)
    for line in table(rows):
        print(line, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
