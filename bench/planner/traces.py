"""Public request traces as workloads: production services, and agents whose sessions overlap."""

from __future__ import annotations

import csv
import gzip
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from spillway.planner.catalogue import load_machines, load_models
from spillway.planner.node_model import NodeModel, load_fit
from spillway.planner.readers import read_workload
from spillway.planner.refusals import work_seconds
from spillway.planner.runs import Arrivals, Fleet
from spillway.planner.workload import Workload
from spillway.vocabulary import Objective

__all__ = ["CASES", "Case"]

CHARS_PER_TOKEN = 4
"""Where a trace holds texts instead of counts (guess)."""
SESSIONS = 600
"""Sessions that run, drawn with replacement from those of the trace."""
SEED = 7


class Call(NamedTuple):
    """One model call of a session."""

    after_s: float
    """Seconds after the session began."""
    input_tokens: int
    output_tokens: int
    cached_tokens: int
    """Of the input, what was there already after the call before."""
    answers: tuple[int, ...] = ()
    """Tokens of the answers that the input repeats."""

    @property
    def repeated(self) -> tuple[int, ...]:
        """Answers that a call repeats which goes on from this one."""
        return (*self.answers, self.output_tokens)


@dataclass(frozen=True)
class Case:
    """One trace with a node that could serve it and what its callers expect."""

    name: str
    read: Callable[[Path], Workload]
    machine: str
    model: str
    slots: int
    objective: Objective

    def fleet(self, nodes: int) -> Fleet:
        """So many of these machines."""
        shape = load_models()[self.model].shape()
        pace = NodeModel(load_machines()[self.machine].machine, shape, load_fit())
        return Fleet(pace, nodes, self.slots, pace.cache_tokens() or 0.0)

    def saturating(self, data: Path, nodes: int, load: float) -> Workload:
        """The trace at such a rate that its work is ``load`` times what the nodes can do, batches full."""
        workload, fleet = self.read(data), self.fleet(nodes)
        work_s = float(work_seconds(Arrivals.of(workload, fleet), fleet).sum())
        return workload.at_rate(load * nodes * workload.span_s / work_s)


def _file(name: str) -> Callable[[Path], Workload]:
    return lambda data: read_workload([data / name])[0]


def _claude_code(data: Path) -> Workload:
    sessions: dict[str, list[Call]] = {}
    for row in _csv(data / "request_traces/claude_code_sessions.dev.csv.gz"):
        calls = sessions.setdefault(row["session"], [])
        before_s = calls[-1].after_s if calls else 0.0
        after_s = before_s + float(row["arrival_delta_s"]) if calls else 0.0
        calls.append(_next_call(calls, after_s, int(row["input_tokens"]), int(row["output_tokens"])))
    return side_by_side(list(sessions.values()))


def _swebench(data: Path) -> Workload:
    sessions: dict[str, list[Call]] = {}
    for row in _csv(data / "request_traces/swebench_agent_calls.dev.csv.gz"):
        calls = sessions.setdefault(row["session"], [])
        calls.append(
            _next_call(calls, float(row["t_s"]), int(row["input_tokens"]), int(row["output_tokens"]))
        )
    return side_by_side(list(sessions.values()))


