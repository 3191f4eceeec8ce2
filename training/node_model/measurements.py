"""Measured speeds as comparable rows: one machine, one model, one test, with what the node model needs."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

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
}

OTHERS: dict[str, Machine] = {
    # Not in the specification file: makers' bandwidths, FP32 rates of Apple's GPUs (FP16 runs no faster),
    # FP16 rate of the Radeon 8060S, general-unit rate of GB10.
    "M1 7-core": Machine("apple", 68.25, 2.29),
    "M1 Max 24-core": Machine("apple", 400, 7.8),
    "M1 Max 32-core": Machine("apple", 400, 10.4),
    "M2 Ultra 76-core": Machine("apple", 800, 27.2),
    "M3 Max 40-core": Machine("apple", 400, 14.2),
    "M3 Ultra 80-core": Machine("apple", 819, 28.4),
    "M4 10-core": Machine("apple", 120, 4.26),
    "GB10": Machine("nvidia-unified", 273, 29.7),
    "Strix Halo": Machine("amd-unified", 256, 59.4),
}

APPLE_NAMES = {
    "M1 7": "M1 7-core",
    "M1 Max 32": "M1 Max 32-core",
    "M2 Ultra 76": "M2 Ultra 76-core",
    "M3 Max 40": "M3 Max 40-core",
}

DESKTOPS = {
    # The second collection; single-board hosts starve their GPU over one PCIe lane and are left out.
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
}

LLAMA_8B = (8.03, 131_072.0, 32)
LLAMA_70B = (70.6, 327_680.0, 80)
MODELS: dict[tuple[str, str], ModelShape] = {
    ("Llama-3-8B", "Q4_K_M"): ModelShape(8.03, 4.92, 131_072, layers=32),
    ("Llama-3-8B", "F16"): ModelShape(8.03, 16.07, 131_072, layers=32, is_quantised=False),
    ("Llama-3-70B", "Q4_K_M"): ModelShape(70.6, 42.52, 327_680, layers=80),
    ("Llama-3-70B", "F16"): ModelShape(70.6, 141.1, 327_680, layers=80, is_quantised=False),
    ("Llama 3.2:3b", "default"): ModelShape(3.21, 2.02, 114_688, layers=28),
    ("DeepSeek R1 14b", "default"): ModelShape(14.77, 8.99, 196_608, layers=48),
    ("Llama 3.1:70b", "default"): ModelShape(70.6, 42.52, 327_680, layers=80),
    ("gpt-oss 20b", "default"): ModelShape(20.9, 13.8, 49_152, 3.6, is_moe=True, layers=24),
    ("llama-2-7b.Q4_0", "Q4_0"): ModelShape(6.74, 3.83, 524_288, layers=32),
    ("llama-2-7b.Q4_K_M", "Q4_K_M"): ModelShape(6.74, 4.08, 524_288, layers=32),
    ("Mistral-Small-3.1-24B-Instruct-2503-UD-Q4_K_XL", "Q4_K_XL"): ModelShape(
        23.57, 14.5, 163_840, layers=40
    ),
    ("gemma-3-27b-it-UD-Q4_K_XL", "Q4_K_XL"): ModelShape(27.0, 16.8, 90_000, layers=62),
    ("shisa-v2-llama3.3-70b.i1-Q4_K_M", "Q4_K_M"): ModelShape(70.6, 42.52, 327_680, layers=80),
    ("Qwen3-30B-A3B-UD-Q4_K_XL", "Q4_K_XL"): ModelShape(30.5, 17.7, 98_304, 3.3, is_moe=True, layers=48),
    ("gpt-oss-20b-mxfp4", "MXFP4"): ModelShape(20.9, 12.1, 49_152, 3.6, is_moe=True, layers=24),
    ("gpt-oss-20b-F16", "F16"): ModelShape(20.9, 12.8, 49_152, 3.6, is_moe=True, layers=24),
    ("GLM-4.5-Air-UD-Q4_K_XL", "Q4_K_XL"): ModelShape(106.9, 71.1, 188_416, 12.0, is_moe=True, layers=46),
    ("Hunyuan-A13B-Instruct-UD-Q6_K_XL", "Q6_K_XL"): ModelShape(
        80.4, 70.7, 131_072, 13.0, is_moe=True, layers=32
    ),
    ("Llama-4-Scout-17B-16E-Instruct-UD-Q4_K_XL", "Q4_K_XL"): ModelShape(
        107.8, 61.6, 196_608, 17.0, is_moe=True, layers=48
    ),
    ("dots.llm1.inst-UD-Q4_K_XL", "Q4_K_XL"): ModelShape(
        142.8, 86.7, 1_015_808, 14.0, is_moe=True, layers=62
    ),
    ("Qwen3-235B-A22B-Instruct-2507-UD-Q3_K_XL", "Q3_K_XL"): ModelShape(
        235.1, 104.0, 192_512, 22.0, is_moe=True, layers=94
    ),
}
"""Weights of the six mixtures at the end: the memory that the measurement says they took."""

ANSWER_TOKENS = 128
SHORTEST_PROMPT, LONGEST_PROMPT = 8, 4096
"""Of the Strix Halo collections: fewer tokens are decode's business, longer prompts ran unsteadily."""
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


