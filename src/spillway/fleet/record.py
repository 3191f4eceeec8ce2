"""What the gateway's own traffic teaches about one node: who is on it now, and how long things take there."""

from __future__ import annotations

from spillway.fleet.marks import Beginning
from spillway.fleet.prefixes import Held, Match, PrefixMemory
from spillway.fleet.reading import LEAST_STEP_SHARE, Reading
from spillway.slo.doubt import Doubt
from spillway.slo.forecast import LEAST_FORECAST_S, step_s
from spillway.slo.learner import PaceLearner
from spillway.slo.lengths import Prompt
from spillway.slo.margin import Margins, Quantile
from spillway.slo.pace import LinearPace, chunks_of
from spillway.slo.token_ratio import TokenRatio
from spillway.vocabulary import Choice, Load, Objective, RequestFacts, Usage

__all__ = ["ASSUMED_SLOTS", "Entry", "NodeRecord"]

ASSUMED_SLOTS = 4
"""Sequences a node is taken to serve at once while it does not say (guess)."""


class Entry:
    """One request on a node: what it brought, and how far it is."""

    __slots__ = (
        "batch_area",
        "beginning",
        "cached_tokens",
        "came_s",
        "choice",
        "estimated_tokens",
        "facts",
        "first_s",
        "held",
        "is_finished",
        "match",
        "miss_weight",
        "objective",
        "output_tokens",
        "prompt",
        "prompt_tokens",
        "read_s",
        "reading",
        "sent_s",
        "shared_tokens",
        "token_ratio",
        "total_s",
        "ttft_s",
        "usual_tokens",
        "yields_s",
    )

    def __init__(
        self,
        facts: RequestFacts,
        choice: Choice,
        now_s: float,
        beginning: Beginning | None = None,
        token_ratio: float = 1.0,
    ) -> None:
        self.facts = facts
        self.choice = choice
        self.estimated_tokens = facts.input_tokens
        """Its prompt as we estimate it; all else is in the engine's tokens."""
        self.token_ratio = token_ratio
        self.prompt_tokens = facts.input_tokens * token_ratio
        self.cached_tokens = facts.cached_at(choice.upstream) * token_ratio
        """Of its prompt, what the node is believed to hold already."""
        self.shared_tokens = facts.cached_tokens * token_ratio
        """What every node is believed to hold."""
        self.beginning = beginning
        self.match: Match | None = None
        self.held: Held | None = None
        self.prompt = Prompt.of(facts)
        self.objective = facts.objective
        self.came_s = now_s
        self.usual_tokens = facts.usual_output_tokens
        self.ttft_s = choice.ttft_s
        """As forecast when it was decided."""
        self.total_s = choice.total_s
        self.miss_weight = choice.miss_weight
        self.yields_s = choice.yields_s
        self.sent_s = 0.0
        self.first_s: float | None = None
        self.output_tokens = 0
        """Tokens of the answer so far."""
        self.is_finished = False
        self.batch_area = 0.0
        self.read_s = 0.0
        self.reading: Reading | None = None
        """The reading of its prompt, while it is not known how much of that was cached."""

    def moved(self, choice: Choice, token_ratio: float) -> Entry:
        """The same on another node, to be judged by what was forecast when it was decided."""
        other = Entry(self.facts, choice, self.came_s, self.beginning, token_ratio)
        other.ttft_s, other.total_s = self.ttft_s, self.total_s
        return other

    def due_s(self, otherwise_s: float) -> float:
        """When its first token, or else its last, is due (monotonic seconds); by objective if it has one."""
        objective = self.objective
        limit_s = None if objective is None else objective.ttft_s or objective.total_s
        return otherwise_s if limit_s is None else self.came_s + limit_s


