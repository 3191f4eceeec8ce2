"""What further sequences of a batch cost, and what mixtures of experts cost on top, by who serves them how.

``fit.py`` calls this with the coefficients of one sequence and of prompts: a column is counted in prompt
tokens. The terms are chosen from grids by least mean absolute error. Errors come from leaving out one machine
at a time or, where a group has but one, one model, with the terms of the batch found anew on the others.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from batches import BatchRow

from spillway.planner.node_model import Family, Fit, NodeModel, batch_key


class Group(NamedTuple):
    """Families that share the terms of a batch, and the software they were measured with."""

    families: tuple[Family, ...]
    software: str
    left_out: str
    """Whether a machine or a model is left out in turn."""


GROUPS = (
    Group(("nvidia-gddr", "nvidia-unified"), "llama.cpp", "machine"),
    Group(("nvidia-hbm",), "vLLM", "machine"),
    Group(("apple",), "llama.cpp", "model"),
    Group(("amd-unified",), "llama.cpp", "model"),
)
READING: Family = "nvidia-gddr"
"""Whose prompts of mixtures stand for those of a group that has none."""
NAMES = {"3090 24GB": "RTX 3090", "4090 24GB": "RTX 4090", "M2 Ultra 76-core": "M2 Ultra"}
Grid = Mapping[str, tuple[float, ...]]
COLUMN: Grid = {"column": (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0, 2.5, 3.0, 4.0)}
CACHE: Grid = {"batch_cache": (1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.75, 2.0, 2.5, 3.0)}
MIXTURE: Grid = {
    "experts": (1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.75, 2.0, 2.25, 2.5, 3.0, 3.5),
    "grouping": (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.2),
}
PROMPTS: Grid = {
    "moe_exponent": (0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6),
}
ROUNDS = 4
"""Times that each term is chosen anew beside the others."""


def told_s(row: BatchRow, fit: Fit) -> float:
    """Seconds that the node model tells for a measured step or pass."""
    node = NodeModel(row.machine, row.model, fit)
    if not row.prompt_tokens:
        return node.decode_step_s(row.sequences, row.context_tokens)
    n = row.prompt_tokens
    passes_s = row.passes * node.weights_s(n / row.passes)
    return passes_s + (n - row.passes) * node.token_s + n * row.context_tokens * node.attention_s


def errors(rows: Sequence[BatchRow], fit: Fit) -> list[float]:
    """Told over measured speed, minus one."""
    return [row.seconds / told_s(row, fit) - 1.0 for row in rows]


def off_ratio(rows: Sequence[BatchRow], fit: Fit) -> float:
    """Mean absolute error of the told speeds."""
    return statistics.fmean(map(abs, errors(rows, fit)))


def with_term(fit: Fit, group: Group, name: str, value: float) -> Fit:
    """The fit with that term for all families of a group."""
    return replace(fit, terms={**fit.terms, **{f"{name}:{family}": value for family in group.families}})


def best_for(rows: Sequence[BatchRow], fit: Fit, group: Group, grid: Grid) -> Fit:
    """The fit with those terms of the grid that come nearest to the rows."""
    for _ in range(ROUNDS):
        for name, values in grid.items():
            fits = [with_term(fit, group, name, value) for value in values]
            fit = min(fits, key=lambda each: off_ratio(rows, each))
    return fit


def fit_group(rows: Sequence[BatchRow], fit: Fit, group: Group) -> Fit:
    """The fit with the group's terms of batches from dense models, then those of mixtures."""
    dense = [row for row in rows if not row.model.is_moe]
    mixtures = [row for row in rows if row.model.is_moe]
    grid = {**COLUMN, **CACHE} if any(row.context_tokens for row in dense) else COLUMN
    fit = best_for(dense, fit, group, grid) if dense else fit
    if any(row.prompt_tokens for row in mixtures):
        return best_for(mixtures, fit, group, {**MIXTURE, **PROMPTS})
    fit = with_term(fit, group, "moe_exponent", fit.term("moe_exponent", READING))
    return best_for(mixtures, fit, group, MIXTURE)


