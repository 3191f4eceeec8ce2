"""A real engine behind one name and address, watched as the gateway watches it."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from spillway.api.nodes import KnownNode, apply_found
from spillway.api.pin_watch import PinWatch
from spillway.clock import SystemClock
from spillway.config.pins import PinsConfig
from spillway.config.schema import NodeConfig
from spillway.engines.embedded import EmbeddedEngine
from spillway.engines.http_client import HttpClient
from spillway.engines.identify import Found, identify
from spillway.engines.openai_compatible import OpenAICompatible
from spillway.engines.wire import Origin
from spillway.fleet.registry import Fleet, Upstream
from spillway.pinning.canaries import Canary, default_canaries
from spillway.pinning.lock import Lock
from spillway.pinning.lock_file import save_lock
from spillway.pinning.pin import pin_node
from spillway.pinning.survey import Target, look
from spillway.pinning.weights import WeightFiles

__all__ = ["LiveNode"]


class LiveNode:
    """``async with LiveNode(model, folder) as node``: the engine runs; ``pin``, ``watch``, ``serve`` another
    file under the same name, ``probe`` as often as wanted."""

    def __init__(self, model: Path, folder: Path, *, reads_files: bool = True, slots: int = 2) -> None:
        """Without ``reads_files`` it is as if the engine ran on another machine: no file can be hashed."""
        self.served = folder / "served.gguf"
        self.lock_path = folder / "spillway.lock"
        self.reads_files = reads_files
        self.slots = slots
        self.fleet = Fleet((), SystemClock())
        self.watch: PinWatch | None = None
        self._put(model)
        self._engine: EmbeddedEngine | None = None
        self._client: HttpClient | None = None

    async def __aenter__(self) -> Self:
        await self.serve(None)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self.watch is not None:
            await self.watch.close()
        await self._stop()
        await self.fleet.close()

    @property
    def engine(self) -> EmbeddedEngine:
        """The engine that runs now."""
        assert self._engine is not None
        return self._engine

    @property
    def upstream(self) -> Upstream:
        """As the rules see it."""
        return self.fleet.upstreams["mini"]

    @property
    def pins(self) -> PinWatch:
        """The watch."""
        assert self.watch is not None
        return self.watch

    async def serve(self, model: Path | None, *, context_tokens: int = 512) -> None:
        """The engine starts anew, under the same address, with that file in the old one's place."""
        port_of = self._engine
        await self._stop()
        if model is not None:
            self._put(model)
        engine = EmbeddedEngine(
            self.served, name="mini", slots=self.slots, context_tokens=context_tokens, threads=1
        )
        if port_of is not None:
            engine.api_key = port_of.api_key
            engine._settings["api_key"] = port_of.api_key
        await engine.start()
        self._engine = engine

    async def pin(self, canaries: tuple[Canary, ...] | None = None) -> Lock:
        """Pins what is served now."""
        target = Target("mini", self.engine.url, "llamacpp", self.engine.api_key, is_embedded=True)
        files = WeightFiles()
        sight = await look(target, files)
        if not self.reads_files:
            sight = await look(target, _NoFiles())
        pinned = await pin_node(target, sight, Lock(), canaries or default_canaries(), "loaded")
        await files.close()
        assert pinned.node is not None
        lock = Lock().with_node("mini", pinned.node, sight.templates)
        save_lock(lock, self.lock_path)
        return lock

    async def begin(self, pins: PinsConfig | None = None) -> None:
        """Puts the node into a fleet and watches it from now on."""
        engine = self.engine
        self.fleet.add(
            Upstream(
                "mini",
                "local",
                OpenAICompatible(engine.url, engine.api_key, reuses_after_stream=False),
                kind="llamacpp",
                slots=self.slots,
            )
        )
        chosen = pins or PinsConfig(lock=str(self.lock_path), canaries_every_s=0)
        self.watch = PinWatch(chosen, self.fleet, SystemClock())
        if not self.reads_files:
            self.watch._weights = _NoFiles()
        await self.probe()
        self.watch.start()

    async def probe(self) -> Found:
        """One probe, as the gateway makes it every few seconds."""
        engine = self.engine
        client = HttpClient(Origin.parse(engine.url))
        config = NodeConfig(name="mini", model=str(self.served))
        found = await identify(client, "llamacpp", engine.api_key)
        apply_found(found, config, self.upstream)
        node = KnownNode(config, client, engine.api_key)
        watch = self.pins._watches.get("mini")
        if watch is not None and watch.client.origin != client.origin:
            watch.client.origin = client.origin  # the gateway's engines keep their address over a restart
        self.pins.observe(node, found)
        await client.close()
        return found

    def _put(self, model: Path) -> None:
        part = self.served.with_suffix(".part")
        part.write_bytes(model.read_bytes())
        part.replace(self.served)

    async def _stop(self) -> None:
        if self._engine is not None:
            await self._engine.stop()
            self._engine = None


class _NoFiles(WeightFiles):
    """Nothing can be read here."""

    async def known(self, found: Found) -> dict[str, str | None]:
        """Nothing."""
        return {}

    async def complete(self, found: Found) -> dict[str, str | None]:
        """Nothing."""
        return {}
