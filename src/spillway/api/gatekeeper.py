"""Judges local answers before a caller sees them; the relay asks, ``verify`` knows how."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from spillway.api.thresholds import Thresholds
from spillway.evidence.events import Event, Key
from spillway.relay.run import Job
from spillway.verify import GivenAnswer, StreamWatch, Wish, check

__all__ = ["Gatekeeper"]

REMEMBERED = 10_000
"""Answers whose confidence is kept in memory until somebody tells how good they were."""

KeyOf = Callable[[str, str, str], Key]
"""Task class, upstream and model → the key that evidence is kept for now."""


class Gatekeeper:
    """The relay's ``Verifier``."""

    def __init__(self, thresholds: Thresholds, key_of: KeyOf) -> None:
        self._thresholds = thresholds
        self._key_of = key_of
        self._confidences: OrderedDict[str, tuple[Key, float]] = OrderedDict()

    def judge(self, job: Job, answer: bytes) -> str | None:
        """The code of the first gate that the whole answer fails; ``None`` when it may be kept."""
        key = self._key(job)
        verdict = check(
            GivenAnswer.of(answer),
            Wish.of(job.payload.raw),
            job.decision.gates,
            language=job.facts.language,
            threshold=None if key is None else self._thresholds.value(key),
        )
        if key is not None and verdict.confidence is not None:
            self._remember(job.facts.request_id, key, verdict.confidence)
        return verdict.failed[0] if verdict.failed else None

    def watch(self, job: Job) -> StreamWatch:
        """What judges a stream while it passes."""
        return StreamWatch(Wish.of(job.payload.raw), job.decision.gates, language=job.facts.language)

    def learn(self, event: Event) -> None:
        """An answer was compared or rated: how sure the model had been of it says where to draw the line."""
        if event.kind not in ("shadow", "feedback"):
            return
        known = self._confidences.pop(event.request_id, None)
        if known is not None and known[0] == event.key:
            self._thresholds.learn(event.key, known[1], event.score)

    def _key(self, job: Job) -> Key | None:
        """The key of the first node in the plan: it nearly always gives the answers that are judged."""
        local = next((choice for choice in job.decision.choices if choice.side == "local"), None)
        if local is None or job.facts.task is None:
            return None
        return self._key_of(job.facts.task, local.upstream, local.model)

    def _remember(self, request_id: str, key: Key, confidence: float) -> None:
        self._confidences[request_id] = key, confidence
        if len(self._confidences) > REMEMBERED:
            self._confidences.popitem(last=False)
