"""Keeps an embedded engine running as a child process: starts it, watches it, restarts it after a pause."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import random
import secrets
import shutil
import sys
import tempfile
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from spillway.engines.worker import EXIT_NO_ENGINE, EXIT_NO_MODEL
from spillway.errors import EngineUnavailable

__all__ = ["EmbeddedEngine", "EngineState"]

logger = logging.getLogger("spillway.engines")

EngineState = Literal["stopped", "starting", "ready", "backoff"]

START_S = 120.0
"""Longest time to load a model."""
STOP_S = 5.0
FIRST_PAUSE_S = 0.5
LAST_PAUSE_S = 30.0
STEADY_S = 60.0
"""An engine that ran this long starts over with short pauses."""
SOCKET_PATH_LIMIT = 100
"""Unix sockets' paths end at 104 to 108 bytes."""


class EmbeddedEngine:
    """One model served by one child process; its address and key stay the same over restarts."""

    def __init__(
        self,
        model_path: Path,
        *,
        name: str,
        slots: int = 2,
        context_tokens: int = 4096,
        threads: int | None = None,
        embedding: bool = False,
        on_state: Callable[[EngineState], None] = lambda state: None,
    ) -> None:
        """``context_tokens`` is per slot; ``threads`` defaults to all cores but one."""
        self.model_path = model_path
        self.name = name
        self.slots = slots
        self.state: EngineState = "stopped"
        self.restarts = 0
        self.url = ""
        self.api_key = secrets.token_urlsafe(24)
        self._settings: dict[str, Any] = {
            "model_path": str(model_path),
            "alias": name,
            "api_key": self.api_key,
            "slots": slots,
            "context_tokens": context_tokens,
            "threads": threads or max(1, (os.cpu_count() or 2) - 1),
            "embedding": embedding,
        }
        self._on_state = on_state
        self._folder: Path | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._last_words: deque[str] = deque(maxlen=20)

    @property
    def pid(self) -> int | None:
        """The child's process id while it runs."""
        return self._process.pid if self._process else None

    async def start(self) -> None:
        """Returns when the engine answers. EngineUnavailable says why it cannot run here."""
        if not self.model_path.is_file():
            raise EngineUnavailable(f"node {self.name}: there is no model file {self.model_path}")
        self._folder = Path(tempfile.mkdtemp(prefix="spillway-"))  # readable by its owner only
        self._settings["listen"] = self._listen_address(self._folder)
        try:
            await self._launch()
        except BaseException:
            await self.stop()
            raise
        self._keeper = asyncio.create_task(self._keep_running())

    async def stop(self) -> None:
        """Ends the child and removes its socket; harmless when it was not running."""
        if self._keeper is not None:
            self._keeper.cancel()
            self._keeper = None
        await self._end_process()
        self._enter("stopped")
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def _listen_address(self, folder: Path) -> str:
        socket = folder / "engine.sock"
        if sys.platform == "win32" or len(str(socket)) > SOCKET_PATH_LIMIT:
            return "127.0.0.1"  # any free port; the random key keeps others out
        return str(socket)

    def _remove_socket(self) -> None:
        """A killed child leaves its socket behind, and the next one could not listen there."""
        Path(self._settings["listen"]).unlink(missing_ok=True)

    async def _launch(self) -> None:
        self._enter("starting")
        self._remove_socket()
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "spillway.engines.worker",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        listener = asyncio.create_task(self._listen(process.stderr))
        process.stdin.write(json.dumps(self._settings).encode() + b"\n")
        try:
            async with asyncio.timeout(START_S):
                await process.stdin.drain()
                line = await process.stdout.readline()
                if not line:
                    code = await process.wait()
                    await listener
                    raise EngineUnavailable(self._why(code))
        except (TimeoutError, ConnectionError):
            await self._end_process()
            raise EngineUnavailable(f"node {self.name}: the engine did not start: {self._said()}") from None
        self.url = json.loads(line)["url"]
        self._enter("ready")

    async def _listen(self, stderr: asyncio.StreamReader) -> None:
        """Keeps the engine's last words, which tell why it failed."""
        while line := await stderr.readline():
            text = line.decode("utf-8", "replace").strip()
            if text:
                self._last_words.append(text[:300])

    async def _keep_running(self) -> None:
        """Restarts the child whenever it ends, after a pause that doubles while it keeps failing."""
        pause_s = FIRST_PAUSE_S
        loop = asyncio.get_running_loop()
        while True:
            if self._process is not None:
                started_s = loop.time()
                code = await self._process.wait()
                if loop.time() - started_s > STEADY_S:
                    pause_s = FIRST_PAUSE_S
                logger.error("node %s: the engine ended with %s (%s)", self.name, code, self._said())
            self._enter("backoff")
            await asyncio.sleep(pause_s * random.uniform(0.8, 1.2))
            pause_s = min(2 * pause_s, LAST_PAUSE_S)
            self.restarts += 1
            try:
                await self._launch()
            except EngineUnavailable as error:
                logger.error("%s", error.message)

    async def _end_process(self) -> None:
        process, self._process = self._process, None
        if process is None or process.returncode is not None:
            return
        if process.stdin is not None:
            process.stdin.close()
        try:
            async with asyncio.timeout(STOP_S):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()

    def _enter(self, state: EngineState) -> None:
        if state != self.state:
            self.state = state
            self._on_state(state)

    def _said(self) -> str:
        return "; ".join(list(self._last_words)[-3:]) or "it said nothing"

    def _why(self, code: int) -> str:
        said = self._said()
        if code == EXIT_NO_ENGINE:
            hint = ": install libgomp1 (Debian, Ubuntu)" if "libgomp" in said else ""
            return f"node {self.name}: the embedded engine cannot run here ({said}){hint}"
        if code == EXIT_NO_MODEL:
            return f"node {self.name}: {self.model_path} cannot be served: {said}"
        if code == -4:
            return f"node {self.name}: this processor lacks AVX2, which the embedded engine needs; use url:"
        return f"node {self.name}: the engine ended with code {code}: {said}"
