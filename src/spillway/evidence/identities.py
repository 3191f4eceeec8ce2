"""Which model identity answered under a name, now and before."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable

from spillway.evidence.events import Key
from spillway.evidence.record import Record
from spillway.vocabulary import ModelFacts

__all__ = ["Identities"]

KEPT = 50
"""Changes remembered per model: feedback older than that many changes goes to the oldest of them."""


class Identities:
    """The identities of every model by upstream, with the time each was first seen."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, str], list[tuple[float, str]]] = {}

    def load(self, records: Iterable[tuple[Key, Record]]) -> None:
        """Takes over what the records tell of earlier times."""
        dated = [(record.first_at_s, key) for key, record in records if record.first_at_s is not None]
        for at_s, key in sorted(dated):
            self._add(key.upstream, key.model, key.identity, at_s)

    def note(self, upstream: str, models: Iterable[ModelFacts], at_s: float) -> None:
        """What an upstream serves now; cheap when nothing changed, so every probe may say so.

        A model whose identity is not known yet, as while its file is being read, is taken for the one before.
        """
        for model in models:
            if model.identity is None and (upstream, model.name) in self._seen:
                continue
            self._add(upstream, model.name, model.identity or model.name, at_s)

    def now(self, upstream: str, model: str) -> str:
        """The identity that answers today; the model's name when nobody told."""
        seen = self._seen.get((upstream, model))
        return seen[-1][1] if seen else model

    def at(self, upstream: str, model: str, at_s: float) -> str:
        """The identity that answered at that time, as far as is known."""
        seen = self._seen.get((upstream, model))
        if not seen:
            return model
        place = bisect_right(seen, at_s, key=lambda entry: entry[0])
        return seen[max(0, place - 1)][1]

    def _add(self, upstream: str, model: str, identity: str, at_s: float) -> None:
        seen = self._seen.setdefault((upstream, model), [])
        if not seen or seen[-1][1] != identity:
            seen.append((at_s, identity))
            del seen[:-KEPT]
