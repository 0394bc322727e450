"""Draws an answer as JSON, as plain text and as HTML that can be set into somebody else's mail.

Mail programs know only old HTML, and a catalogue may hold any text. So the HTML is nested tables with inline styles,
in ASCII (a wrong charset spoils nothing), and no text from outside can leave the place it is given.
Nothing here reads a clock, a network or a setting.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple, TypeVar
from urllib.parse import urlsplit

import jinja2
import jinja2.ext
import msgspec
from markupsafe import escape

from api.answer import Answer, Block, Item

T = TypeVar("T")
_Dress = Callable[[str], str]

_SHAPES = {"abandoned_cart": "cart", "editorial": "story", "message": "story"}  # every other kind is a grid

# The longest texts in characters, so that a runaway catalogue row does not get the whole mail clipped.
_TITLE, _REASON, _ALT, _URL = 100, 120, 40, 2_048
_STORY_TITLE, _STORY_REASON = 200, 480  # a story is read, not scanned

# Characters that draw nothing or turn the direction of what follows them: with these a title could leave its place.
_UNSEEN = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x9f\u200b\u202a-\u202e\u2060-\u2069\ufeff\ufff9-\uffff\ud800-\udfff]")
_SPACE = re.compile("[\t\n\x0b\x0c\r \u2028\u2029]+")
# The fragment passes through a mail platform's own template language; these begin or end its tags.
_MERGE = {ord(sign): f"&#{ord(sign)};" for sign in "{}[]|%"}
_MERGE_IN_TEXT = re.compile(r"([{*%\[])(?=[{%|\[#=])")
_IN_URL = {ord(sign): f"%{ord(sign):02X}" for sign in "{}|<>\"'`^"}

_SYMBOLS = {
    "AUD": "A$", "BRL": "R$", "CAD": "CA$", "CNY": "CN¥", "CZK": "Kč", "DKK": "kr", "EUR": "€", "GBP": "£",
    "HKD": "HK$", "HUF": "Ft", "ILS": "₪", "INR": "₹", "JPY": "¥", "KRW": "₩", "MXN": "MX$", "NOK": "kr",
    "NZD": "NZ$", "PLN": "zł", "SEK": "kr", "SGD": "S$", "TRY": "₺", "TWD": "NT$", "UAH": "₴", "USD": "$", "VND": "₫",
}  # fmt: skip
_BEHIND = {"CZK", "DKK", "HUF", "NOK", "PLN", "SEK", "VND"}  # written after the number in every language
_DIGITS = {"CLP": 0, "ISK": 0, "JPY": 0, "KRW": 0, "VND": 0, "BHD": 3, "JOD": 3, "KWD": 3, "OMR": 3, "TND": 3}

# Language: the sign between thousands, the decimal sign, whether the currency stands before the number and a space.
_NUMBERS = {
    "en": (",", ".", "{c}{n}"), "da": (".", ",", "{n} {c}"), "de": (".", ",", "{n} {c}"), "es": (".", ",", "{n} {c}"),
    "fr": (" ", ",", "{n} {c}"), "it": (".", ",", "{n} {c}"), "nb": (" ", ",", "{n} {c}"), "nl": (".", ",", "{c} {n}"),
    "pl": (" ", ",", "{n} {c}"), "pt": (".", ",", "{n} {c}"), "sv": (" ", ",", "{n} {c}"),
    "de-ch": ("’", ".", "{c} {n}"), "pt-br": (".", ",", "{c} {n}"),
}  # fmt: skip


class _Words(NamedTuple):
    """The few words that are the renderer's own: on the buttons, and before an old price."""

    view: str
    read: str
    cart: str
    was: str


_WORDS = {
    "en": _Words("View", "Read more", "Back to your cart", "was"),
    "da": _Words("Se", "Læs mere", "Tilbage til kurven", "før"),
    "de": _Words("Ansehen", "Weiterlesen", "Zurück zum Warenkorb", "statt"),
    "es": _Words("Ver", "Leer más", "Volver al carrito", "antes"),
    "fr": _Words("Voir", "Lire la suite", "Retour au panier", "au lieu de"),
    "it": _Words("Vedi", "Leggi tutto", "Torna al carrello", "invece di"),
    "nb": _Words("Se", "Les mer", "Tilbake til handlekurven", "før"),
    "nl": _Words("Bekijk", "Lees verder", "Terug naar je winkelwagen", "was"),
    "pl": _Words("Zobacz", "Czytaj dalej", "Wróć do koszyka", "zamiast"),
    "pt": _Words("Ver", "Ler mais", "Voltar ao carrinho", "antes"),
    "sv": _Words("Visa", "Läs mer", "Tillbaka till varukorgen", "tidigare"),
}


class _Card(NamedTuple):
    """An item made ready to be drawn: clean text, money in words, links that are safe or absent."""

    title: str
    alt: str
    initial: str
    href: str | None
    src: str | None
    price: str
    was: str
    reason: str


class _Section(NamedTuple):
    """A block made ready to be drawn. A grid with an odd number of cards gives its first a row of its own."""

    title: str
    shape: str
    lead: _Card | None
    cards: tuple[_Card, ...]
    pairs: tuple[tuple[_Card, _Card], ...]
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
    sections = [_section(block, locale, _for_html) for block in answer.blocks if block.items]
    if not sections:
        return ""
    page = _templates().get_template("blocks.html.j2")
    html = page.render(
        sections=sections, words_of=_of_language(_WORDS, locale), lang=locale.replace("_", "-"), **_look(accent)
    )
    return html.encode("ascii", "xmlcharrefreplace").decode("ascii")


