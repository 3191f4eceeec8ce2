"""What the relay asks of accounting."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import Protocol

from spillway.vocabulary import Attempt, Bill, Outcome

__all__ = ["Books"]


class Books(Protocol):
    """Prices attempts and keeps the record."""

    def bill(self, attempt: Attempt) -> Bill:
        """What that attempt cost."""
        ...

    def settle(self, outcome: Outcome, bills: Sequence[Bill]) -> Awaitable[object]:
        """Records the request; the awaitable is done once it would survive a crash."""
        ...

    def note(self, outcome: Outcome, bills: Sequence[Bill]) -> None:
        """Records a request whose end nobody waits for."""
        ...
