"""What is expected of the traffic as a whole: how long answers get, and how much work a request is."""

from __future__ import annotations

from collections.abc import Sequence

from spillway.slo.forecast import LEAST_FORECAST_S, work_s
from spillway.slo.lengths import Lengths, OutputLengths, Prompt
from spillway.slo.usual_work import UsualWork, next_size
from spillway.vocabulary import Decision, NodeSnapshot, Pace, RequestFacts

__all__ = ["Outlook"]


class Outlook:
    """Sees every request come and go; one for all nodes."""

    def __init__(self) -> None:
        self.lengths = OutputLengths()
        self._usual = UsualWork()
        self._prompt_tokens = self._output_tokens = 0.0

    def expect(self, facts: RequestFacts) -> Lengths:
        """How long the answer may get."""
        return self.lengths.expect(Prompt.of(facts), facts.max_output_tokens)

    def usual_work_s(self, pace: Pace | None, slots: int) -> float | None:
        """Node seconds that a usual request takes there; ``None`` before any came or without a pace."""
        if pace is None or self._usual.value is None:
            return None
        return self._usual.value * self._unit_s(pace, slots)

    def see(self, facts: RequestFacts, decision: Decision, nodes: Sequence[NodeSnapshot]) -> None:
        """One more arrival that a node might answer."""
        if decision.work_s is None:
            return
        if self._usual.value is None:
            self._prompt_tokens, self._output_tokens = float(facts.input_tokens), facts.usual_output_tokens
        units = [
            self._unit_s(n.pace, n.load.slots) for n in nodes if n.pace is not None and n.load is not None
        ]
        self._usual.see(decision.work_s / min(units, default=1.0))
        self._prompt_tokens = next_size(self._prompt_tokens, facts.input_tokens)
        self._output_tokens = next_size(self._output_tokens, facts.usual_output_tokens)

    def _unit_s(self, pace: Pace, slots: int) -> float:
        """What a request of the usual sizes takes of a node that holds nothing of its prompt.

        Work is counted in it, so that a node getting slower does not look as if requests had become larger.
        """
        return max(work_s(pace, slots, self._prompt_tokens, 0.0, self._output_tokens), LEAST_FORECAST_S)
