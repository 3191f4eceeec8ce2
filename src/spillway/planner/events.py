"""What happens on one simulated node, event by event: queue, prefill in chunks, decode in a batch.

Between two events every sequence advances at one common pace, so a node keeps a clock that counts tokens:
a sequence that starts when it shows 100 and owes 50 more is done when it shows 150. Each event costs a heap
operation at most, however many sequences run.

What happens is written in ``planner.physics``; here is what it happens to.
"""

from __future__ import annotations

import math
from array import array
from typing import NamedTuple

from spillway.planner import outlook, physics
from spillway.planner.physics import NONE, UNKNOWN
from spillway.planner.pooling import ALL_NODES
from spillway.slo.pace import chunks_of
from spillway.slo.turns import MOST_COMPARED
from spillway.vocabulary import Load, Pace

__all__ = [
    "FOR_EVER", "Fates", "Job", "Load", "Node", "NodeState", "Pace", "Patience", "Tables", "TabulatedPace",
    "room_to_compare", "side_by_side",
]  # fmt: skip


class Patience(NamedTuple):
    """When a request that has no first token is taken elsewhere, in seconds after it came."""

    leaves_s: float = math.inf
    """It leaves the queue when no slot came free by then."""
    hedge_s: float = math.inf
    """A cloud is asked too, within the budget, and whoever speaks first answers."""
    told_s: float = 0.0
    """The forecast of its first token, to learn from."""
    miss_weight: float = 0.0
    """How much of a miss it is when it leaves the queue."""
    yields_s: float = 0.0
    """Its work in node seconds if it yields to smaller ones while it waits, else 0."""
    moves_s: float = math.inf
    """How long it may move to another node that is free; ``in_time_at`` says to which, a bit for each."""
    in_time_at: int = ALL_NODES
    usual_tokens: float = 0.0
    """How long its answer was expected to get."""


FOR_EVER = Patience()


class TabulatedPace:
    """A pace whose steps are looked up: exact for up to ``slots`` sequences with empty caches, and for a full
    node whatever they hold. Where a pace takes longer for the first cache than for others, fewer are told as
    in a full one."""

    def __init__(self, pace: Pace, slots: int) -> None:
        self.pace = pace
        self.pass_s = pace.pass_s
        """Seconds of a pass whatever it carries."""
        self.steps_s = [0.0] + [pace.decode_step_s(n, 0.0) for n in range(1, slots + 1)]
        """Seconds of a step by sequences in it, with empty caches."""
        self.context_s = (pace.decode_step_s(slots, 4096.0) - self.steps_s[slots]) / (4096.0 * slots)
        """What one more token in any cache adds."""

    def decode_step_s(self, batch: float, context_tokens: float) -> float:
        """Seconds of a step; ``batch`` is a whole number of at most the slots."""
        return physics.decode_step_s(self.steps_s, self.context_s, int(batch), context_tokens)

    def prefill_s(self, prompt_tokens: float, cached_tokens: float) -> float:
        """Seconds to read a prompt when nothing else runs."""
        return self.pace.prefill_s(prompt_tokens, cached_tokens)


class Job:
    """One request on a node."""

    __slots__ = (
        "arrived_s", "asked_s", "cached_tokens", "chunks", "cloud_s", "end_s", "fate", "first_s", "hedge_s",
        "in_time_at", "is_lost", "leaves_s", "miss_weight", "moved_to", "moves_until_s", "next", "next_done",
        "output_tokens", "prefill_s", "prompt_tokens", "request", "sharers", "told_s", "usual_tokens",
        "yields_s",
    )  # fmt: skip

    def __init__(self, request: int, arrived_s: float, prompt: int, output: float, cached: int) -> None:
        self.request = request
        self.arrived_s = arrived_s
        self.prefill_s = 0.0
        """Seconds to read its prompt alone."""
        self.first_s = self.end_s = 0.0
        self.prompt_tokens = prompt
        self.output_tokens = output
        self.cached_tokens = cached
        self.chunks = chunks_of(prompt, cached)
        self.sharers = 0
        """Requests on the node when it was sent, itself included; the larger count where it moved."""
        self.next = self.next_done = NONE
        """The one behind it in the queue, and the one that ended after it."""
        self.is_lost = False
        """Sure to miss its objective; only a clairvoyant knows."""
        self.leaves_s = self.hedge_s = math.inf
        """When it leaves the queue, and when a cloud is asked too."""
        self.told_s = 0.0
        """Seconds to its first token as forecast."""
        self.miss_weight = 0.0
        """How much of a miss it is when it leaves the queue."""
        self.yields_s = 0.0
        """Its work if it yields to smaller ones while it waits, else 0."""
        self.moves_until_s = math.inf
        """When it is too late to move to another node."""
        self.in_time_at = ALL_NODES
        """The nodes it was believed in time at when it came: ``pooling.bit_of`` each."""
        self.usual_tokens = 0.0
        """How long its answer was expected to get."""
        self.cloud_s = 0.0
        """Seconds a cloud takes to its first token."""
        self.asked_s = UNKNOWN
        """When a cloud was asked."""
        self.fate = physics.ANSWERED
        self.moved_to = NONE
        """The node that took it over from another's queue."""


