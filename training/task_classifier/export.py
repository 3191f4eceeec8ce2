"""Writes the shipped file: the most useful features, int8 weights with a scale each, zipped without dates."""

from __future__ import annotations

import hashlib
import io
import random
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np
from matrix import Row, Vocabulary
from measures import Array
from sources import KINDS

from spillway.classify.facts import facts_of
from spillway.classify.model import load_model

__all__ = ["write_model"]

MOST_FEATURES: Final = 60_000
BACKGROUND: Final = 400
EPOCH: Final = (2026, 11, 24, 0, 0, 0)


def write_model(
    path: Path, vocabulary: Vocabulary, W: Array, b: Array, calibration: Array, rows: list[Row]
) -> Callable[[str], str]:
    """Writes ``path`` and returns the written model's guess of a text."""
    folded = W * vocabulary.idf[:, None]
    use = np.abs(folded - folded.mean(axis=1, keepdims=True)).max(axis=1) * np.sqrt(vocabulary.frequency)
    keep = np.sort(np.argsort(-use, kind="stable")[:MOST_FEATURES])
    scales = np.maximum(np.abs(folded[keep]).max(axis=1), 1e-6) / 127.0
    names = [vocabulary.names[i] for i in keep]
    arrays = {
        "names": np.frombuffer("\n".join(names).encode(), np.uint8),
        "kinds": np.frombuffer("\n".join(KINDS).encode(), np.uint8),
        "weights": np.round(folded[keep] / scales[:, None]).astype(np.int8),
        "scales": scales.astype(np.float16),
        "bias": b.astype(np.float32),
        "calibration": calibration.astype(np.float32),
        "frequency": vocabulary.frequency[keep].astype(np.float16),
    }
    arrays |= _background(names, rows)
    _write(path, arrays)
    size, digest = path.stat().st_size / 1e6, hashlib.sha256(path.read_bytes()).hexdigest()
    print(f"\n{path.name}: {len(keep)} of {len(vocabulary.names)} features, {size:.2f} MB, sha256 {digest}")
    model = load_model(path=path)
    return lambda text: model.guess(facts_of({"prompt": text})).task


def _background(names: list[str], rows: list[Row]) -> dict[str, Array]:
    """Feature numbers of some training requests: what an owner's own class is told apart from."""
    index = {name: i for i, name in enumerate(names)}
    chosen = random.Random(1).sample(rows, min(BACKGROUND, len(rows)))
    lists = [sorted(index[name] for name in set(names) if name in index) for names, _ in chosen]
    flat = np.array([i for row in lists for i in row], np.uint16)
    return {"background": flat, "background_ends": np.cumsum([len(row) for row in lists]).astype(np.uint32)}


def _write(path: Path, arrays: dict[str, Array]) -> None:
    """An npz file whose bytes depend on its content alone."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, array in arrays.items():
            buffer = io.BytesIO()
            np.lib.format.write_array(buffer, array, allow_pickle=False)
            file.writestr(zipfile.ZipInfo(f"{name}.npy", EPOCH), buffer.getvalue(), zipfile.ZIP_DEFLATED)
