"""The page: well formed, self-contained, escaped, and readable without a script."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from spillway.planner.plan import Plan
from spillway.planner.report import charts
from spillway.planner.report.page import page
from spillway.planner.report.svg import Canvas, Scale, ticks
from tests.planner.plans import never, pays

VOID = {"meta", "line", "rect", "path", "circle", "br"}
EVIL = '<script>alert("x")</script>&"'


class Nesting(HTMLParser):
    """Complains when elements are not closed in the order they were opened."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text: list[str] = []
        self.seen: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """One more is open, unless it cannot hold anything."""
        self.seen.add(tag)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Opened and closed at once."""
        self.seen.add(tag)

    def handle_endtag(self, tag: str) -> None:
        """Closes the innermost."""
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Words."""
        self.text.append(data)


def parsed(html: str) -> Nesting:
    """The page read to its end, everything closed."""
    reader = Nesting()
    reader.feed(html)
    reader.close()
    assert reader.open == []
    return reader


@pytest.mark.parametrize("make", [pays, never], ids=["pays", "never"])
def test_page_is_well_formed(make: object) -> None:
    """Every element is closed where it should be, and all four charts are there."""
    assert callable(make)
    html = page(make())
    reader = parsed(html)
    assert html.count("<svg") == 4
    assert {"title", "h1", "table", "figure"} <= reader.seen


def test_page_is_self_contained() -> None:
    """Nothing is fetched and nothing runs: no script, no link, no image, no address but a name space."""
    html = page(pays())
    assert not parsed(html).seen & {"script", "link", "img", "iframe", "object"}
    assert not re.search(r"(src|href)=|url\(|@import", html)
    assert set(re.findall(r"https?://[^\"'\s<]+", html)) <= {"http://www.w3.org/2000/svg"}


def with_evil_names(plan: Plan) -> Plan:
    """The plan as if every name out of the user's file were an attack."""
    traffic = replace(plan.inputs.traffic, described=EVIL)
    cloud = replace(plan.inputs.cloud, name=EVIL)
    assumption = replace(plan.assumptions[0], name=EVIL, source=EVIL, value=EVIL)
    return replace(
        plan,
        inputs=replace(plan.inputs, traffic=traffic, cloud=cloud),
        warnings=(EVIL,),
        assumptions=(assumption,),
    )


def test_what_came_from_files_is_escaped() -> None:
    """Names, warnings and sources from the user's files never become elements."""
    html = page(with_evil_names(pays()))
    reader = parsed(html)
    assert "script" not in reader.seen
    assert EVIL in "".join(reader.text)


def test_every_row_says_what_it_is_about() -> None:
    """Who hears the page rather than sees it is told the fleet, the policy or the reason of each figure."""
    html = page(never())
    for sheet in re.findall(r'<section class="sheet">.*?</section>', html, re.DOTALL):
        rows = re.findall(r"<tr[^>]*>.*?</tr>", sheet.partition("<tbody>")[2], re.DOTALL)
        assert rows
        assert all(re.match(r'<tr[^>]*><th scope="row"', row) and row.count("<th") == 1 for row in rows)


def test_charts_are_xml() -> None:
    """Each chart parses by itself and says in words what it shows."""
    for draw in (charts.cost_over_time, charts.share_by_fleet, charts.day, charts.tornado):
        root = ET.fromstring(draw(pays()))
        assert root.tag.endswith("svg")
        assert root.get("aria-label")


def test_charts_stay_within_their_box() -> None:
    """No shape lies outside the view box, whether it pays or not."""
    for plan in (pays(), never()):
        for draw in (charts.cost_over_time, charts.share_by_fleet, charts.day, charts.tornado):
            root = ET.fromstring(draw(plan))
            width, height = (float(number) for number in (root.get("viewBox") or "").split()[2:])
            for item in root.iter():
                for name, limit in (
                    ("x", width),
                    ("x1", width),
                    ("x2", width),
                    ("y", height),
                    ("y1", height),
                ):
                    value = item.get(name)
                    assert value is None or -6 <= float(value) <= limit + 6


def test_canvas_escapes_words() -> None:
    """Words and titles on a canvas are escaped."""
    canvas = Canvas(10, 10, EVIL)
    canvas.text((1, 1), EVIL)
    canvas.rect((0, 0), (1, 1), "x", EVIL)
    root = ET.fromstring(canvas.done())
    assert root.get("aria-label") == EVIL
    assert [item.text for item in root.iter() if item.text and item.text.strip()] == [EVIL, EVIL]


def test_ticks_are_round() -> None:
    """Axis values are round, inside the range and about as many as wanted."""
    assert ticks(0, 36_000, 4) == [0, 10_000, 20_000, 30_000]
    assert ticks(-1_000, 1_000, 4) == [-1000, -500, 0, 500, 1000]
    assert ticks(5, 5) == [5]


def test_scale_of_nothing() -> None:
    """A range of no length still maps to a finite place."""
    assert Scale(0, 0, 10, 20)(0) == 10


def crossed(svg: str) -> list[str]:
    """Words of a chart that a dotted line runs through."""
    found = []
    root = ET.fromstring(svg)
    marks = [item for item in root.iter() if item.get("class") == "mark"]
    for words in root.iter():
        if not words.tag.endswith("text"):
            continue
        y = float(words.get("y", "0"))
        for mark in marks:
            top, bottom = sorted(float(mark.get(name, "0")) for name in ("y1", "y2"))
            is_beside = float(words.get("x", "0")) < float(mark.get("x1", "0"))
            if top == bottom and y - 9 < top < y and not is_beside:
                found.append(words.text or "")
    return found


@pytest.mark.parametrize("in_time", [percent / 100 for percent in range(2, 101, 7)])
def test_the_ceiling_runs_through_no_number(in_time: float) -> None:
    """Wherever the dotted line is, the shares of the bars stay readable."""
    plan = pays()
    lines = tuple(
        replace(line, ran=replace(line.ran, local_share=min(1.0, 0.11 * line.nodes + 0.03)))
        for line in plan.fleets
    )
    moved = replace(plan, fleets=lines, ceiling=replace(plan.ceiling, in_time_share=in_time))
    assert crossed(charts.share_by_fleet(moved)) == []
