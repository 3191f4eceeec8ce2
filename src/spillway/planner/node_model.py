"""Prefill and decode speed, memory and slots of one node from bandwidth, compute and model size.

A roofline with the overheads that real engines show. A pass of ``n`` tokens reads the weights these touch
and pays a launch cost per layer. A decode step of ``n`` sequences is such a pass, every sequence's cache
once, and a column for each but the first; a prompt is a pass for each chunk, its multiplications and
attention. The coefficients are fitted on public measurements by ``training/node_model/fit.py`` and stand
in ``catalogue/fit.json``;
``docs/reference/node-model.md`` publishes how far they are off on machines the fit has not seen.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from importlib.resources import files
from typing import Literal, get_args

from spillway.vocabulary import Grade

__all__ = [
    "FAMILIES",
    "MOST_SLOTS",
    "BatchError",
    "Family",
    "Fit",
    "Machine",
    "ModelShape",
    "NodeModel",
    "batch_key",
    "cache_bytes_from_params",
    "infer_family",
    "layers_from_params",
    "load_fit",
]

Family = Literal["nvidia-gddr", "nvidia-hbm", "nvidia-unified", "apple", "amd-unified"]
"""Machines that share efficiencies: by who makes the compute units and what memory feeds them."""

FAMILIES: tuple[Family, ...] = get_args(Family)

GB = 1e9
MOST_SLOTS = 256
"""Sequences at once beyond which no estimate counts (guess: as many as engines usually take)."""
CHUNK_TOKENS = 512
"""Prompt tokens one prefill pass takes; the default of llama.cpp's ``--ubatch-size``."""
MEMORY_SHARE = 0.9
"""Share of the memory that weights and cache may fill; vLLM's default."""
APPLE_SHARES = ((24, 0.74), (48, 0.78), (96, 0.81), (192, 0.84), (256, 0.87), (math.inf, 0.90))
"""What Metal lets the GPU have of a Mac's memory, up to so many GB: ``recommendedMaxWorkingSetSize`` as
llama.cpp logs it on macOS 26 with 16, 24, 32, 36, 48, 64, 128 and 512 GB (measured; those between derived).
Older systems allow two thirds up to 36 GB and three quarters above. ``iogpu.wired_limit_mb`` raises it."""
APPLE_BANDWIDTHS_GB_S = (68.25, 100, 120, 150, 153.6, 200, 273, 300, 400, 410, 546, 800, 819)
"""Memory bandwidths of Apple's chips from M1 to M4 with Pro, Max and Ultra, and of M5 (vendor)."""
SAME_BANDWIDTH_RATIO = 0.01
SHARED_RATIO = 0.36
"""Share of a mixture's active parameters that every token uses: attention and the output layer (derived from
the layer sizes of gpt-oss 20B, 120B and Qwen3 30B-A3B, whose shares are 0.34, 0.30 and 0.45)."""


NOVELTY_RATIO = 0.5
"""Draws of experts that each further token of a pass adds to those of the first: tokens choose alike
(derived, ``training/node_model``)."""


@dataclass(frozen=True)
class Machine:
    """The three figures of a machine that decide its speed, and its memory.

    ``tflops`` is the FP16 rate of the general units as spec sheets list it (not the tensor-core figure).
    ``memory_gb`` is ``None`` when unknown; slots are then unknown too.
    """

    family: Family
    bandwidth_gb_s: float
    tflops: float
    memory_gb: float | None = None

    @property
    def usable_share(self) -> float:
        """Share of the memory that weights and cache may fill, 0–1; that of the largest where unknown."""
        if self.family != "apple":
            return MEMORY_SHARE
        memory_gb = math.inf if self.memory_gb is None else self.memory_gb
        return next(share for up_to_gb, share in APPLE_SHARES if memory_gb <= up_to_gb)


