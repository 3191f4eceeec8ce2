"""Every hazard is found where it was put, and nowhere else."""

from __future__ import annotations

import pytest

from spillway.pinning.templates import TemplateSandbox, check_template
from spillway.pinning.templates.findings import SENTENCES
from tests.pinning.templates.samples import GO_GOOD, GOOD, broken

PYTHON_PARTS = ("{{- words(message.content) -}}\n{%- for call", "{{- message.content -}}\n{%- for call")
REFUSING_SYSTEM = (
    "{%- if messages[0].role == 'system' -%}{{ raise_exception('no system role') }}{%- endif -%}"
)
REFUSING_TOOL = (
    "{%- elif message.role == 'tool' -%}{{ raise_exception('no tool role') }}\n{{- '<|im_start|>tool"
)
ONE_CALL = "{%- if message.tool_calls|length > 1 -%}{{ raise_exception('one call at once') }}{%- endif -%}\n"
NEW_TURN = "{{- '<|im_start|>assistant\\n' -}}"
LAST = "{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}"
ARGUMENTS = "call.function.arguments | tojson"
USER = "{%- if message.role == 'user' or (message.role == 'system' and not loop.first) -%}"

HAZARDS: list[tuple[str, str]] = [
    ("not-a-template", broken(("{%- endfor -%}\n{%- if add", "{%- if add"))),
    ("reaches-internals", GOOD + "{{ ''.__class__ }}"),
    (
        "runs-too-long",
        GOOD + "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
    ),
    ("needs-too-much", GOOD + "{{ 'a' * 10**9 }}"),
    ("breaks", GOOD + "{{ messages[3].role.name.x }}"),
    ("dropped-system-prompt", broken(("{{- words(messages[0].content) -}}", ""))),
    ("refuses-system", REFUSING_SYSTEM + GOOD),
    ("dropped-user-text", broken((USER, "{%- if message.role == 'user' and loop.first -%}"))),
    ("dropped-history", "{%- set messages = messages[-1:] -%}" + GOOD),
    ("altered-user-text", broken(("{{- content -}}", "{{- content|e -}}"))),
    ("no-generation-prompt", broken((LAST, ""))),
    ("prompt-not-asked", broken((LAST, NEW_TURN))),
    ("no-tool-support", "{%- set tools = none -%}" + broken(("message.tool_calls or []", "[]"))),
    ("lost-tool-definitions", "{%- set tools = none -%}" + GOOD),
    ("lost-tool-definitions", broken(("{%- if tools -%}", "{%- if tools and has_system -%}"))),
    ("lost-tool-call", broken(("message.tool_calls or []", "[]"))),
    (
        "lost-parallel-calls",
        broken(("message.tool_calls or []", "(message.tool_calls or [])[:1]"), ("'<think>'", "''")),
    ),
    ("lost-tool-result", broken(("message.role == 'tool'", "message.role == 'tool_result'"))),
    ("lost-tool-result", broken(("message.role == 'tool'", "message.role == 'tool' and loop.last"))),
    (
        "forgets-tools",
        broken(("message.tool_calls or []", "(message.tool_calls or [] if loop.revindex < 4 else [])")),
    ),
    (
        "one-tool-call",
        broken(
            ("{{- words(message.content) -}}\n{%- for", ONE_CALL + "{{- words(message.content) -}}\n{%- for")
        ),
    ),
    (
        "refuses-tool-results",
        broken(("{%- elif message.role == 'tool' -%}\n{{- '<|im_start|>tool", REFUSING_TOOL)),
    ),
    ("unknown-tool-format", broken(('<tool_call>\\n{"name": "', "(call "), ('", "arguments": ', " with "))),
    ("python-instead-of-json", broken(("tool | tojson", "tool|string"))),
    ("double-encoded-arguments", broken((ARGUMENTS, "call.function.arguments|tojson|tojson"))),
    ("html-escapes", broken((ARGUMENTS, "(''|safe + (call.function.arguments|tojson))"))),
    ("null-content", broken(PYTHON_PARTS, ("{{- message.content -}}", "{{- message.content.strip() -}}"))),
    (
        "empty-content",
        broken(("message.tool_calls or []", "(message.tool_calls or [] if message.content is none else [])")),
    ),
    ("prints-none", broken(PYTHON_PARTS)),
    ("lost-content-parts", broken(("{{- part.text -}}", ""))),
    ("parts-as-python", broken(("{{- part.text -}}", "{{- content -}}"))),
    ("refuses-parts", broken(("{{- part.text -}}", "{{- part.text.words.x -}}"))),
    ("needs-parts", broken(("{%- if content is string -%}{{- content -}}", "{%- if content is string -%}"))),
    ("swallowed-reasoning", broken(("{%- if message.reasoning_content -%}", "{%- if false -%}"))),
    (
        "drops-old-reasoning",
        broken(
            (
                "message.reasoning_content -%}",
                "message.reasoning_content and loop.revindex < 3 and messages[-1].role == 'tool' -%}",
            )
        ),
    ),
    (
        "loses-reasoning-between-tools",
        broken(("message.reasoning_content -%}", "message.reasoning_content and not message.tool_calls -%}")),
    ),
    ("duplicated-bos", "{{ bos_token }}{{ bos_token }}" + GOOD),
    ("date-dependent", "{{ strftime_now('%d %b %Y') }}" + GOOD),
    ("breaks-without-tools", "{%- for tool in tools -%}{%- endfor -%}" + GOOD),
    ("only-llamacpp", "{%- set seen = [] -%}{%- set _ = seen.append(1) -%}" + GOOD),
    ("only-llamacpp", "{%- if tools -%}{{- tools|map(attribute='function')|tojson -}}{%- endif -%}" + GOOD),
]


