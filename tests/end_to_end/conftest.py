"""A whole gateway in this process: assembled from a configuration, with a real engine behind it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from spillway.api.assembly import Assembly
from spillway.api.server import GatewayServer, bind
from spillway.config.schema import Config
from tests.engine_fixtures import build_micro_gguf

Serve = Callable[[Config], Any]


@pytest.fixture(scope="session")
def micro_gguf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random model of a tenth of a million parameters."""
    return build_micro_gguf(tmp_path_factory.mktemp("model") / "micro.gguf", context_tokens=1024)


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """``url = await serve(config)``: an OpenAI base URL; everything ends with the test."""
    async with AsyncExitStack() as stack:

        async def start(config: Config) -> str:
            assembly = Assembly(config)
            stack.push_async_callback(assembly.close)
            await assembly.start()
            sock = bind("127.0.0.1", 0)
            server = GatewayServer(assembly.gateway)
            task = asyncio.create_task(server.serve(sockets=[sock]))

            async def stop() -> None:
                server.should_exit = True
                await task

            stack.push_async_callback(stop)
            return f"http://127.0.0.1:{sock.getsockname()[1]}/v1"

        yield start
