"""Small fixed prompts whose answers tell whether a model is still the one that was pinned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from typing import Any

import msgspec
from msgspec import Struct

from spillway.engines.told import sha256_of
from spillway.vocabulary import Capability, Operation

__all__ = ["Canary", "Check", "Turn", "default_canaries", "own_canaries", "suited"]

SEED = 7


class Turn(Struct, frozen=True, forbid_unknown_fields=True):
    """One message of a conversation."""

    role: str
    content: str


class Check(Struct, frozen=True, forbid_unknown_fields=True):
    """One thing every good answer has; exactly one field is set."""

    contains: str | None = None
    one_of: tuple[str, ...] = ()
    """The answer holds exactly one of these words."""
    json: bool = False
    max_chars: int | None = None
    calls: str | None = None
    """Calls the tool of that name with arguments that are JSON."""

    @property
    def name(self) -> str:
        """How the lock names it."""
        if self.contains is not None:
            return f"contains {self.contains}"
        if self.one_of:
            return f"one of {', '.join(self.one_of)}"
        if self.max_chars is not None:
            return f"at most {self.max_chars} characters"
        return f"calls {self.calls}" if self.calls is not None else "is JSON"


class Canary(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One prompt. Its name is its identity in a lock, its ``digest`` tells whether it is still the same."""

    name: str
    task: str
    prompt: str | None = None
    system: str | None = None
    turns: tuple[Turn, ...] = ()
    max_tokens: int = 48
    needs: Capability | None = None
    tools: tuple[dict[str, Any], ...] = ()
    checks: tuple[Check, ...] = ()

    @property
    def operation(self) -> Operation:
        """Which endpoint answers it."""
        return "embedding" if self.task == "embedding" else "chat"

    @property
    def digest(self) -> str:
        """Of all that decides the answer; other checks are no other question."""
        asked = (self.operation, self.messages(), self.tools, self.max_tokens, SEED)
        return sha256_of(msgspec.json.encode(msgspec.to_builtins(asked), order="sorted").decode())

    def messages(self) -> list[dict[str, str]]:
        """The conversation as a request has it."""
        spoken = [Turn("system", self.system)] if self.system is not None else []
        spoken += self.turns
        if self.prompt is not None:
            spoken.append(Turn("user", self.prompt))
        return [{"role": turn.role, "content": turn.content} for turn in spoken]

    def body(self, model: str, kind: str) -> bytes:
        """The request: greedy, seeded, and streamed, since llama.cpp finishes an unstreamed answer even when
        nobody waits for it any more (seen on build 11549: 5 s, against 15-70 ms for a stream)."""
        if self.operation == "embedding":
            return msgspec.json.encode({"model": model, "input": self.prompt or ""})
        request: dict[str, Any] = {
            "model": model,
            "messages": self.messages(),
            "temperature": 0,
            "seed": SEED,
            "max_tokens": self.max_tokens,
            "logprobs": True,
            "top_logprobs": 1,
            "stream": True,
        }
        if self.tools:
            request["tools"] = list(self.tools)
        if kind == "llamacpp":
            request["cache_prompt"] = False
        return msgspec.json.encode(request)


@cache
def default_canaries() -> tuple[Canary, ...]:
    """The set that ships, by name."""
    import yaml

    text = resources.files("spillway.pinning").joinpath("data", "canaries.yaml").read_text("utf-8")
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return msgspec.convert(yaml.load(text, loader), tuple[Canary, ...])


def suited(canaries: tuple[Canary, ...], capabilities: tuple[str, ...] | None) -> list[Canary]:
    """Those that a model of such capabilities can answer; unknown capabilities suit every chat without
    tools."""
    able = {"chat"} if capabilities is None else set(capabilities)
    return [
        canary
        for canary in canaries
        if canary.operation in able and (canary.needs is None or canary.needs in able)
    ]


def own_canaries(entries: Sequence[Mapping[str, Any]], *, with_defaults: bool) -> tuple[Canary, ...]:
    """The owner's canaries out of the configuration, before those that ship; a name of ours is replaced."""
    own = [
        Canary(
            name=entry["name"],
            task=entry["task"],
            prompt=entry["prompt"],
            system=entry["system"],
            max_tokens=entry["max_tokens"],
            checks=(
                *((Check(contains=entry["contains"]),) if entry["contains"] else ()),
                *((Check(json=True),) if entry["json_answer"] else ()),
            ),
        )
        for entry in entries
    ]
    names = {canary.name for canary in own}
    shipped = [canary for canary in default_canaries() if canary.name not in names] if with_defaults else []
    return (*own, *shipped)
