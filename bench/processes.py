"""The programs a bench stands on, each a process of its own, started as a user would and ended again."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Up", "simulated_cloud", "spillway_up"]

START_S = 30.0


@dataclass(frozen=True)
class Up:
    """A running gateway: its base URL up to ``/v1``, and its process."""

    url: str
    pid: int


@asynccontextmanager
async def simulated_cloud(*arguments: str) -> AsyncIterator[str]:
    """The base URL of a stand-in for a cloud: measured latencies, nothing is sent anywhere."""
    cloud = await _start("-m", "spillway.demo.cloud", "--port", "0", "--until-stdin-closes", *arguments)
    try:
        yield json.loads(await _line(cloud, rb"\{"))["url"]
    finally:
        if cloud.stdin is not None:
            cloud.stdin.close()
        await cloud.wait()


@asynccontextmanager
async def spillway_up(config: Path) -> AsyncIterator[Up]:
    """``spillway up`` with that configuration, while it listens."""
    process = await _start("-m", "spillway", "up", "--config", str(config))
    try:
        found = re.search(rb"http://127\.0\.0\.1:\d+/v1", await _line(process, rb"http://127"))
        assert found is not None
        yield Up(found[0].decode(), process.pid)
    finally:
        process.terminate()
        await process.wait()


async def _start(*arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, *arguments, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )


async def _line(process: asyncio.subprocess.Process, pattern: bytes) -> bytes:
    """The first line of its output that matches; an error when it ends or stays silent before."""
    assert process.stdout is not None
    async with asyncio.timeout(START_S):
        while line := await process.stdout.readline():
            if re.search(pattern, line):
                return line
    raise RuntimeError("it ended before it was ready")
