"""Cost against quality: a router alone, gates alone, both, beside random, prompt length and the oracle.

    python -m bench.verify.curve --data DATA [--demo]

Cost 1 is everything in the cloud; a local answer costs 0.08 of a cloud one (the article's $0.00005 against
$0.0006), an escalated one both. Quality is the mean published score. Policies send questions to the cloud in
an order of their own until the budget is spent; the rest stays local, and where gates are on, a failed gate
escalates. Below the cheapest point of a policy with gates, questions are mixed at random with all-local.

What is real and what is not: raw answers of ZeroEval and BFCL go through the real gates. No table holds
finish reasons, so a ZeroEval answer without a closing brace near its end counts as cut. ZeroEval is asked for
JSON but scored leniently (fences, broken escapes), so its JSON gate is shown apart. No table has token
log-probabilities, so confidence is shown on the demo model alone (``--demo``), where the cloud is simulated
and always answers exactly. "Shipped" is the classifier's ``p_local_ok``: it learned from all of these tables
but RouterBench and BFCL, so elsewhere its figures flatter. "Out of fold" has not seen the question.
"""

from __future__ import annotations

import argparse
import asyncio
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.verify.data import answer_of_text, calls_of_output, rows, wish_for_tools
from bench.verify.router import Array, auroc, out_of_fold, shipped
from spillway.verify import GivenAnswer, Wish, check

LOCAL_COST = 0.08
BUDGETS = (0.25, 0.5, 0.75)
PAIRS = (
    ("mmlu_pro", "Meta-Llama-3.1-8B-Instruct", "gemini-1.5-flash-002"),
    ("routellm_mmlu", "mixtral-8x7b-instruct-v0.1", "gpt-4-1106-preview"),
    ("llmrouter", "llama-3.1-8b-instruct", "llama-3.3-nemotron-super-49b-v1"),
    ("routerbench", "mistralai/mistral-7b-chat", "gpt-4-1106-preview"),
    ("zeroeval_math_l5", "Meta-Llama-3.1-8B-Instruct", "gpt-4o-mini-2024-07-18"),
    ("zeroeval_math_l5", "Qwen2.5-7B-Instruct", "gpt-4o-mini-2024-07-18"),
    ("zeroeval_crux", "Meta-Llama-3.1-8B-Instruct", "gpt-4o-mini-2024-07-18"),
    ("zeroeval_crux", "Qwen2.5-7B-Instruct", "gpt-4o-mini-2024-07-18"),
    ("bfcl", "meta-llama_Meta-Llama-3-8B-Instruct", "gpt-4o-mini-2024-07-18-FC"),
    ("bfcl", "NousResearch_Hermes-2-Pro-Llama-3-8B", "gpt-4o-mini-2024-07-18-FC"),
    ("bfcl", "google_gemma-7b-it", "gpt-4o-mini-2024-07-18-FC"),
)
_FENCE = re.compile(r"^\s*```(?:json)?\s*(.*?)\s*(?:```\s*)?$", re.DOTALL)


@dataclass(frozen=True)
class Table:
    """One table's questions with the scores of two models and what gates say of the local answers."""

    name: str
    bodies: list[dict[str, Any]]
    local: Array
    cloud: Array
    failed: dict[str, Array]
    """Name of a set of gates → whether one of them failed; empty where raw answers are not published."""


def load(data: Path, source: str, local: str, cloud: str, raw: dict[tuple[str, str], Any]) -> Table:
    """The questions that both models answered; where raw answers are published, those that have one."""
    has_raw = any(model == local and key.startswith(source.split("_")[0]) for key, model in raw)
    bodies, mine, theirs, failed = [], [], [], []
    for row in rows(data / "routing_outcomes" / f"{source}.dev.jsonl.gz"):
        scores = [row["outcomes"].get(model, {}).get("score") for model in (local, cloud)]
        output = raw.get((row["id"], local))
        if None in scores or (has_raw and output is None):
            continue
        text = "\n".join([row["prompt"], *(str(option) for option in row.get("options") or ())])
        body: dict[str, Any] = {"messages": [{"role": "user", "content": text}]}
        if row.get("functions"):
            body["tools"] = [{"type": "function", "function": one} for one in row["functions"]]
        bodies.append(body)
        mine.append(float(scores[0]))
        theirs.append(float(scores[1]))
        failed.append(_failures(row, local, output) if output is not None else {})
    names = dict.fromkeys(name for one in failed for name in one)
    flags = {name: np.array([one[name] for one in failed]) for name in names}
    return Table(f"{source}: {local}", bodies, np.array(mine), np.array(theirs), flags)


