"""What the owner wants compared, and what became of it."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from msgspec import Struct

from spillway.api.shadow_ask import Target

__all__ = ["ShadowSettings", "ShadowStats"]


class ShadowSettings(Struct, frozen=True):
    """What the owner wants compared."""

    share: float = 0.0
    usd_per_day: Decimal = Decimal(0)
    tasks: frozenset[str] = frozenset()
    """Empty means all."""
    reference: Target | None = None
    judge: Target | None = None
    runs_code: bool = False
    max_parallel: int = 2
    aliases: Mapping[str, str] = {}
    """Names that stand for others: one that leads to a side or an upstream chooses it."""


class ShadowStats(Struct):
    """What became of comparisons since the start; each is counted once."""

    compared: int = 0
    turned_away: int = 0
    """The node's answer failed a gate."""
    no_score: int = 0
    """Both answered, and nothing could tell how well, or the judge said nothing."""
    failed: int = 0
    """The other side gave no answer."""
    busy: int = 0
    over_budget: int = 0
    """Also where a price is unknown: then no budget could be kept."""
    made_way: int = 0
