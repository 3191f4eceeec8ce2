"""Runs logged prompts through a node and a reference, for ``spillway evidence --from-log``."""

from __future__ import annotations

import asyncio
import json
import secrets
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spillway.cli.evidence_parties import Party, most_usd, node_of, reference_of
from spillway.errors import ConfigError, MeasureFailed

if TYPE_CHECKING:
    from spillway.classify import TaskModel
    from spillway.cli.evidence_safe import Case, LogReport
    from spillway.config.schema import Config
    from spillway.evidence.compare import Reply
    from spillway.verify import GivenAnswer

__all__ = ["LogOptions", "replay_log"]

MAX_LINE_BYTES = 2 * 1024 * 1024
VERDICT_TOKENS = 64


@dataclass(frozen=True)
class LogOptions:
    """What the command line gave."""

    log: Path
    local: str
    local_model: str | None
    local_key_env: str | None
    reference: str
    reference_model: str | None
    reference_key_env: str | None
    judges: bool
    """Whether the reference also judges texts that nothing else can compare."""
    parallel: int
    limit: int | None
    max_usd: float
    """0 is no limit."""


@dataclass(frozen=True)
class Prompt:
    """One usable line."""

    body: dict[str, Any]
    task: str
    expected: str | None


@dataclass
class Progress:
    """How it went so far."""

    cases: list[Case] = field(default_factory=list)
    local_failures: int = 0
    reference_failures: int = 0
    not_asked: int = 0
    first_problem: str = ""


async def replay_log(
    options: LogOptions, settings: Config, on_progress: Callable[[int, int], None]
) -> LogReport:
    """The report over all lines; ConfigError or MeasureFailed when nothing can be asked."""
    from spillway.classify import load_model, read_own_tasks
    from spillway.cli.evidence_safe import make_report

    own = settings.routing.task_file
    model = load_model(read_own_tasks(Path(own)) if own is not None else None)
    prompts, unusable = _read(options, model)
    local = await node_of(options.local, options.local_model, options.local_key_env)
    try:
        reference = await reference_of(
            options.reference, options.reference_model, options.reference_key_env, settings
        )
        try:
            progress = await _ask_all(prompts, local, reference, options, on_progress)
        finally:
            await reference.engine.close()
    finally:
        await local.engine.close()
    if not progress.cases:
        why = progress.first_problem or f"the first one may cost more than --max-usd {options.max_usd:g}"
        raise MeasureFailed(f"no prompt was answered by both sides: {why}")
    return make_report(
        progress.cases,
        settings.quality.max_gap,
        settings.quality.confidence,
        log=str(options.log),
        local=local.name,
        reference=reference.name,
        prompts=len(prompts),
        unusable_lines=unusable,
        local_failures=progress.local_failures,
        reference_failures=progress.reference_failures,
        not_asked=progress.not_asked,
        reference_cost_usd=None if reference.rates is None else round(reference.spent_usd, 9),
    )


# the log


def _read(options: LogOptions, model: TaskModel) -> tuple[list[Prompt], int]:
    """Usable lines, and how many were not; each of those is named on stderr."""
    found: list[Prompt] = []
    unusable = 0
    for number, line in _lines(options.log):
        if options.limit is not None and len(found) >= options.limit:
            break
        try:
            found.append(_prompt(line, model))
        except ValueError as problem:
            unusable += 1
            print(f"spillway: {options.log}:{number}: {problem}; left out", file=sys.stderr)
    if not found:
        raise ConfigError(f"{options.log} holds no prompt that can be replayed: one chat body a line")
    return found, unusable


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    yield number, line
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None


def _prompt(line: bytes, model: TaskModel) -> Prompt:
    """One line; ValueError says in words what is wrong with it."""
    if len(line) > MAX_LINE_BYTES:
        raise ValueError("this line is longer than 2 MB")
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        raise ValueError("this is not JSON") from None
    if not isinstance(value, dict):
        raise ValueError("this is no JSON object")
    body = value["body"] if isinstance(value.get("body"), dict) else value
    if isinstance(body.get("prompt"), str):
        body = {"messages": [{"role": "user", "content": body["prompt"]}], **body}
        del body["prompt"]
    if not isinstance(body.get("messages"), list) or not body["messages"]:
        raise ValueError("there are no messages in it")
    given = value.get("task", body.get("task"))
    task = given if isinstance(given, str) and given else _task(body, model)
    return Prompt(body, task, _expected(value.get("expected", body.get("expected"))))


