"""What is known of one key, and the rules by which it is trusted or demoted; pure.

Three channels, each with its own limit:

* **gap**: reference minus local, from shadow comparisons, in [-1, 1]; at most ``max_gap``.
* **gate**: share of local answers the gates turned away; at most ``max_escalations``. These did no harm,
  since a cloud answered instead, but a class where most attempts are in vain should not be tried.
* **feedback**: share of bad ratings; at most ``max_gap`` above that of the reference's answers. Until the
  reference is rated too it is taken to be perfect.

A key is **demoted** the moment a lower bound exceeds its limit. It is **trusted** once the upper bound of the
gap, or of the feedback, is within ``max_gap``, or leaves demotion for where it was when only gates had put it
there and their upper bound is within the limit again. Each demotion or way back begins a new *stage* with
fresh counts and a smaller part of the error probability, all parts together ``1 - confidence``: that is what
keeps a key from flapping.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct, field

from spillway.evidence.bounds import PAIRED, UNIT, Interval, Tally
from spillway.evidence.events import Event
from spillway.vocabulary import Side

__all__ = [
    "CHANNELS",
    "Channel",
    "QualityLimits",
    "Record",
    "Standing",
    "Total",
    "channel_limit",
    "reference_bad",
    "stage_alpha",
]

Channel = Literal["gap", "gate", "feedback"]
Standing = Literal["open", "trusted", "demoted"]
"""``open``: nothing shown yet, so configuration decides."""

CHANNELS: dict[Channel, Interval] = {"gap": PAIRED, "gate": UNIT, "feedback": UNIT}
CHANNEL_OF: dict[str, Channel] = {"shadow": "gap", "gate": "gate", "feedback": "feedback"}
DOWN_PARTS: dict[Channel, float] = {"gap": 0.6, "gate": 0.2, "feedback": 0.2}
UP_PARTS: dict[Channel, float] = {"gap": 0.6, "feedback": 0.4, "gate": 1.0}
"""How the channels share the error probability of a stage, for wrong demotion and for wrong trust; gates
alone never lead to trust."""
FIRST_STAGE_PART = 0.8
LATER_STAGES_PART = 0.1
"""Of the error probability; stage k > 0 gets 0.1/(k(k+1))."""
REFERENCE_PART = 0.1
"""Goes to how bad the ratings of the reference are at least."""


class QualityLimits(Struct, frozen=True):
    """What the owner allows."""

    max_gap: float = 0.05
    confidence: float = 0.95
    max_escalations: float = 0.25
    exploration_share: float = 0.02


class Total(Struct):
    """All scores of one channel ever, over all stages."""

    n: int = 0
    sum: float = 0.0

    @property
    def mean(self) -> float | None:
        """``None`` before the first."""
        return self.sum / self.n if self.n else None


class Record(Struct):
    """One key's evidence. ``take`` changes it; nothing here waits or writes."""

    standing: Standing = "open"
    side: Side = "local"
    """Clouds' answers are rated too, as the yardstick; only local records are ever trusted or demoted."""
    stage: int = 0
    cause: Channel | None = None
    """The channel that demoted it, or that it is trusted for."""
    verdict_n: int = 0
    """Scores behind the last change of standing."""
    verdict_bound: float | None = None
    """The bound that was crossed then."""
    changed_at_s: float | None = None
    first_at_s: float | None = None
    last_at_s: float | None = None
    gap: Tally = field(default_factory=Tally)
    gate: Tally = field(default_factory=Tally)
    feedback: Tally = field(default_factory=Tally)
    totals: dict[str, Total] = field(default_factory=dict)

    def tally(self, channel: Channel) -> Tally:
        """The scores of one channel in this stage."""
        match channel:
            case "gap":
                return self.gap
            case "gate":
                return self.gate
            case "feedback":
                return self.feedback

    def take(self, event: Event, limits: QualityLimits, reference_bad: float = 0.0) -> bool:
        """Adds one event; returns whether the standing changed.

        ``reference_bad`` is the share of bad ratings the reference is known to have at least.
        """
        channel = CHANNEL_OF.get(event.kind)
        self.first_at_s = event.at_s if self.first_at_s is None else self.first_at_s
        self.last_at_s = event.at_s
        if channel is None:
            return False
        badness = 1.0 - event.score
        total = self.totals.setdefault(channel, Total())
        total.n += 1
        total.sum += badness
        self.tally(channel).add(badness)
        return self.side == "local" and self._judge(channel, badness, event.at_s, limits, reference_bad)

    def correct(self, event: Event, old_score: float, stage: int, position: int) -> None:
        """A feedback was given again: the earlier score no longer counts."""
        total = self.totals.setdefault("feedback", Total())
        total.sum += old_score - event.score
        if stage == self.stage:
            self.feedback.replace(position, 1.0 - old_score, 1.0 - event.score)

    def reconsider(self, at_s: float, limits: QualityLimits, reference_bad: float) -> bool:
        """Judges feedback again after a correction; returns whether the standing changed."""
        return self.side == "local" and any(
            self._judge("feedback", b, at_s, limits, reference_bad) for b in (1.0, 0.0)
        )

    def _judge(
        self, channel: Channel, badness: float, at_s: float, limits: QualityLimits, reference_bad: float
    ) -> bool:
        """Only a score beyond the limit can push a bound across it, and only on its own side."""
        limit = channel_limit(channel, limits, reference_bad)
        tally, interval = self.tally(channel), CHANNELS[channel]
        if badness > limit:
            alpha = self.alpha_down(channel, limits)
            if self.standing != "demoted" and tally.is_above(limit, alpha, interval):
                self._move("demoted", channel, at_s, tally.lower_bound(alpha, interval))
                return True
        elif self._may_rise_by(channel):
            alpha = self.alpha_up(channel, limits)
            if tally.is_below(limit, alpha, interval):
                self._rise(channel, at_s, tally.upper_bound(alpha, interval))
                return True
        return False

    def _may_rise_by(self, channel: Channel) -> bool:
        if channel == "gate":
            return self.standing == "demoted" and self.cause == "gate"
        if self.standing == "demoted" and self.cause == "gate":
            return False
        return self.standing != "trusted"

    def _rise(self, channel: Channel, at_s: float, bound: float) -> None:
        if self.standing == "demoted":
            self._move("open" if channel == "gate" else "trusted", channel, at_s, bound)
        else:
            self._say("trusted", channel, at_s, bound)

    def _move(self, standing: Standing, channel: Channel, at_s: float, bound: float) -> None:
        """A new stage: what was counted so far has had its say."""
        self._say(standing, channel, at_s, bound)
        self.stage += 1
        self.gap, self.gate, self.feedback = Tally(), Tally(), Tally()

    def _say(self, standing: Standing, channel: Channel, at_s: float, bound: float) -> None:
        self.standing, self.changed_at_s = standing, at_s
        self.cause = None if standing == "open" else channel
        self.verdict_n, self.verdict_bound = self.tally(channel).n, bound

    def alpha_down(self, channel: Channel, limits: QualityLimits) -> float:
        """Chance of a wrong demotion that one channel may use up in this stage."""
        return stage_alpha(limits, self.stage) * DOWN_PARTS[channel]

    def alpha_up(self, channel: Channel, limits: QualityLimits) -> float:
        """Chance of trusting wrongly that one channel may use up in this stage."""
        return stage_alpha(limits, self.stage) * UP_PARTS[channel]


def channel_limit(channel: Channel, limits: QualityLimits, reference_bad: float) -> float:
    """How bad that channel may be on average."""
    match channel:
        case "gap":
            return limits.max_gap
        case "gate":
            return limits.max_escalations
        case "feedback":
            return min(1.0, limits.max_gap + reference_bad)


def stage_alpha(limits: QualityLimits, stage: int) -> float:
    """The part of the error probability that stage may use; all stages and the reference use the whole."""
    alpha = 1.0 - limits.confidence
    if stage == 0:
        return alpha * FIRST_STAGE_PART
    return alpha * LATER_STAGES_PART / (stage * (stage + 1))


def reference_bad(record: Record | None, limits: QualityLimits) -> float:
    """The share of bad ratings the reference surely has; 0 while it has none."""
    if record is None or record.feedback.n == 0:
        return 0.0
    return record.feedback.lower_bound((1.0 - limits.confidence) * REFERENCE_PART, UNIT)
