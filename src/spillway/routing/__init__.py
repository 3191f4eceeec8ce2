"""Which upstream answers, and why: pure functions of values, the same in the gateway and in the planner."""

from spillway.routing.decide import decide
from spillway.routing.policy import Evidence, NoEvidence, Policy

__all__ = ["Evidence", "NoEvidence", "Policy", "decide"]
