"""Every fault × streamed or not × chat or completion × with a fallback or alone, through one gateway."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from itertools import product

import pytest

from spillway.routing import Policy
from spillway.testing.answers import answer_text
from spillway.testing.fake_upstream import FakeUpstream, Fault, Reply
from spillway.testing.raw_client import MESSAGES, Wire, raw_connection
from spillway.vocabulary import Deadlines, Outcome

from .conftest import Running, serve, upstream_of

PATIENCE = Deadlines(connect_s=1.5, first_token_s=1.5, stall_s=1.0, total_s=4.0, load_s=0.5)
BUDGET_S = 6.0
"""No request may take longer: a first-token limit, a stall, and an alternate on a busy machine."""
AT_ONCE = 24
HARMLESS = {
    *(Fault.HEALTHY, Fault.SLOW_HEADERS, Fault.SLOW_FIRST_TOKEN, Fault.ROLE_THEN_SLOW, Fault.SLOW_TOKENS),
    *(Fault.MISSING_DONE, Fault.NEVER_ENDS, Fault.MISSING_USAGE, Fault.USAGE_ON_LAST_CHUNK),
    *(Fault.NULL_FIRST_CONTENT, Fault.EMPTY_COMPLETION, Fault.MALFORMED_EVENT, Fault.PREFILL_REJECTED),
    *(Fault.FIELD_REJECTED, Fault.KEEP_ALIVE_TRAP, Fault.KEEP_ALIVE_RACE, Fault.LENGTH_FRAMED, Fault.CRLF),
    *(Fault.CLOSE_DELIMITED, Fault.SPLIT_EVENTS, Fault.COMMENTS, Fault.HUGE_EVENT, Fault.EARLY_HINTS),
    *(Fault.CONTENT_FILTER, Fault.LENGTH_SHORT, Fault.LENGTH_LONG),
}
"""The first upstream's answer is good enough. A wrong length is found out only after the finish reason."""
CALLERS_OWN = {Fault.BAD_REQUEST, Fault.CONTENT_FILTER_400}
"""Returned as they are: nobody else is asked."""
OTHER_TEXT = {Fault.EMPTY_COMPLETION, Fault.HUGE_EVENT, Fault.CONTENT_FILTER}
"""The fault is in what is said."""
PROMPT = "where is my order"


@dataclass
class Case:
    """One request of the matrix, and what came of it."""

    number: int
    fault: Fault
    is_stream: bool
    is_chat: bool
    has_fallback: bool
    wires: list[Wire] = field(default_factory=list)
    took_s: float = 0.0

    @property
    def name(self) -> str:
        """Of its upstream, which no other case uses."""
        return f"case{self.number}"

    @property
    def model(self) -> str:
        """A name that makes the fake answer with the fault."""
        return f"{self.name}-fault:{self.fault}"

    @property
    def title(self) -> str:
        """For a person who reads of its failure."""
        how = ("stream" if self.is_stream else "whole", "chat" if self.is_chat else "completion")
        return " ".join((self.fault, *how, "with fallback" if self.has_fallback else "alone"))

    def body(self) -> bytes:
        """The request."""
        asked = {"messages": MESSAGES} if self.is_chat else {"prompt": PROMPT}
        fallbacks = {"models": ["cloud/cloud-model"]} if self.has_fallback else {}
        fields = {"model": f"{self.name}/{self.model}", "stream": self.is_stream, "temperature": 0}
        return json.dumps({**fields, **asked, **fallbacks}).encode()

    async def ask(self, port: int) -> None:
        """Sends it; twice on a server that closes the second request's connection."""
        path = "/v1/chat/completions" if self.is_chat else "/v1/completions"
        started_s = asyncio.get_running_loop().time()
        for _ in range(2 if self.fault is Fault.KEEP_ALIVE_RACE else 1):
            async with raw_connection(port) as client:
                client.send(self.body(), path, (("x-request-id", self.name),))
                self.wires.append(await client.answer())
        self.took_s = asyncio.get_running_loop().time() - started_s


@dataclass
class Matrix:
    """All cases, run, and what the gateway recorded."""

    cases: list[Case]
    outcomes: dict[str, list[Outcome]]
    in_flight: int
    upstream_in_flight: int
    is_ready: bool


CASES = [
    Case(number, *combination)
    for number, combination in enumerate(product(Fault, (False, True), (False, True), (False, True)))
]


async def run_matrix() -> Matrix:
    """Runs all cases through one gateway, many at once."""
    quick = Reply(delay_s=0.1, gap_s=0.01, for_s=0.3, huge_chars=50_000)
    async with AsyncExitStack() as stack:
        broken = await stack.enter_async_context(FakeUpstream(default=quick))
        healthy = await stack.enter_async_context(FakeUpstream())
        nobody = await stack.enter_async_context(FakeUpstream())
        nobody.refuse()
        urls = {case.name: nobody.url if case.fault is Fault.REFUSED else broken.url for case in CASES}
        upstreams = [upstream_of(case.name, "local", urls[case.name], case.model) for case in CASES]
        upstreams.append(upstream_of("cloud", "cloud", healthy.url))
        policy = Policy(deadlines={upstream.name: PATIENCE for upstream in upstreams}, total_s=BUDGET_S)
        running = await serve(stack, upstreams, policy)
        gate = asyncio.Semaphore(AT_ONCE)

        async def one(case: Case) -> None:
            async with gate:
                await case.ask(running.port)

        async with asyncio.TaskGroup() as group:
            for case in CASES:
                group.create_task(one(case))
        await broken.idle()
        return Matrix(
            CASES,
            _by_caller(running),
            running.in_flight(),
            broken.in_flight + healthy.in_flight,
            await _is_ready(running.port),
        )


