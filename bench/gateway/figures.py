"""Arithmetic on what was measured; nothing is left out of any of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

__all__ = ["cpu_s", "quantile", "rss_mb", "tree"]

TICKS_PER_S = 100


def quantile(values: Sequence[float], share: float) -> float | None:
    """The value at that share of the sorted list; ``None`` of nothing.

    >>> quantile([3.0, 1.0, 2.0], 0.5)
    2.0
    """
    if not values:
        return None
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def tree(pid: int) -> list[int]:
    """The process and all below it."""
    found = [pid]
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in task.read_text().split():
            found += tree(int(child))
    return found


def cpu_s(pid: int) -> float:
    """CPU seconds used so far by the tree, in user and kernel mode."""
    total = 0
    for each in tree(pid):
        fields = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / TICKS_PER_S


def rss_mb(pid: int) -> float:
    """Resident memory of the tree in MB; pages shared between processes count for each."""
    total = 0
    for each in tree(pid):
        for line in Path(f"/proc/{each}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                total += int(line.split()[1])
    return total / 1024
