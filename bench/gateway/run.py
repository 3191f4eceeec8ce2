"""``python -m bench.gateway.run``: gateways side by side, in one run, on one machine."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import uvloop

from bench.gateway import peers
from bench.gateway.measure import FULL, QUICK, Plan, Session, measure_direct, measure_target
from bench.gateway.procs import StartError, cores, free_port, only_run, pin_self, running
from bench.gateway.report import DIRECT_FIGURES, Row, as_json, as_markdown, make_row
from bench.gateway.targets import CHECKOUT, TARGETS

__all__ = ["main"]

DIRECT = "direct"
NAMES = (DIRECT, *TARGETS)
LONGEST_S = 1200.0
NOTES = (
    "Added: gateway minus direct, paired blocks, every request counted. `direct` shows absolute milliseconds,"
    + " `direct − direct` what the method itself adds. `~`: the passes differ by more than a quarter;"
    + " `invalid`: a wrong or missing answer.",
    "",
)


def main() -> int:
    """0 done, 1 when any row is invalid, 2 when nothing could be measured."""
    options = _options()
    names = options.targets.split(",")
    unknown = [name for name in names if name not in NAMES]
    if unknown or not sys.platform.startswith("linux"):
        what = (
            f"unknown target {unknown[0]!r}; known: {', '.join(NAMES)}"
            if unknown
            else "this bench needs Linux (/proc)"
        )
        print(what, file=sys.stderr)
        return 2
    plan = QUICK if options.quick else FULL
    pinned = cores()
    facts = _facts(plan, pinned)  # before pinning: the load average is of the machine as found
    pin_self(pinned[1] if pinned else None)
    try:
        with only_run(peers.cache_folder() / "run.lock"):
            sessions = uvloop.run(_measure(names, plan, pinned[0] if pinned else None))
    except StartError as error:
        print(error, file=sys.stderr)
        return 2
    rows = _rows(sessions)
    text = as_markdown(rows, facts, NOTES)
    print(text)
    if options.markdown:
        options.markdown.write_text(text)
    if options.json:
        options.json.write_text(json.dumps(as_json(rows, facts), indent=1) + "\n")
    return 1 if any(row.errors for row in rows) else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.gateway.run", description=__doc__)
    parser.add_argument("--targets", default=",".join(NAMES), help=f"default: {','.join(NAMES)}")
    parser.add_argument("--quick", action="store_true", help="one short pass: under two minutes, noisier")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--markdown", type=Path, metavar="FILE")
    return parser.parse_args()


async def _measure(names: Sequence[str], plan: Plan, core: int | None) -> dict[str, list[Session]]:
    sessions: dict[str, list[Session]] = {name: [] for name in names if name == DIRECT or _is_installed(name)}
    stop_s = time.monotonic() + LONGEST_S
    with tempfile.TemporaryDirectory(prefix="spillway-bench-") as folder:
        upstream_port = free_port()
        with running(
            (sys.executable, "-m", "bench.gateway.upstream", "--port", str(upstream_port)),
            env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
            folder=Path(folder),
            port=upstream_port,
            ready_path="/v1/models",
            core=min(os.sched_getaffinity(0)) if core is not None else None,
        ):
            for number in range(plan.passes):
                # Backwards in every second pass, so that a machine that grows slower favours nobody.
                for name in list(sessions)[:: 1 if number % 2 == 0 else -1]:
                    if time.monotonic() > stop_s:  # a gateway that hangs must not cost the others' figures
                        print(f"{name}: left out, {LONGEST_S:g} s are over", file=sys.stderr)
                        continue
                    own = Path(folder) / f"{name}-{number}"
                    own.mkdir()
                    sessions[name].append(await _session(name, plan, upstream_port, own, core))
    return sessions


async def _session(name: str, plan: Plan, upstream_port: int, folder: Path, core: int | None) -> Session:
    started_s = time.monotonic()
    if name == DIRECT:
        session = await measure_direct(plan, upstream_port)
    else:
        session = await measure_target(TARGETS[name], plan, upstream_port, folder, core)
    failed = f", errors in {', '.join(session.errors)}" if session.errors else ""
    print(f"{name}: {time.monotonic() - started_s:.0f} s{failed}", file=sys.stderr)
    await asyncio.sleep(0.5)  # the core is quiet before the next one starts
    return session


def _is_installed(name: str) -> bool:
    if TARGETS[name].version() is not None:
        return True
    print(f"{name}: not installed; run python -m bench.gateway.setup_peers", file=sys.stderr)
    return False


def _rows(sessions: Mapping[str, list[Session]]) -> list[Row]:
    rows: list[Row] = []
    for name, found in sessions.items():
        if name == DIRECT:
            rows.append(make_row(name, "direct", None, found, DIRECT_FIGURES))
            rows.append(make_row("direct-direct", "direct − direct", None, found))
        else:
            rows.append(make_row(name, TARGETS[name].title, TARGETS[name].version(), found))
    return rows


def _facts(plan: Plan, pinned: tuple[int, int] | None) -> dict[str, str]:
    placed = (
        f"gateway on core {pinned[0]}, load and upstream on core {pinned[1]}"
        if pinned
        else "not pinned: one core"
    )
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "processor": f"{_processor()}, {os.cpu_count()} cores",
        "system": f"{platform.system()} {platform.release()}",
        "Python": peers.python_version(),
        "uvloop": peers.package_version(Path(sys.executable), "uvloop") or "unknown",
        "load before": f"{os.getloadavg()[0]:.2f}",
        "placement": placed,
        "plan": f"{plan.passes} passes of {plan.pairs} pairs of {plan.block_s:g} s",
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


if __name__ == "__main__":
    raise SystemExit(main())
