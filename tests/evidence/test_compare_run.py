"""Code that is run is of a harmless kind, and fenced in."""

from __future__ import annotations

import sys
import time

import pytest

from spillway.evidence.compare_run import can_run, compare_runs, passed_ratio

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="processes cannot be limited there")
EXAMPLES = [("double(2)", "4"), ("double(0)", "0")]
GOOD = "def double(x):\n    return x + x\n"
WRONG = "def double(x):\n    return x * x\n"


async def test_examples_tell_right_from_wrong() -> None:
    """The score falls by what the node's code fails and the reference's passes."""
    assert await passed_ratio(GOOD, EXAMPLES) == 1.0
    assert await compare_runs("def double(x):\n    return 3 * x", GOOD, EXAMPLES) == 0.5
    assert await compare_runs(WRONG, GOOD, EXAMPLES) == 1.0
    assert await compare_runs(GOOD, "def double(x):\n    return 1", EXAMPLES) == 2.0
    assert await compare_runs(GOOD, GOOD, []) is None


@pytest.mark.parametrize(
    "code",
    [
        "import os",
        "from subprocess import run",
        "open('/etc/passwd')",
        "().__class__",
        "f = __import__",
        "getattr(1, 'real')",
        "'{0.real}'.format(1)",
        "eval('1')",
        "def f(x: return",
        "from . import x",
    ],
)
def test_code_that_reaches_outside_is_not_run(code: str) -> None:
    """Files, processes, hidden attributes and evaluation are refused before anything starts."""
    assert not can_run(code)


async def test_endless_and_greedy_code_is_ended() -> None:
    """A loop is stopped by its CPU limit, a huge list by its memory limit; both fail their examples."""
    start_s = time.monotonic()
    assert await passed_ratio("while True:\n    pass\n", EXAMPLES) == 0.0
    assert await passed_ratio("x = [0] * 10**10\n" + GOOD, EXAMPLES) == 0.0
    assert time.monotonic() - start_s < 12
