"""Examples from the shared data folder: which files may train what is shipped, and what labels mean here.

A source may train only if its README states an open licence that allows commercial use. Of P3 only
templates over texts with such a licence train; the rest (news, reviews and dialogues whose texts forbid it
or do not say) is scored but never learned from.
"""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

__all__ = [
    "KINDS",
    "LICENCES",
    "Example",
    "load_examples",
    "passages",
    "read_rows",
    "task_of_kind",
    "utterances",
]

KINDS: Final = (
    "extraction",
    "classification",
    "routing",
    "summarization",
    "rewriting",
    "translation",
    "closed_qa",
    "open_qa",
    "open_qa.general",
    "open_qa.exam",
    "generation",
    "brainstorming",
    "code",
    "math",
    "reasoning",
    "planning",
    "tool_use",
    "conversation",
    "other",
)
"""What is learned: the 17 classes, with open_qa in three flavours whose probabilities are added up."""

LICENCES: Final = {
    "dolly": "CC BY-SA 3.0",
    "p3": "Apache-2.0 (templates over openly licensed texts only)",
    "p3_other": "scored only: underlying texts not open, or licence not stated",
    "self_instruct": "Apache-2.0",
    "arena_hard": "Apache-2.0",
    "ifeval": "Apache-2.0",
    "bbh": "MIT",
    "gsm8k": "MIT",
    "clinc": "CC BY 3.0",
    "banking": "CC BY 4.0",
    "bfcl_v4": "Apache-2.0",
    "agents": "Apache-2.0",
    "mmlu_pro": "Apache-2.0",
    "llmrouter": "MIT",
    "crux": "Apache-2.0",
    "math_l5": "Apache-2.0",
    "own_first": "ours",
    "own_more": "ours",
    "own_system": "ours",
    "own_abroad": "ours",
}

OPEN_P3: Final = (
    "adversarial_qa",
    "commonsense_qa",
    "common_gen",
    "cosmos_qa",
    "duorc",
    "kilt_tasks_hotpotqa",
    "paws",
    "qasc",
    "quartz",
    "quoref",
    "ropes",
    "wiki_bio",
    "wiki_hop",
    "dbpedia",
)
"""P3 collections over texts under CC BY, CC BY-SA, MIT, Apache or BSD terms."""

DOLLY: Final = {
    "open_qa": "open_qa",
    "general_qa": "open_qa.general",
    "classification": "classification",
    "closed_qa": "closed_qa",
    "brainstorming": "brainstorming",
    "information_extraction": "extraction",
    "summarization": "summarization",
    "creative_writing": "generation",
}

P3: Final = {
    "reading_qa": "closed_qa",
    "summarization": "summarization",
    "sentiment_classification": "classification",
    "paraphrase_classification": "classification",
    "topic_classification": "classification",
    "fact_qa": "open_qa.exam",
    "constrained_generation": "generation",
    "text_generation": "generation",
    "data_to_text": "generation",
    "paraphrase_generation": "rewriting",
    "question_generation": "generation",
}
CLOSED_BOOK_P3: Final = (
    "commonsense_qa",
    "qasc",
    "sciq_Direct",
    "sciq_Multiple_Choice_Closed",
    "ropes_plain_no",
)

AGENT_KINDS: Final = {"magagent": "planning", "miniswe": "code"}
MATH_TASKS: Final = {"gsm8k", "math"}
CODE_TASKS: Final = {"mbpp", "human_eval"}
EXAM_TASKS: Final = {"openbook_qa", "arc_challenge", "commonsense_qa", "mmlu", "natural_qa", "trivia_qa"}


@dataclass(frozen=True)
class Example:
    """One request body with the kind it is, where it is from, and a group never split between folds."""

    body: dict[str, Any]
    kind: str
    source: str
    group: str
    weight: float = 1.0


