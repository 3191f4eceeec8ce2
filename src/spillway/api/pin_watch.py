"""Holds every probe of a node against its lock, runs its canaries while it is idle, tells what drifted."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Protocol

from msgspec import structs, to_builtins

from spillway.api.pin_state import DriftEvent, Watch, event_of, standing
from spillway.clock import Clock
from spillway.config.pins import PinsConfig
from spillway.config.schema import NodeConfig
from spillway.engines.http_client import HttpClient
from spillway.engines.identify import Found
from spillway.fleet.registry import Fleet
from spillway.pinning.answers import CanaryUnanswered, NodeAsker
from spillway.pinning.canaries import Canary, own_canaries
from spillway.pinning.compare import FIELDS, Change, changes
from spillway.pinning.drift import DriftState, ModelDrift, Policy, action_of, judge, sentence
from spillway.pinning.followed import FollowedLock
from spillway.pinning.identity import identities_of
from spillway.pinning.impostors import answers_any_name, cloud_of
from spillway.pinning.lock import LockedNode
from spillway.pinning.review import lasting, review_node
from spillway.pinning.rounds import CanaryRunner, Job
from spillway.pinning.runs import Doubt, by_the_way, certain
from spillway.pinning.weights import WeightFiles, is_this_machine
from spillway.vocabulary import ModelFacts

__all__ = ["PinWatch", "WatchedNode"]

logger = logging.getLogger("spillway.pins")

KEPT_EVENTS = 200


class WatchedNode(Protocol):
    """What the watch needs to know of a node; ``api.nodes.KnownNode`` is one."""

    @property
    def config(self) -> NodeConfig:
        """As configured."""
        ...

    @property
    def client(self) -> HttpClient:
        """Where it is."""
        ...

    @property
    def api_key(self) -> str | None:
        """What it asks for."""
        ...


class PinWatch:
    """``observe`` after every probe, ``start`` once the fleet is complete, ``interrupt`` when a request is
    about to be sent to a node, ``close``."""

    def __init__(
        self, pins: PinsConfig, fleet: Fleet, clock: Clock, *, cache_file: Path | None = None
    ) -> None:
        """LockError when there is a lock that cannot be used. ``cache_file`` keeps digests of weights."""
        self._fleet = fleet
        self._clock = clock
        self._followed = FollowedLock(Path(pins.lock) if pins.lock is not None else None)
        on_drift = pins.on_drift
        self._policy: Policy = {field: getattr(on_drift, field) for field in FIELDS}
        self._pins = pins
        self._canaries: dict[str, Canary] | None = None
        self._every_s = pins.canaries_every_s or None
        self._weights = WeightFiles(cache_file)
        self._watches: dict[str, Watch] = {}
        self._has_started = False
        self.events: deque[DriftEvent] = deque(maxlen=KEPT_EVENTS)
        """What happened since start, the oldest first."""
        self.on_event: Callable[[DriftEvent], None] = lambda event: None
        """Told of each of them."""

    def start(self) -> None:
        """Lets the rules know what is known by now; from here on canaries run."""
        self._has_started = True
        for watch in self._watches.values():
            self._apply(watch)
            watch.tasks["rounds"] = asyncio.create_task(self._keep_asking(watch))

    async def close(self) -> None:
        """Stops canaries and the reading of files."""
        tasks = [task for watch in self._watches.values() for task in watch.tasks.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._weights.close()
        for watch in self._watches.values():
            await watch.client.close()

    def observe(self, node: WatchedNode, found: Found) -> None:
        """Takes in a probe, and lets the rules know what follows before the next request is decided.

        Files of weights are read aside; until then they count as not told yet.
        """
        watch = self._watches.get(node.config.name) or self._begin(node)
        if self._followed.has_changed():
            self._take_lock()
        if found.state != "ready":
            watch.is_down = True
            return
        before = watch.found
        if watch.is_down or before is None or before.instance != found.instance:
            watch.is_down = False
            watch.due.set()  # another server may have come back under the same address
        watch.found = found
        self._compare(watch)
        reading = watch.tasks.get("weights")
        if is_this_machine(watch.client.origin) and (reading is None or reading.done()):
            watch.tasks["weights"] = asyncio.create_task(self._read_weights(watch, found))

    def interrupt(self, name: str) -> None:
        """A request is about to be sent to that node: its canary, if one runs, is cancelled first."""
        if (watch := self._watches.get(name)) is not None:
            watch.runner.interrupt()

    def is_asking(self, name: str) -> bool:
        """Whether a canary of ours is on the node right now, which is no load of others."""
        watch = self._watches.get(name)
        return watch is not None and watch.runner.is_asking

    def state(self, name: str) -> DriftState:
        """How a node stands to its pin."""
        watch = self._watches.get(name)
        return watch.state if watch is not None else DriftState()

    def to_json(self) -> dict[str, Any]:
        """The body of ``GET /spillway/v1/drift``: every node as it stands, and what happened since start."""
        path = self._followed.path
        return {
            "object": "drift",
            "lock": str(path) if path is not None else None,
            "nodes": [standing(watch, self._locked(watch)) for watch in self._watches.values()],
            "events": [to_builtins(event) for event in reversed(self.events)],
        }

    # identities

    def _begin(self, node: WatchedNode) -> Watch:
        name, client = node.config.name, HttpClient(node.client.origin)
        upstreams = self._fleet.upstreams

        def is_idle() -> bool:
            upstream = upstreams.get(name)
            return upstream is not None and upstream.in_flight == 0 and not len(upstream.queue)

        asker = NodeAsker(client, node.config.engine, node.api_key)
        runner = CanaryRunner(asker, is_idle, self._clock.monotonic_s)
        watch = Watch(name, client, node.api_key, runner, is_embedded=node.config.model is not None)
        self._watches[name] = watch
        if cloud := cloud_of(client.origin.host):
            watch.asked["host"] = Change("*", "remote_host", "here", f"the cloud {cloud}")
        if self._has_started:
            watch.tasks["rounds"] = asyncio.create_task(self._keep_asking(watch))
        return watch

    def _compare(self, watch: Watch) -> None:
        """Identities anew, and what follows from them."""
        found, files = watch.found, watch.digests
        if found is None:
            return
        if files is None and is_this_machine(watch.client.origin):
            files = {one.path: None for one in found.told if one.path is not None}
        seen = identities_of(found, files, is_embedded=watch.is_embedded)
        if any(changes(old, seen[name]) for name, old in watch.identities.items() if name in seen):
            watch.due.set()
        watch.identities = seen
        self._settle(watch)

    def _settle(self, watch: Watch) -> None:
        """The node's state from all that is known; what began or ended to differ becomes an event."""
        locked = self._locked(watch)
        found = list(watch.asked.values())
        if locked is not None:
            review = review_node(watch.name, locked, watch.identities)
            watch.unverified = review.unverified
            found += [*review.changes, *lasting(watch.state.changes, review)]
            for name, model in locked.models.items():
                doubts = [doubt for key, doubt in sorted(watch.doubts.items()) if key[0] == name]
                found += certain(doubts, len(model.canaries)) if name in watch.identities else ()
        known = watch.identities if locked is None else locked.models
        state = judge(found, self._policy, [name for name in watch.identities if name in known])
        self._tell(watch, state)
        watch.state = state
        self._apply(watch)

    def _apply(self, watch: Watch) -> None:
        upstream = self._fleet.upstreams.get(watch.name)
        if upstream is None:
            return  # still starting; ``start`` comes back to it
        if upstream.drift != watch.state.fields:
            upstream.forget_prefixes()
        upstream.models = tuple(self._models(watch, upstream.models))
        upstream.is_quarantined = watch.state.is_quarantined
        upstream.withheld = watch.state.withheld
        upstream.drift = watch.state.fields

    def _models(self, watch: Watch, models: Iterable[ModelFacts]) -> Iterable[ModelFacts]:
        """Models with their identity, less what drift withholds of a single one. A node that is quarantined
        as a whole keeps its names, so that a refusal can say why."""
        for model in models:
            one = watch.identities.get(model.name)
            drift = watch.state.models.get(model.name, ModelDrift())
            if drift.is_excluded and not watch.state.is_quarantined:
                continue
            able = model.capabilities
            yield structs.replace(
                model,
                identity=one.short if one else None,
                capabilities=able - drift.withheld if able is not None else None,
            )

    def _tell(self, watch: Watch, state: DriftState) -> None:
        """Each change once when it begins and once when it ends."""
        old, new = watch.state.changes, state.changes
        for change in [change for change in new if change not in old]:
            action = action_of(change, state.changes, self._policy)
            logger.warning("%s (%s)", sentence(watch.name, change), action)
            self._keep(event_of(self._clock.wall_s(), watch.name, change, action))
        still = {(change.model, change.field) for change in new}
        for change in [change for change in old if change not in new]:
            if (change.model, change.field) not in still:
                logger.warning("%s/%s: %s is as pinned again", watch.name, change.model, change.field)
                self._keep(event_of(self._clock.wall_s(), watch.name, change, "restored"))

    def _keep(self, event: DriftEvent) -> None:
        self.events.append(event)
        self.on_event(event)

    async def _read_weights(self, watch: Watch, found: Found) -> None:
        """Digests of files that are here; one that is new or was replaced is read through."""
        digests = await self._weights.known(found)
        if None in digests.values():
            self._take_digests(watch, digests)
            digests = await self._weights.complete(found)
        self._take_digests(watch, digests)

    def _take_digests(self, watch: Watch, digests: dict[str, str | None]) -> None:
        if digests != watch.digests:
            watch.digests = digests
            self._compare(watch)

    # canaries

    async def _keep_asking(self, watch: Watch) -> None:
        """A round at start, after a change or a reconnect, and on schedule."""
        while True:
            try:
                await asyncio.wait_for(watch.due.wait(), self._every_s)
            except TimeoutError:
                pass
            watch.due.clear()
            found = watch.found
            if watch.is_down or found is None:
                continue
            try:
                await self._round(watch, found)
            except CanaryUnanswered as error:
                logger.info("node %s: its canaries were not finished: %s", watch.name, error)
            except Exception:
                logger.exception("node %s: its canaries failed inside the gateway", watch.name)

    async def _round(self, watch: Watch, found: Found) -> None:
        runner = watch.runner
        watch.checked.clear()
        runner.asker = NodeAsker(watch.client, found.kind, watch.api_key)
        await runner.quiet()
        answers = await answers_any_name(watch.client, found.kind, watch.api_key)
        if answers is not None:
            shown = Change("*", "model", "refuses unknown names", "answers for any name")
            self._take(watch, "name", shown if answers else None)
        for job in self._jobs(watch, found):
            doubt = await runner.run(job)
            self._note(watch, job, doubt)
        watch.checked_wall_s = self._clock.wall_s()
        watch.checked.set()

    def _jobs(self, watch: Watch, found: Found) -> list[Job]:
        """Every pinned canary of every pinned model that can answer without being loaded first."""
        locked = self._locked(watch)
        if locked is None:
            return []
        known = self._known_canaries()
        asleep = {one.name for one in found.told if one.is_loaded is False}
        return [
            Job(name, known[canary], record)
            for name, model in locked.models.items()
            if name in watch.identities and name not in asleep
            for canary, record in model.canaries.items()
            if canary in known
        ]

    def _known_canaries(self) -> dict[str, Canary]:
        """By name; read when first needed, since reading them takes longer than the rest of a start."""
        if self._canaries is None:
            own = [one.model_dump() for one in self._pins.canaries]
            canaries = own_canaries(own, with_defaults=self._pins.default_canaries)
            self._canaries = {canary.name: canary for canary in canaries}
        return self._canaries

    def _note(self, watch: Watch, job: Job, doubt: Doubt) -> None:
        locked = self._locked(watch)
        pinned = locked.models.get(job.model) if locked else None
        if pinned is None or pinned.canaries.get(job.canary.name) != job.pinned:
            return  # the lock was written anew meanwhile
        watch.doubts[job.model, job.canary.name] = doubt
        if doubt.answers:
            shown = {change.field: change for change in by_the_way(job.model, pinned, doubt.answers)}
            for field in ("model", "fingerprint"):
                self._take(watch, f"{field} {job.model}", shown.get(field))
        self._settle(watch)

    def _take(self, watch: Watch, asked: str, shown: Change | None) -> None:
        """What asking showed now takes the place of what it showed before."""
        if watch.asked.pop(asked, None) != shown:
            if shown is not None:
                watch.asked[asked] = shown
            self._settle(watch)
        elif shown is not None:
            watch.asked[asked] = shown

    # the lock

    def _locked(self, watch: Watch) -> LockedNode | None:
        return self._followed.lock.nodes.get(watch.name)

    def _take_lock(self) -> None:
        for watch in self._watches.values():
            watch.doubts.clear()
            for asked in [key for key in watch.asked if key.startswith("fingerprint ")]:
                del watch.asked[asked]
            watch.due.set()
            self._settle(watch)
