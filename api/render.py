"""Draws an answer as JSON, as plain text and as HTML that can be set into somebody else's mail.

Mail programs know only old HTML, and a catalogue may hold any text. So the HTML is nested tables with inline styles,
in ASCII (a wrong charset spoils nothing), and no text from outside can leave the place it is given.
Nothing here reads a clock, a network or a setting.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple

import msgspec
from markupsafe import Markup, escape

from api.answer import Answer, Block
from api.blocks import KINDS
from api.card import TITLE, Card, Html, Texts, as_html, button, card, heading, text_card
from api.dress import clean, for_text
from api.template import template
from api.words import BUTTONS, locale_of, of_language

TEMPLATES: Final = ("grid", "list", "cart", "story")
"""How a block may be drawn; each has a frame in the template."""
_HOLE: Final = Markup("\x00")


class _TextSection(NamedTuple):
    """A block as plain text; `href` is where its one button leads, if it is a cart."""

    title: str
    shape: str
    cards: list[Texts]
    href: str | None


def render_json(answer: Answer) -> bytes:
    """The answer as one JSON object with every key, null where nothing is known."""
    return msgspec.json.encode(answer)


def render_html(answer: Answer, *, accent: str = "#1f6f5c", locale: str = "en") -> str:
    """An HTML fragment 600 pixels wide at most, ASCII only; empty when there is nothing to show.

    Args:
        answer: What to draw. Blocks without items are left out.
        accent: The colour of the buttons, as `#rrggbb`.
        locale: A language tag such as `en` or `de-CH`: how prices are written, and the words on the buttons.

    Raises:
        ValueError: If `accent` is not a colour of that form.
    """
    rtl = locale_of(locale).text_direction == "rtl"
    blocks = [_block(block, locale, rtl, accent) for block in answer.blocks if block.items]
    if not blocks:
        return ""
    html = _framed("mail", rtl, as_html(escape(locale.replace("_", "-"))), _joined(blocks))
    return html.encode("ascii", "xmlcharrefreplace").decode("ascii")


def render_text(answer: Answer, *, locale: str = "en") -> str:
    """The plain-text part of the mail: titles, prices and links, without control characters."""
    sections = [_text_section(block, locale) for block in answer.blocks if block.items]
    return template("blocks.txt.j2").render(sections=sections, words_of=of_language(BUTTONS, locale))


def _shape(block: Block) -> str:
    return block.template or (KINDS[block.block].template if block.block in KINDS else "grid")


def _role(shape: str, position: int, count: int) -> str:
    """What a card is in a block of some shape."""
    if shape != "grid":
        return "story" if shape == "story" else "row"
    return "lead" if count % 2 and position == 0 else "pair"


def _block(block: Block, locale: str, rtl: bool, accent: str) -> Html:
    """A block with its cards in order. A grid with an odd number of them gives its first a row of its own."""
    shape, count = _shape(block), len(block.items)
    cards = [card(item, _role(shape, position, count), locale, accent) for position, item in enumerate(block.items)]
    inside = _SHAPES.get(shape, _grid)(cards, locale, rtl, accent)
    return _framed("block", rtl, heading(block.title, locale), inside)


def _grid(cards: Sequence[Card], locale: str, rtl: bool, accent: str) -> Html:
    odd = len(cards) % 2
    rows = [
        _framed("lead", rtl, each.picture, each.title, each.money, reason, each.button) for each, reason in cards[:odd]
    ]
    for (one, why), (two, why_two) in zip(cards[odd::2], cards[odd + 1 :: 2], strict=True):
        words = one.title, one.money, why, two.title, two.money, why_two
        rows.append(_framed("pair", rtl, one.picture, two.picture, *words, one.button, two.button))
    return _joined(rows)


def _rows(cards: Sequence[Card], rtl: bool) -> Html:
    return _joined([_framed("row", rtl, each.picture, each.title, each.money, reason) for each, reason in cards])


def _list(cards: Sequence[Card], locale: str, rtl: bool, accent: str) -> Html:
    return _framed("list", rtl, _rows(cards, rtl))


def _cart(cards: Sequence[Card], locale: str, rtl: bool, accent: str) -> Html:
    href = next((each.href for each, _ in cards if each.href), None)
    back = button(href, of_language(BUTTONS, locale).cart, accent)
    return _framed("cart", rtl, _rows(cards, rtl), back)


def _stories(cards: Sequence[Card], locale: str, rtl: bool, accent: str) -> Html:
    stories = []
    for each, reason in cards:
        words = each.title, reason, each.money, each.button
        stories.append(_framed("story", rtl, each.picture, *words) if each.pictured else _framed("words", rtl, *words))
    return _framed("stories", rtl, _joined(stories))


_SHAPES: Final = {"list": _list, "cart": _cart, "story": _stories}


def _framed(name: str, rtl: bool, *pieces: Html) -> Html:
    """Pieces in a frame. They are escaped already, and that is all that may come here."""
    return Html(_frame(name, rtl) % pieces)


def _joined(pieces: Sequence[Html]) -> Html:
    return Html("".join(pieces))


@lru_cache(maxsize=64)
def _frame(name: str, rtl: bool) -> str:
    """A frame, its holes as `%s`."""
    frames: Any = template("frames.html.j2").make_module({"rtl": rtl, "hole": _HOLE})
    return str(getattr(frames, name)()).replace("%", "%%").replace(_HOLE, "%s")


def _text_section(block: Block, locale: str) -> _TextSection:
    shape, count = _shape(block), len(block.items)
    cards = [text_card(item, _role(shape, position, count), locale) for position, item in enumerate(block.items)]
    href = next((each.href for each in cards if each.href), None)
    return _TextSection(for_text(clean(block.title, TITLE)), shape, cards, href)
