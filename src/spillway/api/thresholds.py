"""Confidence thresholds by task class and model identity: set by the owner, or learned from comparisons."""

from __future__ import annotations

import logging
from collections.abc import Mapping

import msgspec

from spillway.errors import LedgerError
from spillway.evidence.events import Key
from spillway.ledger.store import LedgerStore
from spillway.ledger.writer import LedgerWriter
from spillway.verify.online import OnlineThreshold

__all__ = ["Thresholds"]

log = logging.getLogger("spillway.evidence")

SAVE_EVERY = 20
"""Checked answers after which a threshold is stored again; so many may be lost when the process is killed."""
MAX_KEYS = 1000
COLUMNS = ("task", "upstream", "model", "identity", "value", "checked", "state")
UPSERT = f"""
    INSERT INTO thresholds ({", ".join(COLUMNS)}) VALUES ({", ".join("?" * len(COLUMNS))})
    ON CONFLICT (task, upstream, model, identity)
    DO UPDATE SET value = excluded.value, checked = excluded.checked, state = excluded.state
"""


class Thresholds:
    """What the owner set wins; where nothing is set, what was learned; before that ``None``: no such gate."""

    def __init__(
        self, owner: Mapping[str, float], max_error: float, least_share: float, writer: LedgerWriter
    ) -> None:
        """``owner`` maps task classes to least confidences; ``max_error`` bounds what learned ones keep;
        ``least_share`` is the share of kept answers that is compared."""
        self._owner = dict(owner)
        self._max_error = max_error
        self._least_share = least_share or 1.0
        self._writer = writer
        self._learned: dict[Key, OnlineThreshold] = {}

    async def start(self) -> None:
        """What was learned before is known again; what no longer fits the settings is forgotten."""
        try:
            rows = await self._writer.ask(_read)
        except LedgerError as error:
            log.warning("confidence thresholds start empty: %s", error.message)
            return
        for key, state in rows:
            learned = self._new()
            if learned.restore(state):
                self._learned[key] = learned

    def close(self) -> None:
        """Everything learned is with the ledger's writer."""
        for key in self._learned:
            self._save(key)

    def value(self, key: Key) -> float | None:
        """The least confidence to keep; ``None`` where nothing is set and nothing learned yet."""
        if (given := self._owner.get(key.task)) is not None:
            return given
        learned = self._learned.get(key)
        return None if learned is None else learned.gate_value

    def learn(self, key: Key, confidence: float, correctness: float, share: float) -> None:
        """One more answer was compared with the reference; ``share`` is how likely that was to happen."""
        learned = self._learned.get(key)
        if learned is None:
            if len(self._learned) >= MAX_KEYS:
                return
            learned = self._learned[key] = self._new()
        before = learned.value
        after = learned.update(confidence, min(1.0, correctness), share=share)
        if after != before or learned.n % SAVE_EVERY == 0:
            self._save(key)

    def _new(self) -> OnlineThreshold:
        return OnlineThreshold(alpha=self._max_error, least_share=self._least_share)

    def _save(self, key: Key) -> None:
        learned = self._learned[key]
        state = msgspec.json.encode(learned.to_state()).decode()
        row = (*key, learned.value, learned.n, state)
        self._writer.post(lambda store: store.write([(UPSERT, [row])]))


def _read(store: LedgerStore) -> list[tuple[Key, dict[str, object]]]:
    rows = store.query("SELECT task, upstream, model, identity, state FROM thresholds")
    return [(Key(*map(str, key)), msgspec.json.decode(str(state))) for *key, state in rows]
