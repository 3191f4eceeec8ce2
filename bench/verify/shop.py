"""The demo model behind the real engine: what gates and a calibrated threshold keep, and how much is exact.

    python -m bench.verify.shop [--count 1000] [--calibration 2000] [--alpha 0.02] [--delta 0.05]

Thresholds are chosen on messages that are never scored. Prints Markdown tables; takes about two minutes.
"""

from __future__ import annotations

import argparse
import asyncio
import platform
import random
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version

import msgspec

from bench.verify.engine import ask_all
from spillway.demo import shop
from spillway.verify import GivenAnswer, OnlineThreshold, Threshold, Wish, check, choose_threshold, gates_for
from spillway.verify.confidence import Measure, confidence_of
from spillway.verify.thresholds import lower_bound, upper_bound

MAX_TOKENS = 64
CALIBRATION_SEED, TEST_SEED = 41, 97
KINDS: tuple[shop.Kind, ...] = ("trained", "unseen_phrasings")
STRUCTURE_GATES = tuple(gate for gate in gates_for("extraction") if gate != "confidence")


@dataclass(frozen=True)
class Answered:
    """One message with what the engine gave and what the gates say of it without a threshold."""

    message: shop.ShopMessage
    answer: GivenAnswer
    confidence: float
    is_exact: bool
    failed: tuple[str, ...]


def request_for(message: shop.ShopMessage) -> bytes:
    """A chat body as an application would send it, with log-probabilities asked for."""
    schema = {"name": "answer", "schema": shop.ANSWER_SCHEMA, "strict": True}
    body = {
        "messages": [{"role": "user", "content": message.text}],
        "temperature": 0,
        "max_tokens": MAX_TOKENS,
        "logprobs": True,
        "top_logprobs": 2,
    }
    wish = {**body, "response_format": {"type": "json_schema", "json_schema": schema}}
    return msgspec.json.encode(wish)


def as_sent(request: bytes) -> bytes:
    """The same without the schema: constrained decoding would hide what the gates are for."""
    fields = msgspec.json.decode(request)
    del fields["response_format"]
    return msgspec.json.encode(fields)


async def answers_of(kind: shop.Kind, seed: int, count: int) -> list[Answered]:
    """The engine's answers to ``count`` messages."""
    drawn = shop.messages(seed, count, kind)
    requests = [request_for(message) for message in drawn]
    bodies = await ask_all([as_sent(request) for request in requests])
    out = []
    for message, request, body in zip(drawn, requests, bodies, strict=True):
        answer = GivenAnswer.of(body)
        if answer is None:
            raise SystemExit("the engine sent no answer")
        verdict = check(answer, Wish.of(request), STRUCTURE_GATES)
        is_exact = shop.is_exact(answer.text, message)
        out.append(Answered(message, answer, confidence_of(answer) or 0.0, is_exact, verdict.failed))
    return out


def pairs_of(answers: Sequence[Answered]) -> list[tuple[float, float]]:
    """(confidence, right) of the answers that pass all other gates: what the threshold decides on."""
    return [(a.confidence, float(a.is_exact)) for a in answers if not a.failed]


def surest_table(calibration: Sequence[Answered], tests: dict[str, list[Answered]]) -> None:
    """Prints how exact the surest 80 % are, by rank and by the threshold that keeps 80 % of trained ones."""
    scores = sorted((a.confidence for a in calibration if not a.failed), reverse=True)
    mark = scores[round(0.8 * len(calibration))]
    print(
        f"\nthe surest 80 %, by rank; and above {mark:.5f}, which keeps 80 % of the trained calibration set"
    )
    print("\n| messages | n | all exact | by rank | with the rest from the cloud | above | exact of those |")
    print("|---|---|---|---|---|---|---|")
    for name, answers in tests.items():
        ranked = sorted(answers, key=lambda a: (not a.failed, a.confidence), reverse=True)
        kept = ranked[: round(0.8 * len(ranked))]
        right = sum(a.is_exact for a in kept)
        above = [a.is_exact for a in answers if not a.failed and a.confidence >= mark]
        figures = [
            sum(a.is_exact for a in answers) / len(answers),
            right / len(kept),
            (right + len(answers) - len(kept)) / len(answers),
            len(above) / len(answers),
            sum(above) / len(above),
        ]
        print(f"| {name} | {len(answers)} | " + " | ".join(f"{figure:.1%}" for figure in figures) + " |")


def _meets(wrong: int, kept: int, alpha: float) -> str:
    """Whether the kept answers keep the bound; a rate above it may be chance while its own bound is below."""
    if not kept:
        return "-"
    if wrong / kept <= alpha:
        return "yes"
    return "within chance" if lower_bound(wrong, kept, 0.05) <= alpha else "NO"


def threshold_rows(label: str, chosen: Threshold, tests: dict[str, list[Answered]]) -> None:
    """Prints what one threshold keeps of each test set and how much of it is wrong."""
    for name, answers in tests.items():
        kept = [a for a in answers if not a.failed and a.confidence >= chosen.gate_value]
        wrong = sum(not a.is_exact for a in kept)
        share = len(kept) / len(answers)
        rate = f"{wrong / len(kept):.2%}" if kept else "-"
        bound = f"{upper_bound(wrong, len(kept), 0.05):.2%}" if kept else "-"
        meets = _meets(wrong, len(kept), chosen.alpha)
        value = "none" if chosen.value is None else f"{chosen.value:.5f}"
        overall = (len(answers) - wrong) / len(answers)
        cells = [
            label,
            value,
            name,
            f"{share:.1%}",
            f"{wrong} of {len(kept)}",
            rate,
            bound,
            meets,
            f"{overall:.1%}",
        ]
        print("| " + " | ".join(cells) + " |")


