"""Installs the gateways to compare with, each by its own package manager, into the cache folder."""

from __future__ import annotations

import subprocess
import sys

from bench.gateway.targets import CACHE


def main() -> None:
    """LiteLLM into a virtual environment, Portkey into node_modules; what is there already stays."""
    CACHE.mkdir(parents=True, exist_ok=True)
    if not (CACHE / "litellm" / "bin" / "litellm").exists():
        subprocess.run([sys.executable, "-m", "venv", str(CACHE / "litellm")], check=True)
        pip = [str(CACHE / "litellm" / "bin" / "pip"), "install", "-q", "litellm[proxy]", "granian"]
        subprocess.run(pip, check=True)
    if not (CACHE / "node_modules" / "@portkey-ai").exists():
        subprocess.run(["npm", "install", "--silent", "@portkey-ai/gateway"], cwd=CACHE, check=True)


if __name__ == "__main__":
    main()
