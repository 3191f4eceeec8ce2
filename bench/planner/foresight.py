"""``python -m bench.planner.foresight --data DIR``: how well answers' lengths must be foreseen.

Our rules are given forecasts that explain a stated share of the variance of an answer's logarithm, made from
the true lengths and noise. Prints of what the same rules keep local when told every length the part that
they keep so, beside what they keep with forecasts of their own.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

from bench.planner.traces import Case, cases_named
from spillway.planner.routed import UNLIMITED, Routed
from spillway.planner.simulator import CloudModel, simulate
from spillway.planner.workload import Floats, Workload
from spillway.slo.lengths import Lengths, Prompt
from spillway.vocabulary import Objective

__all__ = ["Foreseen", "foreseen_tokens", "main", "row"]

SHARES = (0.1, 0.2, 0.4, 0.6, 0.8, 0.9)
"""Of the variance of logarithms."""
FLEETS = ((1, 1.0), (1, 1.5), (3, 1.0))
"""Nodes, and load."""
SEED = 0
LONG_SIGMAS = 0.84
"""One in five answers lies so many standard deviations above the mean."""


class Foreseen(Routed):
    """Our rules with forecasts of somebody else's."""

    def __init__(self, objective: Objective, usual: Floats, long_ratio: float) -> None:
        """``usual`` is the mean forecast of each request's answer, in tokens."""
        super().__init__(objective, UNLIMITED)
        self._told = usual.tolist()
        self._long_ratio = long_ratio

    def _expect(self, index: int, asked: Prompt) -> Lengths:
        return Lengths(self._told[index], self._told[index] * self._long_ratio)


def foreseen_tokens(output_tokens: Floats, share: float, seed: int = SEED) -> tuple[Floats, float]:
    """Means of answers by a forecast that explains ``share`` of the variance, and a long answer over them.

    The forecast is unbiased: what is left of each logarithm is normal and independent of it.
    """
    logs = np.log(np.maximum(output_tokens, 1.0))
    noise = np.random.default_rng(seed).normal(0.0, 1.0, len(logs))
    centred = share * (logs - logs.mean()) + np.sqrt(share * (1.0 - share)) * logs.std() * noise
    left = float((1.0 - share) * logs.var())
    return np.exp(logs.mean() + centred + left / 2.0), float(np.exp(LONG_SIGMAS * np.sqrt(left) - left / 2.0))


def row(case: Case, workload: Workload, nodes: int) -> list[float]:
    """Parts of what is kept with all lengths told: with our own forecasts, then by share explained."""
    fleet, cloud = case.fleet(nodes), CloudModel(spread=0.0).times(workload)

    def kept(policy: Routed) -> float:
        return simulate(workload, fleet, policy, case.objective, cloud).local_share

    told = kept(Routed(case.objective, UNLIMITED, knows_lengths=True))
    tokens = workload.output_tokens.astype(np.float64)
    others = [Foreseen(case.objective, *foreseen_tokens(tokens, share)) for share in SHARES]
    return [kept(policy) / told for policy in (Routed(case.objective, UNLIMITED), *others)]


def main() -> int:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with the traces")
    parser.add_argument("--trace", default="", help="only traces with this in their name")
    options = parser.parse_args()
    try:
        cases = cases_named(options.trace)
    except ValueError as fault:
        parser.error(f"--trace: {fault}")
    print(f"| trace | nodes | load | ours | {' | '.join(f'{share:.0%}' for share in SHARES)} |")
    print(f"| --- {'| ---: ' * (3 + len(SHARES))}|")
    for case in cases:
        for nodes, load in FLEETS:
            parts = row(case, case.saturating(options.data, nodes, load), nodes)
            cells = " | ".join(f"{part:.1%}" for part in parts)
            print(f"| {case.name} | {nodes} | {load:g} | {cells} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
