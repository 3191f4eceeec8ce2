"""Zero configuration: which engines listen on the usual local ports, and which clouds there are keys for."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from pydantic import SecretStr

from spillway.config.schema import CloudConfig, NodeConfig
from spillway.engines.http_client import HttpClient, Origin
from spillway.engines.identify import Found, identify
from spillway.engines.profiles import CLOUDS, ENGINES

__all__ = ["discover_clouds", "discover_nodes"]

BUDGET_S = 0.4
"""Longest time for all ports together; a closed port answers at once."""


async def discover_nodes(but_not_port: int) -> list[tuple[NodeConfig, Found]]:
    """Local servers with at least one model, by asking for metadata; ``but_not_port`` is our own."""
    ports = [port for profile in ENGINES.values() for port in profile.ports if port != but_not_port]
    answers = await asyncio.gather(*[_ask(port) for port in ports])
    found = [(port, answer) for port, answer in zip(ports, answers, strict=True) if answer is not None]
    nodes = []
    taken: set[str] = set()
    for port, answer in found:
        name = answer.kind if answer.kind not in taken else f"{answer.kind}-{port}"
        taken.add(name)
        nodes.append((NodeConfig(name=name, url=f"http://127.0.0.1:{port}"), answer))
    return nodes


def discover_clouds(environment: Mapping[str, str]) -> list[CloudConfig]:
    """Clouds whose usual key variable is set, each with a small general model."""
    return [
        CloudConfig(
            name=profile.name,
            api_key=SecretStr(environment[profile.key_variable]),
            models=profile.default_models,
        )
        for profile in CLOUDS.values()
        if environment.get(profile.key_variable) and profile.default_models
    ]


async def _ask(port: int) -> Found | None:
    client = HttpClient(Origin.parse(f"http://127.0.0.1:{port}"))
    try:
        async with asyncio.timeout(BUDGET_S):
            found = await identify(client, timeout_s=BUDGET_S)
    except TimeoutError:
        return None
    finally:
        await client.close()
    return (
        found if found.state in ("ready", "loading") and (found.models or found.state == "loading") else None
    )
