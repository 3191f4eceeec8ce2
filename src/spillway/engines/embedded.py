"""Keeps an embedded engine running as a child process: starts it, watches it, restarts it after a pause."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import platform
import random
import secrets
import shutil
import sys
import tempfile
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from spillway.engines.gguf_header import GgufProblem, read_gguf
from spillway.engines.worker import EXIT_NO_ENGINE, EXIT_NO_MODEL
from spillway.errors import EngineUnavailable

__all__ = ["EmbeddedEngine", "EngineState", "why_no_engine"]

logger = logging.getLogger("spillway.engines")

EngineState = Literal["stopped", "starting", "ready", "backoff"]

START_S = 600.0
"""Longest time to load a model: 40 GB from a slow disk take minutes."""
STOP_S = 5.0
FIRST_PAUSE_S = 0.5
LAST_PAUSE_S = 30.0
STEADY_S = 60.0
"""An engine that ran this long starts over with short pauses."""
SOCKET_PATH_LIMIT = 100
"""Unix sockets' paths end at 104 to 108 bytes."""
KEPT_LINES = 20
KEPT_CHARACTERS = 300
ILLEGAL_INSTRUCTION = {-4, 0xC000001D, 0xC000001D - (1 << 32)}
"""How a process ends that used an instruction the processor lacks: POSIX, Windows unsigned and signed."""

NO_AVX2 = (
    "this processor lacks AVX2, which the embedded engine needs; run a llama-server built for it "
    "and give its url"
)


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
        embedding: bool | None = None,
        on_state: Callable[[EngineState], None] = lambda state: None,
    ) -> None:
        """``context_tokens`` is per slot; ``threads`` defaults to all cores but one; ``embedding`` to what
        the model file says of itself."""
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
            "port": 0,
            "slots": slots,
            "context_tokens": context_tokens,
            "threads": threads or max(1, (os.cpu_count() or 2) - 1),
        }
        self._embedding = embedding
        self._on_state = on_state
        self._folder: Path | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._last_words: deque[str] = deque(maxlen=KEPT_LINES)

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
        self._settings["embedding"] = await self._is_for_embedding()
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

    async def _is_for_embedding(self) -> bool:
        if self._embedding is not None:
            return self._embedding
        try:
            return (await asyncio.to_thread(read_gguf, self.model_path)).is_embedding
        except GgufProblem:
            return False  # the engine will say what is wrong with it

    def _listen_address(self, folder: Path) -> str:
        socket = folder / "engine.sock"
        if sys.platform == "win32" or len(str(socket)) > SOCKET_PATH_LIMIT:
            return "127.0.0.1"  # any free port; the random key keeps others out
        return str(socket)

    def _remove_socket(self) -> None:
        """A killed child leaves its socket behind, and the next one could not listen there."""
        if self._folder is not None:
            (self._folder / "engine.sock").unlink(missing_ok=True)

    async def _launch(self) -> None:
        """Returns when a new child listens; EngineUnavailable otherwise, and then no child is left."""
        self._enter("starting")
        self._remove_socket()
        self._last_words.clear()
        try:
            process = self._process = await _spawn()
        except OSError as error:
            raise EngineUnavailable(
                f"node {self.name}: no process can be started: {error.strerror}"
            ) from None
        listener = asyncio.create_task(self._listen(process))
        try:
            async with asyncio.timeout(START_S):
                line = await _first_answer(process, self._settings)
        except TimeoutError:
            self._last_words.append(f"it was still loading after {START_S:g} s")
            line = b""
        if not line:
            await self._end_process()
            await listener
            raise EngineUnavailable(self._why(process.returncode or 0))
        self.url = json.loads(line)["url"]
        self._settings["port"] = urlsplit(self.url).port or 0  # the same one again after a restart
        self._enter("ready")

    async def _listen(self, process: asyncio.subprocess.Process) -> None:
        """Keeps the engine's last words, which tell why it failed, and never lets its pipe fill up."""
        assert process.stderr is not None
        rest = b""
        while piece := await process.stderr.read(65536):
            *lines, rest = (rest + piece).split(b"\n")
            rest = rest[-KEPT_CHARACTERS:]
            self._keep(lines)
        self._keep([rest])

    def _keep(self, lines: Sequence[bytes]) -> None:
        for line in lines[-KEPT_LINES:]:
            text = line[-4 * KEPT_CHARACTERS :].decode("utf-8", "replace").strip()
            if text:
                self._last_words.append(text[-KEPT_CHARACTERS:])

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
        if process is None:
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
            return f"node {self.name}: {_cannot_run(said)}"
        if code == EXIT_NO_MODEL:
            return f"node {self.name}: {self.model_path} cannot be served: {self._about_model(said)}"
        if code in ILLEGAL_INSTRUCTION:
            return f"node {self.name}: {NO_AVX2}"
        if code == -9:
            said += " (killed: perhaps the machine ran out of memory)"
        return f"node {self.name}: the engine ended with code {code}: {said}"

    def _about_model(self, said: str) -> str:
        """What our own look at the file says is clearer than the engine's, where it finds something."""
        try:
            read_gguf(self.model_path)
        except GgufProblem as problem:
            return str(problem)
        return said


async def why_no_engine() -> str | None:
    """Why the engine cannot run on this machine and what to do; ``None`` when it can be loaded.

    Asks a child: on a processor it was not built for, loading it may end the process.
    """
    if find_spec("xllamacpp") is None:
        return _cannot_run("No module named 'xllamacpp'")
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-P",
        "-c",
        "import xllamacpp",
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    _, errors = await child.communicate()
    if child.returncode in ILLEGAL_INSTRUCTION:
        return NO_AVX2
    last_words = errors.decode("utf-8", "replace").strip().rpartition("\n")[2]
    return _cannot_run(last_words[-KEPT_CHARACTERS:]) if child.returncode else None


async def _spawn() -> asyncio.subprocess.Process:
    """A child that takes its modules from where ours come from, never from the working directory (``-P``)."""
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-P",
        "-m",
        "spillway.engines.worker",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def _first_answer(process: asyncio.subprocess.Process, settings: Mapping[str, Any]) -> bytes:
    """The line that says it listens; empty when it ended instead."""
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(json.dumps(settings).encode() + b"\n")
        await process.stdin.drain()
    except ConnectionError:
        return b""
    line = await process.stdout.readline()
    if not line:
        await process.wait()
    return line


def _cannot_run(said: str) -> str:
    """Why the engine cannot be imported, and what to do."""
    hint = ""
    if "libgomp" in said:
        hint = ": install libgomp1 (Debian, Ubuntu) or libgomp (Fedora, Alpine)"
    elif "No module named" in said:
        here = f"{platform.system()} on {platform.machine()}"
        hint = (
            f": pip install xllamacpp, made for Linux with glibc, macOS and Windows on x86-64 (here: {here})"
        )
    return f"the embedded engine cannot run here ({said}){hint}"
