"""The node under test, alone or behind the gateway: real processes, all ended with their context."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.processes import simulated_cloud, spillway_up
from bench.reality.quiet import children
from spillway.demo.model import verify_demo_model
from spillway.demo.slow_twin import build_slow_twin
from spillway.engines.embedded import EmbeddedEngine
from spillway.measuring.target import Target, find_target

__all__ = ["CONTEXT_TOKENS", "SLOTS", "Gateway", "Limits", "build_twin", "gateway", "node"]

SLOTS = 4
CONTEXT_TOKENS = 512


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
    engine = EmbeddedEngine(twin, name=twin.stem, slots=SLOTS, context_tokens=CONTEXT_TOKENS, threads=1)
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
    async with simulated_cloud() as cloud_url:
        config = folder / "spillway.yaml"
        config.write_text(_config(twin, cloud_url, folder / "reality.db", profile, limits))
        async with spillway_up(config) as up:
            yield Gateway(up.url, (children(up.pid) or [up.pid])[0])


def _config(twin: Path, cloud_url: str, ledger: Path, profile: Path, limits: Limits) -> str:
    return f"""
server: {{port: 0}}
nodes:
  - {{name: box, model: {twin}, slots: {SLOTS}, context_tokens: {CONTEXT_TOKENS}, profile: {profile}}}
clouds:
  - {{name: simulated, url: {cloud_url}, api_key: simulated, models: [gpt-4o-mini], provider: openai,
     simulated: "measured latencies, nothing is sent anywhere"}}
quality: {{verify: false}}
slo:
  default: {{ttft_ms: {limits.ttft_ms}, total_ms: {limits.total_ms}, attainment: 0.95}}
ledger: sqlite:///{ledger}
"""
