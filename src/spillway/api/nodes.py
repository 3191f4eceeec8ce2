"""The owner's nodes: embedded engines started, every node asked what it is again and again."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from msgspec import structs

from spillway.clock import Clock
from spillway.config.schema import Config, HardwareConfig, NodeConfig
from spillway.engines.embedded import EmbeddedEngine, EngineState
from spillway.engines.gauges import busy_requests
from spillway.engines.http_client import HttpClient
from spillway.engines.identify import Found, identify
from spillway.engines.openai_compatible import OpenAICompatible
from spillway.engines.profiles import ENGINES
from spillway.engines.wire import Origin
from spillway.fleet.registry import Fleet, Upstream
from spillway.ledger.cost import NodeRates
from spillway.slo.pace import LinearPace
from spillway.vocabulary import ModelFacts

__all__ = ["KnownNode", "Nodes", "embedded", "node_rates_of"]

logger = logging.getLogger("spillway.api")

PROBE_EVERY_S = 3.0
"""How often a local node is asked for its metadata; it costs the node less than a millisecond."""
MISSES_UNTIL_DOWN = 2
"""Probes running that must fail before a node counts as down: one may just have met a busy moment."""

OnProbe = Callable[["KnownNode", Found], None]


class KnownNode:
    """One node as configured, and how it is reached."""

    def __init__(self, config: NodeConfig, client: HttpClient, api_key: str | None) -> None:
        self.config = config
        self.client = client
        """For metadata; answers go through the upstream's own."""
        self.api_key = api_key
        self.misses = 0
        self.foreign = 0
        """Requests of others that it told of at the last probe."""
        self._served: tuple[object, ...] | None = None

    def is_another(self, found: Found) -> bool:
        """Whether a node that is ready was started anew or serves something else than when it was last asked;
        what it had cached is gone then."""
        before, self._served = self._served, (found.kind, found.instance, found.models, found.told)
        return before is not None and before != self._served

    @property
    def name(self) -> str:
        """As in the configuration."""
        return self.config.name

    @property
    def kind(self) -> str:
        """Which engine to take it for; ``auto`` asks."""
        return "llamacpp" if self.config.model is not None else self.config.engine


