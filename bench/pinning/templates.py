"""Checks every template of a collection: what renders, what it loses, which of one name differ.

    python -m bench.pinning.templates FOLDER [--engine] [--pairs] [--findings]

FOLDER holds templates.jsonl.gz, rendered_fixtures.jsonl.gz and render_contexts/. ``--engine`` renders every
Jinja template with the real llama.cpp as well and compares (half a minute); ``--pairs`` and ``--findings``
list what the tables count. Prints Markdown.
"""

from __future__ import annotations

import argparse
import platform
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from bench.pinning.by_engine import BOS, EOS, engine_renderings
from bench.pinning.collection import (
    Template,
    contexts,
    expected_texts,
    model_of,
    same_name_pairs,
    templates,
)
from spillway.pinning.templates import (
    Difference,
    Source,
    TemplateReport,
    TemplateSandbox,
    check_template,
    differences,
)
from spillway.pinning.templates.compare import across_dialects
from spillway.pinning.templates.conversations import CONVERSATIONS
from spillway.pinning.templates.reference import render_reference
from spillway.pinning.templates.remote import undated
from spillway.pinning.templates.rendered import Rendered
from spillway.pinning.templates.sandbox import REFERENCE_NOW_S

GOES_ON = ("answered", "prefill")
"""Conversations that end with an answer: llama.cpp goes on with it, templates close it."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Two templates of one model and what differs between their prompts."""

    one: Template
    other: Template
    differences: tuple[Difference, ...]
    differs_elsewhere: bool
    """Whether they render any of the collection's own contexts differently."""

    @property
    def has_two_sources(self) -> bool:
        """Whether different repositories publish them."""
        return self.one.source != self.other.source


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--engine", action="store_true")
    parser.add_argument("--pairs", action="store_true")
    parser.add_argument("--findings", action="store_true")
    options = parser.parse_args(arguments)
    found = templates(options.folder)
    with TemplateSandbox() as sandbox:
        started_s = time.perf_counter()
        reports = [check_template(t.text, dialect=t.dialect, sandbox=sandbox) for t in found]
        checked_s = time.perf_counter() - started_s
        pairs = list(_pairs(found, reports, options.folder, sandbox))
        equal, expected = _expected(found, options.folder, sandbox)
        engine = list(_engine_rows(found, sandbox)) if options.engine else []
    _print_machine(checked_s, len(found))
    _print_renderings(found, reports)
    print(f"\nExpected texts of the Go templates: {equal} of {expected} equal.")
    _print_findings(found, reports, is_listed=options.findings)
    _print_pairs(pairs, is_listed=options.pairs)
    if options.engine:
        _print_engine(engine)


def _pairs(
    found: tuple[Template, ...], reports: list[TemplateReport], folder: Path, sandbox: TemplateSandbox
) -> Iterator[Pair]:
    own = contexts(folder)
    elsewhere = [
        tuple(result.text for result in sandbox.render(t.text, own, dialect=t.dialect)) for t in found
    ]
    for one, other in same_name_pairs(found):
        sides = [reports[one].renderings, reports[other].renderings]
        contexts_differ = elsewhere[one] != elsewhere[other]
        if found[one].dialect != found[other].dialect:
            sides = [across_dialects(side, Source("").bos) for side in sides]
            contexts_differ = False  # their end is the prompt's, which one of the two languages always prints
        yield Pair(found[one], found[other], differences(*sides), contexts_differ)


def _expected(found: tuple[Template, ...], folder: Path, sandbox: TemplateSandbox) -> tuple[int, int]:
    """How many of the expected texts are met, and how many there are."""
    texts = {t.name: t.text for t in found if t.dialect == "go"}
    cases = expected_texts(folder)
    rendered = (
        sandbox.render(texts[c.template], [{"messages": c.messages}], dialect="go")[0].text for c in cases
    )
    return sum(text == case.text for text, case in zip(rendered, cases, strict=True)), len(cases)


def _engine_rows(found: tuple[Template, ...], sandbox: TemplateSandbox) -> Iterator[tuple[str, str, str]]:
    """Template, conversation and outcome of rendering both here and by llama.cpp."""
    reference_day = datetime.fromtimestamp(REFERENCE_NOW_S, UTC)
    told = {"enable_thinking": True, "date_string": reference_day.strftime("%d %b %Y")}
    for template in (t for t in found if t.dialect == "jinja"):
        theirs = engine_renderings(template.text)
        if theirs is None:
            yield template.title, "", "llama.cpp refuses the template"
            continue
        ours = render_reference(Source(template.text, BOS, EOS, "jinja", told), sandbox)
        for name in (c.name for c in CONVERSATIONS if c.name not in GOES_ON):
            yield (
                template.title,
                name,
                _outcome(ours.renderings[name], theirs.renderings[name], reference_day),
            )


