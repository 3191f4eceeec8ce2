"""The gateways under test: how each is started, asked, and known to be ready."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["CACHE", "GATEWAY_CORE", "LOAD_CORE", "Target", "running", "targets"]

CACHE = Path(os.environ.get("SPILLWAY_BENCH_CACHE") or Path.home() / ".cache" / "spillway-bench")
GATEWAY_CORE = 0
LOAD_CORE = 1
START_S = 60.0


@dataclass(frozen=True)
class Target:
    """One gateway. ``command`` gets its port, the upstream's port and a folder for its files."""

    name: str
    command: Callable[[int, int, Path], list[str]]
    ready_path: str
    path: str = "/v1/chat/completions"
    headers: Callable[[int], dict[str, str]] = lambda upstream: {}
    environment: dict[str, str] = field(default_factory=dict)
    version: Callable[[], str] = lambda: "unknown"
    is_installed: Callable[[], bool] = lambda: True


@dataclass(frozen=True)
class Process:
    """A gateway that answers, and how long that took."""

    pid: int
    port: int
    start_s: float


@contextmanager
def running(target: Target, port: int, upstream_port: int, folder: Path) -> Iterator[Process]:
    """Starts the gateway on its own core; ends it, and only it, afterwards."""
    command = target.command(port, upstream_port, folder)
    with (folder / f"{target.name}.log").open("wb") as log:
        started_s = time.perf_counter()
        process = subprocess.Popen(
            command,
            env={**os.environ, **target.environment},
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=folder,
            preexec_fn=lambda: os.sched_setaffinity(0, {GATEWAY_CORE}),
        )
        try:
            _wait_until_ready(process, f"http://127.0.0.1:{port}{target.ready_path}", folder / log.name)
            yield Process(process.pid, port, time.perf_counter() - started_s)
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait_until_ready(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    ends_s = time.perf_counter() + START_S
    while time.perf_counter() < ends_s:
        if process.poll() is not None:
            raise RuntimeError(f"it ended while starting: {log.read_text(errors='replace')[-500:]}")
        try:
            with urllib.request.urlopen(url, timeout=1) as answer:
                answer.read()
                return
        except urllib.error.HTTPError as error:
            if error.code < 500:
                return
        except OSError:
            pass
        time.sleep(0.01)
    raise RuntimeError(f"it was not ready after {START_S:g} s: {log.read_text(errors='replace')[-500:]}")


def targets() -> dict[str, Target]:
    """All gateways by name, in the order of the table."""
    found = (_spillway(), _litellm("uvicorn"), _litellm("granian"), _portkey())
    return {target.name: target for target in found}


def _spillway() -> Target:
    """Routing, ledger, metrics and auth all on, as by default."""

    def command(port: int, upstream: int, folder: Path) -> list[str]:
        config = folder / "spillway.yaml"
        config.write_text(
            f"""
server: {{port: {port}, keys: [{{name: bench, key: bench-key}}]}}
clouds:
  - name: bench
    url: http://127.0.0.1:{upstream}/v1
    api_key: x
    models: [bench-model, bench-delayed, bench-paced, bench-flat]
    simulated: benchmark upstream
prices:
  bench/bench-model: {{input_usd_per_mtok: 0.15, output_usd_per_mtok: 0.60}}
routing: {{reference: bench/bench-model}}
ledger: sqlite:///{folder / "ledger.db"}
"""
        )
        return [sys.executable, "-m", "spillway", "up", "--config", str(config)]

    def version() -> str:
        from spillway import __version__

        return __version__

    return Target(
        "spillway",
        command,
        "/health/ready",
        headers=lambda upstream: {"authorization": "Bearer bench-key"},
        version=version,
    )


def _litellm(server: str) -> Target:
    """Its proxy without database, telemetry off, one worker, auth by master key."""
    home = CACHE / "litellm" / "bin"

    def command(port: int, upstream: int, folder: Path) -> list[str]:
        config = folder / f"litellm-{server}.yaml"
        entries = "".join(
            f"""
  - model_name: {model}
    litellm_params: {{model: openai/{model}, api_base: "http://127.0.0.1:{upstream}/v1", api_key: x}}"""
            for model in ("bench-model", "bench-delayed", "bench-paced", "bench-flat")
        )
        config.write_text(
            f"""
model_list:{entries}
litellm_settings: {{telemetry: false, set_verbose: false, num_retries: 0}}
general_settings: {{master_key: bench-key, disable_spend_logs: true}}
"""
        )
        extra = ["--run_granian"] if server == "granian" else []
        return [
            *(str(home / "litellm"), "--config", str(config), "--host", "127.0.0.1", "--port", str(port)),
            *("--num_workers", "1", *extra),
        ]

    def version() -> str:
        asked = "import importlib.metadata as m; print(m.version('litellm'))"
        return subprocess.run([home / "python", "-c", asked], capture_output=True, text=True).stdout.strip()

    return Target(
        "litellm" if server == "uvicorn" else f"litellm-{server}",
        command,
        "/health/liveliness",
        headers=lambda upstream: {"authorization": "Bearer bench-key"},
        environment={
            "LITELLM_MODE": "PRODUCTION",
            "LITELLM_LOG": "ERROR",
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            "DISABLE_ADMIN_UI": "True",
        },
        version=version,
        is_installed=(home / "litellm").exists,
    )


def _portkey() -> Target:
    """The open-source gateway on Node.js; provider and host are chosen by request headers."""
    package = CACHE / "node_modules" / "@portkey-ai" / "gateway"

    def command(port: int, upstream: int, folder: Path) -> list[str]:
        return ["node", str(package / "build" / "start-server.js"), f"--port={port}", "--headless"]

    def version() -> str:
        import json

        return str(json.loads((package / "package.json").read_text())["version"])

    return Target(
        "portkey",
        command,
        "/",
        headers=lambda upstream: {
            "x-portkey-provider": "openai",
            "x-portkey-custom-host": f"http://127.0.0.1:{upstream}/v1",
            "authorization": "Bearer x",
        },
        environment={"TRUSTED_CUSTOM_HOSTS": "127.0.0.1,localhost", "NODE_ENV": "production"},
        version=version,
        is_installed=lambda: package.exists() and shutil.which("node") is not None,
    )