def _agent_sessions(data: Path) -> Workload:
    """Texts, so what a call shares with the one before is known exactly, and which one it goes on from."""
    sessions: dict[str, list[tuple[Call, str]]] = {}
    with gzip.open(data / "agent_sessions/agent_sessions.dev.jsonl.gz", "rt", encoding="utf-8") as lines:
        written: dict[str, str] = {}
        for row in map(json.loads, lines):
            name, text, answer = row["session"], row["input"], row["output"]
            calls = sessions.setdefault(name, [])
            shared = _common_start(written.get(name, ""), text)
            written[name] = text + answer
            read, said, held = (size // CHARS_PER_TOKEN for size in (len(text), len(answer), shared))
            calls.append((Call(row["t_s"], read, said, held, _answers_in(text, calls)), text))
    return side_by_side([[call for call, _ in calls] for calls in sessions.values()])


def _answers_in(text: str, calls: Sequence[tuple[Call, str]]) -> tuple[int, ...]:
    """Those of the newest earlier call that ``text`` goes on from, and what that one repeats itself."""
    for call, earlier in reversed(calls):
        if earlier and text.startswith(earlier):
            return call.repeated if len(text) > len(earlier) else call.answers
    return ()


def _csv(path: Path) -> list[dict[str, str]]:
    with gzip.open(path, "rt", encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def _next_call(calls: Sequence[Call], after_s: float, input_tokens: int, output_tokens: int) -> Call:
    """A call that repeats the one before and its answer, as agents do; a shorter one began anew."""
    if not calls or input_tokens < calls[-1].input_tokens:
        return Call(after_s, input_tokens, output_tokens, 0)
    before = calls[-1].input_tokens + calls[-1].output_tokens
    return Call(after_s, input_tokens, output_tokens, min(before, input_tokens - 1), calls[-1].repeated)


def _common_start(one: str, two: str) -> int:
    """Characters that both begin with."""
    low, high = 0, min(len(one), len(two))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if one[:middle] == two[:middle] else (low, middle - 1)
    return low


def _before(answers: Sequence[int]) -> tuple[int, float]:
    """The last of the answers and their geometric mean; 0 when there is none."""
    if not answers:
        return 0, 0.0
    return max(answers[-1], 1), math.exp(sum(math.log(max(tokens, 1)) for tokens in answers) / len(answers))


def side_by_side(sessions: Sequence[Sequence[Call]]) -> Workload:
    """Sessions that begin as a Poisson process, one in ten minutes on average, and keep their own rhythm."""
    random = np.random.default_rng(SEED)
    starts = np.cumsum(random.exponential(600.0, SESSIONS))
    rows = sorted(
        (start + call.after_s, *call[1:4], *_before(call.answers))
        for start in starts.tolist()
        for call in sessions[int(random.integers(len(sessions)))]
    )
    columns = np.array(rows, dtype=np.float64).T
    inside = columns[0] <= starts[-1]  # what the last sessions still do would be a calm end
    time_s, *tokens, mean = columns[:, inside]
    read, written, cached, last = (column.astype(np.int32) for column in tokens)
    return Workload(
        time_s, read, written, cached, np.zeros(len(read), dtype=np.int32), ("agent",), float(starts[-1]),
        last_answer_tokens=last, mean_answer_tokens=mean,
    )  # fmt: skip


CHAT = Objective(ttft_s=2.0, total_s=20.0)
LONG = Objective(ttft_s=10.0, total_s=60.0)
AGENT = Objective(ttft_s=10.0, total_s=120.0)
CASES = (
    Case("Azure 2023 conversation", _file("request_traces/azure_llm_2023_conv.dev.csv.gz"),
         "rtx-4090", "llama-3.1-8b", 8, CHAT),
    Case("Azure 2023 code", _file("request_traces/azure_llm_2023_code.dev.csv.gz"),
         "rtx-4090", "llama-3.1-8b", 8, CHAT),
    Case("Mooncake conversation", _file("request_traces/mooncake_conversation.dev.jsonl.gz"),
         "rtx-5090", "llama-3.1-8b", 4, LONG),
    Case("Mooncake synthetic", _file("request_traces/mooncake_synthetic.dev.jsonl.gz"),
         "rtx-5090", "llama-3.1-8b", 4, LONG),
    Case("LMCache agents", _agent_sessions, "rtx-4090", "llama-3.1-8b", 8, AGENT),
    Case("SWE-bench agents", _swebench, "rtx-5090", "gpt-oss-20b", 4, AGENT),
    Case("Claude Code sessions", _claude_code, "rental-a100-80", "gpt-oss-20b", 4, AGENT),
)  # fmt: skip
"""Traces, and for each a machine and a model that an owner might try them on."""
