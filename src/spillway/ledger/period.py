"""A span of time for a report, as people write it: ``7d``, ``24h``, a date, or a moment."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from msgspec import Struct

from spillway.errors import ConfigError

__all__ = ["Period", "iso", "read_moment"]

AGO = re.compile(r"(\d{1,5})\s*(m|h|d|w)")
UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


class Period(Struct, frozen=True):
    """From ``since_s`` (``None``: the ledger's beginning) up to but without ``until_s``, epoch seconds."""

    since_s: float | None
    until_s: float

    @property
    def condition(self) -> tuple[str, tuple[float, ...]]:
        """SQL over ``requests`` and its parameters."""
        return self.condition_on("accepted_at")

    def condition_on(self, column: str) -> tuple[str, tuple[float, ...]]:
        """The same for another column of wall times."""
        if self.since_s is None:
            return f"{column} < ?", (self.until_s,)
        return f"{column} >= ? AND {column} < ?", (self.since_s, self.until_s)

    @property
    def since_text(self) -> str | None:
        """ISO 8601 in UTC."""
        return None if self.since_s is None else iso(self.since_s)

    @property
    def until_text(self) -> str:
        """ISO 8601 in UTC."""
        return iso(self.until_s)


def read_moment(text: str, option: str, now_s: float) -> float:
    """Epoch seconds of ``7d`` (ago), ``2026-11-01`` or ``2026-11-01T08:00``; UTC unless it says otherwise.

    ConfigError names the option and the forms it takes.
    """
    ago = AGO.fullmatch(text.strip().lower())
    try:
        if ago:
            return now_s - timedelta(**{UNITS[ago[2]]: int(ago[1])}).total_seconds()
        moment = datetime.fromisoformat(text.strip())
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        raise ConfigError(
            f"{option} {text!r} is no time: write 7d, 24h, 2026-11-01 or 2026-11-01T08:00"
        ) from None


def iso(moment_s: float) -> str:
    """A wall time as ISO 8601 in UTC, to the second."""
    return datetime.fromtimestamp(moment_s, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
