"""A folder of real chat templates, as the template bench reads it: templates, expected texts, contexts."""

from __future__ import annotations

import gzip
import json
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

from spillway.pinning.templates.rendered import Dialect

__all__ = ["Expected", "Template", "contexts", "expected_texts", "model_of", "same_name_pairs", "templates"]

_MAKERS = re.compile(
    r"^(google|ibm-granite|mistralai|meta-llama|microsoft|openai|qwen-(?=q)|unsloth|deepseek-ai|stepfun-ai"
    r"|moonshotai|coherefora?i|nousresearch|huggingfacetb|llama-cpp)-",
)
_SIZES = re.compile(r"-\d+(\.\d+)?b(-a\d+b)?\b")
_USES = re.compile(r"-(instruct|chat|it|interleaved|fixed|tool_use)\b")
_ALSO_KNOWN_AS = {"openchat3.5": "openchat", "stepfun3.5flash": "step3.5flash"}


@dataclass(frozen=True, slots=True)
class Template:
    """One template; ``source`` is the repository that publishes it."""

    source: str
    name: str
    dialect: Dialect
    text: str

    @property
    def title(self) -> str:
        """Source and name, short."""
        return f"{self.source.split('/')[-1]}/{self.name}"


@dataclass(frozen=True, slots=True)
class Expected:
    """What a template must print for one of three conversations."""

    template: str
    messages: tuple[dict[str, str], ...]
    text: str


def templates(folder: Path) -> tuple[Template, ...]:
    """All templates of the folder."""
    return tuple(
        Template(row["source"], row["name"], "go" if row["kind"] == "gotmpl" else "jinja", row["text"])
        for row in _rows(folder / "templates.jsonl.gz")
    )


def expected_texts(folder: Path) -> tuple[Expected, ...]:
    """The expected texts of the Go templates."""
    roles = {
        "system": "You are a helpful assistant.",
        "user": "Hello, how are you?",
        "assistant": "I'm doing great. How can I help you today?",
    }

    def messages(case: str) -> Iterator[dict[str, str]]:
        has_greeted = False
        for role in case.split("-"):
            again = role == "user" and has_greeted
            yield {
                "role": role,
                "content": "I'd like to show off how chat templating works!" if again else roles[role],
            }
            has_greeted = has_greeted or role == "user"

    return tuple(
        Expected(row["template"], tuple(messages(row["case"])), row["rendered"])
        for row in _rows(folder / "rendered_fixtures.jsonl.gz")
    )


def contexts(folder: Path) -> tuple[dict[str, Any], ...]:
    """The message lists that come with the collection."""
    return tuple(json.loads(path.read_text()) for path in sorted((folder / "render_contexts").glob("*.json")))


def model_of(name: str) -> str:
    """The model that a template's name speaks of: without maker, size and use, however it is written.

    >>> model_of("google-gemma-4-31B-it-interleaved"), model_of("llama-2-chat"), model_of("llama2-chat")
    ('gemma4', 'llama2', 'llama2')
    """
    plain = _USES.sub("", _SIZES.sub("", _MAKERS.sub("", name.lower())))
    plain = plain.replace("-", "")
    return _ALSO_KNOWN_AS.get(plain, plain)


def same_name_pairs(found: tuple[Template, ...]) -> Iterator[tuple[int, int]]:
    """Places of every two templates that speak of the same model."""
    groups: defaultdict[str, list[int]] = defaultdict(list)
    for place, template in enumerate(found):
        groups[model_of(template.name)].append(place)
    for members in groups.values():
        yield from combinations(members, 2)


def _rows(path: Path) -> list[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]
