"""Draws the picture of a slot: a product's photo with its title, price and button, or a card without one. Pure.

Sizes are twice those in the mail, for screens that draw two dots a pixel. A picture never has more than 60 KB: it is
drawn in fewer colours, then smaller, and without its photo at last.
"""

from __future__ import annotations

import io
import unicodedata
from functools import lru_cache
from pathlib import Path
from typing import Final, NamedTuple

from PIL import Image, ImageDraw, ImageFont, ImageOps, features

WIDTH: Final = 265
HEIGHT: Final = 390
"""In the mail; drawn at twice that."""
MOST_BYTES: Final = 60_000
MOST_DOTS: Final = 40_000_000
"""Of a photo: a larger one is not read."""
FORMATS: Final = ("JPEG", "PNG", "GIF", "WEBP")
_FONTS: Final = Path(__file__).parent / "fonts"
_W, _H, _PHOTO, _EDGE = 2 * WIDTH, 2 * HEIGHT, 2 * WIDTH, 8
_INK, _MUTED, _PAPER, _TINT = "#1c1b19", "#6b6862", "#ffffff", "#f4f2ee"
_TITLE, _LINE, _BUTTON = 30, 42, 68
_COLOURS: Final = (256, 64, 16)


class Card(NamedTuple):
    """What a picture says; texts are clean and in the reader's language."""

    title: str
    price: str
    was: str
    button: str
    rtl: bool = False
    accent: str = "#1f6f5c"
    on_accent: str = "#ffffff"


def blank() -> bytes:
    """One dot of nothing, where there is nothing to show."""
    return _BLANK


def shrunk(photo: bytes) -> bytes:
    """A photo as small as it is drawn, as a JPEG.

    Raises:
        ValueError: it is no picture that can be drawn.
    """
    try:
        with Image.open(io.BytesIO(photo), formats=FORMATS) as image:
            _check(image)
            image.draft("RGB", (_PHOTO, _PHOTO))
            fitted = ImageOps.contain(ImageOps.exif_transpose(image).convert("RGBA"), (_PHOTO, _PHOTO))
    except Exception as error:  # a decoder stumbles over damaged pictures in ways of its own
        raise ValueError(f"it cannot be read as a picture: {error!r}") from error
    ground = Image.new("RGB", fitted.size, _PAPER)
    ground.paste(fitted, mask=fitted.getchannel("A"))
    out = io.BytesIO()
    ground.save(out, "JPEG", quality=88)
    return out.getvalue()


def _check(image: Image.Image) -> None:
    if image.width * image.height > MOST_DOTS:
        raise ValueError(f"it has more than {MOST_DOTS:,} dots")


