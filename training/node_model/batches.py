"""Measured steps of several sequences at once, and prompts of mixtures, as comparable rows.

Three sources: ML.ENERGY's vLLM runs on one H100 or B200, what llama.cpp's developers publish of their own
machines (``batches.csv`` beside this, with source and date), and the short passes of Strix Halo, which
multiply the same matrices as a step of as many sequences.
"""

from __future__ import annotations

import csv
import gzip
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from measurements import Row, load_machines
from shapes import BATCHED

from spillway.planner.node_model import CHUNK_TOKENS, MOST_SLOTS, Machine, ModelShape

ENERGY_FILE = "mlenergy_text_configs.jsonl.gz"
OWN_FILE = Path(__file__).parent / "batches.csv"
ENERGY_PROMPT_TOKENS = 200
"""Tokens of an ML.ENERGY prompt, whose lengths are not published (guess; the code task's are longer)."""
SHORT_TOKENS = 1024
"""Longest context of models of which a cache's bytes tell little beyond: see ``UNEVEN``."""
UNEVEN = ("gemma-3", "GLM-4.7")
"""Most layers of Gemma 3 see 1,024 tokens, and GLM 4.7 computes keys and values from latents."""
MOST_PASSED = 32
"""Tokens of the longest pass that counts as a batch of llama.cpp; more take other kernels."""

UNUSED = (
    # Files and why none of their lines is used.
    ("vllm_concurrency_small_gpus.csv", "weights of unknown precision, or a model of 0.1 billion parameters"),
    ("splitwise_dc_perf.dev.csv.gz", "machines with several GPUs"),
    ("cara_local_latency.csv.gz", "how many requests ran at once is not stated"),
    ("ollama_energy_per_request.csv.gz", "the machines are called laptop2 and workstation"),
)  # fmt: skip


@dataclass(frozen=True)
class BatchRow:
    """One measured step of ``sequences`` with that mean context, or a pass over prompts of ``tokens``."""

    machine_name: str
    machine: Machine
    model_name: str
    model: ModelShape
    sequences: float
    context_tokens: float
    seconds: float
    prompt_tokens: int = 0
    """Tokens of prompts that are read; 0 for a step that writes."""
    passes: int = 1


def load_batches(folder: Path, rows: Sequence[Row]) -> list[BatchRow]:
    """Every comparable batch; ``rows`` are those of the throughput file."""
    machines = load_machines(folder)
    found = [_energy(line, machines) for line in _energy_lines(folder)]
    found += [_own(line, machines) for line in _own_lines()]
    return [row for row in found if isinstance(row, BatchRow)] + _passes(rows)


def sort_batches(folder: Path) -> dict[str, tuple[int, Counter[str]]]:
    """By file how many lines are used, and the others counted by reason."""
    machines = load_machines(folder)
    found = {
        ENERGY_FILE: _sorted([_energy(line, machines) for line in _energy_lines(folder)]),
        OWN_FILE.name: _sorted([_own(line, machines) for line in _own_lines()]),
    }
    for name, reason in UNUSED:
        found[name] = (0, Counter({reason: _count_lines(folder / name)}))
    return found


def _sorted(found: Sequence[BatchRow | str]) -> tuple[int, Counter[str]]:
    left_out = Counter(each for each in found if isinstance(each, str))
    return len(found) - left_out.total(), left_out


def _count_lines(path: Path) -> int:
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8") as lines:
        return sum(1 for _ in lines) - 1


def _energy_lines(folder: Path) -> list[dict[str, Any]]:
    with gzip.open(folder / ENERGY_FILE, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def _energy(line: dict[str, Any], machines: dict[str, Machine]) -> BatchRow | str:
    """A run of ML.ENERGY, or why it is left out."""
    name, gpu = str(line["model_id"]).partition("/")[2], str(line["gpu_model"])
    if line["num_gpus"] != 1:
        return "machines with several GPUs"
    if "Nemotron" in name:
        return "Nemotron Nano: most layers keep a state and no cache"
    if line["avg_batch_size"] > MOST_SLOTS:
        return f"more than {MOST_SLOTS} sequences, the most that any estimate counts"
    if gpu == "B200" and line["task"] == "gpqa" and name.startswith("Qwen3"):
        return "Qwen3 on B200 with gpqa: 31 to 44 ms a step up to 32 sequences whatever the model"
    known = next((each for each in BATCHED if name.startswith(each[0])), None)
    known = ("Qwen3-30B-A3B", "bfloat16") if name.startswith("Qwen3-Coder-30B-A3B") else known
    key = (known[0] if known else name, str(line["weight_precision"]))
    if key not in BATCHED:
        raise ValueError(f"neither used nor left out for a reason: {name} at {key[1]}")
    context = ENERGY_PROMPT_TOKENS + line["avg_output_len"] / 2
    return BatchRow(
        gpu, machines[gpu], key[0], BATCHED[key], line["avg_batch_size"], context, line["median_itl_ms"] / 1e3
    )


def _own_lines() -> list[dict[str, str]]:
    with OWN_FILE.open(encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


def _own(line: dict[str, str], machines: dict[str, Machine]) -> BatchRow | str:
    """A line of ``batches.csv``, or why it is left out."""
    name, machine = line["model"], line["machine"]
    sequences, tokens, is_prompt = int(line["sequences"]), int(line["tokens"]), line["kind"] == "prompts"
    if name.startswith(UNEVEN) and tokens > SHORT_TOKENS:
        return f"Gemma 3 and GLM 4.7 beyond {SHORT_TOKENS:,} tokens, where a cache's bytes tell little"
    if not is_prompt and sequences > MOST_PASSED:
        return f"passes of more than {MOST_PASSED} tokens, which take other kernels"
    return BatchRow(
        machine,
        machines[machine],
        name,
        BATCHED[name, line["quant"]],
        sequences,
        context_tokens=tokens / sequences / 2 if is_prompt else tokens,
        seconds=(tokens if is_prompt else sequences) / float(line["tok_s"]),
        prompt_tokens=tokens if is_prompt else 0,
    )


def _passes(rows: Sequence[Row]) -> list[BatchRow]:
    """Short passes of one sequence, whose one cache costs next to nothing, and mixtures' whole prompts."""
    found = []
    for row in rows:
        is_whole = row.context_tokens == row.n_tokens / 2
        if row.source != "strix" or row.test == "tg" or not is_whole:
            continue
        seconds = row.n_tokens / row.tok_s
        if row.n_tokens <= MOST_PASSED:
            found.append(
                BatchRow(row.machine_name, row.machine, row.model_name, row.model, row.n_tokens, 0.0, seconds)
            )
        elif row.model.is_moe:
            found.append(
                BatchRow(
                    row.machine_name,
                    row.machine,
                    row.model_name,
                    row.model,
                    1,
                    row.context_tokens,
                    seconds,
                    row.n_tokens,
                    -(-row.n_tokens // CHUNK_TOKENS),
                )
            )
    return found
