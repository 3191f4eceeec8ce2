"""A whole measurement: warm up, plan, send wave after wave within its limits, and keep what they took.

Polite by construction: one wave at a time, small ones first, at most one request more than the node serves at
once and that only where it queues, nothing sent once somebody else uses the node, and every request ends with
the task that sent it.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

from spillway.engines.wire import WireError
from spillway.errors import MeasureFailed
from spillway.measuring.ask import Answered, NoStream, Refused
from spillway.measuring.fit import Read, Step, fit_pace
from spillway.measuring.foretell import Sent
from spillway.measuring.held_back import held_back_ratio
from spillway.measuring.prompts import Prompts
from spillway.measuring.target import Target, reason_of
from spillway.measuring.waves import Ask, Plan, Wave, work_s
from spillway.slo.pace import LinearPace, chunks_of

__all__ = ["HELD_BACK", "Campaign", "Limits", "Measured"]

ROUNDS = 8
GROWTH_RATIO = 1.03
"""A wave twice as large must be so much faster altogether, or larger ones are not tried."""
MOST_AT_ONCE = 8
"""Requests of a wave with prompts and answers side by side; more would only load the node (guess)."""
SETTLE_S = 0.05
DISTURBED_RATIO, MOST_REPEATS = 0.1, 6
"""Waiting for a core beyond which a wave is played again, and how often at most; an engine's own threads wait
for each other up to half of it on an idle machine of two cores (measured)."""
HELD_UP_RATIO = 0.1
"""Waves that were disturbed to the last beyond which the measurement deserves a warning (guess)."""
TOO_LONG_RATIO = 0.1
"""Waves that its context could not hold, over the others, beyond which long prompts are unknown (guess)."""
HELD_BACK = 0.5
"""Share of answers held back on the way from which on nothing can be measured (guess)."""
WAKING_TOKENS = 2
"""Tokens of the answer that is asked for before a wave and thrown away: an engine that rested is slow at
first, and a node under load never rests (after 0.3 s short prompts took 5 to 13 ms longer; measured)."""
BUSY = (429, 503)
WORDS_FIRST, WORDS_SECOND = 8, 32


@dataclass(frozen=True)
class Limits:
    """The most that one measurement may ask of a node; ``duration_s`` counts from the first question."""

    duration_s: float = 60.0
    max_concurrency: int = 32
    max_requests: int = 600
    max_tokens: int = 300_000


@dataclass
class Measured:
    """What the waves took."""

    reads: list[Read] = field(default_factory=list)
    alone: list[Answered] = field(default_factory=list)
    """The answers that ``reads`` were made from."""
    steps: list[Step] = field(default_factory=list)
    """Waves that tell what steps beside prompts take."""
    probes: list[list[Sent]] = field(default_factory=list)
    slots: int | None = None
    """Sequences it works on at once, as told or as seen; ``None`` when no limit showed."""
    tested_concurrency: int = 1
    tok_s: dict[int, list[float]] = field(default_factory=dict)
    requests: int = 0
    tokens: int = 0
    repeated: int = 0
    """Waves thrown away because other processes held the engine up."""
    elapsed_s: float = 0.0
    is_complete: bool = False
    warnings: list[str] = field(default_factory=list)

    @property
    def pace(self) -> LinearPace:
        """What fits so far."""
        return fit_pace(self.reads, self.steps, self.slots)

    @property
    def held_back_ratio(self) -> float:
        """Share of the answers that came alone whose tokens something on the way held back."""
        return held_back_ratio(self.alone, self.pace.prefill_token_s)


class _Stop(Exception):
    """No further wave: out of time, requests or tokens, or somebody else came."""


class Campaign:
    """One measurement of one target."""

    def __init__(
        self,
        target: Target,
        limits: Limits,
        show: Callable[[float, str], None] = lambda ratio, text: None,
        seed: int | None = None,
        is_forced: bool = False,
        disturbance: Callable[[], float] | None = None,
    ) -> None:
        """``show`` is told the share of the time that is over, and what is being done.

        ``disturbance`` says which share of the time since its last call the engine had to wait for a core;
        only known of one on this machine. Waves that were disturbed are played again.
        """
        self._target = target
        self._limits = limits
        self._show = show
        self._is_forced = is_forced
        self._disturbance = disturbance
        self._dice = random.Random(seed)
        self._prompts = Prompts(seed)
        self._last_text = ""
        self._started_s = 0.0
        self._waves = self._held_up = self._too_long = 0
        self._refuses = False
        self._has_counts = True
        self.measured = Measured(slots=target.slots)

    async def run(self) -> Measured:
        """What was measured within the limits. MeasureFailed when not even a first answer came."""
        await self._refuse_if_busy()
        self._show(0.0, "first answers")
        self._started_s = time.monotonic()
        try:
            await self._warm_up()
            await self._rounds()
        except _Stop as stop:
            self._refuse_silence()
            self._warn(str(stop))
        except (Refused, NoStream, WireError) as error:
            self._warn(f"stopped early: {reason_of(error, self._target.path)}")
        self.measured.elapsed_s = time.monotonic() - self._started_s
        if self._held_up > HELD_UP_RATIO * self._waves:
            self._warn(
                f"other processes held the engine up in {self._held_up} of {self._waves} waves, however "
                "often these were repeated: measure again when the machine is idle"
            )
        if self._too_long > TOO_LONG_RATIO * self._waves:
            self._warn(
                f"it refused {self._too_long} prompts as too long for its context, so what long ones take is "
                "unknown: start it with a larger context"
            )
        return self.measured

    async def _refuse_if_busy(self) -> None:
        others = 0 if self._is_forced else await self._target.others()
        if others:
            raise MeasureFailed(
                f"{self._target.url} is working on {others} request(s) of others: "
                "measure it when it is idle, or use --force"
            )

    def _refuse_silence(self) -> None:
        if not self.measured.requests:
            raise MeasureFailed(
                f"{self._target.url} gave no complete answer within {self._limits.duration_s:g} s: it may "
                "still be loading its model; ask it something until it answers, or try a longer --duration"
            )

    async def _warm_up(self) -> None:
        """Loads the model, learns what a word costs, and gets a first idea of the pace."""
        asked: list[tuple[int, Answered]] = []
        for words in (WORDS_FIRST, WORDS_FIRST, WORDS_SECOND):
            try:
                async with self._in_time():
                    answer = await self._ask(self._prompts.of_words(words), 8)
            except (Refused, NoStream, WireError) as error:
                if len(asked) == 2:
                    break  # a context too small for the longer one: the usual tokens of a word must do
                said = reason_of(error, self._target.path)
                raise MeasureFailed(f"{self._target.url} cannot be measured: {said}") from None
            asked.append((words, answer))
            self._count(answer)
        async with self._in_time():
            await self._target.learn_context()
        self._learn_words(asked[1:])
        for words, answer in asked[1:]:
            self._keep_alone(self._believed(answer, self._prompts.tokens_of(words)))

    def _learn_words(self, asked: Sequence[tuple[int, Answered]]) -> None:
        """How many tokens a word is, from pairs of (words, answer); or that the node's counts are no help."""
        counted = [(words, answer.prompt_tokens or 0) for words, answer in asked]
        fewest, most = counted[0], counted[-1]
        if not most[1]:
            self._doubt_counts("it reports no token counts")
        elif len(counted) > 1 and most[1] <= fewest[1]:
            self._doubt_counts("its token counts do not grow with the prompt")
        else:
            for words, tokens in counted:
                self._prompts.learn(words, tokens)

    def _doubt_counts(self, why: str) -> None:
        self._has_counts = False
        self._warn(f"{why}: prompt lengths are estimated from their words")

    def _believed(self, answer: Answered, prompt_tokens: int) -> Answered:
        """The answer, to a prompt of about so many tokens where the node's own count is no help."""
        if self._has_counts and answer.prompt_tokens is not None:
            return answer
        return replace(answer, prompt_tokens=prompt_tokens, cached_tokens=0)

    async def _rounds(self) -> None:
        """Small waves first; then all of them again in another order, as long as the time lasts."""
        limit = min(self.measured.slots or self._limits.max_concurrency, self._limits.max_concurrency)
        await self._play_all(self._plan(limit).alone(self._dice))
        if self.measured.held_back_ratio >= HELD_BACK:
            raise _Stop  # more of it would tell nothing either
        await self._climb(self._plan(limit), limit)
        most = self.measured.tested_concurrency
        await self._play_all(self._probes(self._plan(most), most))
        self.measured.is_complete = True
        for _ in range(ROUNDS):
            plan = self._plan(most)
            waves = [*plan.alone(self._dice), plan.batch(most, is_long=True), *map(plan.batch, _ladder(most))]
            waves += plan.apart()
            waves += self._probes(plan, most)
            await self._play_all(self._shuffled(waves))

    def _probes(self, plan: Plan, most: int) -> list[Wave]:
        return list(plan.probes(self._at_once(most), self._dice))

    def _at_once(self, most: int) -> int:
        """One more than its slots where it queues: waiting for a slot is probed too."""
        return min(most + (self.measured.slots is not None and not self._refuses), MOST_AT_ONCE)

    def _shuffled(self, waves: list[Wave]) -> list[Wave]:
        """Another order, in which a wave that continues a prompt still follows that prompt."""
        pairs: list[list[Wave]] = []
        for wave in waves:
            if wave.purpose == "cached":
                pairs[-1].append(wave)
            else:
                pairs.append([wave])
        self._dice.shuffle(pairs)
        return [wave for pair in pairs for wave in pair]

    async def _climb(self, plan: Plan, limit: int) -> None:
        """Twice as many at once each time, until the node queues, refuses or gains nothing."""
        best = 0.0
        for size in _ladder(limit):
            try:
                answers = await self._play(plan.batch(size))
            except Refused as refusal:
                if refusal.status not in BUSY:
                    raise
                self.measured.slots = self.measured.tested_concurrency
                self._refuses = True
                return
            running = _running_together(answers)
            self.measured.tested_concurrency = max(running, self.measured.tested_concurrency)
            if running < size:
                if _tells_limit(answers):
                    self.measured.slots = self.measured.slots or running
                return
            speed = max(self.measured.tok_s.get(size, [0.0]))
            if self._target.slots is None and size > 2 and speed < best * GROWTH_RATIO:
                return
            best = max(best, speed)

    def _plan(self, most: int) -> Plan:
        plan = Plan.made_for(
            self.measured.pace,
            self._limits.duration_s,
            self._target.context_tokens,
            self._prompts.shortest_tokens,
            most,
        )
        return replace(plan, slots=self._target.slots or 0) if self._target.lets_choose_slots else plan

    async def _play_all(self, waves: Iterable[Wave]) -> None:
        for wave in waves:
            try:
                await self._play(wave)
            except Refused as refusal:
                if not refusal.is_too_long:
                    raise
                self._too_long += 1  # longer than its words let expect; the others tell enough

    async def _play(self, wave: Wave) -> list[Answered]:
        """The answers of one wave, kept; _Stop when a limit would be passed or was."""
        for _ in range(MOST_REPEATS):
            answers = await self._play_once(wave)
            if self._disturbance is None or self._disturbance() <= DISTURBED_RATIO:
                break
            self.measured.repeated += 1
        else:
            self._held_up += 1
        self._waves += 1
        self._keep(wave, answers)
        return answers

    async def _play_once(self, wave: Wave) -> list[Answered]:
        left_s = self._left_s()
        self._refuse_beyond_limits(wave, left_s)
        self._show(1.0 - left_s / self._limits.duration_s, _described(wave))
        async with self._in_time():
            if wave.purpose != "cached":  # that follows at once, and its slot must stay as it is
                await self._wake()
            if self._disturbance is not None:
                self._disturbance()
            answers = await self._together(wave)
            for answer in answers:
                self._count(answer)
            await self._yield_to_others()
        return answers

    def _left_s(self) -> float:
        return self._limits.duration_s - (time.monotonic() - self._started_s)

    @asynccontextmanager
    async def _in_time(self) -> AsyncIterator[None]:
        """_Stop once the time is over, however busily the node sends what is no answer."""
        try:
            async with asyncio.timeout(self._left_s()):
                yield
        except TimeoutError:
            raise self._over() from None

    async def _ask(self, text: str, output_tokens: int, slot: int | None = None) -> Answered:
        """One answer, waited for until ``_in_time`` ends it."""
        return await self._target.ask(text, output_tokens, self._limits.duration_s, slot)

    async def _wake(self) -> None:
        text = self._prompts.of_tokens(self._prompts.shortest_tokens)
        try:
            self._count(await self._ask(text, WAKING_TOKENS))
        except NoStream:  # its few tokens had no text, which matters to nobody
            self.measured.requests += 1

    async def _together(self, wave: Wave) -> list[Answered]:
        """Everything the wave asked for; whatever happens, none of its requests runs on afterwards."""
        tasks = [asyncio.create_task(self._one(ask)) for ask in wave.asks]
        try:
            return await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _refuse_beyond_limits(self, wave: Wave, left_s: float) -> None:
        done = self.measured
        if left_s <= 0 or (done.is_complete and work_s(wave, done.pace) > left_s):
            raise self._over()
        if done.requests + 1 + wave.size > self._limits.max_requests:
            raise self._end(f"stopped after {done.requests} requests, the most that one measurement sends")
        waking = self._prompts.shortest_tokens + WAKING_TOKENS
        if done.tokens + waking + wave.tokens > self._limits.max_tokens:
            raise self._end(f"stopped after {done.tokens} tokens, the most that one measurement takes")

    def _over(self) -> _Stop:
        return self._end(f"the {self._limits.duration_s:g} s were over: try a longer --duration")

    def _end(self, why: str) -> _Stop:
        """The end of the waves, and why where something is missing."""
        return _Stop("" if self.measured.is_complete else why)

    async def _one(self, ask: Ask) -> Answered:
        if ask.delay_s:
            await asyncio.sleep(ask.delay_s)
        if ask.continues and self._last_text:
            text = self._prompts.continued(self._last_text, ask.prompt_tokens)
        else:
            self._last_text = text = self._prompts.of_tokens(ask.prompt_tokens)
        answer = await self._ask(text, ask.output_tokens, ask.slot)
        is_whole = not ask.continues and not answer.cached_tokens  # some engines count what they read only
        if self._has_counts and answer.prompt_tokens and is_whole:
            self._prompts.learn(len(text.split()), answer.prompt_tokens)
        return self._believed(answer, ask.prompt_tokens)

    async def _yield_to_others(self) -> None:
        """Stops when the node still works although all our answers are in."""
        if self._is_forced:
            return
        for _ in range(4):
            if not await self._target.others():
                return
            await asyncio.sleep(SETTLE_S)  # a slot takes some milliseconds to be free again
        raise _Stop("somebody else began to use the node")

    def _count(self, answer: Answered) -> None:
        self.measured.requests += 1
        self.measured.tokens += (answer.prompt_tokens or 0) + answer.tokens

    def _keep(self, wave: Wave, answers: Sequence[Answered]) -> None:
        if wave.purpose == "probe":
            self.measured.probes.append([_sent(answer) for answer in answers])
            return
        if wave.purpose == "cached" and not (self._has_counts and answers[0].cached_tokens is not None):
            return  # nobody says how much of it the node had to read; vLLM and Ollama usually do not
        if wave.size == 1:
            self._keep_alone(answers[0])
        elif (step := step_of(answers, wave.gaps)) is not None:
            self.measured.steps.append(step)
            if not wave.gaps:
                self.measured.tok_s.setdefault(step.batch, []).append(step.batch / step.seconds)

    def _keep_alone(self, answer: Answered) -> None:
        prompt = answer.prompt_tokens or self._prompts.shortest_tokens
        self.measured.reads.append(Read(prompt, answer.cached_tokens or 0, answer.ttft_s))
        self.measured.alone.append(answer)
        if answer.itl_s:
            self.measured.steps.append(Step(1, prompt + answer.tokens / 2, answer.itl_s))
            self.measured.tok_s.setdefault(1, []).append(1 / answer.itl_s)

    def _warn(self, sentence: str) -> None:
        if sentence and sentence not in self.measured.warnings:
            self.measured.warnings.append(sentence)


