"""Train the demo model, fixed steps and seed: `python -m training.shop_model.train --out DIR`."""

import argparse
import dataclasses
import json
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn.functional import cross_entropy

from spillway.demo import shop
from training.shop_model import vocabulary
from training.shop_model.network import Shape, ShopModel

DECIDING_AT = (3, -3)
"""Where in a tokenized answer the intent's first token and the urgency stand."""
CORPUS_MESSAGES = 20_000
POOL_MESSAGES = 8_192
"""Messages drawn and sorted by length at a time, so that a batch pads little."""


@dataclass(frozen=True)
class Plan:
    """What decides the outcome of a run, apart from the torch build."""

    steps: int
    batch: int = 24
    seed: int = 1
    matrix_rate: float = 0.012
    matrix_decay: float = 0.2
    other_rate: float = 3e-3
    warmup_steps: int = 100
    decay_ratio: float = 0.7
    copy_until_ratio: float = 0.15
    copy_floor: float = 0.04
    deciding_weight: float = 3.0


@dataclass(frozen=True)
class Example:
    """Token ids and, for each, how much predicting it counts (0: not at all)."""

    ids: list[int]
    weights: list[float]


def encode_turns(
    tokenizer: Tokenizer, system: str | None, turns: list[tuple[str, str]], deciding_weight: float = 1.0
) -> Example:
    """A conversation in the model's chat form, in which the answers and their end marks count.

    In an answer the intent's first token and the urgency take understanding and count `deciding_weight`; most
    others are copied or always the same.
    """
    ids: list[int] = []
    weights: list[float] = []

    def add(text: str) -> int:
        piece = tokenizer.encode(text, add_special_tokens=False).ids
        ids.extend(piece)
        weights.extend([0.0] * len(piece))
        return len(piece)

    if system is not None:
        add(f"{vocabulary.START}system\n{system}{vocabulary.END}\n")
    for asked, answered in turns:
        add(f"{vocabulary.START}user\n{asked}{vocabulary.END}\n{vocabulary.START}assistant\n")
        answer_tokens = add(f"{answered}{vocabulary.END}")
        weights[-answer_tokens:] = [1.0] * answer_tokens
        if answer_tokens > DECIDING_AT[0]:
            for at in DECIDING_AT:
                weights[len(weights) - (answer_tokens if at >= 0 else 0) + at] = deciding_weight
        add("\n")
    return Example(ids[:-1], weights[:-1])


def shop_examples(tokenizer: Tokenizer, seed: int, count: int, deciding_weight: float) -> list[Example]:
    """Conversations of one turn, rarely two; some with the system message."""
    rng = random.Random(seed)
    drawn = shop.training_messages(seed, count * 2)
    examples: list[Example] = []
    while len(examples) < count:
        taken = [drawn.pop() for _ in range(2 if rng.random() < 0.05 else 1)]
        turns = [(message.text, shop.answer_text(message.answer)) for message in taken]
        system = shop.SYSTEM_PROMPT if rng.random() < 0.15 else None
        examples.append(encode_turns(tokenizer, system, turns, deciding_weight))
    return examples


def copy_example(rng: random.Random, tokenizer: Tokenizer) -> Example:
    """Made-up text that the assistant repeats: teaches looking back before there is anything to understand.

    One half is random tokens, the other made-up words between spaces, as items are spelled.
    """
    if rng.random() < 0.5:
        text = " ".join(shop.invented_word(rng) for _ in range(rng.randint(2, 5)))
        return encode_turns(tokenizer, None, [(text, text)])
    first, end = len(vocabulary.SPECIALS), tokenizer.get_vocab_size()
    noise = [rng.randrange(first, end) for _ in range(rng.randint(6, 14))]
    frame = encode_turns(tokenizer, None, [("", "")])
    answer_at = frame.weights.index(1.0)
    user_at = 3
    ids = [*frame.ids[:user_at], *noise, *frame.ids[user_at:answer_at], *noise, frame.ids[answer_at]]
    return Example(ids, [0.0] * (len(ids) - len(noise) - 1) + [1.0] * (len(noise) + 1))


