"""Drift of a real engine behind a name that stays: each kind is noticed, and nothing else is."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from spillway.engines.http_client import HttpClient, fetch_json
from spillway.engines.wire import Origin
from spillway.pinning.canaries import default_canaries
from spillway.pinning.drift import DriftState
from tests.engine_fixtures import build_micro_gguf, needs_engine
from tests.pinning.live import LiveNode
from tests.pinning.models import vary

pytestmark = [pytest.mark.engine, needs_engine]

OTHER_TEMPLATE = "{%- for m in messages -%}{{ '[' + m['role'] + ']' + m['content'] }}{%- endfor -%}"
CHECKED_WITHIN_S = 30.0


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One random model and its variants."""
    folder = tmp_path_factory.mktemp("models")
    base = build_micro_gguf(folder / "base.gguf", context_tokens=512)
    return {
        "base": base,
        "template": vary(base, folder / "template.gguf", template=OTHER_TEMPLATE),
        "quantization": vary(base, folder / "quantization.gguf", quantization="Q8_0"),
        "sampling": vary(base, folder / "sampling.gguf", temperature=0.2),
        "weights": vary(base, folder / "weights.gguf", perturbed="blk.1.ffn_down.weight", strength=0.01),
    }


async def settled(node: LiveNode, *, canaries: bool) -> DriftState:
    """The state once weights have been read, and canaries run if asked for."""
    watch = node.pins._watches["mini"]
    async with asyncio.timeout(CHECKED_WITHIN_S):
        if reading := watch.tasks.get("weights"):
            await reading
        if canaries:
            await watch.checked.wait()
    return node.pins.state("mini")


@pytest.mark.parametrize(
    ("change", "fields"),
    [
        ("template", {"template", "weights"}),
        ("quantization", {"quantization", "weights"}),
        ("sampling", {"sampling", "weights"}),
        ("weights", {"weights"}),
        ("context", {"context"}),
    ],
)
async def test_each_change_is_noticed_within_one_probe(
    models: dict[str, Path], tmp_path: Path, change: str, fields: set[str]
) -> None:
    """The first probe after the change names it; the unchanged node before it had no drift."""
    async with LiveNode(models["base"], tmp_path) as node:
        await node.pin()
        await node.begin()
        assert (await settled(node, canaries=False)).fields == ()
        if change == "context":
            await node.serve(None, context_tokens=256)
        else:
            await node.serve(models[change])
        await node.probe()
        state = await settled(node, canaries=False)
        assert set(state.fields) - {"canary"} == fields
        assert node.upstream.drift == state.fields
        assert {event.field for event in node.pins.events} >= fields


async def test_perturbed_weights_are_noticed_by_canaries(models: dict[str, Path], tmp_path: Path) -> None:
    """Where no file can be read, one tensor with a hundredth of noise is noticed within one round, and the
    node takes no more traffic."""
    async with LiveNode(models["base"], tmp_path, reads_files=False) as node:
        lock = await node.pin()
        assert lock.nodes["mini"].models["mini"].weights_grade == "derived"
        await node.begin()
        assert (await settled(node, canaries=True)).fields == ()
        watch = node.pins._watches["mini"]
        await node.serve(models["weights"])
        watch.checked.clear()
        await node.probe()  # no probe saw it away: its start is told by itself
        assert node.pins.state("mini").fields == ()
        state = await settled(node, canaries=True)
        assert state.fields == ("canary",)
        assert node.upstream.is_quarantined
        assert [event.action for event in node.pins.events] == ["quarantine"] * len(node.pins.events)


async def test_a_new_template_withholds_tools_until_it_is_accepted(
    models: dict[str, Path], tmp_path: Path
) -> None:
    """After a template change the node keeps its traffic but not tools; accepting the change in the lock
    takes effect with the next probe."""
    async with LiveNode(models["base"], tmp_path, reads_files=False) as node:
        await node.pin()
        await node.begin()
        await node.serve(models["template"])
        await node.probe()
        assert node.upstream.withheld == {"tools"}
        assert not node.upstream.is_quarantined
        await node.pin()
        await node.probe()
        assert (node.upstream.withheld, node.upstream.drift) == (frozenset(), ())
        actions = [(event.field, event.action) for event in node.pins.events if event.field != "canary"]
        assert actions == [("template", "quarantine"), ("template", "restored")]


async def test_evidence_starts_anew(models: dict[str, Path], tmp_path: Path) -> None:
    """The identity that evidence is kept by follows the weights, and is unknown until they have been read."""
    async with LiveNode(models["base"], tmp_path) as node:
        await node.pin()
        await node.begin()
        await settled(node, canaries=False)
        before = node.upstream.models[0].identity
        await node.serve(models["weights"])
        await node.probe()
        await settled(node, canaries=False)
        after = node.upstream.models[0].identity
        assert before is not None
        assert after is not None
        assert before != after


async def test_nothing_changes_nothing(models: dict[str, Path], tmp_path: Path) -> None:
    """1,000 probes of an unchanged engine, restarted in between, and ten rounds of canaries: no alarm."""
    async with LiveNode(models["base"], tmp_path) as node:
        await node.pin()
        await node.begin()
        watch = node.pins._watches["mini"]
        for round_number in range(10):
            if round_number == 5:
                await node.serve(models["base"])
            for _ in range(100):
                await node.probe()
            watch.checked.clear()
            watch.due.set()
            assert (await settled(node, canaries=True)).fields == ()
        assert list(node.pins.events) == []


async def test_what_a_probe_costs(models: dict[str, Path], tmp_path: Path) -> None:
    """A whole probe with its comparison takes well under 5 ms at the median, of which the node's part is
    less."""
    async with LiveNode(models["base"], tmp_path) as node:
        await node.pin()
        await node.begin()
        await settled(node, canaries=True)
        times_s = []
        for _ in range(50):
            started_s = time.perf_counter()
            await node.probe()
            times_s.append(time.perf_counter() - started_s)
        assert sorted(times_s)[25] < 0.02  # leaves room for a busy machine; bench.pinning has the figures


async def test_a_request_takes_the_node_from_a_canary(models: dict[str, Path], tmp_path: Path) -> None:
    """When a request is about to be sent, the canary that runs is cancelled and the engine's slot is free
    again within moments."""
    from spillway.demo.model import demo_model_path
    from spillway.demo.slow_twin import build_slow_twin

    slow = tmp_path / "slow.gguf"
    build_slow_twin(demo_model_path(), slow, 120)
    async with LiveNode(slow, tmp_path, reads_files=False, slots=1) as node:
        await node.pin(tuple(canary for canary in default_canaries() if canary.task == "extraction"))
        await node.begin()
        async with asyncio.timeout(CHECKED_WITHIN_S):
            await node.pins._watches["mini"].runner.asking.wait()
        node.upstream.take()
        node.pins.interrupt("mini")
        started_s = time.perf_counter()
        client = HttpClient(Origin.parse(node.engine.url))
        headers = [(b"authorization", b"Bearer " + node.engine.api_key.encode())]
        async with asyncio.timeout(CHECKED_WITHIN_S):
            while True:
                _, slots = await fetch_json(client, "/slots", headers)
                assert isinstance(slots, list)
                if not slots[0]["is_processing"]:
                    break
                await asyncio.sleep(0.002)
        assert time.perf_counter() - started_s < 1.0
        assert not node.pins.is_asking("mini")
        assert node.pins._watches["mini"].runner.interruptions == 1
        await client.close()
