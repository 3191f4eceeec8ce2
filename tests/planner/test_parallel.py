"""Runs spread over processes or a cluster come back in order, whoever did the work."""

from __future__ import annotations

import builtins
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from spillway.errors import ConfigError
from spillway.planner.parallel import Workers, _deaf_children, usual_workers
from spillway.planner.plan import make_plan
from spillway.planner.plan_build import build_inputs
from spillway.planner.report.as_json import dumps
from tests.planner.plans import CHEAP, DEAR, pays


def scaled(shared: int, item: int) -> int:
    """Something to work out; refuses seven."""
    if item == 7:
        raise ValueError("seven")
    return shared * item


def killed(shared: int, item: int) -> int:
    """What the system does to a process when memory runs out."""
    os.kill(os.getpid(), signal.SIGKILL)
    return shared * item


def stubborn(folder: str, item: int) -> None:
    """Never ends by itself, and writes down every Ctrl-C that it hears and who it is."""
    Path(folder, f"{item}-{os.getpid()}").touch()
    while True:
        try:
            time.sleep(60)
        except KeyboardInterrupt:
            Path(folder, "heard").touch()


@pytest.mark.parametrize("count", [1, 2])
def test_answers_come_in_order(count: int) -> None:
    """One process or several: the items' order, and a call after each."""
    done: list[None] = []
    with Workers(10, count) as pool:
        assert pool.run(scaled, [3, 1, 2], lambda: done.append(None)) == [30, 10, 20]
        assert pool.run(scaled, [4, 5]) == [40, 50]
        assert pool.run(scaled, []) == []
    assert len(done) == 3


@pytest.mark.parametrize("count", [1, 2])
def test_a_failing_run_fails_the_whole(count: int) -> None:
    """An error in one run reaches the caller and leaves no process behind."""
    with pytest.raises(ValueError, match="seven"), Workers(1, count) as pool:
        pool.run(scaled, [1, 7, 2])


def test_a_process_that_is_killed_is_said() -> None:
    """One sentence says what most likely ended it and what to do."""
    with pytest.raises(ConfigError, match=r"memory ran out: .*--workers 1"), Workers(1, 2) as pool:
        pool.run(killed, [1, 2, 3])


def stubborn_pool(folder: Path) -> list[str]:
    """The command line of a process with two such workers."""
    # who starts the tests in the background hands down a SIGINT that is ignored
    code = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from spillway.planner.parallel import Workers\n"
        "from tests.planner.test_parallel import stubborn\n"
        f"with Workers({str(folder)!r}, 2) as pool: pool.run(stubborn, range(20))"
    )
    return [sys.executable, "-c", code]


def test_ctrl_c_ends_workers_whatever_they_do(tmp_path: Path) -> None:
    """A terminal sends SIGINT to all of them: only the parent hears it, and it leaves none behind."""
    command = stubborn_pool(tmp_path)
    with subprocess.Popen(command, stderr=subprocess.PIPE, start_new_session=True) as process:
        while len(list(tmp_path.iterdir())) < 2:
            assert process.poll() is None
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(10) == -signal.SIGINT
    begun = sorted(path.name for path in tmp_path.iterdir())
    assert [name.partition("-")[0] for name in begun] == ["0", "1"]
    for name in begun:
        with pytest.raises(ProcessLookupError):
            os.kill(int(name.partition("-")[2]), 0)


def test_workers_end_with_a_parent_that_was_killed(tmp_path: Path) -> None:
    """None goes on for nobody: all have let go of what they were started with."""
    with subprocess.Popen(stubborn_pool(tmp_path), stdout=subprocess.PIPE) as process:
        while len(list(tmp_path.iterdir())) < 2:
            assert process.poll() is None
        process.kill()
        process.communicate(timeout=10)


def test_ctrl_c_waits_until_a_worker_has_started() -> None:
    """Whichever thread the signal reaches, no start is cut short, and nothing of it is lost."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    started = []
    may_send, sent = threading.Event(), threading.Event()

    def send() -> None:
        may_send.wait()
        signal.pthread_kill(threading.get_ident(), signal.SIGINT)
        sent.set()

    def start() -> None:
        with _deaf_children():
            may_send.set()
            sent.wait()
            started.append(True)

    threading.Thread(target=send).start()
    try:
        with pytest.raises(KeyboardInterrupt):
            start()
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)
    assert started


def test_there_is_at_least_one_processor() -> None:
    """The usual number of workers is what this process may use."""
    assert usual_workers() >= 1


def test_joblib_of_this_machine() -> None:
    """joblib's own back end gives the same answers."""
    pytest.importorskip("joblib")
    with Workers(10, 2, "joblib") as pool:
        assert pool.run(scaled, [3, 1, 2]) == [30, 10, 20]


def test_a_caller_may_choose_the_back_end() -> None:
    """Inside the caller's own ``parallel_config`` the runs go where that says."""
    joblib = pytest.importorskip("joblib")
    with joblib.parallel_config(backend="threading"), Workers(10, 2, "joblib") as pool:
        assert pool.run(scaled, [3, 1, 2]) == [30, 10, 20]


def test_without_joblib_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """A back end without joblib installed is one sentence; without a back end nothing is missed."""
    real = builtins.__import__

    def no_joblib(name: str, *arguments: Any, **options: Any) -> Any:
        if name == "joblib":
            raise ImportError(name)
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", no_joblib)
    with pytest.raises(ConfigError, match=r"spillway\[cluster\]"), Workers(1, 1, "joblib"):
        pass
    with Workers(10, 1) as pool:
        assert pool.run(scaled, [3]) == [30]


@pytest.mark.slow
def test_no_scheduler_answers() -> None:
    """An address where nobody listens is said, not waited for."""
    pytest.importorskip("distributed")
    with pytest.raises(ConfigError, match="no scheduler answers"), Workers(1, 1, "dask:tcp://127.0.0.1:9"):
        pass


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_plan_on_a_dask_cluster() -> None:
    """The same sweep on a local Dask cluster of two workers gives the same plan to the last digit."""
    pytest.importorskip("joblib")
    distributed = pytest.importorskip("distributed")
    asked = replace(CHEAP, cloud=DEAR)
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address=None, processes=True
    ) as cluster:
        plan = make_plan(build_inputs(asked), backend=f"dask:{cluster.scheduler_address}")
        assert cluster.scheduler.transition_counter > 0
    assert dumps(plan) == dumps(pays())


@pytest.mark.slow
def test_plan_on_a_ray_cluster() -> None:
    """The same sweep on Ray, where Ray is installed."""
    ray = pytest.importorskip("ray", reason="Ray is not installed")
    ray.init(num_cpus=2, log_to_driver=False, include_dashboard=False)
    try:
        plan = make_plan(build_inputs(replace(CHEAP, cloud=DEAR)), backend="ray")
    finally:
        ray.shutdown()
    assert dumps(plan) == dumps(pays())