def task_of_kind(kind: str) -> str:
    """The shipped class of a learned kind."""
    return kind.partition(".")[0]


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The JSON lines of a gzip file."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def _prompt(text: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}]}


def load_examples(data: Path, seed: int) -> list[Example]:
    """Examples of every source; those named ``…_other`` are for scoring only."""
    rng = random.Random(seed)
    types, outcomes = data / "task_types", data / "routing_outcomes"
    out = [*_dolly(types), *_p3(types), *_small(types, rng)]
    out += _plain(types / "bbh.dev.jsonl.gz", "bbh", "reasoning", rng, 1800, group="label")
    out += _plain(types / "gsm8k_train.dev.jsonl.gz", "gsm8k", "math", rng, 900)
    out += _plain(
        types / "clinc150_train_val.dev.jsonl.gz", "clinc", "conversation", rng, 1200, group="label"
    )
    out += _plain(types / "banking77_train.dev.jsonl.gz", "banking", "conversation", rng, 500, group="label")
    out += _outcomes(outcomes, rng)
    out += _tools(data, rng)
    out += _agents(data, rng)
    return out


def _plain(
    path: Path, source: str, kind: str, rng: random.Random, count: int, group: str = "id"
) -> Iterator[Example]:
    rows = read_rows(path)
    for row in rng.sample(rows, min(count, len(rows))):
        actual = kind
        if source == "clinc" and row["label"] == "translate":
            actual = "translation"
        if source == "bbh" and "arithmetic" in row["label"]:
            actual = "math"
        yield Example(_prompt(row["text"]), actual, source, f"{source}:{row[group]}", 0.7)


def _dolly(types: Path) -> Iterator[Example]:
    for row in read_rows(types / "dolly_6400.dev.jsonl.gz"):
        yield Example(_prompt(row["text"]), DOLLY[row["label"]], "dolly", f"dolly:{row['key_sha']}", 1.5)


def _p3(types: Path) -> Iterator[Example]:
    for row in read_rows(types / "p3_prompts.dev.jsonl.gz"):
        template = row["template"]
        kind = "open_qa.exam" if template.startswith(CLOSED_BOOK_P3) else P3[row["label"]]
        if template.startswith("trec"):
            kind = "classification"
        source = "p3" if template.startswith(OPEN_P3) else "p3_other"
        yield Example(_prompt(row["text"]), kind, source, f"p3:{template}", 0.7)


def _small(types: Path, rng: random.Random) -> Iterator[Example]:
    """Arena (code, math, creative), IFEval (writing) and the self-instruct seeds."""
    arena = {"coding": "code", "math": "math"}
    for row in read_rows(types / "arena_hard_v2.dev.jsonl.gz"):
        kind = arena.get(row.get("subcategory") or "", "generation")
        yield Example(_prompt(row["text"]), kind, "arena_hard", f"arena:{row['id']}")
    for row in read_rows(types / "ifeval.dev.jsonl.gz"):
        kind = _ifeval_kind(row["text"])
        if kind is not None:
            yield Example(_prompt(row["text"]), kind, "ifeval", f"ifeval:{row['id']}")
    for row in read_rows(types / "self_instruct_seed.dev.jsonl.gz"):
        if row["label"] == "classification":
            yield Example(_prompt(row["text"]), "classification", "self_instruct", f"si:{row['id']}")


def _ifeval_kind(text: str) -> str | None:
    """IFEval has no task labels: its opening verb says the kind, or it is left out."""
    opening = text.lower().split()[:3]
    if any(word in {"itinerary", "plan", "schedule"} for word in text.lower().split()[:8]):
        return "planning"
    if opening[:1] in (["rewrite"], ["rephrase"], ["paraphrase"], ["improve"]):
        return "rewriting"
    if opening[:1] in (["summarize"], ["summarise"]):
        return "summarization"
    if opening[:1] in (["write"], ["create"], ["compose"], ["draft"]):
        return "generation"
    return None


