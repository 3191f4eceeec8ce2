"""Puts a gateway together from a configuration, and takes it apart again."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

from msgspec import structs

from spillway.api.app import Gateway, Limits
from spillway.api.auth import KeyRing
from spillway.api.books import LedgerBooks
from spillway.api.classification import Classifier
from spillway.api.nodes import KnownNode, Nodes
from spillway.api.pin_state import DriftEvent
from spillway.api.pin_watch import PinWatch
from spillway.api.price_watch import PriceWatch
from spillway.api.quality import Quality
from spillway.api.settings import policy_of
from spillway.clock import SystemClock
from spillway.config.schema import CloudConfig, Config
from spillway.engines.identify import Found
from spillway.engines.openai_compatible import OpenAICompatible
from spillway.engines.profiles import CLOUDS
from spillway.errors import ConfigError
from spillway.fleet.registry import Fleet, Upstream
from spillway.ledger.drift import record_drift
from spillway.ledger.prices import default_cache_folder
from spillway.ledger.writer import LedgerWriter
from spillway.relay.relay import Relay
from spillway.routing import reasons
from spillway.slo.hedges import HedgeBudget
from spillway.slo.pace import LinearPace
from spillway.telemetry.metrics import Metrics
from spillway.vocabulary import ModelFacts

__all__ = ["Assembly"]


class Assembly:
    """All parts of one running gateway. ``start``, serve ``gateway``, ``close``."""

    def __init__(
        self,
        config: Config,
        *,
        found: Mapping[str, Found] | None = None,
        profiles: Mapping[str, LinearPace] | None = None,
        state_folder: Path | None = None,
    ) -> None:
        """``found`` is what discovery already learnt of nodes; ``profiles`` are measured paces by node."""
        self.config = config
        self.clock = SystemClock()
        self._is_ready = False
        self._price_task: asyncio.Task[None] | None = None
        self.prices = PriceWatch(config, self.clock, default_cache_folder(), self._apply_prices)
        self.fleet = Fleet((), self.clock)
        self.nodes = Nodes(config, self.fleet, self.clock, found=found or {}, profiles=profiles or {})
        self.metrics = Metrics(self.fleet.snapshots, reasons.SPILLS)
        self.writer = LedgerWriter.at(config.ledger, state_folder=state_folder)
        self.metrics.ledger = lambda: (self.writer.state.backlog_rows, self.writer.state.lost_rows)
        self.books = LedgerBooks(
            self.writer, self.metrics, self.prices.rates, self.nodes.rates, self._reference()
        )
        self.classifier = classifier_of(config)
        self.quality = Quality(
            config,
            fleet=self.fleet,
            writer=self.writer,
            clock=self.clock,
            bill=self.books.bill,
            rates_of=self.prices.rates,
            reference=self._reference(),
            on_shadow_bills=self.metrics.note_shadow,
        )
        self.metrics.shadow = lambda: structs.asdict(self.quality.shadow.stats)
        weights = default_cache_folder() / "weights.json"
        self.pins = PinWatch(config.pins, self.fleet, self.clock, cache_file=weights)
        self.pins.on_event = self._record_drift
        self.nodes.is_asking = self.pins.is_asking
        self.fleet.on_admit = self.pins.interrupt
        self.nodes.on_probe += [self.pins.observe, self._note_models]
        self.gateway = self._gateway(config)

    def _gateway(self, config: Config) -> Gateway:
        relay = Relay(
            self.fleet,
            self.books,
            self.clock,
            hedges=HedgeBudget(config.routing.hedge_share),
            on_hedge=self.metrics.note_hedge,
            verifier=self.quality.gatekeeper,
            observer=self.quality,
        )
        return Gateway(
            fleet=self.fleet,
            policy=policy_of(config),
            evidence=self.quality.book,
            relay=relay,
            books=self.books,
            keys=KeyRing(config.server.keys),
            metrics=self.metrics,
            clock=self.clock,
            limits=Limits(config.server.max_body_bytes, config.server.body_timeout_s),
            classifier=self.classifier,
            feedback=self.quality.feedback,
            drift=self.pins.to_json,
            make_way=self.quality.shadow.make_way,
            captures=config.capture,
            is_ready=lambda: self._is_ready,
        )

    async def start(self) -> None:
        """Opens the ledger, starts embedded engines, asks every node what it is, begins to watch them."""
        await self.writer.start()
        await self.quality.start()
        if self.classifier is not None:
            self.classifier.start()
        await self.nodes.start()
        self.pins.start()
        for cloud in self.config.clouds:
            self.fleet.add(self._cloud(cloud))
        for upstream in self.fleet.upstreams.values():
            self.quality.desk.note_models(upstream.name, upstream.models)
        self.nodes.watch()
        self.prices.want(
            (cloud.name, entry.name) for cloud in self.config.clouds for entry in cloud.model_entries
        )
        self._price_task = asyncio.create_task(self.prices.run())
        self._is_ready = True

    async def close(self) -> None:
        """Stops watching and embedded engines, closes connections, drains the ledger."""
        self._is_ready = False
        if self._price_task is not None:
            self._price_task.cancel()
            await asyncio.gather(self._price_task, return_exceptions=True)
        if self.classifier is not None:
            await self.classifier.close()
        await self.nodes.close()
        await self.pins.close()
        await self.quality.close()
        await self.fleet.close()
        await self.nodes.stop_engines()
        await self.writer.close()

    def _record_drift(self, event: DriftEvent) -> None:
        """Reports tell of it after this process is gone."""
        row = (event.at_wall_s, event.node, event.model, event.field, event.before, event.after, event.action)
        self.writer.post(lambda store: record_drift(store, [row]))

    def _note_models(self, node: KnownNode, found: Found) -> None:
        """Evidence is kept by what is really served."""
        upstream = self.fleet.upstreams.get(node.name)
        if upstream is not None and found.state == "ready":
            self.quality.desk.note_models(node.name, upstream.models)

    def _reference(self) -> tuple[str, str] | None:
        """The configured reference, else the first model of the first cloud."""
        if self.config.routing.reference is not None:
            cloud, _, model = self.config.routing.reference.partition("/")
            return cloud, model
        for cloud_config in self.config.clouds:
            for model_config in cloud_config.model_entries:
                return cloud_config.name, model_config.name
        return None

    def _cloud(self, cloud: CloudConfig) -> Upstream:
        profile = CLOUDS.get(cloud.name)
        url = cloud.url or (profile.url if profile else None)
        if url is None:
            raise ConfigError(f"clouds: {cloud.name}: url is missing, and the name is none spillway knows")
        api_key = cloud.api_key.get_secret_value() if cloud.api_key else None
        models = tuple(ModelFacts(entry.name, entry.context_tokens) for entry in cloud.model_entries)
        note = f"simulated: {cloud.simulated}" if cloud.simulated else ""
        return Upstream(cloud.name, "cloud", OpenAICompatible(url, api_key), models, note=note)

    def _apply_prices(self) -> None:
        """Lets the rules order clouds by what is known now."""
        for cloud in self.config.clouds:
            upstream = self.fleet.upstreams[cloud.name]
            upstream.models = tuple(
                structs.replace(model, rates=self.prices.rates(cloud.name, model.name))
                for model in upstream.models
            )


def classifier_of(config: Config) -> Classifier | None:
    """Reads task classes where they decide something: with nodes and clouds to choose between."""
    if not config.routing.classify or not config.nodes or not config.clouds:
        return None
    own = config.routing.task_file
    return Classifier(Path(own) if own is not None else None)
