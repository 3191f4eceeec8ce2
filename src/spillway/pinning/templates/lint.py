"""Finds hazards in how the reference conversations were rendered. Pure: it sees prompts, not templates."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from spillway.pinning.templates.conversations import ANSWER, DRAFT, NEEDLES, USER, Part, by_name
from spillway.pinning.templates.failures import FATAL_KINDS, Failure
from spillway.pinning.templates.findings import Finding, finding
from spillway.pinning.templates.formats import tool_format
from spillway.pinning.templates.prefix import common_end
from spillway.pinning.templates.reference import Reference

__all__ = ["lint"]

_PLAIN = (
    "user",
    "user_no_prompt",
    "multi_turn",
    "no_system",
    "answered",
    "prefill",
    "system_user",
    "tools_no_system",
)
_SYSTEM = ("system_user", "multi_turn", "tools_offered", "after_tool_result")
_OFFERED = ("tools_offered", "tools_no_system", "tool_result")
_CALLED = ("tool_result", "tool_results")

_FAILURE_CODES = {
    "unsafe": "reaches-internals",
    "time": "runs-too-long",
    "memory": "needs-too-much",
    "output": "needs-too-much",
    "crash": "crashes",
    "sandbox": "not-checked",
    "syntax": "not-a-template",
}


def lint(
    reference: Reference, *, bos: str, tools_capable: bool | None = None, may_ask_no_prompt: bool = True
) -> tuple[Finding, ...]:
    """Hazards, the worst first. ``tools_capable``: whether the node claims tools; ``None`` when unknown.

    ``may_ask_no_prompt`` is false for Go templates, which cannot be told to leave the prompt out.
    """
    view = _View(reference, bos, tools_capable, may_ask_no_prompt)
    fatal = tuple(_out_of_bounds(view))
    if fatal:
        return fatal
    found = [one for rule in _RULES for one in rule(view)]
    return tuple(sorted(found, key=lambda one: ("error", "warning", "info").index(one.severity)))


@dataclass(frozen=True, slots=True)
class _View:
    """Questions that the rules ask of the renderings."""

    reference: Reference
    bos: str
    tools_capable: bool | None
    may_ask_no_prompt: bool

    def text(self, name: str) -> str | None:
        return self.reference.renderings[name].text

    def failure(self, name: str) -> Failure | None:
        return self.reference.renderings[name].failure

    def has(self, name: str, part: Part) -> bool:
        """Whether the conversation was rendered with all that its part cannot be recognised without."""
        text = self.text(name)
        return text is not None and all(needle in text for needle in NEEDLES[part])

    def without(self, names: Sequence[str], *parts: Part) -> tuple[str, ...]:
        """Those of the conversations that were rendered, have one of the parts, and lost it."""
        return tuple(
            name
            for name in names
            if self.text(name) is not None
            and any(part in by_name(name).parts and not self.has(name, part) for part in parts)
        )

    def with_text(self, names: Sequence[str], pattern: str) -> tuple[str, ...]:
        """Those of the conversations whose prompt holds the pattern."""
        return tuple(name for name in names if re.search(pattern, self.text(name) or ""))

    @property
    def takes_tools(self) -> bool:
        return any(self.has(name, "tools") for name in _OFFERED)


def _out_of_bounds(view: _View) -> Iterator[Finding]:
    """What is wrong whatever the conversation: nothing else need be looked at then."""
    for name, rendered in view.reference.renderings.items():
        failure = rendered.failure
        if failure is not None and failure.kind in FATAL_KINDS:
            yield finding(_FAILURE_CODES[failure.kind], (name,), failure.message)
            return


def _breakage(view: _View) -> Iterator[Finding]:
    """Failures of conversations without tools, and system prompts that are refused."""
    plain = [name for name in _PLAIN if view.failure(name) is not None]
    only_system = "system_user" in plain and "user" not in plain and "no_system" not in plain
    if only_system:
        failure = view.failure("system_user")
        assert failure is not None
        code = "refuses-system" if failure.kind == "refused" else "breaks"
        yield finding(code, tuple(n for n in plain if n in _SYSTEM), failure.message)
    elif plain:
        failure = view.failure(plain[0])
        assert failure is not None
        yield finding("breaks", tuple(plain), failure.message)


def _lost_texts(view: _View) -> Iterator[Finding]:
    for code, names, parts in (
        ("dropped-system-prompt", _SYSTEM, ("system",)),
        ("dropped-user-text", ("user", "system_user", "multi_turn", "no_system"), ("user",)),
        ("dropped-history", ("multi_turn", "no_system", "reasoning_history"), ("first_user", "answer")),
    ):
        lost = view.without(names, *parts)
        if lost:
            yield finding(code, lost)
    if view.has("user", "user") and USER not in (view.text("user") or ""):
        yield finding("altered-user-text", ("user",))


def _generation_prompt(view: _View) -> Iterator[Finding]:
    """A prompt must end where the history of an answered conversation goes on with the answer."""
    asked, answered = view.text("user"), view.text("answered")
    if asked is None or answered is None or asked != view.text("user_no_prompt") or ANSWER not in answered:
        return
    tail = _after(asked, NEEDLES["user"][-1]).strip()
    lead = _after(answered[: answered.rfind(ANSWER)], NEEDLES["user"][-1]).strip()
    if lead.startswith(tail) and lead != tail:
        yield finding("no-generation-prompt", ("user",))
    prefill = view.text("prefill")
    if prefill is not None and 2 * common_end(_after(prefill, DRAFT).strip(), tail) > len(tail):
        yield finding("prompt-not-asked", ("prefill",), severity=None if view.may_ask_no_prompt else "info")


def _tools(view: _View) -> Iterator[Finding]:
    if not view.takes_tools:
        if view.tools_capable:
            yield finding("lost-tool-definitions", _OFFERED)
        else:
            yield finding("no-tool-support", _OFFERED)
        return
    for code, names, parts in (
        ("lost-tool-definitions", _OFFERED, ("tools",)),
        ("lost-tool-call", _CALLED, ("arguments",)),
        ("lost-tool-result", _CALLED, ("result", "second_result")),
    ):
        lost = view.without(names, *parts)
        if lost:
            yield finding(code, lost)
    if view.has("tool_results", "arguments") and not view.has("tool_results", "second_arguments"):
        yield finding("lost-parallel-calls", ("tool_results",))
    if not view.without(_CALLED, "arguments", "result"):
        forgotten = view.without(("after_tool_result",), "arguments", "result")
        if forgotten:
            yield finding("forgets-tools", forgotten)
    yield from _refused_tools(view)
    yield from _tool_formats(view)


def _refused_tools(view: _View) -> Iterator[Finding]:
    one, many = view.failure("tool_result"), view.failure("tool_results")
    if one is not None:
        code = "refuses-tool-results" if one.kind == "refused" else "breaks"
        yield finding(code, ("tool_result",), one.message)
    elif many is not None:
        code = "one-tool-call" if many.kind == "refused" else "breaks"
        yield finding(code, ("tool_results",), many.message)


def _tool_formats(view: _View) -> Iterator[Finding]:
    if view.has("tool_result", "arguments") and tool_format(view.text("tool_result") or "") is None:
        yield finding("unknown-tool-format", ("tool_result",))
    for code, pattern in (
        ("python-instead-of-json", r"'anchorage':|\{'type': 'function'"),
        ("html-escapes", r"&(#34|quot);anchorage"),
        ("double-encoded-arguments", r'\\"anchorage'),
    ):
        seen = view.with_text((*_OFFERED, "tool_results"), pattern)
        if seen:
            yield finding(code, seen)


def _wordless_calls(view: _View) -> Iterator[Finding]:
    """Clients send null or an empty text for a tool call without words; the engine evens that out."""
    if not (view.takes_tools and view.has("tool_result", "arguments")):
        return
    name = "call_null_content"
    if view.reference.shape.wordless == "null":
        yield finding("empty-content", ("tool_result",))
    elif view.failure(name) is not None or view.without((name,), "arguments", "result"):
        yield finding("null-content", (name,))
    elif re.search(r"\bNone\b", view.text(name) or "") and not view.with_text(("tool_result",), r"\bNone\b"):
        yield finding("prints-none", (name,))


def _content_parts(view: _View) -> Iterator[Finding]:
    name = "content_parts"
    if view.reference.shape.content == "parts":
        yield finding("needs-parts", ("user",))
    elif view.failure(name) is not None:
        if view.failure("system_user") is None:
            yield finding("refuses-parts", (name,))
    elif view.with_text((name,), r"'type': 'text'"):
        yield finding("parts-as-python", (name,))
    elif view.without((name,), "user"):
        yield finding("lost-content-parts", (name,))


def _reasoning(view: _View) -> Iterator[Finding]:
    history, loop = "reasoning_history", "reasoning_tool_loop"
    in_history, in_loop = view.has(history, "reasoning"), view.has(loop, "reasoning")
    if in_loop and not in_history:
        yield finding("drops-old-reasoning", (history,))
    elif in_history and not in_loop and view.takes_tools and view.text(loop) is not None:
        yield finding("loses-reasoning-between-tools", (loop,))
    elif not in_history and not in_loop:
        yield finding("swallowed-reasoning", (history, loop))


def _tokens_and_dates(view: _View) -> Iterator[Finding]:
    if view.bos and (view.text("user") or "").lstrip().startswith(view.bos + view.bos):
        yield finding("duplicated-bos", ("user",))
    dated = tuple(name for name, rendered in view.reference.renderings.items() if rendered.is_dated)
    if dated:
        yield finding("date-dependent", dated)


def _engines(view: _View) -> Iterator[Finding]:
    if view.reference.shape.no_tools == "absent":
        yield finding("breaks-without-tools", ("user",))
    taken = sorted({one for rendered in view.reference.renderings.values() for one in rendered.liberties})
    for liberty in taken:
        names = (n for n, rendered in view.reference.renderings.items() if liberty in rendered.liberties)
        yield finding("only-llamacpp", tuple(names), liberty)


def _after(text: str, mark: str) -> str:
    return text[text.rfind(mark) + len(mark) :]


_RULES: tuple[Callable[[_View], Iterator[Finding]], ...] = (
    _breakage,
    _lost_texts,
    _generation_prompt,
    _tools,
    _wordless_calls,
    _content_parts,
    _reasoning,
    _tokens_and_dates,
    _engines,
)
