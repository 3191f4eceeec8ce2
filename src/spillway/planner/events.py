"""What happens on one simulated node, event by event: queue, prefill in chunks, decode in a batch.

Between two events every sequence advances at one common pace, so a node keeps a clock that counts tokens:
a sequence that starts when it shows 100 and owes 50 more is done when it shows 150. Each event costs a heap
operation at most, however many sequences run.
"""

from __future__ import annotations

import math
from array import array
from collections import deque
from heapq import heappop, heappush
from typing import NamedTuple, Protocol

from spillway.planner.node_model import CHUNK_TOKENS

__all__ = ["Job", "Load", "Node", "Pace"]

LEARNING_RATE = 0.1
"""Weight of the newest answer in the typical times; the gateway's fleet learns at the same rate."""


class Pace(Protocol):
    """How long a node takes; ``NodeModel`` is one, a test's constant another."""

    def decode_step_s(self, batch: float, context_tokens: float) -> float:
        """Seconds of a step that gives ``batch`` sequences one token each; linear in the context."""
        ...

    def prefill_s(self, prompt_tokens: float, cached_tokens: float) -> float:
        """Seconds to read a prompt when nothing else runs."""
        ...


class Job(NamedTuple):
    """One request as a node sees it."""

    request: int
    arrived_s: float
    prompt_tokens: int
    output_tokens: float
    cached_tokens: int
    sharers: int
    """Requests on the node when it was sent, itself included."""


class Load(NamedTuple):
    """What is on a node right now; a gateway can count all of it itself from what it sent and got back."""

    in_flight: int
    slots: int
    unread_s: float
    """Seconds of reading owed to the requests that have no first token yet."""
    unread_chunks: float
    """Passes over the weights that reading will take."""
    unread: int
    """Requests that have no first token yet."""
    running: int
    """Requests whose answer is being written."""
    running_tokens: float
    """Tokens in the caches of those, counting half of each answer."""
    unread_tokens: float
    """Prompt tokens of those that have no first token yet."""


