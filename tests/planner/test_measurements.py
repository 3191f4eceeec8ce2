"""Every line of the measurements is used for the node model or left out for a reason that is told."""

from __future__ import annotations

import csv
import gzip
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "training" / "node_model" / "measurements.py"
OWN = SCRIPT.with_name("batches.csv")
COLUMNS = ("source", "hardware", "model", "quant", "test", "n_tokens", "depth", "tok_s")
CARDS = ("XiongjieDai/GPUs", "3070 8GB", "Llama-3-8B", "Q4_K_M", "tg", "512", "0", "70.9")
SEVERAL = ("XiongjieDai/GPUs", "3090 24GB * 2", "Llama-3-8B", "Q4_K_M", "tg", "512", "0", "100")
BOARD = ("geerlingguy/ai", "Pi 5 - 8GB (AMD RX 7600) [GPU]", "Llama 3.2:3b", "default", "tg", "", "", "30")
STRANGE = ("geerlingguy/ai", "Abacus [GPU]", "Llama 3.2:3b", "default", "tg", "", "", "3")
OTHER_FILES = (
    "vllm_concurrency_small_gpus.csv", "splitwise_dc_perf.dev.csv.gz", "cara_local_latency.csv.gz",
    "ollama_energy_per_request.csv.gz",
)  # fmt: skip
RUN: Mapping[str, object] = {
    "model_id": "Qwen/Qwen3-8B", "gpu_model": "H100", "num_gpus": 1, "task": "lm-arena-chat",
    "avg_batch_size": 8.0, "weight_precision": "bfloat16", "avg_output_len": 600.0, "median_itl_ms": 8.2,
}  # fmt: skip


def write_data(folder: Path, lines: Sequence[Sequence[str]], runs: Sequence[Mapping[str, object]]) -> None:
    """A small copy of the folder of measurements, with the specifications of every card."""
    with gzip.open(folder / "local_throughput.dev.csv.gz", "wt", newline="") as out:
        csv.writer(out).writerows([COLUMNS, *lines])
    with gzip.open(folder / "mlenergy_text_configs.jsonl.gz", "wt") as out:
        out.writelines(json.dumps(run) + "\n" for run in runs)
    for name in OTHER_FILES:
        opener = gzip.open if name.endswith(".gz") else open
        with opener(folder / name, "wt") as out:
            out.write("a\n1\n2\n")
    cards = [line.split('("')[1].split('"')[0] for line in SCRIPT.read_text().splitlines() if '": ("' in line]
    with (folder / "gpu_specs.csv").open("w", newline="") as out:
        csv.writer(out).writerows([("name", "bandwidth_gb_s", "fp16_tflops"), *((n, 1, 1) for n in cards)])


def told(folder: Path) -> subprocess.CompletedProcess[str]:
    """What the script says of the data in a folder."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    return subprocess.run(
        [sys.executable, str(SCRIPT), str(folder)],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )


def test_what_is_left_out_is_counted(tmp_path: Path) -> None:
    """Lines that cannot be compared are counted under their reason, file by file."""
    write_data(tmp_path, [CARDS, SEVERAL, BOARD], [RUN, {**RUN, "num_gpus": 4}])
    found = told(tmp_path)
    assert found.returncode == 0, found.stderr
    assert "local_throughput.dev.csv.gz: 1 lines used, 2 left out" in found.stdout
    assert "1  cards behind a single-board computer's one PCIe lane" in found.stdout
    assert "mlenergy_text_configs.jsonl.gz: 1 lines used, 1 left out" in found.stdout
    assert "splitwise_dc_perf.dev.csv.gz: 0 lines used, 2 left out" in found.stdout


@pytest.mark.parametrize(
    ("lines", "runs", "name"),
    [([CARDS, STRANGE], [RUN], "Abacus"), ([CARDS], [{**RUN, "model_id": "other/Eliza"}], "Eliza")],
)
def test_no_line_is_left_out_without_a_word(
    tmp_path: Path, lines: Sequence[Sequence[str]], runs: Sequence[Mapping[str, object]], name: str
) -> None:
    """A machine or model that nothing is known of ends the reading."""
    write_data(tmp_path, lines, runs)
    found = told(tmp_path)
    assert found.returncode != 0
    assert "neither used nor left out for a reason" in found.stderr
    assert name in found.stderr


def test_every_line_of_the_whole_data_is_used_or_named() -> None:
    """The measurements themselves, where they are at hand: ``SPILLWAY_HARDWARE_PERF`` names their folder."""
    folder = os.environ.get("SPILLWAY_HARDWARE_PERF")
    if folder is None:
        pytest.skip("SPILLWAY_HARDWARE_PERF does not name the folder of measurements")
    found = told(Path(folder))
    assert found.returncode == 0, found.stderr
    assert "lines used" in found.stdout


def test_own_batches_are_sourced_and_dated() -> None:
    """Each batch that the repository holds itself says where it is from and of which month."""
    with OWN.open(encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    assert len(rows) > 200
    for row in rows:
        assert row["source"].startswith("llama.cpp "), row
        assert "2024-01" < row["date"] < "2026-12", row
        assert float(row["tok_s"]) > 0
