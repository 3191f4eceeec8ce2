"""Trains the shipped task classifier and prints how good it is on what it never saw.

    python train.py DATA [--out task_model.npz] [--quick]

DATA is the shared data folder. About ten minutes on one core; same seed, same file. Needs numpy, scipy,
scikit-learn (baselines only) and the package itself on the path.
"""

from __future__ import annotations

import argparse
import random
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
from baselines import bag_of_words, keyword_guesses
from export import write_model
from generate import Payloads, attach_passage, own_examples, perturbations, with_tools
from linear import fit_softmax, softmax
from local_ok import PRIORS, cross_validate, fit_local_ok, load_outcomes, outcome_rows, training_rows
from matrix import Row, Vocabulary, featurise
from measures import Array, calibration_error, confusion
from sources import DOLLY, KINDS, LICENCES, Example, load_examples, passages, task_of_kind, utterances

SEED: Final = 20261124
FOLDS: Final = 5
PENALTY: Final = 2.0
PRIOR_EXAMPLES: Final = 6000
PASTED: Final = {
    "closed_qa": 1.0,
    "extraction": 1.0,
    "summarization": 1.0,
    "classification": 0.15,
    "generation": 0.15,
}
"""Share of Dolly's prompts that get a copy with a passage: the data set had one, our copy of it does not."""
TASK_NAMES: Final = tuple(dict.fromkeys(task_of_kind(kind) for kind in KINDS))


def gather(data: Path) -> tuple[list[Example], Payloads]:
    """All examples, our own wordings included."""
    messages, sentences = utterances(data)
    payloads = Payloads(passages(data), messages, sentences)
    return load_examples(data, SEED) + list(own_examples(payloads, SEED)), payloads


def augmented(examples: list[Example], payloads: Payloads, seed: int) -> list[Example]:
    """Extra training copies: passages where Dolly lost them, tools a harness always sends, lower case."""
    rng = random.Random(seed)
    out = []
    for example in examples:
        kind = task_of_kind(example.kind)
        text = example.body["messages"][-1]["content"]
        if example.source == "dolly" and rng.random() < PASTED.get(kind, 0.0):
            out.append(attach_passage(example, payloads, rng))
        if kind != "tool_use" and example.source != "agents" and rng.random() < 0.08:
            out.append(replace(example, body=with_tools(example.body, rng), weight=example.weight * 0.5))
        if isinstance(text, str) and rng.random() < 0.08:
            body = {"messages": [{"role": "user", "content": text.lower().rstrip("?.! ")}]}
            out.append(replace(example, body=body, weight=example.weight * 0.4))
    return out


def folds_of(examples: list[Example]) -> Array:
    """A fold for each example; a group is never split."""
    groups = sorted({example.group for example in examples})
    random.Random(SEED).shuffle(groups)
    fold = {group: i % FOLDS for i, group in enumerate(groups)}
    return np.array([fold[example.group] for example in examples])


def may_train(example: Example) -> bool:
    """Whether the licence lets the example into the shipped weights."""
    return not example.source.endswith("_other")


def fit(
    examples: list[Example], rows: list[Row], vocabulary: Vocabulary | None = None
) -> tuple[Vocabulary, Array, Array]:
    """Vocabulary, coefficients and intercepts of the kinds."""
    vocabulary = vocabulary or Vocabulary(rows, [example.group for example in examples])
    Y = np.zeros((len(rows), len(KINDS)))
    Y[np.arange(len(rows)), [KINDS.index(example.kind) for example in examples]] = 1.0
    weight = np.array([example.weight for example in examples])
    W, b = fit_softmax(vocabulary.rows(rows), Y, weight, PENALTY)
    return vocabulary, W, b


def held_out(examples: list[Example], rows: list[Row], payloads: Payloads) -> Array:
    """Log-odds of every example from a model that saw neither it nor its group."""
    fold = folds_of(examples)
    extra = augmented(examples, payloads, SEED + 1)
    extra_rows = featurise([example.body for example in extra])
    group_fold = {example.group: int(k) for example, k in zip(examples, fold, strict=True)}
    Z = np.zeros((len(examples), len(KINDS)))
    for k in range(FOLDS):
        learn = [i for i, e in enumerate(examples) if fold[i] != k and may_train(e)]
        more = [i for i, e in enumerate(extra) if group_fold[e.group] != k and may_train(e)]
        batch = [examples[i] for i in learn] + [extra[i] for i in more]
        vocabulary, W, b = fit(batch, [rows[i] for i in learn] + [extra_rows[i] for i in more])
        test = np.flatnonzero(fold == k)
        Z[test] = vocabulary.rows([rows[i] for i in test]) @ W + b
        print(f"  fold {k + 1} of {FOLDS}", flush=True)
    return Z


