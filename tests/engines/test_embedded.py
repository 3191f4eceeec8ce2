"""The embedded engine as a child process: real llama.cpp, real sockets, real deaths."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from spillway.engines.embedded import EmbeddedEngine
from spillway.engines.http_client import HttpClient, Origin, fetch_json
from spillway.errors import EngineUnavailable
from tests.engine_fixtures import build_micro_gguf, needs_engine

pytestmark = [pytest.mark.engine, needs_engine]


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[EmbeddedEngine]:
    """A running engine with a random model."""
    engine = EmbeddedEngine(
        build_micro_gguf(tmp_path / "m.gguf"), name="micro", slots=2, context_tokens=256, threads=1
    )
    await engine.start()
    yield engine
    await engine.stop()


def bearer(engine: EmbeddedEngine) -> list[tuple[bytes, bytes]]:
    """The header with the engine's random key."""
    return [(b"authorization", b"Bearer " + engine.api_key.encode())]


async def test_serves_on_a_private_socket_with_a_key(engine: EmbeddedEngine) -> None:
    """It answers over its socket, only with its key, with the context per slot that was asked for."""
    client = HttpClient(Origin.parse(engine.url))
    assert engine.url.startswith("unix:///")
    assert (await fetch_json(client, "/v1/models"))[0] == 401
    status, props = await fetch_json(client, "/props", bearer(engine))
    assert status == 200
    assert isinstance(props, dict)
    assert props["total_slots"] == 2
    assert props["default_generation_settings"]["n_ctx"] == 256
    await client.close()


async def test_restarts_after_a_crash(engine: EmbeddedEngine) -> None:
    """A killed child comes back on the same address by itself."""
    ready = asyncio.Event()
    engine._on_state = lambda state: ready.set() if state == "ready" else None
    assert engine.pid
    os.kill(engine.pid, signal.SIGKILL)
    async with asyncio.timeout(20):
        await ready.wait()
    client = HttpClient(Origin.parse(engine.url))
    assert (await fetch_json(client, "/health"))[0] == 200
    assert engine.restarts == 1
    await client.close()


async def test_missing_and_broken_models_say_so(tmp_path: Path) -> None:
    """A file that is not there or is no model gives one sentence that names it."""
    with pytest.raises(EngineUnavailable, match="no model file"):
        await EmbeddedEngine(tmp_path / "none.gguf", name="x").start()
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"not a model")
    engine = EmbeddedEngine(broken, name="x")
    with pytest.raises(EngineUnavailable, match=r"broken\.gguf"):
        await engine.start()
    assert engine.state == "stopped"


PARENT = """
import asyncio, sys
from pathlib import Path
from spillway.engines.embedded import EmbeddedEngine
async def main():
    engine = EmbeddedEngine(Path(sys.argv[1]), name="x", slots=1, context_tokens=256, threads=1)
    await engine.start()
    print(engine.pid, flush=True)
    await asyncio.sleep(60)
asyncio.run(main())
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
async def test_no_orphan_after_a_killed_parent(tmp_path: Path) -> None:
    """When the parent is killed outright, the engine ends too."""
    model = build_micro_gguf(tmp_path / "m.gguf")
    parent = subprocess.Popen(  # noqa: ASYNC220 - the test itself is the only task
        [sys.executable, "-c", PARENT, str(model)], stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout
    child = int(await asyncio.to_thread(parent.stdout.readline))
    parent.kill()
    parent.wait()
    parent.stdout.close()
    async with asyncio.timeout(10):
        while _is_alive(child):  # noqa: ASYNC110 - a process that is not our child sends no event
            await asyncio.sleep(0.02)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] != "Z"


async def test_generates(engine: EmbeddedEngine) -> None:
    """It completes a chat over the same protocol as any llama-server."""
    client = HttpClient(Origin.parse(engine.url))
    body = json.dumps({"messages": [{"role": "user", "content": "hi"}], "max_tokens": 8}).encode()
    status, answer = await fetch_json(
        client, "/v1/chat/completions", bearer(engine), method="POST", body=body, timeout_s=30
    )
    assert status == 200
    assert isinstance(answer, dict)
    assert answer["usage"]["completion_tokens"] >= 1
    await client.close()
