"""Which columns of a file mean what: a proposal for one that nobody knows, and the caller's word for any."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace

from spillway.planner.readers.formats import GENERIC, Format
from spillway.planner.readers.parts import WithParts
from spillway.planner.readers.samples import Moments, Samples
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
        ("response", "tokens"), ("output", "length"), ("completion", "length"),
        ("candidates", "tokens", "count"), ("completion",), ("output",),
    ),
    "requests": (
        ("num", "requests"), ("request", "count"), ("requests",), ("calls",), ("call", "count"), ("count",),
    ),
    "time": (
        ("timestamp",), ("created", "at"), ("created",), ("start", "time"), ("started", "at"), ("start",),
        ("t", "s"), ("t", "ms"), ("arrival",), ("datetime",), ("time",), ("date",), ("ts",),
        ("hour",), ("day",), ("week",), ("month",),
    ),
    "model": (("model", "name"), ("model",), ("deployment",), ("engine",)),
    "cost": (("cost", "usd"), ("total", "cost"), ("cost",), ("spend",), ("price",), ("amount",)),
    "currency": (("currency",),),
    "id": (
        ("request", "id"), ("generation", "id"), ("completion", "id"), ("response", "id"), ("call", "id"),
        ("uuid",), ("id",),
    ),
}  # fmt: skip
EXACT = frozenset({"id"})
"""A name that has one word more is of something else: of a user, a key, a session."""
PERIODS = frozenset({("hour",), ("day",), ("week",), ("month",)})
"""Words of a column that holds dates, or else only the hour of a day or the day of a month."""
COUNTS = ("cached_tokens", "input_tokens", "output_tokens", "requests")
OF_REQUESTS = frozenset(
    ("num", "number", "n", "no", "of", "count", "total", "sum", "all", "request", "requests", "call", "calls",
     "model", "llm", "openai", "azure", "chat", "success", "successful", "succeeded",
     "completed", "hourly", "daily", "weekly", "monthly")
)  # fmt: skip
"""A number of requests is named with these words alone: one more makes it a gauge, a limit, a part."""
SUMS = frozenset({"sum", "sums"})
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
     "mean", "median", "s", "sec", "second")
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
    "requests": NO_COUNT | {"tokens", "tool", "tools"},
}  # fmt: skip
"""Our column → words that make a name that of something else."""
NOT_TAKEN = "numbers that go up and down, as lengths of time do"
CANDIDATES = ["candidates", "tokens", "count"]
"""What Gemini calls the tokens of an answer, without those that were thought."""
CREATIONS = frozenset({("cache", "creation"), ("cache", "write")})
NEEDED = ("time", "input_tokens", "output_tokens")
UNITS = {"ms": 1e-3, "us": 1e-6, "ns": 1e-9, "s": 1.0, "sec": 1.0, "seconds": 1.0}
"""What a numeric time column's last word says of its unit."""


def propose(names: tuple[str, ...], samples: Samples | None = None) -> dict[str, str]:
    """Our column → the file's that most likely holds it; each of theirs is used once.

    Words are compared, not letters: ``totalPromptTokens`` says "prompt" and "tokens". What the columns hold
    decides between several: a text is no count, and what goes up and down is no time of arrival.
    """
    samples = samples or Samples()
    found: dict[str, str] = {}
    for our in WORDS:
        taken = frozenset(found.values())
        fitting = [name for name in candidates(our, names) if name not in taken]
        if our == "time":
            fitting = _times(fitting, samples, has_totals="requests" in found)
        elif our in COUNTS:
            fitting = [name for name in fitting if samples.may_be_counts(name)]
        if fitting:
            found[our] = fitting[0]
    return found


def candidates(our: str, names: Iterable[str]) -> list[str]:
    """The names that say our column, the most telling and then the shortest first."""
    words = {name: frozenset(words_of(name)) for name in names}
    free = {name: said for name, said in words.items() if _may_say(our, said)}
    if our == "requests":
        leaves = {name: frozenset(words_of(_leaf(name))) for name in free}
        free = {name: said for name, said in leaves.items() if said <= OF_REQUESTS}
    found: dict[str, None] = {}
    for wanted in map(frozenset, WORDS[our]):
        fit = [n for n, said in free.items() if said == wanted or (our not in EXACT and said > wanted)]
        found.update(dict.fromkeys(sorted(fit, key=lambda name: len(words[name]))))
    return list(found)


def _may_say(our: str, words: frozenset[str]) -> bool:
    """Whether no word of a name makes it that of something else."""
    return words.isdisjoint(LENGTHS_OF_TIME) and words.isdisjoint(NEVER.get(our, ()))


def _leaf(name: str) -> str:
    """What a nested name ends with."""
    return name.rpartition(".")[2]


def _times(names: Iterable[str], samples: Samples, *, has_totals: bool) -> list[str]:
    """The columns of these that may be times, best first: dates, then numbers that go one way.

    Totals start at whole hours or days; beside such a column others tell when their row was written.
    """
    held = {name: samples.moments(name, unit_of(name)) for name in names}
    fit = [name for name, moments in held.items() if _may_be_time(name, moments)]
    odd = {name: has_totals and not samples.are_of_periods(name) for name in fit}
    return sorted(fit, key=lambda name: (held[name], odd[name]))


