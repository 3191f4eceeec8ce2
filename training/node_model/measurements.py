"""Measured speeds as comparable rows: one machine, one model, one test, with what the node model needs.

    python training/node_model/measurements.py DATA/hardware_perf

prints how many lines are used and why each of the others is not; a line that is neither is an error.
"""

from __future__ import annotations

import argparse
import csv
import gzip
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from shapes import MODELS

from spillway.planner.node_model import Family, Machine, ModelShape

THROUGHPUT_FILE = "local_throughput.dev.csv.gz"
SPECS_FILE = "gpu_specs.csv"

GPUS: dict[str, tuple[str, Family]] = {
    # measurement's name → (name in the specification file, family)
    "3070 8GB": ("GeForce RTX 3070", "nvidia-gddr"),
    "3080 10GB": ("GeForce RTX 3080", "nvidia-gddr"),
    "3080 Ti 12GB": ("GeForce RTX 3080 Ti", "nvidia-gddr"),
    "3090 24GB": ("GeForce RTX 3090", "nvidia-gddr"),
    "4070 Ti 12GB": ("GeForce RTX 4070 Ti", "nvidia-gddr"),
    "4080 16GB": ("GeForce RTX 4080", "nvidia-gddr"),
    "4090 24GB": ("GeForce RTX 4090", "nvidia-gddr"),
    "RTX 4000 Ada 20GB": ("RTX 4000 Ada Generation", "nvidia-gddr"),
    "RTX 5000 Ada 32GB": ("RTX 5000 Ada Generation", "nvidia-gddr"),
    "RTX A6000 48GB": ("RTX A6000", "nvidia-gddr"),
    "RTX 6000 Ada 48GB": ("RTX 6000 Ada Generation", "nvidia-gddr"),
    "A40 48GB": ("A40 PCIe", "nvidia-gddr"),
    "L40S 48GB": ("L40S", "nvidia-gddr"),
    "A100 PCIe 80GB": ("A100 PCIe 80 GB", "nvidia-hbm"),
    "A100 SXM 80GB": ("A100 SXM4 80 GB", "nvidia-hbm"),
    "H100 PCIe 80GB": ("H100 PCIe 80 GB", "nvidia-hbm"),
    "2080 Ti": ("GeForce RTX 2080 Ti", "nvidia-gddr"),
    "A4000": ("RTX A4000", "nvidia-gddr"),
    "5090": ("GeForce RTX 5090", "nvidia-gddr"),
    "A2000": ("RTX A2000", "nvidia-gddr"),
    "H100": ("H100 SXM5 80 GB", "nvidia-hbm"),
}

OTHERS: dict[str, Machine] = {
    # Not in the specification file: makers' bandwidths, FP32 rates of Apple's GPUs (FP16 runs no faster),
    # FP16 rate of the Radeon 8060S, general-unit rate of GB10. B200, of which that file lists one half: the
    # maker's bandwidth, and H100's rate times what B200's tensor cores do more.
    "M1 7-core": Machine("apple", 68.25, 2.29),
    "M1 Max 24-core": Machine("apple", 400, 7.8),
    "M1 Max 32-core": Machine("apple", 400, 10.4),
    "M2 Ultra 76-core": Machine("apple", 800, 27.2),
    "M3 Max 40-core": Machine("apple", 400, 14.2),
    "M3 Ultra 80-core": Machine("apple", 819, 28.4),
    "M4 10-core": Machine("apple", 120, 4.26),
    "GB10": Machine("nvidia-unified", 273, 29.7),
    "Strix Halo": Machine("amd-unified", 256, 59.4),
    "A400": Machine("nvidia-gddr", 96, 2.7),
    "B200": Machine("nvidia-hbm", 8000, 608),
}

APPLE_NAMES = {
    "M1 7": "M1 7-core",
    "M1 Max 32": "M1 Max 32-core",
    "M2 Ultra 76": "M2 Ultra 76-core",
    "M3 Max 40": "M3 Max 40-core",
}

