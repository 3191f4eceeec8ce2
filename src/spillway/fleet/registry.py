"""The upstreams: the one owner of how many requests each has in flight, and of what its traffic taught us."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal

from spillway.clock import Clock
from spillway.engines.engine import Engine
from spillway.fleet.breaker import Breaker
from spillway.vocabulary import ModelFacts, NodeSnapshot, Side

__all__ = ["Fleet", "Lease", "Upstream"]

LEARNING_RATE = 0.1
"""Weight of the newest answer in a node's typical times: about the last twenty answers count (guess)."""


class Upstream:
    """One node or cloud."""

    def __init__(
        self,
        name: str,
        side: Side,
        engine: Engine,
        models: tuple[ModelFacts, ...] = (),
        *,
        slots: int | None = None,
        local_usd_per_s: Decimal | None = None,
        kind: str = "openai",
        note: str = "",
    ) -> None:
        self.name = name
        self.side: Side = side
        self.engine = engine
        self.models = models
        self.slots = slots
        self.kind = kind
        self.note = note
        """Shown beside the name wherever a person sees it, such as "simulated"."""
        self.local_usd_per_s = local_usd_per_s
        self.is_up = True
        self.is_draining = False
        self.breaker = Breaker()
        self.in_flight = 0
        self.service_s: float | None = None
        self.first_token_s: float | None = None

    def snapshot(self, now_s: float) -> NodeSnapshot:
        """What the rules may know of it now."""
        return NodeSnapshot(
            self.name,
            self.side,
            self.models,
            self.is_up,
            self.breaker.state(now_s),
            self.is_draining,
            self.in_flight,
            self.slots,
            self.service_s,
            self.first_token_s,
            local_usd_per_s=self.local_usd_per_s,
        )

    def learn(self, service_s: float, first_token_s: float | None, sharers: int) -> None:
        """Takes in the times of one good answer; those that queued behind others say nothing of the node."""
        if self.slots is not None and sharers > self.slots:
            return
        self.service_s = _blend(self.service_s, service_s)
        if first_token_s is not None:
            self.first_token_s = _blend(self.first_token_s, first_token_s)


def _blend(known: float | None, new: float) -> float:
    return new if known is None else known + LEARNING_RATE * (new - known)


class Lease:
    """One request in flight on one upstream; ends exactly once, however it ends."""

    __slots__ = ("_generation", "_is_open", "in_flight", "upstream")

    def __init__(self, upstream: Upstream, now_s: float) -> None:
        upstream.in_flight += 1
        self.upstream = upstream
        self.in_flight = upstream.in_flight
        self._generation = upstream.breaker.admit(now_s)
        self._is_open = True

    def succeed(self) -> None:
        """The upstream answered."""
        if self._end():
            self.upstream.breaker.succeed(self._generation)

    def fail(self, now_s: float) -> None:
        """The upstream failed for a reason of its own."""
        if self._end():
            self.upstream.breaker.fail(self._generation, now_s)

    def release(self) -> None:
        """It ended in a way that tells nothing about the upstream."""
        if self._end():
            self.upstream.breaker.release(self._generation)

    def _end(self) -> bool:
        was_open, self._is_open = self._is_open, False
        if was_open:
            self.upstream.in_flight -= 1
        return was_open


class Fleet:
    """All upstreams by name, in the order of the configuration."""

    def __init__(self, upstreams: Iterable[Upstream], clock: Clock) -> None:
        self.upstreams = {upstream.name: upstream for upstream in upstreams}
        self._clock = clock

    def add(self, upstream: Upstream) -> None:
        """One more upstream, in the order of the configuration."""
        self.upstreams[upstream.name] = upstream

    def snapshots(self) -> Sequence[NodeSnapshot]:
        """All upstreams as the rules see them now."""
        now_s = self._clock.monotonic_s()
        return [upstream.snapshot(now_s) for upstream in self.upstreams.values()]

    def lease(self, name: str) -> Lease:
        """Counts one more request in flight on that upstream until the lease ends."""
        return Lease(self.upstreams[name], self._clock.monotonic_s())

    async def close(self) -> None:
        """Closes the idle connections of all upstreams."""
        for upstream in self.upstreams.values():
            await upstream.engine.close()