def confidence_features(P: Array) -> tuple[Array, Array, Array]:
    """(likeliest task, likeliest kind, log-odds of the likeliest task)."""
    T = task_probabilities(P)
    top = np.clip(T.max(axis=1), 1e-4, 1 - 1e-4)
    return T.argmax(axis=1), P.argmax(axis=1), np.log(top / (1 - top))


def calibrate(P: Array, examples: list[Example], among: Array) -> Array:
    """(slope, offset) by likeliest kind, from log-odds of the likeliest task to an honest confidence.

    Logistic, fitted on held-out guesses, pulled towards the fit over all kinds where a kind is rare.
    """
    task, kind, odds = confidence_features(P)
    truth = np.array([TASK_NAMES.index(task_of_kind(example.kind)) for example in examples])
    right = (task == truth).astype(float)
    weight = np.array([example.weight for example in examples]) * among
    pooled = _logistic_fit(odds, right, weight, np.array([1.0, 0.0]))
    table = np.tile(pooled, (len(KINDS), 1))
    for k in range(len(KINDS)):
        mask = kind == k
        if mask.any():
            table[k] = _logistic_fit(odds[mask], right[mask], weight[mask], pooled)
    return table


def _logistic_fit(odds: Array, right: Array, weight: Array, centre: Array) -> Array:
    """Slope and offset by Newton's method, with a prior of ten examples around ``centre``."""
    X = np.column_stack([odds, np.ones(len(odds))])
    beta = centre.copy()
    for _ in range(30):
        p = 1 / (1 + np.exp(-np.clip(X @ beta, -30, 30)))
        gradient = X.T @ (weight * (p - right)) + 10 * (beta - centre)
        hessian = (X * (weight * p * (1 - p))[:, None]).T @ X + 10 * np.eye(2)
        beta = beta - np.linalg.solve(hessian, gradient)
    return np.array([max(0.05, beta[0]), beta[1]])


def honest_confidence(P: Array, table: Array) -> Array:
    """The calibrated confidence of each guess."""
    _, kind, odds = confidence_features(P)
    return 1 / (1 + np.exp(-(table[kind, 0] * odds + table[kind, 1])))


def task_probabilities(P: Array) -> Array:
    """Probabilities of the 17 classes from those of the kinds."""
    out = np.zeros((len(P), len(TASK_NAMES)))
    for column, kind in enumerate(KINDS):
        out[:, TASK_NAMES.index(task_of_kind(kind))] += P[:, column]
    return out


def cross_fitted(P: Array, examples: list[Example]) -> Array:
    """Confidences for the report: each half of the groups is calibrated on the other half."""
    half = folds_of(examples) % 2
    open_to = np.array([may_train(example) for example in examples])
    out = np.zeros(len(P))
    for side in (0, 1):
        table = calibrate(P, examples, (open_to & (half != side)).astype(float))
        out[half == side] = honest_confidence(P[half == side], table)
    return out


def report(examples: list[Example], P: Array) -> None:
    """Prints held-out accuracy and calibration by source, then confusion."""
    T = task_probabilities(P)
    truth = np.array([TASK_NAMES.index(task_of_kind(example.kind)) for example in examples])
    guess, confidence = T.argmax(axis=1), cross_fitted(P, examples)
    texts = [str(example.body["messages"][-1]["content"]) for example in examples]
    words = np.array([TASK_NAMES.index(name) for name in keyword_guesses(texts)])
    source = np.array([example.source for example in examples])
    print("\nTask class, held out by group (the keyword classifier's accuracy beside it)")
    for name in [*sorted(set(source)), "all that train"]:
        mask = np.array([may_train(e) for e in examples]) if name == "all that train" else source == name
        right = guess[mask] == truth[mask]
        sure = confidence[mask] >= 0.4
        print(
            f"  {name:15s} n={mask.sum():5d}  accuracy {right.mean():.3f}"
            f"  ECE {calibration_error(confidence[mask], right):.3f}"
            f"  sure {sure.mean():.2f} and then right {right[sure].mean():.3f}"
            f"  keywords {(words[mask] == truth[mask]).mean():.3f}"
            f"  [{LICENCES.get(name, 'see its parts')}]"
        )
    keep = [i for i, e in enumerate(examples) if may_train(e)]
    print("\nConfusion, per cent of the true class, sources that train")
    print(confusion([TASK_NAMES[truth[i]] for i in keep], [TASK_NAMES[guess[i]] for i in keep], TASK_NAMES))


