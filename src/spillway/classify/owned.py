"""Classes an owner added from examples: a small readable JSON file beside the configuration."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from spillway.errors import ConfigError

__all__ = ["SCHEMA", "OwnTask", "OwnTasks", "read_own_tasks", "write_own_tasks"]

SCHEMA: Final = "spillway.tasks/1"


class OwnTask(msgspec.Struct, frozen=True):
    """One class: how much each feature speaks for it. The features are words of the examples."""

    name: str
    examples: int
    slope: float
    offset: float
    weights: dict[str, float]


class _File(msgspec.Struct):
    schema: str
    tasks: list[OwnTask]


class OwnTasks:
    """The owner's classes, ready to score the features of a request."""

    def __init__(self, tasks: Sequence[OwnTask]) -> None:
        self.tasks = tuple(tasks)
        self._by_feature: dict[str, list[tuple[int, float]]] = {}
        for i, task in enumerate(self.tasks):
            for name, weight in task.weights.items():
                self._by_feature.setdefault(name, []).append((i, weight))

    def best(self, features: Sequence[str]) -> tuple[str, float] | None:
        """The likeliest of the owner's classes and its probability; ``None`` when nothing speaks for any."""
        totals = [0.0] * len(self.tasks)
        names = set(features)
        hits = [pairs for pairs in map(self._by_feature.get, names) if pairs is not None]
        if not hits:
            return None
        for pairs in hits:
            for i, weight in pairs:
                totals[i] += weight
        scale = 1.0 / math.sqrt(len(names))
        odds = [
            task.slope * total * scale + task.offset for task, total in zip(self.tasks, totals, strict=True)
        ]
        best = max(range(len(odds)), key=odds.__getitem__)
        return self.tasks[best].name, 1.0 / (1.0 + math.exp(-max(-30.0, min(30.0, odds[best]))))


def read_own_tasks(path: Path) -> OwnTasks:
    """The classes in a file. ConfigError when it cannot be read or is no such file."""
    try:
        file = msgspec.json.decode(path.read_bytes(), type=_File)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise ConfigError(
            f"{path} is no file of task classes; make one with spillway classify --learn"
        ) from None
    if file.schema != SCHEMA:
        raise ConfigError(f"{path} says schema {file.schema!r} where {SCHEMA!r} is understood; learn again")
    return OwnTasks(file.tasks)


def write_own_tasks(path: Path, own: OwnTasks) -> None:
    """Writes the file whole or not at all. ConfigError when the place cannot be written."""
    raw = msgspec.json.format(msgspec.json.encode(_File(SCHEMA, list(own.tasks))), indent=1)
    part = path.with_name(path.name + ".part")
    try:
        part.write_bytes(raw + b"\n")
        part.replace(path)
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}") from None