def _by_caller(running: Running) -> dict[str, list[Outcome]]:
    found: dict[str, list[Outcome]] = {}
    for outcome in running.books.outcomes:
        found.setdefault(outcome.facts.client_request_id or "", []).append(outcome)
    return found


async def _is_ready(port: int) -> bool:
    async with raw_connection(port) as client:
        client.send_bytes(b"GET /health/ready HTTP/1.1\r\nhost: test\r\n\r\n")
        return (await client.answer()).status == 200


MATRIX: list[Matrix] = []
"""Run once, for all tests of this file."""


@pytest.fixture
async def matrix() -> Matrix:
    """The matrix as it went."""
    if not MATRIX:
        MATRIX.append(await run_matrix())
    return MATRIX[0]


def said(case: Case, wire: Wire) -> str:
    """What the client read."""
    if not case.is_stream:
        first = wire.json["choices"][0]
        return str(first["message"]["content"] if case.is_chat else first["text"])
    choices = [choice for chunk in wire.chunks for choice in chunk.get("choices", ())]
    return "".join((c.get("delta") or {}).get("content") or c.get("text") or "" for c in choices)


def complete(case: Case, wire: Wire) -> bool:
    """Whether the client was told that it has the whole answer."""
    if wire.status != 200 or wire.ending != "complete":
        return False
    if case.is_stream:
        return wire.data[-1] == "[DONE]" and bool(wire.finishes)
    return bool(wire.json["choices"][0]["finish_reason"])


def failures(matrix: Matrix, check: Callable[[Case, Wire], bool]) -> list[str]:
    """Titles of the cases for which ``check`` is false."""
    return [case.title for case in matrix.cases if not all(check(case, wire) for wire in case.wires)]


async def test_no_case_hangs(matrix: Matrix) -> None:
    """Every request ends within its budget."""
    assert [case.title for case in matrix.cases if case.took_s > BUDGET_S] == []


async def test_no_truncated_answer_is_sold_as_complete(matrix: Matrix) -> None:
    """Whatever is said to be complete has all the words, each once."""

    def is_honest(case: Case, wire: Wire) -> bool:
        if not complete(case, wire) or case.fault in OTHER_TEXT:
            return True
        healthy = answer_text({"messages": MESSAGES} if case.is_chat else {"prompt": PROMPT})
        text = said(case, wire)
        (outcome, *_) = matrix.outcomes[case.name]
        if "continued" in outcome.reasons and not case.is_chat:
            return text.startswith(healthy.split()[0]) and len(text.split()) > 12  # the rest is another text
        return text == healthy

    assert failures(matrix, is_honest) == []


async def test_every_rescuable_case_is_rescued(matrix: Matrix) -> None:
    """With a fallback the caller gets a complete answer, unless the fault is the caller's own."""

    def is_rescued(case: Case, wire: Wire) -> bool:
        return not case.has_fallback or case.fault in CALLERS_OWN or complete(case, wire)

    assert failures(matrix, is_rescued) == []


async def test_alone_harmless_faults_are_answered_and_others_are_errors(matrix: Matrix) -> None:
    """Without a fallback oddities do not matter, and everything else ends with a clear error."""

    def is_right(case: Case, wire: Wire) -> bool:
        if case.has_fallback:
            return True
        if case.fault in HARMLESS:
            return complete(case, wire)
        if complete(case, wire):
            return False
        error = wire.chunks[-1]["error"] if wire.status == 200 else wire.json["error"]
        return bool(error["message"]) and bool(error.get("upstream") or case.fault in RETURNED)

    assert failures(matrix, is_right) == []


RETURNED = CALLERS_OWN | {Fault.CONTEXT_LLAMACPP, Fault.CONTEXT_OPENAI, Fault.MODEL_MISSING}
"""Their own error bodies reach the caller."""


async def test_attempts_stay_within_the_budget(matrix: Matrix) -> None:
    """No request makes more attempts than it may, and a caller's own fault makes only one."""
    counts = {case.title: len(matrix.outcomes[case.name][0].attempts) for case in matrix.cases}
    assert [title for title, count in counts.items() if not 1 <= count <= Policy().max_attempts] == []
    own = [case for case in matrix.cases if case.fault in CALLERS_OWN]
    assert [case.title for case in own if counts[case.title] != 1] == []


async def test_the_record_is_complete(matrix: Matrix) -> None:
    """Each request has one outcome; failed attempts have a code, the one that answered has usage."""
    wrong = []
    for case in matrix.cases:
        outcomes = matrix.outcomes[case.name]
        is_ok = [outcome.result == "ok" for outcome in outcomes]
        if len(outcomes) != len(case.wires) or is_ok != [complete(case, wire) for wire in case.wires]:
            wrong.append(case.title)
            continue
        for outcome in outcomes:
            *failed, last = outcome.attempts
            if not all(a.error_code for a in failed) or (last.error_code is None) != (outcome.result == "ok"):
                wrong.append(case.title)
            if outcome.result == "ok" and (last.usage is None or last.usage.output_tokens is None):
                wrong.append(case.title)
    assert wrong == []


async def test_nothing_is_left_behind(matrix: Matrix) -> None:
    """Afterwards nothing is in flight, here or at an upstream, and the gateway is ready."""
    assert (matrix.in_flight, matrix.upstream_in_flight, matrix.is_ready) == (0, 0, True)
