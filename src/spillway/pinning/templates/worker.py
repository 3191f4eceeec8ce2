"""The sandbox process: reads jobs on stdin, renders templates, writes texts on stdout, ends at end of input.

One line of JSON each way. A job: ``{"dialect", "text", "contexts": [...], "now_s", "budget_s"}``; for each
context, in order, one answer: ``{"text", "is_dated", "liberties"}`` or ``{"kind", "message"}``. The first
line written is ``{}``: ready.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from spillway.pinning.templates.failures import TemplateFailure
from spillway.pinning.templates.go.ollama import GoTemplate
from spillway.pinning.templates.jinja_dialect import JinjaTemplate
from spillway.pinning.templates.lockdown import Lockdown
from spillway.pinning.templates.rendered import Rendered


class _Template(Protocol):
    def render(self, context: Mapping[str, Any], now_s: float) -> Rendered: ...


_DIALECTS: Mapping[str, Callable[[str], _Template]] = {"jinja": JinjaTemplate, "go": GoTemplate}


def main() -> None:
    """Serves jobs until stdin closes."""
    _warm_up()
    lockdown = Lockdown()
    _write({})
    for line in sys.stdin.buffer:
        job = json.loads(line)
        with lockdown.rendering(cpu_s=int(job["budget_s"]) + 1):
            _serve(job)


def _warm_up() -> None:
    """Jinja has now imported what it imports late; afterwards imports are refused."""
    for text in ("{{ [1, 2]|join(',')|tojson }}{{ strftime_now('%d %b %Y') }}", "{{ a.b }}", "{% if %}"):
        try:
            JinjaTemplate(text).render({}, 0.0)
        except TemplateFailure:
            pass


def _serve(job: Mapping[str, Any]) -> None:
    try:
        template = _DIALECTS[job["dialect"]](job["text"])
    except TemplateFailure as error:
        for _ in job["contexts"]:
            _write_failure(error)
        return
    for context in job["contexts"]:
        _answer(template, context, job["now_s"])


def _answer(template: _Template, context: Mapping[str, Any], now_s: float) -> None:
    try:
        done = template.render(context, now_s)
    except TemplateFailure as error:
        _write_failure(error)
    else:
        _write({"text": done.text, "is_dated": done.is_dated, "liberties": done.liberties})


def _write_failure(error: TemplateFailure) -> None:
    _write({"kind": error.failure.kind, "message": error.failure.message})


def _write(answer: Mapping[str, object]) -> None:
    sys.stdout.buffer.write(json.dumps(answer).encode() + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
