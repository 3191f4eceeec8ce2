"""``spillway classify``: what kind of work each request is, one line in, one line out."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spillway.errors import ConfigError

if TYPE_CHECKING:
    from spillway.classify import OwnTasks, TaskModel

__all__ = ["command"]

DEFAULT_TASKS = Path("spillway-tasks.json")
LEARN_SCHEMA = "spillway.classify.learn/1"
EXIT_FAILED = 1
CLASS_NAME = re.compile(r"[a-z][a-z0-9_-]{0,63}")
"""As ``x-spillway-task`` takes it."""


class BadLine(Exception):
    """One input line cannot be read; the message says why."""


def command(
    learn: Annotated[
        Path | None, typer.Option(help='Learn your own classes from lines {"prompt": …, "task": "name"}.')
    ] = None,
    tasks: Annotated[
        Path, typer.Option(help="File of your own classes, beside spillway.yaml.")
    ] = DEFAULT_TASKS,
    explain: Annotated[
        bool, typer.Option("--explain", help="Add the features that spoke most for the class.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="With --learn: print one JSON object.")] = False,
) -> None:
    """Say what kind of work each request is: chat bodies or {"prompt": …}, one a line on standard input.

    Example: echo '{"prompt": "Translate to French: good morning"}' | spillway classify
    """
    if learn is not None:
        _learn(learn, tasks, as_json)
        return
    from spillway.classify import load_model

    model = load_model(_own(tasks))
    problems = 0
    for number, line in enumerate(sys.stdin.buffer, start=1):
        if not line.strip():
            continue
        try:
            result = _classify(_body(line), model, explain)
        except BadLine as problem:
            problems += 1
            print(f"spillway: line {number}: {problem}", file=sys.stderr)
            result = {
                "task": "other",
                "confidence": 0.0,
                "p_local_ok": None,
                "input_tokens": None,
                "flags": ["bad_line", "unsure"],
            }
        print(json.dumps(result), flush=False)
    sys.stdout.flush()
    if problems:
        raise typer.Exit(EXIT_FAILED)


def _classify(body: dict[str, object], model: TaskModel, explain: bool) -> dict[str, Any]:
    from spillway.classify import facts_of

    facts = facts_of(body)
    guess = model.guess(facts)
    result: dict[str, Any] = {
        "task": guess.task,
        "confidence": guess.confidence,
        "p_local_ok": guess.p_local_ok,
        "input_tokens": facts.input_tokens,
        "flags": list(guess.flags),
    }
    if explain:
        result["because"] = model.explain(facts, guess.task)
    return result


def _body(line: bytes) -> dict[str, object]:
    """The request body of one line; a logged ``{"body": {…}}`` is opened."""
    import msgspec

    try:
        value = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise BadLine('this is not JSON; give one chat body or {"prompt": …} a line') from None
    except RecursionError:
        raise BadLine("this JSON is nested too deeply") from None
    if not isinstance(value, dict):
        raise BadLine('this is no JSON object; give a chat body or {"prompt": …}')
    inner = value.get("body")
    if isinstance(inner, dict):
        value = inner
    if not any(key in value for key in ("messages", "prompt", "input")):
        raise BadLine("there is none of messages, prompt and input in it")
    return value


def _own(path: Path) -> OwnTasks | None:
    from spillway.classify import read_own_tasks

    return read_own_tasks(path) if path.is_file() else None


def _learn(source: Path, tasks: Path, as_json: bool) -> None:
    from spillway.classify import write_own_tasks
    from spillway.classify.learn import learn_tasks

    own = learn_tasks(_examples(source), _own(tasks))
    write_own_tasks(tasks, own)
    if as_json:
        rows = [{"task": task.name, "examples": task.examples} for task in own.tasks]
        print(json.dumps({"schema": LEARN_SCHEMA, "file": str(tasks), "tasks": rows}))
        return
    for task in own.tasks:
        telling = ", ".join([name for name in task.weights if name[0].isalpha()][:6])
        print(f"{task.name}: {task.examples} examples; told by: {telling or 'its shape'}")
    print(f"written to {tasks}")


def _examples(source: Path) -> Iterator[tuple[str, dict[str, object]]]:
    """(class, body) of every line; ConfigError names file and line of the first that is wrong."""
    try:
        lines = source.read_bytes().splitlines()
    except OSError as error:
        raise ConfigError(f"{source} cannot be read: {error.strerror}") from None
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            body = _body(line)
        except BadLine as problem:
            raise ConfigError(f"{source}:{number}: {problem}") from None
        name = body.get("task")
        if not isinstance(name, str) or not name.strip():
            raise ConfigError(f'{source}:{number}: "task" must name the class of this example')
        if not CLASS_NAME.fullmatch(name.strip()):
            raise ConfigError(
                f'{source}:{number}: "task" must be lower-case letters, digits, _ and -, as in order_lines: '
                "requests and settings name it"
            )
        yield name.strip(), body
