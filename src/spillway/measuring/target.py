"""The node to measure: what it is, which model to ask, whether others are using it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from spillway.engines.http_client import HttpClient, fetch_json
from spillway.engines.identify import Found, identify
from spillway.engines.wire import Headers, Origin, WireError, request_head
from spillway.errors import ConfigError, MeasureFailed, printable
from spillway.measuring.ask import Answered, NoStream, Refused, ask
from spillway.vocabulary import ModelFacts

__all__ = ["Target", "find_target", "reason_of"]

IDENTIFY_S = 10.0
METRICS_BYTES = 4_000_000
LOAD_LATE = ("ollama", "lmstudio")
"""Engines that load a model when it is first asked, and do not know ``ignore_eos``."""
RUNNING = ("vllm:num_requests_running", "vllm:num_requests_waiting")


@dataclass
class Target:
    """One model of one live server, and how to ask it."""

    url: str
    client: HttpClient
    headers: Headers
    kind: str
    version: str | None
    model: str
    slots: int | None
    """As the engine itself says; ``None`` where that is only its usual default."""
    context_tokens: int | None
    path: str
    runs_to_limit: bool = True
    """Whether it is asked to write on to the limit whatever the model says; not every engine knows that."""
    api_key: str | None = field(default=None, repr=False)

    @property
    def lets_choose_slots(self) -> bool:
        """Whether a request can name the slot that answers it."""
        return self.kind == "llamacpp" and self.slots is not None

    async def ask(
        self, text: str, output_tokens: int, patience_s: float, slot: int | None = None
    ) -> Answered:
        """One answer of at most so many tokens, exactly so many where the engine can be told.

        ``slot`` names the one to answer; only where ``lets_choose_slots``.
        """
        body: dict[str, Any] = {
            "model": self.model,
            "messages": [{"role": "user", "content": text}],
            "max_tokens": output_tokens,
            "temperature": 0,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        if slot is not None:
            body["id_slot"] = slot
        if not self.runs_to_limit:
            return await self._send(body, patience_s)
        try:
            return await self._send({**body, "ignore_eos": True}, patience_s)
        except Refused as refusal:
            if refusal.status not in (400, 422) or "ignore_eos" not in refusal.said:
                raise
        self.runs_to_limit = False
        return await self._send(body, patience_s)

    async def _send(self, body: dict[str, Any], patience_s: float) -> Answered:
        return await ask(self.client, self.path, self.headers, msgspec.json.encode(body), patience_s)

    async def learn_context(self) -> None:
        """The context is that of the model as loaded; before its first answer none may have been.

        Ollama tells none until then, and LM Studio the most that the model could have.
        """
        if self.kind not in LOAD_LATE:
            return
        found = await identify(self.client, self.kind, self.api_key, IDENTIFY_S)
        facts = next((each for each in found.models if each.name == self.model), None)
        if facts is not None and facts.context_tokens is not None:
            self.context_tokens = facts.context_tokens

    async def others(self) -> int | None:
        """Requests it works on right now; ``None`` when it does not tell. Ask while none is ours."""
        try:
            if self.kind == "llamacpp":
                return await self._busy_slots()
            return await self._running() if self.kind == "vllm" else None
        except WireError:
            return None

    async def _busy_slots(self) -> int | None:
        status, slots = await fetch_json(self.client, "/slots", self.headers)
        if status != 200 or not isinstance(slots, list):
            return None
        return sum(isinstance(slot, dict) and slot.get("is_processing") is True for slot in slots)

    async def _running(self) -> int | None:
        head = request_head("GET", "/metrics", self.client.origin, self.headers)
        exchange = await self.client.send(head, b"", connect_s=5.0, head_s=5.0, may_reuse=False)
        try:
            text = (await exchange.body(METRICS_BYTES, 5.0)).decode("utf-8", "replace")
        finally:
            exchange.abort()
        found = [line.rsplit(" ", 1)[-1] for line in text.splitlines() if line.startswith(RUNNING)]
        try:
            return round(sum(float(value) for value in found)) if found else None
        except ValueError:
            return None

    async def close(self) -> None:
        """Closes idle connections."""
        await self.client.close()


async def find_target(url: str, model: str | None, api_key: str | None) -> Target:
    """The target once the server has said what it is; ConfigError or MeasureFailed otherwise."""
    try:
        origin = Origin.parse(url)
    except ValueError as problem:
        raise ConfigError(str(problem)) from None
    if api_key and not api_key.isprintable():
        raise ConfigError(
            "the key (--api-key or SPILLWAY_NODE_KEY) holds a line break or another character that no key has"
        )
    root = origin.base_path.removesuffix("/v1")
    client = HttpClient(replace(origin, base_path=root))
    headers = [(b"content-type", b"application/json"), (b"user-agent", b"spillway-bench")]
    if api_key:
        headers.append((b"authorization", b"Bearer " + api_key.encode()))
    try:
        found = await identify(client, "auto", api_key, IDENTIFY_S)
        return _target(url, client, headers, found, model, api_key)
    except BaseException:
        await client.close()
        raise


def _target(
    url: str, client: HttpClient, headers: Headers, found: Found, model: str | None, api_key: str | None
) -> Target:
    if found.state == "refused":
        raise MeasureFailed(f"{url} asks for a key that was not given or is wrong: use --api-key")
    if found.state != "ready":
        raise MeasureFailed(f"{url} cannot be measured: {found.why}")
    facts = _model(url, found, model)
    is_exact = found.kind == "llamacpp"  # the others' slots are usual defaults, not what this one was given
    return Target(
        url=url,
        client=client,
        headers=headers,
        kind=found.kind,
        version=found.version,
        model=facts.name,
        slots=found.slots if is_exact else None,
        context_tokens=facts.context_tokens,
        path="/v1/chat/completions",
        runs_to_limit=found.kind not in LOAD_LATE,
        api_key=api_key,
    )


def _model(url: str, found: Found, wanted: str | None) -> ModelFacts:
    chats = [m for m in found.models if m.capabilities is None or "chat" in m.capabilities]
    names = printable(", ".join(m.name for m in chats[:8]))
    if not chats:
        raise MeasureFailed(f"{url} serves no model that can chat: load one first")
    if wanted is not None:
        facts = next((m for m in chats if m.name == wanted), None)
        if facts is None:
            raise ConfigError(f"{url} serves no model {wanted!r}; it has {names}")
    elif len(chats) > 1:
        raise ConfigError(f"{url} serves {len(chats)} models: choose one with --model ({names})")
    else:
        facts = chats[0]
    if facts.remote_host:
        place = printable(facts.remote_host)
        raise MeasureFailed(f"{printable(facts.name)} does not run there: {url} passes it on to {place}")
    return facts


def reason_of(error: Exception, path: str) -> str:
    """What went wrong with a request, as half a sentence about the node."""
    if isinstance(error, NoStream):
        return "its answer is not a stream, so the first token cannot be timed"
    if isinstance(error, Refused):
        return _refusal(error, path)
    return str(error)


def _refusal(error: Refused, path: str) -> str:
    if error.status in (401, 403):
        return f"it refuses the key ({error.status}): use --api-key"
    if error.status == 404:
        return f"it has no {path}, or not that model: {error.said}"
    return f"it answers {error.status or 'with an error'}: {error.said}"
