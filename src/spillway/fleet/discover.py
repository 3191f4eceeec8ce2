"""Zero configuration: which engines listen on the usual local ports, and which clouds there are keys for."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping

from pydantic import SecretStr

from spillway.config.schema import CloudConfig, NodeConfig
from spillway.engines.http_client import HttpClient
from spillway.engines.identify import Found, identify
from spillway.engines.profiles import CLOUDS, ENGINES
from spillway.engines.wire import Origin

__all__ = ["discover_clouds", "discover_nodes"]

logger = logging.getLogger("spillway.fleet")

ADVICE = "to use it, write it into spillway.yaml as a node (runs here) or as a cloud (passes requests on)"
BUDGET_S = 0.4
"""Longest time for all ports together; a closed port answers at once."""


async def discover_nodes(but_not_port: int) -> list[tuple[NodeConfig, Found]]:
    """Local servers that were recognised and have a model; ``but_not_port`` is our own.

    A server that only speaks OpenAI's API is left out with a warning: it may be a gateway to some cloud, and
    what counts as local is trusted with private requests.
    """
    ports = [port for profile in ENGINES.values() for port in profile.ports if port != but_not_port]
    answers = await asyncio.gather(*[_ask(port) for port in ports])
    nodes: list[tuple[NodeConfig, Found]] = []
    taken: set[str] = set()
    for port, found in zip(ports, answers, strict=True):
        if found is None:
            continue
        url = f"http://127.0.0.1:{port}"
        if found.kind == "openai":
            logger.warning("%s speaks the OpenAI API but does not say what it is: %s", url, ADVICE)
            continue
        name = found.kind if found.kind not in taken else f"{found.kind}-{port}"
        taken.add(name)
        nodes.append((NodeConfig(name=name, url=url), found))
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
        if environment.get(profile.key_variable)
    ]


async def _ask(port: int) -> Found | None:
    """What listens there, when it has a model or is loading one."""
    client = HttpClient(Origin.parse(f"http://127.0.0.1:{port}"))
    try:
        found = await identify(client, timeout_s=BUDGET_S)
    finally:
        await client.close()
    is_loading_engine = found.state == "loading" and found.kind != "openai"
    return found if is_loading_engine or (found.state == "ready" and found.models) else None
