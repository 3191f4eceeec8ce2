"""Renders the reference conversations through a node's own endpoint, llama.cpp's ``/apply-template``.

The node knows more than its template's text: which fields it fills in, how it writes tools for templates that
have none, which arguments it gives as objects. Its prompts are what the model really sees. Nothing is
generated: each conversation costs the node about a millisecond.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from spillway.engines.http_client import HttpClient, fetch_json
from spillway.engines.wire import Headers, WireError
from spillway.pinning.templates.conversations import CONVERSATIONS, Conversation, Shape, context_of
from spillway.pinning.templates.failures import Failure
from spillway.pinning.templates.reference import Reference
from spillway.pinning.templates.rendered import Rendered

__all__ = ["CLIENT_SHAPE", "render_by_node", "undated"]

CLIENT_SHAPE = Shape(arguments="text")
"""How clients write requests; the engine turns it into what its template wants."""
PATH = "/apply-template"
TIMEOUT_S = 5.0

_SENT = ("messages", "tools", "add_generation_prompt")


async def render_by_node(client: HttpClient, headers: Headers = ()) -> Reference | None:
    """Every reference conversation as the node renders it; ``None`` when it has no such endpoint or is away.

    Dates of these days are replaced, so that prompts of different days compare equal.
    """
    rendered: dict[str, Rendered] = {}
    for conversation in CONVERSATIONS:
        result = await _render(client, headers, conversation)
        if result is None:
            return None
        rendered[conversation.name] = result
    return Reference(rendered, CLIENT_SHAPE)


async def _render(client: HttpClient, headers: Headers, conversation: Conversation) -> Rendered | None:
    context = context_of(conversation, CLIENT_SHAPE, bos="", eos="")
    body = json.dumps({name: context[name] for name in _SENT if context[name] is not None}).encode()
    kind = ((b"content-type", b"application/json"),)
    try:
        status, answer = await fetch_json(
            client, PATH, (*headers, *kind), method="POST", body=body, timeout_s=TIMEOUT_S
        )
    except WireError:
        return None
    if status == 200 and isinstance(answer, Mapping) and isinstance(answer.get("prompt"), str):
        text, dates = undated(answer["prompt"], datetime.now(UTC))
        return Rendered(text, is_dated=dates > 0)
    if status in (400, 500) and isinstance(answer, Mapping):
        return Rendered(None, Failure("refused", _message(answer)))
    return None


def _message(answer: Mapping[str, Any]) -> str:
    error = answer.get("error")
    told = error.get("message") if isinstance(error, Mapping) else None
    reason = str(told or "the node gave no reason").rpartition("Jinja Exception:")[2]
    return " ".join(reason.split())[:300]


def undated(prompt: str, day: datetime) -> tuple[str, int]:
    """The prompt without the date of that day and its neighbours; and how many there were."""
    forms = ("%Y-%m-%d", "%d %b %Y", "%d %B %Y", "%B %d, %Y", "%b %d %Y", "%d/%m/%Y")
    days = (day + timedelta(days=offset) for offset in (0, -1, 1))
    pattern = "|".join(re.escape(one.strftime(form)) for one in days for form in forms)
    return re.subn(pattern, "[date]", prompt)
