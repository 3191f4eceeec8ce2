"""What the relay asks of those who judge answers and of those who watch them."""

from __future__ import annotations

from typing import Protocol

from spillway.relay.run import Job
from spillway.vocabulary import Choice, Outcome

__all__ = ["Observer", "Verifier", "Watch"]


class Watch(Protocol):
    """Judges a stream while it passes."""

    @property
    def is_opening_judged(self) -> bool:
        """Whether what is judged by the beginning of an answer has been judged."""
        ...

    def feed(self, text: str) -> str | None:
        """The code of a gate that the answer can no longer pass, once there is one."""
        ...


class Verifier(Protocol):
    """Judges local answers before a client sees them."""

    def judge(self, job: Job, choice: Choice, answer: bytes) -> str | None:
        """The code of the first gate of ``job.decision.gates`` that the whole answer fails, such as
        ``gate_json``; ``None`` when it passes. ``choice`` is who gave it; ``answer`` is the unstreamed body,
        with log-probabilities when the decision wants them."""
        ...

    def watch(self, job: Job) -> Watch:
        """What judges a stream that is not held, by the gates that can be judged on the way."""
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
