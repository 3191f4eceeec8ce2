"""Reaches every configured upstream by metadata and says in plain words what is wrong with it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import SecretStr

from spillway.config.schema import CloudConfig, Config, HardwareConfig, NodeConfig
from spillway.engines.embedded import why_no_engine
from spillway.engines.gguf_header import GgufFacts, GgufProblem, read_gguf
from spillway.engines.http_client import HttpClient
from spillway.engines.identify import Found, identify
from spillway.engines.profiles import CLOUDS
from spillway.engines.wire import Origin

__all__ = ["Compare", "Finding", "examine"]

Level = Literal["ok", "note", "problem"]
TIMEOUT_S = 5.0
OLLAMA_CONTEXT = (
    "it tells the context of a model only while that is loaded, and cuts longer prompts without a word: set "
    "context_tokens to what it is started with"
)


Compare = Callable[[NodeConfig, Found | None], str | None]
"""What a node serves otherwise than was measured, or ``None``; one that spillway serves was not asked."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at: ``ok``, worth knowing, or wrong with what to do."""

    level: Level
    subject: str
    text: str


def _never_measured(node: NodeConfig, found: Found | None) -> str | None:
    return None


async def examine(config: Config, compare: Compare = _never_measured) -> list[Finding]:
    """Findings on every upstream, in the order of the configuration; takes five seconds at most."""
    nodes = [_node(node, compare) for node in config.nodes]
    clouds = [_cloud(cloud) for cloud in config.clouds]
    groups = await asyncio.gather(*nodes, *clouds)
    findings = [finding for group in groups for finding in group]
    if not findings:
        findings.append(
            Finding("problem", "upstreams", "neither a node nor a cloud is configured or was found")
        )
    return findings


async def _node(node: NodeConfig, compare: Compare) -> list[Finding]:
    subject, found = f"node {node.name}", None
    if node.model is not None:
        findings = [await _embedded(subject, Path(node.model))]
    else:
        found = await _ask(node.url or "", node.engine, node.api_key)
        findings = [_reached(subject, found, node.url or "")]
        findings += [
            Finding(
                "problem",
                subject,
                f"{model.name} is served by {model.remote_host}, not here: private requests will not use it",
            )
            for model in found.models
            if model.remote_host
        ]
        if found.state == "ready" and found.slots is None and node.slots == "auto":
            findings.append(
                Finding("note", subject, "it does not tell its slots: set slots, or bursts will queue")
            )
        if found.kind == "ollama" and node.context_tokens is None and _hides_context(found):
            findings.append(Finding("note", subject, OLLAMA_CONTEXT))
    if other := compare(node, found):
        findings.append(Finding("note", subject, other))
    if not isinstance(node.hardware, HardwareConfig) or node.hardware.price_usd is None:
        findings.append(
            Finding("note", subject, "hardware is not given, so the cost of its answers is unknown")
        )
    return findings


def _hides_context(found: Found) -> bool:
    return any(model.context_tokens is None and model.remote_host is None for model in found.models)


async def _embedded(subject: str, model: Path) -> Finding:
    facts: GgufFacts | GgufProblem
    try:
        facts = await asyncio.to_thread(read_gguf, model)
    except GgufProblem as problem:
        facts = problem
    if why := await why_no_engine():
        return Finding("problem", subject, why)
    if isinstance(facts, GgufProblem):
        return Finding("problem", subject, f"{model} cannot be served: {facts}")
    purpose = ", for embeddings only" if facts.is_embedding else ""
    return Finding("ok", subject, f"{model} will be served by the embedded engine{purpose}")


async def _cloud(cloud: CloudConfig) -> list[Finding]:
    subject = f"cloud {cloud.name}"
    profile = CLOUDS.get(cloud.name)
    url = cloud.url or (profile.url if profile else None)
    if url is None:
        return [Finding("problem", subject, "url is missing, and the name is none spillway knows")]
    found = await _ask(url, "openai", cloud.api_key)
    findings = [_reached(subject, found, url)]
    offered = {model.name for model in found.models}
    offered |= {name.removeprefix("models/") for name in offered}  # Gemini lists them so, and takes both
    if found.state == "ready" and offered:
        findings += [
            Finding("problem", subject, f"it does not list the model {entry.name}: check the name")
            for entry in cloud.model_entries
            if entry.name not in offered
        ]
    findings += [
        Finding("note", subject, f"{entry.name} is shut down on {found.retires[entry.name]}: name another")
        for entry in cloud.model_entries
        if entry.name in found.retires
    ]
    if not cloud.model_entries:
        findings.append(Finding("problem", subject, "no models are named, so it is never chosen by itself"))
    if cloud.simulated:
        findings.append(Finding("note", subject, f"simulated: {cloud.simulated}"))
    return findings


async def _ask(url: str, kind: str, api_key: SecretStr | None) -> Found:
    try:
        client = HttpClient(Origin.parse(url))
    except ValueError as error:
        return Found("down", kind, why=str(error))
    try:
        return await identify(client, kind, api_key.get_secret_value() if api_key else None, TIMEOUT_S)
    finally:
        await client.close()


def _reached(subject: str, found: Found, url: str) -> Finding:
    match found.state:
        case "ready" if not found.models:
            return Finding("problem", subject, f"{found.kind} at {url} offers no models: load or pull one")
        case "ready":
            names = ", ".join(model.name for model in found.models[:3])
            more = f" and {len(found.models) - 3} more" if len(found.models) > 3 else ""
            return Finding("ok", subject, f"{found.kind} at {url}: {names}{more}")
        case "loading":
            return Finding("note", subject, f"{found.kind} at {url}: {found.why}; try again in a moment")
        case _:
            return Finding("problem", subject, f"{url}: {found.why}")
