"""Processes the bench starts, and what ``/proc`` says they used. Linux only."""

from __future__ import annotations

import contextlib
import fcntl
import http.client
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = [
    "Running",
    "StartError",
    "cores",
    "free_port",
    "get_json",
    "only_run",
    "pin_self",
    "running",
    "tree_cpu_s",
    "tree_rss_mib",
]

CLOCK_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
READY_POLL_S = 0.005
STOP_PATIENCE_S = 5.0


class StartError(Exception):
    """A process ended, or was not ready in time; the message carries the end of its log."""


@dataclass(frozen=True)
class Running:
    """A started process that answered its readiness URL."""

    pid: int
    port: int
    cold_start_s: float  # exec until the first 200 of the readiness URL


def cores() -> tuple[int, int] | None:
    """The core of the gateway and the core of load and upstream; None when the machine gives us only one."""
    allowed = sorted(os.sched_getaffinity(0))
    return (allowed[0], allowed[1]) if len(allowed) > 1 else None


def pin_self(core: int | None) -> None:
    """This process, and what it starts from now on, runs on that core only."""
    if core is not None:
        os.sched_setaffinity(0, {core})


@contextlib.contextmanager
def only_run(lock: Path) -> Iterator[None]:
    """No other run measures meanwhile, for two on the same cores would measure each other (StartError)."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StartError("another run of this bench is under way") from error
        yield


def free_port() -> int:
    """A loopback port that nobody listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def get_json(port: int, path: str, headers: Mapping[str, str] | None = None) -> tuple[int, bytes]:
    """Status and body of one GET; OSError when nobody listens or the answer is late."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", path, headers=dict(headers or {}))
        response = connection.getresponse()
        return response.status, response.read()
    except http.client.HTTPException as error:
        raise OSError(str(error)) from error
    finally:
        connection.close()


@contextlib.contextmanager
def running(
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    folder: Path,
    port: int,
    ready_path: str,
    core: int | None,
    patience_s: float = 90.0,
) -> Iterator[Running]:
    """The process, ready, on its core and in its own session; afterwards its whole process group is gone."""
    log = folder / "output.log"
    with log.open("wb") as output:
        started_s = time.perf_counter()
        process = subprocess.Popen(
            argv,
            env=dict(env),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=lambda: pin_self(core),
        )
    try:
        cold_start_s = _await_ready(process, port, ready_path, log, started_s, patience_s)
        yield Running(process.pid, port, cold_start_s)
    finally:
        _stop(process)


def _await_ready(
    process: subprocess.Popen[bytes], port: int, path: str, log: Path, started_s: float, patience_s: float
) -> float:
    while (waited_s := time.perf_counter() - started_s) < patience_s:
        if process.poll() is not None:
            raise StartError(
                f"ended with {process.returncode} before it was ready; its log ends: {_end_of(log)}"
            )
        try:
            if get_json(port, path)[0] == 200:
                return time.perf_counter() - started_s
        except OSError:
            pass
        time.sleep(READY_POLL_S)
    raise StartError(f"not ready after {waited_s:.0f} s; its log ends: {_end_of(log)}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(STOP_PATIENCE_S)
    with contextlib.suppress(ProcessLookupError):  # children that outlived it, or it itself
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _end_of(log: Path) -> str:
    return log.read_bytes()[-1500:].decode(errors="replace").strip() or "(empty)"


def tree_cpu_s(pid: int) -> float:
    """User plus system seconds the process and its living descendants have used, to a hundredth."""
    return sum(_cpu_ticks(member) for member in _tree(pid)) / CLOCK_TICKS_PER_S


def tree_rss_mib(pid: int) -> float:
    """Resident MiB summed over the process and its descendants; pages they share count for each."""
    return sum(_rss_kb(member) for member in _tree(pid)) / 1024


def _tree(pid: int) -> list[int]:
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (fields := _stat_fields(int(entry.name))):
            children.setdefault(int(fields[1]), []).append(int(entry.name))
    members = [pid]
    for member in members:  # grows while it is walked
        members.extend(children.get(member, []))
    return members


def _stat_fields(pid: int) -> list[str]:
    with contextlib.suppress(OSError):
        # The command's name stands in parentheses and may hold spaces: count fields from the last one.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return []


def _cpu_ticks(pid: int) -> int:
    fields = _stat_fields(pid)
    return int(fields[11]) + int(fields[12]) if fields else 0


def _rss_kb(pid: int) -> int:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1])
    return 0
