"""``python -m bench.gateway.setup_peers``: the newest of the other gateways, outside the checkout.

``--litellm VERSION`` takes that release, where the index lacks what the newest one asks for.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

from bench.gateway import peers

__all__ = ["main"]

# An index may lag behind the very newest companions a release asks for. Certificates play no part on
# loopback, nor database migrations and paid extras in a proxy without either: any version of these will do.
UNBOUND_PACKAGES = frozenset({"certifi", "litellm-enterprise", "litellm-proxy-extras"})
# npm would take a newer one, with which every stream is answered by a 500 (Portkey-AI/gateway issue 1389).
PORTKEY_OVERRIDES = {"@hono/node-server": "1.14.0"}
_REQUIREMENTS_CODE = """
import importlib.metadata, json
from packaging.requirements import Requirement
found = [Requirement(text) for text in importlib.metadata.requires("litellm")]
wanted = [r for r in found if r.marker is None or r.marker.evaluate({"extra": "proxy"})]
extras = lambda r: "[" + ",".join(sorted(r.extras)) + "]" if r.extras else ""
print(json.dumps([[r.name, r.name + extras(r) + str(r.specifier)] for r in wanted]))
"""


def main() -> int:
    """0 when everything is there; 1 after saying on stderr what failed."""
    parser = argparse.ArgumentParser(prog="python -m bench.gateway.setup_peers")
    parser.add_argument("--litellm", metavar="VERSION", help="this release instead of the newest")
    release = parser.parse_args().litellm
    folder = peers.cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        _setup_floor(folder / "floor")
        _setup_litellm(folder / "litellm", release)
        _setup_portkey(folder / "portkey")
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"setup failed: {error}", file=sys.stderr)
        print(
            "where the index lacks what the newest LiteLLM asks for, name a release: --litellm VERSION",
            file=sys.stderr,
        )
        return 1
    litellm_python = peers.litellm_command().with_name("python")
    print(f"litellm {peers.package_version(litellm_python, 'litellm')}")
    print(f"granian {peers.package_version(litellm_python, 'granian')}")
    print(f"@portkey-ai/gateway {peers.portkey_version()} on node {peers.node_version()}")
    return 0


def _setup_floor(folder: Path) -> None:
    _pip(_environment(folder), *peers.FLOOR_PACKAGES)


def _setup_litellm(folder: Path, release: str | None) -> None:
    """That release or the newest is installed, with what it asks for except bounds of ``UNBOUND_PACKAGES``.

    Left to itself the resolver answers one bound it cannot meet by going back to a release months old.
    """
    python = _environment(folder)
    _pip(python, "packaging")
    _pip(python, "--no-deps", f"litellm=={release}" if release else "litellm")
    listed = subprocess.run([python, "-c", _REQUIREMENTS_CODE], check=True, capture_output=True, text=True)
    pairs: list[tuple[str, str]] = json.loads(listed.stdout)
    _pip(python, *sorted({name if name in UNBOUND_PACKAGES else text for name, text in pairs}))


def _setup_portkey(folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "package.json").write_text(json.dumps({"private": True, "overrides": PORTKEY_OVERRIDES}))
    subprocess.run(
        ["npm", "install", "--no-fund", "--no-audit", "--loglevel=error", "@portkey-ai/gateway@latest"],
        cwd=folder,
        check=True,
    )


def _environment(folder: Path) -> Path:
    python = folder / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    return python


def _pip(python: Path, *arguments: str) -> None:
    subprocess.run(
        [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--upgrade", *arguments],
        check=True,
    )


if __name__ == "__main__":
    raise SystemExit(main())
