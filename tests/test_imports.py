"""The module map: imports point down only."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import spillway

ROOT = Path(spillway.__file__).parent
NOUNS = {"vocabulary", "errors", "clock"}
MAY_USE: dict[str, set[str]] = {
    "cli": {
        "api",
        "demo",
        "planner",
        "ledger",
        "config",
        "telemetry",
        "classify",
        "fleet",
        "engines",
        "evidence",
        "pinning",
        "verify",
        "slo",
        "measuring",
        "tables",
    },
    "measuring": {"engines", "planner", "slo"},
    "demo": {"api", "ledger", "config", "engines", "testing", "telemetry"},
    "api": {
        *("relay", "routing", "fleet", "engines", "ledger", "config", "telemetry", "classify"),
        *("evidence", "verify", "pinning", "slo"),
    },
    "relay": {"engines", "fleet", "slo", "verify"},
    "planner": {"routing", "slo", "ledger", "tables"},
    "routing": {"slo", "classify"},
    "evidence": {"ledger"},
    "verify": set(),
    "pinning": {"engines", "verify"},
    "slo": set(),
    "fleet": {"engines", "config", "routing", "slo"},
    "engines": set(),
    "ledger": set(),
    "config": set(),
    "telemetry": set(),
    "classify": set(),
    "tables": set(),
    "testing": set(),
    "vocabulary": set(),
    "errors": set(),
    "clock": set(),
}
"""Folder → folders whose names it may import, besides itself and the nouns everybody shares."""


def imports_of(path: Path) -> set[str]:
    """Top-level parts of spillway that a file imports, also inside functions."""
    found: set[str] = set()
    for item in ast.walk(ast.parse(path.read_text())):
        if isinstance(item, ast.ImportFrom) and item.module:
            found.add(item.module)
        elif isinstance(item, ast.Import):
            found.update(alias.name for alias in item.names)
    return {name.split(".")[1] for name in found if name.startswith("spillway.")}


@pytest.mark.parametrize("path", sorted(ROOT.rglob("*.py")), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_down(path: Path) -> None:
    """A file imports only parts that stand below its own in the module map."""
    part = path.relative_to(ROOT).parts[0].removesuffix(".py")
    if part in ("__init__", "__main__"):
        return
    allowed = MAY_USE[part] | NOUNS | {part} if part not in NOUNS else {part}
    assert imports_of(path) <= allowed


def test_map_names_every_part() -> None:
    """A new folder has to find its place in the map."""
    parts = {
        p.name.removesuffix(".py")
        for p in ROOT.iterdir()
        if p.suffix == ".py" or (p / "__init__.py").exists()
    }
    assert parts - {"__init__", "__main__"} <= set(MAY_USE)
