"""Runs the built-in policies compiled to machine code, with the results of the interpreted simulator.

The physics (``planner.physics``), the baselines' choices (``planner.choosing``) and the forecast arithmetic
(``slo``) are the very functions that run interpreted; ``compiled_loop`` adds the loop around them. numba is
imported only when somebody asks for it, and may be missing or broken: then everything runs interpreted
(decision 0009).
"""

from __future__ import annotations

import hashlib
import inspect
import os
import shutil
import sys
import time
from collections.abc import Callable
from functools import lru_cache
from importlib import import_module
from importlib.resources import files
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from spillway.planner import choosing, compiled_loop, compiled_ours, outlook, physics, pooling
from spillway.planner.compiled_tasks import task_of
from spillway.planner.events import Fates, Node, room_to_compare
from spillway.planner.physics import NONE, UNKNOWN
from spillway.planner.policies import AllCloud, Policy
from spillway.planner.runs import Arrivals, Fleet, Played
from spillway.planner.workload import Floats
from spillway.slo import forecast, hedges, lengths, margin, turns, usual_work
from spillway.slo.pace import LinearPace

__all__ = ["cache_folder", "can_run", "play", "prepare"]

NODE_FIELDS: dict[str, Any] = {
    "base": np.int64, "slots": np.int64, "cache_tokens": float, "context_tokens": float, "context_s": float,
    "now_s": float, "next_s": float, "event_s": float, "timer_s": float,
    "in_flight": np.int64, "busy_s": float, "area_s": float, "usual_service_s": float,
    "usual_first_s": float, "head": np.int64, "tail": np.int64, "first_waiting": np.int64,
    "queued": np.int64, "waiting": np.int64, "queued_s": float, "queued_chunks": float,
    "queued_tokens": float, "sent_s": float, "reading": np.int64, "reading_count": np.int64,
    "reading_tokens": np.int64, "pass_s": float, "left_s": float, "chunk_s": float,
    "is_read_due": np.bool_, "running": np.int64, "tokens": float, "token_rate": float,
    "read_rate": float, "context": float, "taken": np.int64, "cache_used": float,
    "first_done": np.int64, "last_done": np.int64, "done": np.int64,
}  # fmt: skip
"""The fields of ``events.NodeState`` that ``physics`` works on."""
JOB_FIELDS: dict[str, Any] = {
    "arrived_s": float, "prefill_s": float, "first_s": float, "end_s": float, "prompt_tokens": np.int32,
    "output_tokens": np.int32, "cached_tokens": np.int32, "chunks": np.int32, "sharers": np.int32,
    "next": np.int32, "next_done": np.int32, "is_lost": np.bool_, "fate": np.int8, "leaves_s": float,
    "hedge_s": float, "asked_s": float, "cloud_s": float, "told_s": float, "miss_weight": float,
    "yields_s": float, "moved_to": np.int16, "moves_until_s": float, "in_time_at": np.int64,
    "usual_tokens": float,
}  # fmt: skip
"""The fields of ``events.Job``; its number is its place."""
NODE_ROW = np.dtype(list(NODE_FIELDS.items()), align=True)
JOB_ROW = np.dtype(list(JOB_FIELDS.items()), align=True)

LEFT_ALONE_S = 3600.0
"""How long after its last change another version's folder of machine code is left alone."""
PLANNER_SOURCES = (
    *("physics", "pooling", "choosing", "outlook", "routed"),
    *("compiled", "compiled_loop", "compiled_ours", "compiled_tasks"),
)
SLO_SOURCES = ("admission", "forecast", "hedges", "lengths", "margin", "pace", "turns", "usual_work")
SOURCES = (
    *(f"planner/{name}.py" for name in PLANNER_SOURCES),
    *(f"slo/{name}.py" for name in SLO_SOURCES),
)
"""What the machine code is made from: functions, and constants that are baked in."""


class TableArrays(NamedTuple):
    """``events.Tables`` as arrays: jobs by request, one heap after the other and a twin's last."""

    jobs: NDArray[np.void]
    due: Floats
    who: NDArray[np.int64]
    steps_s: Floats
    hedges: Floats
    yields_s: Floats
    leaves_s: Floats
    is_passed: NDArray[np.bool_]


def _functions(module: ModuleType) -> list[Callable[..., Any]]:
    """The functions that a module itself defines."""
    return [f for _, f in inspect.getmembers(module, inspect.isfunction) if f.__module__ == module.__name__]


MODULES = (physics, pooling, choosing, outlook, lengths, compiled_loop, compiled_ours)
SHARED: tuple[Callable[..., Any], ...] = (
    *(f for module in MODULES for f in _functions(module)),
    *(forecast.wait_s, forecast.ttft_s, forecast.total_s, forecast.work_seconds),
    *(forecast.patience_s, forecast.usable_s, forecast.miss_weight),
    *(usual_work.next_size, usual_work.next_usual, usual_work.weighed_s),
    *(turns.yields_s, turns.may_go, turns.next_up),
    *(margin.next_margin, margin.next_quantile, hedges.saved_after),
)
"""All functions that may be called from machine code."""


