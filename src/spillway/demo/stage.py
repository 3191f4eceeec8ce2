"""Everything the demo needs, started and stopped together: a real engine, a simulated cloud, the gateway."""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from contextlib import AsyncExitStack
from decimal import Decimal
from pathlib import Path
from typing import Self

from pydantic import SecretStr

from spillway.api.assembly import Assembly
from spillway.api.server import GatewayServer, bind
from spillway.config.quality import QualityConfig
from spillway.config.schema import (
    CloudConfig,
    CloudModelConfig,
    Config,
    HardwareConfig,
    NodeConfig,
    RoutingConfig,
    ServerConfig,
    SloConfig,
)
from spillway.demo.model import verify_demo_model
from spillway.demo.slow_twin import build_slow_twin
from spillway.errors import SpillwayError

__all__ = ["ASSUMED_HARDWARE", "CLOUD_MODEL", "SEED", "Stage"]

CLOUD_MODEL = "gpt-4o-mini"
SEED = 7
MESSAGES_KNOWN = 20_000
"""Messages whose answers the simulated cloud knows."""
SLOTS = 2
CONTEXT_TOKENS = 256
EXTRA_BLOCKS = 60
"""Identity blocks that make the one-million-parameter model about as slow as a real one, by real work."""
ASSUMED_HARDWARE = HardwareConfig(
    price_usd=Decimal(2000), life_months=Decimal(48), idle_w=Decimal(8), active_w=Decimal(40)
)
"""What the demo takes the node to cost (guess): this machine's own price and draw are not known."""
ASSUMED_USD_PER_KWH = Decimal("0.27")
LEAST_CONFIDENCE = 0.98
"""Of the least sure token: keeps some 80 of 100 answers, all exact (``python -m bench.verify.shop``)."""
CLOUD_START_S = 20.0


class Stage:
    """``async with Stage(port) as stage``: then ``stage.url`` is an OpenAI base URL."""

    def __init__(self, port: int = 0) -> None:
        self._port = port
        self._stack = AsyncExitStack()
        self.url = ""
        self.ledger_url = ""
        self.serving: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Starts everything, or nothing stays behind."""
        try:
            await self._start()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stops everything."""
        await self._stack.aclose()

    async def _start(self) -> None:
        folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="spillway-demo-")))
        twin = folder / "shop-slow.gguf"
        await asyncio.to_thread(build_slow_twin, verify_demo_model(), twin, EXTRA_BLOCKS)
        cloud_url = await self._start_cloud()
        self.ledger_url = f"sqlite:///{folder / 'demo.db'}"
        self.assembly = Assembly(demo_config(twin, cloud_url, self.ledger_url, self._port))
        self._stack.push_async_callback(self.assembly.close)
        await self.assembly.start()
        await self.assembly.prices.is_known.wait()
        sock = bind("127.0.0.1", self._port)
        self.server = GatewayServer(self.assembly.gateway)
        self.serving = asyncio.create_task(self.server.serve(sockets=[sock]))
        self._stack.push_async_callback(self._stop_serving)
        self.url = f"http://127.0.0.1:{sock.getsockname()[1]}/v1"

    async def _start_cloud(self) -> str:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "spillway.demo.cloud", "--port", "0", "--until-stdin-closes"),
            *("--messages", f"trained:{SEED}:{MESSAGES_KNOWN}"),
            *("--messages", f"unseen_phrasings:{SEED}:{MESSAGES_KNOWN}"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            start_new_session=True,  # a terminal's Ctrl-C is for the demo alone, which closes stdin
        )

        async def end() -> None:
            if process.stdin is not None:
                process.stdin.close()
            await process.wait()

        self._stack.push_async_callback(end)
        assert process.stdout is not None
        try:
            line = await asyncio.wait_for(process.stdout.readline(), CLOUD_START_S)
        except TimeoutError:
            line = b""
        if not line:
            raise SpillwayError("the simulated cloud did not start")
        return str(json.loads(line)["url"])

    async def _stop_serving(self) -> None:
        self.server.should_exit = True
        if self.serving is not None:
            await self.serving


def demo_config(model: Path, cloud_url: str, ledger_url: str, port: int) -> Config:
    """One node with two slots, and a stand-in for a cloud with real list prices."""
    node = NodeConfig(
        name="box",
        model=str(model),
        slots=SLOTS,
        context_tokens=CONTEXT_TOKENS,
        hardware=ASSUMED_HARDWARE,
    )
    cloud = CloudConfig(
        name="simulated",
        url=cloud_url,
        api_key=SecretStr("simulated"),
        models=(CloudModelConfig(name=CLOUD_MODEL, context_tokens=128_000),),
        provider="openai",
        simulated="measured latencies, real list prices, nothing is sent anywhere",
    )
    return Config(
        server=ServerConfig(port=port),
        nodes=(node,),
        clouds=(cloud,),
        slo={"default": SloConfig(ttft_ms=1500, total_ms=4000)},
        routing=RoutingConfig(reference=f"simulated/{CLOUD_MODEL}"),
        quality=QualityConfig(min_confidence={"extraction": LEAST_CONFIDENCE}),
        electricity_usd_per_kwh=ASSUMED_USD_PER_KWH,
        ledger=ledger_url,
    )
