"""Templates render as engines render them, and can do nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from spillway.pinning import templates
from spillway.pinning.templates.failures import Failure
from spillway.pinning.templates.sandbox import TemplateSandbox


def failure_of(sandbox: TemplateSandbox, text: str, **context: object) -> Failure:
    """Why the template gave nothing."""
    (result,) = sandbox.render(text, [context])
    assert result.text is None
    assert result.failure is not None
    return result.failure


def text_of(sandbox: TemplateSandbox, text: str, **context: object) -> str:
    """What the template printed."""
    (result,) = sandbox.render(text, [context])
    assert result.failure is None
    assert result.text is not None
    return result.text


RENDERED = [
    ("  {% if true %}\nyes\n  {% endif %}\n!", "yes\n!"),
    ("{% for i in [1, 2, 3] %}{% if i == 2 %}{% continue %}{% endif %}{{ i }}{% endfor %}", "13"),
    ("{% for i in [1, 2, 3] %}{% if i == 2 %}{% break %}{% endif %}{{ i }}{% endfor %}", "1"),
    ("{{ {'a': '<é>'}|tojson }}", '{"a": "<é>"}'),
    ("{{ {'b': 1, 'a': [1]}|tojson(indent=2) }}", '{\n  "b": 1,\n  "a": [\n    1\n  ]\n}'),
    ("a{% generation %}b{% endgeneration %}c", "abc"),
    ("{{ strftime_now('%d %b %Y') }}", "01 Jan 2025"),
    ("{{ '<&>' }}{{ missing }}", "<&>"),
    ("{% set ns = namespace(n=1) %}{% set ns.n = ns.n + 1 %}{{ ns.n }}", "2"),
    ("{{ [{'n': 'a'}, {'n': 'b'}]|join('-', attribute='n') }}{{ ', '.join(['x', 'y']) }}", "a-bx, y"),
    ("{{ 'a.b'|replace('.', '/') }}{{ '%s!' % 'hi' }}{{ '%d'|format(3) }}{{ 'x'|center(3) }}", "a/bhi!3 x "),
]


@pytest.mark.parametrize(("text", "wanted"), RENDERED)
def test_renders_as_engines_do(sandbox: TemplateSandbox, text: str, wanted: str) -> None:
    """White space control, loop controls, plain JSON, the training tag and the date work as in engines."""
    assert text_of(sandbox, text) == wanted


ESCAPES = [
    "{{ ().__class__.__mro__ }}",
    "{{ ''['__class__'] }}",
    "{{ ''['__cl' ~ 'ass__'] }}",
    "{{ ''|attr('__class__') }}",
    "{{ ''|attr('__cl' ~ 'ass__') }}",
    "{{ [('')]|map(attribute='__class__')|list }}",
    "{{ [''] | map('attr', '__class__') | list }}",
    "{{ [1]|join(attribute='__class__') }}",
    "{{ [1]|groupby('__class__') }}",
    "{{ '{0.__class__}'.format(1) }}",
    "{{ '{a.__class__}'.format_map({'a': 1}) }}",
    "{{ ['{0.__class__}'.format][0](1) }}",
    "{{ lipsum.__globals__ }}",
    "{{ cycler.__init__.__globals__['os'].popen('id').read() }}",
    "{{ namespace.__init__.__globals__ }}",
    "{{ joiner.__init__ }}",
    "{{ dict.mro() }}",
    "{{ raise_exception.__globals__ }}",
    "{{ strftime_now.__self__ }}",
    "{{ self._TemplateReference__context }}",
    "{{ self.__init__ }}",
    "{% set ns = namespace() %}{{ ns._Namespace__attrs }}",
    "{% set ns = namespace() %}{{ ns.__class__ }}",
    "{% for i in [1] %}{{ loop._iterator }}{% endfor %}",
    "{% macro m() %}{% endmacro %}{{ m._func.__globals__ }}",
    "{% macro m() %}{{ caller._environment }}{% endmacro %}{% call m() %}{% endcall %}",
    "{{ [].append.__self__ }}",
    "{{ (1).__add__ }}",
    "{{ {}.__class__.__base__.__subclasses__() }}",
    "{{ missing.__class__ }}",
    "{% include '/etc/passwd' %}",
    "{% import 'os' as o %}",
    "{% from 'os' import system %}",
    "{% extends 'base' %}",
]


@pytest.mark.parametrize("text", ESCAPES)
def test_no_way_to_python_internals(sandbox: TemplateSandbox, text: str) -> None:
    """Known ways out of Jinja sandboxes end the rendering with one sentence that says so."""
    failure = failure_of(sandbox, text)
    assert failure.kind == "unsafe"
    assert "\n" not in failure.message


BOMBS = [
    "{% for i in range(10**9) %}x{% endfor %}",
    "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
    "{% for i in range(99999) %}{% for j in range(99999) %}some text{% endfor %}{% endfor %}",
    "{{ 'a' * 10**9 }}",
    "{{ 10**9 * 'a' }}",
    "{{ [0] * 10**9 }}",
    "{{ 10**(10**6) }}",
    "{% set ns = namespace(x=9**9999) %}{% for i in range(60) %}{% set ns.x = ns.x * ns.x %}{% endfor %}",
    "{% set ns = namespace(x='ab') %}{% for i in range(60) %}{% set ns.x = ns.x + ns.x %}{% endfor %}",
    "{% set ns = namespace(x='ab') %}{% for i in range(60) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}",
    "{% set n = namespace(x=[1]) %}{% for i in range(60) %}{% set n.x = [n.x, n.x] %}{% endfor %}{{ n.x }}",
    "{{ '%999999999d' % 1 }}",
    "{{ '%*d' % (10**9, 1) }}",
    "{{ '%999999999d'|format(1) }}",
    "{{ '{:>999999999}'.format(1) }}",
    "{{ '{:>{}}'.format(1, 10**9) }}",
    "{{ 'a'.ljust(10**10) }}",
    "{{ 'a'.zfill(10**10) }}",
    "{{ 'a'|center(10**10) }}",
    "{{ 'a\nb'|indent(10**10) }}",
    "{{ [1]|slice(10**9)|list }}",
    "{{ [1]|tojson(indent=10**9) }}",
    "{{ 'aaaaaaaaaa'|replace('a', 'b' * 99999)|replace('b', 'c' * 99999) }}",
    "{{ ('a' * 9999).replace('a', 'b' * 9999) }}",
    "{{ ('b' * 99999).join(range(99999)|map('string')) }}",
    "{{ range(99999)|join('b' * 99999) }}",
    "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    "{% macro f(n) %}{{ f(n) ~ f(n) }}{% endmacro %}{{ f(1) }}",
    "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}",
    "{{ " + "-" * 5000 + "1 }}",
    "{{ " + "[" * 5000 + "]" * 5000 + " }}",
    "{% if 1 %}" * 3000 + "{% endif %}" * 3000,
]


@pytest.mark.parametrize("text", BOMBS, ids=lambda text: text[:60])
def test_bombs_end_soon(impatient: TemplateSandbox, text: str) -> None:
    """A template that loops, recurses or allocates without end is stopped in time, with a reason."""
    started_s = time.monotonic()
    failure = failure_of(impatient, text)
    assert time.monotonic() - started_s < 5.0
    assert failure.kind in ("time", "memory", "output")


def test_worker_comes_back_after_a_kill(impatient: TemplateSandbox) -> None:
    """A template that had to be killed does not spoil the next one."""
    assert failure_of(impatient, BOMBS[1]).kind == "time"
    assert text_of(impatient, "{{ 1 + 1 }}") == "2"


def test_contexts_after_a_kill_share_its_failure() -> None:
    """One budget covers all conversations of a template, so a looping one costs it once."""
    text = "{% if slow %}" + BOMBS[1] + "{% endif %}done"
    with TemplateSandbox(budget_s=1.0) as own:
        results = own.render(text, [{"slow": False}, {"slow": True}, {"slow": False}])
    assert [r.text for r in results] == ["done", None, None]
    assert [r.failure.kind for r in results[1:] if r.failure] == ["time", "time"]


def test_reasons_are_told_apart(sandbox: TemplateSandbox) -> None:
    """A broken text, a refusal by the template and a failure of its code are three different things."""
    assert failure_of(sandbox, "{% if %}").kind == "syntax"
    refusal = failure_of(sandbox, "{{ raise_exception('System role not supported') }}")
    assert refusal == Failure("refused", "System role not supported")
    assert failure_of(sandbox, "{{ messages[0].x.y }}", messages=[{}]).kind == "error"


def test_changing_a_list_is_allowed_and_noted(sandbox: TemplateSandbox) -> None:
    """llama.cpp lets templates change lists, other engines refuse: it renders, and the result says so."""
    changing = "{% set _ = messages.append(1) %}{{ messages|length }}"
    first, second = sandbox.render(changing + "{{ x }}", [{"messages": []}, {"messages": []}])
    assert (first.text, second.text) == ("1", "1")
    assert second.liberties == ("changes a list or mapping in place",)
    assert sandbox.render("{{ 1 }}", [{}])[0].liberties == ()


def test_use_of_the_date_is_noticed(sandbox: TemplateSandbox) -> None:
    """A rendering that contains the date says so."""
    dated, plain = sandbox.render("{% if d %}{{ strftime_now('%Y') }}{% endif %}", [{"d": 1}, {"d": 0}])
    assert (dated.is_dated, plain.is_dated) == (True, False)


def test_huge_template_is_refused_unread(sandbox: TemplateSandbox) -> None:
    """A text longer than any template is not even parsed."""
    assert failure_of(sandbox, "x" * 1_000_001).kind == "output"


def test_worker_that_cannot_start_is_no_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a sandbox the result says that the check failed, not that the template did."""
    monkeypatch.setattr(sys, "path", [])
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with TemplateSandbox() as broken:
        assert failure_of(broken, "x").kind == "sandbox"


