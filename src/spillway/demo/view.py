"""The demo's live view: what went where, why, how fast, and what it cost so far."""

from __future__ import annotations

import time
from collections import deque
from typing import Self

from rich.console import Group
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from spillway.demo.traffic import Answered

__all__ = ["LiveView", "QuietView"]

SHOWN = 14
TEXT_CHARACTERS = 44


class QuietView:
    """Shows nothing: for pipes and ``--json``."""

    def __enter__(self) -> Self:
        """Nothing to set up."""
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to put away."""

    def show(self, answered: Answered) -> None:
        """Nothing."""


class LiveView:
    """A table of the latest answers under a line of totals, for a terminal."""

    def __init__(self, url: str, duration_s: float) -> None:
        self._url = url
        self._ends_s = time.monotonic() + duration_s
        self._latest: deque[Answered] = deque(maxlen=SHOWN)
        self._local = self._cloud = self._errors = 0
        self._cost_usd = 0.0
        self._live = Live(self._render(), refresh_per_second=8)

    def __enter__(self) -> Self:
        """Takes over the terminal's last lines."""
        self._live.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        """Leaves the last picture standing."""
        self._live.__exit__(None, None, None)

    def show(self, answered: Answered) -> None:
        """One more answer."""
        self._latest.append(answered)
        if answered.error is not None:
            self._errors += 1
        elif answered.side == "local":
            self._local += 1
        else:
            self._cloud += 1
        self._cost_usd += answered.cost_usd or 0.0
        self._live.update(self._render())

    def _render(self) -> Group:
        left_s = max(0.0, self._ends_s - time.monotonic())
        total = self._local + self._cloud
        share = f"{100 * self._local / total:.0f} % local" if total else "waiting for the first answer"
        head = Text(
            f"spillway demo · {self._url} · {left_s:.0f} s left · {total} answered, {share}, "
            f"{self._errors} errors, ${self._cost_usd:.6f}"
        )
        table = Table(box=None, pad_edge=False)
        for name, side in (("message", "left"), ("where", "left"), ("why", "left"), ("ttft", "right")):
            table.add_column(name, justify=side)  # type: ignore[arg-type]
        table.add_column("cost", justify="right")
        table.add_column("right")
        for answered in self._latest:
            table.add_row(*_cells(answered))
        return Group(head, table, Text("the cloud is simulated: measured latencies, real list prices"))


def _cells(answered: Answered) -> tuple[str, ...]:
    text = answered.text.replace("\n", " ")
    shown = escape(text if len(text) <= TEXT_CHARACTERS else text[: TEXT_CHARACTERS - 1] + "…")
    if answered.error is not None:
        return shown, "[red]error[/red]", escape(answered.error[:40]), "-", "-", "-"
    colour = "green" if answered.side == "local" else "yellow"
    where = "local" if answered.side == "local" else "cloud (simulated)"
    return (
        shown,
        f"[{colour}]{where}[/{colour}]",
        answered.reasons.removeprefix("name_auto,"),
        "-" if answered.ttft_s is None else f"{1000 * answered.ttft_s:.0f} ms",
        "unknown" if answered.cost_usd is None else f"${answered.cost_usd:.7f}",
        "yes" if answered.is_exact else "no",
    )
