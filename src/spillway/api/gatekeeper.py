"""Judges local answers before a caller sees them; the relay asks, ``verify`` knows how."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable

from msgspec import Struct

from spillway.api.shadow_words import reply_of, wants_json
from spillway.api.thresholds import Thresholds
from spillway.evidence.compare import compare
from spillway.evidence.events import Event, Key
from spillway.relay.run import Job
from spillway.verify import GivenAnswer, StreamWatch, Wish, check, warm_up
from spillway.vocabulary import Choice, Outcome

__all__ = ["Gatekeeper"]

REMEMBERED = 2_000
"""Answers whose confidence is kept in memory until somebody tells how good they were."""
UNSURE = "gate_confidence"

KeyOf = Callable[[str, str, str], Key]
"""Task class, upstream and model → the key that evidence is kept for now."""


class _Judged(Struct, frozen=True):
    """How sure the model was of one answer; the answer itself only where it was not sure enough."""

    key: Key
    confidence: float
    answer: bytes = b""


class Gatekeeper:
    """The relay's ``Verifier``; what becomes of the answers it judged moves its thresholds.

    Only comparisons count for those: what people rate is no fair sample of what they got.
    """

    def __init__(self, thresholds: Thresholds, key_of: KeyOf, compared_share: float) -> None:
        """``compared_share`` is the share of kept answers that is compared with the reference."""
        self._thresholds = thresholds
        self._key_of = key_of
        self._compared_share = compared_share
        self._judged: OrderedDict[str, _Judged] = OrderedDict()
        self._warming: asyncio.Future[None] | None = None

    def start(self) -> None:
        """Begins to read, off the event loop, what the first answers would have to wait for."""
        self._warming = asyncio.ensure_future(asyncio.to_thread(warm_up))

    async def close(self) -> None:
        """Waits for a reading that is still going on."""
        if self._warming is not None:
            await asyncio.gather(self._warming, return_exceptions=True)

    def judge(self, job: Job, choice: Choice, answer: bytes) -> str | None:
        """The code of the first gate that the answer of ``choice`` fails; ``None`` when it may be kept."""
        task = job.facts.task
        key = None if task is None else self._key_of(task, choice.upstream, choice.model)
        verdict = check(
            GivenAnswer.of(answer),
            Wish.of(job.payload.raw),
            job.decision.gates,
            language=job.facts.language,
            threshold=None if key is None else self._thresholds.value(key),
        )
        code = verdict.failed[0] if verdict.failed else None
        if key is not None and verdict.confidence is not None and code in (None, UNSURE):
            self._remember(job.facts.request_id, _Judged(key, verdict.confidence, answer if code else b""))
        return code

    def watch(self, job: Job) -> StreamWatch:
        """What judges a stream while it passes."""
        return StreamWatch(Wish.of(job.payload.raw), job.decision.gates, language=job.facts.language)

    def learn(self, event: Event) -> None:
        """An answer was compared: how sure the model had been of it says where to draw the line."""
        if event.kind != "shadow":
            return
        judged = self._judged.pop(event.request_id, None)
        if judged is not None and judged.key == event.key:
            self._thresholds.learn(judged.key, judged.confidence, event.score, self._compared_share)

    def note(self, job: Job, outcome: Outcome, answer: bytes) -> None:
        """A request ended: where an unsure answer was escalated, the two answers can be compared for free."""
        judged = self._judged.get(job.facts.request_id)
        if judged is None or not judged.answer:
            return
        del self._judged[job.facts.request_id]
        if outcome.result != "ok" or outcome.last is None or outcome.last.side != "cloud":
            return
        ours, theirs = reply_of(judged.answer), reply_of(answer)
        if ours is not None and theirs is not None:
            found = compare(ours, theirs, job.facts.task, wants_json=wants_json(job))
            if found is not None:
                self._thresholds.learn(judged.key, judged.confidence, found.score, 1.0)

    def _remember(self, request_id: str, judged: _Judged) -> None:
        self._judged[request_id] = judged
        if len(self._judged) > REMEMBERED:
            self._judged.popitem(last=False)