def _failures(row: dict[str, Any], model: str, output: Any) -> dict[str, bool]:
    """Set of gates → whether it rejects a raw answer."""
    if row.get("functions"):
        is_native = model.endswith("-FC") or "Hermes" in model
        wish = wish_for_tools(row["prompt"], row["functions"], underscores=is_native)
        calls = calls_of_output(output)
        if calls is None:
            return {"gates": _fails(answer_of_text(str(output)), wish, ("empty", "tools", "looping"))}
        return {"gates": _fails(GivenAnswer(tool_calls=calls, finish_reason="tool_calls"), wish, ("tools",))}
    wish = Wish.of(b'{"response_format":{"type":"json_object"}}')
    finish = "stop" if "}" in output[-300:] else "length"
    answer = answer_of_text(_FENCE.sub(r"\1", output), finish)
    return {
        "gates": _fails(answer, wish, ("finish", "empty", "looping")),
        "gates with json": _fails(answer, wish, ("finish", "empty", "looping", "json")),
    }


def _fails(answer: GivenAnswer, wish: Wish, gates: tuple[str, ...]) -> bool:
    return bool(check(answer, wish, gates).failed)


def points(order: Array, table: Table, failed: Array | None) -> tuple[Array, Array]:
    """(cost, quality) when the first k of ``order`` go to the cloud at once, for every k."""
    n = len(order)
    gone = np.zeros(n, dtype=bool) if failed is None else failed[order]
    local, cloud = table.local[order], table.cloud[order]
    kept_quality = np.where(gone, cloud, local)
    kept_cost = LOCAL_COST + gone
    cost = _running(np.ones(n), kept_cost) / n
    quality = _running(cloud, kept_quality) / n
    if failed is not None:
        cost, quality = np.insert(cost, 0, LOCAL_COST), np.insert(quality, 0, table.local.mean())
    return cost, quality


def _running(first: Array, rest: Array) -> Array:
    """For each k the sum of the first k of one and the others of the other."""
    before = np.concatenate([[0.0], np.cumsum(first)])
    after = np.concatenate([np.cumsum(rest[::-1])[::-1], [0.0]])
    result: Array = before + after
    return result


def at_budgets(cost: Array, quality: Array) -> list[float]:
    """Quality at each budget, then its mean over all budgets from all-local to all-cloud."""
    place = np.argsort(cost, kind="stable")
    grid = np.linspace(LOCAL_COST, 1.0, 200)
    best = np.interp(grid, cost[place], quality[place])
    return [float(np.interp(b, cost[place], quality[place])) for b in BUDGETS] + [float(best.mean())]


def show(table: Table, routers: dict[str, Array]) -> None:
    """Prints one table's policies."""
    rng = np.random.default_rng(3)
    lengths = np.array([len(str(body["messages"])) for body in table.bodies], dtype=float)
    coin = rng.permutation(len(lengths))
    orders = {name: np.argsort(p, kind="stable") for name, p in routers.items()}
    lines = {"random": _coin(table)}
    lines["long prompts first"] = at_budgets(*points(np.argsort(-lengths, kind="stable"), table, None))
    lines |= {name: at_budgets(*points(order, table, None)) for name, order in orders.items()}
    for gates, failed in table.failed.items():
        lines[f"{gates} alone"] = at_budgets(*points(coin, table, failed))
        lines |= {
            f"{name} + {gates}": at_budgets(*points(order, table, failed)) for name, order in orders.items()
        }
    lines["oracle"] = at_budgets(*points(np.argsort(table.local - table.cloud, kind="stable"), table, None))
    _head(table, routers)
    _print_lines(lines)


def _print_lines(lines: dict[str, list[float]]) -> None:
    """Prints each policy's qualities and how much of the oracle's gain over a coin it gets."""
    chance, span = lines["random"][-1], lines["oracle"][-1] - lines["random"][-1]
    for name, line in lines.items():
        cells = [*(f"{100 * value:.1f}" for value in line), f"{100 * (line[-1] - chance) / span:.0f} %"]
        print(f"| {name} | {' | '.join(cells)} |")


