"""Examples from our own wordings: small grammars filled with openly licensed passages, messages and lists.

``wordings/*.txt`` hold one wording a line under ``## class``: ``{a|b}`` picks one; ``[DOC]``, ``[SENT]``,
``[MSG]``, ``[CODE]``, ``[TOPIC]``, ``[LANG]``, ``[LABELS]``, ``[QUEST]``, ``[N]``, ``[NAME]`` are filled. A
wording is one group of cross-validation, so held-out scores are over wordings never seen.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from sources import Example

__all__ = ["Payloads", "attach_passage", "own_examples", "perturbations", "with_tools"]

FOLDER: Final = Path(__file__).parent / "wordings"
PER_WORDING: Final = 20
OWN_WEIGHT: Final = 0.8
_CHOICE: Final = re.compile(r"\{([^{}]*\|[^{}]*)\}")
_SLOT: Final = re.compile(r"\[(DOC|SENT|MSG|CODE|TOPIC|LANG|LABELS|N|NAME|QUEST)\]")

REMINDERS: Final = (
    "<system-reminder>\nThe todo list is empty. Do not mention this to the user.\n</system-reminder>",
    "<system-reminder>Today is Tuesday. Answer in the user's language.</system-reminder>",
    "[System reminder: keep answers short and follow the policy.]",
    "<environment_context>\n  <cwd>/home/user/app</cwd>\n  <shell>bash</shell>\n</environment_context>",
)
POLITE: Final = (
    ("Please ", ""),
    ("Hi! ", ""),
    ("Could you please ", ""),
    ("", " Thanks!"),
    ("", " Thank you in advance."),
    ("Hello, ", " Thank you very much!"),
    ("", " please"),
)


@dataclass(frozen=True)
class Payloads:
    """What gets pasted into requests."""

    passages: list[str]
    messages: list[str]
    sentences: list[str]


def fill(wording: str, payloads: Payloads, rng: random.Random) -> str:
    """One text of the grammar, slots filled."""
    while (match := _CHOICE.search(wording)) is not None:
        pick = rng.choice(match.group(1).split("|"))
        wording = wording[: match.start()] + pick + wording[match.end() :]
    return _SLOT.sub(lambda match: _slot(match.group(1), payloads, rng), wording)


def _slot(name: str, payloads: Payloads, rng: random.Random) -> str:
    if name == "DOC":
        return rng.choice(("\n\n", "\n", " ")) + rng.choice(payloads.passages)
    if name == "MSG":
        text = rng.choice(payloads.messages)
        return rng.choice((text, f'"{text}"', "\n" + text, "\n\n" + text))
    if name == "CODE":
        return rng.choice(("\n", "\n\n")) + rng.choice(_codes())
    if name == "SENT":
        return rng.choice(payloads.sentences)
    return rng.choice(read_wordings("fillers")[name])


def own_examples(payloads: Payloads, seed: int) -> Iterator[Example]:
    """Every wording several times; a wording is one group, so no fold sees another's wordings."""
    rng = random.Random(seed)
    for name in ("first", "more", "system", "abroad"):
        for kind, wordings in read_wordings(name).items():
            for number, wording in enumerate(wordings):
                source = f"own_{name}"
                yield from _wordings(wording, kind, source, f"{source}:{kind}{number}", payloads, rng)


@cache
def _codes() -> list[str]:
    text = (FOLDER / "code.txt").read_text(encoding="utf-8")
    return [block.strip("\n") for block in text.split("\n%%\n")]


@cache
def read_wordings(name: str) -> dict[str, list[str]]:
    """The lines of ``wordings/NAME.txt`` by class; ``## class`` begins one."""
    table: dict[str, list[str]] = {}
    for line in (FOLDER / f"{name}.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            lines = table.setdefault(line[3:], [])
        elif line:
            lines.append(line)
    return table


def _wordings(
    wording: str, kind: str, source: str, group: str, payloads: Payloads, rng: random.Random
) -> Iterator[Example]:
    seen: set[str] = set()
    for _ in range(PER_WORDING):
        text = fill(wording, payloads, rng)
        if text in seen:
            continue
        seen.add(text)
        if rng.random() < 0.12:
            text = text.lower()
        body: dict[str, Any] = {"messages": [{"role": "user", "content": _dress(text, rng)}]}
        if kind == "tool_use" and rng.random() < 0.6:
            body = with_tools(body, rng)
        if kind == "extraction" and rng.random() < 0.2:
            body["response_format"] = _schema(rng)
        yield Example(body, kind, source, group, OWN_WEIGHT)


def _dress(text: str, rng: random.Random) -> str:
    before, after = rng.choice(POLITE) if rng.random() < 0.15 else ("", "")
    return before + text + after


def _schema(rng: random.Random) -> dict[str, Any]:
    names = rng.sample(["name", "date", "amount", "city", "phone", "items", "total"], rng.randint(1, 5))
    properties = {name: {"type": "string"} for name in names}
    return {"type": "json_schema", "json_schema": {"schema": {"type": "object", "properties": properties}}}


def with_tools(body: dict[str, Any], rng: random.Random) -> dict[str, Any]:
    """The body with one to eight tools a harness may always send."""
    names = [
        "get_weather",
        "search_web",
        "read_file",
        "run_shell",
        "send_email",
        "query_db",
        "set_alarm",
        "edit_file",
    ]
    tools = [
        {
            "type": "function",
            "function": {
                "name": name,
                "description": f"{name} tool",
                "parameters": {"type": "object", "properties": {"input": {"type": "string"}}},
            },
        }
        for name in rng.sample(names, rng.randint(1, 8))
    ]
    return {**body, "tools": tools}


def attach_passage(example: Example, payloads: Payloads, rng: random.Random) -> Example:
    """The example with a passage pasted the way clients do: Dolly's own passages are not in the data."""
    text = example.body["messages"][-1]["content"]
    passage = rng.choice(payloads.passages)
    wraps = (
        f"{text}\n\n{passage}",
        f"{passage}\n\n{text}",
        f"{text}\n\n<document>\n{passage}\n</document>",
        f"Context:\n{passage}\n\nQuestion: {text}",
        f'{text}\n"""\n{passage}\n"""',
        f"{text}\nText: {passage}",
    )
    body = {"messages": [{"role": "user", "content": rng.choice(wraps)}]}
    return Example(body, example.kind, example.source, example.group, example.weight * 0.5)


def perturbations(text: str, rng: random.Random) -> dict[str, str]:
    """The text with changes that must not matter, by name."""
    before, after = rng.choice(POLITE)
    reminder = rng.choice(REMINDERS)
    spaced = re.sub(r" ", lambda _: " " * rng.choice((1, 1, 1, 2)), text)
    return {
        "system reminder": f"{text}\n\n{reminder}" if rng.random() < 0.5 else f"{reminder}\n{text}",
        "white space": "  " + spaced + "  ",
        "polite phrase": before + text + after,
        "trailing newline": text + "\n",
    }
