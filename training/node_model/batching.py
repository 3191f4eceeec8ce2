"""What one more sequence of a batch costs, in prompt tokens, and what mixtures of experts cost on top.

    python training/node_model/batching.py DATA/hardware_perf

Both come from the Strix Halo collection, the only one that measures passes of 1, 2, 4 … 512 tokens: a pass of
``n`` tokens multiplies the same matrices as a decode step of ``n`` sequences. ``fit.py`` takes what is found
here, and this takes the fit's other coefficients from the catalogue: run both until nothing moves.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import statistics
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path

from measurements import THROUGHPUT_FILE, Row, load

from spillway.planner.node_model import CHUNK_TOKENS, Fit, NodeModel, load_fit

BATCH = 8
EXPERTS = (1.0, 1.5, 1.75, 2.0, 2.25, 2.5, 3.0)
MOE_EXPONENTS = (0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6)
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


def prompts(rows: Sequence[Row]) -> list[Row]:
    """Prompts of one collection that no cached tokens precede."""
    return [
        row
        for row in rows
        if row.test == "pp" and row.source == "strix" and row.context_tokens == row.n_tokens / 2
    ]


def off_ratio(rows: Sequence[Row], fit: Fit) -> float:
    """Mean absolute error of the predicted speeds."""
    speeds = [(NodeModel(row.machine, row.model, fit).prefill_tok_s(row.n_tokens), row.tok_s) for row in rows]
    return statistics.fmean(abs(told / measured - 1) for told, measured in speeds)


def best_for(rows: Sequence[Row], fit: Fit) -> Fit:
    """The fit with those two terms of mixtures that come nearest to the rows."""
    fits = [
        replace(fit, terms={**fit.terms, "experts": experts, "moe_exponent": exponent})
        for experts, exponent in product(EXPERTS, MOE_EXPONENTS)
    ]
    return min(fits, key=lambda each: off_ratio(rows, each))


def left_out_errors(rows: Sequence[Row], fit: Fit) -> dict[str, float]:
    """Error of each mixture by terms that were found on the others."""
    errors = {}
    for name in sorted({row.model_name for row in rows}):
        others = [row for row in rows if row.model_name != name]
        errors[name] = off_ratio([row for row in rows if row.model_name == name], best_for(others, fit))
    return errors


def single_machine_errors(rows: Sequence[Row], fit: Fit) -> dict[str, float]:
    """What is published of prompts that one machine alone was measured with: short ones, and mixtures."""
    some = prompts(rows)
    short = [row for row in some if not row.model.is_moe and row.n_tokens < CHUNK_TOKENS]
    mixtures = [row for row in some if row.model.is_moe]
    by_name = left_out_errors(mixtures, fit)
    return {
        "short_prefill_rows": len(short),
        "short_prefill_mean_absolute_ratio": round(off_ratio(short, fit), 4),
        "mixture_prefill_rows": len(mixtures),
        "mixture_prefill_mean_absolute_ratio": round(
            statistics.fmean(by_name[row.model_name] for row in mixtures), 4
        ),
    }


def report_lengths(rows: Sequence[Row], fit: Fit) -> None:
    """Print how far dense models and mixtures are off, by the length of the prompt."""
    for title, is_moe in (("dense", False), ("mixtures", True)):
        for n in sorted({row.n_tokens for row in rows}):
            some = [row for row in rows if row.model.is_moe == is_moe and row.n_tokens == n]
            print(f"  {title:8} {n:5} tokens  n={len(some):2}  error {off_ratio(some, fit):6.1%}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the column cost, the terms of mixtures, and the errors by length of prompt."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    folder = parser.parse_args(arguments).data
    costs = column_costs(pass_seconds(folder))
    low, median, high = statistics.quantiles(costs, n=4)
    print(f"column cost of {len(costs)} settings: quartiles {low:.2f} {median:.2f} {high:.2f} prompt tokens")
    rows, fit = prompts(load(folder)), load_fit()
    mixtures = [row for row in rows if row.model.is_moe]
    terms = best_for(mixtures, fit).terms
    print(f"mixtures: experts {terms['experts']}, moe_exponent {terms['moe_exponent']}")
    for name, error in left_out_errors(mixtures, fit).items():
        print(f"  {name:46} error {error:6.1%} when left out")
    report_lengths(rows, fit)


if __name__ == "__main__":
    main()
