"""Many independent runs at once: in processes of this machine, or on a cluster that somebody already has.

A cluster is reached through joblib's back ends, so Dask and Ray work alike; both are optional. What comes
back does not depend on where the work was done.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager, ExitStack, contextmanager
from types import TracebackType
from typing import Any, Generic, TypeVar, cast

from spillway.errors import ConfigError

__all__ = ["BACKENDS", "Workers", "usual_workers"]

BACKENDS = ("joblib", "dask", "ray")
"""Where runs may go besides this machine's own processes; ``dask:ADDRESS`` and ``ray:ADDRESS`` say which."""

Shared = TypeVar("Shared")
Item = TypeVar("Item")
Found = TypeVar("Found")


def usual_workers() -> int:
    """Processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Workers(AbstractContextManager["Workers[Shared]"], Generic[Shared]):
    """Processes that all hold ``shared``, made when first needed and gone when the block ends.

    ``backend`` is ``None`` for processes of this machine, else one of ``BACKENDS``, with an address after a
    colon where there is one. ``ConfigError`` when it is not installed or not there.
    """

    def __init__(self, shared: Shared, count: int | None = None, backend: str | None = None) -> None:
        self._shared = shared
        self._count = count or usual_workers()
        self._backend = backend
        self._pool: ProcessPoolExecutor | None = None
        self._stack = ExitStack()

    def __enter__(self) -> Workers[Shared]:
        if self._backend is not None:
            self._stack.enter_context(_cluster(self._backend, self._shared))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool is not None:
            if kind is not None:
                _kill(self._pool)
            self._pool.shutdown(cancel_futures=True)
        self._stack.close()

    def run(
        self,
        function: Callable[[Shared, Item], Found],
        items: Sequence[Item],
        on_done: Callable[[], None] | None = None,
    ) -> list[Found]:
        """``function(shared, item)`` for every item, in the items' order; ``on_done`` after each.

        ``ConfigError`` when a process of this machine was ended by somebody else.
        """
        said = on_done or (lambda: None)
        if self._backend is not None:
            return _gather(self._on_cluster(function, items), said)
        if self._count <= 1 or len(items) <= 1:
            return _gather((function(self._shared, item) for item in items), said)
        try:
            return self._in_processes(function, items, said)
        except BrokenProcessPool:
            raise ConfigError(
                "a process that simulates was ended from outside, most likely because memory ran out: use "
                "fewer of them (--workers 1), or simulate less (--simulate-requests)"
            ) from None

    def _in_processes(
        self, function: Callable[[Shared, Item], Found], items: Sequence[Item], said: Callable[[], None]
    ) -> list[Found]:
        if self._pool is None:
            # Never a bare fork: threads that draw a progress bar would be copied in the middle of their work.
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(self._count, context, _keep, (self._shared,))
        futures: list[Future[Found]] = []
        for item in items:
            with _deaf_children():
                futures.append(self._pool.submit(_call, function, item))
        for future in as_completed(futures):
            future.result()
            said()
        return [future.result() for future in futures]

    def _on_cluster(
        self, function: Callable[[Shared, Item], Found], items: Sequence[Item]
    ) -> Iterator[Found]:
        import joblib

        calls = (joblib.delayed(function)(self._shared, item) for item in items)
        count = self._count if self._backend == "joblib" else -1
        try:
            parallel = joblib.Parallel(n_jobs=count, return_as="generator")
        except ValueError:  # not every back end can answer one by one
            parallel = joblib.Parallel(n_jobs=count)
        return cast(Iterator[Found], iter(parallel(calls)))


def _gather(found: Iterator[Found], said: Callable[[], None]) -> list[Found]:
    out = []
    for each in found:
        out.append(each)
        said()
    return out


@contextmanager
def _deaf_children() -> Iterator[None]:
    """Processes started meanwhile never hear Ctrl-C, and this one hears it when the block ends.

    A worker that heard it would take it for the failure of one run and begin the next
    (https://github.com/python/cpython/issues/125886); one whose start it cut short would belong to nobody.
    """
    with _postponed_interrupt():
        if not hasattr(signal, "pthread_sigmask"):
            yield  # Windows, where the workers are killed all the same
            return
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # which children inherit
        try:
            yield
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _postponed_interrupt() -> Iterator[None]:
    """Blocking the signal is not enough: a library's thread, such as numpy's, takes it for this one."""
    hears = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(hears):
        yield
        return
    heard: list[int] = []
    signal.signal(signal.SIGINT, lambda number, frame: heard.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, hears)
    if heard:
        hears(heard[0], None)


def _kill(pool: ProcessPoolExecutor) -> None:
    """Ends its workers at once, whatever they do: after Ctrl-C or an error nobody wants what they work on."""
    for worker in list((pool._processes or {}).values()):  # Python 3.14 has kill_workers for it
        worker.kill()


_kept: list[Any] = []
"""In a worker process: what all its runs share, sent once when it starts."""


def _keep(shared: Any) -> None:
    _kept[:] = [shared]
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """Ends this worker when nobody is left to take what it finds, however the parent ended."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _call(function: Callable[[Any, Item], Found], item: Item) -> Found:
    return function(_kept[0], item)


@contextmanager
def _cluster(backend: str, shared: Any) -> Iterator[None]:
    """joblib's calls go to that back end while the block runs."""
    kind, _, address = backend.partition(":")
    if kind not in BACKENDS:
        raise ConfigError(f"--backend {kind!r} is unknown; use one of {', '.join(BACKENDS)}")
    try:
        import joblib
    except ImportError:
        raise ConfigError(
            "--backend needs joblib; pip install 'spillway[cluster]', or leave it out to use this machine"
        ) from None
    with ExitStack() as stack:
        if kind == "dask":
            stack.enter_context(_dask(address))
            stack.enter_context(joblib.parallel_config(backend="dask", scatter=[shared]))
        elif kind == "ray":
            _ray(address)
            stack.enter_context(joblib.parallel_config(backend="ray"))
        yield


@contextmanager
def _dask(address: str) -> Iterator[None]:
    try:
        from distributed import Client, get_client
    except ImportError:
        raise ConfigError("--backend dask needs Dask; pip install 'spillway[cluster]'") from None
    wanted = address or os.environ.get("DASK_SCHEDULER_ADDRESS", "")
    if not wanted:
        try:
            get_client()  # the caller has one already
        except ValueError:
            raise ConfigError(
                "--backend dask needs a cluster: write dask:tcp://HOST:8786 or set DASK_SCHEDULER_ADDRESS"
            ) from None
        yield
        return
    try:
        client = Client(wanted, timeout="5s", set_as_default=True)  # type: ignore[no-untyped-call]
    except (OSError, ValueError) as fault:
        raise ConfigError(f"--backend dask: no scheduler answers at {wanted} ({fault})") from None
    with client:
        yield


def _ray(address: str) -> None:
    try:
        import ray
        from ray.util.joblib import register_ray
    except ImportError:
        raise ConfigError("--backend ray needs Ray; pip install ray, or use --backend dask") from None
    if not ray.is_initialized():
        try:
            ray.init(address=address or "auto", log_to_driver=False)
        except ConnectionError as fault:
            raise ConfigError(f"--backend ray: no cluster answers ({fault})") from None
    register_ray()