DESKTOPS = {
    # The second collection, machines with one GPU that they use alone.
    "Intel 265K Custom PC (Nvidia RTX 4090) [GPU]": "4090 24GB",
    "Intel 265K Custom PC (Nvidia RTX 3080 Ti) [GPU]": "3080 Ti 12GB",
    "Intel 265K Custom PC (Nvidia RTX 4070 Ti) [GPU]": "4070 Ti 12GB",
    "Intel 265K Custom PC (Nvidia RTX 2080 Ti) [GPU]": "2080 Ti",
    "Intel 265K Custom PC (Nvidia RTX A4000) [GPU]": "A4000",
    "Intel 13900K (Nvidia 5090) [GPU]": "5090",
    "Ryzen 9 7900X (Nvidia 4090) [GPU]": "4090 24GB",
    "Ryzen 9 7950X (Nvidia 4080) [GPU]": "4080 16GB",
    "Mac Studio (M3 Ultra 512GB) [GPU]": "M3 Ultra 80-core",
    "M4 Mac mini (10 core - 32GB) [GPU]": "M4 10-core",
    "M1 Max Mac Studio (10 core - 64GB) [GPU]": "M1 Max 24-core",
    "Dell Pro Max with GB10 (Nvidia Spark) [GPU]": "GB10",
    "Framework Mainboard (128GB) [GPU]": "Strix Halo",
    "System76 Thelio Astra (Nvidia A4000) [GPU]": "A4000",
    "System76 Thelio Astra (Nvidia A400) [GPU]": "A400",
    "Minisforum MS-R1 (Nvidia RTX A2000) [GPU]": "A2000",
}

SEVERAL = "machines with several GPUs, or several machines: they split layers and pipeline prompts"
NOT_DESKTOPS = (
    # The second collection: what a name has in it, and why its lines are not used; the first that fits.
    ("CPU]", "processors, or a card that shares the model with one"),
    ("Cluster", SEVERAL),
    ("Pi ", "cards behind a single-board computer's one PCIe lane"),
    ("HiFive", "cards behind a single-board computer's one PCIe lane"),
    ("R9700", "a discrete AMD card: one machine is no family"),
)

ANSWER_TOKENS = 128
SHORTEST_PROMPT, LONGEST_PROMPT = 8, 4096
"""Of the Strix Halo collections: fewer tokens are decode's business, longer prompts ran unsteadily."""
DEPTH = 32_768
"""Tokens in a cache that was filled beforehand. Twice as many were measured, too: there models with windows,
states or latents part from what the bytes of a cache tell."""
PLAIN = ("llama-2-7b", "gpt-oss", "Ministral", "MiniMax")
"""Models all of whose layers attend with keys and values of the usual kind, and gpt-oss: every second."""
DROPPED = (
    ("A100 SXM 80GB", "F16", "pp"),  # 604 tok/s where the PCIe card does 7,741: a fault of that run
)


@dataclass(frozen=True)
class Row:
    """One measured speed. ``context_tokens`` is the mean cache length over the test."""

    machine_name: str
    machine: Machine
    model_name: str
    model: ModelShape
    test: str
    n_tokens: int
    context_tokens: float
    tok_s: float
    source: str
    is_steady: bool = True
    """False for a machine short of memory: reported, but no basis of the fit."""


class Sorted(NamedTuple):
    """What became of the lines of a file: the rows they gave, and the others counted by reason."""

    rows: list[Row]
    used: int
    left_out: Counter[str]


def load(folder: Path) -> list[Row]:
    """Every comparable row of the throughput file in ``folder``: one device, GPU, known model."""
    return sort_lines(folder).rows


def sort_lines(folder: Path) -> Sorted:
    """Every line of the throughput file, used or counted; ``ValueError`` for one that nothing is known of."""
    machines = load_machines(folder)
    lines = read_lines(folder)
    alone = [line for line in lines if not _is_strix_halo(line)]
    found = [
        _single_device(line, machines) if _is_first(line) else _desktop(line, machines) for line in alone
    ]
    rows = [each for each in found if isinstance(each, Row)]
    reasons = [each for each in found if isinstance(each, str)]
    best, others = _best_back_ends([line for line in lines if _is_strix_halo(line)])
    rows += _strix_halo(best, machines)
    left_out = Counter(reasons) + others
    return Sorted(rows, len(lines) - left_out.total(), left_out)


def load_machines(folder: Path) -> dict[str, Machine]:
    """Every machine that was measured, by the name its measurements give it."""
    with (folder / SPECS_FILE).open(encoding="utf-8") as lines:
        by_name = {line["name"]: line for line in csv.DictReader(lines)}
    found = dict(OTHERS)
    for name, (spec_name, family) in GPUS.items():
        spec = by_name[spec_name]
        found[name] = Machine(family, float(spec["bandwidth_gb_s"]), float(spec["fp16_tflops"]))
    return found


