"""Runs canaries against one node: measures them for a lock, and asks again whether a lock still holds."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from spillway.pinning.answers import Answer, Asker, CanaryUnanswered, NodeBusy
from spillway.pinning.canaries import Canary
from spillway.pinning.compare import Change
from spillway.pinning.impostors import is_other_model
from spillway.pinning.judge import (
    FIRST_RUNS,
    MORE_RUNS,
    differs,
    differs_widely,
    is_faint,
    record_of,
    varies,
    vary_widely,
)
from spillway.pinning.lock import LockedCanary, LockedModel, Measured

__all__ = ["Doubt", "always", "by_the_way", "certain", "measure", "recheck"]

FAINT_SHARE = 1 / 3
TRIES = 3
"""A different answer counts once it came this often in a row: noise not seen when pinning does not."""

CONSTANT_FINGERPRINTS = ("fp_ollama", "b")
"""Beginnings of those that say the engine's name or build and nothing of its settings."""

Pass = Callable[[], Awaitable[bool]]


async def measure(
    asker: Asker, model: str, canaries: Sequence[Canary], *, kept: Measured | None = None
) -> Measured:
    """The record of each canary that the model answers; one that it refuses is left out.

    A record in ``kept`` that still fits is taken over as it is, so that a lock changes only where the node
    did. CanaryUnanswered when the node stops answering: then nothing of it may be pinned.
    """
    kept = kept or Measured()
    records: dict[str, LockedCanary] = {}
    fingerprint = None
    for canary in sorted(canaries, key=lambda canary: canary.name):
        old = kept.canaries.get(canary.name)
        try:
            answers = [await asker.ask(canary, model) for _ in range(FIRST_RUNS)]
            if varies(answers):
                answers += [await asker.ask(canary, model) for _ in range(MORE_RUNS - FIRST_RUNS)]
        except CanaryUnanswered as error:
            if error.is_refusal:
                continue
            raise
        still_fits = (
            old is not None
            and old.prompt == canary.digest
            and not any(differs(canary, old, answer) for answer in answers)
        )
        records[canary.name] = old if old is not None and still_fits else record_of(canary, answers)
        fingerprint = fingerprint or _telling(answers[0])
    return Measured(records, fingerprint)


@dataclass(slots=True)
class Doubt:
    """What one canary showed: ``change`` when the answer is another one for sure."""

    canary: str
    change: Change | None = None
    runs: int = 0
    answers: list[Answer] = field(default_factory=list)
    is_void: bool = False
    """The canary asks something else than when it was pinned."""
    is_noisy: bool = False
    """The node gave different answers to the same prompt now."""
    is_faint: bool = False
    """Only how likely the tokens were differs: see ``certain``."""


async def recheck(
    asker: Asker,
    model: str,
    canary: Canary,
    pinned: LockedCanary,
    may_go_on: Pass,
    *,
    is_noisy: bool = False,
) -> Doubt:
    """Whether the model still answers as pinned. A different answer is asked for again, ``may_go_on``
    permitting, and counts only when none of the tries gave the pinned one. Tries that differ among
    themselves are noise, and so is a node known for it (``is_noisy``): then only quite another answer does.

    CanaryUnanswered when it cannot be told: the node went away, or it became busy.
    """
    doubt = Doubt(canary.name, is_void=pinned.prompt != canary.digest)
    if doubt.is_void:
        return doubt
    refused: str | None = None
    for _ in range(TRIES):
        if not await may_go_on():
            raise NodeBusy("the node became busy")
        doubt.runs += 1
        try:
            answer = await asker.ask(canary, model)
        except CanaryUnanswered as error:
            if not error.is_refusal:
                raise
            refused = f"refused: {error}"
            continue
        doubt.answers.append(answer)
        if differs(canary, pinned, answer) is None:
            doubt.is_noisy = doubt.runs > 1
            return doubt
    doubt.is_noisy = vary_widely(pinned, doubt.answers)
    shown = _shown(canary, pinned, doubt.answers, is_noisy=is_noisy or doubt.is_noisy)
    if shown is None and refused is not None and not doubt.answers:
        shown = (pinned.answer or "an answer", refused)
    if shown is not None:
        doubt.change = Change(model, "canary", f"{canary.name}: {shown[0]}", shown[1])
        doubt.is_faint = refused is None and is_faint(pinned, doubt.answers)
    return doubt


def certain(doubts: Sequence[Doubt], pinned: int) -> list[Change]:
    """The changes that count of one model's canaries, of which ``pinned`` are in the lock.

    Other weights move the likelihoods of most canaries, a stranger in the same batch those of one at a time:
    faint differences count where a third of all canaries differ, and at least two if there are two.
    """
    shown = [doubt for doubt in doubts if doubt.change is not None]
    needed = min(pinned, max(2, math.ceil(pinned * FAINT_SHARE)))
    return [doubt.change for doubt in shown if doubt.change and (not doubt.is_faint or len(shown) >= needed)]


def _shown(
    canary: Canary, pinned: LockedCanary, answers: Sequence[Answer], *, is_noisy: bool
) -> tuple[str, str] | None:
    """Before and after when every answer differs, by the measure that suits the node."""
    compare = differs_widely if is_noisy else differs
    found = [compare(canary, pinned, answer) for answer in answers]
    return found[0] if found and all(found) else None


def by_the_way(model: str, pinned: LockedModel, answers: Sequence[Answer]) -> list[Change]:
    """What an answer shows beside its text: another model's name, or another state of the engine."""
    found: list[Change] = []
    for answer in answers[-1:]:
        if is_other_model(model, answer.model):
            found.append(Change(model, "model", model, f"answers as {answer.model}"))
        before, after = pinned.answer_fingerprint, _telling(answer)
        if before is not None and after is not None and before != after:
            found.append(Change(model, "fingerprint", before, after))
    return found


def _telling(answer: Answer) -> str | None:
    """Its fingerprint where it tells of more than the engine's build, as vLLM's does."""
    if answer.fingerprint is None or answer.fingerprint.startswith(CONSTANT_FINGERPRINTS):
        return None
    return answer.fingerprint[:100]


async def always() -> bool:
    """For a node that nobody else uses."""
    await asyncio.sleep(0)
    return True
