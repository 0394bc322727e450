"""A sheet to draw a product on: outlines filled with soft light, then set on a tinted ground with a shadow.

Everything is drawn four times too large and scaled down once, which is what makes the edges smooth. Needs Pillow,
which only those who redraw the pictures install.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Literal

from PIL import Image, ImageChops, ImageColor, ImageDraw, ImageFilter, ImageOps

from api.demo.shapes import Point, Shape, oval

SIZE = 480
SCALE = 4

Light = Literal["flat", "round", "ball", "down", "up"]
"""How light falls: not at all, as on a cylinder, as on a ball, or fading towards the bottom or the top."""

WHITE, BLACK, INK = "#ffffff", "#15171a", "#33383f"
WOOD, DARK_WOOD, BRASS, STEEL, CREAM = "#cf9f6c", "#8a5f3d", "#d5a94f", "#bcc4ca", "#f7f0e3"
LEAF, SOIL = "#5b9a63", "#5d4636"


@dataclass(frozen=True, slots=True)
class Look:
    """What tells two products of one kind apart: their colours (main, trim, accent) and the name of their style."""

    main: str
    trim: str = CREAM
    accent: str = INK
    style: str = ""


def mix(one: str, other: str, share: float) -> str:
    """The colour `share` of the way from one to the other."""
    pairs = zip(ImageColor.getrgb(one)[:3], ImageColor.getrgb(other)[:3], strict=True)
    return "#" + "".join(f"{round(a + (b - a) * share):02x}" for a, b in pairs)


def lighter(colour: str, share: float = 0.2) -> str:
    """The colour with some white in it."""
    return mix(colour, WHITE, share)


def darker(colour: str, share: float = 0.2) -> str:
    """The colour with some of a cool dark in it."""
    return mix(colour, "#1d1b2c", share)


class Canvas:
    """A transparent sheet that takes shapes one over the other and keeps what belongs behind them."""

    def __init__(self) -> None:
        self._sheet = Image.new("RGBA", (SIZE * SCALE, SIZE * SCALE))
        self._stands: list[tuple[float, float, float, float]] = []
        self._glows: list[tuple[float, float, float, str, float]] = []

    def fill(
        self,
        shape: Sequence[Point],
        colour: str,
        light: Light = "flat",
        *,
        inside: Sequence[Point] | None = None,
        alpha: float = 1.0,
        depth: float = 1.0,
    ) -> None:
        """Fills an outline, as far as it lies `inside` another; `depth` scales how strongly it is modelled."""
        frame = _frame(shape)
        mask = _mask(shape, frame, alpha)
        self._lay(mask, frame, _paint(colour, light, mask.size, depth), inside)

    def line(
        self,
        points: Sequence[Point],
        width: float,
        colour: str,
        *,
        inside: Sequence[Point] | None = None,
        alpha: float = 1.0,
    ) -> None:
        """Draws a line with round ends through the points."""
        frame = _frame(points, margin=width)
        mask = Image.new("L", (frame[2] - frame[0], frame[3] - frame[1]))
        pen, strength = ImageDraw.Draw(mask), round(255 * alpha)
        path = [(x * SCALE - frame[0], y * SCALE - frame[1]) for x, y in points]
        radius = width * SCALE / 2
        for (x0, y0), (x1, y1) in pairwise(path):
            # Pillow's own wide lines are rounded to whole pixels, which makes a thick curve look knotted.
            length = math.dist((x0, y0), (x1, y1)) or 1.0
            aside, along = (y1 - y0) / length * radius, (x1 - x0) / length * radius
            corners = (
                (x0 + aside, y0 - along),
                (x1 + aside, y1 - along),
                (x1 - aside, y1 + along),
                (x0 - aside, y0 + along),
            )
            pen.polygon(corners, fill=strength)
        for x, y in path:
            pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=strength)
        self._lay(mask, frame, _paint(colour, "flat", mask.size, 1.0), inside)

    def sheen(self, shape: Sequence[Point], inside: Sequence[Point] | None = None, alpha: float = 0.28) -> None:
        """Lays a reflection of light, an outline of thin white."""
        self.fill(shape, WHITE, inside=inside, alpha=alpha)

    def shade(self, shape: Sequence[Point], inside: Sequence[Point] | None = None, alpha: float = 0.14) -> None:
        """Lays a shadow of one part on another, an outline of thin dark."""
        self.fill(shape, "#1d1b2c", inside=inside, alpha=alpha)

    def shine(
        self, x: float, y: float, radius: float, colour: str, inside: Sequence[Point], alpha: float = 0.6
    ) -> None:
        """Lets something within an outline glow, strongest at (x, y) and gone at the radius."""
        frame = _frame(oval(x, y, radius))
        size = (frame[2] - frame[0], frame[3] - frame[1])
        mask = _bulb().resize(size, Image.Resampling.BICUBIC).point(lambda level: round(level * alpha))
        self._lay(mask, frame, _paint(colour, "flat", size, 1.0), inside)

    def stand(self, y: float, half_width: float, x: float = SIZE / 2, strength: float = 1.0) -> None:
        """Says where the thing touches the ground, for the shadow under it; a thing that hangs or lies has none."""
        self._stands.append((x, y, half_width, strength))

    def glow(self, x: float, y: float, radius: float, colour: str, strength: float = 0.8) -> None:
        """Lets light shine on the wall behind the thing."""
        self._glows.append((x, y, radius, colour, strength))

    def finished(self, tint: str) -> Image.Image:
        """The picture: the thing and its shadow in front of a ground of the given tint."""
        thing = self._sheet.resize((SIZE, SIZE), Image.Resampling.LANCZOS)
        picture = _ground(tint).copy()
        for x, y, radius, colour, strength in self._glows:
            halo = Image.new("L", (SIZE, SIZE))
            light = _bulb().resize((round(radius * 2), round(radius * 2)), Image.Resampling.BICUBIC)
            halo.paste(light, (round(x - radius), round(y - radius)))
            picture.paste(colour, mask=halo.point(lambda level, strength=strength: round(level * strength)))
        dark = darker(tint, 0.72)
        contact = Image.new("L", (SIZE, SIZE))
        for x, y, half_width, strength in self._stands:
            reach = half_width * 1.08
            bounds = (x - reach + 6, y - reach * 0.075 - 4, x + reach + 10, y + reach * 0.075 + 6)
            ImageDraw.Draw(contact).ellipse(bounds, fill=round(105 * strength))
        picture.paste(dark, mask=contact.filter(ImageFilter.GaussianBlur(7)))
        cast = ImageChops.offset(thing.getchannel("A"), 7, 10).filter(ImageFilter.GaussianBlur(9))
        picture.paste(dark, mask=cast.point(lambda level: level * 20 // 100))
        picture.paste(thing, mask=thing)
        return picture

    def _lay(
        self,
        mask: Image.Image,
        frame: tuple[int, int, int, int],
        paint: Image.Image,
        inside: Sequence[Point] | None,
    ) -> None:
        if inside is not None:
            mask = ImageChops.multiply(mask, _mask(inside, frame, 1.0))
        paint.putalpha(mask)
        # A frame may reach over the edge of the sheet, where only its visible part can be laid.
        left, top = max(frame[0], 0), max(frame[1], 0)
        right, bottom = min(frame[2], SIZE * SCALE), min(frame[3], SIZE * SCALE)
        if left < right and top < bottom:
            seen = paint.crop((left - frame[0], top - frame[1], right - frame[0], bottom - frame[1]))
            self._sheet.alpha_composite(seen, (left, top))


def _frame(points: Sequence[Point], margin: float = 0) -> tuple[int, int, int, int]:
    across, down = [x for x, _ in points], [y for _, y in points]
    return (
        int((min(across) - margin) * SCALE) - 1,
        int((min(down) - margin) * SCALE) - 1,
        int((max(across) + margin) * SCALE) + 2,
        int((max(down) + margin) * SCALE) + 2,
    )


def _mask(shape: Sequence[Point], frame: tuple[int, int, int, int], alpha: float) -> Image.Image:
    mask = Image.new("L", (frame[2] - frame[0], frame[3] - frame[1]))
    outline = [(x * SCALE - frame[0], y * SCALE - frame[1]) for x, y in shape]
    ImageDraw.Draw(mask).polygon(outline, fill=round(255 * alpha))
    return mask


def _paint(colour: str, light: Light, size: tuple[int, int], depth: float) -> Image.Image:
    if light == "flat":
        return Image.new("RGBA", size, colour)
    ramp = _ramp(light).resize(size, Image.Resampling.BICUBIC)
    bright = lighter(colour, min((0.15 if light == "round" else 0.22) * depth, 1))
    dim = darker(colour, min(0.30 * depth, 1))
    return ImageOps.colorize(ramp, black=dim, white=bright, mid=colour).convert("RGBA")


@cache
def _ramp(light: Light) -> Image.Image:
    """Where a shape is bright (255) and where dim (0), for any size of shape."""
    if light == "down":
        return Image.linear_gradient("L").transpose(Image.Transpose.ROTATE_180)
    if light == "up":
        return Image.linear_gradient("L")
    strip = Image.new("L", (64, 64))
    if light == "round":
        levels = [round(127 + 128 * math.cos((x / 63 - 0.24) * 4.0)) for x in range(64)]
        strip.putdata([max(0, level) for _ in range(64) for level in levels])
    else:
        reach = [((x / 63 - 0.34) ** 2 + (y / 63 - 0.28) ** 2) ** 0.5 for y in range(64) for x in range(64)]
        strip.putdata([max(0, round(245 - 250 * distance)) for distance in reach])
    return strip


@cache
def _bulb() -> Image.Image:
    """A round light: full in the middle, nothing at the edge of its square."""
    return ImageOps.invert(Image.radial_gradient("L")).point(lambda level: max(0, level - 75) * 255 // 180)


@cache
def _ground(tint: str) -> Image.Image:
    """The wall behind every thing of a category: the tint, lit from above, with a paler disc in the middle."""
    ramp = Image.linear_gradient("L").resize((SIZE, SIZE), Image.Resampling.BICUBIC)
    wall = ImageOps.colorize(ramp, black=lighter(tint, 0.12), white=darker(tint, 0.035))
    disc: Shape = oval(SIZE / 2, 236, 192)
    mask = _mask(disc, (0, 0, SIZE * SCALE, SIZE * SCALE), 1.0).resize((SIZE, SIZE), Image.Resampling.LANCZOS)
    wall.paste(lighter(tint, 0.42), mask=mask.point(lambda level: level * 85 // 100))
    return wall
