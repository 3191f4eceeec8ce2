"""The picture: a PNG of the stated size, the same for the same plan, and a sentence without matplotlib."""

from __future__ import annotations

import importlib.util
import struct

import pytest

from spillway.errors import ConfigError
from spillway.planner.report.png import picture, refuse_without_matplotlib
from tests.planner.plans import never, pays


def test_picture_is_a_png() -> None:
    """Both verdicts draw to a PNG of 1600 by 1240 pixels, the same bytes each time."""
    pytest.importorskip("matplotlib")
    for plan in (pays(), never()):
        content = picture(plan)
        assert content.startswith(b"\x89PNG\r\n\x1a\n")
        assert struct.unpack(">II", content[16:24]) == (1600, 1240)
    assert picture(never()) == content


def test_without_matplotlib(monkeypatch: pytest.MonkeyPatch) -> None:
    """One sentence says what to install, and what works without it."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr("spillway.planner.report.png.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"spillway\[plots\].*--html"):
        refuse_without_matplotlib()
