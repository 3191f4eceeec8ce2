"""``python -m bench.planner.speed``: seconds and memory for a month of a million requests, by policy.

Every policy runs in a process of its own, so that its peak memory is its own. One processor is used.
"""

from __future__ import annotations

import argparse
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Callable

from spillway.planner import compiled
from spillway.planner.arrivals import synthesise
from spillway.planner.catalogue import load_machines, load_models
from spillway.planner.node_model import NodeModel, load_fit
from spillway.planner.policies import (
    AllCloud,
    AllLocal,
    Clairvoyant,
    ObservedTail,
    Policy,
    Reservation,
    Threshold,
)
from spillway.planner.routed import Routed
from spillway.planner.simulator import CloudModel, Engine, Fleet, simulate
from spillway.vocabulary import Objective

__all__ = ["main"]

REQUESTS = 1_000_000
OBJECTIVE = Objective(ttft_s=20.0, total_s=60.0)
POLICIES: dict[str, Callable[[], Policy]] = {
    "all-cloud": AllCloud,
    "all-local": AllLocal,
    "threshold": Threshold,
    "reservation": Reservation,
    "observed-p95": lambda: ObservedTail(OBJECTIVE),
    "ours": lambda: Routed(OBJECTIVE),
    "clairvoyant": lambda: Clairvoyant(OBJECTIVE),
}


def measure(name: str, engine: Engine, nodes: int) -> str:
    """One row of the table: the run's own seconds, its local share, and the process's peak memory."""
    machine, model = load_machines()["mac-mini-m4-pro"], load_models()["qwen3-4b"]
    pace = NodeModel(machine.machine, model.shape(), load_fit())
    fleet = Fleet(pace, nodes, 8, pace.cache_tokens() or 0.0)
    workload = synthesise(REQUESTS, 2000, 500)
    cloud = CloudModel().times(workload)
    if engine == "compiled":
        compiled.prepare()
    began_s = time.process_time()
    found = simulate(workload, fleet, POLICIES[name](), OBJECTIVE, cloud, engine)
    took_s = time.process_time() - began_s
    peak_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // (1024 if sys.platform == "darwin" else 1)
    return f"| {name} | {took_s:.1f} | {peak_kib / 1024:.0f} | {found.local_share:.1%} |"


def main() -> int:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--engine", default="compiled", choices=["compiled", "interpreted"])
    parser.add_argument("--nodes", type=int, default=1)
    parser.add_argument("--policy", choices=POLICIES, help="this one alone, in this process")
    options = parser.parse_args()
    if options.policy:
        print(measure(options.policy, options.engine, options.nodes), flush=True)
        return 0
    what = f"{REQUESTS:,} requests, {options.nodes} node(s), {options.engine}"
    print(f"{what}, Python {platform.python_version()}")
    print("| policy | seconds | MiB | local |\n| --- | ---: | ---: | ---: |", flush=True)
    for name in POLICIES:
        command = [sys.executable, "-m", "bench.planner.speed", "--policy", name]
        command += ["--engine", options.engine, "--nodes", str(options.nodes)]
        subprocess.run(command, check=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
