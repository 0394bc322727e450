"""Cards: an item made ready to be drawn, as plain text or as pieces of HTML.

The same items stand in many mails, so the pieces of one are drawn once and remembered. Its reason is the reader's own
and is drawn apart, else hardly two mails would share a piece.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, Final, NamedTuple, NewType

from markupsafe import Markup

from api.answer import Item
from api.dress import clean, for_html, for_text, format_price, isolated, web_link
from api.template import template
from api.words import BUTTONS, locale_of, of_language

Html = NewType("Html", str)
"""HTML in which whatever comes from outside is escaped. Unlike `Markup` it looks at no text that joins it."""

NOTHING: Final = Html("")

# The longest texts in characters, so that a runaway catalogue row does not get the whole mail clipped.
TITLE, REASON, ALT = 100, 120, 40
_STORY_TITLE, _STORY_REASON = 200, 480  # a story is read, not scanned


class Role(NamedTuple):
    """How large a card is drawn: its picture in pixels, the cell of it, and sizes and line heights of its texts."""

    picture: int
    column: str
    title: tuple[int, int]
    reason: tuple[int, int] = (13, 20)
    longest_title: int = TITLE
    longest_reason: int = REASON


ROLES: Final = {
    "lead": Role(265, "100%", (20, 28)),
    "pair": Role(265, "48%", (15, 22)),
    "row": Role(88, "88", (15, 22)),
    "story": Role(552, "100%", (18, 26), (15, 23), _STORY_TITLE, _STORY_REASON),
}
"""What a card may be: alone in a grid, one of two in it, a row of a list or cart, a story."""


class Texts(NamedTuple):
    """A card as plain text."""

    title: str
    price: str
    was: str
    reason: str
    href: str | None


class Pieces(NamedTuple):
    """A card as HTML, but for its reason; `pictured` says whether there is a picture, or a letter in its place."""

    picture: Html
    title: Html
    money: Html
    button: Html
    href: str | None
    pictured: bool


Card = tuple[Pieces, Html]
"""A card as HTML, and its reason."""


def text_card(item: Item, role: str, locale: str) -> Texts:
    """The item as plain text."""
    size = ROLES[role]
    price, was = prices(item.price, item.list_price, item.currency, locale)
    title, reason = clean(item.title, size.longest_title), clean(item.reason or "", size.longest_reason)
    return Texts(for_text(title), price, was, for_text(reason), web_link(item.url))


def card(item: Item, role: str, locale: str, accent: str) -> Card:
    """The item as HTML."""
    pieces = _pieces(
        item.title, item.url, item.image_url, item.price, item.list_price, item.currency, role, locale, accent
    )
    return pieces, _reason(item.reason, role, locale) if item.reason else NOTHING


def as_html(drawn: Markup) -> Html:
    """What was escaped, as HTML that is put together without being looked at again."""
    return Html(str(drawn))


def button(href: str | None, label: str, accent: str) -> Html:
    """A button that leads somewhere; nothing where there is nowhere to go."""
    return as_html(_macros(accent).button(href, label))


def prices(amount: float | None, before: float | None, currency: str | None, locale: str) -> tuple[str, str]:
    """What an item costs and what it did before, in words; the latter only where it was more."""
    price = format_price(amount, currency, locale)
    reduced = bool(price) and amount is not None and before is not None and before > amount
    was = format_price(before, currency, locale) if reduced else ""
    return price, "" if was == price else was


@lru_cache(maxsize=4096)
def heading(text: str, locale: str) -> Html:
    """The title of a block for HTML."""
    return as_html(_dressed(clean(text, TITLE), locale))


@lru_cache(maxsize=8192)
def _pieces(
    title: str, url: str | None, image_url: str | None, amount: float | None, before: float | None,
    currency: str | None, role: str, locale: str, accent: str,
) -> Pieces:  # fmt: skip
    size, macros, words = ROLES[role], _macros(accent), of_language(BUTTONS, locale)
    shown = clean(title, size.longest_title)
    href, src, alt = web_link(url), web_link(image_url), _dressed(clean(shown, ALT), locale)
    price, was = prices(amount, before, currency, locale)
    initial = _dressed(shown[:1].upper(), locale)
    label = words.read if role == "story" and amount is None else words.view
    return Pieces(
        as_html(macros.picture(href, src, alt, initial, size.picture, size.column)),
        as_html(macros.title(href, _dressed(shown, locale), *size.title)),
        as_html(macros.money(price, was)),
        NOTHING if role == "row" else as_html(macros.button(href, label, alt, role == "pair")),
        href,
        src is not None,
    )


@lru_cache(maxsize=8192)
def _reason(text: str, role: str, locale: str) -> Html:
    size = ROLES[role]
    return as_html(_macros().reason(_dressed(clean(text, size.longest_reason), locale), *size.reason))


def _dressed(text: str, locale: str) -> Markup:
    return isolated(text) if locale_of(locale).text_direction == "rtl" else for_html(text)


@lru_cache(maxsize=8)
def _macros(accent: str = "#1f6f5c") -> Any:
    """The macros of the pieces, with the colours that follow from the accent."""
    return template("pieces.html.j2").make_module(look(accent))


def look(accent: str) -> dict[str, str]:
    """The colours that follow from the accent: what to write on it (WCAG 2 contrast), and its pale tone."""
    if not re.fullmatch("#[0-9A-Fa-f]{6}", accent):
        raise ValueError(f"The accent colour must be written as #rrggbb, not as {accent!r}.")
    parts = [int(accent[at : at + 2], 16) for at in (1, 3, 5)]
    red, green, blue = (((part / 255 + 0.055) / 1.055) ** 2.4 if part > 10 else part / 3294.6 for part in parts)
    dark = 0.2126 * red + 0.7152 * green + 0.0722 * blue < 0.2
    pale = "#" + "".join(f"{round(255 - (255 - part) * 0.16):02x}" for part in parts)
    return {"accent": accent, "on_accent": "#ffffff" if dark else "#1c1b19", "pale": pale}
