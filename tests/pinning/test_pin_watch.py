"""The watch on a server with several models, as documented bodies of Ollama show it: no engine needed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from spillway.api.nodes import KnownNode, apply_found
from spillway.api.pin_watch import PinWatch
from spillway.clock import SystemClock
from spillway.config.pins import DriftConfig, PinsConfig
from spillway.config.schema import NodeConfig
from spillway.engines.http_client import HttpClient
from spillway.engines.identify import identify
from spillway.engines.openai_compatible import OpenAICompatible
from spillway.engines.wire import Origin
from spillway.errors import LockError
from spillway.fleet.marks import Beginning
from spillway.fleet.registry import Fleet, Upstream
from spillway.pinning.identity import identities_of
from spillway.pinning.lock import Lock, Measured, node_of
from spillway.pinning.lock_file import save_lock
from spillway.testing.fake_upstream import FakeUpstream
from spillway.testing.faults import Fault
from tests.pinning.bodies import OLLAMA
from tests.pinning.pages import found_at, serving


def two_models() -> dict[str, Any]:
    """Pages of an Ollama with two models of different digests."""
    pages = deepcopy(OLLAMA)
    second = deepcopy(pages["/api/tags"]["models"][0])
    second |= {"name": "gemma3:1b", "model": "gemma3:1b", "digest": "d" * 64}
    pages["/api/tags"]["models"].append(second)
    return pages


class Rig:
    """One watched Ollama whose pages a test changes."""

    def __init__(self, upstream: FakeUpstream, folder: Path) -> None:
        self.server = upstream
        self.lock_path = folder / "spillway.lock"
        self.fleet = Fleet((), SystemClock())
        self.client = HttpClient(Origin.parse(upstream.origin))
        self.node = KnownNode(NodeConfig(name="box", url=upstream.origin), self.client, None)
        self.fleet.add(Upstream("box", "local", OpenAICompatible(upstream.url, None), kind="ollama"))
        self.pins: PinWatch | None = None

    @property
    def box(self) -> Upstream:
        """As the rules see it."""
        return self.fleet.upstreams["box"]

    @property
    def names(self) -> list[str]:
        """Models that may be routed to."""
        return [model.name for model in self.box.models]

    def drift(self) -> tuple[str, ...]:
        """Fields in which it differs from its pin."""
        return self.box.drift

    async def pin(self) -> None:
        """Pins what is served now, without canaries."""
        seen = identities_of(await found_at(self.server))
        node = node_of(seen, {name: Measured() for name in seen})
        save_lock(Lock().with_node("box", node, {}), self.lock_path)

    def begin(self, *, has_lock: bool = True, **on_drift: Any) -> PinWatch:
        """Watches from now on."""
        lock = str(self.lock_path) if has_lock else None
        pins = PinsConfig(lock=lock, on_drift=DriftConfig(**on_drift), canaries_every_s=0)
        self.pins = PinWatch(pins, self.fleet, SystemClock())
        return self.pins

    async def probe(self) -> None:
        """One probe."""
        assert self.pins is not None
        found = await identify(self.client)
        apply_found(found, self.node.config, self.box)
        self.pins.observe(self.node, found)

    def serve(self, pages: dict[str, Any]) -> None:
        """Other pages from now on."""
        for path, body in pages.items():
            for method in ("GET", "POST"):
                self.server.respond(method, path, body)


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    """A watched server with two models."""
    async with serving(two_models()) as upstream:
        one = Rig(upstream, tmp_path)
        yield one
        if one.pins is not None:
            await one.pins.close()
        await one.client.close()
        await one.fleet.close()


async def test_drift_empties_what_was_believed_to_be_cached(rig: Rig) -> None:
    """What a model read is of no use to another one behind the same name."""
    await rig.pin()
    rig.begin()
    await rig.probe()
    prefixes = rig.box.prefixes
    assert prefixes is not None
    prefixes.hold(Beginning(memoryview(b"x" * 500), 1, 0, 100.0), None)
    await rig.probe()
    assert len(prefixes) == 1
    pages = two_models()
    pages["/api/tags"]["models"][0]["digest"] = "e" * 64
    rig.serve(pages)
    await rig.probe()
    assert rig.drift()
    assert len(prefixes) == 0


async def test_a_tag_that_was_pulled_again(rig: Rig) -> None:
    """Another digest behind the same tag is drift of that model, told once, and taken back when it ends."""
    await rig.pin()
    pins = rig.begin()
    await rig.probe()
    assert not rig.drift()
    before = {model.name: model.identity for model in rig.box.models}
    pages = two_models()
    pages["/api/tags"]["models"][0]["digest"] = "e" * 64
    pages["/api/show"]["modelfile"] = pages["/api/show"]["modelfile"].replace("a" * 64, "f" * 64)
    rig.serve(pages)
    for _ in range(3):
        await rig.probe()
    assert rig.drift() == ("weights", "fingerprint")
    assert not rig.box.is_quarantined
    after = {model.name: model.identity for model in rig.box.models}
    assert after["qwen3:4b"] != before["qwen3:4b"]
    assert after["gemma3:1b"] == before["gemma3:1b"]
    rig.serve(two_models())
    await rig.probe()
    assert not rig.drift()
    told = [(event.model, event.field, event.action) for event in pins.events]
    assert told == [
        ("qwen3:4b", "weights", "warn"),
        ("qwen3:4b", "fingerprint", "warn"),
        ("qwen3:4b", "weights", "restored"),
        ("qwen3:4b", "fingerprint", "restored"),
    ]


async def test_one_model_is_taken_out_alone(rig: Rig) -> None:
    """A model the owner wants refused leaves, and comes back as pinned; its neighbour is not touched."""
    await rig.pin()
    rig.begin(fingerprint="refuse")
    await rig.probe()
    pages = two_models()
    pages["/api/tags"]["models"][0]["digest"] = "e" * 64
    rig.serve(pages)
    await rig.probe()
    assert rig.names == ["gemma3:1b"]
    assert not rig.box.is_quarantined
    rig.serve(two_models())
    await rig.probe()
    assert rig.names == ["qwen3:4b", "gemma3:1b"]


async def test_a_local_tag_that_became_a_passthrough(rig: Rig) -> None:
    """A pinned model that somebody else's machine answers now is out, with before and after."""
    await rig.pin()
    pins = rig.begin()
    pages = two_models()
    for entry in pages["/api/tags"]["models"]:
        entry["remote_host"] = "https://ollama.com:443"
    rig.serve(pages)
    await rig.probe()
    assert rig.box.is_quarantined
    assert rig.drift()[0] == "remote_host"
    event = pins.events[0]
    assert (event.before, event.after, event.action) == ("here", "https://ollama.com:443", "refuse")