def report_dolly(examples: list[Example], P: Array) -> None:
    """Prints accuracy on Dolly's eight kinds and on the seven classes they become, with baselines."""
    at = [i for i, example in enumerate(examples) if example.source == "dolly"]
    kinds = [KINDS.index(kind) for kind in DOLLY.values()]
    truth = np.array([KINDS.index(examples[i].kind) for i in at])
    Q = P[at][:, kinds]
    Q /= Q.sum(axis=1, keepdims=True)
    guess = np.array(kinds)[Q.argmax(axis=1)]
    merged = [[task_of_kind(KINDS[k]) for k in labels] for labels in (truth, guess)]
    same = np.mean([a == b for a, b in zip(*merged, strict=True)])
    print(f"\nDolly, eight kinds: accuracy {np.mean(guess == truth):.3f}; as seven classes {same:.3f}")
    texts = [examples[i].body["messages"][-1]["content"] for i in at]
    fold = folds_of(examples)[at]
    plain = bag_of_words(texts, truth, fold)
    flat = [[task_of_kind(KINDS[k]) for k in labels] for labels in (truth, plain)]
    print(
        f"  plain bag of words, same folds: {np.mean(plain == truth):.3f}; "
        f"as seven classes {np.mean([a == b for a, b in zip(*flat, strict=True)]):.3f}"
    )


def report_stability(model_guess: object, examples: list[Example]) -> None:
    """Prints how often a change that must not matter changes the class."""
    assert callable(model_guess)
    rng = random.Random(SEED)
    real = [e for e in examples if not e.source.startswith(("own", "agents")) and "tools" not in e.body]
    counts: dict[str, list[int]] = {}
    for example in rng.sample(real, 2000):
        text = str(example.body["messages"][-1]["content"])
        before = model_guess(text)
        for name, changed in perturbations(text, rng).items():
            counts.setdefault(name, []).append(int(model_guess(changed) != before))
    print("\nClass changes under harmless edits, of 2,000 real prompts each")
    for name, changes in counts.items():
        print(f"  {name:18s} {np.mean(changes):.2%}")


def main() -> None:
    """Trains, scores, writes."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, default=Path("task_model.npz"))
    parser.add_argument("--quick", action="store_true", help="skip cross-validation of P(local ok)")
    options = parser.parse_args()
    examples, payloads = gather(options.data)
    rows = featurise([example.body for example in examples])
    print(f"{len(examples)} examples of {len({e.group for e in examples})} groups", flush=True)
    Z = held_out(examples, rows, payloads)
    P = softmax(Z)
    report(examples, P)
    report_dolly(examples, P)
    table = calibrate(P, examples, np.array([float(may_train(example)) for example in examples]))
    guess = train_final(examples, rows, payloads, table, options)
    report_stability(guess, examples)


def train_final(
    examples: list[Example], rows: list[Row], payloads: Payloads, table: Array, options: argparse.Namespace
) -> object:
    """Fits on everything that may train, writes the file and gives back its guess of a text."""
    outcomes = load_outcomes(options.data, SEED)
    their_rows = outcome_rows(outcomes)
    prior_rows, prior = _priors(examples, rows)
    if not options.quick:
        cross_validate(outcomes, their_rows, prior_rows, prior, SEED)
    extra = augmented(examples, payloads, SEED + 1)
    keep = [i for i, example in enumerate(examples) if may_train(example)]
    batch = [examples[i] for i in keep] + [example for example in extra if may_train(example)]
    batch_rows = [rows[i] for i in keep] + featurise([e.body for e in extra if may_train(e)])
    learn, target, weight = training_rows(outcomes, their_rows, prior_rows, prior)
    groups = [example.group for example in batch] + [str(i) for i in range(len(learn))]
    vocabulary = Vocabulary(batch_rows + learn, groups)
    _, W, b = fit(batch, batch_rows, vocabulary)
    w, c = fit_local_ok(vocabulary, learn, target, weight)
    return write_model(options.out, vocabulary, np.column_stack([W, w]), np.append(b, c), table, batch_rows)


def _priors(examples: list[Example], rows: list[Row]) -> tuple[list[Row], Array]:
    """Feature rows and prior shares of classes that no outcome table covers."""
    skip = {"mmlu_pro", "llmrouter", "crux", "math_l5", "gsm8k", "agents"}
    able = [
        i
        for i, e in enumerate(examples)
        if task_of_kind(e.kind) in PRIORS and e.source not in skip and may_train(e)
    ]
    chosen = random.Random(SEED).sample(able, min(PRIOR_EXAMPLES, len(able)))
    return [rows[i] for i in chosen], np.array([PRIORS[task_of_kind(examples[i].kind)] for i in chosen])


if __name__ == "__main__":
    main()