class Tables(NamedTuple):
    """What the functions look up besides the node itself; lists when interpreted, arrays when compiled."""

    jobs: dict[int, Job]
    """By request."""
    due: list[float]
    """Token clocks at which running sequences end, as a heap; a node's part begins at ``node.base``."""
    who: list[int]
    """Whose they are, in step with ``due``."""
    steps_s: list[float]
    """Seconds of a step by sequences in it, with empty caches."""
    hedges: list[float]
    """One entry: requests that may still be sent twice; shared by all nodes."""
    yields_s: list[float]
    """With the next two, room to work in for ``slo.turns.next_up``."""
    leaves_s: list[float]
    is_passed: list[bool]

    @classmethod
    def of(cls, steps_s: list[float], slots: int) -> Tables:
        """For nodes with so many slots in all."""
        return cls({}, [0.0] * slots, [NONE] * slots, steps_s, [0.0], *room_to_compare())


def room_to_compare() -> tuple[list[float], list[float], list[bool]]:
    """The last three of ``Tables``."""
    return [0.0] * MOST_COMPARED, [0.0] * MOST_COMPARED, [False] * MOST_COMPARED


class Fates(NamedTuple):
    """What became of each request of a run: arrays by request, shared by all nodes, filled when one ends."""

    first_s: array[float]
    end_s: array[float]
    asked_s: array[float]
    """When a cloud was asked after all, or too; below 0 where none was."""
    fate: array[int]
    moved_to: array[int]
    """The node that took it over from another's queue; ``physics.NONE`` where it stayed."""

    @classmethod
    def of(cls, count: int) -> Fates:
        """For so many requests of which nothing is known yet."""
        zeros = bytes(8 * count)
        asked_s = array("d", [UNKNOWN]) * count
        moved_to = array("h", [NONE]) * count
        return cls(array("d", zeros), array("d", zeros), asked_s, array("b", bytes(count)), moved_to)


class NodeState:
    """What ``planner.physics`` works on, as a node begins; compiled it is a row of these fields."""

    base = 0
    """Where its part of the heaps begins."""
    slots = 1
    cache_tokens = math.inf
    """Tokens that all sequences may hold together."""
    context_tokens = math.inf
    """Tokens that one of them may, prompt and answer; never more than all."""
    context_s = pass_s = 0.0
    """Two parts of its pace: what a token in a cache adds to a step, and a pass whatever it carries."""

    now_s = 0.0
    next_s = math.inf
    """When the next event happens: the earlier of the next two."""
    event_s = math.inf
    """When the node does something by itself."""
    timer_s = math.inf
    """When the time of a request without a first token may be up."""

    in_flight = 0
    taken = 0
    """Slots that somebody has."""
    cache_used = 0.0
    busy_s = 0.0
    area_s = 0.0
    """Integral of requests present over time: seconds · requests."""
    usual_service_s = usual_first_s = UNKNOWN

    head = tail = first_waiting = NONE
    """Ends of the queue of unread prompts, and the first of it that has no slot yet."""
    queued = waiting = 0
    """Unread prompts, not counting those being read; those of them without a slot."""
    queued_s = queued_chunks = queued_tokens = 0.0
    sent_s = 0.0
    """Seconds of reading of all unread prompts that were sent, those being read counted whole."""

    reading = NONE
    """The first of the prompts being read; the others follow it by ``Job.next``."""
    reading_count = reading_tokens = 0
    """How many they are, and the tokens of all."""
    left_s = chunk_s = 0.0
    """Seconds of reading left of them, and in one pass."""
    is_read_due = False
    """Whether the next event is that they have been read."""

    running = 0
    """Sequences being written."""
    tokens = token_rate = read_rate = 0.0
    """The token clock and how fast it goes; how fast a second of reading passes."""
    context = 0.0
    """Tokens in the caches of running sequences, counting half of each answer."""

    first_done = last_done = NONE
    done = 0
    """Requests that ended and whose times nobody has fetched yet."""


