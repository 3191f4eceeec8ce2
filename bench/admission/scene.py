"""The gateway as a user starts it, before a real engine and a simulated cloud, each a process of its own."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from spillway.demo.model import verify_demo_model
from spillway.demo.slow_twin import build_slow_twin

__all__ = ["OBJECTIVE_TOTAL_MS", "OBJECTIVE_TTFT_MS", "SLOTS", "scene"]

SLOTS = 2
OBJECTIVE_TTFT_MS = 1500
OBJECTIVE_TOTAL_MS = 4000
START_S = 20.0


@asynccontextmanager
async def scene(folder: Path, blocks: int) -> AsyncIterator[str]:
    """The gateway's base URL up to ``/v1`` while all of it runs."""
    twin = folder / "twin.gguf"
    build_slow_twin(verify_demo_model(), twin, blocks)
    cloud = await _start(
        "-m", "spillway.demo.cloud", "--port", "0", "--until-stdin-closes", "--messages", "trained:7:20000"
    )
    try:
        cloud_url = json.loads(await _line(cloud, rb"\{"))["url"]
        config = folder / "spillway.yaml"
        config.write_text(_config(twin, cloud_url, folder))
        gateway = await _start("-m", "spillway", "up", "--config", str(config))
        try:
            found = re.search(rb"http://127\.0\.0\.1:\d+/v1", await _line(gateway, rb"http://127"))
            assert found is not None
            yield found[0].decode()
        finally:
            gateway.terminate()
            await gateway.wait()
    finally:
        if cloud.stdin is not None:
            cloud.stdin.close()
        await cloud.wait()


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


def _config(twin: Path, cloud_url: str, folder: Path) -> str:
    return f"""
server: {{port: 0}}
nodes:
  - {{name: box, model: {twin}, slots: {SLOTS}, context_tokens: 256}}
clouds:
  - {{name: simulated, url: {cloud_url}, api_key: simulated, models: [gpt-4o-mini], provider: openai,
     simulated: "measured latencies, nothing is sent anywhere"}}
slo:
  default: {{ttft_ms: {OBJECTIVE_TTFT_MS}, total_ms: {OBJECTIVE_TOTAL_MS}, attainment: 0.95}}
ledger: sqlite:///{folder / "bench.db"}
"""
