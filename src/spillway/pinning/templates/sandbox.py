"""Renders template texts in a process of their own that can do nothing but render, and not for long."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Any

from spillway.pinning.templates.failures import FAILURE_KINDS, Failure, FailureKind
from spillway.pinning.templates.lockdown import EXIT_MEMORY
from spillway.pinning.templates.rendered import Dialect, Rendered

__all__ = ["REFERENCE_NOW_S", "TemplateSandbox"]

REFERENCE_NOW_S = 1_735_732_800.0
"""The date that templates are told, 2025-01-01 12:00 UTC: a digest must not change overnight."""
BUDGET_S = 2.0
"""Time for all conversations of one template together; real templates need about 10 ms."""
START_S = 30.0
"""Time for the worker to come up, generous for a machine under full load; usually 0.1 s."""
TEXT_CHARACTERS = 1_000_000
"""A longer template is refused unread; the longest real one known has 17,000."""
_SIGXCPU = getattr(signal, "SIGXCPU", 24)  # Windows has no name for it, nor the signal
ANSWER_BYTES = 16_000_000
"""Longest answer line: a million characters, each escaped, and a little more."""


class TemplateSandbox:
    """One worker process, started when first needed and again after one that was killed.

    Blocks while rendering; callers on an event loop use a thread. Safe to share between threads, which take
    turns. Close it, or use it as a context manager.
    """

    def __init__(self, *, budget_s: float = BUDGET_S) -> None:
        self._budget_s = budget_s
        self._lock = threading.Lock()
        self._worker: _Worker | None = None

    def render(
        self,
        text: str,
        contexts: Sequence[Mapping[str, Any]],
        *,
        dialect: Dialect = "jinja",
        now_s: float = REFERENCE_NOW_S,
    ) -> tuple[Rendered, ...]:
        """One result per context, in order; never raises for anything that a template does.

        After a rendering that had to be stopped the remaining contexts are not tried: they share its failure.
        """
        if len(text) > TEXT_CHARACTERS:
            failure = Failure("output", f"it is {len(text):,} characters long, more than any chat template")
            return (Rendered(None, failure),) * len(contexts)
        job = {
            "dialect": dialect,
            "text": text,
            "contexts": contexts,
            "now_s": now_s,
            "budget_s": self._budget_s,
        }
        line = json.dumps(job).encode() + b"\n"
        with self._lock:
            return self._run(line, len(contexts))

    def close(self) -> None:
        """Ends the worker."""
        with self._lock:
            self._drop()

    def __enter__(self) -> TemplateSandbox:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _run(self, line: bytes, count: int) -> tuple[Rendered, ...]:
        if self._worker is None or not self._worker.is_alive:
            self._worker = _Worker()
        results = self._worker.answers(line, count, self._budget_s)
        if len(results) < count:
            failure = self._worker.why_it_ended()
            self._drop()
            results += [Rendered(None, failure)] * (count - len(results))
        return tuple(results)

    def _drop(self) -> None:
        if self._worker is not None:
            self._worker.end()
            self._worker = None


class _Worker:
    """One sandbox process."""

    def __init__(self) -> None:
        self._was_killed = False
        self._process = subprocess.Popen(
            [sys.executable, "-s", "-P", "-B", "-m", "spillway.pinning.templates.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=_environment(),
        )
        with self._deadline(START_S):
            self.has_started = self._line() is not None

    @property
    def is_alive(self) -> bool:
        """Whether it can take another job."""
        return self.has_started and self._process.poll() is None

    def answers(self, job: bytes, count: int, budget_s: float) -> list[Rendered]:
        """Up to ``count`` results; fewer when the worker ended, was killed or answered nonsense."""
        results: list[Rendered] = []
        if not self.is_alive:
            return results
        with self._deadline(budget_s):
            if not self._send(job):
                return results
            for _ in range(count):
                result = _result(self._line())
                if result is None:
                    break
                results.append(result)
        return results

    def why_it_ended(self) -> Failure:
        """In words, after ``answers`` came back short."""
        self.end()
        if not self.has_started:
            return Failure("sandbox", "the template sandbox could not be started")
        status = self._process.returncode
        if status == EXIT_MEMORY:
            return Failure("memory", "it needs more memory than the sandbox has")
        if self._was_killed or status == -_SIGXCPU:
            return Failure("time", "it was still running at the deadline")
        return Failure("crash", f"the sandbox died under it (exit status {status})")

    def end(self) -> None:
        """The process is gone and its pipes are closed."""
        if self._process.poll() is None:
            self._process.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()
        self._process.wait()

    def _send(self, job: bytes) -> bool:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(job)
            self._process.stdin.flush()
        except OSError:
            return False
        return True

    def _line(self) -> bytes | None:
        assert self._process.stdout is not None
        line = self._process.stdout.readline(ANSWER_BYTES)
        return line if line.endswith(b"\n") else None

    @contextmanager
    def _deadline(self, budget_s: float) -> Iterator[None]:
        timer = threading.Timer(budget_s, self._kill)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _kill(self) -> None:
        self._was_killed = True
        self._process.kill()


def _result(line: bytes | None) -> Rendered | None:
    """What a worker's line says; ``None`` when there is none or it is not one of ours."""
    try:
        answer = json.loads(line or b"")
        if "text" in answer:
            return Rendered(
                str(answer["text"]), None, bool(answer["is_dated"]), tuple(map(str, answer["liberties"]))
            )
        kind: FailureKind = answer["kind"]
        return Rendered(None, Failure(kind, str(answer["message"]))) if kind in FAILURE_KINDS else None
    except (ValueError, KeyError, TypeError):
        return None


def _environment() -> dict[str, str]:
    """Where to find Python's modules, and nothing else: no keys, no home, no proxy."""
    kept = {name: os.environ[name] for name in ("SYSTEMROOT",) if name in os.environ}
    return kept | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