class Node(NodeState):
    """One node in simulated time.

    While a prompt is read, decode steps alternate with its chunks, so both slow down. Requests wait for a
    slot and for room in the cache, in the order of their turns and while their patience lasts; those whose
    prompts fit into one pass are read together.
    """

    def __init__(
        self,
        pace: Pace,
        slots: int,
        fates: Fates,
        cache_tokens: float = math.inf,
        context_tokens: float = math.inf,
        tables: Tables | None = None,
        place: int = 0,
    ) -> None:
        """``tables`` are those of all nodes, this one having its part at ``place``; else it has its own."""
        if slots < 1:
            raise ValueError("a node needs at least one slot")
        self.pace = TabulatedPace(pace, slots)
        self.fates = fates
        self.tables = Tables.of(self.pace.steps_s, slots) if tables is None else tables
        self.base = place * slots
        self.finished: list[Job] = []
        """Jobs done since somebody last emptied the list; only kept when ``keeps_finished``."""
        self.keeps_finished = False
        self.lost: set[int] = set()
        """Requests to come of which a clairvoyant knows that they will be late."""
        self.slots = slots
        self.cache_tokens = cache_tokens
        self.context_tokens = min(context_tokens, cache_tokens)
        self.context_s, self.pass_s = self.pace.context_s, self.pace.pass_s

    @property
    def service_s(self) -> float | None:
        """Typical seconds one request holds a slot."""
        return self.usual_service_s if self.usual_service_s >= 0.0 else None

    @property
    def first_token_s(self) -> float | None:
        """Typical seconds to the first token once a slot is free."""
        return self.usual_first_s if self.usual_first_s >= 0.0 else None

    def holds(self, prompt_tokens: int, output_tokens: float) -> bool:
        """Whether the request is one it could answer if it were alone."""
        return prompt_tokens + output_tokens <= self.context_tokens

    def submit(
        self,
        now_s: float,
        index: int,
        prompt: int,
        output: float,
        cached: int,
        patience: Patience = FOR_EVER,
        cloud_s: float = 0.0,
    ) -> None:
        """Take one more request; ``advance(now_s)`` must have been called before.

        ``cloud_s`` is what a cloud would take to its first token.
        """
        job = Job(index, now_s, prompt, output, cached)
        job.leaves_s, job.hedge_s = now_s + patience.leaves_s, now_s + patience.hedge_s
        job.told_s, job.miss_weight, job.yields_s = patience.told_s, patience.miss_weight, patience.yields_s
        job.moves_until_s, job.in_time_at = now_s + patience.moves_s, patience.in_time_at
        job.usual_tokens = patience.usual_tokens
        job.cloud_s = cloud_s
        job.prefill_s = self.pace.prefill_s(prompt, cached)
        job.is_lost = index in self.lost
        self.tables.jobs[index] = job
        physics.submit(self, self.tables, index)

    def advance(self, now_s: float) -> None:
        """Let everything happen that happens up to and including ``now_s``."""
        physics.advance(self, self.tables, now_s)
        self.fetch()

    def fetch(self) -> None:
        """Take note of all that ended."""
        while self.done:
            job = self.tables.jobs.pop(self.first_done)
            first_s, end_s, asked_s, fate, moved_to = self.fates
            first_s[job.request], end_s[job.request] = job.first_s, job.end_s
            asked_s[job.request], fate[job.request] = job.asked_s, job.fate
            moved_to[job.request] = job.moved_to
            if self.keeps_finished:
                self.finished.append(job)
            self.first_done = job.next_done
            self.done -= 1

    def copy(self) -> Node:
        """A twin to try things on; jobs are shared, and no time that has happened is ever overwritten."""
        twin = object.__new__(Node)
        twin.__dict__.update(self.__dict__)
        jobs, due, who = self.tables.jobs.copy(), self.tables.due.copy(), self.tables.who.copy()
        twin.tables = self.tables._replace(jobs=jobs, due=due, who=who)
        return twin

    def load(self, now_s: float) -> Load:
        """What is on the node now; ``advance(now_s)`` must have been called before."""
        physics.flow(self, now_s)
        return Load(
            self.in_flight,
            self.slots,
            physics.unread_s(self),
            physics.unread_chunks(self),
            physics.unread(self),
            self.running,
            outlook.held_tokens(self, self.tables),
            physics.unread_tokens(self),
        )


def side_by_side(
    count: int,
    pace: Pace,
    slots: int,
    fates: Fates,
    cache_tokens: float,
    context_tokens: float = math.inf,
) -> list[Node]:
    """So many equal nodes with common tables, as requests may move from one to another."""
    tables = Tables.of(TabulatedPace(pace, slots).steps_s, count * slots)
    return [Node(pace, slots, fates, cache_tokens, context_tokens, tables, place) for place in range(count)]
