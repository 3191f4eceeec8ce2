"""Puts a gateway together from a configuration, keeps its view of the fleet fresh, takes it apart again."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from msgspec import structs

from spillway.api.app import Gateway, Limits
from spillway.api.auth import KeyRing
from spillway.api.books import LedgerBooks
from spillway.api.price_watch import PriceWatch
from spillway.api.settings import policy_of
from spillway.clock import SystemClock
from spillway.config.schema import CloudConfig, Config, HardwareConfig, NodeConfig
from spillway.engines.embedded import EmbeddedEngine
from spillway.engines.http_client import HttpClient
from spillway.engines.identify import Found, identify
from spillway.engines.openai_compatible import OpenAICompatible
from spillway.engines.profiles import CLOUDS, ENGINES
from spillway.engines.wire import Origin
from spillway.errors import ConfigError
from spillway.fleet.registry import Fleet, Upstream
from spillway.ledger.cost import NodeRates
from spillway.ledger.prices import default_cache_folder
from spillway.ledger.writer import LedgerWriter
from spillway.relay.relay import Relay
from spillway.routing import NoEvidence, reasons
from spillway.telemetry.metrics import Metrics
from spillway.vocabulary import ModelFacts

__all__ = ["Assembly"]

logger = logging.getLogger("spillway.api")

PROBE_EVERY_S = 3.0
"""How often a local node is asked for its metadata; it costs the node less than a millisecond."""


class Assembly:
    """All parts of one running gateway. ``start``, serve ``gateway``, ``close``."""

    def __init__(
        self, config: Config, *, found: Mapping[str, Found] | None = None, state_folder: Path | None = None
    ) -> None:
        """``found`` is what discovery already learnt of nodes, so that they need not be asked twice."""
        self.config = config
        self.clock = SystemClock()
        self._found = dict(found or {})
        self._engines: list[EmbeddedEngine] = []
        self._probes: list[asyncio.Task[None]] = []
        self._clients: dict[str, HttpClient] = {}
        self._is_ready = False
        self.prices = PriceWatch(config, self.clock, default_cache_folder(), self._apply_prices)
        self.fleet = Fleet((), self.clock)
        self.metrics = Metrics(self.fleet.snapshots, reasons.SPILLS)
        self.writer = LedgerWriter.at(config.ledger, state_folder=state_folder)
        self.metrics.ledger = lambda: (self.writer.state.backlog_rows, self.writer.state.lost_rows)
        self.node_rates = {node.name: node_rates_of(node, config) for node in config.nodes}
        self.books = LedgerBooks(
            self.writer, self.metrics, self.prices.rates, self.node_rates, self._reference()
        )
        self.gateway = Gateway(
            fleet=self.fleet,
            policy=policy_of(config),
            evidence=NoEvidence(),
            relay=Relay(self.fleet, self.books, self.clock),
            books=self.books,
            keys=KeyRing(config.server.keys),
            metrics=self.metrics,
            clock=self.clock,
            limits=Limits(config.server.max_body_bytes, config.server.body_timeout_s),
            captures=config.capture,
            is_ready=lambda: self._is_ready,
        )

    async def start(self) -> None:
        """Opens the ledger, starts embedded engines, asks every node what it is, begins to watch them."""
        await self.writer.start()
        for node in self.config.nodes:
            self.fleet.add(await self._node(node))
        for cloud in self.config.clouds:
            self.fleet.add(self._cloud(cloud))
        self._probes = [asyncio.create_task(self._watch(name)) for name in self._clients]
        self.prices.want(
            (cloud.name, entry.name) for cloud in self.config.clouds for entry in cloud.model_entries
        )
        self._probes.append(asyncio.create_task(self.prices.run()))
        self._is_ready = True

    async def close(self) -> None:
        """Stops watching and embedded engines, closes connections, drains the ledger."""
        self._is_ready = False
        for probe in self._probes:
            probe.cancel()
        await asyncio.gather(*self._probes, return_exceptions=True)
        for client in self._clients.values():
            await client.close()
        await self.fleet.close()
        for engine in self._engines:
            await engine.stop()
        await self.writer.close()

    def _reference(self) -> tuple[str, str] | None:
        """The configured reference, else the first model of the first cloud."""
        if self.config.routing.reference is not None:
            cloud, _, model = self.config.routing.reference.partition("/")
            return cloud, model
        for cloud_config in self.config.clouds:
            for model_config in cloud_config.model_entries:
                return cloud_config.name, model_config.name
        return None

    # upstreams

    async def _node(self, node: NodeConfig) -> Upstream:
        url, api_key = node.url, node.api_key.get_secret_value() if node.api_key else None
        if node.model is not None:
            url, api_key = await self._embed(node)
        assert url is not None
        client = self._clients[node.name] = HttpClient(Origin.parse(url))
        found = self._found.get(node.name) or await identify(client, _kind(node), api_key)
        profile = ENGINES.get(found.kind, ENGINES["openai"])
        engine = OpenAICompatible(_with_v1(url), api_key, reuses_after_stream=profile.reuses_after_stream)
        upstream = Upstream(
            node.name,
            "local",
            engine,
            kind=found.kind,
            local_usd_per_s=self.node_rates[node.name].usd_per_s,
        )
        _apply(found, node, upstream)
        return upstream

    async def _embed(self, node: NodeConfig) -> tuple[str, str]:
        engine = EmbeddedEngine(
            Path(node.model or ""),
            name=node.name,
            slots=2 if node.slots == "auto" else node.slots,
            context_tokens=node.context_tokens or 4096,
        )
        await engine.start()
        self._engines.append(engine)
        return engine.url, engine.api_key

    def _cloud(self, cloud: CloudConfig) -> Upstream:
        profile = CLOUDS.get(cloud.name)
        url = cloud.url or (profile.url if profile else None)
        if url is None:
            raise ConfigError(f"clouds: {cloud.name}: url is missing, and the name is none spillway knows")
        api_key = cloud.api_key.get_secret_value() if cloud.api_key else None
        models = tuple(ModelFacts(entry.name, entry.context_tokens) for entry in cloud.model_entries)
        note = f"simulated: {cloud.simulated}" if cloud.simulated else ""
        return Upstream(cloud.name, "cloud", OpenAICompatible(url, api_key), models, note=note)

    # keeping the view fresh

    async def _watch(self, name: str) -> None:
        """Asks a node again and again what it is; what changed takes effect with the next request."""
        node = next(node for node in self.config.nodes if node.name == name)
        upstream, client = self.fleet.upstreams[name], self._clients[name]
        api_key = next((e.api_key for e in self._engines if e.name == name), None)
        if api_key is None and node.api_key is not None:
            api_key = node.api_key.get_secret_value()
        while True:
            await asyncio.sleep(PROBE_EVERY_S)
            found = await identify(client, _kind(node), api_key)
            was_up = upstream.is_up
            _apply(found, node, upstream)
            if upstream.is_up != was_up:
                logger.warning("node %s is %s", name, "up" if upstream.is_up else f"down: {found.why}")
            if upstream.is_up and not was_up:
                upstream.breaker.close()

    def _apply_prices(self) -> None:
        """Lets the rules order clouds by what is known now."""
        for cloud in self.config.clouds:
            upstream = self.fleet.upstreams[cloud.name]
            upstream.models = tuple(
                structs.replace(model, rates=self.prices.rates(cloud.name, model.name))
                for model in upstream.models
            )


def node_rates_of(node: NodeConfig, config: Config) -> NodeRates:
    """What a busy second of that node costs; unknown where its hardware or the tariff is."""
    hardware = node.hardware if isinstance(node.hardware, HardwareConfig) else HardwareConfig()
    return NodeRates.of(
        price_usd=hardware.price_usd,
        life_months=hardware.life_months,
        active_w=hardware.active_w,
        usd_per_kwh=config.electricity_usd_per_kwh,
    )


def _apply(found: Found, node: NodeConfig, upstream: Upstream) -> None:
    """Takes over what a probe learnt; a node that does not answer keeps its models but counts as down."""
    upstream.is_up = found.state == "ready"
    if found.models:
        upstream.models = tuple(_limited(found.models, node.context_tokens))
    if node.slots != "auto":
        upstream.slots = node.slots
    elif found.slots is not None:
        upstream.slots = found.slots


def _limited(models: Sequence[ModelFacts], context_tokens: int | None) -> list[ModelFacts]:
    """Configuration may lower a node's context, and says it where the node does not."""
    if context_tokens is None:
        return list(models)
    return [
        structs.replace(model, context_tokens=min(context_tokens, model.context_tokens or context_tokens))
        for model in models
    ]


def _kind(node: NodeConfig) -> str:
    return "llamacpp" if node.model is not None else node.engine


def _with_v1(url: str) -> str:
    if url.startswith("unix:") or url.rstrip("/").endswith("/v1"):
        return url
    return url.rstrip("/") + "/v1"
