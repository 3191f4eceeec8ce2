"""Go templates print what Go and Ollama print; the expected texts were worked out by hand from Go's rules."""

from __future__ import annotations

from typing import Any

import pytest

from spillway.pinning.templates import TemplateSandbox
from spillway.pinning.templates.reference import dialect_of
from spillway.pinning.templates.rendered import Rendered
from tests.pinning.templates.samples import GO_GOOD, GOOD

SYSTEM = {"role": "system", "content": "Be brief."}
HELLO = {"role": "user", "content": "Hello <you>"}
HI = {"role": "assistant", "content": "Hi."}
BYE = {"role": "user", "content": "Bye"}
TOOL = {
    "type": "function",
    "function": {
        "name": "tide",
        "description": "Tells the tide.",
        "parameters": {
            "type": "object",
            "properties": {"port": {"type": "string", "description": "Which."}, "day": {"type": "integer"}},
            "required": ["port"],
        },
    },
}
CALL = {
    "role": "assistant",
    "content": "",
    "tool_calls": [
        {"id": "c1", "type": "function", "function": {"name": "tide", "arguments": '{"port": "Kiel"}'}}
    ],
}


def render(sandbox: TemplateSandbox, text: str, *messages: dict[str, Any], tools: Any = None) -> Rendered:
    """The one result."""
    (result,) = sandbox.render(text, [{"messages": messages, "tools": tools}], dialect="go")
    return result


LANGUAGE = [
    ("a  {{- 1 }}  b", "a1  b"),
    ("a  {{ 1 -}}  b", "a  1b"),
    ("a {{- /* gone */ -}} b{{/* too */}}!", "ab!"),
    ("{{ if false }}a{{ else if true }}b{{ else }}c{{ end }}", "b"),
    ("{{ range .None }}a{{ else }}empty{{ end }}", "empty"),
    ("{{ range $i, $m := .Messages }}{{ $i }}{{ $m.Role }} {{ end }}", "0user 1assistant "),
    ("{{ range $m := .Messages }}{{ $m.Content }}{{ end }}", "Hello <you>Hi."),
    ('{{ range .Messages }}{{ if eq .Role "assistant" }}{{ break }}{{ end }}{{ .Role }}{{ end }}', "user"),
    ('{{ range .Messages }}{{ if eq .Role "user" }}{{ continue }}{{ end }}{{ .Role }}{{ end }}', "assistant"),
    ("{{ range 3 }}{{ . }}{{ end }}", "012"),
    ("{{ with .System }}a{{ else }}none{{ end }}", "none"),
    ('{{ with "x" }}{{ . }}{{ end }}', "x"),
    ("{{ $x := 1 }}{{ if true }}{{ $x = 2 }}{{ end }}{{ $x }}", "2"),
    ("{{ $x := 1 }}{{ if true }}{{ $x := 2 }}{{ end }}{{ $x }}", "1"),
    ('{{ define "t" }}<{{ . }}>{{ end }}{{ template "t" "a" }}{{ template "t" .System }}', "<a><>"),
    ('{{ block "b" 7 }}[{{ . }}]{{ end }}', "[7]"),
    ('{{ printf "%s-%d-%v-%5.1f-%%-%q" "a" 2 true 1.25 "z" }}', 'a-2-true-  1.2-%-"z"'),
    ('{{ print "a" 1 2 "b" }}', "a1 2b"),
    ('{{ "tab\\t\\"q\\" \\u00e9 \\x41 \\101" }}{{ `raw \\n` }}', 'tab\t"q" é A Araw \\n'),
    ('{{ and true "" }}|{{ or "" "b" }}|{{ not 0 }}|{{ and false .Nope.Deep }}', "|b|true|false"),
    (
        '{{ eq "a" "b" "a" }}{{ ne 1 2 }}{{ lt 1 2 }}{{ le 2 2 }}{{ gt 1 2 }}{{ ge "b" "a" }}',
        "truetruetruetruefalsetrue",
    ),
    ('{{ len .Messages }}{{ len "é" }}{{ len (slice .Messages 1) }}{{ slice "abc" 1 2 }}', "221b"),
    ('{{ (index .Messages 1).Content }}{{ index "abc" 0 | print }}', "Hi.a"),
    ("{{ .Missing }}{{ if .Missing }}x{{ end }}", "<no value>"),
    ('{{ json .System }}{{ json "<&>" }}{{ "x" | json }}', '"""\\u003c\\u0026\\u003e""x"'),
    ('{{ .System | printf "%s%s" "a" }}', "a"),
    ("{{ $.Messages | len }}{{ range .Messages }}{{ len $.Messages }}{{ end }}", "222"),
    ("{{ 'a' }}{{ 0x10 }}{{ 1_000 }}{{ -2 }}{{ nil }}", "97161000-2<no value>"),
]


@pytest.mark.parametrize(("text", "wanted"), LANGUAGE)
def test_language(sandbox: TemplateSandbox, text: str, wanted: str) -> None:
    """Actions, trimming, branches, loops, variables, definitions and functions work as in Go."""
    result = render(sandbox, text + "{{ if .Messages }}{{ end }}", HELLO, HI)
    assert result.failure is None
    assert result.text == wanted


