"""Fit the node model's coefficients on measured speeds and say how wrong they are on unseen machines.

    python training/node_model/fit.py DATA/hardware_perf [--write]

Every coefficient is a non-negative multiple of a physical term (``decode_features``, ``prefill_features``),
found by least absolute relative error. A prompt first pays for its passes over the weights, which the decode
fit tells. Errors come from leaving out one machine at a time, all its rows, and predicting them; the decode
fit and the exponents of prefill are made anew inside every such fold. ``batching.py`` adds the terms of
batches and mixtures, which take the other coefficients and are part of them: all is repeated until nothing
moves.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from batches import BatchRow, load_batches
from batching import fit_batches, judge
from measurements import Row, load
from numpy.typing import NDArray

from spillway.planner.node_model import (
    CHUNK_TOKENS,
    Fit,
    NodeModel,
    decode_features,
    load_fit,
    prefill_features,
)

Array = NDArray[np.float64]
Exponents = tuple[float, float]

FIT_DATE = "2026-11-30"
"""When the coefficients were last found."""
SOURCES = (
    "XiongjieDai/GPU-Benchmarks-on-LLM-Inference (llama.cpp, May 2024)",
    "geerlingguy/ai-benchmarks (MIT; ollama and llama.cpp, 2025)",
    "lhl/strix-halo-testing (Apache-2.0) and kyuz0/amd-strix-halo-toolboxes (llama.cpp, 2025 and 2026)",
    "ml-energy/leaderboard (Apache-2.0; vLLM, 2025)",
    "ggml-org/llama.cpp (MIT; benches and pull requests, 2024 to 2026)",
)

FIT_FILE = Path(__file__).parents[2] / "src/spillway/planner/catalogue/fit.json"

DECODE_TERMS = (
    "weights:nvidia-gddr", "weights:nvidia-hbm", "weights:nvidia-unified", "weights:apple",
    "weights:amd-unified", "layer:nvidia-gddr", "layer:nvidia-hbm", "layer:nvidia-unified", "layer:apple",
    "layer:amd-unified", "expert_layer:apple", "expert_layer:amd-unified", "unpack", "cache:nvidia",
    "cache:amd-unified", "cache_compute:apple",
)  # fmt: skip
"""Experts cost NVIDIA's cards nothing beside their bytes: a term of theirs is found to be zero."""
PREFILL_TERMS = (
    "quantised:nvidia", "float:nvidia", "quantised:apple", "float:apple", "quantised:amd-unified",
    "float:amd-unified", "attention:nvidia", "attention:apple", "attention:amd-unified",
)  # fmt: skip
NVIDIA = ("nvidia-gddr", "nvidia-hbm", "nvidia-unified")
SHARED = {"layer:nvidia-unified": "layer:nvidia-gddr", "layer:amd-unified": "layer:nvidia-gddr"}
"""Too few machines to fit a launch cost of their own; they take the discrete cards'."""
EXPONENT_GRID = tuple(product((0.3, 0.4, 0.5, 0.6, 0.7), (0.0, 0.1, 0.2, 0.3, 0.4)))
BATCH_TERMS = ("column", "batch_cache", "experts", "grouping", "moe_exponent")
"""What ``batching.py`` finds, by family."""
MOST_ROUNDS = 12
Terms = Mapping[str, float]


def applies(term: str, family: str) -> bool:
    """Whether a term named ``name`` or ``name:family`` speaks of that family."""
    _, _, scope = term.partition(":")
    return not scope or scope == family or (scope == "nvidia" and family in NVIDIA)


