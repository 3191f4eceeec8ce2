"""Which beginnings of prompts a node still holds in its engine's cache, by our own count of what it was sent.

Nobody can look into an engine's cache. So the gateway remembers what it sent, forgets the least recently
used, and learns from the engines that report cached tokens how far that is to be trusted. An engine works
with a few sequences (llama.cpp, Ollama, LM Studio: one for each slot) or with a pool of tokens (vLLM); some
keep more than that elsewhere, which is learned too.
"""

from __future__ import annotations

from msgspec import Struct

from spillway.engines.profiles import ENGINES
from spillway.fleet.marks import POSITIONS, Beginning, shared_marks

__all__ = ["Held", "Match", "PrefixMemory"]

MOST_HELD = 128
"""Beginnings that are remembered of one node."""
MOST_FILL = 8.0
"""How often the engine's room is remembered: it may have more of it than it says (guess)."""
DEPTHS = (1.0, 2.0, 4.0)
"""Bounds of how much was used since a beginning, in units of the engine's room; trust is kept for each."""
UNKNOWN_POOL_TOKENS = 32_768.0
"""Room of a pool that does not tell the longest prompt it can hold (guess)."""
PRIOR_ANSWERS = 1.0
"""What an engine's usual behaviour weighs against its own answers (guess)."""
LEAST_RATE = 0.2
LEAST_TOKENS = 16.0
"""Believed tokens below which a report tells nothing: templates share that much."""


class Held(Struct, eq=False):
    """One sequence in an engine's cache, without its text."""

    marks: tuple[int, ...]
    end: int | None
    size_bytes: int
    head_bytes: int
    tokens: float
    """Of the prompt, as estimated: in the unit in which the next prompt is."""
    answer_tokens: float = 0.0
    """What was written after it, in the same unit."""
    is_busy: bool = False
    """Whether its request still runs, so that its slot cannot take another."""


class Match(Struct, frozen=True):
    """What a node is believed to hold of a prompt."""

    held: Held
    tokens: float
    """Of the prompt; before any doubt."""
    depth: int
    """How much was used since: an index of trust."""
    is_whole: bool
    """Whether all that is held is the beginning of the prompt, which thus goes on where that ended."""