@lru_cache(maxsize=1)
def can_run() -> bool:
    """Whether numba can be imported and is not switched off; the first call may take half a second."""
    if os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0"):
        return False
    try:
        import_module("numba")
    except Exception:  # beside a numpy or a Python it does not know, it fails in ways of its own
        return False
    return True


def prepare() -> None:
    """The machine code is there for this and other processes; making it takes some seconds."""
    if can_run():
        pace = LinearPace(step_base_s=1.0)
        ints, floats = np.zeros(0, dtype=np.int32), np.zeros(0)
        nothing = Arrivals(floats, ints, ints, ints, ints, floats, ints, floats, ints, floats)
        play(nothing, Fleet(pace, 1, 1), AllCloud())


def play(arrivals: Arrivals, fleet: Fleet, policy: Policy) -> Played | None:
    """The run's choices and times; ``None`` for a policy that has no compiled form, and then nothing ran."""
    node = Node(fleet.pace, fleet.slots, Fates.of(0), fleet.cache_tokens, fleet.context_tokens)
    task = task_of(policy, node, fleet.nodes, arrivals)
    if task is None:
        return None
    jobs, nodes = _jobs(arrivals), _rows(node, fleet.nodes)
    size = (fleet.nodes + 1) * fleet.slots
    steps_s = np.array(node.pace.steps_s)
    room = (np.array(values) for values in room_to_compare())
    tables = TableArrays(jobs, np.zeros(size), np.zeros(size, dtype=np.int64), steps_s, np.zeros(1), *room)
    choices = np.zeros(len(jobs), dtype=np.int16)
    _loop()(nodes, _rows(node, 1), tables, task.run, task.mind, task.rules, choices)
    return Played(
        choices,
        jobs["moved_to"],
        jobs["first_s"],
        jobs["end_s"],
        jobs["asked_s"],
        jobs["fate"],
        tuple(nodes["busy_s"].tolist()),
        tuple(nodes["area_s"].tolist()),
    )


def _jobs(arrivals: Arrivals) -> NDArray[np.void]:
    jobs = np.zeros(len(arrivals.time_s), dtype=JOB_ROW)
    jobs["arrived_s"] = arrivals.time_s
    jobs["prompt_tokens"] = arrivals.prompt_tokens
    jobs["output_tokens"] = arrivals.output_tokens
    jobs["cached_tokens"] = arrivals.cached_tokens
    jobs["prefill_s"] = arrivals.prefill_s
    jobs["chunks"] = arrivals.chunks
    jobs["leaves_s"] = jobs["hedge_s"] = jobs["moves_until_s"] = np.inf
    jobs["in_time_at"] = pooling.ALL_NODES
    jobs["asked_s"] = UNKNOWN
    jobs["moved_to"] = NONE
    jobs["cloud_s"] = arrivals.cloud_first_s
    return jobs


def _rows(node: Node, count: int) -> NDArray[np.void]:
    """So many nodes as ``node`` is, each with its part of the heap."""
    rows = np.zeros(count, dtype=NODE_ROW)
    for name in NODE_FIELDS:
        rows[name] = getattr(node, name)
    rows["base"] = np.arange(count) * node.slots
    return rows


@lru_cache(maxsize=1)
def _loop() -> Callable[..., None]:
    """The compiled loop; the first call in a process reads the machine code or makes it (some seconds)."""
    numba, extending = import_module("numba"), import_module("numba.extending")
    for function in SHARED:
        extending.register_jitable(function)
    before = numba.config.CACHE_DIR
    if not before:
        numba.config.CACHE_DIR = str(cache_folder())
    try:
        return cast(Callable[..., None], numba.njit(cache=True, nogil=True)(compiled_loop.run))
    finally:
        numba.config.CACHE_DIR = before


def cache_folder() -> Path:
    """A folder named after the sources, since numba itself watches only one file of several.

    Those of other sources go, but not while another version may still be writing there.
    """
    digest = hashlib.sha256()
    for name in SOURCES:
        digest.update(files("spillway").joinpath(name).read_bytes())
    folder = usercache_folder() / "simulator"
    mine = folder / digest.hexdigest()[:16]
    if folder.is_dir():
        for other in folder.iterdir():
            if other != mine and time.time() - other.stat().st_mtime > LEFT_ALONE_S:
                shutil.rmtree(other, ignore_errors=True)
    return mine


def usercache_folder() -> Path:
    """Where this system keeps what a program can make again."""
    if named := os.environ.get("XDG_CACHE_HOME"):
        return Path(named) / "spillway"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "spillway"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local")) / "spillway" / "cache"
    return Path.home() / ".cache" / "spillway"
