"""Two templates are compared by what a model would see."""

from __future__ import annotations

import pytest

from spillway.pinning.templates import TemplateSandbox, check_template, compare_templates
from tests.pinning.templates.samples import GO_GOOD, GOOD, broken

RESULTS = "{{- '<|im_start|>tool\\n' + words(message.content) + '<|im_end|>\\n' -}}"
CHANGES = [
    (broken(("{{- words(messages[0].content) -}}", "")), "system prompt dropped"),
    (broken((RESULTS, "")), "tool result dropped"),
    (
        broken(("{%- for tool in tools -%}{{- tool | tojson -}}{%- endfor -%}", "")),
        "tool definitions dropped",
    ),
    (broken(("message.tool_calls or []", "[]")), "tool call dropped"),
    (broken(("{%- if message.reasoning_content -%}", "{%- if false -%}")), "reasoning dropped"),
    (
        broken(("<|im_start|>assistant\\n' -}}{%- endif", "<|im_start|>assistant\\n<think>' -}}{%- endif")),
        "the end that starts the model's turn differs",
    ),
    (broken(("<|im_end|>\\n", "<|im_end|>")), "only white space differs"),
    (broken(("<|im_end|>", "<|eot_id|>")), "turn marks differ"),
    ("{{ bos_token }}" + GOOD, "the beginning differs"),
    ("{{ 'You are a very helpful assistant. ' }}{% if tools %} {% endif %}" + GOOD, "the beginning differs"),
    (broken(("'\\n<tools>'", "'\\nYou may call these tools <tools>'")), "other words are added or left out"),
    (GOOD + "{{ raise_exception('never') }}", "cannot be rendered any more"),
]


@pytest.mark.parametrize(("text", "what"), CHANGES, ids=[what for _, what in CHANGES])
def test_a_change_is_named(sandbox: TemplateSandbox, text: str, what: str) -> None:
    """What a changed template does differently is said in words, with both prompts around the place."""
    found = compare_templates(GOOD, text, sandbox=sandbox)
    assert what in {part for one in found for part in one.what.split("; ")}
    assert all(one.old != one.new for one in found)
    assert all(len(one.old) <= 90 and one.conversation for one in found)


def test_gains_are_named_too(sandbox: TemplateSandbox) -> None:
    """The way back from a faulty template to a good one reads as a gain."""
    faulty = broken(("{{- words(messages[0].content) -}}", ""))
    assert "system prompt now shown" in {one.what for one in compare_templates(faulty, GOOD, sandbox=sandbox)}
    failing = GOOD + "{{ raise_exception('never') }}"
    assert {one.what for one in compare_templates(failing, GOOD, sandbox=sandbox)} == {"can be rendered now"}


def test_equal_renderings_are_no_difference(sandbox: TemplateSandbox) -> None:
    """Comments, layout and other ways of writing the same thing change the text's digest only."""
    twin = "{#- the same again -#}\n" + broken(("message.role", "message['role']"), ("words(", "said("))
    one, other = (check_template(text, sandbox=sandbox) for text in (GOOD, twin))
    assert compare_templates(GOOD, twin, sandbox=sandbox) == ()
    assert one.rendering_digest == other.rendering_digest
    assert one.exact_digest != other.exact_digest


def test_two_dialects_can_be_compared(sandbox: TemplateSandbox) -> None:
    """An Ollama template and the Jinja original differ where they differ, not because of their languages."""
    plain = "{{- range .Messages }}<|{{ .Role }}|>{{ .Content }}\n{{ end }}<|assistant|>"
    jinja = (
        "{{ bos_token }}{% for m in messages %}{{ '<|' + m.role + '|>' + (m.content if m.content is string"
        " else m.content[0].text if m.content else '') + '\n' }}{% endfor %}"
        "{% if add_generation_prompt %}<|assistant|>{% endif %}"
    )
    assert compare_templates(jinja, plain, sandbox=sandbox) == ()
    assert compare_templates(jinja.replace("assistant|", "answer|"), plain, sandbox=sandbox) != ()
    found = {one.conversation for one in compare_templates(GOOD, GO_GOOD, sandbox=sandbox)}
    assert not found & {"user", "system_user", "multi_turn", "no_system"}
    assert found >= {"tools_offered"}


def test_digest_does_not_change_overnight(sandbox: TemplateSandbox) -> None:
    """A template that prints the date has the same digest every day, and says that it prints it."""
    report = check_template("{{ strftime_now('%d %b %Y') }}" + GOOD, sandbox=sandbox)
    assert report.is_date_dependent
    assert "01 Jan 2025" in (report.renderings["user"].text or "")
    assert report.rendering_digest is not None
    assert report.rendering_digest.startswith("r1:")


def test_no_digest_without_a_rendering(sandbox: TemplateSandbox) -> None:
    """A template that is out of bounds has no rendering digest, for it has no renderings."""
    report = check_template("{{ ().__class__ }}", sandbox=sandbox)
    assert (report.rendering_digest, report.tool_format) == (None, None)


def test_tool_format_is_named(sandbox: TemplateSandbox) -> None:
    """The format of tool calls is known by the name that people use for it."""
    assert check_template(GOOD, sandbox=sandbox).tool_format == "hermes"


def test_works_without_a_sandbox_handed_in() -> None:
    """A single check starts and ends a sandbox of its own."""
    assert check_template(GOOD).findings == ()
    assert compare_templates(GOOD, GOOD) == ()
