"""What a gateway is put together from is what its configuration says."""

from __future__ import annotations

from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from spillway.api.assembly import Assembly
from spillway.config.schema import (
    CloudConfig,
    CloudModelConfig,
    Config,
    KeyConfig,
    RoutingConfig,
    ServerConfig,
)


def assembled(folder: Path, **given: Any) -> Assembly:
    """All parts of a gateway that is not started."""
    return Assembly(Config(ledger=f"sqlite:///{folder}/ledger.db", **given))


@pytest.mark.parametrize(("key", "status"), [(b"s3cret", 200), (b"guessed", 401), (b"", 401)])
async def test_the_keys_of_the_configuration_are_asked_for(tmp_path: Path, key: bytes, status: int) -> None:
    """A gateway on a network is not open to everybody there."""
    keys = (KeyConfig(name="shop", key=SecretStr("s3cret")),)
    gateway = assembled(tmp_path, server=ServerConfig(keys=keys)).gateway
    said: list[int] = []

    async def send(message: MutableMapping[str, Any]) -> None:
        said.extend([message["status"]] if "status" in message else [])

    async def receive() -> MutableMapping[str, Any]:
        raise AssertionError("a page has no body")

    head = {"type": "http", "method": "GET", "path": "/v1/models", "headers": [(b"x-api-key", key)]}
    await gateway(head, receive, send)
    assert said == [status]


def test_a_cloud_is_what_the_configuration_says(tmp_path: Path) -> None:
    """Its models with their contexts, and that it is simulated where it is."""
    model = CloudModelConfig(name="big", context_tokens=128_000)
    config = CloudConfig(
        name="far", url="http://far.example/v1", models=(model, "small"), simulated="no cloud"
    )
    upstream = assembled(tmp_path, clouds=(config,))._cloud(config)
    assert [(each.name, each.context_tokens) for each in upstream.models] == [
        ("big", 128_000),
        ("small", None),
    ]
    assert (upstream.side, upstream.note) == ("cloud", "simulated: no cloud")


@pytest.mark.parametrize(("stated", "used"), [("far/small", ("far", "small")), (None, ("near", "first"))])
def test_savings_are_against_the_reference_that_is_stated_or_the_first_model(
    tmp_path: Path, stated: str | None, used: tuple[str, str]
) -> None:
    """Of the first cloud that has one."""
    clouds = (
        CloudConfig(name="empty", url="http://empty.example/v1"),
        CloudConfig(name="near", url="http://near.example/v1", models=("first", "second")),
        CloudConfig(name="far", url="http://far.example/v1", models=("small",)),
    )
    found = assembled(tmp_path, clouds=clouds, routing=RoutingConfig(reference=stated))
    assert found._reference() == used
