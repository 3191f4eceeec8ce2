"""The trained classifier: facts in, task class with calibrated confidence and P(local answer ok) out.

The weights (``weights/task_model.npz``) come from ``training/task_classifier``. numpy is imported when
they are loaded, not before.
"""

from __future__ import annotations

import math
from functools import lru_cache
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from spillway.classify.facts import PayloadFacts
from spillway.classify.features import features_of, features_of_text
from spillway.classify.owned import OwnTasks

if TYPE_CHECKING:
    import numpy as np

__all__ = ["TASKS", "TaskGuess", "TaskModel", "load_model", "task_of"]

TASKS: Final = (
    "extraction",
    "classification",
    "routing",
    "summarization",
    "rewriting",
    "translation",
    "closed_qa",
    "open_qa",
    "generation",
    "brainstorming",
    "code",
    "math",
    "reasoning",
    "planning",
    "tool_use",
    "conversation",
    "other",
)
"""The classes a guess names; owners may add their own."""

UNSURE_BELOW: Final = 0.4
"""Below this confidence a guess is more often wrong than right (held out) and carries the flag ``unsure``."""
SYSTEM_WEIGHT: Final = 0.8
MATERIAL_WEIGHT: Final = 2.0
MATERIAL_TASKS: Final = frozenset(
    {"extraction", "classification", "routing", "summarization", "rewriting", "translation"}
)
"""Tasks that a system prompt sets once and the user's turns are material for."""
IDLE_TASKS: Final = frozenset({"conversation", "other", "open_qa"})
"""What manners and personas look like: they set no task."""
SURE: Final = 0.6
BEFORE_WEIGHT: Final = 0.5
UNREADABLE: Final = frozenset({"empty", "images_only", "binary"})
WEIGHTS: Final = Path(__file__).parent / "weights" / "task_model.npz"


class TaskGuess(Struct, frozen=True):
    """What kind of work a request is, and whether a local model of the 8B class would do it well enough."""

    task: str
    confidence: float
    """Calibrated chance that ``task`` is right; 0 when there was nothing to read."""
    p_local_ok: float | None
    """Chance that a local answer is good enough; ``None`` when there was nothing to read."""
    flags: tuple[str, ...] = ()
    """The facts' flags; ``unsure`` at low confidence, ``own_class`` when the owner's examples decided."""

    @property
    def is_unsure(self) -> bool:
        """Whether nobody should rely on the class."""
        return "unsure" in self.flags


