"""Runs canaries against one node: measures them for a lock, and asks again whether a lock still holds."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from spillway.pinning.answers import Answer, Asker, CanaryUnanswered
from spillway.pinning.canaries import Canary
from spillway.pinning.compare import Change
from spillway.pinning.judge import FIRST_RUNS, MORE_RUNS, differs, record_of, varies
from spillway.pinning.lock import LockedCanary

__all__ = ["Doubt", "measure", "recheck"]

TRIES = 3
"""A different answer counts once it came this often in a row: noise not seen when pinning does not."""

Pass = Callable[[], Awaitable[bool]]


async def measure(
    asker: Asker, model: str, canaries: Sequence[Canary], *, kept: Mapping[str, LockedCanary] | None = None
) -> dict[str, LockedCanary]:
    """The record of each canary that the model answers, by name; one that it refuses is left out.

    A record in ``kept`` that still fits is taken over as it is, so that a lock changes only where the node
    did. CanaryUnanswered when the node stops answering: then nothing of it may be pinned.
    """
    records: dict[str, LockedCanary] = {}
    for canary in sorted(canaries, key=lambda canary: canary.name):
        old = (kept or {}).get(canary.name)
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
    return records


@dataclass(slots=True)
class Doubt:
    """What one canary showed: ``change`` when the answer is another one for sure."""

    canary: str
    change: Change | None = None
    runs: int = 0
    seconds: float = 0.0
    answers: list[Answer] = field(default_factory=list)
    is_void: bool = False
    """The canary asks something else than when it was pinned."""


async def recheck(asker: Asker, model: str, canary: Canary, pinned: LockedCanary, may_go_on: Pass) -> Doubt:
    """Whether the model still answers as pinned. A different answer is asked for again, ``may_go_on``
    permitting, and counts only when none of the tries gave the pinned one.

    CanaryUnanswered when it cannot be told: the node went away, or it became busy.
    """
    doubt = Doubt(canary.name, is_void=pinned.prompt != canary.digest)
    if doubt.is_void:
        return doubt
    before_after: tuple[str, str] | None = None
    for _ in range(TRIES):
        if not await may_go_on():
            raise CanaryUnanswered("the node became busy")
        doubt.runs += 1
        try:
            answer = await asker.ask(canary, model)
        except CanaryUnanswered as error:
            if not error.is_refusal:
                raise
            before_after = (pinned.answer or "an answer", f"refused: {error}")
            continue
        doubt.answers.append(answer)
        doubt.seconds += answer.seconds
        before_after = differs(canary, pinned, answer)
        if before_after is None:
            return doubt
    assert before_after is not None
    doubt.change = Change(model, "canary", f"{canary.name}: {before_after[0]}", before_after[1])
    return doubt


async def always() -> bool:
    """For a node that nobody else uses."""
    await asyncio.sleep(0)
    return True
