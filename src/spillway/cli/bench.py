"""``spillway bench``: what a live node does, or what a machine should do by its figures alone."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import typer

from spillway.cli.bench_options import BenchOptions
from spillway.cli.options import taking
from spillway.errors import ConfigError

if TYPE_CHECKING:
    from spillway.planner.catalogue import Quant
    from spillway.planner.node_model import Machine, ModelShape, NodeModel

__all__ = ["command"]


@taking(BenchOptions)
def command(options: BenchOptions) -> None:
    """Measure how fast a node is, or say how fast a machine should be.

    Example: spillway bench http://127.0.0.1:8080 --duration 60

    Example: spillway bench --predict --bandwidth-gb-s 936 --tflops 35.6 --weights-gb 4.92 --json
    """
    if options.url is not None and not options.predict:
        from spillway.cli.bench_live import bench_live

        bench_live(options.url, options)
    elif options.url is None and options.predict:
        _predict(options)
    else:
        raise ConfigError("bench needs the URL of a node, or --predict with figures of a machine and a model")


def _predict(options: BenchOptions) -> None:
    from spillway.planner.node_model import NodeModel, load_fit

    machine, machine_note = _machine(options)
    shape, model_note = _model(options)
    node = NodeModel(machine, shape, load_fit())
    prompt = options.prompt_tokens or max(options.context, 1)
    result = _result(node, options.batch, options.context, prompt, min(options.cached_tokens, prompt - 1))
    result["assumptions"] = [note for note in (machine_note, model_note) if note]
    typer.echo(json.dumps(result) if options.as_json else _text(result))


def _machine(options: BenchOptions) -> tuple[Machine, str | None]:
    """The machine asked about, and what had to be assumed of it."""
    from spillway.planner.catalogue import load_machines
    from spillway.planner.node_model import FAMILIES, Machine, infer_family

    key, family = options.hardware, options.family
    bandwidth_gb_s, tflops, memory_gb = options.bandwidth_gb_s, options.tflops, options.memory_gb
    if key is not None:
        machines = load_machines()
        if key not in machines:
            raise ConfigError(
                f"--hardware {key!r} is not in the catalogue; it has {', '.join(sorted(machines))}"
            )
        return machines[key].machine, None
    if bandwidth_gb_s is None or tflops is None:
        raise ConfigError("--predict needs --bandwidth-gb-s and --tflops, or --hardware")
    found = next((known for known in FAMILIES if known == family), None)
    if family is not None and found is None:
        raise ConfigError(f"--family {family!r} is unknown; use one of {', '.join(FAMILIES)}")
    if found is not None:
        return Machine(found, bandwidth_gb_s, tflops, memory_gb), None
    inferred = infer_family(bandwidth_gb_s, tflops)
    note = f"these figures look like {inferred}; --family says otherwise"
    return Machine(inferred, bandwidth_gb_s, tflops, memory_gb), note


def _model(options: BenchOptions) -> tuple[ModelShape, str | None]:
    """The model asked about, and what had to be assumed of it."""
    from spillway.planner.catalogue import load_models, shape_from_size
    from spillway.planner.node_model import ModelShape

    key, kind = options.model, _quant(options.quant)
    weights_gb, kv_bytes_per_token = options.weights_gb, options.kv_bytes_per_token
    params_b, active_params_b = options.params_b, options.active_params_b
    if key is not None:
        models = load_models()
        if key not in models:
            raise ConfigError(f"--model {key!r} is not in the catalogue; it has {', '.join(sorted(models))}")
        return models[key].shape(kind or "q4"), None
    if weights_gb is None:
        raise ConfigError("--predict needs --weights-gb, or --model")
    if params_b is None:
        if active_params_b is not None:
            raise ConfigError("--active-params-b needs --params-b beside it")
        return shape_from_size(weights_gb, kv_bytes_per_token)
    if active_params_b is not None and active_params_b > params_b:
        raise ConfigError("--active-params-b must not exceed --params-b")
    kv = 131_072.0 * (params_b / 8.03) ** 0.42 if kv_bytes_per_token is None else kv_bytes_per_token
    is_quantised = kind != "f16" if kind else weights_gb / params_b < 1.6
    shape = ModelShape(
        params_b,
        weights_gb,
        kv,
        active_params_b,
        is_moe=active_params_b is not None,
        is_quantised=is_quantised,
    )
    note = (
        None if kv_bytes_per_token is not None else f"{kv:.0f} bytes of cache per token, as its size suggests"
    )
    return shape, note


def _quant(name: str | None) -> Quant | None:
    from spillway.planner.catalogue import BYTES_PER_PARAM

    found = next((quant for quant in BYTES_PER_PARAM if quant == name), None)
    if name is not None and found is None:
        raise ConfigError(f"--quant {name!r} is unknown; use one of {', '.join(BYTES_PER_PARAM)}")
    return found


def _result(node: NodeModel, batch: int, context: int, prompt: int, cached: int) -> dict[str, Any]:
    """The estimate with what it rests on; ``slots`` is ``None`` without a known memory."""
    fit = node.fit
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
        "params_b": round(node.model.params_b, 2),
        "is_quantised": node.model.is_quantised,
        "kv_bytes_per_token": round(node.model.kv_bytes_per_token),
        "decode_error_ratio": fit.decode_error_ratio,
        "prefill_error_ratio": fit.prefill_error_ratio,
    }


def _text(result: dict[str, Any]) -> str:
    """The estimate for a person."""
    lines = [
        f"decode   {result['decode_tok_s']:10,.1f} tok/s  ± {result['decode_error_ratio']:.0%}"
        f"  ({result['batch']} sequence(s), {result['context_tokens']:,} tokens of context)",
        f"prefill  {result['prefill_tok_s']:10,.1f} tok/s  ± {result['prefill_error_ratio']:.0%}"
        f"  ({result['prompt_tokens']:,} prompt tokens, {result['cached_tokens']:,} cached)",
    ]
    if result["slots"] is not None:
        lines.append(f"slots    {result['slots']:10,}        what the memory holds at that length")
    lines += [f"assumed: {note}" for note in result["assumptions"]]
    lines.append("grade: derived; ± is the mean error on machines the fit had not seen")
    return "\n".join(lines)
