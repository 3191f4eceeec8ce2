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
from spillway.engines.http_client import HttpClient, fetch_json
from spillway.engines.wire import Origin
from spillway.errors import EngineUnavailable
from tests.engine_fixtures import build_micro_bert, build_micro_gguf, needs_engine

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
    with pytest.raises(EngineUnavailable, match=r"broken\.gguf cannot be served: it is not a GGUF file"):
        await engine.start()
    assert engine.state == "stopped"
    assert engine.pid is None


async def test_a_model_cut_short_says_so(tmp_path: Path) -> None:
    """A download that stopped half way is refused with the engine's reason."""
    whole = build_micro_gguf(tmp_path / "m.gguf").read_bytes()
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(EngineUnavailable, match=r"cut\.gguf cannot be served"):
        await EmbeddedEngine(cut, name="x", threads=1).start()


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


async def test_embeds_when_the_model_is_made_for_it(tmp_path: Path) -> None:
    """An embedding model is served as one without being told."""
    engine = EmbeddedEngine(
        build_micro_bert(tmp_path / "b.gguf"), name="e", slots=1, context_tokens=128, threads=1
    )
    await engine.start()
    client = HttpClient(Origin.parse(engine.url))
    body = json.dumps({"input": ["hello world", "a " * 50]}).encode()
    status, answer = await fetch_json(client, "/v1/embeddings", bearer(engine), method="POST", body=body)
    await client.close()
    await engine.stop()
    assert status == 200
    assert isinstance(answer, dict)
    assert [len(item["embedding"]) for item in answer["data"]] == [32, 32]


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGTERM])
async def test_signals_to_the_whole_group_leave_it_to_the_gateway(
    engine: EmbeddedEngine, signal_number: signal.Signals
) -> None:
    """Ctrl-C reaches the engine too, and must not cut the answers the gateway still drains."""
    pid = engine.pid
    assert pid
    os.kill(pid, signal_number)
    client = HttpClient(Origin.parse(engine.url))
    body = json.dumps({"prompt": "x", "max_tokens": 32, "ignore_eos": True}).encode()
    status, _ = await fetch_json(
        client, "/v1/completions", bearer(engine), method="POST", body=body, timeout_s=30
    )
    await client.close()
    assert (status, engine.pid, engine.state) == (200, pid, "ready")


async def test_modules_in_the_working_directory_are_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A user's own ``json.py`` beside the configuration does not end up in the engine's process."""
    (tmp_path / "json.py").write_text("raise SystemExit('shadowed')")
    monkeypatch.chdir(tmp_path)
    engine = EmbeddedEngine(
        build_micro_gguf(tmp_path / "m.gguf"), name="m", slots=1, context_tokens=256, threads=1
    )
    await engine.start()
    assert engine.state == "ready"
    await engine.stop()


async def test_listens_on_the_same_port_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no room for a socket's path it listens on loopback, and keeps its port over restarts."""
    monkeypatch.setattr("spillway.engines.embedded.SOCKET_PATH_LIMIT", 0)
    ready = asyncio.Event()
    engine = EmbeddedEngine(
        build_micro_gguf(tmp_path / "m.gguf"), name="m", slots=1, context_tokens=256, threads=1
    )
    await engine.start()
    url = engine.url
    engine._on_state = lambda state: ready.set() if state == "ready" else None
    assert engine.pid
    os.kill(engine.pid, signal.SIGKILL)
    async with asyncio.timeout(20):
        await ready.wait()
    assert engine.url == url
    assert url.startswith("http://127.0.0.1:")
    await engine.stop()


def test_the_worker_ends_with_its_input(tmp_path: Path) -> None:
    """Closing its stdin ends it, also where no kernel does that for us."""
    settings = {"model_path": str(build_micro_gguf(tmp_path / "m.gguf")), "alias": "m", "api_key": "k"}
    settings |= {"listen": str(tmp_path / "s"), "port": 0, "slots": 1, "context_tokens": 64, "threads": 1}  # type: ignore[dict-item]
    line = json.dumps({**settings, "embedding": False}) + "\n"
    ended = subprocess.run(
        [sys.executable, "-P", "-m", "spillway.engines.worker"], input=line, capture_output=True, text=True
    )
    assert ended.returncode == 0
    assert ended.stdout in ("", json.dumps({"ready": True, "url": f"unix://{tmp_path}/s"}) + "\n")


def stand_in(monkeypatch: pytest.MonkeyPatch, program: str) -> None:
    """Has the engine's process run this program instead."""

    async def spawn() -> asyncio.subprocess.Process:
        pipe = asyncio.subprocess.PIPE
        return await asyncio.create_subprocess_exec(
            sys.executable, "-c", program, stdin=pipe, stdout=pipe, stderr=pipe
        )

    monkeypatch.setattr("spillway.engines.embedded._spawn", spawn)


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("import os; os.kill(os.getpid(), 4)", "lacks AVX2"),
        ("import os; os.kill(os.getpid(), 9)", "ran out of memory"),
        ("import sys; print('libgomp.so.1: cannot open', file=sys.stderr); sys.exit(3)", "install libgomp1"),
        ("import sys; print(\"No module named 'xllamacpp'\", file=sys.stderr); sys.exit(3)", "pip install"),
        ("import sys; print('x' * 100_000, file=sys.stderr); sys.exit(7)", "code 7: x{300}$"),
    ],
)
async def test_why_it_cannot_run_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str, said: str
) -> None:
    """Each way an engine fails to start has its advice, and what it said is kept short."""
    stand_in(monkeypatch, program)
    with pytest.raises(EngineUnavailable, match=said):
        await EmbeddedEngine(build_micro_gguf(tmp_path / "m.gguf"), name="m").start()


async def test_endless_complaints_do_not_block_the_engine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Megabytes on stderr, without one line break, are read and mostly forgotten."""
    program = (
        "import json, sys; sys.stderr.write('x' * 3_000_000); sys.stderr.flush();"
        "print(json.dumps({'url': 'unix:///none'}), flush=True); sys.stdin.read()"
    )
    stand_in(monkeypatch, program)
    engine = EmbeddedEngine(build_micro_gguf(tmp_path / "m.gguf"), name="m")
    async with asyncio.timeout(20):
        await engine.start()
        await engine.stop()
    assert sum(map(len, engine._last_words)) <= 300
