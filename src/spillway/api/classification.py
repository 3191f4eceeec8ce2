"""The task class of a request, read from its payload when nobody stated it and it matters."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from spillway.classify import TaskGuess, TaskModel, facts_of, load_model, read_own_tasks
from spillway.classify.facts import PayloadFacts
from spillway.vocabulary import RequestFacts

__all__ = ["Classifier"]

SHORT_WORDS: Final = 120
SHORT_TOKENS: Final = 200
"""Up to this much a generation is a short one (guess: a paragraph)."""
VAGUE: Final = frozenset({"conversation", "other", "open_qa"})
"""What a payload looks like whose words set no task."""
UNSURE: Final = "other"
"""Where the model is unsure the class is none that is trusted by default."""


class Classifier:
    """Loads its model off the event loop; a request that comes before it is there waits for it."""

    def __init__(self, own_tasks: Path | None = None) -> None:
        """``own_tasks`` is the owner's file of classes learnt from examples."""
        self._own_tasks = own_tasks
        self._loading: asyncio.Future[TaskModel] | None = None
        self._model: TaskModel | None = None

    def start(self) -> None:
        """Begins to load."""
        self._loading = asyncio.ensure_future(asyncio.to_thread(self._load))

    async def close(self) -> None:
        """Waits for a load that is still going on."""
        if self._loading is not None:
            await asyncio.gather(self._loading, return_exceptions=True)

    async def classified(self, facts: RequestFacts, raw: bytes) -> RequestFacts:
        """The facts with task class and the chance that a local answer is good enough."""
        if self._model is None:
            if self._loading is None:
                self.start()
            assert self._loading is not None
            self._model = await asyncio.shield(self._loading)
        payload = facts_of(_body(raw))
        guess = self._model.guess(payload)
        return msgspec.structs.replace(
            facts,
            task=_name(guess, payload, facts),
            language=payload.language,
            p_local_ok=guess.p_local_ok,
        )

    def _load(self) -> TaskModel:
        own = read_own_tasks(self._own_tasks) if self._own_tasks is not None else None
        return load_model(own)


def _body(raw: bytes) -> Mapping[str, Any]:
    """The body once more, this time whole; it has been found to be an object already."""
    body: Mapping[str, Any] = msgspec.json.decode(raw)
    return body


def _name(guess: TaskGuess, payload: PayloadFacts, facts: RequestFacts) -> str:
    if payload.schema == "json_schema" and (guess.is_unsure or guess.task in VAGUE):
        # words say little, but whoever hands in a schema wants fields filled, or one of a few labels
        return "extraction" if payload.schema_fields > 1 else "classification"
    if guess.is_unsure:
        return UNSURE
    if guess.task == "generation" and _is_short(payload, facts):
        return "short_generation"
    return guess.task


def _is_short(payload: PayloadFacts, facts: RequestFacts) -> bool:
    limit = facts.max_output_tokens
    if limit is not None and limit <= SHORT_TOKENS:
        return True
    return payload.wanted_words is not None and payload.wanted_words <= SHORT_WORDS
