"""Score a GGUF through the real engine, greedily: `python -m training.shop_model.evaluate --model FILE`.

Prints a Markdown table of exact ratios by kind of message, how well the smallest token log-probability tells
right from wrong answers, and what share stays exact when only the surest are kept.
"""

import argparse
import json
import platform
import statistics
import time
from collections import Counter
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import xllamacpp

from spillway.demo import shop

KINDS: tuple[shop.Kind, ...] = ("trained", "unseen_phrasings", "unseen_items")
FIELDS = ("intent", "order", "item", "day", "urgent")
MAX_TOKENS = 64


@dataclass(frozen=True)
class Answered:
    """One message, the engine's answer, its smallest token log-probability and how long it took."""

    message: shop.ShopMessage
    text: str
    least_logprob: float
    latency_ms: float

    @property
    def is_exact(self) -> bool:
        """Whether all five fields are right."""
        return shop.is_exact(self.text, self.message)

    def has_right(self, field: str) -> bool:
        """Whether one field is right; false where the text is no JSON object."""
        try:
            parsed = json.loads(self.text)
        except ValueError:
            return False
        return isinstance(parsed, dict) and parsed.get(field, "") == self.message.answer[field]


def start_engine(model: Path) -> Any:
    """A llama.cpp server in this process with one slot and one thread."""
    params = xllamacpp.CommonParams()
    params.model.path = str(model)
    params.n_parallel = 1
    params.n_ctx = 512
    params.cpuparams.n_threads = 1
    params.cpuparams_batch.n_threads = 1
    params.cache_ram_mib = 0
    params.ui = False
    params.warmup = False
    params.verbosity = 0
    return xllamacpp.Server(params)


def ask(server: Any, message: shop.ShopMessage, system: str | None = None) -> Answered:
    """The engine's greedy answer to one message."""
    turns = [{"role": "system", "content": system}] if system else []
    request = {
        "messages": [*turns, {"role": "user", "content": message.text}],
        "temperature": 0,
        "max_tokens": MAX_TOKENS,
        "logprobs": True,
    }
    started_s = time.perf_counter()
    reply = server.handle_chat_completions(request)
    latency_ms = (time.perf_counter() - started_s) * 1000
    choice = reply["choices"][0]
    least = min(token["logprob"] for token in choice["logprobs"]["content"])
    return Answered(message, choice["message"]["content"], least, latency_ms)


def auroc(answers: list[Answered]) -> float | None:
    """Chance that a right answer is surer than a wrong one; `None` when all are right or all wrong."""
    right = [a.least_logprob for a in answers if a.is_exact]
    wrong = [a.least_logprob for a in answers if not a.is_exact]
    if not right or not wrong:
        return None
    wins = sum((r > w) + 0.5 * (r == w) for r in right for w in wrong)
    return wins / (len(right) * len(wrong))


def row(label: str, answers: list[Answered]) -> str:
    """One line of the table."""
    count = len(answers)
    fields = [sum(a.has_right(name) for a in answers) / count for name in FIELDS]
    exact = sum(a.is_exact for a in answers) / count
    area = auroc(answers)
    median_ms = statistics.median(a.latency_ms for a in answers)
    cells = [f"{100 * value:.1f}" for value in (*fields, exact)]
    cells += ["-" if area is None else f"{area:.3f}", f"{median_ms:.1f}"]
    return f"| {label} | {count} | {' | '.join(cells)} |"


def kept_row(answers: list[Answered]) -> str:
    """Exact share of what stays local when the surest 40-100 % are kept, all kinds together."""
    ranked = sorted(answers, key=lambda a: -a.least_logprob)
    cells = []
    for share in (0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0):
        kept = ranked[: round(share * len(ranked))]
        ratio = sum(a.is_exact for a in kept) / len(kept)
        cells.append(f"{share:.0%}: {100 * ratio:.1f} (>= {kept[-1].least_logprob:.2f})")
    return "surest kept, exact % (least logprob): " + ", ".join(cells)


def main() -> None:
    """Ask, print the table, and on request the wrong answers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=20261124)
    parser.add_argument("--show-wrong", type=int, default=0)
    arguments = parser.parse_args()
    server = start_engine(arguments.model)
    engine = f"xllamacpp {version('xllamacpp')}, {platform.machine()}, 1 thread, greedy"
    print(f"{arguments.model.name}, {engine}\n")
    print("| kind | messages | intent | order | item | day | urgent | all exact | AUROC | median ms |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    by_kind: dict[shop.Kind, list[Answered]] = {}
    for kind in KINDS:
        drawn = shop.messages(arguments.seed, arguments.count, kind)
        answers = [ask(server, message) for message in drawn]
        print(row(kind, answers), flush=True)
        by_kind[kind] = answers
        if arguments.show_wrong:
            wrong = [a for a in answers if not a.is_exact]
            print(Counter(str(a.message.answer["intent"]) for a in wrong))
            for a in wrong[: arguments.show_wrong]:
                print(f"  {a.message.text}\n    {a.text}  {a.least_logprob:.2f}")
    everything = [answer for answers in by_kind.values() for answer in answers]
    told = [ask(server, message, shop.SYSTEM_PROMPT) for message in shop.messages(arguments.seed, 300)]
    print(row("trained, with system message", told))
    familiar = [answer for kind in KINDS[:2] for answer in by_kind[kind]]
    for label, answers in (("all kinds", everything), ("without unseen items", familiar)):
        print(f"\n{label}: AUROC {auroc(answers)}\n{kept_row(answers)}")


if __name__ == "__main__":
    main()