class PrefixMemory:
    """What one node holds. It keeps digests only, and they never leave the process."""

    def __init__(self) -> None:
        self._held: dict[Held, None] = {}
        """The most recently used last."""
        self._kind = ""
        self._pools = False
        self._room = 1.0
        self._trust: list[float] = []
        self._learned = [0] * (len(DEPTHS) + 1)
        self.reports = False
        """Whether the engine has said how many tokens it had."""

    def __len__(self) -> int:
        return len(self._held)

    def fit(self, kind: str, slots: int | None, context_tokens: int | None) -> None:
        """Takes over what the engine is and how much it can hold.

        A pool holds one sequence of the longest that the engine takes: vLLM does not start otherwise.
        """
        profile = ENGINES.get(kind, ENGINES["openai"])
        self._pools = profile.pools_cache
        self._room = (context_tokens or UNKNOWN_POOL_TOKENS) if self._pools else float(slots or 1)
        if kind != self._kind:
            within, beyond = profile.cache_trust
            self._kind, self._trust = kind, [within, *(beyond / 2**i for i in range(len(DEPTHS)))]
            self._learned = [0] * len(self._trust)

    def forget(self) -> None:
        """The engine was restarted, has another model or is gone; how far it is trusted stays."""
        self._held.clear()

    def trust(self, depth: int) -> float:
        """Share of a match of that depth that is taken to be really there."""
        return self._trust[depth]

    def believed(self, match: Match | None) -> float:
        """Tokens of the prompt that need not be read anew."""
        return 0.0 if match is None else match.tokens * self.trust(match.depth)

    def find(self, mine: Beginning, will_wait: bool = False) -> Match | None:
        """The longest beginning it shares with what is held; of equal ones the most recently used.

        A slot that is busy cannot take another request, unless that ``will_wait`` for one to be free.
        """
        best: Match | None = None
        count, used = 0, 0.0
        for held in reversed(self._held):
            size = held.tokens + held.answer_tokens if self._pools else 1.0
            fill = used + size if self._pools else used
            used += size
            marks = held.marks
            if held.is_busy and not self._pools and not will_wait:
                continue
            if count and (len(marks) < count or marks[count - 1] != mine.marks[count - 1]):
                continue
            found = shared_marks(marks, mine.marks)
            is_whole = found == len(marks) and mine.begins_with(held.size_bytes, held.end)
            if not is_whole and not found:
                continue
            count, tokens = found, _tokens(held, mine, found, is_whole)
            if best is None or tokens > best.tokens:
                best = Match(held, tokens, _depth(fill / self._room), is_whole)
        return best

    def take(self, mine: Beginning) -> Match | None:
        """The same for a request that is sent now: the slot that holds its beginning is the one it gets."""
        match = self.find(mine)
        if match is not None and self._is_overwritten(match):
            match.held.is_busy = True
        return match

    def hold(self, mine: Beginning, match: Match | None) -> Held:
        """The prompt has been read, and is there together with its answer from now on."""
        if match is not None and (match.is_whole or self._is_overwritten(match)):
            self._held.pop(match.held, None)
        held = Held(mine.marks, mine.end, mine.size_bytes, mine.head_bytes, mine.tokens, is_busy=True)
        self._held[held] = None
        self._drop_oldest()
        return held

    def learn(self, match: Match | None, prompt_tokens: float, cached_share: float) -> None:
        """The engine says what share of a prompt it had; ``prompt_tokens`` in our unit, as in ``match``."""
        self.reports = True
        if match is None or match.tokens < LEAST_TOKENS:
            return
        self._learned[match.depth] += 1
        rate = max(LEAST_RATE, 1.0 / (self._learned[match.depth] + PRIOR_ANSWERS))
        ratio = min(cached_share * prompt_tokens / match.tokens, 1.0)
        trust = self._trust[match.depth] + rate * (ratio - self._trust[match.depth])
        self._trust[match.depth] = trust
        for depth, learned in enumerate(self._learned):
            if not learned:  # what was used more recently is at least as sure to be there
                closer = max if depth < match.depth else min
                self._trust[depth] = closer(self._trust[depth], trust)

    def _is_overwritten(self, match: Match) -> bool:
        """Whether the request gets that very sequence to go on with; a pool copies, and others keep what
        shares less than half before they go on."""
        held = match.held
        return not self._pools and (match.is_whole or match.tokens >= (held.tokens + held.answer_tokens) / 2)

    def _drop_oldest(self) -> None:
        """The bound is on beginnings, and on what they take of the engine's room."""
        most = MOST_HELD if self._pools else min(MOST_HELD, int(MOST_FILL * self._room))
        while len(self._held) > most:
            del self._held[next(iter(self._held))]
        if self._pools:
            excess = sum(held.tokens for held in self._held) - MOST_FILL * self._room
            while excess > 0.0 and len(self._held) > 1:
                oldest = next(iter(self._held))
                excess -= oldest.tokens
                del self._held[oldest]


def _depth(fill: float) -> int:
    return sum(fill >= bound for bound in DEPTHS)


def _tokens(held: Held, mine: Beginning, count: int, is_whole: bool) -> float:
    """Tokens of the prompt that are there: to the last mark, or all that is held.

    The answer counts only where the prompt grew by as much, since its text is what comes next.
    """
    if is_whole:
        grown = mine.tokens - held.tokens
        answer = held.answer_tokens if grown >= held.answer_tokens else 0.0
        return min(held.tokens + answer, mine.tokens)
    shared_bytes = mine.head_bytes + POSITIONS[count - 1]
    size_bytes = mine.head_bytes + mine.size_bytes
    return min(mine.tokens * shared_bytes / size_bytes, held.tokens)
