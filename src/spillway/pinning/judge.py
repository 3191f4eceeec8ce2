"""Records how a node answers a canary, and tells another answer from the node's own noise: pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from difflib import SequenceMatcher
from itertools import combinations, pairwise

from msgspec.structs import replace

from spillway.pinning.answers import Answer, passed_checks
from spillway.pinning.canaries import Canary
from spillway.pinning.lock import LockedCanary

__all__ = [
    "FIRST_RUNS",
    "MORE_RUNS",
    "differs",
    "differs_widely",
    "is_faint",
    "record_of",
    "varies",
    "vary_widely",
]

FIRST_RUNS = 5
"""Runs that show whether a node answers greedily the same each time."""
MORE_RUNS = 8
"""Runs of a node that does not, so that its spread is known."""
LOGPROB_FLOOR = 0.0005
"""Differences of a log-probability that are never a change: what rounding to four decimals may do, and more.
An idle llama.cpp on CPU differs by nothing at all; one that shares a batch with a stranger's request by up to
0.018 in 1.2 % of answers, the tokens the same (3,600 answers of the demo model, 2026-11-24)."""
SPREADS = 4.0
"""Multiples of the measured spread within which an answer counts as the same (guess, generous: a real change
of weights moves some token of some canary by far more)."""
SIMILARITY_MARGIN = 0.1
"""How much less alike than the least alike pair of pinned answers a new one may be (guess)."""
ALIKE = 0.5
"""How alike answers of a node stay that varies though it did not when pinned (guess)."""
MOST_ANSWERS = 8
LONGEST_ANSWER = 400
DISTANCE_FLOOR = 0.002


def varies(answers: Sequence[Answer]) -> bool:
    """Whether a node gave different answers to the same greedy prompt."""
    return len({answer.tokens for answer in answers}) > 1 and not answers[0].sketch


def vary_widely(pinned: LockedCanary, answers: Sequence[Answer]) -> bool:
    """Whether answers to one prompt differ among themselves by more than they did when pinned."""
    if len({answer.tokens for answer in answers}) > 1 and pinned.kind != "vector":
        return True
    return _logprob_spread(answers) > LOGPROB_FLOOR + SPREADS * pinned.logprob_spread


def is_faint(pinned: LockedCanary, answers: Sequence[Answer]) -> bool:
    """Whether only the likelihood of the pinned tokens differs: one canary alone does not prove a change."""
    return pinned.kind == "exact" and all(answer.tokens == pinned.tokens for answer in answers)


def record_of(canary: Canary, answers: Sequence[Answer]) -> LockedCanary:
    """What the lock keeps of these runs of one canary."""
    first = answers[0]
    passed = [set(passed_checks(canary.checks, answer)) for answer in answers]
    checks = tuple(check.name for check in canary.checks if all(check.name in each for each in passed))
    if first.sketch:
        return LockedCanary(
            prompt=canary.digest,
            kind="vector",
            sketch=first.sketch,
            sketch_spread=round(_widest([answer.sketch for answer in answers]), 4),
        )
    if varies(answers):
        texts = list(dict.fromkeys(answer.text[:LONGEST_ANSWER] for answer in answers))[:MOST_ANSWERS]
        alike = [_similarity(one, other) for one, other in combinations(texts, 2)]
        return LockedCanary(
            prompt=canary.digest,
            kind="similar",
            answers=tuple(texts),
            similarity_min=round(min(alike, default=1.0), 3),
            checks=checks,
        )
    return LockedCanary(
        prompt=canary.digest,
        kind="exact",
        answer=first.text[:LONGEST_ANSWER],
        tokens=first.tokens,
        logprobs=first.logprobs,
        logprob_spread=round(_logprob_spread(answers), 4),
        checks=checks,
    )


def differs(canary: Canary, pinned: LockedCanary, answer: Answer) -> tuple[str, str] | None:
    """Before and after, in words, when the answer lies outside the node's own spread; ``None`` inside it."""
    if pinned.kind == "vector":
        distance = _distance(pinned.sketch, answer.sketch)
        limit = DISTANCE_FLOOR + SPREADS * pinned.sketch_spread
        return None if distance <= limit else ("the same vector", f"{distance:.4f} away (usual {limit:.4f})")
    if pinned.kind == "similar":
        return _unlike(canary, pinned, answer)
    if pinned.tokens != answer.tokens:
        return pinned.answer or "nothing", answer.text[:LONGEST_ANSWER] or "nothing"
    shift = _largest(pinned.logprobs, answer.logprobs)
    limit = LOGPROB_FLOOR + SPREADS * pinned.logprob_spread
    if shift <= limit:
        return None
    return "tokens as likely as pinned", f"log-probabilities off by {shift:.4f} (usual {limit:.4f})"


def differs_widely(canary: Canary, pinned: LockedCanary, answer: Answer) -> tuple[str, str] | None:
    """Like ``differs``, for a node that turned out to vary after its answer was pinned as exact: it fails a
    check it passed, or says something that is hardly the same."""
    if pinned.kind != "exact":
        return differs(canary, pinned, answer)
    loose = replace(pinned, answers=(pinned.answer or "",), similarity_min=ALIKE + SIMILARITY_MARGIN)
    return _unlike(canary, loose, answer)


def _unlike(canary: Canary, pinned: LockedCanary, answer: Answer) -> tuple[str, str] | None:
    passed = passed_checks(canary.checks, answer)
    known = {check.name for check in canary.checks}
    if failed := [name for name in pinned.checks if name in known and name not in passed]:
        return f"passed: {', '.join(failed)}", answer.text[:LONGEST_ANSWER] or "nothing"
    alike = max((_similarity(text, answer.text[:LONGEST_ANSWER]) for text in pinned.answers), default=1.0)
    if alike >= (pinned.similarity_min or 0.0) - SIMILARITY_MARGIN:
        return None
    return pinned.answers[0], answer.text[:LONGEST_ANSWER] or "nothing"


def _similarity(one: str, other: str) -> float:
    """Share of two texts that is the same, word by word, 0 to 1."""
    return SequenceMatcher(None, one.split(), other.split(), autojunk=False).ratio()


def _logprob_spread(answers: Sequence[Answer]) -> float:
    return max((_largest(a.logprobs, b.logprobs) for a, b in pairwise(answers)), default=0.0)


def _largest(one: Sequence[float], other: Sequence[float]) -> float:
    """Largest difference at one token; 0 where one side knows none."""
    if len(one) != len(other):
        return 0.0
    return max((abs(a - b) for a, b in zip(one, other, strict=True)), default=0.0)


def _widest(sketches: Sequence[tuple[float, ...]]) -> float:
    return max((_distance(one, other) for one, other in combinations(sketches, 2)), default=0.0)


def _distance(one: Sequence[float], other: Sequence[float]) -> float:
    if len(one) != len(other):
        return math.inf
    return math.dist(one, other) / math.sqrt(len(one) or 1)
