from __future__ import annotations

import subprocess
import sys
import time
from typing import Any

import pytest

from spillway.classify import facts_of, load_model

MEBI = 1 << 20


def test_importing_the_package_does_not_import_numpy() -> None:
    """numpy comes with the weights, so starting the gateway does not pay for it."""
    code = "import sys, spillway.classify; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    "text",
    [
        "Classify.\n\n" + "word " * (2 * MEBI // 5),
        "a" * 2 * MEBI,
        "\n" * 2 * MEBI,
        "<a>" * (2 * MEBI // 3),
        "<env " * (2 * MEBI // 5),
        "```\n" * (MEBI // 2),
        "> q\n" * (MEBI // 2),
        "日本語の文章" * (MEBI // 9),
        "\x00\x01" * MEBI,
        "please thanks " * (MEBI // 7),
        "classify this as a task to route " * (MEBI // 17),
        "    {[(" * (MEBI // 4),
    ],
    ids=lambda text: repr(text[:12]),
)
def test_time_is_bounded_whatever_comes(text: str) -> None:
    """Two megabytes of anything cost milliseconds, not more (the bound leaves room for a busy machine)."""
    model = load_model()
    body: dict[str, Any] = {"messages": [{"role": "user", "content": text}]}
    model.guess(facts_of(body))
    costs = []
    for _ in range(5):
        before = time.process_time()
        model.guess(facts_of(body))
        costs.append(time.process_time() - before)
    assert min(costs) < 0.010


@pytest.mark.parametrize(
    "more",
    [
        {"messages": [{"role": "system", "content": "You are x. " * (MEBI // 5)}, {"content": "hi there"}]},
        {"messages": [{"role": "user", "content": "What is rain?"}] * 100_000},
        {"prompt": "hi there", "tools": [{"wide": {str(i): i for i in range(200_000)}}]},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "so"}] * 100_000}]},
        {"messages": [{"role": "user", "content": "go"}, {"role": "tool", "content": "x y " * (MEBI // 2)}]},
    ],
    ids=["system", "messages", "tools", "parts", "results"],
)
def test_time_is_bounded_around_the_last_turn_too(more: dict[str, Any]) -> None:
    """Huge system prompts, histories, tools and tool results cost no more than huge prompts."""
    model = load_model()
    costs = []
    for _ in range(5):
        before = time.process_time()
        model.guess(facts_of(more))
        costs.append(time.process_time() - before)
    assert min(costs) < 0.010
