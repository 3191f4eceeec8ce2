"""Signs that a "local" node is none: somebody else's host, another model, an answer for any name."""

from __future__ import annotations

import secrets
from urllib.parse import urlsplit

import msgspec

from spillway.engines.http_client import HttpClient
from spillway.engines.profiles import CLOUDS
from spillway.engines.wire import Headers, WireError

__all__ = ["CHECKS_NAMES", "answers_any_name", "cloud_of", "is_other_model"]

CHECKS_NAMES = frozenset({"ollama", "vllm"})
"""Engines that refuse a model they do not have with 404. llama.cpp answers any name with the one model it
has, LM Studio with the one it has loaded, and of an unknown server nobody can say: there an answer proves
nothing, and the gateway owns the names anyway."""
ASK_S = 10.0
LARGEST_BYTES = 1 << 20


def cloud_of(host: str) -> str | None:
    """Which known cloud a node's host belongs to; ``None`` for any other."""
    return next((name for name, cloud in CLOUDS.items() if urlsplit(cloud.url).hostname == host), None)


def is_other_model(asked: str, reported: str | None) -> bool:
    """Whether an answer came from another model than the one asked for.

    Servers shorten or complete names (``llama3`` and ``llama3:latest``, a path and its last part), so only
    names of which neither holds the other are different.
    """
    if not reported:
        return False
    one, other = _bare(asked), _bare(reported)
    return one not in other and other not in one


async def answers_any_name(client: HttpClient, kind: str, api_key: str | None) -> bool | None:
    """Whether it answers for a name that cannot exist; ``None`` where that says nothing, or it said nothing.

    Costs an honest server a 404.
    """
    if kind not in CHECKS_NAMES:
        return None
    headers: Headers = [(b"content-type", b"application/json")]
    if api_key:
        headers = [*headers, (b"authorization", b"Bearer " + api_key.encode())]
    body = msgspec.json.encode(
        {
            "model": f"spillway-no-such-model-{secrets.token_hex(4)}",
            "messages": [{"role": "user", "content": "hi"}],
            "max_tokens": 1,
        }
    )
    prefix = "" if client.origin.base_path.endswith("/v1") else "/v1"
    try:
        exchange = await client.open(
            "POST", f"{prefix}/chat/completions", headers, body, connect_s=ASK_S, head_s=ASK_S
        )
        try:
            await exchange.body(LARGEST_BYTES, ASK_S)
        finally:
            exchange.abort()
    except WireError:
        return None
    if exchange.status == 200:
        return True
    return False if exchange.status in (400, 404) else None


def _bare(name: str) -> str:
    return name.casefold().removesuffix(":latest")