def test_worker_gets_no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys of the gateway's environment are not in the worker's."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    seen: list[dict[str, str]] = []
    real = subprocess.Popen

    def spy(*args: object, **kwargs: dict[str, str]) -> object:
        seen.append(kwargs["env"])
        return real(*args, **kwargs)  # type: ignore[call-overload]

    monkeypatch.setattr(subprocess, "Popen", spy)
    with TemplateSandbox() as own:
        assert text_of(own, "x") == "x"
    assert set(seen[0]) == {"PYTHONPATH"}


LOCKED = """
import os, socket, sys
from spillway.pinning.templates.lockdown import Lockdown
with Lockdown().rendering(cpu_s=1):
    for deed in (lambda: open("/etc/hostname"), lambda: socket.socket(), lambda: os.system("true"),
                 lambda: __import__("wave"), lambda: os.remove("/nonexistent"), lambda: os.fork()):
        try:
            deed()
        except PermissionError:
            print("refused")
        else:
            print("done")
try:
    open({target!r}, "w").write("x")
except OSError:
    print("refused")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no process limits")
def test_process_behind_the_sandbox_can_do_nothing(tmp_path: Path) -> None:
    """Even code that got out of Jinja finds no files, sockets, processes or imports."""
    target = tmp_path / "escaped"
    code = LOCKED.replace("{target!r}", repr(str(target)))
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=dict(os.environ),
    )
    assert done.stdout.split() == ["refused"] * 7
    assert not target.exists()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux hands the peak down")
def test_a_large_parent_does_not_count() -> None:
    """The worker's memory is its own: a gateway of 400 MB can still render."""
    ballast = bytearray(400_000_000)
    ballast[::4096] = b"x" * len(ballast[::4096])
    with TemplateSandbox() as own:
        assert text_of(own, "{{ 2 }}") == "2"
    del ballast


def test_worker_loads_no_network_client() -> None:
    """The sandbox process has nothing in memory that could talk to anybody."""
    code = "import sys, spillway.pinning.templates.worker; print(*sorted(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert not {"socket", "ssl", "asyncio", "subprocess", "msgspec", "ctypes"} & set(done.stdout.split())


def test_package_offers_every_name() -> None:
    """Names that are imported late are there, and others are not."""
    assert all(hasattr(templates, name) for name in templates.__all__)
    assert not hasattr(templates, "nothing_like_it")
