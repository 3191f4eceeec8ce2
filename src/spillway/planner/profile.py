"""What one live node was measured to do, kept in a file that ``plan`` and ``up`` read.

``spillway bench URL`` writes it; ``docs/how-to/measure-a-node.md`` explains the figures.
"""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any, TypeGuard

import msgspec

from spillway.errors import ConfigError, printable
from spillway.slo.pace import LinearPace

__all__ = [
    "LOOSE_RATIO",
    "SCHEMA",
    "FitErrors",
    "Profile",
    "doubt",
    "load_profile",
    "profile_from_json",
    "profile_path",
    "profile_to_json",
    "refuse_place",
    "save_profile",
]

SCHEMA = "spillway.profile/1"
PACE_KEYS = (
    "prefill_base_s", "prefill_token_s", "attention_s", "step_base_s", "step_sequence_s", "step_context_s",
)  # fmt: skip
LATER_KEYS = ("tail_attention_s", "step_gap_s")
"""Figures that came later and that a profile may lack."""
MAX_BYTES = 1_000_000
MOST_TOLD = 40
"""Characters of a wrong value that are repeated."""
MOST_WARNINGS = 3
"""Of a profile that are repeated."""
LOOSE_RATIO = 0.25
"""A median error beyond this says that the node was disturbed (guess)."""


@dataclass(frozen=True)
class FitErrors:
    """How far predictions were from probes that the fit had not seen, as shares of what was measured."""

    probes: int
    ttft_median_ratio: float | None
    ttft_p90_ratio: float | None
    itl_median_ratio: float | None
    itl_p90_ratio: float | None


@dataclass(frozen=True)
class Profile:
    """One node as measured. Figures that could not be learned are ``None``."""

    name: str
    engine: str
    engine_version: str | None
    model: str
    measured_on: str
    """The day, as YYYY-MM-DD."""
    slots: int | None
    """Sequences the engine works on at once; ``None`` when no limit showed up to ``tested_concurrency``."""
    best_slots: int
    """The fewest slots that reach nearly the whole throughput."""
    tested_concurrency: int
    context_tokens: int | None
    """Tokens one sequence may hold."""
    pace: LinearPace
    errors: FitErrors
    samples: int
    """Requests the figures rest on."""
    is_complete: bool = True
    """False when the measurement was cut short; ``warnings`` say what is missing."""
    warnings: tuple[str, ...] = ()
    tok_s: Mapping[int, float] | None = None
    """Sequences at once → tokens per second of all of them together, as measured."""

    @property
    def usable_slots(self) -> int:
        """Slots to plan with: the engine's own, else as many sequences as were seen to run at once."""
        return self.slots or self.tested_concurrency

    @property
    def knows_batches(self) -> bool:
        """Whether answers side by side were timed, as far as it tells; if not, a second one seems free."""
        return self.tok_s is None or max(self.tok_s) > 1

    @property
    def flaws(self) -> tuple[str, ...]:
        """Why its figures are not validated, as ends of a sentence that begins with the profile."""
        found = [] if self.is_complete else ["was cut short"]
        if self.usable_slots > 1 and not self.knows_batches:
            found.append("never timed answers side by side")
        if not self.errors.probes:
            found.append("was never compared with probes")
        for what, ratio in (
            ("first tokens", self.errors.ttft_median_ratio),
            ("steps", self.errors.itl_median_ratio),
        ):
            if ratio is not None and ratio > LOOSE_RATIO:
                found.append(f"foretold {what} that were off by {ratio:.0%} in the median")
        return tuple(found)


def profile_path(name: str, environment: Mapping[str, str]) -> Path:
    """Where the profile of that name is kept unless the owner says otherwise."""
    home = Path(environment.get("HOME") or Path.home())
    if sys.platform == "darwin":
        folder = home / "Library" / "Application Support"
    else:
        folder = Path(environment.get("XDG_CONFIG_HOME") or home / ".config")
    file_name = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.") or "node"
    return folder / "spillway" / "profiles" / f"{file_name}.json"


