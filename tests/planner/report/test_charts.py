"""What charts write: amounts that an axis has room for, labels that do not touch, colours one can tell."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from importlib.resources import files
from itertools import pairwise

import pytest

from spillway.planner.plan import make_plan
from spillway.planner.plan_build import build_inputs
from spillway.planner.report import png
from spillway.planner.report.charts import LETTER, months_of, share_by_fleet, short_count, short_usd
from spillway.planner.report.page import page
from spillway.planner.report.words import whole_usd
from tests.planner.plans import CHEAP, never, pays


@pytest.mark.parametrize(
    ("amount", "said"),
    [
        (0, "$0"),
        (0.0123, "$0.012"),
        (999, "$999"),
        (999.7, "$1k"),
        (1_250, "$1.2k"),
        (-2_500, "−$2.5k"),
        (9_970, "$10k"),
        (999_960, "$1M"),
        (1e9, "$1B"),
        (2.5e9, "$2.5B"),
        (4e12, "$4T"),
    ],
)
def test_amounts_are_short(amount: float, said: str) -> None:
    """An axis has room for six letters, whatever the unit."""
    assert short_usd(amount) == said
    assert len(said) <= 6


def test_counts_are_short() -> None:
    """Requests are counted whole while there is room."""
    assert [short_count(count) for count in (0, 0.25, 1.5, 7, 12_000, 1_400_000)] == [
        "0", "0.25", "1.5", "7", "12,000", "1.4M",
    ]  # fmt: skip


def test_months_are_whole() -> None:
    """Years where there are several, and whole months where there are not."""
    assert months_of(48) == [0, 12, 24, 36, 48]
    assert months_of(13) == [0, 2, 5, 8, 10, 12]
    assert months_of(1) == [0, 1]


@pytest.mark.parametrize("count", [2, 8, 9, 24])
def test_labels_of_fleets_do_not_touch(count: int) -> None:
    """With the widest figures each label ends before the next begins, and the shown fleet has one."""
    plan = pays()
    model = plan.shown
    lines = tuple(
        replace(model, nodes=nodes, ran=replace(model.ran, local_share=0.999))
        for nodes in range(1, count + 1)
    )
    shown = replace(plan, fleets=lines)
    texts = [item for item in ET.fromstring(share_by_fleet(shown)).iter() if item.get("class") == "value"]
    places = [(float(item.get("x", "0")), item.text or "") for item in texts]
    for (left, one), (right, other) in pairwise(places):
        assert right - left >= LETTER * (len(one) + len(other)) / 2
    assert len(places) >= min(count, 8)


def lightness(colour: str) -> float:
    """Relative luminance as the accessibility guidelines reckon it."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (
        part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    """1 for the same lightness, 21 for black on white."""
    light, dark = sorted((lightness(one), lightness(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_colours_differ_in_lightness() -> None:
    """On every ground, and without colours, local and cloud can be told; a guess can be read."""
    style = files("spillway.planner.report").joinpath("page.html.jinja").read_text("utf-8")
    grounds = re.findall(r":root \{([^}]*)\}", style)
    assert len(grounds) == 3
    for ground in grounds:
        colours = dict(re.findall(r"--(\w+): (#\w+)", ground.replace("#fff;", "#ffffff;")))
        assert contrast(colours["local"], colours["cloud"]) >= 3
        assert contrast(colours["cloud"], colours["card"]) >= 3
        assert contrast(colours["doubt"], colours["paper"]) >= 4.5
    assert contrast(png.LOCAL, png.CLOUD) >= 3


@pytest.mark.parametrize("plan", [pays, never], ids=["pays", "never"])
def test_what_pointers_show_is_printed_too(plan: object) -> None:
    """What each figure alone does, and what is spent by each year, stand on the page as text."""
    assert callable(plan)
    made = plan()
    bare = re.sub(r"<svg.*?</svg>", "", page(made), flags=re.DOTALL)
    for each in made.sensitivities:
        assert f"{whole_usd(each.at_low_usd)}\nat " in bare
    for month in months_of(made.inputs.life_months):
        assert f"{whole_usd(made.course.with_nodes[month].p50_usd)}\n" in bare


def test_what_is_spent_by_the_end_of_an_odd_life_is_told() -> None:
    """The last month stands on the page although no year ends with it."""
    plan = make_plan(build_inputs(replace(CHEAP, life_months=30, sizes=(1,))), workers=1)
    bare = re.sub(r"<svg.*?</svg>", "", page(plan), flags=re.DOTALL)
    rows = re.findall(r"<tr><th scope=\"row\">(\d+)</th><td class=\"n\">(\$[\d,]+)\n", bare)
    assert rows[-1] == ("30", whole_usd(plan.course.all_cloud[30].p50_usd))
