"""A proposal which columns of an unknown file mean what, for a person to accept or correct."""

from __future__ import annotations

import re
from collections.abc import Mapping

from spillway.planner.readers.formats import Format
from spillway.planner.workload import WorkloadError

__all__ = ["WORDS", "generic_format", "propose", "words_of"]

WORDS: Mapping[str, tuple[tuple[str, ...], ...]] = {
    # Our column → sets of words that say it, most telling first; all words of a set must be in the name.
    "cached_tokens": (("cached", "tokens"), ("cache", "read"), ("cached",)),
    "input_tokens": (
        ("input", "tokens"), ("prompt", "tokens"), ("tokens", "in"), ("context", "tokens"),
        ("input", "length"), ("prompt", "length"), ("tokens", "input"), ("tokens", "prompt"),
        ("prompt",), ("input",),
    ),
    "output_tokens": (
        ("output", "tokens"), ("completion", "tokens"), ("generated", "tokens"), ("tokens", "out"),
        ("response", "tokens"), ("output", "length"), ("completion", "length"), ("completion",), ("output",),
    ),
    "time": (
        ("timestamp",), ("created", "at"), ("created",), ("start", "time"), ("started", "at"), ("start",),
        ("t", "s"), ("t", "ms"), ("arrival",), ("datetime",), ("time",), ("date",), ("ts",),
    ),
    "model": (("model", "name"), ("model",), ("deployment",), ("engine",)),
    "cost": (("cost", "usd"), ("total", "cost"), ("cost",), ("spend",), ("price",), ("amount",)),
    "currency": (("currency",),),
    "requests": (("num", "requests"), ("request", "count"), ("requests",), ("calls",)),
}  # fmt: skip
LENGTHS_OF_TIME = frozenset(
    {
        "delta",
        "interval",
        "duration",
        "gap",
        "elapsed",
        "latency",
        "ttft",
        "end",
        "think",
        "api",
        "wait",
        "queue",
    }
)
"""A name with one of these words is no moment and no count."""
NEEDED = ("time", "input_tokens", "output_tokens")
UNITS = {"ms": 1e-3, "us": 1e-6, "ns": 1e-9, "s": 1.0, "sec": 1.0, "seconds": 1.0}
"""What a numeric time column's last word says of its unit."""


def propose(names: tuple[str, ...]) -> dict[str, str]:
    """Our column → the file's that most likely holds it; each of theirs is used once.

    Words are compared, not letters: ``totalPromptTokens`` says "prompt" and "tokens".
    """
    words = {name: set(words_of(name)) for name in names}
    words = {name: found for name, found in words.items() if not found & LENGTHS_OF_TIME}
    found: dict[str, str] = {}
    for our, sets in WORDS.items():
        for wanted in sets:
            free = [
                name for name in names if name not in found.values() and words.get(name, set()) >= set(wanted)
            ]
            if free:
                found[our] = min(free, key=lambda name: len(words[name]))
                break
    return found


def generic_format(names: tuple[str, ...], mapping: Mapping[str, str], source: str) -> Format:
    """The format of a file nobody knows, from our proposal and the caller's corrections.

    ``WorkloadError`` names the columns that are missing and those there are.
    """
    for our, theirs in mapping.items():
        if our not in WORDS:
            raise WorkloadError(f"there is no field {our!r} to map a column to; use {', '.join(WORDS)}")
        if theirs not in names:
            raise WorkloadError(f"{source} has no column {theirs!r}; it has {', '.join(names[:30])}")
    found = {our: name for our, name in propose(names).items() if name not in mapping.values()} | dict(
        mapping
    )
    missing = [our for our in NEEDED if our not in found]
    if missing:
        raise WorkloadError(
            f"{source}: no column looks like {' or '.join(missing)}; say which with "
            f"--map COLUMN={missing[0]}, the file has {', '.join(names[:30])}"
        )
    unit_s = UNITS.get(words_of(found["time"])[-1])

    def one(our: str) -> tuple[str, ...]:
        return (found[our],) if our in found else ()

    return Format(
        "generic", (), one("time"), one("input_tokens"), one("output_tokens"), one("cached_tokens"),
        one("model"), one("cost"), one("currency"), one("requests"), unit_s=unit_s,
    )  # fmt: skip


def words_of(name: str) -> list[str]:
    """The words of a column name: ``nPromptTokens`` and ``n_prompt_tokens`` alike."""
    spaced = re.sub(r"([a-z0-9])([A-Z])", r"\1 \2", name)
    return [word for word in re.split(r"[^a-z0-9]+", spaced.lower()) if word] or [name]
