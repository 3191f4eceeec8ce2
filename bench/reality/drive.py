"""Sends a load for real, at its own moments whatever comes back, and keeps what each request took."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from bench.reality.mixes import Mix, Wanted
from spillway.engines.connection import Exchange
from spillway.engines.http_client import HttpClient, fetch_json
from spillway.engines.wire import Headers, Origin
from spillway.measuring.ask import NoStream, Refused, ask
from spillway.measuring.prompts import Prompts
from spillway.measuring.target import Target

__all__ = ["Caller", "Request", "Seen", "play", "texts_for"]

PATIENCE_S = 300.0
COUNT_PATH = "/v1/chat/completions/input_tokens"


@dataclass(frozen=True)
class Request:
    """One request ready to be sent; tokens as the engine itself counts them."""

    at_s: float
    messages: tuple[dict[str, str], ...]
    prompt_tokens: int
    output_tokens: int


@dataclass(frozen=True)
class Seen:
    """What one request took its caller; ``side`` is empty without a gateway."""

    ttft_s: float
    total_s: float
    side: str
    cached_tokens: int | None
    output_tokens: int
    error: str | None = None


@dataclass(frozen=True)
class Caller:
    """Whom to send to, and as whom."""

    client: HttpClient
    path: str
    headers: Headers
    model: str

    @classmethod
    def of_target(cls, target: Target) -> Caller:
        """Straight to the engine."""
        return cls(target.client, target.path, target.headers, target.model)

    @classmethod
    def of_gateway(cls, url: str) -> Caller:
        """Through the gateway, as an application would; the task is one that may stay local."""
        headers = [(b"content-type", b"application/json"), (b"x-spillway-task", b"extraction")]
        return cls(HttpClient(Origin.parse(url)), "/chat/completions", headers, "auto")


async def texts_for(target: Target, mix: Mix, wanted: Sequence[Wanted], prompts: Prompts) -> list[Request]:
    """The requests with texts of about the wanted lengths, and their lengths counted by the engine."""
    prefix = prompts.of_tokens(mix.prefix_tokens) if mix.prefix_tokens else ""
    found = []
    for one in wanted:
        user = {"role": "user", "content": prompts.of_tokens(one.prompt_tokens)}
        messages = ({"role": "system", "content": prefix}, user) if prefix else (user,)
        body = msgspec.json.encode({"model": target.model, "messages": messages})
        status, told = await fetch_json(target.client, COUNT_PATH, target.headers, method="POST", body=body)
        if status != 200 or not isinstance(told, dict):
            raise RuntimeError(f"the engine does not count tokens: {status}")
        found.append(Request(one.at_s, messages, int(told["input_tokens"]), one.output_tokens))
    return found


async def play(caller: Caller, load: Sequence[Request]) -> list[Seen]:
    """What each took, in order of arrival."""
    began_s = time.monotonic()
    tasks = []
    for request in load:
        await asyncio.sleep(max(0.0, began_s + request.at_s - time.monotonic()))
        tasks.append(asyncio.create_task(_send(caller, request)))
    return list(await asyncio.gather(*tasks))


async def _send(caller: Caller, request: Request) -> Seen:
    body: dict[str, Any] = {
        "model": caller.model,
        "messages": request.messages,
        "max_tokens": request.output_tokens,
        "ignore_eos": True,
        "temperature": 0,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    heads: list[Exchange] = []
    try:
        found = await ask(
            caller.client, caller.path, caller.headers, msgspec.json.encode(body), PATIENCE_S, heads.append
        )
    except (Refused, NoStream) as error:
        return Seen(0.0, 0.0, "none", None, 0, f"{type(error).__name__} {error}")
    side = (heads[0].header(b"x-spillway-side") or b"").decode()
    return Seen(found.ttft_s, found.total_s, side, found.cached_tokens, found.tokens)
