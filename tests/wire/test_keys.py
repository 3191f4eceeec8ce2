"""With keys configured nobody gets anything without one, and each request is booked to its key."""

from __future__ import annotations

import pytest
from pydantic import SecretStr

from spillway.config.schema import KeyConfig
from spillway.testing.raw_client import Wire

from .conftest import Running, Start
from .refusals import CHAT, GOOD, post, send

KEYS = (KeyConfig(name="shop", key=SecretStr("s3cret")), KeyConfig(name="desk", key=SecretStr("other")))
GUARDED = ("/v1/models", "/v1/models/mini-model", "/spillway/v1/nodes", "/spillway/v1/drift", "/metrics")
Header = tuple[str, str]


@pytest.fixture
async def guarded(start: Start) -> Running:
    """A gateway with two keys."""
    running: Running = await start(keys=KEYS, mini="local", openai="cloud")
    return running


async def get(running: Running, path: str, *headers: Header) -> Wire:
    """A page of the gateway."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
    return await send(running, f"GET {path} HTTP/1.1\r\nhost: x\r\n{lines}\r\n".encode())


@pytest.mark.parametrize(
    ("headers", "says"),
    [
        ((), "send a gateway key"),
        ((("authorization", "Bearer "),), "send a gateway key"),
        ((("x-api-key", ""),), "send a gateway key"),
        ((("authorization", "Basic s3cret"),), "send a gateway key"),
        ((("authorization", "Bearer s3cre"),), "the gateway key is unknown"),
        ((("authorization", "Bearer s3cret2"),), "the gateway key is unknown"),
        ((("authorization", "Bearer shop"),), "the gateway key is unknown"),
        ((("x-api-key", "wrong"),), "the gateway key is unknown"),
        ((("authorization", "Bearer wrong"), ("x-api-key", "s3cret")), "the gateway key is unknown"),
    ],
)
async def test_without_a_key_of_the_gateway_nobody_is_asked(
    guarded: Running, headers: tuple[Header, ...], says: str
) -> None:
    """401 in OpenAI's shape, without the key that was tried; no upstream hears of it, nothing is booked."""
    wire = await post(guarded, GOOD, CHAT, *headers)
    assert (wire.status, wire.json["error"]["code"]) == (401, "invalid_api_key")
    assert says in wire.json["error"]["message"]
    assert b"s3cre" not in wire.raw
    assert [fake.received for fake in guarded.upstreams.values()] == [[], []]
    assert guarded.books.outcomes == []


@pytest.mark.parametrize(
    ("header", "name"),
    [
        (("authorization", "Bearer s3cret"), "shop"),
        (("authorization", "bearer   s3cret "), "shop"),
        (("x-api-key", "s3cret"), "shop"),
        (("authorization", "Bearer other"), "desk"),
    ],
)
async def test_a_request_is_booked_to_the_name_of_its_key(
    guarded: Running, header: Header, name: str
) -> None:
    """Either header does. The upstream gets its own key and never the gateway's."""
    assert (await post(guarded, GOOD, CHAT, header)).status == 200
    (outcome,) = await guarded.books.wait()
    assert outcome.facts.key_name == name
    (received,) = guarded.upstreams["mini"].received
    assert received.header("authorization") == "Bearer upstream-key"
    assert received.header("x-api-key") is None


@pytest.mark.parametrize("path", GUARDED)
async def test_what_tells_of_the_fleet_needs_a_key(guarded: Running, path: str) -> None:
    """Models, nodes, drift and metrics; a wrong path tells a stranger no more."""
    assert (await get(guarded, path)).status == 401
    assert (await get(guarded, path, ("x-api-key", "s3cret"))).status == 200
    assert (await get(guarded, "/v1/nope")).status == 401


async def test_ratings_need_a_key(guarded: Running) -> None:
    """A stranger cannot spoil what is known of the models."""
    assert (await post(guarded, b"{}", "/spillway/v1/feedback")).status == 401


@pytest.mark.parametrize("path", ["/health/live", "/health/ready"])
async def test_whoever_watches_over_it_needs_none(guarded: Running, path: str) -> None:
    """Probes of a container have no key."""
    assert (await get(guarded, path)).status == 200


async def test_where_no_keys_are_configured_any_will_do(start: Start) -> None:
    """Clients cannot be told to send none; what they send is booked to nobody."""
    running: Running = await start(mini="local")
    assert (await post(running, GOOD, CHAT, ("authorization", "Bearer whatever"))).status == 200
    (outcome,) = await running.books.wait()
    assert outcome.facts.key_name is None
