"""Quiet moments on a machine that others use too. Linux only; elsewhere every moment counts as quiet."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

__all__ = ["calm", "children"]


def children(pid: int) -> list[int]:
    """Processes that a process started."""
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def stalled_s() -> float:
    """Seconds in which something on this machine waited for a core, since it started; 0 where unknown."""
    try:
        some = Path("/proc/pressure/cpu").read_text().splitlines()[0]
        return int(some.rpartition("total=")[2]) / 1e6
    except (OSError, ValueError, IndexError):
        return 0.0


async def calm(patience_s: float, share: float = 0.15, looks_s: float = 2.0) -> bool:
    """Whether the machine came to rest in that time: nothing waited for more than that share of a look."""
    ends_s = time.monotonic() + patience_s
    while True:
        before_s = stalled_s()
        await asyncio.sleep(looks_s)
        if stalled_s() - before_s <= share * looks_s:
            return True
        if time.monotonic() > ends_s:
            return False
