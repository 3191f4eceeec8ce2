"""The gateway as a user starts it, before a real engine and a simulated cloud, each a process of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from bench.processes import simulated_cloud, spillway_up
from spillway.demo.model import verify_demo_model
from spillway.demo.slow_twin import build_slow_twin

__all__ = ["OBJECTIVE_TOTAL_MS", "OBJECTIVE_TTFT_MS", "SLOTS", "scene"]

SLOTS = 2
OBJECTIVE_TTFT_MS = 1500
OBJECTIVE_TOTAL_MS = 4000


@asynccontextmanager
async def scene(folder: Path, blocks: int) -> AsyncIterator[str]:
    """The gateway's base URL up to ``/v1`` while all of it runs."""
    twin = folder / "twin.gguf"
    build_slow_twin(verify_demo_model(), twin, blocks)
    async with simulated_cloud("--messages", "trained:7:20000") as cloud_url:
        config = folder / "spillway.yaml"
        config.write_text(_config(twin, cloud_url, folder))
        async with spillway_up(config) as up:
            yield up.url


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
