"""Writes what ``spillway plan --preset article`` says into the README, and its picture beside the docs."""

from __future__ import annotations

from pathlib import Path

from spillway.planner.plan import make_plan
from spillway.planner.plan_build import Asked, build_inputs
from spillway.planner.report.png import picture
from spillway.planner.report.terminal import printed

ROOT = Path(__file__).parents[1]
BEGIN, END = "<!-- docs/article.py writes what follows -->\n", "<!-- until here -->"
WIDTH = 92
"""Columns that a code block on a project's page has room for."""
LAST = "USD a month"
"""Where the part that the README shows ends."""


def block(text: str) -> str:
    """The opening of a printed plan as a code block."""
    return f"```\n$ spillway plan --preset article\n{text.partition(LAST)[0].rstrip()}\n```\n"


def main() -> None:
    """The README's block and the picture are those of today's simulator."""
    from datetime import UTC, datetime

    plan = make_plan(build_inputs(Asked(datetime.now(UTC).date(), preset="article")))
    readme = ROOT / "README.md"
    head, _, rest = readme.read_text().partition(BEGIN)
    _, end, tail = rest.partition(END)
    readme.write_text(f"{head}{BEGIN}{block(printed(plan, WIDTH))}{end}{tail}")
    (ROOT / "docs" / "article.png").write_bytes(picture(plan))


if __name__ == "__main__":
    main()
