"""The node under test, alone or behind the gateway: real processes, all ended with their context."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.reality.quiet import children
from spillway.demo.model import verify_demo_model
from spillway.demo.slow_twin import build_slow_twin
from spillway.engines.embedded import EmbeddedEngine
from spillway.measuring.target import Target, find_target

__all__ = ["CONTEXT_TOKENS", "SLOTS", "Gateway", "Limits", "build_twin", "gateway", "node"]

SLOTS = 4
CONTEXT_TOKENS = 512
START_S = 30.0


@dataclass(frozen=True)
class Limits:
    """The objective the gateway is given."""

    ttft_ms: float
    total_ms: float


@dataclass(frozen=True)
class Gateway:
    """A running gateway: its base URL up to ``/v1``, and the process of the engine it started."""

    url: str
    engine_pid: int


def build_twin(folder: Path, blocks: int) -> Path:
    """The demo model made slow by real work."""
    twin = folder / "slow-twin.gguf"
    build_slow_twin(verify_demo_model(), twin, blocks)
    return twin


@asynccontextmanager
async def node(twin: Path) -> AsyncIterator[tuple[Target, EmbeddedEngine]]:
    """The engine on its own, on one thread."""
    engine = EmbeddedEngine(twin, name="twin", slots=SLOTS, context_tokens=CONTEXT_TOKENS, threads=1)
    await engine.start()
    try:
        target = await find_target(engine.url, None, engine.api_key)
        yield target, engine
        await target.close()
    finally:
        await engine.stop()


@asynccontextmanager
async def gateway(folder: Path, twin: Path, profile: Path, limits: Limits) -> AsyncIterator[Gateway]:
    """``spillway up`` as a user starts it, before the same engine and a simulated cloud."""
    cloud = await _start("-m", "spillway.demo.cloud", "--port", "0", "--until-stdin-closes")
    try:
        cloud_url = json.loads(await _line(cloud, rb"\{"))["url"]
        config = folder / "spillway.yaml"
        config.write_text(_config(twin, cloud_url, folder / "reality.db", profile, limits))
        up = await _start("-m", "spillway", "up", "--config", str(config))
        try:
            found = re.search(rb"http://127\.0\.0\.1:\d+/v1", await _line(up, rb"http://127"))
            assert found is not None
            yield Gateway(found[0].decode(), (children(up.pid) or [up.pid])[0])
        finally:
            up.terminate()
            await up.wait()
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


def _config(twin: Path, cloud_url: str, ledger: Path, profile: Path, limits: Limits) -> str:
    return f"""
server: {{port: 0}}
nodes:
  - {{name: box, model: {twin}, slots: {SLOTS}, context_tokens: {CONTEXT_TOKENS}, profile: {profile}}}
clouds:
  - {{name: simulated, url: {cloud_url}, api_key: simulated, models: [gpt-4o-mini], provider: openai,
     simulated: "measured latencies, nothing is sent anywhere"}}
slo:
  default: {{ttft_ms: {limits.ttft_ms}, total_ms: {limits.total_ms}, attainment: 0.95}}
ledger: sqlite:///{ledger}
"""
