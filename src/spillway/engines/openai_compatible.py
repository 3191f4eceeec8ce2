"""The OpenAI protocol, as every engine and cloud here speaks it; differences are facts, not code."""

from __future__ import annotations

from collections.abc import Callable

from spillway.engines.connection import Exchange
from spillway.engines.http_client import HttpClient, untold
from spillway.engines.wire import Origin, request_head
from spillway.vocabulary import Operation

__all__ = ["OpenAICompatible"]

PATHS: dict[Operation, str] = {
    "chat": "/chat/completions",
    "completion": "/completions",
    "embedding": "/embeddings",
}


class OpenAICompatible:
    """One upstream reached at ``url`` (up to and including ``/v1``)."""

    def __init__(self, url: str, api_key: str | None, *, reuses_after_stream: bool = True) -> None:
        """``reuses_after_stream`` is False for llama.cpp: it closes after each stream although it promises
        to keep the connection, so a pooled client would lose requests (decision 0005)."""
        origin = Origin.parse(url)
        prefix = "/v1" if origin.scheme == "unix" else ""
        headers = [(b"content-type", b"application/json"), (b"user-agent", b"spillway")]
        if api_key:
            headers.append((b"authorization", b"Bearer " + api_key.encode()))
        self.client = HttpClient(origin)
        self.refused: set[str] = set()
        self._reuses_after_stream = reuses_after_stream
        self._heads = {
            operation: request_head("POST", prefix + path, origin, headers)
            for operation, path in PATHS.items()
        }

    async def open(
        self,
        operation: Operation,
        body: bytes,
        *,
        is_stream: bool,
        connect_s: float,
        head_s: float,
        on_sent: Callable[[], None] = untold,
    ) -> Exchange:
        """Sends one request; returns once status and headers are there. Raises ``WireError``."""
        return await self.client.send(
            self._heads[operation],
            body,
            connect_s=connect_s,
            head_s=head_s,
            may_reuse=self._reuses_after_stream or not is_stream,
            on_sent=on_sent,
        )

    async def close(self) -> None:
        """Closes idle connections."""
        await self.client.close()
