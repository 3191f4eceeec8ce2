"""Which columns of a file mean what: a proposal for one that nobody knows, and the caller's word for any."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from spillway.planner.readers.formats import GENERIC, Format
from spillway.planner.workload import WorkloadError

__all__ = ["FIELDS", "corrected", "generic_format", "propose", "words_of"]

WORDS: Mapping[str, tuple[tuple[str, ...], ...]] = {
    # Our column → sets of words that say it, most telling first; all words of a set must be in the name.
    "cached_tokens": (
        ("cached", "tokens"), ("cache", "read"), ("cache", "hit", "tokens"), ("cached", "input"),
        ("cached", "prompt"),
    ),
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
    "id": (
        ("request", "id"), ("generation", "id"), ("completion", "id"), ("response", "id"), ("call", "id"),
        ("uuid",), ("id",),
    ),
}  # fmt: skip
EXACT = frozenset({"id"})
"""A name that has one word more is of something else: of a user, a key, a session."""
FIELDS = (*WORDS, "end")
"""What a column can be named for; the end of a total's period is never guessed."""
LENGTHS_OF_TIME = frozenset(
    ("delta", "interval", "duration", "gap", "elapsed", "latency", "ttft", "end", "think", "api", "wait",
     "queue")
)  # fmt: skip
"""A name with one of these words is no moment and no count."""
MONEY = frozenset(("cost", "costs", "price", "prices", "usd", "spend", "spent"))
LIMITS = frozenset(
    ("max", "maximum", "min", "minimum", "limit", "limits", "remaining", "quota", "budget", "allowed", "per",
     "reset")
)  # fmt: skip
NO_COUNT = MONEY | LIMITS | frozenset(
    ("char", "chars", "character", "characters", "bytes", "words", "text", "id", "ids", "hash", "template",
     "name", "version", "is", "has", "at", "ratio", "rate", "percent", "pct", "share", "avg", "average",
     "mean", "median")
)  # fmt: skip
PARTS = frozenset(("reasoning", "audio", "image", "accepted", "rejected", "prediction"))
UNCACHED = frozenset(("uncached", "no", "non", "write", "writes", "creation", "written", "miss"))
NEVER: Mapping[str, frozenset[str]] = {
    "cached_tokens": NO_COUNT | UNCACHED,
    "input_tokens": NO_COUNT | PARTS | UNCACHED | {"cache", "cached"},
    "output_tokens": NO_COUNT | PARTS | {"cache", "cached"},
    "time": frozenset(
        ("response", "completion", "processing", "total", "cached", "expires", "to", "zone", "timeout")
    ),
    "model": MONEY | LIMITS | {"tokens", "provider"},
    "cost": LIMITS | frozenset(
        ("input", "output", "prompt", "completion", "cache", "cached", "tokens", "mtok", "id", "tool",
         "saved", "savings", "is", "currency", "center", "centre")
    ),
    "requests": NO_COUNT | frozenset(
        ("tool", "tools", "function", "failed", "error", "errors", "cached", "rejected", "retry",
         "concurrent", "active", "pending", "queued", "running", "tokens")
    ),
}  # fmt: skip
"""Our column → words that make a name that of something else."""
NEEDED = ("time", "input_tokens", "output_tokens")
UNITS = {"ms": 1e-3, "us": 1e-6, "ns": 1e-9, "s": 1.0, "sec": 1.0, "seconds": 1.0}
"""What a numeric time column's last word says of its unit."""


def propose(names: tuple[str, ...]) -> dict[str, str]:
    """Our column → the file's that most likely holds it; each of theirs is used once.

    Words are compared, not letters: ``totalPromptTokens`` says "prompt" and "tokens".
    """
    words = {name: set(words_of(name)) for name in names}
    words = {name: said for name, said in words.items() if not said & LENGTHS_OF_TIME}
    found: dict[str, str] = {}
    for our, sets in WORDS.items():
        free = {
            name: said
            for name, said in words.items()
            if name not in found.values() and said.isdisjoint(NEVER.get(our, ()))
        }
        for wanted in map(set, sets):
            fit = [n for n, said in free.items() if said == wanted or (our not in EXACT and said > wanted)]
            if fit:
                found[our] = min(fit, key=lambda name: len(words[name]))
                break
    return found


