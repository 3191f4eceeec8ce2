"""What one conversation became under a template."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from spillway.pinning.templates.failures import Failure

__all__ = ["Dialect", "Rendered", "Renderings"]

Dialect = Literal["jinja", "go"]
"""``go``: Go's text/template as Ollama runs it."""


@dataclass(frozen=True, slots=True)
class Rendered:
    """``text`` or ``failure``, never both."""

    text: str | None
    failure: Failure | None = None
    is_dated: bool = False
    """Whether the template asked for the date."""
    liberties: tuple[str, ...] = ()
    """What the template did that llama.cpp allows and transformers, hence vLLM, refuses."""


Renderings = Mapping[str, Rendered]
"""By the name of the conversation."""