def draw(card: Card, photo: bytes | None) -> bytes:
    """The picture as a PNG of at most `MOST_BYTES`.

    Args:
        card: what it says.
        photo: what `shrunk` made.
    """
    title, price, was, button = map(_whole, (card.title, card.price, card.was, card.button))
    card = card._replace(title=title, price=_legible(price), was=_legible(was), button=button)
    whole = _drawn(card, photo)
    for image in (whole, whole.resize((_W // 2, _H // 2), Image.Resampling.LANCZOS)):
        for colours in _COLOURS:
            if len(png := _png(image, colours)) <= MOST_BYTES:
                return png
    return _png(_drawn(card, None), _COLOURS[-1])


def _drawn(card: Card, photo: bytes | None) -> Image.Image:
    canvas = Image.new("RGB", (_W, _H), _PAPER)
    pen = ImageDraw.Draw(canvas)
    if photo is None:
        pen.rounded_rectangle((0, 0, _W - 1, _PHOTO - 1), 16, _TINT)
        initial = next((sign for sign in card.title if sign.isalnum() and _is_known(sign, bold=True)), "")
        pen.text((_W // 2, _PHOTO // 2), initial.upper(), _MUTED, _font(160, bold=True), anchor="mm")
    else:
        with Image.open(io.BytesIO(photo)) as image:
            canvas.paste(image, ((_W - image.width) // 2, (_PHOTO - image.height) // 2))
    top = _PHOTO + 24
    if _is_legible(card.title):
        for line in _lines(card.title, _W - 2 * _EDGE, card.rtl):
            _text(pen, card.rtl, top, line, _INK, _font(_TITLE))
            top += _LINE
    _prices(pen, card, _PHOTO + 24 + 2 * _LINE + 4)
    if card.button:
        pen.rounded_rectangle((0, _H - _BUTTON, _W - 1, _H - 1), 12, card.accent)
        where = (_W // 2, _H - _BUTTON // 2)
        pen.text(where, card.button, card.on_accent, _font(28, bold=True), anchor="mm", direction=_direction(card.rtl))
    return canvas


def _prices(pen: ImageDraw.ImageDraw, card: Card, top: int) -> None:
    """The price, and beside it the one before, struck through."""
    if not card.price:
        return
    font = _font(_TITLE, bold=True)
    _text(pen, card.rtl, top, card.price, _INK, font)
    if card.was:
        skip = round(font.getlength(card.price)) + 18
        small = _font(26)
        long = round(small.getlength(card.was))
        left = _W - _EDGE - skip - long if card.rtl else _EDGE + skip
        if left >= _EDGE and left + long <= _W - _EDGE:
            pen.text((left, top + 4), card.was, _MUTED, small)
            pen.line((left, top + 20, left + long, top + 20), _MUTED, 2)


def _text(pen: ImageDraw.ImageDraw, rtl: bool, top: int, text: str, colour: str, font: ImageFont.FreeTypeFont) -> None:
    side = (_W - _EDGE, top) if rtl else (_EDGE, top)
    pen.text(side, text, colour, font, anchor="ra" if rtl else "la", direction=_direction(rtl))


def _direction(rtl: bool) -> str | None:
    """The direction of a text, where the library was built to know of any."""
    return ("rtl" if rtl else "ltr") if features.check("raqm") else None


def _lines(text: str, width: int, rtl: bool) -> list[str]:
    """The text on two lines at most, cut where it does not fit."""
    font, lines, words = _font(_TITLE), [""], text.split()
    for place, word in enumerate(words):
        longer = f"{lines[-1]} {word}".strip()
        if font.getlength(longer) <= width:
            lines[-1] = longer
        elif len(lines) < 2 and lines[-1]:
            lines.append(word)
        else:
            lines[-1] = " ".join((lines[-1], *words[place:])).strip()
            break
    return [_cut(line, width, font) for line in lines]


def _cut(line: str, width: int, font: ImageFont.FreeTypeFont) -> str:
    if font.getlength(line) <= width:
        return line
    line = line[:200]
    while line and font.getlength(line + "…") > width:
        line = line[:-1]
    return line.rstrip() + "…"


def _png(image: Image.Image, colours: int) -> bytes:
    out = io.BytesIO()
    image.quantize(colours, Image.Quantize.MEDIANCUT).save(out, "PNG", compress_level=6)
    return out.getvalue()


def _is_legible(text: str) -> bool:
    """Whether the font has most of the signs: boxes in their place would look like a fault."""
    signs = [sign for sign in text if not sign.isspace()]
    return bool(signs) and sum(_is_known(sign) for sign in signs) >= 0.9 * len(signs)


def _whole(text: str) -> str:
    """A text without what no font draws, and without halves of signs, which the library stumbles over."""
    return "".join(sign for sign in text if sign.isprintable() or sign in "\u200e\u200f\xa0")


def _legible(price: str) -> str:
    """A price in signs that the font has: some currencies' are wide ones in some languages."""
    return price if all(map(_is_known, price)) else unicodedata.normalize("NFKC", price)


@lru_cache(maxsize=4096)
def _is_known(sign: str, *, bold: bool = False) -> bool:
    font = _font(_TITLE, bold=bold)
    return bytes(font.getmask(sign)) != bytes(font.getmask("\U0010fffe"))


@lru_cache(maxsize=16)
def _font(size: int, *, bold: bool = False) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(_FONTS / ("DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf")), size)


def _nothing() -> bytes:
    out = io.BytesIO()
    Image.new("RGBA", (1, 1)).save(out, "PNG")
    return out.getvalue()


_BLANK: Final = _nothing()
