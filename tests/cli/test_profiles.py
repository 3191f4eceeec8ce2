"""Profiles of the configuration beside what their nodes serve, as ``up`` and ``check`` compare them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from spillway.api.assembly import Assembly
from spillway.api.nodes import KnownNode
from spillway.cli import run
from spillway.cli.profiles import Comparison, difference
from spillway.config.schema import NodeConfig
from spillway.engines.http_client import HttpClient
from spillway.engines.identify import Found
from spillway.engines.wire import Origin
from spillway.planner.profile import save_profile
from spillway.vocabulary import ModelFacts
from tests.planner.test_profile import PROFILE

URL = "http://127.0.0.1:1"
SHOP, OTHER = (ModelFacts("models/shop.gguf"),), (ModelFacts("other"),)


def node(**fields: object) -> NodeConfig:
    """A node with the profile ``box.json``, of the model shop in four slots."""
    return NodeConfig.model_validate({"name": "box", "profile": "box.json", **fields})


@pytest.mark.parametrize(
    ("config", "found", "said"),
    [
        (node(model="a/shop.gguf", slots=4), None, None),
        (node(model="a/shop.gguf", slots=2), None, "was measured in 4 slots, and it serves in 2 slots"),
        (node(model="a/other.gguf", slots=4), None, "was measured with shop, and it serves other"),
        (node(model="a/shop.gguf"), None, None),
        (node(model="a/shop.gguf"), Found("ready", "llamacpp", slots=2), "in 4 slots, and it serves in 2"),
        (node(url=URL, slots=2), None, None),
        (node(url=URL, slots=2), Found("ready", "llamacpp", models=SHOP, slots=4), None),
        (node(url=URL), Found("ready", "vllm", models=SHOP, slots=256), None),
        (node(url=URL), Found("ready", "vllm", models=OTHER), "was measured with shop, and it serves other"),
        (node(url=URL), Found("ready", "ollama", models=(*OTHER, *SHOP)), None),
        (
            node(url=URL),
            Found("ready", "vllm", models=(ModelFacts("a\nb"),)),
            r"serves a\nb: measure it again",
        ),
        (
            node(url=URL),
            Found("ready", "llamacpp", models=OTHER, slots=8),
            "was measured with shop in 4 slots, and it serves other in 8 slots: measure it again",
        ),
    ],
)
def test_what_differs_is_said(config: NodeConfig, found: Found | None, said: str | None) -> None:
    """Model and slots are compared where both are known; the gateway's own limit of slots says nothing."""
    other = difference(config, PROFILE, found)
    assert other is None if said is None else said in (other or "")


def test_slots_that_nobody_measured_differ_from_none() -> None:
    """A profile without a limit fits any number of slots."""
    assert difference(node(model="shop.gguf", slots=9), replace(PROFILE, slots=None), None) is None


def test_each_node_is_compared_once_when_it_answers() -> None:
    """A node that is loading says nothing yet; one that answered is not told of again at every probe."""
    said: list[str] = []
    comparison = Comparison({"box": PROFILE}, said.append)
    known = KnownNode(node(url=URL), HttpClient(Origin.parse(URL)), None)
    for found in (Found("loading", "vllm"), *2 * [Found("ready", "vllm", models=OTHER)]):
        comparison.note(known, found)
    assert said == [
        "node box: its profile box.json was measured with shop, and it serves other: measure it again"
    ]


def test_up_says_both_when_it_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is wrong with a profile comes before anything is served, another model with the first probe."""

    async def probed(assembly: Assembly) -> None:
        known = KnownNode(assembly.config.nodes[0], HttpClient(Origin.parse(URL)), None)
        assembly.nodes.on_probe[-1](known, Found("ready", "vllm", models=OTHER))

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setattr("spillway.cli.up.serve", probed)
    save_profile(replace(PROFILE, is_complete=False), Path("box.json"))
    Path("spillway.yaml").write_text(f"nodes: [{{name: box, url: '{URL}', profile: box.json}}]")
    assert run(["up"]) == 0
    doubt, other = capsys.readouterr().err.splitlines()
    place = tmp_path / "box.json"
    assert doubt == f"spillway: the profile {place} was cut short (a warning): measure the node again"
    assert other.startswith(
        f"spillway: node box: its profile {place} was measured with shop, and it serves other"
    )