def step_of(answers: Sequence[Answered], gaps: int = 0) -> Step | None:
    """The mean step while all of them wrote; ``None`` when that was for less than four tokens."""
    start_s = max(answer.piece_s[0] for answer in answers)
    end_s = min(answer.piece_s[-1] for answer in answers)
    steps = []
    for answer in answers:
        inside = sum(start_s < moment <= end_s for moment in answer.piece_s)
        steps.append(inside * answer.tokens / len(answer.piece_s))
    mean = sum(steps) / len(steps)
    if mean < 4 or end_s <= start_s:
        return None
    held = sum((answer.prompt_tokens or 0) + answer.tokens / 2 for answer in answers) / len(answers)
    return Step(len(answers), held, (end_s - start_s) / mean, gaps)


def _running_together(answers: Sequence[Answered]) -> int:
    """How many had their first token before the first of them ended."""
    first_end_s = min(answer.piece_s[-1] for answer in answers)
    return sum(answer.piece_s[0] < first_end_s for answer in answers) or 1


def _tells_limit(answers: Sequence[Answered]) -> bool:
    """Whether the first could not have ended before the last began unless that waited for a slot.

    Engines read one prompt after another, and meanwhile those read first write one token for each chunk.
    """
    chunks = sum(chunks_of(answer.prompt_tokens or 1) for answer in answers)
    return min(answer.tokens for answer in answers) > chunks


def _sent(answer: Answered) -> Sent:
    return Sent(
        answer.sent_s,
        answer.prompt_tokens or 1,
        answer.cached_tokens or 0,
        answer.tokens,
        answer.ttft_s,
        answer.itl_s,
    )


def _ladder(limit: int) -> list[int]:
    """2, 4, 8 … and the limit itself."""
    sizes = [2**k for k in range(1, 12) if 2**k < limit]
    return [*sizes, limit] if limit > 1 else []


def _described(wave: Wave) -> str:
    if wave.purpose == "probe":
        return "probes kept from the fit"
    if wave.size > 1:
        return f"{wave.size} at once"
    return f"prompt of {wave.asks[0].prompt_tokens} tokens"
