"""The upstreams: the one owner of how many requests each has in flight, and of what its traffic taught us."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from math import inf

from spillway.clock import Clock
from spillway.engines.engine import Engine
from spillway.fleet.breaker import Breaker, BreakerOpen
from spillway.fleet.lease import Lease
from spillway.fleet.marks import Beginning
from spillway.fleet.outlook import Outlook
from spillway.fleet.pooling import take_over
from spillway.fleet.prefixes import PrefixMemory
from spillway.fleet.queue import Caller, Grant, QueueTimeout, SlotQueue
from spillway.fleet.record import ASSUMED_SLOTS, Entry, NodeRecord
from spillway.fleet.standing import Unfit, why_not
from spillway.slo.admission import HARD_QUEUE_PER_SLOT
from spillway.slo.forecast import step_s, wait_s
from spillway.slo.margin import FIRST_MARGIN, Quantile
from spillway.slo.pace import LinearPace
from spillway.slo.turns import may_go
from spillway.vocabulary import Capability, Choice, ModelFacts, NodeSnapshot, RequestFacts, Side

__all__ = ["BreakerOpen", "Fleet", "Lease", "QueueTimeout", "Unfit", "Upstream"]


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
        profile: LinearPace | None = None,
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
        self.is_loading = False
        """Whether it says that it is loading a model: slow to speak then, and not ill."""
        self.is_quarantined = False
        self.withheld: frozenset[Capability] = frozenset()
        self.drift: tuple[str, ...] = ()
        self.breaker = Breaker()
        self.in_flight = 0
        self.queue = SlotQueue(self)
        self.on_room: Callable[[Upstream], None] = lambda node: None
        """Told of a slot that nobody here waits for."""
        self.record = NodeRecord(profile) if side == "local" else None
        self.first_tokens_s: Quantile | None = None
        """What 95 of 100 first tokens took less than; clouds only, ``None`` before the first."""
        self.clock: Clock | None = None
        """Set by the fleet it joins."""

    def now_s(self) -> float:
        """Monotonic seconds."""
        assert self.clock is not None
        return self.clock.monotonic_s()

    @property
    def has_room(self) -> bool:
        """Whether one more request may be sent at once."""
        return self.record is None or self.slots is None or self.in_flight < self.slots

    @property
    def has_room_for_others(self) -> bool:
        """Whether a slot is free for one who waits for another node: of those it has or is taken to have, and
        that nobody else's traffic takes."""
        if self.record is None:
            return False
        return self.in_flight + self.record.foreign < (self.slots or ASSUMED_SLOTS)

    def check(self, facts: RequestFacts, choice: Choice, now_s: float, must_fit: bool) -> None:
        """BreakerOpen, or Unfit where it must fit, unless that choice of it may still be used."""
        self.breaker.check(now_s)
        if must_fit and (reason := why_not(self, facts, choice)) is not None:
            raise Unfit(reason)

    def take(self) -> None:
        """Counts one more request in flight."""
        self.in_flight += 1

    def give_back(self) -> None:
        """Counts one less, and hands the slot to whoever waits for it."""
        self.in_flight -= 1
        self.fill()

    def fill(self) -> None:
        """Hands out all free slots to those who may go; the node may have more of them than before."""
        while len(self.queue) and self.has_room and self.queue.hand_over(self.now_s(), self.may_go):
            self.in_flight += 1
        if self.record is not None and self.has_room and not len(self.queue):
            self.on_room(self)

    def may_go(self, entry: Entry) -> bool:
        """Whether it is sent where a slot is free, or waits until other prompts are read."""
        if self.record is None or entry.yields_s <= 0.0:
            return True
        now_s = self.now_s()
        return may_go(entry.yields_s, self.unread_s(now_s), self.record.reading_s(now_s, (entry,)))

    def unread_s(self, now_s: float) -> float:
        """Seconds of reading before a prompt that is sent to it now; 0 where nothing is known of it."""
        return 0.0 if self.record is None else self.record.unread_s(now_s, self.queue.called)

    def pace(self, now_s: float) -> LinearPace | None:
        """How long it takes; ``None`` where nothing is known of it."""
        return None if self.record is None else self.record.learner.pace(now_s)

    @property
    def token_ratio(self) -> float:
        """Tokens its engine makes of what we estimate at one."""
        return 1.0 if self.record is None else self.record.token_ratio.value

    @property
    def prefixes(self) -> PrefixMemory | None:
        """Which beginnings of prompts it holds, by what its engine is now; ``None`` for clouds."""
        if self.record is None:
            return None
        context = max((model.context_tokens or 0 for model in self.models), default=0)
        self.record.prefixes.fit(self.kind, self.slots, context or None)
        return self.record.prefixes

    def forget_prefixes(self) -> None:
        """It was restarted, serves something else or is gone."""
        if self.record is not None:
            self.record.prefixes.forget()

    def free_in_s(self, now_s: float) -> float | None:
        """When a slot should be free for one more request; ``None`` where nothing is known to go by."""
        if self.record is None or (pace := self.record.learner.pace(now_s)) is None:
            return None
        load = self.record.load(now_s, self.slots, self.queue.entries)
        usual = self.record.usual_tokens()
        return load.unread_s + wait_s(
            load.in_flight, load.slots, usual, step_s(pace, load.running, load.running_tokens)
        )

    def note_first_token(self, seconds: float) -> None:
        """How long the first token of a cloud took."""
        if self.record is not None:
            return
        if self.first_tokens_s is None:
            self.first_tokens_s = Quantile(start=2 * seconds)
        self.first_tokens_s.learn(seconds)

    def snapshot(self, now_s: float, outlook: Outlook) -> NodeSnapshot:
        """What the rules may know of it now."""
        record = self.record
        if record is None:
            return NodeSnapshot(
                self.name,
                self.side,
                self.models,
                self.is_up,
                self.breaker.state(now_s),
                self.is_draining,
                self.in_flight,
                ttft_p95_s=None if self.first_tokens_s is None else self.first_tokens_s.value,
            )
        waiting = self.queue.entries
        pace, load = record.learner.pace(now_s), record.load(now_s, self.slots, waiting)
        return NodeSnapshot(
            self.name,
            self.side,
            self.models,
            self.is_up,
            self.breaker.state(now_s),
            self.is_draining,
            self.in_flight,
            self.slots,
            len(waiting),
            pace,
            load,
            FIRST_MARGIN,
            record.margins.values,
            record.ttft_stretch.value,
            record.total_stretch.value,
            usual_work_s=outlook.usual_work_s(pace, load.slots),
            token_ratio=record.token_ratio.value,
            is_loading=self.is_loading,
            is_due=not waiting and record.is_due(now_s),
            is_quarantined=self.is_quarantined,
            withheld=self.withheld,
            drift=self.drift,
            local_usd_per_s=self.local_usd_per_s,
        )


