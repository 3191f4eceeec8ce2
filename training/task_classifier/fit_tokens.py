"""Fits the byte-count token estimator against o200k_base and prints its error by kind of text.

    python fit_tokens.py DATA [TEXT_DIR ...]

DATA is the shared data folder; further folders add source code (``*.py``, ``*.h``), Markdown and gettext
catalogues (``*.mo``, for other languages). Needs rs-bpe. Half of the documents are held out.
"""

from __future__ import annotations

import gettext
import random
import sys
from pathlib import Path

import numpy as np
from rs_bpe.bpe import openai
from scipy.optimize import nnls
from sources import read_rows

from spillway.classify.tokens import FEATURES, SAMPLE_CHARS, byte_features, sample

RNG = random.Random(20261124)
SHARED = (
    ("agent", "agent_sessions/agent_sessions", "input", 300),
    ("passages", "task_types/p3_prompts", "text", 500),
    ("answers", "task_types/dolly_6400", "response", 500),
    ("questions", "routing_outcomes/mmlu_pro", "prompt", 300),
    ("puzzles", "routing_outcomes/zeroeval_crux", "prompt", 200),
    ("tools", "tool_calls/bfcl_v4_live_multiturn", "tools", 300),
)


def shared_texts(data: Path) -> list[tuple[str, str]]:
    """(kind, text) of documents in the shared folder."""
    texts: list[tuple[str, str]] = []
    for kind, name, field, count in SHARED:
        rows = read_rows(data / f"{name}.dev.jsonl.gz")
        for row in RNG.sample(rows, min(count, len(rows))):
            value = row[field]
            texts.append((kind, value if isinstance(value, str) else str(value).replace("'", '"')))
    return texts


def folder_texts(folder: Path) -> list[tuple[str, str]]:
    """(kind, text) of source files and message catalogues under a folder."""
    texts: list[tuple[str, str]] = []
    for path in sorted(folder.rglob("*")):
        if path.suffix in {".py", ".h", ".md", ".json"} and path.is_file():
            texts.append((path.suffix[1:], path.read_text(errors="ignore")))
        elif path.suffix == ".mo" and path.is_file():
            texts.extend(_catalogue(path))
    return texts


def _catalogue(path: Path) -> list[tuple[str, str]]:
    language = path.parent.parent.name
    try:
        with path.open("rb") as file:
            catalogue = gettext.GNUTranslations(file)
    except (OSError, ValueError, LookupError):
        return []
    strings = [str(text) for key, text in catalogue._catalog.items() if key and text]  # type: ignore[attr-defined]
    return [(f"lang:{language}", " ".join(strings))] if len(strings) > 30 else []


def pieces(texts: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """One piece of 80 to 12,000 characters from each text, sizes spread evenly over their logarithm."""
    out = []
    for kind, text in texts:
        size = int(80 * 150 ** RNG.random())
        start = RNG.randrange(max(1, len(text) - size))
        piece = text[start : start + size]
        if len(piece) >= 40:
            out.append((kind, piece))
    return out


def fit(X: np.ndarray, y: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Non-negative coefficients with the least weighted squared relative error."""
    root = np.sqrt(weight)
    return nnls(X / y[:, None] * root[:, None], root)[0]


def main(data: str, *folders: str) -> None:
    """Prints coefficients and errors."""
    tokenizer = openai.o200k_base()
    texts = shared_texts(Path(data))
    extra = [text for folder in folders for text in folder_texts(Path(folder))]
    by_kind: dict[str, list[tuple[str, str]]] = {}
    for kind, text in extra:
        by_kind.setdefault(kind, []).append((kind, text))
    for rows in by_kind.values():
        texts.extend(RNG.sample(rows, min(len(rows), 150 if not rows[0][0].startswith("lang") else 25)))
    rows = pieces(texts)
    RNG.shuffle(rows)
    X = np.array([byte_features(text) for _, text in rows], dtype=float)
    y = np.array([tokenizer.count(text) for _, text in rows], dtype=float)
    half = len(rows) // 2
    weight = np.array([0.15 if kind.startswith("lang") else 1.0 for kind, _ in rows])
    w = fit(X[:half], y[:half], weight[:half])
    print(f"{len(rows)} pieces, coefficients:")
    for name, value in zip(FEATURES, w, strict=True):
        print(f"    {value:.4f},  # {name}")
    sampled = np.array([_predict(text, w) for _, text in rows])
    report(
        rows[half:],
        sampled[half:] / y[half:] - 1,
        np.array([len(t) / 4 for _, t in rows[half:]]) / y[half:] - 1,
    )


def _predict(text: str, w: np.ndarray) -> float:
    part = sample(text, SAMPLE_CHARS)
    return float(np.array(byte_features(part)) @ w) * len(text) / len(part)


def report(rows: list[tuple[str, str]], error: np.ndarray, naive: np.ndarray) -> None:
    """Prints the held-out relative error, beside that of characters / 4."""
    kinds = np.array([kind.split(":")[0] for kind, _ in rows])
    for kind in [*sorted(set(kinds)), "all"]:
        mask = np.ones(len(kinds), bool) if kind == "all" else kinds == kind
        e, n = np.abs(error[mask]), np.abs(naive[mask])
        print(
            f"{kind:10s} n={mask.sum():5d}  mean {e.mean():6.1%}  p95 {np.quantile(e, 0.95):6.1%}  "
            f"bias {error[mask].mean():+6.1%}   "
            f"characters/4: mean {n.mean():6.1%} p95 {np.quantile(n, 0.95):6.1%}"
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
