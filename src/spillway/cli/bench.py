"""``spillway bench``: what a live node does, or what a machine should do by its figures alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from spillway.cli.bench_options import FIGURES, LIVE, BenchOptions
from spillway.cli.options import taking
from spillway.errors import ConfigError
from spillway.slo.pace import CHUNK_TOKENS

if TYPE_CHECKING:
    from spillway.planner.catalogue import CatalogueMachine
    from spillway.planner.node_figures import NodeFigures
    from spillway.planner.node_model import NodeModel

__all__ = ["command"]

NODE = (
    "hardware", "bandwidth_gb_s", "tflops", "memory_gb", "family", "quant", "weights_gb", "params_b",
    "active_params_b", "kv_bytes_per_token",
)  # fmt: skip
"""Options that describe a machine and a model; ``--model`` names one to measure, too."""
SERVING = ("slots", "context_tokens")
"""Options that say how a GGUF file is served while it is measured."""
ALONE = "one sequence, on machines the fit has not seen"
MIXED = (
    "one sequence of mixtures, each machine left out of the fit in turn, or each model where it has no peer"
)


@taking(BenchOptions)
def command(options: BenchOptions) -> None:
    """Measure how fast a node is, or say how fast a machine should be.

    Example: spillway bench http://127.0.0.1:8080 --duration 60

    Example: spillway bench --predict --bandwidth-gb-s 936 --tflops 35.6 --weights-gb 4.92 --json
    """
    if options.url is not None and options.predict:
        raise ConfigError(
            "a URL and --predict exclude each other: a node is measured, or a machine estimated from figures"
        )
    if options.predict:
        _refuse(options.first_named(LIVE), "measuring a node", "an estimate asks none")
        _predict(options)
    elif options.url is not None:
        _refuse(options.first_named(FIGURES), "--predict", "a measurement finds its own figures")
        _refuse_unused(options.url, options)
        from spillway.cli.bench_live import bench_live

        bench_live(options.url, options)
    else:
        raise ConfigError("bench needs the URL of a node, or --predict with figures of a machine and a model")


def _refuse_unused(target: str, options: BenchOptions) -> None:
    """What only a file to serve, or only a node that runs, would use."""
    if "://" in target:
        named = next((each for each in SERVING if options.is_named(each)), None)
        _refuse(named, "serving a GGUF file", "a node that runs has its own")
    else:
        named = "api_key" if options.is_named("api_key") else None
        _refuse(named, "a node that runs", "a GGUF file is served here")
        if not target.endswith(".gguf") and not Path(target).exists():
            raise ConfigError(
                f"{target!r} is neither a URL nor a model file; for a node that runs write http://{target}"
            )


def _refuse(field: str | None, use: str, why: str) -> None:
    """Nothing that was asked for is ignored."""
    if field is not None:
        raise ConfigError(f"--{field.replace('_', '-')} is for {use}; leave it out, {why}")


def _predict(options: BenchOptions) -> None:
    from spillway.planner.node_figures import (
        NodeFigures,
        described_machine,
        described_model,
        refuse_contradictions,
        refuse_too_small,
    )
    from spillway.planner.node_model import NodeModel, load_fit

    figures = NodeFigures(model=options.model, **{each: getattr(options, each) for each in NODE})
    refuse_contradictions(figures)
    listed = _listed(figures)
    machine, model = described_machine(figures, listed), described_model(figures)
    node = NodeModel(machine.figures, model.figures, load_fit())
    refuse_too_small(node, model.name, machine.name)
    _refuse_crowd(node, options, machine.name)
    result = _result(node, options.batch, options.context, _prompt(options), options.cached_tokens)
    result["assumptions"] = [*machine.notes, *model.notes]
    typer.echo(json.dumps(result) if options.as_json else _text(result))


def _listed(figures: NodeFigures) -> CatalogueMachine | None:
    """The machine of the catalogue that was named; ``ConfigError`` when machine or model is not described."""
    from spillway.planner.node_figures import listed_machine

    if figures.hardware is None and (figures.bandwidth_gb_s is None or figures.tflops is None):
        raise ConfigError("--predict needs --bandwidth-gb-s and --tflops, or --hardware")
    listed = None if figures.hardware is None else listed_machine(figures.hardware)
    if figures.model is None and figures.weights_gb is None:
        raise ConfigError("--predict needs --weights-gb, or --model")
    return listed


def _prompt(options: BenchOptions) -> int:
    """Tokens of the prompt; of one that is wholly in the cache the last is read again, as engines do."""
    prompt = options.prompt_tokens or max(options.context, 1)
    if options.cached_tokens > prompt:
        raise ConfigError(
            f"--cached-tokens {options.cached_tokens} is more than the {prompt} tokens of the prompt; lower "
            "it, or give a longer --prompt-tokens"
        )
    return prompt


def _refuse_crowd(node: NodeModel, options: BenchOptions, machine: str) -> None:
    """``ConfigError`` when the memory is known and does not hold so many sequences at once."""
    cache_tokens, longest = node.cache_tokens(), max(options.context, _prompt(options))
    if cache_tokens is not None and options.batch * longest > cache_tokens:
        raise ConfigError(
            f"--batch {options.batch} with {longest:,} tokens each needs a cache of "
            f"{options.batch * longest:,} tokens and the {node.machine.memory_gb:g} GB of {machine} hold "
            f"{int(cache_tokens):,} beside the weights; lower --batch, --context or --prompt-tokens"
        )


def _result(node: NodeModel, batch: int, context: int, prompt: int, cached: int) -> dict[str, Any]:
    """The estimate with what it rests on; ``slots`` is ``None`` without a known memory."""
    total = node.decode_tok_s(batch, context)
    return {
        "decode_tok_s": round(total, 3),
        "prefill_tok_s": round(node.prefill_tok_s(prompt, cached), 3),
        "grade": node.grade,
        "decode_tok_s_per_sequence": round(total / batch, 3),
        "prefill_ms": round(1e3 * node.prefill_s(prompt, cached), 3),
        "batch": batch,
        "context_tokens": context,
        "prompt_tokens": prompt,
        "cached_tokens": cached,
        "slots": node.slots(max(context, prompt)),
        "family": node.machine.family,
        "bandwidth_gb_s": node.machine.bandwidth_gb_s,
        "tflops": node.machine.tflops,
        "memory_gb": node.machine.memory_gb,
        "weights_gb": node.model.weights_gb,
        "params_b": round(node.model.params_b, 2),
        "is_quantised": node.model.is_quantised,
        "kv_bytes_per_token": round(node.model.kv_bytes_per_token),
        "decode_error_ratio": node.decode_error_ratio(batch),
        "decode_error_basis": _decode_basis(node, batch),
        "prefill_error_ratio": node.prefill_error_ratio(prompt - cached),
        "prefill_error_basis": _prefill_basis(node, prompt - cached),
    }


def _decode_basis(node: NodeModel, batch: int) -> str:
    """What the error of decode speed is the mean of."""
    if batch > 1:
        return node.batch_error.basis
    return MIXED if node.model.is_moe else ALONE


def _prefill_basis(node: NodeModel, fresh_tokens: int) -> str:
    """What the error of prefill speed is the mean of."""
    if node.model.is_moe:
        return "prompts of mixtures on four machines, each machine or model left out of the fit in turn"
    if fresh_tokens < CHUNK_TOKENS:
        return f"prompts of fewer than {CHUNK_TOKENS} tokens, on one machine that the fit has seen"
    return f"prompts of {CHUNK_TOKENS} tokens and more, on machines the fit has not seen"


def _text(result: dict[str, Any]) -> str:
    """The estimate for a person."""
    from spillway.planner.node_model import MOST_SLOTS

    lines = [
        f"decode   {result['decode_tok_s']:10,.1f} tok/s  ± {result['decode_error_ratio']:.0%}"
        f"  ({result['batch']} sequence(s), {result['context_tokens']:,} tokens of context)",
        f"prefill  {result['prefill_tok_s']:10,.1f} tok/s  ± {result['prefill_error_ratio']:.0%}"
        f"  ({result['prompt_tokens']:,} prompt tokens, {result['cached_tokens']:,} cached)",
    ]
    if result["slots"] is not None:
        is_all = result["slots"] < MOST_SLOTS
        held = "what the memory holds at that length" if is_all else "or more: no estimate counts further"
        lines.append(f"slots    {result['slots']:10,}        {held}")
    lines += [f"assumed: {note}" for note in result["assumptions"]]
    lines += [f"± of {name}: {result[f'{name}_error_basis']}" for name in ("decode", "prefill")]
    lines.append("grade: derived; ± is a mean error")
    return "\n".join(lines)
