"""The embedded engine's own process: ``python -P -m spillway.engines.worker``.

Reads one JSON line of settings on stdin, serves the model on a private socket, prints one JSON line when it
listens, and ends when stdin closes: a parent that dies, however it dies, leaves no engine behind.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import threading
from typing import Any, TextIO

__all__ = ["EXIT_NO_ENGINE", "EXIT_NO_MODEL", "main"]

EXIT_NO_ENGINE = 3
"""xllamacpp cannot be imported here."""
EXIT_NO_MODEL = 4
"""The engine refuses the model; it says why on stderr."""


def main() -> int:
    """The exit code when the engine or the model cannot be loaded; otherwise serves until stdin closes."""
    _leave_signals_to_parent()
    _die_with_parent()
    answers = _own_stdout()
    line = sys.stdin.readline()
    if not line:
        return 0
    settings = json.loads(line)
    guard = threading.Thread(target=_end_with_stdin, daemon=True)
    guard.start()
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
    print(json.dumps({"ready": True, "url": server.listening_address}), file=answers, flush=True)
    guard.join()
    return 0


def _parameters(params: Any, settings: dict[str, Any]) -> Any:
    """Every default that is unsafe or surprising is set: no page, no foreign origins, bounded memory."""
    params.model.path = settings["model_path"]
    params.model_alias = {settings["alias"]}
    params.hostnames = [settings["listen"]]
    params.port = settings["port"]
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
    if params.embedding:  # a text to embed must fit into one batch, or it is refused
        params.n_batch = params.n_ubatch = max(params.n_ubatch, settings["context_tokens"])
    params.verbosity = 1
    return params


def _leave_signals_to_parent() -> None:
    """Ctrl-C and a service manager signal the whole group: the gateway drains its requests, which need us."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def _die_with_parent() -> None:
    """On Linux the kernel ends this process with its parent, even while the engine is busy loading."""
    if sys.platform == "linux":
        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)


def _own_stdout() -> TextIO:
    """A stream only we write to; whatever the engine prints on its stdout goes to stderr from now on."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return answers


def _end_with_stdin() -> None:
    """Ends the process when the parent is gone, at once: tearing an engine down may take long, or abort."""
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