def _outcomes(folder: Path, rng: random.Random) -> Iterator[Example]:
    for row in rng.sample(read_rows(folder / "mmlu_pro.dev.jsonl.gz"), 1000):
        kind = "math" if row["task"].endswith("math") else "open_qa.exam"
        yield Example(_prompt(with_options(row, rng)), kind, "mmlu_pro", f"mmlu:{row['id']}", 0.5)
    for row in rng.sample(read_rows(folder / "llmrouter.dev.jsonl.gz"), 2400):
        task = row["task"]
        kind = "math" if task in MATH_TASKS else "code" if task in CODE_TASKS else "open_qa.exam"
        kind = {"agentverse-logicgrid": "reasoning", "commongen": "generation"}.get(task, kind)
        kind = "open_qa" if task in {"natural_qa", "trivia_qa"} else kind
        yield Example(_prompt(row["prompt"]), kind, "llmrouter", f"llmrouter:{row['id']}", 0.5)
    for name, kind in (("crux", "code"), ("math_l5", "math")):
        for row in rng.sample(read_rows(folder / f"zeroeval_{name}.dev.jsonl.gz"), 250):
            yield Example(_prompt(row["prompt"]), kind, name, f"{name}:{row['id']}", 0.5)


def with_options(row: dict[str, Any], rng: random.Random) -> str:
    """The question, in half the cases with its lettered options."""
    options = row.get("options")
    if not options or rng.random() < 0.5:
        return str(row["prompt"])
    lines = [f"{chr(65 + i)}. {option}" for i, option in enumerate(options)]
    return "\n".join([row["prompt"], *lines])


def _tools(data: Path, rng: random.Random) -> Iterator[Example]:
    rows = read_rows(data / "tool_calls" / "bfcl_v4_live_multiturn.dev.jsonl.gz")
    for row in rng.sample(rows, 1400):
        if row["category"] == "live_irrelevance":
            continue
        tools = [{"type": "function", "function": tool} for tool in (row.get("tools") or [])][:20]
        turns = row["messages"][: rng.randint(1, max(1, len(row["messages"])))]
        messages = [message for turn in turns for message in turn]
        if not messages or messages[-1]["role"] != "user" or not tools:
            continue
        yield Example({"messages": messages, "tools": tools}, "tool_use", "bfcl_v4", f"bfcl:{row['id']}", 0.7)


def _agents(data: Path, rng: random.Random) -> Iterator[Example]:
    rows = read_rows(data / "agent_sessions" / "agent_sessions.dev.jsonl.gz")
    for row in rng.sample(rows, 500):
        if not row["input"].strip():
            continue
        kind = AGENT_KINDS.get(row["agent"], "conversation")
        group = (
            f"agents:{row['session']}"
            if row["agent"] == "taubench"
            else f"agents:{row['agent']}{rng.randrange(5)}"
        )
        weight = 0.5 if row["agent"] == "taubench" else 0.1
        yield Example(_prompt(row["input"]), kind, "agents", group, weight)


def passages(data: Path) -> list[str]:
    """Paragraphs of 250 to 2,500 characters to paste into requests (Dolly replies)."""
    rows = read_rows(data / "task_types" / "dolly_6400.dev.jsonl.gz")
    return [row["response"] for row in rows if 250 <= len(row["response"]) <= 2500]


def utterances(data: Path) -> tuple[list[str], list[str]]:
    """(customer messages, single sentences) to paste into requests."""
    types = data / "task_types"
    messages = [row["text"] for row in read_rows(types / "banking77_train.dev.jsonl.gz")]
    messages += [row["text"] for row in read_rows(types / "clinc150_train_val.dev.jsonl.gz")]
    replies = [row["response"] for row in read_rows(types / "dolly_6400.dev.jsonl.gz")]
    return messages, [text.split("\n")[0] for text in replies if 30 <= len(text.split("\n")[0]) <= 200]