def read_lines(folder: Path) -> list[dict[str, str]]:
    """The lines of the throughput file as they are."""
    with gzip.open(folder / THROUGHPUT_FILE, "rt", encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


def _is_first(line: dict[str, str]) -> bool:
    return line["source"].startswith("XiongjieDai")


def _is_strix_halo(line: dict[str, str]) -> bool:
    return line["source"].startswith(("lhl", "kyuz0"))


def _unknown(line: dict[str, str]) -> ValueError:
    names = ", ".join(line[key] for key in ("source", "hardware", "model", "quant", "test", "n_tokens"))
    return ValueError(f"neither used nor left out for a reason: {names}")


def _single_device(line: dict[str, str], machines: dict[str, Machine]) -> Row | str:
    """A line of the first collection, or why it is left out."""
    hardware = line["hardware"].replace("\N{NON-BREAKING HYPHEN}", "-")
    apple = [name for prefix, name in APPLE_NAMES.items() if hardware.startswith(prefix)]
    name = apple[0] if apple else hardware
    key = (line["model"], line["quant"])
    if " * " in name:
        return SEVERAL
    if (name, line["quant"], line["test"]) in DROPPED:
        return "16-bit prefill of the A100 SXM, a faulty run"
    if name not in machines or key not in MODELS:
        raise _unknown(line)
    n = int(line["n_tokens"])
    return Row(
        name, machines[name], "/".join(key), MODELS[key], line["test"], n, n / 2, float(line["tok_s"]),
        "2024", is_steady=name != "M1 7-core",
    )  # fmt: skip


def _desktop(line: dict[str, str], machines: dict[str, Machine]) -> Row | str:
    """A line of the second collection, or why it is left out; it names no length: a short answer is taken."""
    name, key = DESKTOPS.get(line["hardware"]), (line["model"], "default")
    if name is None:
        reason = next((why for part, why in NOT_DESKTOPS if part in line["hardware"]), None)
        if reason is None:
            raise _unknown(line)
        return reason
    if key not in MODELS:
        raise _unknown(line)
    return Row(
        name, machines[name], line["model"], MODELS[key], "tg", 256, 128.0, float(line["tok_s"]), "2025"
    )


Best = dict[tuple[str, str, str, int, int], float]


def _best_back_ends(lines: Iterable[dict[str, str]]) -> tuple[Best, Counter[str]]:
    """The best back end's speed per model, length and depth of the two Strix Halo collections."""
    best: Best = {}
    left_out: Counter[str] = Counter()
    for line in lines:
        if (line["model"], line["quant"]) not in MODELS:
            raise _unknown(line)
        n, depth = int(line["n_tokens"]), int(line["depth"])
        reason = _unusual(line["model"], line["test"], n, depth)
        if reason is None:
            key = (line["model"], line["quant"], line["test"], n, depth)
            best[key] = max(best.get(key, 0.0), float(line["tok_s"]))
        else:
            left_out[reason] += 1
    return best, left_out


def _unusual(model: str, test: str, n_tokens: int, depth: int) -> str | None:
    """Why a test of that length is left out, if it is."""
    if depth:
        return _deep(model, test, depth)
    if test == "pp":
        is_usual = 2 <= n_tokens <= LONGEST_PROMPT
        return None if is_usual else "Strix Halo: prompts of one token, and of 8,192, which ran unsteadily"
    if n_tokens == ANSWER_TOKENS:
        return None
    return f"Strix Halo: answers of other lengths than {ANSWER_TOKENS} tokens, which tell the same again"


def _deep(model: str, test: str, depth: int) -> str | None:
    if depth != DEPTH:
        return (
            "Strix Halo: behind 65,536 tokens, where the bytes of a cache tell less than how it is laid out"
        )
    if test == "pp" and not model.startswith(PLAIN):
        return "Strix Halo: prompts behind 32,768 tokens on models with windows, states or latents"
    return None


def _strix_halo(best: Best, machines: dict[str, Machine]) -> list[Row]:
    """Answers and prompts; passes of fewer tokens are rows of another test, the step of a batch."""
    return [
        Row(
            "Strix Halo", machines["Strix Halo"], model, MODELS[model, quant],
            "pass" if test == "pp" and n < SHORTEST_PROMPT else test, n, depth + n / 2, tok_s, "strix",
        )
        for (model, quant, test, n, depth), tok_s in sorted(best.items())
    ]  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> None:
    """Print what becomes of every line of the data."""
    from batches import sort_batches

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    folder = parser.parse_args(arguments).data
    found = sort_lines(folder)
    named = {THROUGHPUT_FILE: (found.used, found.left_out)} | sort_batches(folder)
    for name, (used, left_out) in named.items():
        print(f"{name}: {used:,} lines used, {left_out.total():,} left out")
        for reason, count in sorted(left_out.items()):
            print(f"  {count:5,}  {reason}")


if __name__ == "__main__":
    main()
