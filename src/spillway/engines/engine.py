"""The seam between the relay and an upstream's protocol."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from spillway.engines.connection import Exchange
from spillway.vocabulary import Operation

__all__ = ["Engine"]


class Engine(Protocol):
    """Speaks to one upstream."""

    refused: set[str]
    """Request fields of ours that it has refused before, such as ``stream_options``: not sent again."""

    async def open(
        self,
        operation: Operation,
        body: bytes,
        *,
        is_stream: bool,
        connect_s: float,
        head_s: float,
        on_sent: Callable[[], None] = ...,
    ) -> Exchange:
        """Sends one request; returns once status and headers are there. Raises ``WireError``.

        ``head_s`` is how long to wait for them once the request is sent; ``on_sent`` is told when it is."""
        ...

    async def close(self) -> None:
        """Closes idle connections."""
        ...
