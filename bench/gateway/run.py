"""Runs the comparison: ``python -m bench.gateway.run [--targets A,B] [--quick] [--markdown FILE]``."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import uvloop

from bench.gateway.figures import cpu_s, quantile, rss_mb
from bench.gateway.load import Load, Result, request_bytes, run_load
from bench.gateway.targets import LOAD_CORE, Process, Target, running, targets

Row = dict[str, float | str | None]

COLUMNS = (
    ("max_rps", "requests/s on one core, 64 clients"),
    ("cpu_ms_per_request", "CPU ms per request"),
    ("added_p50_ms_1", "added p50 ms, 1 client"),
    ("added_p50_ms_16", "added p50 ms, 16 clients"),
    ("added_p99_ms_16", "added p99 ms, 16 clients"),
    ("added_p50_ms_64", "added p50 ms, 64 clients"),
    ("added_p99_ms_64", "added p99 ms, 64 clients"),
    ("added_ttft_p50_ms", "added TTFT p50 ms, streams"),
    ("added_ttft_p99_ms", "added TTFT p99 ms, streams"),
    ("stream_chunks_per_s", "stream chunks/s, flat out"),
    ("cpu_us_per_chunk", "CPU us per chunk, flat out"),
    ("cpu_ms_200kb", "CPU ms, 200 kB body"),
    ("cold_start_s", "start to ready s"),
    ("rss_idle_mb", "MB idle"),
    ("rss_loaded_mb", "MB after load"),
)
ROUNDS = 3
PATH = "/v1/chat/completions"


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(prog="python -m bench.gateway.run", description=__doc__)
    parser.add_argument("--targets", default="spillway,litellm,litellm-granian,portkey")
    parser.add_argument("--quick", action="store_true", help="a fifth of the time, for a first look")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--markdown", type=Path)
    given = parser.parse_args()
    os.sched_setaffinity(0, {LOAD_CORE})
    seconds = 1.0 if given.quick else 4.0
    report = uvloop.run(_measure_all(given.targets.split(","), seconds))
    text = _markdown(report)
    print(text)
    if given.json:
        given.json.write_text(json.dumps(report, indent=1))
    if given.markdown:
        given.markdown.write_text(text)


async def _measure_all(names: list[str], seconds: float) -> dict[str, Any]:
    known = targets()
    rows: dict[str, Row] = {}
    versions: dict[str, str] = {}
    with tempfile.TemporaryDirectory(prefix="spillway-bench-") as name, _upstream() as upstream_port:
        for target in (known[each] for each in names):
            if not target.is_installed():
                print(f"{target.name}: not installed, see README.md", file=sys.stderr)
                continue
            versions[target.name] = target.version()
            try:
                rows[target.name] = await _measure(target, upstream_port, Path(name), seconds)
            except RuntimeError as error:
                rows[target.name] = {"failed": str(error)}
            print(target.name, json.dumps(rows[target.name]), file=sys.stderr)
    return {"machine": _machine(), "versions": versions, "rows": rows, "seconds_per_block": seconds}


async def _measure(target: Target, upstream: int, folder: Path, seconds: float) -> Row:
    with running(target, _free_port(), upstream, folder) as gateway:
        await asyncio.sleep(1)
        row: Row = {"cold_start_s": round(gateway.start_s, 2), "rss_idle_mb": round(rss_mb(gateway.pid), 1)}
        headers = target.headers(upstream)
        small = request_bytes(target.path, "bench-model", headers, is_stream=False)
        await _block(gateway.port, small, 8, min(2.0, seconds))  # warm up: interpreters and JITs
        row |= await _throughput(gateway, small, seconds)
        delayed = request_bytes(target.path, "bench-delayed", headers, is_stream=False)
        for clients in (1, 16, 64):
            row |= await _added(gateway, upstream, delayed, clients, seconds)
        row |= await _added_ttft(
            gateway, upstream, request_bytes(target.path, "bench-paced", headers, is_stream=True), seconds
        )
        row |= await _flat_out(
            gateway, request_bytes(target.path, "bench-flat", headers, is_stream=True), seconds
        )
        large = request_bytes(target.path, "bench-model", headers, is_stream=False, filler=200_000)
        row["cpu_ms_200kb"] = round((await _cpu_ms(gateway, large, 4, seconds))[0], 3)
        row["rss_loaded_mb"] = round(rss_mb(gateway.pid), 1)
        return row


async def _throughput(gateway: Process, request: bytes, seconds: float) -> Row:
    cpu_ms, result = await _cpu_ms(gateway, request, 64, seconds)
    return {"max_rps": round(result.requests / result.elapsed_s), "cpu_ms_per_request": round(cpu_ms, 4)}


async def _cpu_ms(gateway: Process, request: bytes, clients: int, seconds: float) -> tuple[float, Result]:
    before_s = cpu_s(gateway.pid)
    result = await _block(gateway.port, request, clients, seconds)
    return 1000 * (cpu_s(gateway.pid) - before_s) / max(1, result.requests), result


async def _added(gateway: Process, upstream: int, request: bytes, clients: int, seconds: float) -> Row:
    """Gateway and upstream in turn, so that a machine that slows down slows both."""
    through: list[float] = []
    direct: list[float] = []
    for _ in range(ROUNDS):
        direct += (await _block(upstream, request, clients, seconds / ROUNDS)).latencies_s
        through += (await _block(gateway.port, request, clients, seconds / ROUNDS)).latencies_s
    return {
        f"added_p{share}_ms_{clients}": _difference_ms(through, direct, share / 100) for share in (50, 99)
    }


async def _added_ttft(gateway: Process, upstream: int, request: bytes, seconds: float) -> Row:
    through: list[float] = []
    direct: list[float] = []
    for _ in range(ROUNDS):
        direct += (await _block(upstream, request, 16, seconds / ROUNDS, is_stream=True)).first_byte_s
        through += (await _block(gateway.port, request, 16, seconds / ROUNDS, is_stream=True)).first_byte_s
    return {f"added_ttft_p{share}_ms": _difference_ms(through, direct, share / 100) for share in (50, 99)}


async def _flat_out(gateway: Process, request: bytes, seconds: float) -> Row:
    before_s = cpu_s(gateway.pid)
    result = await _block(gateway.port, request, 8, seconds, is_stream=True)
    used_s = cpu_s(gateway.pid) - before_s
    return {
        "stream_chunks_per_s": round(result.chunks / result.elapsed_s),
        "cpu_us_per_chunk": round(1e6 * used_s / max(1, result.chunks), 2),
    }


async def _block(
    port: int, request: bytes, clients: int, seconds: float, *, is_stream: bool = False
) -> Result:
    """One block of load; an error makes the whole row worthless, so it ends the measurement."""
    result = await run_load(port, Load(request, clients, seconds, is_stream))
    if result.errors or not result.requests:
        raise RuntimeError(f"{result.errors} errors in {result.requests} requests with {clients} clients")
    return result


def _difference_ms(through_s: list[float], direct_s: list[float], share: float) -> float | None:
    one, other = quantile(through_s, share), quantile(direct_s, share)
    return None if one is None or other is None else round(1000 * (one - other), 3)


@contextmanager
def _upstream() -> Iterator[int]:
    port = _free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.gateway.upstream", "--port", str(port)],
        preexec_fn=lambda: os.sched_setaffinity(0, {LOAD_CORE}),
    )
    try:
        ends_s = time.perf_counter() + 10
        while time.perf_counter() < ends_s:
            with socket.socket() as sock:
                if sock.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        yield port
    finally:
        process.terminate()
        process.wait()


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def _machine() -> dict[str, str]:
    model = "unknown"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "processor": f"{model}, {os.cpu_count()} cores",
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "load_average_before": f"{os.getloadavg()[0]:.2f}",
    }


def _markdown(report: dict[str, Any]) -> str:
    names = list(report["rows"])
    lines = [
        ", ".join(f"{name}: {value}" for name, value in report["machine"].items()),
        "",
        "| | " + " | ".join(f"{name} {report['versions'].get(name, '')}".strip() for name in names) + " |",
        "| --- |" + " ---: |" * len(names),
    ]
    for key, title in COLUMNS:
        cells = []
        for name in names:
            value = report["rows"][name].get(key)
            cells.append("-" if value is None else f"{value:,}")
        lines.append(f"| {title} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
