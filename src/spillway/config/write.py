"""Writes a configuration for people: annotated, with secrets as references to the environment."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from spillway.config.schema import CloudConfig, Config, NodeConfig
from spillway.errors import ConfigError

__all__ = ["example_text", "json_schema", "render_config", "write_config"]


def example_text() -> str:
    """The example that shows every option."""
    return resources.files("spillway.config").joinpath("example.yaml").read_text(encoding="utf-8")


def json_schema() -> dict[str, Any]:
    """The configuration as JSON Schema, for editors that check YAML while one types."""
    return Config.model_json_schema()


def render_config(config: Config, key_variables: Mapping[str, str]) -> str:
    """YAML of what ``config`` holds; ``key_variables`` names the variable of each upstream's key."""
    lines = [
        "# Written by spillway up --write-config. `spillway check` says whether it works.",
        "# Every option is described in the reference; keys are read from the environment.",
        "",
        "server:",
        f"  host: {config.server.host}",
        f"  port: {config.server.port}",
        "",
        "nodes:" if config.nodes else "nodes: []",
        *(line for node in config.nodes for line in _node(node, key_variables)),
        "",
        "clouds:" if config.clouds else "clouds: []",
        *(line for cloud in config.clouds for line in _cloud(cloud, key_variables)),
        "",
        "routing:",
        *_reference(config),
        f"  max_local_input_tokens: {config.routing.max_local_input_tokens}  # longer prompts go to a cloud",
        f"  max_local_output_tokens: {config.routing.max_local_output_tokens}  # longer answers too",
        "",
        "# electricity_usd_per_kwh: 0.27  # with hardware figures this gives the cost of local answers",
        f"ledger: {config.ledger}",
    ]
    return "\n".join(lines) + "\n"


def _node(node: NodeConfig, key_variables: Mapping[str, str]) -> Iterator[str]:
    yield f"  - name: {node.name}"
    yield f"    url: {node.url}" if node.url is not None else f"    model: {node.model}"
    yield f"    engine: {node.engine}"
    yield f"    slots: {node.slots}  # sequences it serves well at once"
    if node.name in key_variables:
        yield f"    api_key: ${{{key_variables[node.name]}}}"
    yield "    # hardware: {price_usd: 2000, life_months: 48, idle_w: 8, active_w: 40}"


def _cloud(cloud: CloudConfig, key_variables: Mapping[str, str]) -> Iterator[str]:
    yield f"  - name: {cloud.name}"
    if cloud.url is not None:
        yield f"    url: {cloud.url}"
    if cloud.name in key_variables:
        yield f"    api_key: ${{{key_variables[cloud.name]}}}"
    yield "    models:  # best liked first"
    for entry in cloud.model_entries:
        yield f"      - name: {entry.name}"
        yield "        substitute: false  # true: requests for this name may be answered locally"


def _reference(config: Config) -> Iterator[str]:
    reference = config.routing.reference
    if reference is None:
        named = [f"{cloud.name}/{entry.name}" for cloud in config.clouds for entry in cloud.model_entries]
        reference = named[0] if named else None
    if reference is not None:
        yield f"  reference: {reference}  # what an answer would have cost"


def write_config(path: Path, text: str, *, force: bool = False) -> None:
    """Writes the file whole or not at all; ConfigError when it exists and ``force`` is not given."""
    if path.exists() and not force:
        raise ConfigError(f"{path} exists already: add --force to overwrite it")
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        Path(name).replace(path)
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}") from None