def _may_be_time(name: str, moments: Moments) -> bool:
    """Whether a column of that name is one of times if it holds this."""
    is_number_of_period = not PERIODS.isdisjoint((word,) for word in words_of(name))
    return moments is not Moments.LENGTHS and not (is_number_of_period and moments is Moments.COURSE)


def generic_format(
    names: tuple[str, ...], columns: Mapping[str, str], source: str, samples: Samples | None = None
) -> Format:
    """The format of a file nobody knows, from our proposal and the caller's corrections.

    ``columns`` are the file's names and our fields, empty for a column that is not to be used.
    ``WorkloadError`` names the columns that are missing and those there are.
    """
    given = _given(names, columns, source)
    free = tuple(name for name in names if name not in columns)
    found = propose(free, samples) | given
    missing = [our for our in NEEDED if our not in found]
    if missing:
        raise WorkloadError(f"{source}: {_missing(missing, found, names, free)}")
    if "end" in found and "requests" not in found:
        raise WorkloadError(
            f"{source}: --map {found['end']}=end is for totals, and no column looks like their number of "
            "requests; say which with --map COLUMN=requests, or leave the end out"
        )
    _refuse_sums(found, given, source)
    kind = Format(GENERIC, (), (), (), ())
    guessed = [found[our] for our in ("input_tokens", "output_tokens") if our not in given]
    parts = {name: beside for name in guessed if (beside := _parts_beside(name, names))}
    kind = replace(kind, rewrite=WithParts(parts) if parts else None)
    kind = replace(kind, has_request_ids="id" in given or len(words_of(found.get("id", ""))) > 1)
    return _with_columns(kind, found)


def _missing(
    missing: list[str], found: Mapping[str, str], names: tuple[str, ...], free: tuple[str, ...]
) -> str:
    """Which columns were not found, which looked like them and are none, and what was found of the rest."""
    taken = found.values()
    not_these = [
        f"{name!r} holds {NOT_TAKEN if our == 'time' else 'no numbers'}"
        for our in missing
        for name in candidates(our, free)
        if name not in taken
    ]
    doubts = f" ({', '.join(not_these[:3])})" if not_these else ""
    whole = " (all of a prompt, also what a cache held)" if missing[0] == "input_tokens" else ""
    pairs = ", ".join(f"{our} = {theirs!r}" for our, theirs in found.items())
    rest = f"; taken so far: {pairs}" if pairs else ""
    return (
        f"no column looks like {' or '.join(missing)}{doubts}; say which with --map "
        f"COLUMN={missing[0]}{whole}, the file has {', '.join(names[:30])}{rest}"
    )


def _refuse_sums(found: Mapping[str, str], given: Mapping[str, str], source: str) -> None:
    """``WorkloadError`` for tokens that are sums of nobody knows how many requests."""
    if "requests" in found:
        return
    for our in ("input_tokens", "output_tokens"):
        if our not in given and SUMS.intersection(words_of(found[our])):
            raise WorkloadError(
                f"{source}: {found[our]!r} looks like a sum over several requests, and no column looks like "
                "their number; say which with --map COLUMN=requests, or, if each row is one request, "
                f"--map {found[our]}={our}"
            )


def _parts_beside(name: str, names: Iterable[str]) -> tuple[str, ...]:
    """The columns of what a count goes without, by the names that a provider gives to both.

    Anthropic and Bedrock count beside ``input_tokens`` what a cache got and held, while others count it in
    them and name no creation of a cache; Gemini counts what was thought beside the candidates.
    """
    before, said = name.removesuffix(_leaf(name)), words_of(_leaf(name))
    beside = {each: words_of(_leaf(each)) for each in names if each == before + _leaf(each)}
    if said == CANDIDATES:
        return tuple(each for each, words in beside.items() if words == ["thoughts", *said[1:]])
    if said[:2] != ["input", "tokens"] or said[2:] not in ([], ["count"]):
        return ()
    created = [each for each, words in beside.items() if words[2:] == said and tuple(words[:2]) in CREATIONS]
    read = [each for each, words in beside.items() if words == ["cache", "read", *said]]
    return (*created, *read) if created else ()


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
    return replace(changed, unit_s=unit_of(found["time"])) if "time" in found else changed


def unit_of(name: str) -> float | None:
    """Seconds in a unit of a numeric time, where the column's name says it; ``None`` where it does not."""
    return UNITS.get(words_of(name)[-1])


def words_of(name: str) -> list[str]:
    """The words of a column name: ``nPromptTokens`` and ``n_prompt_token`` alike."""
    spaced = re.sub(r"([a-z0-9])([A-Z])", r"\1 \2", name)
    found = [word for word in re.split(r"[^a-z0-9]+", spaced.lower()) if word] or [name]
    return ["tokens" if word in ("token", "tok", "toks") else word for word in found]