def batches(tokenizer: Tokenizer, plan: Plan) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Endless (ids, targets, weights); early ones are mostly copying."""
    rng = random.Random(plan.seed)
    step = 0
    for pool_index in range(1_000_000):
        pool = shop_examples(
            tokenizer, plan.seed * 1_000_003 + pool_index, POOL_MESSAGES, plan.deciding_weight
        )
        pool.sort(key=lambda example: len(example.ids))
        chunks = [pool[at : at + plan.batch] for at in range(0, len(pool), plan.batch)]
        rng.shuffle(chunks)
        for chunk in chunks:
            copy_share = max(plan.copy_floor, 0.8 * (1 - step / (plan.steps * plan.copy_until_ratio)))
            if rng.random() < copy_share:
                yield padded([copy_example(rng, tokenizer) for _ in range(plan.batch)])
            else:
                yield padded(chunk)
            step += 1


def padded(examples: list[Example]) -> tuple[Tensor, Tensor, Tensor]:
    """Inputs, next-token targets and their weights, each (batch, longest - 1)."""
    longest = max(len(example.ids) for example in examples)
    ids = torch.zeros(len(examples), longest, dtype=torch.long)
    weights = torch.zeros(len(examples), longest)
    for row, example in enumerate(examples):
        ids[row, : len(example.ids)] = torch.tensor(example.ids)
        weights[row, : len(example.ids)] = torch.tensor(example.weights)
    return ids[:, :-1], ids[:, 1:], weights[:, 1:]


def answer_loss(model: ShopModel, ids: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    """Weighted cross-entropy per counting token; the output layer runs only where tokens count."""
    counts = weights > 0
    each = cross_entropy(model.logits(model(ids)[counts]), targets[counts], reduction="none")
    return (each * weights[counts]).sum() / counts.sum()


def optimizers(model: ShopModel, plan: Plan) -> list[torch.optim.Optimizer]:
    """Muon for the blocks' matrices, AdamW for embeddings and norms."""
    matrices = [p for name, p in model.named_parameters() if p.ndim == 2 and name.startswith("blk.")]
    others = [p for name, p in model.named_parameters() if p.ndim != 2 or not name.startswith("blk.")]
    return [
        torch.optim.Muon(matrices, lr=plan.matrix_rate, weight_decay=plan.matrix_decay),
        torch.optim.AdamW(others, lr=plan.other_rate, betas=(0.9, 0.98), weight_decay=0.0),
    ]


def rate_ratio(step: int, plan: Plan) -> float:
    """Learning rate as a share of its peak: warm-up, plateau, linear decay to nothing."""
    decay_steps = plan.steps * plan.decay_ratio
    return min(1.0, (step + 1) / plan.warmup_steps, (plan.steps - step) / decay_steps)


def train(plan: Plan, shape: Shape, tokenizer: Tokenizer, out: Path) -> None:
    """A checkpoint in `out` after the last step, and one on the way every thousand steps."""
    torch.manual_seed(plan.seed)
    torch.set_num_threads(1)
    model = ShopModel(shape)
    optimizing = optimizers(model, plan)
    peaks = [group["lr"] for optimizer in optimizing for group in optimizer.param_groups]
    print(f"{sum(p.numel() for p in model.parameters()):,} parameters, {plan}", flush=True)
    started_s = time.monotonic()
    tokens, loss_sum = 0, 0.0
    for step, batch in zip(range(plan.steps), batches(tokenizer, plan), strict=False):
        groups = [group for optimizer in optimizing for group in optimizer.param_groups]
        for group, peak in zip(groups, peaks, strict=True):
            group["lr"] = peak * rate_ratio(step, plan)
        loss = answer_loss(model, *batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in optimizing:
            optimizer.step()
            optimizer.zero_grad()
        tokens += batch[0].numel()
        loss_sum += loss.item()
        if (step + 1) % 100 == 0:
            spent_s = time.monotonic() - started_s
            speed = f"{tokens / spent_s:,.0f} tok/s {spent_s:.0f} s"
            print(f"step {step + 1} loss {loss_sum / 100:.4f} {speed}", flush=True)
            loss_sum = 0.0
        if (step + 1) % 1000 == 0 or step + 1 == plan.steps:
            save(model, plan, out)


def save(model: ShopModel, plan: Plan, out: Path) -> None:
    """Weights, shape and plan in `out`."""
    torch.save(model.state_dict(), out / "weights.pt")
    record = {"shape": dataclasses.asdict(model.shape), "plan": dataclasses.asdict(plan)}
    (out / "run.json").write_text(json.dumps(record, indent=1))


def main() -> None:
    """Parse the arguments, build the tokenizer, train."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--hidden", type=int, default=384)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    drawn = shop.training_messages(0, CORPUS_MESSAGES, invented_ratio=0.1)
    corpus = [part for m in drawn for part in (m.text, shop.answer_text(m.answer))]
    frame = [f"system\n{shop.SYSTEM_PROMPT}", "user\n", "assistant\n"]
    tokenizer = vocabulary.build([*corpus, *frame * 2000])
    tokenizer.save(str(arguments.out / "tokenizer.json"))
    heads = arguments.width // 32
    shape = Shape(
        vocabulary=tokenizer.get_vocab_size(),
        width=arguments.width,
        heads=heads,
        kv_heads=heads,
        hidden=arguments.hidden,
    )
    train(Plan(steps=arguments.steps), shape, tokenizer, arguments.out)


if __name__ == "__main__":
    main()