class Nodes:
    """Starts, watches and stops the nodes of one gateway."""

    def __init__(
        self,
        config: Config,
        fleet: Fleet,
        clock: Clock,
        *,
        found: Mapping[str, Found],
        profiles: Mapping[str, LinearPace],
    ) -> None:
        """``found`` is what discovery already learnt; ``profiles`` are measured paces by node."""
        self.rates = {node.name: node_rates_of(node, config) for node in config.nodes}
        self.known: dict[str, KnownNode] = {}
        self.on_probe: list[OnProbe] = []
        """Told of every probe that was answered."""
        self.is_asking: Callable[[str], bool] = lambda name: False
        """Whether something of ours runs on a node beside the requests, such as a canary."""
        self._config = config
        self._fleet = fleet
        self._clock = clock
        self._found = dict(found)
        self._profiles = profiles
        self._engines: list[EmbeddedEngine] = []
        self._watches: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """All nodes are in the fleet, in the order of the configuration; they start at the same time."""
        for upstream in await asyncio.gather(*(self._node(node) for node in self._config.nodes)):
            self._fleet.add(upstream)

    def watch(self) -> None:
        """From now on every node is asked every few seconds."""
        self._watches = [asyncio.create_task(self._watch(node)) for node in self.known.values()]

    async def close(self) -> None:
        """Stops asking, closes connections, stops embedded engines."""
        for task in self._watches:
            task.cancel()
        await asyncio.gather(*self._watches, return_exceptions=True)
        for node in self.known.values():
            await node.client.close()

    async def stop_engines(self) -> None:
        """Stops embedded engines; to be called once nothing is sent to them any more."""
        for engine in self._engines:
            await engine.stop()

    async def _node(self, config: NodeConfig) -> Upstream:
        url, api_key = config.url, config.api_key.get_secret_value() if config.api_key else None
        if config.model is not None:
            url, api_key = await self._embed(config)
        assert url is not None
        node = KnownNode(config, HttpClient(Origin.parse(url)), api_key)
        self.known[node.name] = node
        found = self._found.get(node.name) or await identify(node.client, node.kind, api_key)
        profile = ENGINES.get(found.kind, ENGINES["openai"])
        upstream = Upstream(
            node.name,
            "local",
            OpenAICompatible(_with_v1(url), api_key, reuses_after_stream=profile.reuses_after_stream),
            kind=found.kind,
            local_usd_per_s=self.rates[node.name].usd_per_s,
            profile=self._profiles.get(node.name),
        )
        upstream.is_up = found.state in ("ready", "loading")
        upstream.is_loading = found.state == "loading"
        apply_found(found, config, upstream)
        for told in self.on_probe:
            told(node, found)
        return upstream

    async def _embed(self, node: NodeConfig) -> tuple[str, str]:
        engine = embedded(node, lambda state: self._note_engine(node.name, state))
        await engine.start()
        self._engines.append(engine)
        return engine.url, engine.api_key

    def _note_engine(self, name: str, state: EngineState) -> None:
        """An engine that starts again begins with an empty cache, perhaps before anybody asks it anything."""
        upstream = self._fleet.upstreams.get(name)
        if upstream is not None and state != "ready":
            upstream.forget_prefixes()

    async def _watch(self, node: KnownNode) -> None:
        """Asks a node again and again what it is; what changed takes effect with the next request."""
        while True:
            await asyncio.sleep(PROBE_EVERY_S)
            found = await identify(node.client, node.kind, node.api_key)
            self.take(node, found)
            if found.state == "ready":
                await self._look_for_others(node, found.kind)

    async def _look_for_others(self, node: KnownNode, kind: str) -> None:
        """Corrects the node's load by what others run on it, if it tells and says so twice running."""
        upstream = self._fleet.upstreams[node.name]
        headers = [(b"authorization", b"Bearer " + node.api_key.encode())] if node.api_key else []
        ours = upstream.in_flight
        ours_too = self.is_asking(node.name)
        busy = await busy_requests(node.client, kind, headers)
        excess = 0 if busy is None else max(0, busy - max(ours, upstream.in_flight) - ours_too)
        if upstream.record is not None:
            upstream.record.foreign = min(excess, node.foreign)
            upstream.fill()
        node.foreign = excess

    def take(self, node: KnownNode, found: Found) -> None:
        """Lets the rules know what a probe found; one that missed a single probe keeps its standing."""
        upstream = self._fleet.upstreams[node.name]
        was_up = upstream.is_up
        is_well = found.state in ("ready", "loading")
        node.misses = 0 if is_well else node.misses + 1
        upstream.is_loading = found.state == "loading"
        upstream.is_up = is_well or (was_up and found.state == "down" and node.misses < MISSES_UNTIL_DOWN)
        if upstream.is_loading or not upstream.is_up or (found.state == "ready" and node.is_another(found)):
            upstream.forget_prefixes()
        apply_found(found, node.config, upstream)
        if found.state == "ready":
            upstream.kind = found.kind
        if upstream.is_up != was_up:
            logger.warning("node %s is %s", node.name, "up" if upstream.is_up else f"down: {found.why}")
        upstream.breaker.note_probe(is_well=is_well)
        for told in self.on_probe:
            told(node, found)
        upstream.fill()  # once all is known: it may have more slots than before, or be well again


def embedded(
    node: NodeConfig, on_state: Callable[[EngineState], None] = lambda state: None
) -> EmbeddedEngine:
    """The engine that serves a node's model file, not started yet."""
    return EmbeddedEngine(
        Path(node.model or ""),
        name=node.name,
        slots=2 if node.slots == "auto" else node.slots,
        context_tokens=node.context_tokens or 4096,
        on_state=on_state,
    )


def apply_found(found: Found, node: NodeConfig, upstream: Upstream) -> None:
    """Takes over models and slots; a node that does not answer keeps what it told before."""
    if found.models:
        upstream.models = tuple(_limited(found.models, node.context_tokens))
    if node.slots != "auto":
        upstream.slots = node.slots
    elif found.slots is not None:
        upstream.slots = found.slots


def node_rates_of(node: NodeConfig, config: Config) -> NodeRates:
    """What a busy second of that node costs; unknown where its hardware or the tariff is."""
    hardware = node.hardware if isinstance(node.hardware, HardwareConfig) else HardwareConfig()
    return NodeRates.of(
        price_usd=hardware.price_usd,
        life_months=hardware.life_months,
        active_w=hardware.active_w,
        usd_per_kwh=config.electricity_usd_per_kwh,
    )


def _limited(models: Sequence[ModelFacts], context_tokens: int | None) -> list[ModelFacts]:
    """Configuration may lower a node's context, and says it where the node does not."""
    if context_tokens is None:
        return list(models)
    return [
        structs.replace(model, context_tokens=min(context_tokens, model.context_tokens or context_tokens))
        for model in models
    ]


def _with_v1(url: str) -> str:
    if url.startswith("unix:") or url.rstrip("/").endswith("/v1"):
        return url
    return url.rstrip("/") + "/v1"
