"""How much a process on this machine was disturbed: time it was ready to run and had to wait for a core."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["Waits", "waits", "watch"]

WORKING_RATIO = 0.5
"""Threads that ran at least so long as the busiest one do the work; what others wait for, an engine's network
threads above all, which wake for every token, delays nothing (guess)."""


@dataclass(frozen=True)
class Waits:
    """Seconds on a core, and seconds waiting for one, of each thread of a process since it began."""

    threads: dict[int, tuple[float, float]] = field(default_factory=dict)
    """By number of the thread."""

    def since(self, before: Waits) -> float:
        """Share of the time in which its working threads wanted a core and had none; 0 if it did nothing."""
        spent = [self._spent(thread, before) for thread in self.threads]
        busiest_s = max((ran_s for ran_s, _ in spent), default=0.0)
        working = [pair for pair in spent if pair[0] >= WORKING_RATIO * busiest_s]
        ran_s = sum(ran_s for ran_s, _ in working)
        waited_s = sum(waited_s for _, waited_s in working)
        return waited_s / (ran_s + waited_s) if ran_s + waited_s > 0 else 0.0

    def _spent(self, thread: int, before: Waits) -> tuple[float, float]:
        ran_s, waited_s = self.threads[thread]
        ran_before_s, waited_before_s = before.threads.get(thread, (0.0, 0.0))
        return ran_s - ran_before_s, waited_s - waited_before_s


def waits(pid: int) -> Waits:
    """What Linux has counted so far; nothing where it is not counted."""
    threads = {}
    for file in Path(f"/proc/{pid}/task").glob("*/schedstat"):
        try:
            on_core, ready, _ = file.read_text().split()
        except (OSError, ValueError):
            continue
        threads[int(file.parent.name)] = (int(on_core) / 1e9, int(ready) / 1e9)
    return Waits(threads)


def watch(pid: int) -> Callable[[], float]:
    """A function that says which share of the time since its last call the process had to wait."""
    last = waits(pid)

    def share() -> float:
        nonlocal last
        before, last = last, waits(pid)
        return last.since(before)

    return share
