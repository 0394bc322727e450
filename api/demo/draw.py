"""Draws the picture of every product of the sample shop: `python -m api.demo.draw` rewrites them all.

The same catalogue gives the same pictures, byte for byte with one version of Pillow. The running product never
imports this module: it serves the files.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

from api.demo import (
    drawings_audio,
    drawings_bags,
    drawings_camping,
    drawings_desk,
    drawings_kitchen,
    drawings_lighting,
    drawings_living,
    drawings_plants,
    drawings_toys,
    drawings_wear,
)
from api.demo.canvas import Canvas, Look
from api.demo.catalogue import PICTURES, Product, shelf

DRAWINGS: dict[str, Callable[[Canvas, Look], None]] = {
    **drawings_audio.DRAWINGS,
    **drawings_bags.DRAWINGS,
    **drawings_camping.DRAWINGS,
    **drawings_desk.DRAWINGS,
    **drawings_kitchen.DRAWINGS,
    **drawings_lighting.DRAWINGS,
    **drawings_living.DRAWINGS,
    **drawings_plants.DRAWINGS,
    **drawings_toys.DRAWINGS,
    **drawings_wear.DRAWINGS,
}
"""How each kind of product is drawn."""

TINTS = {
    "Home/Lighting": "#f3e3c8",
    "Home/Kitchen": "#dfe9e2",
    "Home/Living": "#ecdcd3",
    "Outdoor/Camping": "#d6e4dc",
    "Outdoor/Bags": "#dcdfe9",
    "Garden/Plants": "#e6ead2",
    "Work/Audio": "#d9e3ec",
    "Work/Desk": "#f1e6d6",
    "Kids/Toys": "#f6e2d6",
    "Wear/Accessories": "#e6dfea",
}
"""The ground each category is shown on."""

QUALITIES = (87, 82, 77, 72)
LIMIT = 30_000
"""The most bytes a picture may have: the first quality that keeps to it is taken."""


def picture(product: Product) -> bytes:
    """The product's picture, a JPEG of 480 by 480.

    Raises:
        ValueError: the drawing is too detailed for a mail: it exceeds `LIMIT` bytes at every quality.
    """
    canvas = Canvas()
    colours = dict(zip(("main", "trim", "accent"), product.colours, strict=False))
    DRAWINGS[product.kind](canvas, Look(**colours, style=product.style))
    drawn = canvas.finished(TINTS[product.category])
    for quality in QUALITIES:
        file = io.BytesIO()
        drawn.save(file, "JPEG", quality=quality, optimize=True, subsampling=0)
        if file.tell() <= LIMIT:
            return file.getvalue()
    raise ValueError(f"{product.item_id} has more than {LIMIT} bytes at quality {QUALITIES[-1]}: draw it more simply")


def draw_all(folder: Path) -> int:
    """Writes `<item_id>.jpg` for every product and gives their number; other pictures in the folder are removed."""
    folder.mkdir(parents=True, exist_ok=True)
    wanted = {f"{product.item_id}.jpg": product for product in shelf()}
    for old in folder.glob("*.jpg"):
        if old.name not in wanted:
            old.unlink()
    for name, product in wanted.items():
        (folder / name).write_bytes(picture(product))
    return len(wanted)


if __name__ == "__main__":
    print(f"{draw_all(PICTURES)} pictures in {PICTURES}")  # noqa: T201 - this is what the command answers