class Node:
    """One node in simulated time.

    While a prompt is read, decode steps alternate with its chunks, so both slow down. Requests wait in order
    for a slot and for room in the cache; prompts are read one after another. ``first_s`` and ``end_s`` are
    arrays shared by all nodes of a run, filled by request index.
    """

    def __init__(
        self,
        pace: Pace,
        slots: int,
        first_s: array[float],
        end_s: array[float],
        cache_tokens: float = math.inf,
    ) -> None:
        if slots < 1:
            raise ValueError("a node needs at least one slot")
        self.pace = pace
        self.slots = slots
        self.cache_tokens = cache_tokens
        self.first_s, self.end_s = first_s, end_s
        self.next_s = math.inf
        """When the next event happens on this node by itself."""
        self.in_flight = 0
        self.busy_s = 0.0
        self.area_s = 0.0
        """Integral of requests present over time: seconds · requests."""
        self.service_s: float | None = None
        self.first_token_s: float | None = None
        self.finished: list[Job] = []
        """Jobs done since somebody last emptied the list; only kept when ``keeps_finished``."""
        self.keeps_finished = False
        self._step_s = [0.0] + [pace.decode_step_s(n, 0.0) for n in range(1, slots + 1)]
        self._context_s = (pace.decode_step_s(1.0, 4096.0) - self._step_s[1]) / 4096.0
        self._waiting: deque[Job] = deque()
        self._prompts: deque[Job] = deque()
        self._reading: Job | None = None
        self._left_s = 0.0
        self._chunk_s = 0.0
        self._is_read_due = False
        self._running: list[tuple[float, int, Job]] = []
        self._tokens = 0.0
        self._token_rate = 0.0
        self._read_rate = 0.0
        self._context = 0.0
        self._taken = 0
        self._cache_used = 0.0
        self._now_s = 0.0

    def holds(self, prompt_tokens: int, output_tokens: float) -> bool:
        """Whether the cache could hold the request if it were alone."""
        return prompt_tokens + output_tokens <= self.cache_tokens

    def submit(self, now_s: float, index: int, prompt: int, output: float, cached: int) -> None:
        """Take one more request; ``advance(now_s)`` must have been called before."""
        self._flow(now_s)
        self.in_flight += 1
        self._waiting.append(Job(index, now_s, prompt, output, cached, self.in_flight))
        if self._taken < self.slots and self._admit():
            self._plan()

    def advance(self, now_s: float) -> None:
        """Let everything happen that happens up to and including ``now_s``."""
        while self.next_s <= now_s:
            self._flow(self.next_s)
            if self._reading is not None and self._is_read_due:
                self._read(self._reading)
            else:
                self._write()
            self._admit()
            self._plan()

    def copy(self, first_s: array[float], end_s: array[float]) -> Node:
        """A twin to try things on, writing to arrays of its own."""
        twin = object.__new__(Node)
        twin.__dict__.update(self.__dict__)
        twin.first_s, twin.end_s = first_s, end_s
        twin._waiting = self._waiting.copy()
        twin._prompts = self._prompts.copy()
        twin._running = self._running.copy()
        twin.finished = []
        twin.keeps_finished = False
        return twin

    def jobs(self) -> list[Job]:
        """All requests present, in no order."""
        found = [*self._waiting, *self._prompts, *(job for _, _, job in self._running)]
        return found if self._reading is None else [*found, self._reading]

    def load(self, now_s: float) -> Load:
        """What is on the node now; ``advance(now_s)`` must have been called before."""
        self._flow(now_s)
        unread = [*self._prompts, *self._waiting]
        owed_s = sum(self.pace.prefill_s(job.prompt_tokens, job.cached_tokens) for job in unread)
        chunks = float(sum(_chunks(job) for job in unread))
        tokens = float(sum(job.prompt_tokens for job in unread))
        count = len(unread)
        if self._reading is not None:
            owed_s += max(self._left_s, 0.0)
            chunks += self._left_s / self._chunk_s if self._chunk_s > 0 else 0.0
            tokens += self._reading.prompt_tokens
            count += 1
        return Load(
            self.in_flight,
            self.slots,
            owed_s,
            chunks,
            count,
            len(self._running),
            max(self._context, 0.0),
            tokens,
        )

    def _flow(self, now_s: float) -> None:
        """Let time pass without an event."""
        passed_s = now_s - self._now_s
        if passed_s > 0.0:
            if self.in_flight:
                self.busy_s += passed_s
                self.area_s += passed_s * self.in_flight
                self._tokens += passed_s * self._token_rate
                self._left_s -= passed_s * self._read_rate
            self._now_s = now_s

    def _admit(self) -> bool:
        """Move waiting requests into free slots as far as slots and cache reach; whether any moved."""
        has_moved = False
        while self._waiting and self._taken < self.slots:
            job = self._waiting[0]
            needed = job.prompt_tokens + job.output_tokens
            if self._cache_used + needed > self.cache_tokens and self._taken:
                break
            self._waiting.popleft()
            self._taken += 1
            self._cache_used += needed
            self._prompts.append(job)
            has_moved = True
        if self._reading is None and self._prompts:
            self._start_reading(self._prompts.popleft())
        return has_moved

    def _start_reading(self, job: Job) -> None:
        self._reading = job
        self._left_s = self.pace.prefill_s(job.prompt_tokens, job.cached_tokens)
        self._chunk_s = self._left_s / _chunks(job)

    def _read(self, job: Job) -> None:
        """A prompt has been read: its first token is out."""
        self.first_s[job.request] = self._now_s
        self._reading = None
        if job.output_tokens <= 1:
            self._finish(job)
        else:
            self._context += job.prompt_tokens + job.output_tokens / 2
            heappush(self._running, (self._tokens + job.output_tokens - 1, job.request, job))

    def _write(self) -> None:
        """The sequence that is due has its last token, and so have those that end with it.

        The first is taken whatever the token clock shows: after rounding it may be a hair behind.
        """
        due = max(self._running[0][0], self._tokens)
        while self._running and self._running[0][0] <= due + 1e-9:
            job = heappop(self._running)[2]
            self._context -= job.prompt_tokens + job.output_tokens / 2
            self._finish(job)

    def _finish(self, job: Job) -> None:
        self.end_s[job.request] = self._now_s
        self._taken -= 1
        self.in_flight -= 1
        self._cache_used -= job.prompt_tokens + job.output_tokens
        if job.sharers <= self.slots:  # one that queued says nothing of the node: the fleet's rule
            self.service_s = _blend(self.service_s, self._now_s - job.arrived_s)
            self.first_token_s = _blend(self.first_token_s, self.first_s[job.request] - job.arrived_s)
        if self.keeps_finished:
            self.finished.append(job)
        if not self._running:
            self._context = self._tokens = 0.0  # the clock may start afresh: keeps its precision for ever

    def _plan(self) -> None:
        """Work out the common pace and the next event from what runs now."""
        n = len(self._running)
        step_s = self._step_s[n] + self._context_s * self._context if n else 0.0
        self._is_read_due = False
        due_s = (self._running[0][0] - self._tokens) * step_s if n else math.inf
        if self._reading is None:
            self._read_rate = 0.0
            self._token_rate = 1.0 / step_s if n else 0.0
        elif self._left_s <= 0.0:
            due_s, self._is_read_due = 0.0, True
        else:
            cycle_s = step_s + self._chunk_s
            self._read_rate = self._chunk_s / cycle_s
            self._token_rate = 1.0 / cycle_s if n else 0.0
            due_s = (self._running[0][0] - self._tokens) * cycle_s if n else math.inf
            read_s = self._left_s / self._read_rate
            if read_s <= due_s:
                due_s, self._is_read_due = read_s, True
        self.next_s = self._now_s + max(due_s, 0.0)


def _chunks(job: Job) -> int:
    return math.ceil(max(job.prompt_tokens - job.cached_tokens, 1) / CHUNK_TOKENS)


def _blend(known: float | None, new: float) -> float:
    return new if known is None else known + LEARNING_RATE * (new - known)