class TaskModel:
    """Weights in memory (about 5 MB); ``guess`` is deterministic and never raises on any facts."""

    def __init__(self, arrays: dict[str, np.ndarray[Any, Any]], own: OwnTasks | None = None) -> None:
        import numpy as np

        names = bytes(arrays["names"]).decode("utf-8").split("\n")
        self._index = {name: i for i, name in enumerate(names)}
        scales = arrays["scales"].astype(np.float32)
        known = arrays["weights"].astype(np.float32) * scales[:, None]
        self._weights = np.vstack([known, np.zeros((1, known.shape[1]), np.float32)])
        self._unknown = len(names)
        self._bias: list[float] = arrays["bias"].astype(float).tolist()
        self._kinds = bytes(arrays["kinds"]).decode("utf-8").split("\n")
        self._task_of_kind = [TASKS.index(kind.partition(".")[0]) for kind in self._kinds]
        self._calibration: list[list[float]] = arrays["calibration"].astype(float).tolist()
        self._own = own
        self._vector, self._float = np.array, np.float32

    @property
    def kinds(self) -> tuple[str, ...]:
        """The learned kinds, finer than ``TASKS``."""
        return tuple(self._kinds)

    def guess(self, facts: PayloadFacts) -> TaskGuess:
        """The likeliest class of a request."""
        if not UNREADABLE.isdisjoint(facts.flags):
            return TaskGuess("other", 0.0, None, (*facts.flags, "unsure"))
        features = features_of(facts)
        scores = self._scores(features)
        p_local_ok = _logistic(scores.pop())
        if facts.system:
            self._add_system(scores, facts.system)
        if facts.before:
            self._add(scores, self._scores(features_of_text(facts.before)), BEFORE_WEIGHT)
        task, confidence, flags = *self._likeliest(scores), facts.flags
        if self._own is not None:
            owned = self._own.best(features[0])
            if owned is not None and owned[1] > 0.5:
                task, confidence, flags = owned[0], owned[1], (*flags, "own_class")
        if confidence < UNSURE_BELOW:
            flags = (*flags, "unsure")
        return TaskGuess(task, round(confidence, 4), round(p_local_ok, 4), flags)

    def probabilities(self, facts: PayloadFacts) -> dict[str, float]:
        """Every learned kind's calibrated probability, the last turn's words alone."""
        scores = self._scores(features_of(facts))[:-1]
        return dict(zip(self._kinds, _softmax(scores), strict=True))

    def explain(self, facts: PayloadFacts, task: str, count: int = 8) -> list[tuple[str, float]]:
        """The features that speak most for a class, with their pull on its log-odds against the mean."""
        features = [name for name in dict.fromkeys(features_of(facts)[0]) if name in self._index]
        columns = [i for i, kind in enumerate(self._kinds) if kind.partition(".")[0] == task]
        rows = self._weights[[self._index[name] for name in features], : len(self._kinds)]
        gain = (rows[:, columns].max(axis=1) - rows.mean(axis=1)) / math.sqrt(max(1, len(features)))
        ranked = sorted(zip(features, gain.tolist(), strict=True), key=lambda pair: -pair[1])
        return [(name, round(value, 3)) for name, value in ranked[:count]]

    def _scores(self, features: tuple[list[str], list[float]]) -> list[float]:
        """Log-odds of each kind, then of a good local answer."""
        rows = list(map(self._index.get, features[0], repeat(self._unknown)))
        values = self._vector(features[1], self._float)
        total: list[float] = (values @ self._weights.take(rows, axis=0)).tolist()
        return [bias + value for bias, value in zip(self._bias, total, strict=True)]

    def _add_system(self, scores: list[float], text: str) -> None:
        """Adds what a system prompt says; one that makes the user's words mere material outweighs them."""
        others = self._scores(features_of_text(text))
        task, confidence = self._likeliest(others[:-1])
        if confidence >= SURE and task not in IDLE_TASKS:
            self._add(scores, others, MATERIAL_WEIGHT if task in MATERIAL_TASKS else SYSTEM_WEIGHT)

    def _add(self, scores: list[float], others: list[float], weight: float) -> None:
        """Adds another text's log-odds, beyond what is true of any text."""
        for i, (other, bias) in enumerate(zip(others[:-1], self._bias, strict=False)):
            scores[i] += weight * (other - bias)

    def _likeliest(self, scores: list[float]) -> tuple[str, float]:
        """The task with the most probability, and the calibrated chance that it is right."""
        kinds = _softmax(scores)
        totals = [0.0] * len(TASKS)
        for task, p in zip(self._task_of_kind, kinds, strict=True):
            totals[task] += p
        best = max(range(len(TASKS)), key=totals.__getitem__)
        top = min(max(totals[best], 1e-4), 1 - 1e-4)
        slope, offset = self._calibration[max(range(len(kinds)), key=kinds.__getitem__)]
        return TASKS[best], _logistic(slope * math.log(top / (1 - top)) + offset)


def _logistic(z: float) -> float:
    return 1.0 / (1.0 + math.exp(-max(-30.0, min(30.0, z))))


def _softmax(scores: list[float]) -> list[float]:
    top = max(scores)
    weights = [math.exp(score - top) for score in scores]
    total = sum(weights)
    return [weight / total for weight in weights]


def load_model(own: OwnTasks | None = None, path: Path = WEIGHTS) -> TaskModel:
    """The shipped model, with the owner's classes if given. Reads one file of about 2 MB."""
    import numpy as np

    with np.load(path, allow_pickle=False) as arrays:
        return TaskModel(dict(arrays), own)


@lru_cache(maxsize=1)
def _shipped() -> TaskModel:
    return load_model()


def task_of(facts: PayloadFacts) -> TaskGuess:
    """The shipped model's guess; the first call loads it (some 100 ms)."""
    return _shipped().guess(facts)