@dataclass(frozen=True)
class ModelShape:
    """One model at one quantisation.

    ``active_params_b`` and ``weights_gb`` differ in meaning for mixtures of experts: all weights must fit,
    but one token reads only the active share. ``layers`` is derived from the size where it is not known.
    """

    params_b: float
    weights_gb: float
    kv_bytes_per_token: float
    active_params_b: float | None = None
    is_moe: bool = False
    layers: int | None = None
    is_quantised: bool = True

    @property
    def active_b(self) -> float:
        """Billions of parameters one token multiplies with."""
        return self.active_params_b or self.params_b

    @property
    def active_ratio(self) -> float:
        """Share of the weights one token reads, 0–1."""
        return min(1.0, self.active_b / self.params_b)

    @property
    def layer_count(self) -> float:
        """Layers, as given or as models of this size usually have."""
        return float(self.layers) if self.layers else layers_from_params(self.active_b)

    def read_gb(self, tokens: float) -> float:
        """Weight gigabytes that a pass of so many tokens touches, of one sequence or of many.

        What every token of a mixture uses is read once. Experts are drawn: each draw leaves the same share
        of them untouched, and a further token is less than a draw.
        """
        if not self.is_moe:
            return self.weights_gb * self.active_ratio
        shared_b = SHARED_RATIO * self.active_b
        experts_b = self.params_b - shared_b
        draws = 1.0 + NOVELTY_RATIO * (tokens - 1.0)
        untouched_ratio = (self.params_b - self.active_b) / experts_b
        return float(
            self.weights_gb * (shared_b + experts_b * (1.0 - untouched_ratio**draws)) / self.params_b
        )


def layers_from_params(params_b: float) -> float:
    """Layers a dense transformer of that size has: 32 at 8 B, 80 at 70 B, and a power law between."""
    return float(32.0 * (params_b / 8.03) ** 0.42)


def cache_bytes_from_params(params_b: float) -> float:
    """Bytes of 16-bit cache per token that a dense transformer of that size has; they grow as layers do."""
    return float(131_072.0 * (params_b / 8.03) ** 0.42)


@dataclass(frozen=True)
class BatchError:
    """How far the speed of a batch is off on average, and in words which batches that is the mean of."""

    ratio: float
    basis: str


def batch_key(family: Family, *, is_moe: bool) -> str:
    """The name under which the error of a batch stands."""
    return f"{family}:{'mixture' if is_moe else 'dense'}"


@dataclass(frozen=True)
class Fit:
    """Fitted coefficients; ``terms`` maps a name such as ``weights:apple`` to its value.

    Decode, in milliseconds a step: ``weights`` per GB over TB/s (1 = every byte at the listed bandwidth),
    ``layer`` per layer, ``expert_layer`` per layer of a mixture, ``unpack`` per GFLOP-ratio of quantised
    weights, ``cache`` and ``cache_compute`` per GB of cache read. Prefill: ``quantised`` and ``float`` per
    GFLOP over TFLOPS, ``attention`` per GB·token. Each further sequence of a batch: ``column`` in prompt
    tokens, ``batch_cache`` its cache per GB over TB/s. Mixtures: ``experts`` is how much longer the weights
    take that only further tokens of a pass touch, ``grouping`` what a pass of several tokens costs on top, as
    a share of one token's weights, ``moe_exponent`` how prompts slow down with all over active parameters.
    """

    terms: Mapping[str, float]
    prefill_exponents: tuple[float, float]
    """NVIDIA only: prefill speed grows as ``tflops ** a · bandwidth ** b``, since the listed rate is not
    that of the tensor cores which do the work."""
    decode_error_ratio: float
    """Mean absolute error of decode speed of one sequence on machines left out of the fit."""
    mixture_decode_error_ratio: float
    """The same of mixtures alone; on the machine that has no peer, each model left out in turn."""
    prefill_error_ratio: float
    """The same of prefill speed, of prompts of 512 tokens and more on dense models."""
    short_prefill_error_ratio: float
    """Of shorter prompts on dense models, on the one machine where they were measured."""
    mixture_prefill_error_ratio: float
    """Of mixtures left out one by one, on three machines that the fit has seen, whatever the length."""
    batch_errors: Mapping[str, BatchError]
    """Of several sequences at once, by :func:`batch_key`."""

    def term(self, name: str, family: Family) -> float:
        """The coefficient of that name for the family, or the one all families share, or 0."""
        return self.terms.get(f"{name}:{family}", self.terms.get(name, 0.0))