def save_profile(profile: Profile, path: Path) -> None:
    """The file holds the profile: written beside its place and moved there, never half there.

    ConfigError when the place cannot be written.
    """
    text = json.dumps(profile_to_json(profile), indent=2) + "\n"
    with _part_beside(path) as (handle, part):
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        part.replace(path)


def refuse_place(path: Path) -> None:
    """ConfigError when no profile can be saved as ``path``; its folder is there afterwards."""
    if path.is_dir():
        raise ConfigError(f"the profile cannot be saved as {path}: that is a folder, name a file in it")
    with _part_beside(path) as (handle, _):
        os.close(handle)


@contextmanager
def _part_beside(path: Path) -> Iterator[tuple[int, Path]]:
    """An open file in the same folder, gone afterwards, and its place; ConfigError when that cannot be."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        part = Path(name)
        try:
            yield handle, part
        finally:
            part.unlink(missing_ok=True)
    except FileExistsError:
        raise ConfigError(f"the profile cannot be saved as {path}: {path.parent} is no folder") from None
    except OSError as error:
        raise ConfigError(f"the profile cannot be saved as {path}: {error.strerror}") from None


def load_profile(path: Path) -> Profile:
    """The profile in that file; ConfigError names the file and what is wrong with it."""
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise ConfigError(f"there is no profile {path}; spillway bench URL --save {path} makes one") from None
    except OSError as error:
        raise ConfigError(f"the profile {path} cannot be read: {error.strerror}") from None
    if len(raw) > MAX_BYTES:
        raise ConfigError(f"{path} is too long for a profile")
    try:
        fields = json.loads(raw)
    except (ValueError, RecursionError):
        raise ConfigError(f"the profile {path} is not JSON; measure the node again") from None
    try:
        return profile_from_json(fields)
    except ValueError as problem:
        raise ConfigError(f"the profile {path} {problem}; measure the node again") from None


def doubt(profile: Profile, path: Path) -> str | None:
    """One sentence on what speaks against relying on the profile at ``path``; ``None`` when nothing does."""
    warnings = list(profile.warnings[:MOST_WARNINGS])
    if len(profile.warnings) > MOST_WARNINGS:
        warnings.append(f"{len(profile.warnings) - MOST_WARNINGS} more")
    if not (profile.flaws or warnings):
        return None
    said = " and ".join(profile.flaws) or "comes with warnings"
    told = f" ({'; '.join(warnings)})" if warnings else ""
    return printable(f"the profile {path} {said}{told}: measure the node again")


def profile_to_json(profile: Profile) -> dict[str, Any]:
    """The profile as one JSON object."""
    fields = asdict(profile)
    fields["pace"] = {key: getattr(profile.pace, key) for key in (*PACE_KEYS, *LATER_KEYS)}
    fields["warnings"] = list(profile.warnings)
    fields["tok_s"] = {str(n): speed for n, speed in (profile.tok_s or {}).items()}
    return {"schema": SCHEMA, **fields}


def profile_from_json(fields: Any) -> Profile:
    """The profile in a decoded JSON object; ``ValueError`` continues a sentence that begins with its name."""
    if not isinstance(fields, dict) or fields.get("schema") != SCHEMA:
        raise ValueError(f"is not a {SCHEMA} object")
    return Profile(
        name=_text(fields, "name"),
        engine=_text(fields, "engine"),
        engine_version=_text(fields, "engine_version") if fields.get("engine_version") else None,
        model=_text(fields, "model"),
        measured_on=_day(fields),
        slots=_count(fields, "slots", may_miss=True),
        best_slots=_count(fields, "best_slots") or 1,
        tested_concurrency=_count(fields, "tested_concurrency") or 1,
        context_tokens=_count(fields, "context_tokens", may_miss=True),
        pace=_pace(_mapping(fields, "pace"), _count(fields, "slots", may_miss=True)),
        errors=_errors(_mapping(fields, "errors")),
        samples=_count(fields, "samples", least=0) or 0,
        is_complete=_claim(fields, "is_complete"),
        warnings=_texts(fields, "warnings"),
        tok_s=_speeds(fields),
    )


def _pace(fields: Mapping[str, Any], slots: int | None) -> LinearPace:
    """The figures, none negative; one that could make a node infinitely fast is refused."""
    known = {"tail_attention_s": fields.get("attention_s"), "step_gap_s": 0.0, **fields}
    found: dict[str, float] = {key: _seconds(known, key) for key in (*PACE_KEYS, *LATER_KEYS)}
    for base, each in (("prefill_base_s", "prefill_token_s"), ("step_base_s", "step_sequence_s")):
        if found[base] + found[each] <= 0:
            raise ValueError("says that the node takes no time")
    return msgspec.convert({**found, "slots": slots or 0 if found["step_gap_s"] else 0}, LinearPace)


def _errors(fields: Mapping[str, Any]) -> FitErrors:
    keys = ("ttft_median_ratio", "ttft_p90_ratio", "itl_median_ratio", "itl_p90_ratio")
    probes = _count(fields, "probes", least=0, group="errors.") or 0
    return FitErrors(probes, *(_ratio(fields, key) for key in keys))


def _seconds(fields: Mapping[str, Any], key: str) -> float:
    value = fields.get(key)
    if not _is_number(value) or value < 0:
        raise _wrong(f"pace.{key}", value, "seconds, at least 0")
    return float(value)


def _ratio(fields: Mapping[str, Any], key: str) -> float | None:
    value = fields.get(key)
    if value is not None and not (_is_number(value) and value >= 0):
        raise _wrong(f"errors.{key}", value, "a share, at least 0")
    return None if value is None else float(value)


def _speeds(fields: Mapping[str, Any]) -> dict[int, float] | None:
    raw = fields.get("tok_s") or {}
    if not isinstance(raw, dict) or not all(
        key.isdecimal() and _is_number(value) and value > 0 for key, value in raw.items()
    ):
        raise _wrong("tok_s", raw, "tokens per second, above 0, by sequences at once")
    return {int(key): float(value) for key, value in raw.items()} or None


def _count(
    fields: Mapping[str, Any], key: str, *, least: int = 1, may_miss: bool = False, group: str = ""
) -> int | None:
    value = fields.get(key)
    if value is None and may_miss:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value < 10**9:
        raise _wrong(group + key, value, f"a whole number, at least {least}")
    return value


def _text(fields: Mapping[str, Any], key: str) -> str:
    value = fields.get(key)
    if not isinstance(value, str) or not value:
        raise _wrong(key, value or None, "a text")
    return value


def _claim(fields: Mapping[str, Any], key: str) -> bool:
    """True or false; true where nothing is said."""
    value = fields.get(key, True)
    if not isinstance(value, bool):
        raise _wrong(key, value, "true or false")
    return value


def _texts(fields: Mapping[str, Any], key: str) -> tuple[str, ...]:
    """A list of texts; none where nothing is said."""
    value = fields.get(key, [])
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise _wrong(key, value, "a list of texts")
    return tuple(value)


def _day(fields: Mapping[str, Any]) -> str:
    value = _text(fields, "measured_on")
    try:
        return date.fromisoformat(value).isoformat()
    except ValueError:
        raise _wrong("measured_on", value, "a day, YYYY-MM-DD") from None


def _mapping(fields: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = fields.get(key)
    if not isinstance(value, dict):
        raise _wrong(key, value, "a group of figures")
    return value


def _wrong(key: str, value: object, wanted: str) -> ValueError:
    """What is wrong with that field: it is missing, or it is something else than wanted."""
    if value is None:
        return ValueError(f"lacks the field {key!r} ({wanted})")
    told = json.dumps(value)
    told = told if len(told) <= MOST_TOLD else f"{told[:MOST_TOLD]}…"
    return ValueError(f"has {told} as {key!r}, which must be {wanted}")


def _is_number(value: object) -> TypeGuard[int | float]:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) <= sys.float_info.max  # no NaN, and no whole number beyond all floats
