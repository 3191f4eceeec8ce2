"""Where the other gateways live, never inside the checkout, and which versions are there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

__all__ = [
    "FLOOR_PACKAGES",
    "cache_folder",
    "floor_python",
    "litellm_command",
    "node_version",
    "package_version",
    "portkey_script",
    "portkey_version",
    "python_version",
]

FLOOR_PACKAGES = ("aiohttp==3.14.5", "uvicorn==0.54.0", "uvloop>=0.23", "httptools>=0.9")


def cache_folder() -> Path:
    """``$SPILLWAY_BENCH_CACHE``, or ``~/.cache/spillway-bench``."""
    return Path(os.environ.get("SPILLWAY_BENCH_CACHE") or Path.home() / ".cache" / "spillway-bench")


def floor_python() -> Path:
    """The interpreter that has the floor's packages."""
    return cache_folder() / "floor" / "bin" / "python"


def litellm_command() -> Path:
    """LiteLLM's ``litellm`` command."""
    return cache_folder() / "litellm" / "bin" / "litellm"


def portkey_script() -> Path:
    """Portkey's server script, to be run with node."""
    return (
        cache_folder() / "portkey" / "node_modules" / "@portkey-ai" / "gateway" / "build" / "start-server.js"
    )


def package_version(python: Path, package: str) -> str | None:
    """The version of a package in that interpreter's environment; None when either is missing."""
    code = f"import importlib.metadata as m; print(m.version({package!r}))"
    return _output([str(python), "-c", code]) if python.exists() else None


def portkey_version() -> str | None:
    """The version of the installed Portkey gateway; None when it is missing."""
    manifest = portkey_script().parents[1] / "package.json"
    return str(json.loads(manifest.read_text())["version"]) if manifest.exists() else None


def node_version() -> str | None:
    """What ``node --version`` says; None without node."""
    return _output(["node", "--version"])


def python_version() -> str:
    """The running interpreter's version; the peers' environments are made with it too."""
    return ".".join(map(str, sys.version_info[:3]))


def _output(argv: list[str]) -> str | None:
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None
