"""The gateways under test: how each is started in front of an upstream, and what its requests must carry."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bench.gateway import peers
from bench.gateway.wire import MODELS

__all__ = ["TARGETS", "Launch", "Target"]

KEY = "sk-bench-0123456789abcdef"
CHECKOUT = Path(__file__).resolve().parents[2]
Headers = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Launch:
    """One start of a gateway; its environment holds only what is named here, nobody's keys."""

    argv: tuple[str, ...]
    ready_path: str
    headers: Headers
    env: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Target:
    """A gateway by name; ``launch(folder, port, upstream_port)`` may write files into the folder."""

    name: str
    title: str
    version: Callable[[], str | None]  # None: not installed
    launch: Callable[[Path, int, int], Launch]


def _base_env(folder: Path) -> dict[str, str]:
    return {"PATH": os.environ.get("PATH", ""), "HOME": str(folder), "LANG": "C.UTF-8"}


def _floor_version() -> str | None:
    found = [peers.package_version(peers.floor_python(), name) for name in ("uvicorn", "aiohttp")]
    return None if None in found else f"uvicorn {found[0]}, aiohttp {found[1]}"


def _floor(folder: Path, port: int, upstream_port: int) -> Launch:
    upstream = f"http://127.0.0.1:{upstream_port}"
    return Launch(
        argv=(
            str(peers.floor_python()),
            "-m",
            "bench.gateway.floor",
            "--port",
            str(port),
            "--upstream",
            upstream,
        ),
        ready_path="/health/ready",
        headers=(),
        env={**_base_env(folder), "PYTHONPATH": str(CHECKOUT)},
    )


def _spillway_version() -> str | None:
    return peers.package_version(Path(sys.executable), "spillway")


def _spillway(folder: Path, port: int, upstream_port: int) -> Launch:
    """Everything on, as by default: key check, routing, ledger in SQLite on disk, metrics."""
    prices = {f"bench/{m}": {"input_usd_per_mtok": 0.15, "output_usd_per_mtok": 0.60} for m in MODELS}
    config = {
        "server": {"keys": [{"name": "bench", "key": KEY}]},
        "nodes": [],
        "clouds": [
            {
                "name": "bench",
                "url": f"http://127.0.0.1:{upstream_port}/v1",
                "api_key": "x",
                "models": list(MODELS),
                "simulated": "benchmark upstream",
            }
        ],
        "prices": prices,
        "routing": {"reference": f"bench/{MODELS[0]}"},
        "ledger": f"sqlite:///{folder / 'ledger.db'}",
    }
    file = _write(folder / "spillway.yaml", config)
    return Launch(
        argv=(sys.executable, "-m", "spillway", "up", "--config", file, "--port", str(port)),
        ready_path="/health/ready",
        headers=_bearer(KEY),
        env=_base_env(folder),
    )


def _litellm_version(package: str) -> str | None:
    python = peers.litellm_command().with_name("python")
    found = peers.package_version(python, "litellm")
    return f"{found}, {package} {peers.package_version(python, package)}" if found else None


def _litellm(folder: Path, port: int, upstream_port: int, extra: tuple[str, ...]) -> Launch:
    """The documented production settings: one worker, no database, telemetry and logs off; key check on."""
    base = f"http://127.0.0.1:{upstream_port}/v1"
    config = {
        "model_list": [
            {"model_name": m, "litellm_params": {"model": f"openai/{m}", "api_base": base, "api_key": "x"}}
            for m in MODELS
        ],
        "litellm_settings": {
            "telemetry": False,
            "set_verbose": False,
            "num_retries": 0,
            "request_timeout": 600,
        },
        "general_settings": {"master_key": KEY, "disable_spend_logs": True},
    }
    silent = {"version": 1, "disable_existing_loggers": False, "loggers": {"uvicorn": {"level": "ERROR"}}}
    arguments = (
        "--config",
        _write(folder / "litellm.yaml", config),
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
    )
    log = () if extra else ("--log_config", _write(folder / "log.json", silent))
    return Launch(
        argv=(str(peers.litellm_command()), *arguments, "--num_workers", "1", *log, *extra),
        ready_path="/health/liveliness",
        headers=_bearer(KEY),
        env={
            **_base_env(folder),
            "LITELLM_MODE": "PRODUCTION",
            "LITELLM_LOG": "ERROR",
            "LITELLM_TELEMETRY": "False",
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # else it tries to fetch its price list while starting
            "LITELLM_DONT_SHOW_FEEDBACK_BOX": "True",
            "DISABLE_ADMIN_UI": "True",
            "NO_DOCS": "True",
            "NO_REDOC": "True",
        },
    )


def _portkey_version() -> str | None:
    found, node = peers.portkey_version(), peers.node_version()
    return f"{found}, node {node}" if found and node else None


def _portkey(folder: Path, port: int, upstream_port: int) -> Launch:
    """Routed by headers on each request; the open-source gateway has no keys of its own to check."""
    return Launch(
        argv=("node", str(peers.portkey_script()), f"--port={port}", "--headless"),
        ready_path="/",
        headers=(
            *_bearer("x"),
            ("x-portkey-provider", "openai"),
            ("x-portkey-custom-host", f"http://127.0.0.1:{upstream_port}/v1"),
        ),
        env={**_base_env(folder), "NODE_ENV": "production", "TRUSTED_CUSTOM_HOSTS": "127.0.0.1,localhost"},
    )


def _bearer(key: str) -> Headers:
    return (("authorization", f"Bearer {key}"),)


def _write(file: Path, value: object) -> str:
    """The path of a file that holds the value as JSON, which is YAML too."""
    file.write_text(json.dumps(value, indent=1))
    return str(file)


TARGETS: dict[str, Target] = {
    target.name: target
    for target in (
        Target("floor", "floor (uvicorn + aiohttp, bare)", _floor_version, _floor),
        Target("spillway", "spillway", _spillway_version, _spillway),
        Target(
            "litellm",
            "LiteLLM proxy (uvicorn)",
            lambda: _litellm_version("uvicorn"),
            lambda folder, port, upstream: _litellm(folder, port, upstream, ()),
        ),
        Target(
            "litellm-granian",
            "LiteLLM proxy (granian)",
            lambda: _litellm_version("granian"),
            lambda folder, port, upstream: _litellm(folder, port, upstream, ("--run_granian",)),
        ),
        Target("portkey", "Portkey gateway", _portkey_version, _portkey),
    )
}