class Fleet:
    """All upstreams by name, in the order of the configuration."""

    def __init__(self, upstreams: Iterable[Upstream], clock: Clock) -> None:
        self.upstreams: dict[str, Upstream] = {}
        self.outlook = Outlook()
        self.on_admit: Callable[[str], None] = lambda name: None
        """Told of an upstream that is about to get a request, before it is sent."""
        self._clock = clock
        for upstream in upstreams:
            self.add(upstream)

    def add(self, upstream: Upstream) -> None:
        """One more upstream, in the order of the configuration."""
        upstream.clock = self._clock
        upstream.on_room = self._pool
        self.upstreams[upstream.name] = upstream

    def snapshots(self) -> Sequence[NodeSnapshot]:
        """All upstreams as the rules see them now."""
        now_s = self._clock.monotonic_s()
        return [upstream.snapshot(now_s, self.outlook) for upstream in self.upstreams.values()]

    @property
    def has_nodes(self) -> bool:
        """Whether any upstream is local."""
        return any(upstream.record is not None for upstream in self.upstreams.values())

    def recall(self, beginning: Beginning) -> tuple[tuple[str, float], ...]:
        """How many tokens of that prompt each node is believed to hold: pairs of (upstream, tokens)."""
        found: list[tuple[str, float]] = []
        for name, upstream in self.upstreams.items():
            prefixes = upstream.prefixes
            if prefixes and (tokens := prefixes.believed(prefixes.find(beginning, not upstream.has_room))):
                found.append((name, tokens))
        return tuple(found)

    def _pool(self, node: Upstream) -> None:
        """Hands the free slots of ``node`` to those who wait for others."""
        now_s = self._clock.monotonic_s()
        while take_over(node, self.upstreams.values(), now_s):
            node.take()
            self.on_admit(node.name)

    async def admit(
        self,
        facts: RequestFacts,
        choice: Choice,
        most_s: float = inf,
        beginning: Beginning | None = None,
        caller: Caller | None = None,
        *,
        must_fit: bool = True,
    ) -> Lease:
        """Counts one more request in flight there until the lease ends; ``beginning`` is that of its prompt.

        Waits for a slot of a node that is full, or until the prompts before its own are read; QueueTimeout
        after ``choice.queue_s`` or ``choice.stays_s``, or ``most_s`` when that is less. Meanwhile another
        node may take it over, where ``caller`` has a choice for it. BreakerOpen where the upstream is to be
        left alone, Unfit where the choice can no longer be used, also when that became so during the wait;
        without ``must_fit`` only the breaker counts, for whoever was not chosen by what nodes serve.
        """
        upstream, now_s = self.upstreams[choice.upstream], self._clock.monotonic_s()
        upstream.check(facts, choice, now_s, must_fit)
        self.on_admit(choice.upstream)
        entry = Entry(facts, choice, now_s, beginning, upstream.token_ratio)
        if upstream.has_room and not len(upstream.queue) and upstream.may_go(entry):
            upstream.take()
        else:
            upstream, entry = await self._queue_up(upstream, entry, caller or Caller(), most_s)
            now_s = self._clock.monotonic_s()
            try:
                upstream.check(facts, entry.choice, now_s, must_fit)
            except (BreakerOpen, Unfit):
                upstream.give_back()  # to the next in the queue, who may leave in the same way
                raise
        return Lease(upstream, entry, now_s, self.outlook.lengths)

    async def _queue_up(self, upstream: Upstream, entry: Entry, caller: Caller, most_s: float) -> Grant:
        """Waits for a slot; for how long and behind how many is bounded.

        What a decision allows counts for all nodes together, so a wait for others is taken off it.
        """
        choice, now_s = entry.choice, entry.came_s
        queue_s = choice.queue_s
        if choice.miss_weight:
            queue_s = (queue_s if choice.stays_s is None else choice.stays_s) - caller.waited_s
        patience_s = min(queue_s, most_s)
        if len(upstream.queue) >= HARD_QUEUE_PER_SLOT * (upstream.slots or 1):
            raise QueueTimeout(upstream.free_in_s(now_s))
        try:
            leaves_s = now_s + patience_s
            due_s = entry.due_s(leaves_s + caller.waited_s) - caller.waited_s
            return await upstream.queue.wait(entry, caller, due_s, leaves_s, patience_s)
        except QueueTimeout:
            is_its_own = queue_s <= most_s and not caller.waited_s  # else others took its time, or its caller
            if upstream.record is not None and is_its_own:
                upstream.record.note_left(entry)
            raise QueueTimeout(upstream.free_in_s(self._clock.monotonic_s())) from None
        finally:
            caller.note_wait(caller.waited_s + self._clock.monotonic_s() - now_s)

    async def close(self) -> None:
        """Closes the idle connections of all upstreams."""
        for upstream in self.upstreams.values():
            await upstream.engine.close()
