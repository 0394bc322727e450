"""A line chart as SVG, of a logarithmic axis and one from zero: no more than one picture of the documentation needs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple
from xml.sax.saxutils import escape

WIDTH: Final = 720
HEIGHT: Final = 380
LEFT: Final = 60
RIGHT: Final = 210
TOP: Final = 64
BOTTOM: Final = 44
COLOURS: Final = ("#b45309", "#1d4ed8", "#15803d")
APART: Final = 16


class Line(NamedTuple):
    """A line: its name, and its points, the first number on a logarithmic axis."""

    name: str
    points: Sequence[tuple[float, float]]


def draw(path: Path, title: str, unit: str, lines: Sequence[Line]) -> None:
    """Write the chart to `path`; the vertical axis begins at zero, so that flat looks flat and steep looks steep."""
    places = sorted({place for line in lines for place, _ in line.points})
    top = _round_up(max(value for line in lines for _, value in line.points))
    low, high = math.log(places[0]), math.log(places[-1])

    def across(place: float) -> float:
        return LEFT + (math.log(place) - low) / (high - low) * (WIDTH - LEFT - RIGHT)

    def down(value: float) -> float:
        return HEIGHT - BOTTOM - value / top * (HEIGHT - TOP - BOTTOM)

    font = 'font-family="system-ui, sans-serif" font-size="12" fill="#374151"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" {font}>',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
        f'<text x="{LEFT}" y="26" font-size="16" fill="#111827">{escape(title)}</text>',
        f'<text x="{LEFT}" y="46">{escape(unit)}</text>',
    ]
    for step in range(5):
        value = top * step / 4
        parts.append(
            f'<path d="M{LEFT} {down(value):.1f}H{WIDTH - RIGHT}" stroke="#e5e7eb"/>'
            f'<text x="{LEFT - 8}" y="{down(value) + 4:.1f}" text-anchor="end">{value:g}</text>'
        )
    parts += [
        f'<text x="{across(place):.1f}" y="{HEIGHT - BOTTOM + 20}" text-anchor="middle">{place:,.0f}</text>'
        for place in places
    ]
    last = [down(line.points[-1][1]) for line in lines]
    for line, colour, beside in zip(lines, COLOURS, _apart(last), strict=False):
        points = [(across(place), down(value)) for place, value in line.points]
        parts.append(
            f'<path d="M{"L".join(f"{x:.1f} {y:.1f}" for x, y in points)}" fill="none" '
            f'stroke="{colour}" stroke-width="2"/>'
        )
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in points]
        text = f"{line.points[-1][1]:.1f} {line.name}"
        parts.append(f'<text x="{WIDTH - RIGHT + 10}" y="{beside + 4:.1f}" fill="{colour}">{escape(text)}</text>')
    path.write_text("\n".join([*parts, "</svg>"]) + "\n")


def _round_up(value: float) -> float:
    """The next number that makes a good end of an axis."""
    unit = 10 ** math.floor(math.log10(value))
    return next(step * unit for step in (1, 2, 4, 6, 8, 10) if step * unit >= value)


def _apart(heights: Sequence[float]) -> list[float]:
    """Where names go, so that none covers another: each near its line's end, the higher ones first."""
    placed: dict[int, float] = {}
    floor = -math.inf
    for index in sorted(range(len(heights)), key=lambda each: heights[each]):
        placed[index] = floor = max(heights[index], floor + APART)
    return [placed[index] for index in range(len(heights))]
