"""Published outcomes of real models, as pairs of scores on the same question: a local model, a reference."""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass
from pathlib import Path

__all__ = ["CELLS", "Cell", "Pairs", "load"]


@dataclass(frozen=True)
class Cell:
    """One task class, one local model, one reference."""

    file: str
    task: str
    """Prefix of the task names to take."""
    local: str
    reference: str


@dataclass(frozen=True)
class Pairs:
    """The outcomes of a cell."""

    cell: Cell
    scores: tuple[tuple[float, float], ...]
    """(local, reference) of each question, 0 to 1."""

    @property
    def gap(self) -> float:
        """Mean reference score minus mean local score."""
        return sum(reference - local for local, reference in self.scores) / len(self.scores)


CELLS = (
    Cell("bfcl", "bfcl/", "google_gemma-7b-it", "gpt-4o-mini-2024-07-18-FC"),
    Cell("mmlu_pro", "mmlu_pro/math", "Mistral-7B-Instruct-v0.2", "gemini-1.5-flash-002"),
    Cell("zeroeval_math_l5", "math_l5", "Meta-Llama-3.1-8B-Instruct", "gpt-4o-mini-2024-07-18"),
    Cell("zeroeval_crux", "crux_output", "Qwen2.5-7B-Instruct", "gpt-4o-mini-2024-07-18"),
    Cell("mmlu_pro", "mmlu_pro/psychology", "Meta-Llama-3.1-8B-Instruct", "gemini-1.5-flash-002"),
    Cell("routellm_mmlu", "", "mixtral-8x7b-instruct-v0.1", "gpt-4-1106-preview"),
    Cell("llmrouter", "openbook_qa", "gemma-2-9b-it", "llama-3.1-nemotron-51b-instruct"),
    Cell("llmrouter", "commonsense_qa", "llama-3.1-8b-instruct", "llama-3.1-nemotron-51b-instruct"),
    Cell("llmrouter", "gsm8k", "gemma-2-9b-it", "llama-3.3-nemotron-super-49b-v1"),
    Cell("zeroeval_math_l5", "math_l5", "Qwen2.5-7B-Instruct", "gpt-4o-mini-2024-07-18"),
    Cell("routerbench", "arc_challenge", "mistralai/mixtral-8x7b-chat", "gpt-3.5-turbo-1106"),
    Cell("routerbench", "winogrande", "mistralai/mixtral-8x7b-chat", "gpt-3.5-turbo-1106"),
    Cell("bfcl", "bfcl/", "Salesforce_xLAM-7b-fc-r", "gpt-4o-mini-2024-07-18-FC"),
)
"""From far worse than the reference to better."""


def load(cell: Cell, folder: Path) -> Pairs:
    """The cell's pairs; questions that one of the two models was not asked are left out."""
    scores = []
    with gzip.open(folder / f"{cell.file}.dev.jsonl.gz", "rt") as lines:
        for line in lines:
            row = json.loads(line)
            outcomes = row["outcomes"]
            if row["task"].startswith(cell.task) and {cell.local, cell.reference} <= outcomes.keys():
                scores.append((outcomes[cell.local]["score"], outcomes[cell.reference]["score"]))
    return Pairs(cell, tuple(scores))
