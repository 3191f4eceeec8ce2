"""``quality``: how good local answers must be, and what may be spent on finding out."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

from pydantic import Field

from spillway.config.section import Section

__all__ = ["QualityConfig", "ShadowConfig"]


class ShadowConfig(Section):
    """Asking the other side as well for a sample of requests, off the caller's path, to compare answers.

    Nothing is asked unless ``share`` is set; calls to a cloud also need ``usd_per_day``. Private requests and
    those pinned to one side are never part of it.
    """

    share: float = Field(0.0, ge=0, le=1, description="Share of requests whose answers are compared.")
    usd_per_day: Decimal = Field(
        Decimal(0), ge=0, description="Most that a day's comparisons may cost (UTC)."
    )
    tasks: tuple[str, ...] = Field((), description="Only these task classes; none named means all.")
    judge: str | None = Field(None, description="CLOUD/MODEL or NODE/MODEL that compares free texts.")
    runs_code: bool = Field(False, description="Also run simple answers in Python, in a limited process.")
    max_parallel: int = Field(2, ge=1, le=64, description="Comparisons at once.")


class QualityConfig(Section):
    """How good local answers must be, by evidence from your own traffic."""

    max_gap: float = Field(
        0.05, ge=0, lt=1, description="How much worse than the reference a task class may be, 0 to 1."
    )
    confidence: float = Field(
        0.95, gt=0.5, lt=1, description="How surely that must be known, over all time, to trust or demote."
    )
    max_error: float = Field(
        0.05, gt=0, lt=1, description="Share of kept local answers that may be wrong (confidence gate)."
    )
    verify: bool = Field(True, description="Check local answers; one that fails is asked of a cloud instead.")
    hold_tasks: tuple[str, ...] = Field(
        ("extraction", "classification", "routing", "tool_use"),
        description="Task classes whose streams wait until every check has passed; others pass as they come.",
    )
    min_confidence: dict[str, Annotated[float, Field(ge=0, le=1)]] = Field(
        default_factory=dict,
        description="Task class → least probability of the least sure token of an answer that is kept.",
    )
    max_escalations: float = Field(
        0.25, gt=0, lt=1, description="Share of local answers gates may turn away before a class is demoted."
    )
    exploration_share: float = Field(
        0.02, ge=0, le=0.5, description="Share of a demoted or untried class that goes local to learn."
    )
    feedback: bool = Field(True, description="Whether ratings (POST /spillway/v1/feedback) count.")
    shadow: ShadowConfig = Field(default_factory=ShadowConfig)