FAULTS = [
    ("{{ if }}", "syntax"),
    ("{{ if true }}", "syntax"),
    ("{{ end }}", "syntax"),
    ('{{ "open }}', "syntax"),
    ("{{ .Messages ", "syntax"),
    ("{{ unknown 1 }}", "syntax"),
    ("{{ $x }}", "syntax"),
    ("{{ ; }}", "syntax"),
    ("{{ (1 }}", "syntax"),
    ("{{ range .Messages }}{{ .Colour }}{{ end }}", "error"),
    ("{{ range .Messages }}{{ .Role.Name }}{{ end }}", "error"),
    ("{{ .Missing.Deep }}", "error"),
    ("{{ index .Messages 9 }}", "error"),
    ('{{ lt 1 "a" }}', "error"),
    ("{{ len 1 }}", "error"),
    ('{{ template "nowhere" }}', "error"),
    ('{{ range "text" }}{{ end }}', "error"),
    ("{{ eq }}", "error"),
    ('{{ define "t" }}{{ template "t" }}{{ end }}{{ template "t" }}', "memory"),
    ("{{ range 99999 }}{{ range 99999 }}some text{{ end }}{{ end }}", "output"),
    ('{{ printf "%999999999d" 1 }}', "memory"),
    ("{{ " + "(" * 3000 + "1" + ")" * 3000 + " }}", "memory"),
]


@pytest.mark.parametrize(("text", "kind"), FAULTS, ids=[text[:40] for text, _ in FAULTS])
def test_faults(sandbox: TemplateSandbox, text: str, kind: str) -> None:
    """A broken or endless Go template ends with a reason of the right kind."""
    result = render(sandbox, "{{ if .Messages }}{{ end }}" + text, HELLO)
    assert result.text is None
    assert result.failure is not None
    assert result.failure.kind == kind


def test_endless_loop_is_killed() -> None:
    """A Go template cannot loop for ever either."""
    with TemplateSandbox(budget_s=0.5) as own:
        result = render(
            own, "{{ if .Messages }}{{ range 99999 }}{{ range 99999 }}{{ end }}{{ end }}{{ end }}", HELLO
        )
    assert result.failure is not None
    assert result.failure.kind == "time"


def test_system_and_neighbours_are_merged(sandbox: TemplateSandbox) -> None:
    """Ollama joins neighbouring messages of one role and hands all system texts over as one."""
    text = "{{ .System }}{{ range .Messages }}|{{ .Role }}:{{ .Content }}{{ end }}"
    result = render(sandbox, text, SYSTEM, SYSTEM, HELLO, BYE)
    assert result.text == "Be brief.\n\nBe brief.|system:Be brief.\n\nBe brief.|user:Hello <you>\n\nBye"


def test_old_templates_run_turn_by_turn(sandbox: TemplateSandbox) -> None:
    """A template without message lists is run once for each turn and cut where the answer goes."""
    text = "{{ if .System }}S:{{ .System }} {{ end }}U:{{ .Prompt }} A:{{ .Response }}</s>"
    assert render(sandbox, text, SYSTEM, HELLO, HI, BYE).text == "S:Be brief. U:Hello <you> A:Hi.</s>U:Bye A:"
    assert render(sandbox, text, HELLO, HI).text == "U:Hello <you> A:Hi."
    nested = "U:{{ .Prompt }}{{ if .Response }}{{ .Response }}</s>{{ end }}never"
    assert render(sandbox, nested, HELLO).text == "U:Hello <you>"


def test_response_goes_last_when_nothing_says_where(sandbox: TemplateSandbox) -> None:
    """A template that names no response has it appended."""
    assert render(sandbox, "{{ .Prompt }} => ", HELLO, HI, BYE).text == "Hello <you> => Hi.Bye => "


def test_tools_and_calls(sandbox: TemplateSandbox) -> None:
    """Tools and arguments print as JSON; parameters can be walked, in the order of their names."""
    text = (
        "{{ range .Tools }}{{ .Function.Name }}({{ range $n, $p := .Function.Parameters.Properties }}"
        "{{ $n }}:{{ $p.Type }} {{ end }}){{ .Function.Parameters.Required }}{{ end }}"
        "{{ range .Messages }}{{ range .ToolCalls }}{{ .Function.Name }}{{ .Function.Arguments }}{{ json . }}"
        "{{ end }}"
        '{{ if eq .Role "tool" }}{{ .ToolName }}={{ .Content }}{{ end }}{{ end }}'
    )
    answer = {"role": "tool", "tool_call_id": "c1", "name": "tide", "content": "high"}
    result = render(sandbox, text, HELLO, CALL, answer, tools=[TOOL])
    assert result.text == (
        "tide(day:integer port:string )[port]"
        'tide{"port":"Kiel"}{"function":{"name":"tide","arguments":{"port":"Kiel"}}}tide=high'
    )
    printed = render(sandbox, "{{ .Tools }}{{ if .Messages }}{{ end }}", HELLO, tools=[TOOL]).text
    assert printed is not None
    assert printed.startswith('[{"type":"function","function":{"name":"tide"')


def test_dates_are_fixed_and_noticed(sandbox: TemplateSandbox) -> None:
    """Ollama's dates are those of the reference day."""
    result = render(sandbox, "{{ currentDate }} {{ yesterdayDate }}{{ if .Messages }}{{ end }}", HELLO)
    assert (result.text, result.is_dated) == ("2025-01-01 2024-12-31", True)


def test_thinking_reaches_the_template(sandbox: TemplateSandbox) -> None:
    """Reasoning sent back is in the field that Ollama's templates read."""
    thought = {"role": "assistant", "content": "Hi.", "reasoning_content": "hm"}
    assert render(sandbox, "{{ range .Messages }}{{ .Thinking }}{{ end }}", HELLO, thought).text == "hm"


def test_dialect_is_seen() -> None:
    """A text's language is told from how its actions look."""
    assert (dialect_of(GOOD), dialect_of(GO_GOOD)) == ("jinja", "go")
    assert dialect_of("{{ .Prompt }}") == "go"
    assert dialect_of("{{ messages[0].content }}") == "jinja"
    assert dialect_of("{{- range .Messages }}{{ end }}") == "go"