def resampled_violations(pool: list[tuple[float, float]], alpha: float, delta: float, size: int) -> str:
    """How often, over 1,000 calibrations drawn from a pool, the pool's kept answers break the bound."""
    rng = random.Random(7)
    violations, none, kept_total = 0, 0, 0.0
    for _ in range(1_000):
        chosen = choose_threshold(rng.choices(pool, k=size), alpha=alpha, delta=delta)
        if chosen.value is None:
            none += 1
            continue
        kept = [right for score, right in pool if score >= chosen.value]
        kept_total += len(kept) / len(pool)
        violations += 1 - sum(kept) / len(kept) > alpha
    share = kept_total / max(1, 1_000 - none)
    return f"{violations} of 1,000 break the bound, {none} choose none, the others keep {share:.1%}"


def online(
    stream: list[tuple[float, float]], alpha: float, delta: float, first: list[tuple[float, float]]
) -> None:
    """Prints how a threshold is earned while answers to unseen phrasings are checked one by one."""
    for label, warm in (("from nothing", []), ("after 1,000 trained ones", first[:1_000])):
        learned = OnlineThreshold(alpha=alpha, delta=delta)
        for score, right in warm:
            learned.update(score, right)
        marks = []
        for place, (score, right) in enumerate(stream, 1):
            learned.update(score, right)
            if place in (100, 200, 400, 800, 1_600, len(stream)):
                value = "none" if learned.value is None else f"{learned.value:.4f}"
                marks.append(f"{place}: {value}")
        print(f"  {label:26s} {', '.join(marks)}; started over {learned.restarts} times")


def measures_table(tests: dict[str, list[Answered]]) -> None:
    """Prints the chance that a right answer scores above a wrong one, for each way to score."""
    measures: tuple[Measure, ...] = ("least", "mean", "margin")
    print("\nAUROC: " + " | ".join(("messages", *measures)))
    for name, answers in tests.items():
        cells = []
        for measure in measures:
            scores = [(confidence_of(a.answer, measure) or 0.0, a.is_exact) for a in answers]
            right = [score for score, is_exact in scores if is_exact]
            wrong = [score for score, is_exact in scores if not is_exact]
            wins = sum((r > w) + 0.5 * (r == w) for r in right for w in wrong)
            cells.append(f"{wins / max(1, len(right) * len(wrong)):.3f}")
        print(f"  {name} | " + " | ".join(cells))


async def measure(arguments: argparse.Namespace) -> None:
    """Asks, calibrates, prints."""
    calibration = {kind: await answers_of(kind, CALIBRATION_SEED, arguments.calibration) for kind in KINDS}
    known = {a.message.text for answers in calibration.values() for a in answers}
    tests: dict[str, list[Answered]] = {}
    for kind in KINDS:
        drawn = await answers_of(kind, TEST_SEED, arguments.count + 400)
        tests[kind] = [a for a in drawn if a.message.text not in known][: arguments.count]
    tests["both, half and half"] = [
        *tests["trained"][: arguments.count // 2],
        *tests["unseen_phrasings"][: arguments.count // 2],
    ]
    engine = f"xllamacpp {version('xllamacpp')}, {platform.machine()}"
    print(f"demo model through the embedded engine ({engine}), greedy, {arguments.count} messages each")
    surest_table(calibration["trained"], tests)
    measures_table(tests)
    sets: dict[str, list[tuple[float, float]]] = {kind: pairs_of(a) for kind, a in calibration.items()}
    half = arguments.calibration // 2
    sets["both, half and half"] = [*sets["trained"][:half], *sets["unseen_phrasings"][:half]]
    print(
        "\n| calibrated on | threshold | scored on | kept | wrong | rate | 95 % bound | ≤ alpha | overall |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    for alpha in dict.fromkeys((arguments.alpha, 0.05)):
        for name, pairs in sets.items():
            chosen = choose_threshold(pairs, alpha=alpha, delta=arguments.delta)
            threshold_rows(f"{name}, alpha {alpha:.0%}", chosen, tests)
    pool = pairs_of([*calibration["unseen_phrasings"], *tests["unseen_phrasings"]])
    print(
        f"\nunseen phrasings, calibrations of 1,000 drawn from {len(pool)} answers, delta {arguments.delta}:"
    )
    for alpha in dict.fromkeys((arguments.alpha, 0.05)):
        print(f"  alpha {alpha:.0%}: {resampled_violations(pool, alpha, arguments.delta, 1_000)}")
    print(f"\nlearned on the fly on unseen phrasings (every answer checked), alpha {arguments.alpha:.0%}:")
    online(sets["unseen_phrasings"], arguments.alpha, arguments.delta, sets["trained"])


def main() -> None:
    """Reads the options and measures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1_000)
    parser.add_argument("--calibration", type=int, default=2_000)
    parser.add_argument("--alpha", type=float, default=0.02)
    parser.add_argument("--delta", type=float, default=0.05)
    asyncio.run(measure(parser.parse_args()))


if __name__ == "__main__":
    main()
