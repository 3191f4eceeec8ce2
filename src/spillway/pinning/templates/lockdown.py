"""Takes from this process what rendering text does not need; runs inside the sandbox process only.

Four layers, so that an escape from Jinja's sandbox finds nothing to do:

1. an audit hook refuses files, sockets, processes, imports and native code while a template runs
   (everywhere);
2. the kernel refuses new files, writes and children, and bounds memory and CPU time (Linux; macOS enforces
   all but memory; Windows has none of these limits);
3. a watcher ends the process when its memory grows past the limit (POSIX);
4. the parent kills it at a deadline (everywhere) and gives it no environment to read.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["EXIT_MEMORY", "MEMORY_BYTES", "Lockdown"]

MEMORY_BYTES = 256 * 1024 * 1024
"""Resident memory a rendering may take; an idle worker has about 25 MB."""
ADDRESS_BYTES = 768 * 1024 * 1024
"""Address space, which counts what is reserved and never touched, so it must be roomier."""
EXIT_MEMORY = 77
"""Exit status of a worker that its watcher ended."""
WATCH_S = 0.02

_HARMLESS_EVENTS = frozenset(
    {"compile", "exec", "builtins.id", "code.__new__", "sys._getframe", "sys.unraisablehook"}
)
"""What compiling a template and reporting its errors raises; none of it reaches outside the process."""


class Lockdown:
    """The limits of this process; once made they cannot be taken back."""

    def __init__(self) -> None:
        self._is_rendering = False
        self._is_watching, self._never = threading.Event(), threading.Event()
        if sys.platform != "win32":
            threading.Thread(target=self._watch, daemon=True).start()
            self._is_watching.wait()  # it opens a file, which nobody may afterwards
            _limit_process()
        sys.addaudithook(self._audit)

    @contextmanager
    def rendering(self, cpu_s: int) -> Iterator[None]:
        """While it lasts, only text can be made, for at most ``cpu_s`` seconds of processor time."""
        if sys.platform != "win32":
            _limit_cpu(cpu_s)
        self._is_rendering = True
        try:
            yield
        finally:
            self._is_rendering = False

    def _audit(self, event: str, arguments: object) -> None:
        if self._is_rendering and event not in _HARMLESS_EVENTS and not event.startswith("object."):
            raise PermissionError(f"a template may not do this: {event}")

    def _watch(self) -> None:
        resident_bytes = _memory_gauge()
        self._is_watching.set()
        while not self._never.wait(WATCH_S):
            if resident_bytes() > MEMORY_BYTES:
                os._exit(EXIT_MEMORY)


if sys.platform != "win32":
    import resource

    def _limit_process() -> None:
        for name, limit in (
            ("RLIMIT_AS", ADDRESS_BYTES),
            ("RLIMIT_CORE", 0),
            ("RLIMIT_FSIZE", 0),
            ("RLIMIT_NOFILE", 3),
            ("RLIMIT_NPROC", 0),
        ):
            _lower(getattr(resource, name), limit)

    def _lower(which: int, limit: int) -> None:
        try:
            resource.setrlimit(which, (limit, limit))
        except (OSError, ValueError):
            pass  # not every system has every limit; the other layers stand

    def _limit_cpu(cpu_s: int) -> None:
        used = resource.getrusage(resource.RUSAGE_SELF)
        soft = int(used.ru_utime + used.ru_stime) + cpu_s + 1
        _, hard = resource.getrlimit(resource.RLIMIT_CPU)
        if hard == resource.RLIM_INFINITY or soft < hard:
            resource.setrlimit(resource.RLIMIT_CPU, (soft, hard))

    def _memory_gauge() -> Callable[[], int]:
        """Tells resident bytes: from /proc where there is one, else the peak so far.

        Linux hands the peak of the parent down to its children, so there it would be the gateway's.
        """
        if not sys.platform.startswith("linux"):
            unit = 1 if sys.platform == "darwin" else 1024
            return lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
        try:
            pages = os.open("/proc/self/statm", os.O_RDONLY)
        except OSError:
            return lambda: 0  # no /proc in this container: the limit on address space stands
        return lambda: int(os.pread(pages, 64, 0).split()[1]) * resource.getpagesize()
