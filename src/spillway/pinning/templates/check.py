"""The two questions asked of template texts: what is wrong with this one, and how do these two differ."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from spillway.pinning.templates.compare import (
    Difference,
    across_dialects,
    differences,
    exact_digest,
    rendering_digest,
)
from spillway.pinning.templates.failures import FATAL_KINDS
from spillway.pinning.templates.findings import Finding
from spillway.pinning.templates.formats import tool_format
from spillway.pinning.templates.lint import lint
from spillway.pinning.templates.reference import Reference, Source, dialect_of, render_reference
from spillway.pinning.templates.rendered import Dialect, Renderings
from spillway.pinning.templates.sandbox import TemplateSandbox

__all__ = ["TemplateReport", "check_template", "compare_templates", "report_on"]


@dataclass(frozen=True, slots=True)
class TemplateReport:
    """What is known of a template once it was rendered.

    ``rendering_digest`` is ``None`` when the template could not be rendered within its bounds;
    ``tool_format`` when it shows no tool call or none in a known format.
    """

    findings: tuple[Finding, ...]
    exact_digest: str
    rendering_digest: str | None
    is_date_dependent: bool
    tool_format: str | None
    renderings: Renderings

    @property
    def has_errors(self) -> bool:
        """Whether a finding is an error."""
        return any(one.severity == "error" for one in self.findings)


def check_template(
    text: str,
    *,
    bos: str = "<s>",
    eos: str = "</s>",
    tools_capable: bool | None = None,
    dialect: Dialect | None = None,
    sandbox: TemplateSandbox | None = None,
) -> TemplateReport:
    """What the template does to the reference conversations, hazards first.

    Blocks for about 30 ms, and for 4 s at most; pass a ``sandbox`` to share one process among many
    templates. ``tools_capable``: whether the node claims tools, ``None`` when unknown; ``dialect``: seen from
    the text when not given. Never raises for what a template does.
    """
    source = Source(text, bos, eos, dialect or dialect_of(text))
    with _sandbox_or_own(sandbox) as running:
        reference = render_reference(source, running)
    return report_on(reference, source, tools_capable=tools_capable)


def compare_templates(
    old_text: str,
    new_text: str,
    *,
    bos: str = "<s>",
    eos: str = "</s>",
    sandbox: TemplateSandbox | None = None,
) -> tuple[Difference, ...]:
    """The reference conversations that the two templates render differently; empty when none."""
    with _sandbox_or_own(sandbox) as running:
        old = render_reference(Source(old_text, bos, eos), running).renderings
        new = render_reference(Source(new_text, bos, eos), running).renderings
    if dialect_of(old_text) != dialect_of(new_text):
        old, new = across_dialects(old, bos), across_dialects(new, bos)
    return differences(old, new)


def report_on(reference: Reference, source: Source, *, tools_capable: bool | None = None) -> TemplateReport:
    """The report for renderings already made, be it in the sandbox or by a node."""
    renderings = reference.renderings
    kinds = {r.failure.kind for r in renderings.values() if r.failure is not None}
    known = tool_format(reference.text("tool_result") or "")
    return TemplateReport(
        findings=lint(
            reference,
            bos=source.bos,
            tools_capable=tools_capable,
            may_ask_no_prompt=(source.dialect or dialect_of(source.text)) == "jinja",
        ),
        exact_digest=exact_digest(source.text),
        rendering_digest=None if kinds & FATAL_KINDS else rendering_digest(renderings),
        is_date_dependent=any(rendered.is_dated for rendered in renderings.values()),
        tool_format=None if known is None else known.name,
        renderings=renderings,
    )


@contextmanager
def _sandbox_or_own(given: TemplateSandbox | None) -> Iterator[TemplateSandbox]:
    if given is not None:
        yield given
        return
    with TemplateSandbox() as own:
        yield own