@lru_cache(maxsize=1)
def load_fit() -> Fit:
    """The coefficients shipped with the package."""
    text = files("spillway.planner.catalogue").joinpath("fit.json").read_text("utf-8")
    raw = json.loads(text)
    return Fit(
        terms=raw["terms"],
        prefill_exponents=(raw["prefill_exponents"][0], raw["prefill_exponents"][1]),
        decode_error_ratio=raw["errors"]["decode_mean_absolute_ratio"],
        mixture_decode_error_ratio=raw["errors"]["mixture_decode_mean_absolute_ratio"],
        prefill_error_ratio=raw["errors"]["prefill_mean_absolute_ratio"],
        short_prefill_error_ratio=raw["errors"]["short_prefill_mean_absolute_ratio"],
        mixture_prefill_error_ratio=raw["errors"]["mixture_prefill_mean_absolute_ratio"],
        batch_errors={key: BatchError(**found) for key, found in raw["batch_errors"].items()},
    )


def decode_features(machine: Machine, model: ModelShape, context_tokens: float) -> dict[str, float]:
    """Milliseconds per unit coefficient of one decode step of one sequence; the fit's columns."""
    cache_gb = model.kv_bytes_per_token * context_tokens / GB
    return {
        "weights": 1e3 * model.read_gb(1) / machine.bandwidth_gb_s,
        "layer": model.layer_count,
        "expert_layer": model.layer_count if model.is_moe else 0.0,
        "unpack": model.active_b / machine.tflops if model.is_quantised else 0.0,
        "cache": cache_gb,
        "cache_compute": cache_gb / machine.tflops,
    }


def compute_rate(machine: Machine, exponents: tuple[float, float]) -> float:
    """The TFLOPS that prefill speed is proportional to, on the scale of ``machine.tflops``."""
    if not machine.family.startswith("nvidia"):
        return machine.tflops
    a, b = exponents
    return float(machine.tflops**a * 30.0 ** (1 - a) * (machine.bandwidth_gb_s / 700.0) ** b)


def prefill_features(
    machine: Machine, model: ModelShape, mean_context_tokens: float, exponents: tuple[float, float]
) -> dict[str, float]:
    """Milliseconds per unit coefficient of one prompt token; the fit's columns."""
    per_token = 2.0 * model.active_b / compute_rate(machine, exponents)
    moe = (1.0 / model.active_ratio) if model.is_moe else 1.0
    return {
        "quantised": per_token if model.is_quantised else 0.0,
        "float": 0.0 if model.is_quantised else per_token,
        "attention": 1e3 * model.kv_bytes_per_token * mean_context_tokens / GB / machine.bandwidth_gb_s,
        "moe_ratio": moe,
    }


