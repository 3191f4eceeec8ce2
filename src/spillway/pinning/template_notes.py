"""What the templates of surveyed nodes do to reference conversations, in lines for a person."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from spillway.engines.told import bare_template
from spillway.pinning.lock import Lock
from spillway.pinning.pin import Checked

__all__ = ["compared", "linted"]

Place = tuple[str, str]
"""Node and model."""


def compared(old: Lock, checked: Sequence[Checked]) -> dict[Place, list[str]]:
    """For each model whose template changed, which reference conversations render differently and how.

    Blocks for about 30 ms a template, a few seconds at most; nothing a template does reaches this process.
    """
    pairs = list(_changed(old, checked))
    if not pairs:
        return {}
    from spillway.pinning.templates import TemplateSandbox, compare_templates

    found: dict[Place, list[str]] = {}
    with TemplateSandbox() as sandbox:
        for place, before, after in pairs:
            lines = [
                f"{one.conversation}: {one.what}" for one in compare_templates(before, after, sandbox=sandbox)
            ]
            found[place] = lines or ["all reference conversations render the same"]
    return found


def linted(checked: Sequence[Checked], wanted: Mapping[str, object]) -> list[str]:
    """Hazards of the templates of the nodes in ``wanted``: what a model would not get to see."""
    texts = [
        (f"{one.review.name}/{name}", one.sight.templates[digest], identity.capabilities)
        for one in checked
        if one.review.name in wanted
        for name, identity in one.sight.identities.items()
        if (digest := identity.template_digest) is not None and digest in one.sight.templates
    ]
    if not texts:
        return []
    from spillway.pinning.templates import TemplateSandbox, check_template

    lines = []
    with TemplateSandbox() as sandbox:
        for place, text, able in texts:
            tools_capable = None if able is None else "tools" in able
            report = check_template(bare_template(text), tools_capable=tools_capable, sandbox=sandbox)
            lines += [
                f"{place}: template {one.severity}: {one.sentence}"
                for one in report.findings
                if one.severity != "info"
            ]
    return lines


def _changed(old: Lock, checked: Sequence[Checked]) -> Iterator[tuple[Place, str, str]]:
    for one in checked:
        node = old.nodes.get(one.review.name)
        for change in one.review.changes:
            pinned = node.identity(change.model) if node and change.field == "template" else None
            seen = one.sight.identities.get(change.model)
            if pinned is None or seen is None:
                continue
            before = old.templates.get(pinned.template_digest or "")
            after = one.sight.templates.get(seen.template_digest or "")
            if before is not None and after is not None:
                yield (one.review.name, change.model), bare_template(before), bare_template(after)
