"""The promise of the ledger: an answer that was received is in it, even if the gateway dies right then."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from spillway.ledger.store import LedgerStore
from spillway.testing.fake_upstream import FakeUpstream
from spillway.testing.raw_client import MESSAGES, raw_connection

ROUNDS = 20
CLIENTS = 12

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")]


def _config(folder: Path, upstream_url: str, port: int) -> Path:
    path = folder / "spillway.yaml"
    path.write_text(
        f"""
server: {{port: {port}}}
clouds:
  - {{name: fake, url: "{upstream_url}", models: [fake-model], simulated: test double}}
ledger: sqlite:///{folder / "ledger.db"}
"""
    )
    return path


@asynccontextmanager
async def _gateway(config: Path, port: int) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "spillway", "up", "--config", str(config)),
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(20):
            while b"ready" not in await process.stdout.readline():
                pass
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _keep_asking(port: int, number: int, acknowledged: list[str], is_stream: bool) -> None:
    """Asks until the connection dies; notes the id of every answer that arrived whole."""
    body = {"model": "auto", "messages": MESSAGES, "stream": is_stream}
    async with raw_connection(port) as client:
        for count in range(10_000):
            name = f"{number}-{count}"
            client.send(body, headers=(("x-request-id", name),))
            wire = await client.answer()
            if wire.ending != "complete" or wire.status != 200:
                return
            acknowledged.append(name)


async def test_acknowledged_requests_survive_sigkill(tmp_path: Path) -> None:
    """Twenty kills under load, at random moments: every answer a client got in full has its row."""
    generator = random.Random(11)
    async with FakeUpstream() as upstream:
        for round_number in range(ROUNDS):
            folder = tmp_path / str(round_number)
            folder.mkdir()
            port = _free_port()
            acknowledged: list[str] = []
            async with _gateway(_config(folder, upstream.url, port), port) as process:
                asking = [
                    asyncio.create_task(_keep_asking(port, number, acknowledged, number % 2 == 0))
                    for number in range(CLIENTS)
                ]
                while len(acknowledged) < CLIENTS and not all(task.done() for task in asking):  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
                await asyncio.sleep(generator.uniform(0.0, 0.3))  # the moment of the kill has to be arbitrary
                os.kill(process.pid, signal.SIGKILL)
                await asyncio.gather(*asking, return_exceptions=True)
            stored = _stored(folder / "ledger.db")
            assert len(acknowledged) >= CLIENTS
            assert set(acknowledged) <= stored


def _stored(path: Path) -> set[str]:
    store = LedgerStore.open(f"sqlite:///{path}", must_exist=True)
    names = {str(row[0]) for row in store.query("SELECT client_request_id FROM requests")}
    store.close()
    return names


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])
