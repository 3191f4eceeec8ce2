"""What goes into one run of the simulator and what comes out of it, however it is carried out."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spillway.planner.events import Pace
from spillway.planner.workload import Floats, Ints, Workload
from spillway.slo.lengths import MOST_FORMS, NO_FORM
from spillway.slo.pace import CHUNK_TOKENS

__all__ = ["Arrivals", "Fleet", "Played"]


@dataclass(frozen=True)
class Fleet:
    """Equal nodes: how fast, how many, how many sequences each works on, and what they may hold."""

    pace: Pace
    nodes: int
    slots: int
    cache_tokens: float = math.inf
    """What all sequences of a node may hold together."""
    context_tokens: float = math.inf
    """What one of them may, prompt and answer."""
    has_prefix_cache: bool = True
    """Whether the workload's cached tokens are taken as cached on the nodes too."""


@dataclass(frozen=True)
class Arrivals:
    """A workload as one fleet sees it; all arrays have one entry per request."""

    time_s: Floats
    prompt_tokens: Ints
    output_tokens: Ints
    cached_tokens: Ints
    last_answer_tokens: Ints
    mean_answer_tokens: Floats
    """Of the conversation's answers before; 0 where there was none or nobody knows."""
    form: Ints
    """Number of the kind with a form that ``slo.lengths`` counts it in, or its ``NO_FORM``."""
    prefill_s: Floats
    """Seconds to read the prompt on an idle node."""
    chunks: Ints
    """Passes over the weights that reading it takes."""
    cloud_first_s: Floats
    """Seconds a cloud would take to the first token."""

    @classmethod
    def of(cls, workload: Workload, fleet: Fleet, cloud_first_s: Floats | None = None) -> Arrivals:
        """The arrivals of ``workload`` at ``fleet``; each pair of prompt and cached tokens is timed once."""
        prompt, cached = workload.input_tokens, workload.cached_tokens
        if cached is None or not fleet.has_prefix_cache:
            cached = np.zeros(len(workload), dtype=np.int32)
        last, mean = workload.last_answer_tokens, workload.mean_answer_tokens
        fresh = np.maximum(prompt - cached, 1)
        chunks = -(-fresh // CHUNK_TOKENS)
        return cls(
            workload.time_s,
            prompt,
            workload.output_tokens,
            cached,
            np.zeros(len(workload), dtype=np.int32) if last is None else last,
            np.zeros(len(workload)) if mean is None else mean,
            _forms(workload, prompt, fresh),
            _prefill_s(fleet.pace, prompt, cached),
            chunks.astype(np.int32),
            np.zeros(len(workload)) if cloud_first_s is None else cloud_first_s,
        )

    @property
    def cloud_p95_s(self) -> float:
        """What 95 of 100 first tokens of the cloud take at most; 0 without requests."""
        return float(np.quantile(self.cloud_first_s, 0.95)) if len(self) else 0.0

    def __len__(self) -> int:
        return len(self.time_s)


def _forms(workload: Workload, prompt: Ints, fresh: Ints) -> Ints:
    """Each form with each size of prompt and of what is new in it is a kind; the first ones are told apart.

    Where no source knows a form, the model asked for is one, as it is part of the gateway's.
    """
    form = workload.form
    if form is None and len(workload.models) > 1:
        form = workload.model + 1
    if form is None or not len(workload):
        return np.full(len(workload), NO_FORM, dtype=np.int32)
    sizes = np.floor(2.0 * np.log2(np.maximum(prompt, 1))).astype(np.int64)
    kinds = form.astype(np.int64) << 16 | sizes << 8 | np.log2(fresh).astype(np.int64)
    _, first, place = np.unique(kinds, return_index=True, return_inverse=True)
    turn = np.argsort(np.argsort(first))[place]
    return np.where((form > 0) & (turn < MOST_FORMS), turn, NO_FORM).astype(np.int32)


def _prefill_s(pace: Pace, prompt: Ints, cached: Ints) -> Floats:
    """Seconds to read each prompt alone; asks the pace once for each pair that there is."""
    if not cached.any():
        sizes = np.flatnonzero(np.bincount(prompt))
        seconds = np.zeros(int(sizes[-1]) + 1 if len(sizes) else 0)
        seconds[sizes] = [pace.prefill_s(size, 0) for size in sizes.tolist()]
        return np.asarray(seconds[prompt])
    pairs, place = np.unique(prompt.astype(np.int64) << 32 | cached, return_inverse=True)
    found = [pace.prefill_s(pair >> 32, pair & 0xFFFFFFFF) for pair in pairs.tolist()]
    return np.asarray(np.array(found)[place])


@dataclass(frozen=True)
class Played:
    """What happened: who answered each request, and when; times of those that a node did not answer are 0."""

    choice: NDArray[np.int16]
    """Index of the node first chosen, or ``policies.cloud(reason)``."""
    moved_to: NDArray[np.int16]
    """Index of the node that took it over from the queue of the one chosen; below 0 where none did."""
    first_s: Floats
    end_s: Floats
    asked_s: Floats
    """When a cloud was asked after all, or too; below 0 where the first choice was left at that."""
    fate: NDArray[np.int8]
    """What became of it on the node; one of ``physics``' four."""
    busy_s: tuple[float, ...]
    area_s: tuple[float, ...]
