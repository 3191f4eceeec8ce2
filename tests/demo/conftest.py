"""A llama.cpp engine inside the test process: enough to ask a GGUF for its greedy answers."""

import json
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest


@dataclass(frozen=True)
class InProcessEngine:
    """One slot and one thread on one GGUF."""

    server: Any

    def ask(self, *turns: tuple[str, str]) -> str:
        """The greedy answer to a conversation of (role, content) turns."""
        messages = [{"role": role, "content": content} for role, content in turns]
        request = {"messages": messages, "temperature": 0, "max_tokens": 64}
        reply = self.server.handle_chat_completions(request)
        return str(reply["choices"][0]["message"]["content"])

    def post(self, path: str, body: dict[str, Any]) -> Any:
        """The JSON answer to a request over the engine's own loopback listener."""
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(
            f"{self.server.listening_address}{path}", json.dumps(body).encode(), headers
        )
        with urllib.request.urlopen(request, timeout=20) as reply:
            return json.load(reply)


@pytest.fixture(scope="session")
def engine_on() -> Callable[[Path], InProcessEngine]:
    """A function that starts an engine on a GGUF."""
    xllamacpp = pytest.importorskip("xllamacpp", reason="xllamacpp cannot run here", exc_type=ImportError)

    def start(model: Path) -> InProcessEngine:
        params = xllamacpp.CommonParams()
        params.model.path = str(model)
        params.n_parallel = 1
        params.n_ctx = 512
        params.cpuparams.n_threads = 1
        params.cpuparams_batch.n_threads = 1
        params.cache_ram_mib = 0
        params.ui = False
        params.warmup = False
        params.verbosity = 0
        return InProcessEngine(xllamacpp.Server(params))

    return start