def _outcome(ours: Rendered, theirs: Rendered, day: datetime) -> str:
    if ours.text is not None and theirs.text is not None:
        plain = undated(ours.text, day)[0]
        return "equal" if _without_start(plain) == _without_start(theirs.text) else "different"
    if ours.text is None and theirs.text is None:
        return "both fail"
    return "only llama.cpp renders" if ours.text is None else "only we render"


def _without_start(prompt: str) -> str:
    while prompt.startswith(BOS):
        prompt = prompt[len(BOS) :]
    return prompt


def _print_machine(checked_s: float, count: int) -> None:
    print(
        f"{count} templates checked in {checked_s:.1f} s ({checked_s / count * 1000:.0f} ms each), Python "
        f"{platform.python_version()}, jinja2 {version('jinja2')}, {platform.machine()}, one sandbox.\n"
    )


def _print_renderings(found: tuple[Template, ...], reports: list[TemplateReport]) -> None:
    print("| templates from | number | all rendered | some refused or failed | never rendered |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for source in dict.fromkeys(t.source for t in found):
        failed = [
            sum(r.text is None for r in report.renderings.values())
            for template, report in zip(found, reports, strict=True)
            if template.source == source
        ]
        never = failed.count(len(CONVERSATIONS))
        clean = failed.count(0)
        print(f"| {source} | {len(failed)} | {clean} | {len(failed) - clean - never} | {never} |")
    kinds = Counter(
        (name, r.failure.kind)
        for report in reports
        for name, r in report.renderings.items()
        if r.failure is not None
    )
    print("\n| conversation | refused by the template | failed |\n| --- | ---: | ---: |")
    for conversation in CONVERSATIONS:
        refused, broke = (kinds[conversation.name, kind] for kind in ("refused", "error"))
        if refused or broke:
            print(f"| {conversation.name} | {refused} | {broke} |")


def _print_findings(found: tuple[Template, ...], reports: list[TemplateReport], *, is_listed: bool) -> None:
    counts = Counter((one.severity, one.code) for report in reports for one in report.findings)
    print("\n| severity | finding | templates |\n| --- | --- | ---: |")
    for severity in ("error", "warning", "info"):
        for (_, code), count in sorted(item for item in counts.items() if item[0][0] == severity):
            print(f"| {severity} | `{code}` | {count} |")
    print(f"\n{sum(report.has_errors for report in reports)} templates have an error.")
    if is_listed:
        for template, report in zip(found, reports, strict=True):
            for one in report.findings:
                print(
                    f"{template.title}\t{one.severity}\t{one.code}\t{one.sentence}\t{','.join(one.conversations)}"
                )


def _print_pairs(pairs: list[Pair], *, is_listed: bool) -> None:
    print(
        "\n| pairs of one name | number | differ | equal | equal here, differ on the collection's contexts |"
    )
    print("| --- | ---: | ---: | ---: | ---: |")
    for title, group in (
        ("from different sources", [p for p in pairs if p.has_two_sources]),
        ("from one source", [p for p in pairs if not p.has_two_sources]),
    ):
        differ = sum(bool(p.differences) for p in group)
        missed = sum(not p.differences and p.differs_elsewhere for p in group)
        print(f"| {title} | {len(group)} | {differ} | {len(group) - differ} | {missed} |")
    effects = Counter(
        effect for p in pairs for effect in {e for d in p.differences for e in d.what.split("; ")}
    )
    print("\n| what differs | pairs |\n| --- | ---: |")
    for effect, count in effects.most_common():
        print(f"| {effect} | {count} |")
    if is_listed:
        for pair in pairs:
            first = pair.differences[0] if pair.differences else None
            told = (
                "equal"
                if first is None
                else f"{first.conversation}: {first.what}: {first.old!r} / {first.new!r}"
            )
            print(f"{model_of(pair.one.name)}\t{pair.one.title}\t{pair.other.title}\t{told}")


def _print_engine(rows: list[tuple[str, str, str]]) -> None:
    unusual = {c.name for c in CONVERSATIONS if c.is_evened_out}
    plain = Counter(outcome for _, name, outcome in rows if name not in unusual)
    evened = Counter(outcome for _, name, outcome in rows if name in unusual)
    print(
        f"\n| here and by llama.cpp (xllamacpp {version('xllamacpp')}) | renderings | requests it rewrites |"
    )
    print("| --- | ---: | ---: |")
    for outcome in sorted({*plain, *evened}, key=lambda one: -plain[one]):
        print(f"| {outcome} | {plain[outcome]} | {evened[outcome]} |")
    apart = Counter(title for title, name, outcome in rows if outcome == "different" and name not in unusual)
    print("\nDifferent: " + ", ".join(f"{title} {count}" for title, count in apart.most_common()))


if __name__ == "__main__":
    main()