def load(folder: Path) -> list[Row]:
    """Every comparable row of the throughput file in ``folder``: one device, GPU, known model."""
    machines = _machines(folder / SPECS_FILE)
    with gzip.open(folder / THROUGHPUT_FILE, "rt", encoding="utf-8") as lines:
        raw = list(csv.DictReader(lines))
    rows = [row for line in raw for row in _single_device(line, machines)]
    rows += [row for line in raw for row in _desktop(line, machines)]
    return rows + _strix_halo(raw, machines)


def _machines(specs: Path) -> dict[str, Machine]:
    with specs.open(encoding="utf-8") as lines:
        by_name = {line["name"]: line for line in csv.DictReader(lines)}
    found = dict(OTHERS)
    for name, (spec_name, family) in GPUS.items():
        spec = by_name[spec_name]
        found[name] = Machine(family, float(spec["bandwidth_gb_s"]), float(spec["fp16_tflops"]))
    return found


def _single_device(line: dict[str, str], machines: dict[str, Machine]) -> Iterator[Row]:
    """A line of the first collection, unless it spans several GPUs or belongs to a faulty run."""
    if not line["source"].startswith("XiongjieDai"):
        return
    hardware = line["hardware"].replace("\N{NON-BREAKING HYPHEN}", "-")
    apple = [name for prefix, name in APPLE_NAMES.items() if hardware.startswith(prefix)]
    name = apple[0] if apple else hardware
    key = (line["model"], line["quant"])
    if name not in machines or (name, line["quant"], line["test"]) in DROPPED:
        return
    n = int(line["n_tokens"])
    yield Row(
        name, machines[name], "/".join(key), MODELS[key], line["test"], n, n / 2, float(line["tok_s"]),
        "2024", is_steady=name != "M1 7-core",
    )  # fmt: skip


def _desktop(line: dict[str, str], machines: dict[str, Machine]) -> Iterator[Row]:
    """A line of the second collection; it names no length, so a short answer is taken."""
    key = (line["model"], "default")
    name = DESKTOPS.get(line["hardware"])
    if not line["source"].startswith("geerlingguy") or name is None or key not in MODELS:
        return
    yield Row(
        name, machines[name], line["model"], MODELS[key], "tg", 256, 128.0, float(line["tok_s"]), "2025"
    )


def _strix_halo(raw: list[dict[str, str]], machines: dict[str, Machine]) -> list[Row]:
    """The best back end's speed per model, length and depth of the two Strix Halo collections."""
    best: dict[tuple[str, str, str, int, int], float] = {}
    for line in raw:
        if not line["source"].startswith(("lhl", "kyuz0")) or (line["model"], line["quant"]) not in MODELS:
            continue
        n, depth = int(line["n_tokens"]), int(line["depth"])
        is_short = depth == 0 and (
            n == ANSWER_TOKENS if line["test"] == "tg" else SHORTEST_PROMPT <= n <= LONGEST_PROMPT
        )
        if is_short or depth == 32768:
            key = (line["model"], line["quant"], line["test"], n, depth)
            best[key] = max(best.get(key, 0.0), float(line["tok_s"]))
    return [
        Row(
            "Strix Halo", machines["Strix Halo"], model, MODELS[model, quant], test, n, depth + n / 2, tok_s,
            "strix",
        )
        for (model, quant, test, n, depth), tok_s in sorted(best.items())
    ]  # fmt: skip