def _task(body: dict[str, Any], model: TaskModel) -> str:
    from spillway.classify import facts_of, routed_as

    facts = facts_of(body)
    return routed_as(model.guess(facts), facts)


def _expected(value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)


# asking


async def _ask_all(
    prompts: list[Prompt],
    local: Party,
    reference: Party,
    options: LogOptions,
    on_progress: Callable[[int, int], None],
) -> Progress:
    progress, done = Progress(), 0
    waiting = iter(prompts)

    async def work() -> None:
        nonlocal done
        for prompt in waiting:
            await _ask_both(prompt, local, reference, options, progress)
            done += 1
            on_progress(done, len(prompts))

    async with asyncio.TaskGroup() as group:
        for _ in range(options.parallel):
            group.create_task(work())
    return progress


async def _ask_both(
    prompt: Prompt, local: Party, reference: Party, options: LogOptions, progress: Progress
) -> None:
    most = most_usd(prompt.body, reference.rates)
    if options.max_usd and reference.spent_usd + most > options.max_usd:
        progress.not_asked += 1
        return
    reference.spent_usd += most
    ours, theirs = await asyncio.gather(
        local.ask(prompt.body, with_logprobs=True), reference.ask(prompt.body)
    )
    reference.settle(most, theirs)
    if ours.answer is None or theirs.answer is None:
        progress.local_failures += ours.answer is None
        progress.reference_failures += theirs.answer is None
        progress.first_problem = progress.first_problem or ours.problem or theirs.problem
        return
    progress.cases.append(
        await _case(prompt, ours.body, ours.answer, theirs.answer, _judge(reference, options))
    )


Ask = Callable[[list[dict[str, str]]], Any]


def _judge(reference: Party, options: LogOptions) -> Ask | None:
    """Asks the reference for a verdict, while there is money for it."""
    if not options.judges:
        return None

    async def ask(messages: list[dict[str, str]]) -> str:
        body = {"messages": messages, "max_tokens": VERDICT_TOKENS, "temperature": 0}
        most = most_usd(body, reference.rates)
        if options.max_usd and reference.spent_usd + most > options.max_usd:
            return ""
        reference.spent_usd += most
        asked = await reference.ask(body)
        reference.settle(most, asked)
        return asked.answer.text if asked.answer is not None else ""

    return ask


# comparing


async def _case(
    prompt: Prompt, asked: bytes, ours: GivenAnswer, theirs: GivenAnswer, judge: Ask | None
) -> Case:
    from spillway.cli.evidence_safe import Case
    from spillway.verify import Wish, check, gates_for

    wish = Wish.of(asked)
    verdict = check(ours, wish, gates_for(prompt.task))
    if verdict.failed:
        return Case(prompt.task, gate=verdict.failed[0], confidence=verdict.confidence)
    local, reference = _reply(ours), _reply(theirs)
    gap = _gap(local, reference, prompt, wish.wants_json)
    if gap is None and judge is not None:
        gap = await _judged(prompt, local, reference, judge)
    return Case(prompt.task, gap=gap, confidence=verdict.confidence)


def _reply(answer: GivenAnswer) -> Reply:
    from spillway.evidence.compare import Reply

    return Reply(answer.text, tuple((call.name, call.arguments) for call in answer.tool_calls))


def _gap(local: Reply, reference: Reply, prompt: Prompt, wants_json: bool) -> float | None:
    """Reference minus local: against what was expected where that is known, else their disagreement."""
    from spillway.evidence.compare import Reply, compare

    if prompt.expected is None:
        found = compare(local, reference, prompt.task, wants_json=wants_json)
        return None if found is None else 1.0 - found.score
    truth = Reply(prompt.expected)
    ours = compare(local, truth, prompt.task, wants_json=wants_json)
    theirs = compare(reference, truth, prompt.task, wants_json=wants_json)
    return None if ours is None or theirs is None else theirs.score - ours.score


async def _judged(prompt: Prompt, local: Reply, reference: Reply, judge: Ask) -> float | None:
    from spillway.evidence.judge import JudgeNonsense, judge_pair

    turns = [turn for turn in prompt.body["messages"] if isinstance(turn, dict)]
    text = "\n\n".join(f"{turn.get('role')}: {turn.get('content')}" for turn in turns)
    try:
        found = await judge_pair(text, local.text, reference.text, judge, f"====={secrets.token_hex(8)}")
    except JudgeNonsense:
        return None
    return 1.0 - found.score
