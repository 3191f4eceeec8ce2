"""A llama.cpp engine inside the test process: enough to ask a GGUF for its greedy answers."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Ask = Callable[..., str]


@pytest.fixture(scope="session")
def engine_on() -> Callable[[Path], Ask]:
    """A function that starts a one-slot, one-thread engine on a GGUF and returns how to ask it."""
    xllamacpp = pytest.importorskip("xllamacpp", reason="xllamacpp cannot run here", exc_type=ImportError)

    def start(model: Path) -> Ask:
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
        return _asking(xllamacpp.Server(params))

    return start


def _asking(server: Any) -> Ask:
    """Turns as (role, content) pairs in, the greedy answer out."""

    def ask(*turns: tuple[str, str]) -> str:
        messages = [{"role": role, "content": content} for role, content in turns]
        reply = server.handle_chat_completions({"messages": messages, "temperature": 0, "max_tokens": 64})
        return str(reply["choices"][0]["message"]["content"])

    return ask