async def test_other_models_under_the_same_address(rig: Rig) -> None:
    """A node that serves nothing it was pinned to is out."""
    await rig.pin()
    rig.begin()
    pages = two_models()
    for entry in pages["/api/tags"]["models"]:
        entry["name"] = entry["model"] = entry["name"] + "-other"
    rig.serve(pages)
    await rig.probe()
    assert rig.box.is_quarantined
    assert rig.drift() == ("model",)


async def test_without_a_lock_nothing_drifts(rig: Rig) -> None:
    """Without a lock identities are known all the same, and nothing is withheld."""
    pins = rig.begin(has_lock=False)
    await rig.probe()
    assert all(model.identity for model in rig.box.models)
    rig.serve({"/api/version": {"version": "0.31.0"}})
    await rig.probe()
    assert (rig.drift(), rig.box.is_quarantined) == ((), False)
    assert list(pins.events) == []


async def test_an_answer_for_any_name(rig: Rig) -> None:
    """An "Ollama" that answers for a model that cannot exist is none, lock or not."""
    pins = rig.begin(has_lock=False)
    await rig.probe()
    pins.start()
    await pins._watches["box"].checked.wait()
    assert rig.box.is_quarantined
    assert [(event.field, event.after) for event in pins.events] == [("model", "answers for any name")]


async def test_an_honest_server_is_left_alone(rig: Rig) -> None:
    """One that refuses the name that cannot exist stays in."""
    rig.server.script(Fault.MODEL_MISSING)
    pins = rig.begin(has_lock=False)
    await rig.probe()
    pins.start()
    await pins._watches["box"].checked.wait()
    assert not rig.box.is_quarantined


async def test_a_silent_probe_changes_nothing(rig: Rig) -> None:
    """A node that does not answer keeps its standing; what it does not tell is unverified, not changed."""
    await rig.pin()
    pins = rig.begin()
    await rig.probe()
    rig.server.refuse()
    await rig.probe()
    assert not rig.drift()
    await rig.server.accept()
    rig.serve({"/api/version": {}})
    await rig.probe()
    assert not rig.drift()
    assert ("*", "engine_version") not in pins._watches["box"].unverified
    assert {"model": "qwen3:4b", "field": "engine_version"} in pins.to_json()["nodes"][0]["unverified"]


async def test_silence_does_not_end_drift(rig: Rig) -> None:
    """A field that differed and is not told now still counts as different."""
    await rig.pin()
    pins = rig.begin()
    rig.serve({"/api/version": {"version": "0.31.0"}})
    await rig.probe()
    rig.serve({"/api/version": {}})
    await rig.probe()
    assert rig.drift() == ("engine_version",)
    assert len(pins.events) == 1


async def test_the_page(rig: Rig) -> None:
    """The page tells every node's standing and what happened, newest first, and is plain JSON."""
    await rig.pin()
    pins = rig.begin()
    rig.serve({"/api/version": {"version": "0.31.0"}})
    await rig.probe()
    page = pins.to_json()
    assert page["nodes"][0]["drift"] == ["engine_version"]
    assert page["events"][0]["before"] == "0.30.1"
    assert page["events"][0]["breaks"]
    assert len(page["nodes"][0]["models"][0]["identity"]) == 12


def test_a_named_lock_must_be_there(tmp_path: Path) -> None:
    """A gateway whose configuration names a lock does not start without it."""
    with pytest.raises(LockError, match="there is no lock"):
        PinWatch(PinsConfig(lock=str(tmp_path / "none.lock")), Fleet((), SystemClock()), SystemClock())


async def test_an_unreadable_file_is_no_wait(rig: Rig, tmp_path: Path) -> None:
    """Weights whose file cannot be read here are known by what the engine tells, after one look."""
    props = {
        "default_generation_settings": {"n_ctx": 512, "params": {}},
        "model_path": str(tmp_path / "elsewhere.gguf"),
        "build_info": "b1",
        "total_slots": 1,
    }
    gone: dict[str, Any] = {"/api/tags": {}, "/props": props, "/v1/models": {"data": [{"id": "m"}]}}
    rig.serve(gone)
    pins = rig.begin(has_lock=False)
    await rig.probe()
    assert rig.box.models[0].identity is None
    await pins._watches["box"].tasks["weights"]
    assert rig.box.models[0].identity is not None
