"""Renders the reference conversations with a template text, in the sandbox."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from spillway.pinning.templates.conversations import CONVERSATIONS, Conversation, Shape, context_of
from spillway.pinning.templates.failures import FATAL_KINDS
from spillway.pinning.templates.rendered import Dialect, Rendered, Renderings
from spillway.pinning.templates.sandbox import TemplateSandbox
from spillway.pinning.templates.shapes import TRIALS, shape_of

__all__ = ["Reference", "Source", "dialect_of", "render_reference"]

_GO_ACTION = re.compile(r"\{\{-?\s*(?:[.$]|(?:if|range|with|define|template|block|end|else|json)\b|/\*)")
_JINJA_BLOCK = re.compile(r"\{%|\{#")


@dataclass(frozen=True, slots=True)
class Source:
    """A template's text and the tokens that the model's tokenizer puts around a prompt."""

    text: str
    bos: str = "<s>"
    eos: str = "</s>"
    dialect: Dialect | None = None
    """``None``: seen from the text."""
    variables: Mapping[str, Any] = field(default_factory=dict)
    """What else the engine hands to the template, as ``chat_template_kwargs`` do; llama.cpp sets
    ``enable_thinking`` to true unless told otherwise, transformers and vLLM leave it out."""


@dataclass(frozen=True, slots=True)
class Reference:
    """Every reference conversation under one template, and the shape it was handed over in."""

    renderings: Renderings
    shape: Shape

    def text(self, name: str) -> str | None:
        """The prompt of a conversation; ``None`` when it could not be rendered."""
        return self.renderings[name].text


def render_reference(source: Source, sandbox: TemplateSandbox) -> Reference:
    """All reference conversations under the template; bounded by twice the sandbox's budget."""
    trials = _render(source, sandbox, TRIALS)
    fatal = next((r for r in trials if r.failure is not None and r.failure.kind in FATAL_KINDS), None)
    if fatal is not None:
        return Reference({conversation.name: fatal for conversation in CONVERSATIONS}, Shape())
    shape = shape_of(trials)
    rendered = _render(source, sandbox, tuple((conversation, shape) for conversation in CONVERSATIONS))
    return Reference({c.name: r for c, r in zip(CONVERSATIONS, rendered, strict=True)}, shape)


def dialect_of(text: str) -> Dialect:
    """Go's or Jinja's, by how its actions look."""
    return "go" if _GO_ACTION.search(text) and not _JINJA_BLOCK.search(text) else "jinja"


def _render(
    source: Source, sandbox: TemplateSandbox, wanted: tuple[tuple[Conversation, Shape], ...]
) -> tuple[Rendered, ...]:
    contexts = [
        {**context_of(conversation, shape, bos=source.bos, eos=source.eos), **source.variables}
        for conversation, shape in wanted
    ]
    dialect = source.dialect or dialect_of(source.text)
    return sandbox.render(source.text, contexts, dialect=dialect)
