"""What can be wrong with a template, in stable codes and plain sentences."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

__all__ = ["SENTENCES", "Finding", "Severity", "finding"]

Severity = Literal["error", "warning", "info"]

SENTENCES: Mapping[str, tuple[Severity, str]] = {
    "not-checked": ("warning", "the template could not be checked: {}"),
    "not-a-template": ("error", "this is no valid template: {}"),
    "reaches-internals": ("error", "the template tries to reach what no prompt needs: {}"),
    "runs-too-long": ("error", "the template does not come to an end: {}"),
    "needs-too-much": ("error", "the template is out of bounds: {}"),
    "crashes": ("error", "rendering the template kills the process that does it: {}"),
    "breaks": ("error", "rendering fails: {}"),
    "dropped-system-prompt": ("error", "the system prompt does not reach the model"),
    "refuses-system": ("warning", "it takes no system prompt ({}): put it into the first user message"),
    "dropped-user-text": ("error", "the user's text does not reach the model"),
    "dropped-history": ("error", "earlier turns of the conversation do not reach the model"),
    "altered-user-text": (
        "warning",
        "characters of the user's text are changed, as if it were written to a page",
    ),
    "no-generation-prompt": ("error", "the prompt ends without the mark that starts the model's turn"),
    "prompt-not-asked": ("warning", "a new turn is started after an answer that should go on: no prefilling"),
    "no-tool-support": ("info", "tools offered with a request do not reach the model"),
    "lost-tool-definitions": ("error", "tools offered with a request do not reach the model"),
    "lost-tool-call": ("error", "the model's own tool calls are missing from the history"),
    "lost-parallel-calls": ("error", "of several tool calls in one turn only the first stays in the history"),
    "lost-tool-result": ("error", "results of tools do not reach the model"),
    "forgets-tools": ("warning", "tool calls or results of earlier turns do not reach the model"),
    "one-tool-call": ("warning", "it takes only one tool call in a turn ({})"),
    "refuses-tool-results": ("error", "it takes tools but not their results ({})"),
    "unknown-tool-format": (
        "warning",
        "tool calls are written in no format known here: an engine may not parse them",
    ),
    "python-instead-of-json": (
        "warning",
        "tools or arguments are written as Python prints them, not as JSON",
    ),
    "double-encoded-arguments": ("warning", "arguments of tool calls are JSON inside a JSON text"),
    "html-escapes": ("warning", "tools or arguments are written with escapes meant for pages"),
    "null-content": (
        "info",
        "a tool call whose content is null breaks it or is lost: the engine must send an empty text",
    ),
    "empty-content": ("warning", "a tool call whose content is empty is lost: the engine must send null"),
    "prints-none": ("warning", "the word None is printed for a tool call without content"),
    "lost-content-parts": ("warning", "a text sent as a list of parts does not reach the model"),
    "parts-as-python": (
        "info",
        "a text sent as a list of parts is printed as Python prints it: the engine must join them",
    ),
    "refuses-parts": ("info", "texts sent as lists of parts break it: the engine must join them"),
    "needs-parts": ("info", "texts must be sent as lists of parts: the engine must wrap them"),
    "swallowed-reasoning": ("info", "reasoning sent back with an answer does not reach the model"),
    "loses-reasoning-between-tools": (
        "warning",
        "reasoning before a tool call does not reach the model, older one does",
    ),
    "drops-old-reasoning": ("info", "reasoning of earlier turns is left out, as most models want it"),
    "duplicated-bos": ("error", "the prompt begins with the start token twice"),
    "date-dependent": ("info", "the prompt contains today's date"),
    "breaks-without-tools": (
        "warning",
        "it fails when no tools are offered and the engine says so with null",
    ),
    "only-llamacpp": ("warning", "it {}: llama.cpp allows that, transformers and vLLM refuse"),
}
"""Code → how bad, and what a person reads; ``{}`` stands for the particulars."""


@dataclass(frozen=True, slots=True)
class Finding:
    """``conversations`` are those it was seen in, empty when it concerns the template as such."""

    code: str
    severity: Severity
    sentence: str
    conversations: tuple[str, ...] = ()

    @property
    def conversation(self) -> str | None:
        """The first it was seen in."""
        return self.conversations[0] if self.conversations else None


def finding(
    code: str, conversations: tuple[str, ...] = (), particulars: str = "", severity: Severity | None = None
) -> Finding:
    """The finding of a code, with its own severity unless another is given."""
    usual, sentence = SENTENCES[code]
    return Finding(code, severity or usual, sentence.format(particulars), conversations)