class NodeRecord:
    """Everything learned about one node. All times are monotonic seconds, handed in."""

    def __init__(self, profile: LinearPace | None = None) -> None:
        self.learner = PaceLearner(profile)
        self.prefixes = PrefixMemory()
        self.token_ratio = TokenRatio()
        self.margins = Margins()
        self.doubt = Doubt()
        self.ttft_stretch = Quantile()
        self.total_stretch = Quantile()
        self.foreign = 0
        """Sequences that others run on the node, as its own gauges say."""
        self._entries: dict[Entry, None] = {}
        self._running = 0
        self._area = 0.0
        """Integral of running sequences over time."""
        self._area_at_s = 0.0
        self._read_s = 0.0
        """Seconds of reading that first tokens have shown to be done."""
        self._progress_s = 0.0
        """When the prompt being read now was begun."""
        self._reading: Reading | None = None
        """The newest reading, while more prompts may prove to belong to it."""
        self._spoilt_s = 0.0
        """When a prompt last went that had no first token: nobody knows how far it was read."""

    # what is on the node

    def send(self, entry: Entry, now_s: float) -> None:
        """One more request was sent."""
        self.doubt.note_sent(now_s)
        if entry.beginning is not None:
            entry.match = self.prefixes.take(entry.beginning)
            believed = self.prefixes.believed(entry.match) * entry.token_ratio
            entry.cached_tokens = max(believed, entry.shared_tokens)
        entry.sent_s = now_s
        if len(self._entries) == self._running:
            self._progress_s = now_s
        self._entries[entry] = None

    def first_token(self, entry: Entry, now_s: float) -> None:
        """Its prompt has been read."""
        pace = self.learner.pace(now_s)
        self._flow(now_s)
        self._note_read(entry, now_s, pace)
        if pace is not None:
            self._read_s += pace.prefill_s(entry.prompt_tokens, entry.cached_tokens)
        if entry.beginning is not None:
            entry.held = self.prefixes.hold(entry.beginning, entry.match)
        entry.first_s = now_s
        entry.batch_area, entry.read_s = self._area, self._read_s
        self._running += 1
        self._progress_s = now_s
        if len(self._entries) == self._running:
            self._end_reading()

    def leave(self, entry: Entry, now_s: float) -> None:
        """It is no longer on the node, however it ended."""
        if entry not in self._entries:
            return
        self._flow(now_s)
        if entry.first_s is None:
            self._end_reading()
            self._spoilt_s = now_s
        del self._entries[entry]
        if entry.first_s is not None:
            self._running -= 1
        self._know_cached(entry)
        if len(self._entries) == self._running:
            self._end_reading()
        _let_go(entry)
        if not entry.is_finished:
            self._judge_unfinished(entry, now_s)

    def finish(self, entry: Entry, now_s: float, output_tokens: int, usage: Usage | None = None) -> None:
        """It ended well, with so many tokens; ``usage`` is what the engine says of it."""
        self._flow(now_s)
        if usage is not None:
            self._learn_usage(entry, usage)
        if entry.first_s is not None and output_tokens >= 3 and now_s > entry.first_s:
            self._learn_decode(entry, now_s, output_tokens)
        entry.is_finished = True
        self._judge(entry, now_s)
        self.leave(entry, now_s)

    def note_left(self, entry: Entry) -> None:
        """It left the queue, for with a slot any later it would have been late.

        One that was believed to be late, and waited all the same since it may go nowhere else, tells nothing.
        """
        if entry.miss_weight and entry.objective is not None:
            self.margins.learn(entry.objective.attainment_ratio, False, entry.miss_weight)

    def load(self, now_s: float, slots: int | None, waiting: tuple[Entry, ...] = ()) -> Load:
        """What is on the node now; requests that wait in the gateway count as unread."""
        unread = [entry for entry in self._entries if entry.first_s is None]
        running = [entry for entry in self._entries if entry.first_s is not None]
        pace = self.learner.pace(now_s)
        owed_s = chunks = 0.0
        if pace is not None:
            if unread:
                owed_s, chunks = self._head_left(unread[0], pace, running, now_s)
            behind = (*unread[1:], *waiting)
            owed_s += self.reading_s(now_s, behind)
            chunks += sum(chunks_of(e.prompt_tokens, e.cached_tokens) for e in behind)
        return Load(
            in_flight=len(self._entries) + len(waiting) + self.foreign,
            slots=slots or ASSUMED_SLOTS,
            unread_s=owed_s,
            unread_chunks=chunks,
            unread=len(unread) + len(waiting),
            running=len(running) + self.foreign,
            running_tokens=sum(_held(entry) for entry in running),
            unread_tokens=float(sum(entry.prompt_tokens for entry in (*unread, *waiting))),
        )

    def unread_s(self, now_s: float, coming: tuple[Entry, ...] = ()) -> float:
        """Seconds of reading of all prompts without a first token, the one being read counted whole."""
        return self.reading_s(now_s, (*(e for e in self._entries if e.first_s is None), *coming))

    def reading_s(self, now_s: float, entries: tuple[Entry, ...]) -> float:
        """Seconds that reading their prompts takes, one after another; 0 where nothing is known of it."""
        pace = self.learner.pace(now_s)
        if pace is None:
            return 0.0
        return sum(pace.prefill_s(entry.prompt_tokens, entry.cached_tokens) for entry in entries)

    def is_due(self, now_s: float) -> bool:
        """Whether it is idle, and was late when it was last heard of, some time ago."""
        return not self._entries and self.doubt.is_due(now_s)

    def usual_tokens(self) -> float:
        """Mean expected answer of those on the node now; 0 when it is idle."""
        expected = [entry.usual_tokens for entry in self._entries]
        return sum(expected) / len(expected) if expected else 0.0

    def _head_left(
        self, head: Entry, pace: LinearPace, running: list[Entry], now_s: float
    ) -> tuple[float, float]:
        """Seconds and passes left of the prompt being read; one that is overdue may take as long again."""
        chunks = chunks_of(head.prompt_tokens, head.cached_tokens)
        held = sum(_held(entry) for entry in running)
        alone_s = pace.prefill_s(head.prompt_tokens, head.cached_tokens)
        expected_s = alone_s + chunks * step_s(pace, len(running), held)
        spent_s = max(0.0, now_s - max(self._progress_s, head.sent_s))
        if spent_s >= expected_s:
            return spent_s - expected_s, 0.0
        left = 1.0 - spent_s / expected_s if expected_s > 0 else 0.0
        return alone_s * left, chunks * left

    # what it teaches

    def _judge(self, entry: Entry, now_s: float) -> None:
        """Compares an answer with what was forecast, and with what was promised."""
        if entry.first_s is None:
            return
        ttft_s, total_s = entry.first_s - entry.came_s, now_s - entry.came_s
        objective = entry.objective
        if objective is not None:
            self.doubt.learn(_keeps(objective, ttft_s, total_s), now_s)
        if entry.ttft_s is None or entry.total_s is None:
            return
        self.ttft_stretch.learn(ttft_s / max(entry.ttft_s, LEAST_FORECAST_S))
        self.total_stretch.learn(total_s / max(entry.total_s, LEAST_FORECAST_S))
        if objective is not None:
            self.margins.learn(objective.attainment_ratio, _keeps(objective, ttft_s, total_s))

    def _judge_unfinished(self, entry: Entry, now_s: float) -> None:
        """One that was given up: late already, or it tells nothing."""
        objective, waited_s = entry.objective, now_s - entry.came_s
        if objective is None:
            return
        has_first = entry.first_s is not None
        if not _keeps(objective, 0.0 if has_first else waited_s, waited_s):
            self.doubt.learn(False, now_s)
            if entry.ttft_s is not None:
                self.margins.learn(objective.attainment_ratio, False)

    def _note_read(self, entry: Entry, now_s: float, pace: LinearPace | None) -> None:
        """Its first token came: from a reading of its own, or from that of others before it."""
        if self._reading is None or not self._reading.takes(entry, now_s, pace):
            self._end_reading()
            self._reading = Reading(max(self._progress_s, entry.sent_s), self._running)
        self._reading.add(entry, now_s)
        if entry.sent_s < self._spoilt_s:
            self._reading.is_spoilt = True
        if self.prefixes.reports:  # its usage will say how much was read
            entry.reading = self._reading
            self._reading.unknown += 1

    def _end_reading(self) -> None:
        """No further prompt belongs to it; what came earlier and is unread still may have been read too."""
        reading, self._reading = self._reading, None
        if reading is None:
            return
        newest_s = max(entry.sent_s for entry in reading.entries)
        if any(entry.first_s is None and entry.sent_s < newest_s for entry in self._entries):
            reading.is_spoilt = True
        reading.is_over = True
        self._learn_reading(reading)

    def _know_cached(self, entry: Entry) -> None:
        """What is known now of the cached part of its prompt is all there will be."""
        reading, entry.reading = entry.reading, None
        if reading is not None:
            reading.unknown -= 1
            self._learn_reading(reading)

    def _learn_reading(self, reading: Reading) -> None:
        """The time its prompts took, once all is known of them."""
        if reading.is_over and not reading.unknown and not reading.is_spoilt:
            seconds = reading.seconds(self.learner.pace(reading.ended_s))
            self.learner.note_prefill(reading.ended_s, seconds, reading.prompts)

    def _learn_usage(self, entry: Entry, usage: Usage) -> None:
        """What the engine says it had of the prompt and what it wrote; beginnings count in our estimates."""
        if not usage.input_tokens:
            return
        unit = entry.estimated_tokens / usage.input_tokens
        if entry.held is not None:
            written = (usage.output_tokens or 0) - (usage.reasoning_tokens or 0)  # that is not repeated
            entry.held.answer_tokens = max(written, 0) * unit
        if usage.grade != "reported":
            return
        self.token_ratio.learn(entry.estimated_tokens, usage.input_tokens)
        if usage.cache_read_tokens is None:
            return
        share = usage.cache_read_tokens / usage.input_tokens
        if entry.beginning is not None:
            self.prefixes.learn(entry.match, entry.estimated_tokens, share)
        entry.cached_tokens = share * entry.prompt_tokens
        self._know_cached(entry)

    def _learn_decode(self, entry: Entry, now_s: float, output_tokens: int) -> None:
        assert entry.first_s is not None
        seconds = now_s - entry.first_s
        batch = max((self._area - entry.batch_area) / seconds, 1.0)
        others_read_s = self._read_s - entry.read_s
        writing_s = max(seconds - others_read_s, LEAST_STEP_SHARE * seconds)
        context = entry.prompt_tokens + output_tokens / 2
        self.learner.note_decode(now_s, writing_s / (output_tokens - 1), batch, context)

    def _flow(self, now_s: float) -> None:
        self._area += (now_s - self._area_at_s) * (self._running + self.foreign)
        self._area_at_s = now_s


def _let_go(entry: Entry) -> None:
    """Nothing it holds or took is in use any more."""
    if entry.held is not None:
        entry.held.is_busy = False
        if not entry.is_finished:
            entry.held.answer_tokens = float(entry.output_tokens)
    if entry.match is not None:
        entry.match.held.is_busy = False
    entry.beginning = entry.match = None


def _held(entry: Entry) -> float:
    """Tokens in its cache, counting half of its answer as the forecast does."""
    return entry.prompt_tokens + max(float(entry.output_tokens), entry.usual_tokens / 2)


def _keeps(objective: Objective, ttft_s: float, total_s: float) -> bool:
    return (objective.ttft_s is None or ttft_s <= objective.ttft_s) and (
        objective.total_s is None or total_s <= objective.total_s
    )
