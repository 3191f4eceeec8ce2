"""Checks chat templates: renders them safely, lints what they lose, compares two.

``check_template`` and ``compare_templates`` take texts; ``render_by_node`` asks a node to render.
"""

from __future__ import annotations

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
