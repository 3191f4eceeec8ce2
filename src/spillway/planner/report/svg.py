"""A small writer of SVG: shapes on a canvas, colours by class, so that a page decides how they look."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

__all__ = ["Canvas", "Scale", "ticks"]

Point = tuple[float, float]


class Canvas:
    """Collects shapes; coordinates are units of the view box, y downwards.

    Text and titles are escaped; class names are our own and are not.
    """

    def __init__(self, width: float, height: float, label: str) -> None:
        self.width = width
        self.height = height
        self._label = label
        self._parts: list[str] = []

    def line(self, start: Point, end: Point, kind: str) -> None:
        """A straight line."""
        (x1, y1), (x2, y2) = start, end
        self._parts.append(f'<line x1="{_n(x1)}" y1="{_n(y1)}" x2="{_n(x2)}" y2="{_n(y2)}" class="{kind}"/>')

    def rect(self, corner: Point, size: Point, kind: str, title: str | None = None) -> None:
        """A rectangle from its upper left corner; ``title`` shows where a pointer rests."""
        x, y = corner
        width, height = size
        said = "" if title is None else f"<title>{escape(title)}</title>"
        self._parts.append(
            f'<rect x="{_n(x)}" y="{_n(y)}" width="{_n(max(width, 0))}" height="{_n(max(height, 0))}" '
            f'class="{kind}">{said}</rect>'
        )

    def path(self, points: Sequence[Point], kind: str) -> None:
        """A line through the points."""
        self._parts.append(f'<path d="{_path(points)}" class="{kind}"/>')

    def area(self, upper: Sequence[Point], lower: Sequence[Point], kind: str) -> None:
        """The area between two lines, both from left to right."""
        self._parts.append(f'<path d="{_path([*upper, *reversed(lower)])}Z" class="{kind}"/>')

    def text(self, at: Point, words: str, kind: str = "", anchor: str = "start") -> None:
        """Words on their baseline; ``anchor`` is start, middle or end."""
        x, y = at
        self._parts.append(
            f'<text x="{_n(x)}" y="{_n(y)}" text-anchor="{anchor}" class="{kind}">{escape(words)}</text>'
        )

    def done(self) -> str:
        """The picture as one element."""
        inside = "\n".join(self._parts)
        return (
            f'<svg viewBox="0 0 {_n(self.width)} {_n(self.height)}" role="img" '
            f'aria-label="{escape(self._label)}" xmlns="http://www.w3.org/2000/svg">\n{inside}\n</svg>'
        )


class Scale:
    """Values from ``low`` to ``high`` as coordinates from ``start`` to ``end``."""

    def __init__(self, low: float, high: float, start: float, end: float) -> None:
        self.low = low
        self.high = high if high > low else low + 1.0
        self._start = start
        self._end = end

    def __call__(self, value: float) -> float:
        """The coordinate of a value."""
        return self._start + (value - self.low) / (self.high - self.low) * (self._end - self._start)


def ticks(low: float, high: float, wanted: int = 5) -> list[float]:
    """Round values within the range, about as many as wanted."""
    span = high - low
    if span <= 0:
        return [low]
    rough = span / wanted
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [number * step for number in range(first, math.floor(high / step + 1e-9) + 1)]


def _path(points: Sequence[Point]) -> str:
    return "M" + "L".join(f"{_n(x)} {_n(y)}" for x, y in points)


def _n(value: float) -> str:
    """A coordinate to a tenth: more cannot be seen and takes room."""
    return f"{value:.1f}".removesuffix(".0")
