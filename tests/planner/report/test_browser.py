"""The page in a real browser, where one is installed: nothing sticks out, on a phone or on a desk."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from spillway.planner.report.page import page
from tests.planner.plans import never, pays

PHONE = 375
"""A narrower screen scrolls wide tables within their own box."""
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
MEASURE = """onload = () => {
  const inside = frame.contentDocument, root = inside.documentElement, width = frame.contentWindow.innerWidth;
  const out = [...inside.querySelectorAll("main *")].filter(
    each => !each.closest("svg") && each.getBoundingClientRect().right > width + 1);
  const boxes = [...inside.querySelectorAll("figure svg")].flatMap(picture => {
    const box = picture.getBoundingClientRect();
    return [...picture.querySelectorAll("text")].filter(words => {
      const own = words.getBoundingClientRect();
      return own.left < box.left - 8 || own.right > box.right + 8;
    });
  });
  document.body.dataset.found = JSON.stringify({
    width, needs: root.scrollWidth, out: out.map(each => each.textContent.trim().slice(0, 40)),
    scrolled: [...inside.querySelectorAll(".scroll")].filter(
      each => each.scrollWidth > each.clientWidth + 1).length,
    cut: boxes.map(words => words.textContent),
  });
}"""
"""Run beside the page, never in it. A frame is as narrow as it is told; a window may have a least width."""


def browser() -> str:
    """A browser that can run without a screen, or the test is skipped."""
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip(f"no browser found: none of {', '.join(NAMES)} is installed")
    return found


def measured(text: str, width: int, folder: Path) -> dict[str, Any]:
    """What the browser finds of the page at that width."""
    around = folder / "around.html"
    around.write_text(
        f'<!doctype html><iframe id="frame" style="border:0;width:{width}px;height:900px" '
        f'srcdoc="{html.escape(text)}"></iframe><script>{MEASURE}</script>'
    )
    command = (
        browser(), "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
        f"--user-data-dir={folder / 'profile'}", "--window-size=1400,1000", "--dump-dom", around.as_uri(),
    )  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    found = re.search(r'data-found="([^"]*)"', done.stdout)
    assert found is not None
    values: dict[str, Any] = json.loads(html.unescape(found[1]))
    return values


@pytest.mark.slow
@pytest.mark.parametrize("width", [320, 375, 768, 1280])
@pytest.mark.parametrize("make", [pays, never], ids=["pays", "never"])
def test_nothing_sticks_out(make: object, width: int, tmp_path: Path) -> None:
    """At no width does the page scroll sideways or cut a chart's word, nor, from a phone's on, a table."""
    assert callable(make)
    found = measured(page(make()), width, tmp_path)
    assert found["width"] == width
    assert found["needs"] <= width
    assert (found["out"] if width >= PHONE else [], found["cut"]) == ([], [])
    assert found["scrolled"] == 0 or width < PHONE


@pytest.mark.slow
@pytest.mark.parametrize("width", [320, 360])
def test_long_names_break(width: int, tmp_path: Path) -> None:
    """The name of a file or a model, however long, goes on in the next line and makes no page wider."""
    plan, name = never(), "openai_completions_usage_export_november_2026_" * 2 + ".csv"
    traffic = replace(plan.inputs.traffic, described=name)
    cloud = replace(plan.inputs.cloud, name=f"openai/{name}")
    assumption = replace(plan.assumptions[0], name=name, source=name, value=name)
    long = replace(
        plan,
        inputs=replace(plan.inputs, traffic=traffic, cloud=cloud),
        warnings=(name,),
        assumptions=(assumption,),
        reason=f"{name} is read",
    )
    found = measured(page(long), width, tmp_path)
    assert found["needs"] <= width
