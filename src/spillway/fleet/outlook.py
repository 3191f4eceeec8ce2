"""What is expected of the traffic as a whole: how long answers get, and how much work still fits."""

from __future__ import annotations

from collections.abc import Sequence

from spillway.slo.forecast import work_s
from spillway.slo.lengths import Lengths, OutputLengths, Prompt
from spillway.slo.work_limit import WorkLimit
from spillway.vocabulary import Decision, NodeSnapshot, Pace, RequestFacts

__all__ = ["Outlook"]

RATE = 0.02
"""Weight of the newest arrival in what is typical (guess)."""


class Outlook:
    """Sees every request come and go; one for all nodes."""

    def __init__(self) -> None:
        self.lengths = OutputLengths()
        self.work_limit = WorkLimit()
        self._prompt_tokens: float | None = None
        self._output_tokens = 0.0

    def expect(self, facts: RequestFacts) -> Lengths:
        """How long the answer may get."""
        return self.lengths.expect(Prompt.of(facts), facts.max_output_tokens)

    def unit_s(self, pace: Pace, slots: int) -> float:
        """What a typical request takes of a node; 1 before any came."""
        if self._prompt_tokens is None:
            return 1.0
        return max(work_s(pace, slots, self._prompt_tokens, 0.0, self._output_tokens), 1e-6)

    def limit_s(self, pace: Pace | None, slots: int) -> float:
        """The most node seconds a request may take there and stay; infinite while all fits."""
        return float("inf") if pace is None else self.work_limit.limit * self.unit_s(pace, slots)

    def see(
        self, now_s: float, facts: RequestFacts, decision: Decision, nodes: Sequence[NodeSnapshot]
    ) -> None:
        """One more arrival that a node might answer; under overload such arrivals decide which ones fit."""
        if decision.work_s is None:
            return
        if self._prompt_tokens is None:
            self._prompt_tokens, self._output_tokens = float(facts.input_tokens), facts.usual_output_tokens
        units = [
            self.unit_s(n.pace, n.load.slots) for n in nodes if n.pace is not None and n.load is not None
        ]
        self.work_limit.see(
            now_s, decision.work_s, decision.local_nodes, min(units, default=1.0), decision.spill
        )
        self._prompt_tokens += RATE * (facts.input_tokens - self._prompt_tokens)
        self._output_tokens += RATE * (facts.usual_output_tokens - self._output_tokens)