def codes(sandbox: TemplateSandbox, text: str, **more: bool) -> set[str]:
    """The codes of what was found."""
    return {one.code for one in check_template(text, sandbox=sandbox, **more).findings}  # type: ignore[arg-type]


def test_a_good_template_has_no_findings(sandbox: TemplateSandbox) -> None:
    """Nothing is reported for templates that lose nothing, in either dialect."""
    assert codes(sandbox, GOOD) == set()
    assert codes(sandbox, GO_GOOD) == {"prompt-not-asked"}


@pytest.mark.parametrize(
    ("code", "text"), HAZARDS, ids=[f"{i}-{code}" for i, (code, _) in enumerate(HAZARDS)]
)
def test_each_hazard_is_found(sandbox: TemplateSandbox, code: str, text: str) -> None:
    """A template with one fault is reported for it, with a sentence and where it was seen."""
    found = {one.code: one for one in check_template(text, sandbox=sandbox).findings}
    assert code in found
    assert found[code].sentence
    assert found[code].conversation is not None


def test_every_code_is_tested() -> None:
    """Each finding there can be has a template that shows it, but for those that need a broken machine."""
    assert {code for code, _ in HAZARDS} == set(SENTENCES) - {"not-checked", "crashes"}


def test_lost_tools_weigh_more_when_the_node_claims_them(sandbox: TemplateSandbox) -> None:
    """A template without tools is worth a note, unless the node says that it takes tools."""
    text = "{%- set tools = none -%}" + broken(("message.tool_calls or []", "[]"))
    assert "no-tool-support" in codes(sandbox, text)
    claimed = check_template(text, tools_capable=True, sandbox=sandbox)
    assert claimed.findings[0].code == "lost-tool-definitions"
    assert claimed.has_errors


def test_worst_findings_come_first(sandbox: TemplateSandbox) -> None:
    """Errors stand before warnings, those before notes."""
    text = "{{ strftime_now('%Y') }}" + broken((LAST, ""), ("{{- part.text -}}", ""))
    severities = [one.severity for one in check_template(text, sandbox=sandbox).findings]
    assert severities == sorted(severities, key=("error", "warning", "info").index)
    assert severities[0] == "error"


def test_go_templates_are_linted_too(sandbox: TemplateSandbox) -> None:
    """What an Ollama template loses is found as it is in Jinja."""
    without_results = broken(('{{ else if eq .Role "tool" }}', '{{ else if eq .Role "none" }}'), of=GO_GOOD)
    assert "lost-tool-result" in codes(sandbox, without_results)
    assert "dropped-system-prompt" in codes(sandbox, broken(("{{ .System }}", ""), of=GO_GOOD))
    assert "no-generation-prompt" in codes(
        sandbox, broken(("{{- end }}<|im_start|>assistant\n", "{{ end }}"), of=GO_GOOD)
    )


def test_old_go_templates_lose_tools(sandbox: TemplateSandbox) -> None:
    """A template of the time before message lists shows system and user texts, and no tools."""
    found = codes(
        sandbox, "{{ if .System }}{{ .System }}\n{{ end }}USER: {{ .Prompt }}\nASSISTANT: {{ .Response }}\n"
    )
    assert "no-tool-support" in found
    assert not found & {
        "dropped-system-prompt",
        "dropped-user-text",
        "dropped-history",
        "no-generation-prompt",
    }
