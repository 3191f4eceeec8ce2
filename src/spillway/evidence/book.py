"""The evidence in memory: what rule 4 asks, what events change, what the table shows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from hashlib import blake2b

from spillway.evidence.events import Event, Key
from spillway.evidence.identities import Identities
from spillway.evidence.record import QualityLimits, Record, reference_bad
from spillway.vocabulary import Side

__all__ = ["MAX_KEYS", "EvidenceBook", "share_of"]

MAX_KEYS = 4096
"""Callers may name any task class; beyond this many keys new ones are not learnt."""


class EvidenceBook:
    """All records by key. Lives on the event loop; asks and changes take microseconds and never wait."""

    def __init__(
        self,
        limits: QualityLimits,
        *,
        local_tasks: Iterable[str] = (),
        reference: tuple[str, str] | None = None,
        records: Mapping[Key, Record] | None = None,
        can_compare: bool = False,
        on_change: Callable[[Key, Record], None] = lambda key, record: None,
    ) -> None:
        """``reference`` is the cloud and model whose ratings are the yardstick for feedback.

        ``can_compare`` is whether shadow requests may be made, so that exploring can lead anywhere;
        ``on_change`` is called when a standing changed.
        """
        self.limits = limits
        self.local_tasks = frozenset(local_tasks)
        self.reference = reference
        self.can_compare = can_compare
        self.records: dict[Key, Record] = {}
        self.identities = Identities()
        self.dirty: set[Key] = set()
        """Keys whose records differ from what is stored."""
        self._rated_tasks: set[str] = set()
        self._on_change = on_change
        self.load(records or {})

    def load(self, records: Mapping[Key, Record]) -> None:
        """Takes over what was stored."""
        self.records.update(records)
        self.identities.load(records.items())
        self._rated_tasks |= {key.task for key, record in records.items() if "feedback" in record.totals}

    # what routing asks

    def allows_local(self, task: str, upstream: str, model: str, identity: str | None = None) -> bool | None:
        """Whether that model may answer that task class; ``None`` leaves it to configuration.

        An identity that is not known (yet) is taken to be the last one that was.
        """
        record = self.records.get(self._key(task, upstream, model, identity))
        if record is None or record.standing == "open":
            return None
        return record.standing == "trusted"

    def can_learn(self, task: str, upstream: str, model: str, identity: str | None = None) -> bool:
        """Whether sending a few requests of a class there although it is not allowed could change that.

        It takes shadow comparisons, ratings for the class, or a demotion that gates alone can take back;
        otherwise exploring would only be a risk.
        """
        if self.can_compare or task in self._rated_tasks:
            return True
        record = self.records.get(self._key(task, upstream, model, identity))
        return record is not None and record.standing == "demoted" and record.cause == "gate"

    def _key(self, task: str, upstream: str, model: str, identity: str | None) -> Key:
        return Key(task, upstream, model, identity or self.identities.now(upstream, model))

    # what happens to it

    def take(self, event: Event) -> bool:
        """Learns from one event; returns whether that changed a standing."""
        record = self._record(event.key, event.side)
        if record is None:
            return False
        if event.kind == "feedback":
            self._rated_tasks.add(event.key.task)
        return self._after(event.key, record, record.take(event, self.limits, self._reference_bad(event)))

    def correct(self, event: Event, old_score: float, stage: int, position: int) -> bool:
        """A feedback replaces the one given before; returns whether that changed a standing."""
        record = self._record(event.key, event.side)
        if record is None:
            return False
        record.correct(event, old_score, stage, position)
        changed = record.reconsider(event.at_s, self.limits, self._reference_bad(event))
        return self._after(event.key, record, changed)

    def _reference_bad(self, event: Event) -> float:
        if self.reference is None or event.kind != "feedback":
            return 0.0
        cloud, model = self.reference
        return reference_bad(self.records.get(Key(event.key.task, cloud, model, model)), self.limits)

    def _record(self, key: Key, side: Side) -> Record | None:
        record = self.records.get(key)
        if record is None and len(self.records) < MAX_KEYS:
            record = self.records[key] = Record(side=side)
        return record

    def _after(self, key: Key, record: Record, changed: bool) -> bool:
        self.dirty.add(key)
        if changed:
            self._on_change(key, record)
        return changed


def share_of(request_id: str, purpose: str) -> float:
    """A number from 0 to 1, the same for the same request and purpose, evenly spread over requests."""
    digest = blake2b(f"{purpose}:{request_id}".encode(), digest_size=8).digest()
    return int.from_bytes(digest) / 2**64
