"""Outlines as lists of points, on a square of 480 by 480 with the origin at the top left.

A drawing is a few outlines filled one over the other, so that everything below is a pure function from numbers to
points: no picture, no colour, no library.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

Point = tuple[float, float]
Shape = list[Point]

MIDDLE = 240.0
"""The vertical axis of the square, about which most things are symmetrical."""


def oval(x: float, y: float, rx: float, ry: float | None = None) -> Shape:
    """An ellipse around (x, y); a circle when `ry` is left out."""
    return arc(x, y, rx, rx if ry is None else ry, 0, 360)


def arc(x: float, y: float, rx: float, ry: float, start: float, end: float) -> Shape:
    """The part of an ellipse from `start` to `end` degrees: 0 is right, 90 is down, open at the ends."""
    steps = max(8, int(abs(end - start) / 3))
    angles = (math.radians(start + (end - start) * step / steps) for step in range(steps + 1))
    return [(x + rx * math.cos(angle), y + ry * math.sin(angle)) for angle in angles]


def box(left: float, top: float, right: float, bottom: float, radius: float = 0) -> Shape:
    """A rectangle, its corners rounded by `radius`."""
    return soft([(left, top), (right, top), (right, bottom), (left, bottom)], radius)


def bezier(start: Point, first: Point, second: Point, end: Point) -> Shape:
    """A cubic curve from `start` to `end`, drawn towards the two control points."""
    curve = []
    for step in range(25):
        t = step / 24
        a, b, c, d = (1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t * t * (1 - t), t**3
        curve.append(
            (
                a * start[0] + b * first[0] + c * second[0] + d * end[0],
                a * start[1] + b * first[1] + c * second[1] + d * end[1],
            )
        )
    return curve


def soft(corners: Sequence[Point], radius: float | Sequence[float]) -> Shape:
    """A polygon whose corners are rounded, by one radius or by one a corner, never past the middle of a side."""
    radii = [float(radius)] * len(corners) if isinstance(radius, (int, float)) else list(radius)
    shape: Shape = []
    for place, (x, y) in enumerate(corners):
        before, after = corners[place - 1], corners[(place + 1) % len(corners)]
        to_before, to_after = math.dist((x, y), before), math.dist((x, y), after)
        reach = min(radii[place], to_before / 2, to_after / 2)
        if reach <= 0:
            shape.append((x, y))
            continue
        into = (x + (before[0] - x) * reach / to_before, y + (before[1] - y) * reach / to_before)
        out = (x + (after[0] - x) * reach / to_after, y + (after[1] - y) * reach / to_after)
        for step in range(9):
            t = step / 8
            a, b, c = (1 - t) ** 2, 2 * t * (1 - t), t * t
            shape.append((a * into[0] + b * x + c * out[0], a * into[1] + b * y + c * out[1]))
    return shape


def smooth(points: Sequence[Point], *, closed: bool = True) -> Shape:
    """A curve through every point (Catmull-Rom), closed into an outline or left open as a line."""
    count = len(points)
    spans = count if closed else count - 1

    def at(place: int) -> Point:
        return points[place % count] if closed else points[min(max(place, 0), count - 1)]

    shape: Shape = []
    for span in range(spans):
        p0, p1, p2, p3 = (at(span + shift) for shift in (-1, 0, 1, 2))
        for step in range(12):
            t = step / 12
            x, y = (
                0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t * t + (3 * b - a - 3 * c + d) * t * t * t)
                for a, b, c, d in zip(p0, p1, p2, p3, strict=True)
            )
            shape.append((x, y))
    if not closed:
        shape.append(points[-1])
    return shape


def lathe(profile: Sequence[Point], *, curved: bool = False, axis: float = MIDDLE) -> Shape:
    """A turned thing: its right-hand outline as (distance from the axis, y) from top to bottom, mirrored."""
    half = smooth(profile, closed=False) if curved else list(profile)
    return [(axis + x, y) for x, y in half] + [(axis - x, y) for x, y in reversed(half)]


def turned(shape: Iterable[Point], degrees: float, about: Point = (MIDDLE, MIDDLE)) -> Shape:
    """The outline turned clockwise about a point."""
    sine, cosine = math.sin(math.radians(degrees)), math.cos(math.radians(degrees))
    x0, y0 = about
    return [(x0 + (x - x0) * cosine - (y - y0) * sine, y0 + (x - x0) * sine + (y - y0) * cosine) for x, y in shape]


def moved(shape: Iterable[Point], right: float = 0, down: float = 0) -> Shape:
    """The outline at another place."""
    return [(x + right, y + down) for x, y in shape]


def mirrored(shape: Iterable[Point], axis: float = MIDDLE) -> Shape:
    """The outline seen in a mirror that stands at x = `axis`."""
    return [(2 * axis - x, y) for x, y in shape]


def both(shape: Iterable[Point]) -> tuple[Shape, Shape]:
    """The outline and its mirror image: two arms, two ears, two wheels."""
    left = list(shape)
    return left, mirrored(left)


def leaf(foot: Point, tip: Point, width: float, sway: float = 0) -> Shape:
    """A leaf from `foot` to `tip`, `width` across, its belly `sway` to the left of the straight line."""
    (x0, y0), (x1, y1) = foot, tip
    length = math.dist(foot, tip) or 1.0
    across = ((y1 - y0) / length, -(x1 - x0) / length)
    middle = (x0 + (x1 - x0) * 0.45 + across[0] * sway, y0 + (y1 - y0) * 0.45 + across[1] * sway)

    def side(sign: int) -> Shape:
        control = (middle[0] + sign * across[0] * width * 0.66, middle[1] + sign * across[1] * width * 0.66)
        return bezier(foot, control, control, tip)

    return side(1) + side(-1)[::-1]
