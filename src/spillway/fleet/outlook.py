"""What is expected of the traffic as a whole: how long answers get, and how much work still fits."""

from __future__ import annotations

from spillway.slo.lengths import OutputLengths
from spillway.slo.work_limit import WorkLimit
from spillway.vocabulary import Decision

__all__ = ["Outlook"]


class Outlook:
    """Sees every request come and go; one for all nodes."""

    def __init__(self) -> None:
        self.lengths = OutputLengths()
        self.work_limit = WorkLimit()

    def see(self, now_s: float, decision: Decision) -> None:
        """One more arrival that a node might answer; under overload such arrivals decide which ones fit."""
        if decision.work_s is not None:
            self.work_limit.see(now_s, decision.work_s, decision.local_nodes)
