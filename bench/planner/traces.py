"""Public request traces as workloads: production services, and agents whose sessions overlap."""

from __future__ import annotations

import csv
import gzip
import json
import math
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from spillway.api.facts import FIRST_CHARACTERS, LAST_CHARACTERS
from spillway.planner.catalogue import load_machines, load_models
from spillway.planner.node_model import NodeModel, load_fit
from spillway.planner.readers import read_workload
from spillway.planner.refusals import work_seconds
from spillway.planner.runs import Arrivals, Fleet
from spillway.planner.workload import Workload
from spillway.vocabulary import Objective

__all__ = ["CASES", "Case", "cases_named"]

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
    form: int = 0
    """As in ``Workload``."""

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


@dataclass
class Forms:
    """Numbers for what a gateway would see of a request's making; 0 for what only one session has.

    Sessions are drawn more than once, and a copy must tell nothing of the one it was drawn from.
    """

    _sessions: dict[Hashable, set[str]] = field(default_factory=lambda: defaultdict(set))
    _numbers: dict[Hashable, int] = field(default_factory=dict)

    def see(self, session: str, form: Hashable) -> None:
        """One more call of that session has this form."""
        self._sessions[form].add(session)

    def number(self, form: Hashable) -> int:
        """The same for equal forms, once all have been seen."""
        if len(self._sessions[form]) < 2:
            return 0
        return self._numbers.setdefault(form, len(self._numbers) + 1)


def _file(name: str) -> Callable[[Path], Workload]:
    return lambda data: read_workload([data / name])[0]


def _claude_code(data: Path) -> Workload:
    rows = _csv(data / "request_traces/claude_code_sessions.dev.csv.gz")
    forms = _forms((row["session"], row["model"]) for row in rows)
    sessions: dict[str, list[Call]] = {}
    for row in rows:
        calls = sessions.setdefault(row["session"], [])
        before_s = calls[-1].after_s if calls else 0.0
        after_s = before_s + float(row["arrival_delta_s"]) if calls else 0.0
        calls.append(_next_call(calls, after_s, *_tokens(row), forms.number(row["model"])))
    return side_by_side(list(sessions.values()))


def _swebench(data: Path) -> Workload:
    rows = _csv(data / "request_traces/swebench_agent_calls.dev.csv.gz")
    forms = _forms((row["session"], _asked(row)) for row in rows)
    sessions: dict[str, list[Call]] = {}
    for row in rows:
        calls = sessions.setdefault(row["session"], [])
        calls.append(_next_call(calls, float(row["t_s"]), *_tokens(row), forms.number(_asked(row))))
    return side_by_side(list(sessions.values()))


def _asked(row: dict[str, str]) -> tuple[str, str]:
    """Of a request's form what the trace tells: which model was asked for, and with how large tools."""
    return row["model"], row["tool_definitions_chars"]


def _tokens(row: dict[str, str]) -> tuple[int, int]:
    return int(row["input_tokens"]), int(row["output_tokens"])


def _agent_sessions(data: Path) -> Workload:
    """Texts, so what a call shares with the one before is known exactly, and which one it goes on from."""
    with gzip.open(data / "agent_sessions/agent_sessions.dev.jsonl.gz", "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    forms = _forms((row["session"], _beginnings(row["input"])) for row in rows)
    sessions: dict[str, list[tuple[Call, str]]] = {}
    written: dict[str, str] = {}
    for row in rows:
        name, text, answer = row["session"], row["input"], row["output"]
        calls = sessions.setdefault(name, [])
        shared = _common_start(written.get(name, ""), text)
        written[name] = text + answer
        read, said, held = (size // CHARS_PER_TOKEN for size in (len(text), len(answer), shared))
        form = forms.number(_beginnings(text))
        calls.append((Call(row["t_s"], read, said, held, _answers_in(text, calls), form), text))
    return side_by_side([[call for call, _ in calls] for calls in sessions.values()])


def _beginnings(text: str) -> tuple[str, str]:
    """What the first and the last message of a conversation written down as one text begin with."""
    last = max(text.rfind(f"\n{role}: ") for role in ("system", "user", "assistant", "tool")) + 1
    return text[:FIRST_CHARACTERS], text[last : last + LAST_CHARACTERS]


def _forms(seen: Iterable[tuple[str, Hashable]]) -> Forms:
    forms = Forms()
    for session, form in seen:
        forms.see(session, form)
    return forms


def _answers_in(text: str, calls: Sequence[tuple[Call, str]]) -> tuple[int, ...]:
    """Those of the newest earlier call that ``text`` goes on from, and what that one repeats itself."""
    for call, earlier in reversed(calls):
        if earlier and text.startswith(earlier):
            return call.repeated if len(text) > len(earlier) else call.answers
    return ()


def _csv(path: Path) -> list[dict[str, str]]:
    with gzip.open(path, "rt", encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def _next_call(
    calls: Sequence[Call], after_s: float, input_tokens: int, output_tokens: int, form: int = 0
) -> Call:
    """A call that repeats the one before and its answer, as agents do; a shorter one began anew."""
    if not calls or input_tokens < calls[-1].input_tokens:
        return Call(after_s, input_tokens, output_tokens, 0, (), form)
    before = calls[-1].input_tokens + calls[-1].output_tokens
    return Call(after_s, input_tokens, output_tokens, min(before, input_tokens - 1), calls[-1].repeated, form)


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
        (start + call.after_s, *call[1:4], call.form, *_before(call.answers))
        for start in starts.tolist()
        for call in sessions[int(random.integers(len(sessions)))]
    )
    columns = np.array(rows, dtype=np.float64).T
    inside = columns[0] <= starts[-1]  # what the last sessions still do would be a calm end
    time_s, *tokens, mean = columns[:, inside]
    read, written, cached, form, last = (column.astype(np.int32) for column in tokens)
    return Workload(
        time_s, read, written, cached, np.zeros(len(read), dtype=np.int32), ("agent",), float(starts[-1]),
        last_answer_tokens=last, mean_answer_tokens=mean, form=form,
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


def cases_named(part: str) -> list[Case]:
    """Those with that text in their name; ``ValueError`` names all when there is none."""
    found = [case for case in CASES if part.lower() in case.name.lower()]
    if not found:
        raise ValueError(f"no trace is called {part!r}; there are {', '.join(case.name for case in CASES)}")
    return found