def generic_format(names: tuple[str, ...], columns: Mapping[str, str], source: str) -> Format:
    """The format of a file nobody knows, from our proposal and the caller's corrections.

    ``columns`` are the file's names and our fields, empty for a column that is not to be used.
    ``WorkloadError`` names the columns that are missing and those there are.
    """
    given = _given(names, columns, source)
    found = propose(tuple(name for name in names if name not in columns)) | given
    missing = [our for our in NEEDED if our not in found]
    if missing:
        whole = " (all of a prompt, also what a cache held)" if missing[0] == "input_tokens" else ""
        raise WorkloadError(
            f"{source}: no column looks like {' or '.join(missing)}; say which with "
            f"--map COLUMN={missing[0]}{whole}, the file has {', '.join(names[:30])}"
        )
    if "end" in found and "requests" not in found:
        raise WorkloadError(
            f"{source}: --map {found['end']}=end is for totals, and no column looks like their number of "
            "requests; say which with --map COLUMN=requests, or leave the end out"
        )
    return _with_columns(Format(GENERIC, (), (), (), ()), found)


def corrected(known: Format, names: tuple[str, ...], columns: Mapping[str, str], source: str) -> Format:
    """A known format with the caller's columns; what tells its rows from others stays as it is.

    A column that is not to be used tells nothing either.
    """
    given = _given(names, columns, source)
    unused = {theirs for theirs, our in columns.items() if not our}
    kept = {
        our: tuple(name for name in theirs if name not in columns) for our, theirs in known.names().items()
    }
    ids = tuple(tuple(name for name in either if name not in unused) for either in known.ids)
    has = tuple(name for name in known.has if name not in unused)
    less = replace(
        known,
        ids=ids if all(ids) else (),
        only=tuple(only for only in known.only if only.column not in unused),
        has=has + tuple(given[our] for our in ("input_tokens", "output_tokens") if has and our in given),
        **kept,  # type: ignore[arg-type]
    )
    return _with_columns(less, given)


def _given(names: tuple[str, ...], columns: Mapping[str, str], source: str) -> dict[str, str]:
    """Our field → the column that the caller gave for it; ``WorkloadError`` for what cannot be."""
    found: dict[str, str] = {}
    for theirs, our in columns.items():
        if our and our not in FIELDS:
            raise WorkloadError(f"there is no field {our!r} to map a column to; use {', '.join(FIELDS)}")
        if theirs not in names:
            raise WorkloadError(f"{source} has no column {theirs!r}; it has {', '.join(names[:30])}")
        if our in found:
            raise WorkloadError(f"--map names both {found[our]!r} and {theirs!r} as {our}; name one")
        if our:
            found[our] = theirs
    return found


def _with_columns(kind: Format, found: Mapping[str, str]) -> Format:
    """The format with these columns of the file for ours, its times in the unit that their name says."""
    named = {our: (theirs,) for our, theirs in found.items() if our != "id"}
    changed = replace(kind, **named)  # type: ignore[arg-type]
    if "id" in found:
        changed = replace(changed, ids=((found["id"],),))
    return replace(changed, unit_s=UNITS.get(words_of(found["time"])[-1])) if "time" in found else changed


def words_of(name: str) -> list[str]:
    """The words of a column name: ``nPromptTokens`` and ``n_prompt_token`` alike."""
    spaced = re.sub(r"([a-z0-9])([A-Z])", r"\1 \2", name)
    found = [word for word in re.split(r"[^a-z0-9]+", spaced.lower()) if word] or [name]
    return ["tokens" if word == "token" else word for word in found]
