"""What the relay asks of those who judge answers and of those who watch them."""

from __future__ import annotations

from typing import Protocol

from spillway.relay.run import Job
from spillway.vocabulary import Outcome

__all__ = ["Observer", "Verifier"]


class Verifier(Protocol):
    """Judges local answers before a client sees them."""

    def judge(self, job: Job, answer: bytes) -> str | None:
        """The code of the first gate of ``job.decision.gates`` that the whole answer fails, such as
        ``gate_json``; ``None`` when it passes. ``answer`` is the unstreamed body, with log-probabilities when
        the decision wants them."""
        ...


class Observer(Protocol):
    """Learns what was answered, after the client has it."""

    def wants(self, job: Job) -> bool:
        """Whether to keep this answer for ``note``; asked before it begins."""
        ...

    def note(self, job: Job, outcome: Outcome, answer: bytes) -> None:
        """One request as it ended. ``answer`` is the unstreamed body, whatever form the client got; it is
        empty when there is none."""
        ...