@dataclass(frozen=True)
class NodeModel:
    """How long one machine with one model takes; the physics behind ``bench --predict`` and the simulator.

    ``decode_scale`` and ``prefill_scale`` multiply the times and are 1 unless a measurement of this very
    machine corrects the family (then ``grade`` is ``measured``).
    """

    machine: Machine
    model: ModelShape
    fit: Fit
    decode_scale: float = 1.0
    prefill_scale: float = 1.0
    grade: Grade = "derived"

    def calibrated(
        self,
        decode_tok_s: float,
        prefill_tok_s: float | None = None,
        *,
        context_tokens: float = 512.0,
        prompt_tokens: float = 512.0,
        grade: Grade = "measured",
    ) -> NodeModel:
        """The same node with times scaled so that one sequence and one prompt alone run at that speed.

        ``ValueError`` for a speed that is not positive. Without ``prefill_tok_s`` prompts stay as predicted.
        """
        if decode_tok_s <= 0 or (prefill_tok_s is not None and prefill_tok_s <= 0):
            raise ValueError("a speed must be positive")
        decode = replace(self, decode_scale=1.0, grade=grade)
        decode = replace(decode, decode_scale=decode.decode_tok_s(1.0, context_tokens) / decode_tok_s)
        if prefill_tok_s is None:
            return decode
        stated_s = prompt_tokens / prefill_tok_s
        return replace(decode, prefill_scale=stated_s / self._prompt_s(prompt_tokens, 0.0))

    @property
    def pass_s(self) -> float:
        """Seconds of a pass whatever it carries; prompts that are read together share one.

        Of a mixture that is what a single token touches, though longer prompts share more.
        """
        return self.prefill_scale * self.weights_s(1.0)

    def decode_step_s(self, batch: float = 1.0, context_tokens: float = 512.0) -> float:
        """Seconds one step takes that gives each of ``batch`` sequences one token.

        ``context_tokens`` is the mean number of tokens in their caches. No batch takes longer than its
        sequences one after another: an engine that is that bad at mixtures may as well do so.
        """
        columns_s = (batch - 1.0) * self._term("column") * self.prefill_scale * self.token_s
        together_s = self.decode_scale * self.weights_s(batch) + columns_s
        caches_s = context_tokens * (self._cached_s + (batch - 1.0) * self._further_cached_s)
        one_by_one_s = self.decode_scale * batch * self.weights_s(1.0)
        return min(together_s, one_by_one_s) + self.decode_scale * caches_s

    def decode_tok_s(self, batch: float = 1.0, context_tokens: float = 512.0) -> float:
        """Tokens per second of the whole node, all ``batch`` sequences together."""
        return batch / self.decode_step_s(batch, context_tokens)

    def prefill_s(self, prompt_tokens: float, cached_tokens: float = 0.0) -> float:
        """Seconds to read a prompt of which ``cached_tokens`` are already in the cache.

        At least one token is always computed: its output is the first token.
        """
        cached = (
            min(cached_tokens, prompt_tokens - 1.0) if cached_tokens > 0.0 and prompt_tokens > 1.0 else 0.0
        )
        prompt_s = self.prefill_scale * self._prompt_s(max(prompt_tokens - cached, 1.0), cached)
        return max(prompt_s, self.decode_step_s(1.0, cached))

    def passes_s(self, tokens: float) -> float:
        """Seconds that passes over the weights take for so many prompt tokens, before any scale."""
        full = math.ceil(tokens / CHUNK_TOKENS) - 1
        return full * self._full_pass_s + self.weights_s(tokens - full * CHUNK_TOKENS)

    def prefill_tok_s(self, prompt_tokens: float = 512.0, cached_tokens: float = 0.0) -> float:
        """Prompt tokens per second, counting only those not already cached."""
        fresh = max(prompt_tokens - cached_tokens, 1.0)
        return fresh / self.prefill_s(prompt_tokens, cached_tokens)

    def decode_error_ratio(self, batch: float = 1.0) -> float:
        """Mean absolute error of decode speed with so many sequences at once."""
        if batch > 1.0:
            return self.batch_error.ratio
        return self.fit.mixture_decode_error_ratio if self.model.is_moe else self.fit.decode_error_ratio

    @property
    def batch_error(self) -> BatchError:
        """The error of several sequences at once, and what it is the mean of."""
        return self.fit.batch_errors[batch_key(self.machine.family, is_moe=self.model.is_moe)]

    def prefill_error_ratio(self, fresh_tokens: float) -> float:
        """Mean absolute error of the speed at which a prompt with so many tokens to read is read."""
        if self.model.is_moe:
            return self.fit.mixture_prefill_error_ratio
        is_short = fresh_tokens < CHUNK_TOKENS
        return self.fit.short_prefill_error_ratio if is_short else self.fit.prefill_error_ratio

    def cache_tokens(self) -> float | None:
        """Tokens the cache holds altogether; ``None`` without a known memory, 0 when weights do not fit."""
        if self.machine.memory_gb is None:
            return None
        free_gb = self.machine.memory_gb * self.machine.usable_share - self.model.weights_gb
        if free_gb <= 0:
            return 0.0
        return free_gb * GB / self.model.kv_bytes_per_token

    def slots(self, tokens_per_sequence: float, limit: int = MOST_SLOTS) -> int | None:
        """Sequences of that length the memory holds at once, at most ``limit``; ``None`` when unknown."""
        tokens = self.cache_tokens()
        if tokens is None:
            return None
        return min(limit, int(tokens // max(tokens_per_sequence, 1.0)))

    def _prompt_s(self, fresh: float, cached: float) -> float:
        """Seconds to read so many tokens behind those in the cache, before any scale."""
        passes = math.ceil(fresh / CHUNK_TOKENS)
        pairs_s = fresh * (cached + fresh / 2.0) * self.attention_s
        attention_s = max(pairs_s, passes * cached * self._cached_s)
        return self.passes_s(fresh) + (fresh - passes) * self.token_s + attention_s

    def weights_s(self, tokens: float) -> float:
        """Seconds a pass needs for the weights that so many tokens touch, before their multiplications."""
        first_gb = self.model.read_gb(1.0)
        if not self.model.is_moe:
            return self._launch_s + first_gb * self._gigabyte_s
        further_gb = self.model.read_gb(tokens) - first_gb
        grouped_gb = min(max(tokens - 1.0, 0.0), 1.0) * first_gb
        paid_gb = first_gb + self._term("grouping") * grouped_gb + self._term("experts") * further_gb
        return self._launch_s + paid_gb * self._gigabyte_s

    @cached_property
    def _full_pass_s(self) -> float:
        return self.weights_s(CHUNK_TOKENS)

    @cached_property
    def _gigabyte_s(self) -> float:
        return self._term("weights") / self.machine.bandwidth_gb_s

    @cached_property
    def _launch_s(self) -> float:
        """Seconds of a pass that no token and no byte adds to."""
        f = decode_features(self.machine, self.model, 0.0)
        return sum(self._term(name) * f[name] for name in ("layer", "expert_layer", "unpack")) / 1e3

    @cached_property
    def _cached_s(self) -> float:
        """Seconds to read one token's cache: never less than its bytes take at the bandwidth weights get."""
        f = decode_features(self.machine, self.model, 1.0)
        cache_ms = self._term("cache") * f["cache"] + self._term("cache_compute") * f["cache_compute"]
        return max(cache_ms / 1e3, f["cache"] * self._gigabyte_s)

    @cached_property
    def _further_cached_s(self) -> float:
        """The same of each further sequence of a batch; engines that batch read caches at full width."""
        if not self._term("batch_cache"):
            return self._cached_s
        cache_gb = self.model.kv_bytes_per_token / GB
        return min(self._cached_s, self._term("batch_cache") * cache_gb / self.machine.bandwidth_gb_s)

    @cached_property
    def attention_s(self) -> float:
        """Seconds of one prompt token for each token before it."""
        return self._term("attention") * self._prefill_columns(1.0)["attention"] / 1e3

    def _term(self, name: str) -> float:
        return self.fit.term(name, self.machine.family)

    def _prefill_columns(self, mean_context: float) -> dict[str, float]:
        return prefill_features(self.machine, self.model, mean_context, self.fit.prefill_exponents)

    @cached_property
    def token_s(self) -> float:
        """Seconds of pure multiplication one more prompt token costs, before any scale."""
        f = self._prefill_columns(0.0)
        moe = math.pow(f["moe_ratio"], self._term("moe_exponent"))
        base_ms = self._term("quantised") * f["quantised"] + self._term("float") * f["float"]
        return base_ms * moe / 1e3


def infer_family(bandwidth_gb_s: float, tflops: float) -> Family:
    """The family two figures suggest when nobody names it; an inference, so say that it was one.

    A Mac is known by a bandwidth that Apple's chips have, with 20 to 55 GB/s per TFLOPS; unified-memory boxes
    pair much compute with less than 300 GB/s; above 1,050 GB/s there is HBM, and one generation of GDDR that
    comes with more TFLOPS.
    """
    per_tflops = bandwidth_gb_s / tflops
    is_apples = any(abs(bandwidth_gb_s / own - 1) <= SAME_BANDWIDTH_RATIO for own in APPLE_BANDWIDTHS_GB_S)
    if is_apples and 20 <= per_tflops <= 55:
        return "apple"
    if bandwidth_gb_s < 300 and tflops >= 29:
        return "amd-unified" if tflops >= 45 else "nvidia-unified"
    least_of_hbm = 21 if bandwidth_gb_s < 1400 else 19
    is_hbm = bandwidth_gb_s >= 1900 or (bandwidth_gb_s >= 1050 and per_tflops >= least_of_hbm)
    return "nvidia-hbm" if is_hbm else "nvidia-gddr"
