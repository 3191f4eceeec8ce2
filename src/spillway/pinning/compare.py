"""What differs between the identity that was pinned and the one that is served: pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal, get_args

from msgspec import Struct

from spillway.engines.told import Setting
from spillway.errors import printable
from spillway.pinning.identity import Identity

__all__ = ["BREAKS", "FIELDS", "Change", "Field", "brief", "changes", "unverified"]

Field = Literal[
    "remote_host",
    "model",
    "engine",
    "engine_version",
    "weights",
    "quantization",
    "template",
    "context",
    "slots",
    "sampling",
    "adapters",
    "capabilities",
    "fingerprint",
    "canary",
]
FIELDS: tuple[Field, ...] = get_args(Field)
"""Everything that can drift, the most serious first."""

BREAKS: Mapping[Field, str] = {
    "remote_host": "requests that must stay here leave the machine",
    "model": "answers come from a model nobody chose",
    "engine": "nothing that was measured or pinned can be trusted to hold",
    "engine_version": "templates, tool parsing and samplers change between releases",
    "weights": "quality per task is unknown again: evidence starts anew",
    "quantization": "quality, speed and memory differ: evidence starts anew",
    "template": "tool calls, system prompts and tool results may get lost",
    "context": "a smaller one cuts or refuses long prompts that used to fit",
    "slots": "waiting times differ: fewer slots queue, more slots halve the context",
    "sampling": "requests that set no temperature get other answers",
    "adapters": "the fine-tuned behaviour is gone, or another one is there",
    "capabilities": "tools, images or schemas are offered that were not, or no longer",
    "fingerprint": "a setting of the engine differs that may change answers or speed",
    "canary": "the same prompts get other answers: something not reported elsewhere changed",
}


class Change(Struct, frozen=True):
    """One field that differs, in words short enough for a table."""

    model: str
    field: Field
    before: str
    after: str


def changes(pinned: Identity, seen: Identity) -> tuple[Change, ...]:
    """Every field known on both sides that differs; what one side does not tell is no difference."""
    found = sorted(_differences(pinned, seen), key=lambda found: FIELDS.index(found[0]))
    return tuple(Change(pinned.model, field, before, after) for field, before, after in found)


def unverified(pinned: Identity, seen: Identity) -> tuple[Field, ...]:
    """Pinned fields of which the node says nothing now, so that nobody can tell whether they hold."""
    pairs = {
        "weights": (pinned.weights_digest, seen.weights_digest),
        "engine_version": (pinned.engine_version, seen.engine_version),
        "quantization": (pinned.quantization, seen.quantization),
        "template": (pinned.template_digest, seen.template_digest),
        "context": (pinned.context_tokens, seen.context_tokens),
        "slots": (pinned.slots, seen.slots),
        "sampling": (pinned.sampling, seen.sampling),
        "adapters": (pinned.adapters, seen.adapters),
        "capabilities": (pinned.capabilities, seen.capabilities),
        "fingerprint": (pinned.fingerprint, seen.fingerprint),
    }
    silent = {name for name, (before, now) in pairs.items() if before is not None and now is None}
    if pinned.weights_grade != seen.weights_grade and pinned.weights_digest is not None:
        silent.add("weights")
    return tuple(field for field in FIELDS if field in silent)


def brief(value: object) -> str:
    """A value as a table or a log shows it: digests cut to twelve digits, lists joined, on one line, and
    nothing in it that a terminal would obey."""
    if value is None:
        return "none"
    if isinstance(value, tuple | list):
        return ", ".join(map(brief, value)) or "none"
    text = str(value)
    kind, colon, digits = text.partition(":")
    if colon and kind in ("sha256", "manifest"):
        return f"{kind}:{digits[:12]}"
    text = printable(text)
    return text if len(text) <= 60 else text[:59] + "…"


def _differences(pinned: Identity, seen: Identity) -> Iterator[tuple[Field, str, str]]:
    if pinned.remote_host != seen.remote_host:
        yield "remote_host", pinned.remote_host or "here", seen.remote_host or "here"
    if pinned.model != seen.model:
        yield "model", pinned.model, seen.model
    if pinned.engine != seen.engine:
        yield "engine", pinned.engine, seen.engine
    yield from _weights(pinned, seen)
    yield from _sampling(pinned, seen)
    plain: tuple[tuple[Field, object, object], ...] = (
        ("engine_version", pinned.engine_version, seen.engine_version),
        ("quantization", pinned.quantization, seen.quantization),
        ("template", pinned.template_digest, seen.template_digest),
        ("context", pinned.context_tokens, seen.context_tokens),
        ("slots", pinned.slots, seen.slots),
        ("adapters", pinned.adapters, seen.adapters),
        ("capabilities", pinned.capabilities, seen.capabilities),
        ("fingerprint", pinned.fingerprint, seen.fingerprint),
    )
    for field, before, after in plain:
        if before is not None and after is not None and before != after:
            yield field, brief(before), brief(after)


def _weights(pinned: Identity, seen: Identity) -> Iterator[tuple[Field, str, str]]:
    """By the digest of the same grade on both sides, else by sizes and counts."""
    before, after = pinned.weights_digest, seen.weights_digest
    if pinned.weights_grade != seen.weights_grade:
        before, after = pinned.derived_digest, seen.derived_digest
    if before is not None and after is not None and before != after:
        yield "weights", brief(before), brief(after)


def _sampling(pinned: Identity, seen: Identity) -> Iterator[tuple[Field, str, str]]:
    """Setting by setting. llama.cpp tells all it has, so one that only one release knows is no difference;
    Ollama tells what its model file sets, so one that is missing there is."""
    before, after = pinned.sampling, seen.sampling
    if before is None or after is None:
        return
    told = before.keys() | after.keys() if seen.engine == "ollama" else before.keys() & after.keys()
    differing = [name for name in sorted(told) if before.get(name) != after.get(name)]
    if differing:
        yield "sampling", _listed(differing, before), _listed(differing, after)


def _listed(names: list[str], settings: Mapping[str, Setting]) -> str:
    return ", ".join(f"{name} {brief(settings.get(name))}" for name in names)
