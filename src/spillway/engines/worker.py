"""The embedded engine's own process: ``python -m spillway.engines.worker``.

Reads one JSON line of settings on stdin, serves the model on a private socket, prints one JSON line when it
listens, and ends when stdin closes: a parent that dies, however it dies, leaves no engine behind.
"""

from __future__ import annotations

import ctypes
import json
import signal
import sys
from typing import Any

__all__ = ["main"]

EXIT_NO_ENGINE = 3
"""xllamacpp cannot be imported here."""
EXIT_NO_MODEL = 4
"""The engine refuses the model; it says why on stderr."""


def main() -> int:
    """The exit code after stdin closed, or at once when the engine or the model cannot be loaded."""
    _die_with_parent()
    settings = json.loads(sys.stdin.readline())
    try:
        import xllamacpp
    except ImportError as error:
        print(f"xllamacpp cannot be imported: {error}", file=sys.stderr)
        return EXIT_NO_ENGINE
    try:
        server = xllamacpp.Server(_parameters(xllamacpp.CommonParams(), settings))
    except (RuntimeError, ValueError) as error:
        print(f"the engine refused the model: {error}", file=sys.stderr)
        return EXIT_NO_MODEL
    print(json.dumps({"ready": True, "url": server.listening_address}), flush=True)
    sys.stdin.read()
    return 0


def _parameters(params: Any, settings: dict[str, Any]) -> Any:
    """Every default that is unsafe or surprising is set: no page, no foreign origins, bounded memory."""
    params.model.path = settings["model_path"]
    params.model_alias = {settings["alias"]}
    params.hostnames = [settings["listen"]]
    params.port = 0
    params.api_keys = [settings["api_key"]]
    params.ui = False
    params.cors_origins = ""
    params.endpoint_metrics = params.endpoint_slots = params.endpoint_props = True
    params.n_parallel = settings["slots"]
    params.n_ctx = settings["slots"] * settings["context_tokens"]
    params.kv_unified = False
    params.cache_ram_mib = 64
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = settings["threads"]
    params.embedding = settings["embedding"]
    params.verbosity = 1
    return params


def _die_with_parent() -> None:
    """On Linux the kernel ends this process with its parent, even while the engine is busy loading."""
    if sys.platform == "linux":
        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main())
