"""The task class of a request, read from its payload when nobody stated it and it matters."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from spillway.classify import TaskModel, facts_of, load_model, read_own_tasks, routed_as
from spillway.vocabulary import RequestFacts

__all__ = ["Classifier"]


LARGEST_BYTES: Final = 512 * 1024
"""Reading a larger body once more would hold up the others for more than 2 ms; it is long or full of images,
and goes by its size and needs."""
UNREAD: Final = "other"
"""The class of what was not read: none that is trusted by default."""


class Classifier:
    """Loads its model off the event loop; a request that comes before it is there waits for it."""

    def __init__(self, own_tasks: Path | None = None) -> None:
        """``own_tasks`` is the owner's file of classes learnt from examples; ConfigError when it is none."""
        self._own_tasks = read_own_tasks(own_tasks) if own_tasks is not None else None
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
        if len(raw) > LARGEST_BYTES:
            return msgspec.structs.replace(facts, task=UNREAD)
        if self._model is None:
            if self._loading is None:
                self.start()
            assert self._loading is not None
            self._model = await asyncio.shield(self._loading)
        payload = facts_of(_body(raw))
        guess = self._model.guess(payload)
        return msgspec.structs.replace(
            facts,
            task=routed_as(guess, payload),
            language=payload.language,
            p_local_ok=guess.p_local_ok,
        )

    def _load(self) -> TaskModel:
        return load_model(self._own_tasks)


def _body(raw: bytes) -> Mapping[str, Any]:
    """The body once more, this time whole; it has been found to be an object already."""
    body: Mapping[str, Any] = msgspec.json.decode(raw)
    return body
