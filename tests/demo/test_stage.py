"""The demo's stage: what it starts, it ends, and nothing else does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest


@pytest.mark.skipif(sys.platform != "linux", reason="asks /proc for the child")
def test_ctrl_c_reaches_the_demo_alone_and_ends_it_without_a_word() -> None:
    """A terminal signals the whole foreground group; the simulated cloud, still starting, is not in it."""
    # who starts the tests in the background hands down a SIGINT that is ignored
    heard = "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler)"
    code = f"{heard}; from spillway.cli import run; sys.exit(run(['demo', '--json']))"
    with subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        wait_for_cloud(process)
        time.sleep(0.1)
        os.killpg(process.pid, signal.SIGINT)
        said, complaints = process.communicate(timeout=20)
    assert (process.returncode, said, complaints) == (130, b"", b"")


def wait_for_cloud(process: subprocess.Popen[bytes]) -> None:
    """Returns when the simulated cloud's interpreter is starting."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    while not any(
        b"spillway.demo.cloud" in Path(f"/proc/{child}/cmdline").read_bytes()
        for child in children.read_text().split()
    ):
        assert process.poll() is None
        time.sleep(0.01)
