"""Langfuse's usage details as whole prompts and answers.

Langfuse keeps usage in parts that exclude each other: of a prompt of 100 tokens, 60 of them cached, ``input``
is 40 (``packages/shared/src/server/ingestion/types.ts``). Its pages add up what is named input or output.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from spillway.planner.readers.records import Record
from spillway.planner.readers.values import read_tokens

__all__ = ["CACHE_READS", "DETAILS", "are_traces", "whole_usage"]

DETAILS = ("usage_details", "usageDetails")
CACHE_READS = ("input_cached_tokens", "cache_read_input_tokens", "input_cache_read", "cached_tokens")
"""What providers' SDKs call the tokens that a prompt cache held, the usual name first."""


def are_traces(names: Collection[str]) -> bool:
    """Whether these are the columns of traces, which add up their observations, number them, or do neither.

    Only a trace can be marked and made public.
    """
    has_observations = "observations" in names or "observationCount" in names
    is_summed = has_observations and "totalCost" in names
    return "timestamp" in names and (is_summed or {"bookmarked", "public"}.issubset(names))


def whole_usage(record: Record) -> Record:
    """The record with all parts of its prompt as input, all of its answer as output, and what was cached.

    ``ValueError`` when a part is no number of tokens.
    """
    for details in DETAILS:
        parts = _parts(record, details)
        if parts:
            return {**record, **{f"{details}.{name}": tokens for name, tokens in _whole(parts).items()}}
    return record


def _parts(record: Record, details: str) -> dict[str, int]:
    """Tokens by part, of an object or of columns that are named after one; what is empty is left out."""
    found: Any = record.get(details)
    if not isinstance(found, Mapping):
        start = f"{details}."
        found = {name[len(start) :]: cell for name, cell in record.items() if name.startswith(start)}
    return {
        str(name).lower(): read_tokens(cell, f"{name.removesuffix('_tokens')} tokens")
        for name, cell in found.items()
        if cell not in (None, "")
    }


def _whole(parts: Mapping[str, int]) -> dict[str, int]:
    answers = [name for name in parts if _is_answer(name)]
    prompts = [name for name in parts if name not in answers and _is_prompt(name)]
    reads = [name for name in prompts if "cache" in name and "creat" not in name and "write" not in name]
    out: dict[str, int] = {}
    if prompts and answers:
        out["input"], out["output"] = _as_total_says(parts, prompts, answers)
    elif prompts:
        out["input"] = sum(parts[name] for name in prompts)
    if reads:
        out[CACHE_READS[0]] = sum(parts[name] for name in reads)
    return out


def _is_answer(name: str) -> bool:
    return any(word in name for word in ("output", "completion", "reasoning"))


def _is_prompt(name: str) -> bool:
    return any(word in name for word in ("input", "prompt", "cache"))


def _as_total_says(parts: Mapping[str, int], prompts: list[str], answers: list[str]) -> tuple[int, int]:
    """Prompt and answer: the sums of their parts, unless the total says that ``input`` or ``output`` is all.

    Some clients hand in details that are included already, and a total without them.
    """
    read, written = (sum(parts[name] for name in names) for names in (prompts, answers))
    details = read - parts.get("input", 0)
    reads = [read, parts["input"]] if details <= parts.get("input", -1) else [read]
    writes = [written, parts["output"]] if "output" in parts else [written]
    for prompt in reads:
        for answer in writes:
            if prompt + answer == parts.get("total"):
                return prompt, answer
    return read, written
