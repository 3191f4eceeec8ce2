"""How much a process on this machine was disturbed: time it was ready to run and had to wait for a core."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Waits", "waits", "watch"]


@dataclass(frozen=True)
class Waits:
    """Seconds on a core, and seconds waiting for one, of all threads of a process since they began."""

    ran_s: float
    waited_s: float

    def since(self, before: Waits) -> float:
        """Share of the time in which it wanted a core and had none; 0 when it did nothing."""
        ran_s, waited_s = self.ran_s - before.ran_s, self.waited_s - before.waited_s
        return waited_s / (ran_s + waited_s) if ran_s + waited_s > 0 else 0.0


def waits(pid: int) -> Waits:
    """What Linux has counted so far; zeros where nothing is counted."""
    ran = waited = 0
    for file in Path(f"/proc/{pid}/task").glob("*/schedstat"):
        try:
            on_core, ready, _ = file.read_text().split()
        except (OSError, ValueError):
            continue
        ran, waited = ran + int(on_core), waited + int(ready)
    return Waits(ran / 1e9, waited / 1e9)


def watch(pid: int) -> Callable[[], float]:
    """A function that says which share of the time since its last call the process had to wait."""
    last = waits(pid)

    def share() -> float:
        nonlocal last
        before, last = last, waits(pid)
        return last.since(before)

    return share