def fit_batches(rows: Sequence[BatchRow], fit: Fit) -> Fit:
    """The fit with every group's terms."""
    for group in GROUPS:
        fit = fit_group(several(of_group(rows, group)), fit, group)
    return fit


def of_group(rows: Sequence[BatchRow], group: Group) -> list[BatchRow]:
    """The rows of machines that belong to the group."""
    return [row for row in rows if row.machine.family in group.families]


def several(rows: Sequence[BatchRow]) -> list[BatchRow]:
    """Without steps of one sequence, of which ``fit.py`` knows."""
    return [row for row in rows if row.prompt_tokens or row.sequences > 1]


def left_out(rows: Sequence[BatchRow], fit: Fit, group: Group) -> Iterator[tuple[BatchRow, float]]:
    """Every row with its error by terms that were found without its machine or model."""

    def unit(row: BatchRow) -> str:
        return row.machine_name if group.left_out == "machine" else row.model_name

    for name in sorted({unit(row) for row in rows}):
        others = [row for row in rows if unit(row) != name]
        mine = [row for row in rows if unit(row) == name]
        yield from zip(mine, errors(mine, fit_group(others, fit, group)), strict=True)


class Judged(NamedTuple):
    """The errors of batches by :func:`batch_key`, and of mixtures' prompts."""

    batches: dict[str, dict[str, float | str]]
    prompts: list[float]


def judge(rows: Sequence[BatchRow], fit: Fit) -> Judged:
    """How far batches are off, each machine or model left out in turn, after printing it row by row."""
    batches: dict[str, dict[str, float | str]] = {}
    prompts: list[float] = []
    for group in GROUPS:
        found = list(left_out(several(of_group(rows, group)), fit, group))
        prompts += [error for row, error in found if row.prompt_tokens]
        steps = [(row, error) for row, error in found if not row.prompt_tokens]
        for is_moe in (False, True):
            some = [(row, error) for row, error in steps if row.model.is_moe == is_moe]
            _report(group, is_moe, some)
            entry: dict[str, float | str] = {
                "ratio": round(_mean([error for _, error in some]), 4),
                "basis": _basis(group, some),
            }
            batches |= {batch_key(family, is_moe=is_moe): entry for family in group.families}
        _report_prompts([(row, error) for row, error in found if row.prompt_tokens])
    return Judged(batches, prompts)


def _mean(values: Sequence[float]) -> float:
    return statistics.fmean(map(abs, values))


def _basis(group: Group, some: Sequence[tuple[BatchRow, float]]) -> str:
    machines = sorted({NAMES.get(row.machine_name, row.machine_name) for row, _ in some})
    models = len({(row.model_name, row.model.weights_gb) for row, _ in some})
    sizes = [round(row.sequences) for row, _ in some]
    return (
        f"batches of {min(sizes)} to {max(sizes)} with {models} models on {', '.join(machines)} "
        f"under {group.software}, each {group.left_out} left out in turn"
    )


def _report(group: Group, is_moe: bool, some: Sequence[tuple[BatchRow, float]]) -> None:
    print(f"\n{' and '.join(group.families)}: {'mixtures' if is_moe else 'dense models'}, {group.software}")
    for name in sorted({(row.machine_name, row.model_name) for row, _ in some}):
        _line(" ".join(name), [e for row, e in some if (row.machine_name, row.model_name) == name])
    for low, high in ((2, 4), (5, 12), (13, 24), (25, 48), (49, 96), (97, 256)):
        _line(f"{low} to {high} sequences", [e for row, e in some if low <= round(row.sequences) <= high])


def _report_prompts(some: Sequence[tuple[BatchRow, float]]) -> None:
    for name in sorted({row.machine_name for row, _ in some}):
        _line(f"prompts of mixtures, {name}", [error for row, error in some if row.machine_name == name])


def _line(title: str, some: Sequence[float]) -> None:
    if some:
        bias = statistics.fmean(some)
        print(f"  {title:68} n={len(some):3}  error {_mean(some):6.1%}  bias {bias:+6.1%}")
