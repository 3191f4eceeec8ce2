import os
import sys
import time
from pathlib import Path

import pytest

from bench.gateway.procs import StartError, free_port, only_run, running, tree_cpu_s

SERVER = """
import http.server, sys
class Ready(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers()
    def log_message(self, *_): pass
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Ready).serve_forever()
"""


def test_a_second_run_is_refused_until_the_first_ends(tmp_path: Path) -> None:
    """The lock admits one run at a time, and the next when that is over."""
    with (
        only_run(tmp_path / "lock"),
        pytest.raises(StartError, match="another run"),
        only_run(tmp_path / "lock"),
    ):
        pass
    with only_run(tmp_path / "lock"):
        pass


def test_a_process_runs_from_ready_to_gone(tmp_path: Path) -> None:
    """Inside the block the process answers; after it nothing of it is left."""
    port = free_port()
    argv = (sys.executable, "-c", SERVER, str(port))
    with running(argv, env={}, folder=tmp_path, port=port, ready_path="/", core=None) as process:
        assert process.cold_start_s > 0
        os.kill(process.pid, 0)
    with pytest.raises(ProcessLookupError):
        os.kill(process.pid, 0)


def test_a_process_that_ends_early_says_why(tmp_path: Path) -> None:
    """A failed start carries the end of the process's own log."""
    argv = (sys.executable, "-c", "print('no such option'); raise SystemExit(3)")
    with (
        pytest.raises(StartError, match=r"(?s)ended with 3.*no such option"),
        running(argv, env={}, folder=tmp_path, port=free_port(), ready_path="/", core=None),
    ):
        pass


def test_cpu_time_of_a_tree_is_that_of_the_process() -> None:
    """A busy tenth of a second of CPU is seen, to a hundredth."""
    before_s, own_s = tree_cpu_s(os.getpid()), time.process_time()
    while time.process_time() - own_s < 0.1:
        pass
    assert tree_cpu_s(os.getpid()) - before_s >= 0.08