def render_text(answer: Answer, *, locale: str = "en") -> str:
    """The plain-text part of the mail: titles, prices and links, without control characters."""
    sections = [_section(block, locale, _for_text) for block in answer.blocks if block.items]
    return _templates().get_template("blocks.txt.j2").render(sections=sections, words_of=_of_language(_WORDS, locale))


def format_price(amount: float | None, currency: str | None, locale: str = "en") -> str:
    """An amount of money as people write it where `locale` is spoken; empty where there is no sensible amount.

    An unknown currency is written as its code; one that is no code at all is left out.
    """
    if amount is None or not 0 <= amount < 1e12:  # not a number fails this too
        return ""
    code = currency.upper() if currency else ""
    code = code if re.fullmatch("[A-Z]{3}", code) else ""
    thousands, decimal, pattern = _of_language(_NUMBERS, locale)
    number = f"{amount:,.{_DIGITS.get(code, 2)}f}".translate({ord(","): thousands, ord("."): decimal})
    if not code:
        return number.replace(" ", "\u00a0")
    symbol = _SYMBOLS.get(code, code)
    if code in _BEHIND:
        pattern = "{n} {c}"
    elif pattern == "{c}{n}" and symbol[-1].isalpha():
        pattern = "{c} {n}"
    return pattern.format(c=symbol, n=number).replace(" ", "\u00a0")  # a price is not broken over two lines


def web_link(url: str | None) -> str | None:
    """The address, made safe to stand in a link, if it is an absolute `http` or `https` one; otherwise None."""
    if not url or len(url) > _URL or _UNSEEN.search(url) or _SPACE.search(url) or "\\" in url:
        return None
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:  # brackets that are no IPv6 address
        return None
    if parts.scheme.lower() not in {"http", "https"} or not host:
        return None
    return re.sub("%(?![0-9A-Fa-f]{2})", "%25", url).translate(_IN_URL)


def _section(block: Block, locale: str, dress: _Dress) -> _Section:
    """The block with its texts clean and dressed for one format, and its cards in the order they are drawn."""
    shape = _SHAPES.get(block.block, "grid")
    cards = tuple(_card(item, shape, locale, dress) for item in block.items)
    odd = len(cards) % 2
    return _Section(
        title=dress(_clean(block.title, _TITLE)),
        shape=shape,
        lead=cards[0] if odd else None,
        cards=cards,
        pairs=tuple(zip(cards[odd::2], cards[odd + 1 :: 2], strict=True)),
        href=next((card.href for card in cards if card.href), None),
    )


def _card(item: Item, shape: str, locale: str, dress: _Dress) -> _Card:
    """The item with its texts clean, cut and dressed for one format."""
    longest_title, longest_reason = (_STORY_TITLE, _STORY_REASON) if shape == "story" else (_TITLE, _REASON)
    title = _clean(item.title, longest_title)
    price = format_price(item.price, item.currency, locale)
    reduced = bool(price) and item.price is not None and item.list_price is not None and item.list_price > item.price
    was = format_price(item.list_price, item.currency, locale) if reduced else ""
    return _Card(
        title=dress(title),
        alt=dress(_clean(title, _ALT)),
        initial=dress(title[:1].upper()),
        href=web_link(item.url),
        src=web_link(item.image_url),
        price=price,
        was="" if was == price else was,
        reason=dress(_clean(item.reason or "", longest_reason)),
    )


def _clean(text: str, longest: int) -> str:
    """The text on one line, without unseen characters, cut between words where it is too long."""
    line = _SPACE.sub(" ", _UNSEEN.sub("", text[: 4 * longest])).strip(" ")
    if len(line) <= longest:
        return line
    cut = line[: longest - 1]
    return cut[: cut.rfind(" ", longest // 2)].rstrip() + "…" if " " in cut[longest // 2 :] else cut + "…"


def _for_html(text: str) -> str:
    """The text escaped for HTML, and for the template language of the mail platform it will pass through."""
    return escape(text).translate(_MERGE)


def _for_text(text: str) -> str:
    """The text with any opening tag of a mail platform's template language broken apart."""
    return _MERGE_IN_TEXT.sub(r"\1 ", text)


def _look(accent: str) -> dict[str, str]:
    """The colours that follow from the accent: what to write on it (WCAG 2 contrast), and its pale tone."""
    if not re.fullmatch("#[0-9A-Fa-f]{6}", accent):
        raise ValueError(f"The accent colour must be written as #rrggbb, not as {accent!r}.")
    parts = [int(accent[at : at + 2], 16) for at in (1, 3, 5)]
    red, green, blue = (((part / 255 + 0.055) / 1.055) ** 2.4 if part > 10 else part / 3294.6 for part in parts)
    dark = 0.2126 * red + 0.7152 * green + 0.0722 * blue < 0.2
    pale = "#" + "".join(f"{round(255 - (255 - part) * 0.16):02x}" for part in parts)
    return {"accent": accent, "on_accent": "#ffffff" if dark else "#1c1b19", "pale": pale}


def _of_language(table: Mapping[str, T], locale: str) -> T:
    """The table's entry for the locale, else for its language, else for English."""
    tag = locale.lower().replace("_", "-")
    return table.get(tag) or table.get(tag.partition("-")[0]) or table["en"]


class _Unindented(jinja2.ext.Extension):
    """Takes the indentation out of a template as it is read: a mail is clipped by its size, and text is not touched."""

    def preprocess(self, source: str, name: str | None, filename: str | None = None) -> str:
        """The source without indentation; line ends stay, because mail servers break lines above 998 characters."""
        return re.sub(r"\n\s+", "\n", source) if name and name.endswith(".html.j2") else source


@cache
def _templates() -> jinja2.Environment:
    """The packaged templates, compiled once."""
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=jinja2.select_autoescape(disabled_extensions=("txt.j2",), default=True),
        extensions=[_Unindented],
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