def _coin(table: Table) -> list[float]:
    """What a coin gets on average, at the budgets and over all of them."""
    return [_straight(table, budget) for budget in (*BUDGETS, (1 + LOCAL_COST) / 2)]


def _straight(table: Table, budget: float) -> float:
    """Expected quality of a coin that spends the budget."""
    share = (budget - LOCAL_COST) / (1 - LOCAL_COST)
    return float(table.local.mean() + share * (table.cloud.mean() - table.local.mean()))


def _head(table: Table, routers: dict[str, Array]) -> None:
    known = ", ".join(f"{name} AUROC {auroc(p, table.local):.2f}" for name, p in routers.items())
    print(f"\n### {table.name}\n")
    print(f"n {len(table.local)}, local {table.local.mean():.1%}, cloud {table.cloud.mean():.1%}; {known}")
    bad = table.local < 0.5
    for name, failed in table.failed.items():
        caught, flagged = failed[bad].mean(), failed[~bad].mean()
        print(f"{name}: catch {caught:.0%} of wrong local answers, flag {flagged:.1%} of right ones")
    heads = ["policy", *(f"at {budget}" for budget in BUDGETS), "mean", "of the oracle's gain"]
    print(f"\n| {' | '.join(heads)} |\n|{'---|' * len(heads)}")


def _raw_answers(data: Path) -> dict[tuple[str, str], Any]:
    found = {}
    for row in rows(data / "json_schemas" / "zeroeval_raw_json_answers.dev.jsonl.gz"):
        found[row["id"], row["model"]] = row["output"]
    for row in rows(data / "tool_calls" / "bfcl_raw_model_outputs.dev.jsonl.gz"):
        found[row["id"], row["model"]] = row["output"]
    return found


async def demo_tables() -> None:
    """The demo model: confidence as a gate at every threshold, against the router; simulated cloud."""
    from bench.verify.shop import TEST_SEED, answers_of

    for kind in ("trained", "unseen_phrasings"):
        answers = await answers_of(kind, TEST_SEED, 1_000)
        bodies = [{"messages": [{"role": "user", "content": a.message.text}]} for a in answers]
        right = np.array([float(a.is_exact) for a in answers])
        table = Table(f"demo model, {kind}", bodies, right, np.ones(len(right)), {})
        routers = {"router (shipped)": shipped(bodies), "router (out of fold)": out_of_fold(bodies, right)}
        _head(table, routers)
        confidence = np.array([-1.0 if a.failed else a.confidence for a in answers])
        lines = {"random": _coin(table)}
        for name, p in routers.items():
            lines[name] = at_budgets(*points(np.argsort(p, kind="stable"), table, None))
        lines["confidence gate"] = at_budgets(*_gated(confidence, table))
        lines["both"] = at_budgets(*_gated(confidence, table, routers["router (out of fold)"]))
        lines["oracle"] = at_budgets(*points(np.argsort(table.local, kind="stable"), table, None))
        _print_lines(lines)


def _gated(confidence: Array, table: Table, router: Array | None = None) -> tuple[Array, Array]:
    """(cost, quality) over all thresholds: everything is asked locally, the unsure again in the cloud.

    With a router the tenth it trusts least is not asked locally at all.
    """
    n = len(confidence)
    skipped = np.zeros(n, dtype=bool)
    if router is not None:
        skipped[np.argsort(router, kind="stable")[: n // 10]] = True
    order = np.argsort(np.where(skipped, -2.0, confidence), kind="stable")
    kept_quality, cloud = table.local[order], table.cloud[order]
    quality = _running(cloud, kept_quality) / n
    local_cost = np.where(skipped[order], 0.0, LOCAL_COST)
    cost = _running(1.0 + local_cost, np.full(n, LOCAL_COST)) / n
    return cost, quality


def main() -> None:
    """Prints every table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--demo", action="store_true", help="also ask the demo model 2,000 messages")
    arguments = parser.parse_args()
    raw = _raw_answers(arguments.data)
    for source, local, cloud in PAIRS:
        table = load(arguments.data, source, local, cloud, raw)
        known = {"router (out of fold)": out_of_fold(table.bodies, table.local)}
        show(table, {"router (shipped)": shipped(table.bodies), **known})
    if arguments.demo:
        asyncio.run(demo_tables())


if __name__ == "__main__":
    main()