def columns(
    rows: Sequence[Row], terms: Sequence[str], exponents: Exponents | None, batch_terms: Terms
) -> Array:
    """The design matrix: milliseconds per unit of each term, one line per measurement."""
    out = np.zeros((len(rows), len(terms)))
    for i, row in enumerate(rows):
        if exponents is None:
            features = decode_features(row.machine, row.model, row.context_tokens)
        else:
            features = prefill_features(row.machine, row.model, row.context_tokens, exponents)
            passes = -(-row.n_tokens // CHUNK_TOKENS)
            moe = features.pop("moe_ratio") ** batch_terms[f"moe_exponent:{row.machine.family}"]
            for term in ("quantised", "float"):
                features[term] *= moe * (row.n_tokens - passes) / row.n_tokens
        for j, term in enumerate(terms):
            if applies(term, row.machine.family):
                out[i, j] = features[term.partition(":")[0]]
    return out


def merge(matrix: Array, terms: Sequence[str]) -> tuple[Array, list[str]]:
    """The matrix with shared terms added into the one they share, and the terms left."""
    names = list(terms)
    for own, shared in SHARED.items():
        if own in names:
            j = names.index(own)
            matrix[:, names.index(shared)] += matrix[:, j]
            matrix = np.delete(matrix, j, axis=1)
            names.pop(j)
    return matrix, names


def solve(matrix: Array, times_ms: Array, fixed_ms: Array) -> Array:
    """Non-negative coefficients of least absolute relative error, by reweighted least squares."""
    scaled, wanted = matrix / times_ms[:, None], 1.0 - fixed_ms / times_ms
    active = [j for j in range(matrix.shape[1]) if scaled[:, j].any()]
    while True:
        weight = np.ones(len(times_ms))
        for _ in range(80):
            found = np.linalg.lstsq(scaled[:, active] * weight[:, None], wanted * weight, rcond=None)[0]
            residual = np.abs(scaled[:, active] @ found - wanted)
            weight = 1.0 / np.sqrt(np.maximum(residual, 0.01))
        if (found >= 0).all():
            break
        active.pop(int(np.argmin(found)))
    out = np.zeros(matrix.shape[1])
    out[active] = found
    return out


class Found(NamedTuple):
    """What a fit came to."""

    exponents: Exponents | None
    coefficients: Array
    errors: Array
    """Predicted over measured speed, minus one, of every row, also of those that were left out."""


class Problem:
    """One of the two fits: its rows, terms and, for prefill, the grid of exponents and the decode fit."""

    def __init__(
        self,
        rows: Sequence[Row],
        terms: Sequence[str],
        grid: Sequence[Exponents] | None = None,
        decode: Problem | None = None,
        batch_terms: Terms | None = None,
    ) -> None:
        self.rows = rows
        self.batch_terms = batch_terms or {}
        self.decode = decode
        self.times_ms = np.array([1e3 / row.tok_s for row in rows])
        self.names = np.array([row.machine_name for row in rows])
        self.steady = np.array([row.is_steady for row in rows])
        self.matrices: dict[Exponents | None, Array] = {}
        for exponents in grid or (None,):
            self.matrices[exponents], self.terms = merge(
                columns(rows, terms, exponents, self.batch_terms), terms
            )

    def fit(self, use: NDArray[np.bool_]) -> Found:
        """Exponents and coefficients of least error over the rows in ``use``."""
        fixed_ms = self.passes_ms(use)

        def solved(exponents: Exponents | None) -> Found:
            matrix = self.matrices[exponents]
            coefficients = solve(matrix[use], self.times_ms[use], fixed_ms[use])
            errors = self.times_ms / (fixed_ms + matrix @ coefficients) - 1.0
            return Found(exponents, coefficients, errors)

        return min(map(solved, self.matrices), key=lambda found: float(np.abs(found.errors[use]).mean()))

    def passes_ms(self, use: NDArray[np.bool_]) -> Array:
        """What each token pays for the passes of its prompt; the decode fit sees only machines of ``use``."""
        if self.decode is None:
            return np.zeros(len(self.rows))
        hidden = set(self.names) - set(self.names[use])
        decode = self.decode
        found = decode.fit(decode.steady & ~np.isin(decode.names, list(hidden)))
        fit = unjudged({**spread(decode.terms, found.coefficients), **self.batch_terms}, (1.0, 0.0))
        nodes = [NodeModel(row.machine, row.model, fit) for row in self.rows]
        seconds = [n.passes_s(row.n_tokens) / row.n_tokens for n, row in zip(nodes, self.rows, strict=True)]
        return 1e3 * np.array(seconds)

    def leave_one_out(self) -> Array:
        """Error of every row predicted by a fit that never saw its machine; NaN where nothing can be said.

        A family with a single machine cannot be predicted without it and is left out of the figures.
        """
        errors = np.full(len(self.rows), np.nan)
        for name in sorted(set(self.names)):
            out = self.names == name
            family = self.rows[int(np.argmax(out))].machine.family
            peers = [r for r in self.rows if r.machine.family == family and r.machine_name != name]
            if not peers:
                continue
            errors[out] = self.fit(~out & self.steady).errors[out]
        return errors


def report(title: str, problem: Problem, errors: Array) -> dict[str, float]:
    """The summary figures, after printing one line per machine."""
    print(f"\n{title}: leave one machine out")
    per_machine = {}
    for name in sorted(set(problem.names)):
        mine = errors[problem.names == name]
        if np.isnan(mine).all():
            inside = problem.fit(problem.steady).errors[problem.names == name]
            print(f"  {name:22} n={len(mine):3}  alone in its family; inside {np.abs(inside).mean():6.1%}")
            continue
        note = "" if problem.steady[problem.names == name].all() else "  (short of memory: not in the means)"
        print(
            f"  {name:22} n={len(mine):3}  error {np.abs(mine).mean():6.1%}  bias {mine.mean():+6.1%}{note}"
        )
        if not note:
            per_machine[name] = float(np.abs(mine).mean())
    judged = errors[problem.steady & ~np.isnan(errors)]
    everything = errors[~np.isnan(errors)]
    summary = {
        "rows": len(judged),
        "machines": len(per_machine),
        "mean_absolute_ratio": round(float(np.abs(judged).mean()), 4),
        "by_machine_ratio": round(float(np.mean(list(per_machine.values()))), 4),
        "with_unsteady_ratio": round(float(np.abs(everything).mean()), 4),
        "p90_ratio": round(float(np.quantile(np.abs(judged), 0.9)), 4),
    }
    print("  " + "  ".join(f"{key} {value}" for key, value in summary.items()))
    first = problem.steady & ~np.isnan(errors) & np.array([row.source == "2024" for row in problem.rows])
    by_machine = [
        np.abs(errors[first & (problem.names == n)]).mean() for n in sorted(set(problem.names[first]))
    ]
    print(
        f"  2024 collection only: rows {first.sum()}  machines {len(by_machine)}"
        f"  mean_absolute_ratio {np.abs(errors[first]).mean():.4f}"
        f"  by_machine_ratio {np.mean(by_machine):.4f}"
    )
    return summary


def spread(terms: Sequence[str], coefficients: Array) -> dict[str, float]:
    """Coefficients by the names the node model looks up, shared ones repeated for each family."""
    found = dict(zip(terms, (round(float(c), 5) for c in coefficients), strict=True))
    for own, shared in SHARED.items():
        if shared in found:
            found[own] = found[shared]
    for term in list(found):
        name, _, scope = term.partition(":")
        if scope == "nvidia":
            value = found.pop(term)
            found.update({f"{name}:{family}": value for family in NVIDIA})
    return found


def unjudged(terms: Terms, exponents: Exponents) -> Fit:
    """Coefficients whose errors nobody knows yet."""
    return Fit(terms, exponents, math.nan, math.nan, math.nan, math.nan, math.nan, {})


class Whole(NamedTuple):
    """Both fits and, with the terms of batches, what they come to."""

    decode: Problem
    prefill: Problem
    fit: Fit


def fit_all(rows: Sequence[Row], batches: Sequence[BatchRow]) -> Whole:
    """Both fits and the terms of batches, repeated until the latter no longer move."""
    batch_terms = {each: value for each, value in load_fit().terms.items() if each.startswith(BATCH_TERMS)}
    decode = Problem([row for row in rows if row.test == "tg"], DECODE_TERMS)
    prompts = [row for row in rows if row.test == "pp" and not row.model.is_moe]
    for _ in range(MOST_ROUNDS):
        prefill = Problem(prompts, PREFILL_TERMS, EXPONENT_GRID, decode, batch_terms)
        found, read = decode.fit(decode.steady), prefill.fit(prefill.steady)
        assert read.exponents is not None
        terms = spread(decode.terms, found.coefficients) | spread(prefill.terms, read.coefficients)
        fit = fit_batches(batches, unjudged(terms | batch_terms, read.exponents))
        now = {each: value for each, value in fit.terms.items() if each.startswith(BATCH_TERMS)}
        if now == batch_terms:
            break
        batch_terms = now
    return Whole(decode, prefill, fit)


def mixture_errors(decode: Problem) -> Array:
    """Errors of one sequence of a mixture: without its machine or, where that has no peer, its model."""
    errors = decode.leave_one_out()
    is_mixture = np.array([row.model.is_moe for row in decode.rows])
    models = np.array([row.model_name for row in decode.rows])
    alone = np.isnan(errors) & is_mixture
    for machine, model in sorted(set(zip(decode.names[alone], models[alone], strict=True))):
        out = (decode.names == machine) & (models == model)
        errors[out] = decode.fit(~out & decode.steady).errors[out]
    for name in sorted(set(decode.names[is_mixture])):
        mine = errors[is_mixture & (decode.names == name)]
        print(f"  {name:22} n={len(mine):3}  error {np.abs(mine).mean():6.1%}  bias {mine.mean():+6.1%}")
    return np.asarray(errors[is_mixture])


def short_errors(rows: Sequence[Row], fit: Fit) -> Array:
    """Errors of prompts on the one machine, inside the fit, that had fewer tokens than a pass takes."""
    some = [
        row
        for row in rows
        if row.source == "strix" and row.test == "pp" and row.n_tokens == 2 * row.context_tokens
    ]
    for title, is_moe in (("dense", False), ("mixtures", True)):
        for n in sorted({row.n_tokens for row in some}):
            off = np.abs(
                prompt_errors([r for r in some if r.model.is_moe == is_moe and r.n_tokens == n], fit)
            )
            print(f"  {title:8} {n:5} tokens  n={len(off):2}  error {off.mean():6.1%}")
    return prompt_errors([r for r in some if not r.model.is_moe and r.n_tokens < CHUNK_TOKENS], fit)


def prompt_errors(rows: Sequence[Row], fit: Fit) -> Array:
    """Told over measured speed, minus one."""
    told = [NodeModel(row.machine, row.model, fit).prefill_tok_s(row.n_tokens) for row in rows]
    return np.asarray(np.array(told) / np.array([row.tok_s for row in rows]) - 1.0)


def errors_of(rows: Sequence[Row], batches: Sequence[BatchRow], whole: Whole) -> dict[str, Any]:
    """The figures that are published, and printed on the way."""
    decode, prefill, fit = whole
    found: dict[str, Any] = {}
    for name, problem in (("decode", decode), ("prefill", prefill)):
        found |= {
            f"{name}_{key}": value for key, value in report(name, problem, problem.leave_one_out()).items()
        }
    print("\nmixtures, one sequence")
    single: list[tuple[str, Array]] = [("mixture_decode", mixture_errors(decode))]
    print("\nprompts by length, Strix Halo, inside the fit")
    single.append(("short_prefill", short_errors(rows, fit)))
    judged = judge(batches, fit)
    single.append(("mixture_prefill", np.array(judged.prompts)))
    for name, errors in single:
        found[f"{name}_rows"] = len(errors)
        found[f"{name}_mean_absolute_ratio"] = round(float(np.abs(errors).mean()), 4)
    return {"errors": found, "batch_errors": judged.batches}


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the errors; with ``--write`` replace the coefficients shipped with the package."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, help="folder with the measurements and gpu_specs.csv")
    parser.add_argument("--write", action="store_true", help="replace catalogue/fit.json")
    options = parser.parse_args(arguments)
    rows = load(options.data)
    batches = load_batches(options.data, rows)
    whole = fit_all(rows, batches)
    result = {
        "schema": "spillway.node-fit/2",
        "date": FIT_DATE,
        "sources": SOURCES,
        "terms": whole.fit.terms,
        "prefill_exponents": whole.fit.prefill_exponents,
        **errors_of(rows, batches, whole),
    }
    print("\n" + json.dumps(result, indent=1))
    if options.write:
        FIT_FILE.write_text(json.dumps(result, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
