"""Checks chat templates: renders them safely, lints what they lose, compares two.

``check_template`` and ``compare_templates`` take texts; ``render_by_node`` asks a node to render. Names are
imported when first used: the sandbox process imports this package too and shall not load a network client.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from spillway.pinning.templates.check import TemplateReport, check_template, compare_templates, report_on
    from spillway.pinning.templates.compare import Difference, differences, exact_digest, rendering_digest
    from spillway.pinning.templates.findings import Finding
    from spillway.pinning.templates.reference import Source
    from spillway.pinning.templates.remote import render_by_node
    from spillway.pinning.templates.sandbox import TemplateSandbox

__all__ = [
    "Difference",
    "Finding",
    "Source",
    "TemplateReport",
    "TemplateSandbox",
    "check_template",
    "compare_templates",
    "differences",
    "exact_digest",
    "render_by_node",
    "rendering_digest",
    "report_on",
]

_HOMES = {
    "check": ("TemplateReport", "check_template", "compare_templates", "report_on"),
    "compare": ("Difference", "differences", "exact_digest", "rendering_digest"),
    "findings": ("Finding",),
    "reference": ("Source",),
    "remote": ("render_by_node",),
    "sandbox": ("TemplateSandbox",),
}


def __getattr__(name: str) -> object:
    for module, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
