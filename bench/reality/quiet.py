"""Quiet moments on a machine that others use too. Linux only; elsewhere every moment counts as quiet."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

from spillway.measuring.waits import waits

__all__ = ["Disturbed", "calm", "children", "undisturbed"]

T = TypeVar("T")


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


class Disturbed(Exception):
    """The watched process waited too long for a core."""


async def undisturbed(work: Coroutine[Any, Any, T], pid: int, limit_ratio: float, grace_s: float = 4.0) -> T:
    """What ``work`` returns; Disturbed, and the work is cancelled, once the process waits too much."""
    task = asyncio.create_task(work)
    began_s, began = time.monotonic(), waits(pid)
    try:
        while not task.done():
            await asyncio.wait([task], timeout=1.0)
            if time.monotonic() - began_s > grace_s and waits(pid).since(began) > limit_ratio:
                raise Disturbed
        return task.result()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
