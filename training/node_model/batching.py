"""What one more sequence of a batch costs, in prompt tokens, and how much slower mixtures read prompts.

    python training/node_model/batching.py DATA/hardware_perf

Both come from the Strix Halo collection, the only one that measures passes of 1, 2, 4 … 512 tokens: a pass of
``n`` tokens multiplies the same matrices as a decode step of ``n`` sequences.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import statistics
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from measurements import THROUGHPUT_FILE

BATCH = 8
DENSE = ("llama-2-7b", "Mistral-Small", "gemma-3-27b", "shisa-v2-llama3.3-70b")
Curves = dict[tuple[str, str, str], dict[int, float]]


def pass_seconds(folder: Path) -> Curves:
    """Median seconds of one pass by number of tokens, per model, engine and setting."""
    speeds: dict[tuple[str, str, str], dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    with gzip.open(folder / THROUGHPUT_FILE, "rt", encoding="utf-8") as lines:
        for line in csv.DictReader(lines):
            if line["source"].startswith("lhl") and line["test"] == "pp":
                setting = line["variant"].partition(" mem_mib")[0]
                key = (line["model"], line["engine"], setting)
                speeds[key][int(line["n_tokens"])].append(float(line["tok_s"]))
    return {
        key: {n: n / statistics.median(found) for n, found in by_n.items()} for key, by_n in speeds.items()
    }


def column_costs(curves: Curves) -> list[float]:
    """(time of 8 − time of 1) / 7 over the time of one prompt token, per dense model and engine."""
    costs = []
    for (model, _, _), seconds in curves.items():
        if model.startswith(DENSE) and {1, BATCH, 512} <= set(seconds):
            extra_s = (seconds[BATCH] - seconds[1]) / (BATCH - 1)
            costs.append(extra_s / (seconds[512] / 512))
    return costs


def main(arguments: Sequence[str] | None = None) -> None:
    """Print median and quartiles of the column cost."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    costs = column_costs(pass_seconds(parser.parse_args(arguments).data))
    low, median, high = statistics.quantiles(costs, n=4)
    print(f"column cost of {len(costs)} settings: quartiles {low:.2f} {median:.2f} {high:.2f} prompt tokens")


if __name__ == "__main__":
    main()
