"""What probes let the fleet know: here, when a node's prompt cache is no longer what it was."""

from __future__ import annotations

from dataclasses import replace

import pytest

from spillway.api.nodes import KnownNode, Nodes
from spillway.config.schema import Config, NodeConfig
from spillway.engines.http_client import HttpClient
from spillway.engines.identify import Found
from spillway.engines.openai_compatible import OpenAICompatible
from spillway.engines.told import Told
from spillway.engines.wire import Origin
from spillway.fleet.marks import Beginning
from spillway.fleet.registry import Fleet, Upstream
from spillway.testing.fake_clock import FakeClock
from spillway.vocabulary import ModelFacts

URL = "http://127.0.0.1:9"
FOUND = Found("ready", "llamacpp", (ModelFacts("m", 4096),), 2, told=(Told("m", "sha256:1"),), instance="a")
DOWN = Found("down", "llamacpp")


@pytest.mark.parametrize(
    ("probes", "is_kept"),
    [
        ([FOUND], True),
        ([DOWN, FOUND], True),  # one missed probe is a busy moment
        ([DOWN, DOWN], False),
        ([replace(FOUND, instance="b")], False),
        ([replace(FOUND, state="loading")], False),
        ([replace(FOUND, models=(ModelFacts("other"),))], False),
        ([replace(FOUND, told=(Told("m", "sha256:2"),))], False),
    ],
)
def test_what_empties_the_memory_of_prompts(probes: list[Found], is_kept: bool) -> None:
    """A node that is down, loads, was started anew or serves something else holds nothing any more."""
    config = NodeConfig(name="mini", url=URL)
    upstream = Upstream("mini", "local", OpenAICompatible(URL, None), kind="llamacpp", slots=2)
    fleet = Fleet([upstream], FakeClock())
    nodes = Nodes(Config(nodes=(config,)), fleet, FakeClock(), found={}, profiles={})
    node = KnownNode(config, HttpClient(Origin.parse(URL)), None)
    nodes.take(node, FOUND)
    prefixes = upstream.prefixes
    assert prefixes is not None
    prefixes.hold(Beginning(memoryview(b"x" * 500), 1, 0, 100.0), None)
    for found in probes:
        nodes.take(node, found)
    assert bool(len(prefixes)) == is_kept
