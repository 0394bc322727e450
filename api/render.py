"""Draws an answer as JSON, as plain text and as HTML that can be set into somebody else's mail.

Mail programs know only old HTML, and a catalogue may hold any text. So the HTML is nested tables with inline styles,
in ASCII (a wrong charset spoils nothing), and no text from outside can leave the place it is given.
Nothing here reads a clock, a network or a setting.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable
from functools import cache, lru_cache
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import urlsplit

import jinja2
import jinja2.ext
import msgspec
from babel.numbers import format_currency, format_decimal
from markupsafe import Markup, escape

from api.answer import Answer, Block, Item
from api.blocks import KINDS
from api.words import BUTTONS, locale_of, of_language

_Dress = Callable[[str], str]

TEMPLATES: Final = ("grid", "list", "cart", "story")
"""How a block may be drawn; each is a macro of the template."""

# The longest texts in characters, so that a runaway catalogue row does not get the whole mail clipped.
_TITLE, _REASON, _ALT, _URL = 100, 120, 40, 2_048
_STORY_TITLE, _STORY_REASON = 200, 480  # a story is read, not scanned
_LINE = 700

# Characters that draw nothing or turn the direction of what follows them: with these a title could leave its place.
_UNSEEN = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x9f\u200b\u202a-\u202e\u2060-\u2069\ufeff\ufff9-\uffff\ud800-\udfff]")
_SPACE = re.compile("[\t\n\x0b\x0c\r \u2028\u2029]+")
# The fragment passes through a mail platform's own template language; these begin or end its tags.
_MERGE = {ord(sign): f"&#{ord(sign)};" for sign in "{}[]|%"}
_MERGE_IN_TEXT = re.compile(r"([{*%\[])(?=[{%|\[#=])")
_TOUCHING = re.compile(r"(?<=[^\W\d_])(?=\d)|(?<=\d)(?=[^\W\d_])")  # a letter and a digit
_BREAKING = re.compile("[ \u202f]")
_IN_URL = {ord(sign): f"%{ord(sign):02X}" for sign in "{}|<>\"'`^"}


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
    rtl = locale_of(locale).text_direction == "rtl"
    dress = _isolated if rtl else for_html
    sections = [_section(block, locale, dress) for block in answer.blocks if block.items]
    if not sections:
        return ""
    page = template("blocks.html.j2")
    html = page.render(
        sections=sections, words_of=of_language(BUTTONS, locale), lang=locale.replace("_", "-"),
        rtl=rtl, **_look(accent),
    )  # fmt: skip
    return html.encode("ascii", "xmlcharrefreplace").decode("ascii")


def render_text(answer: Answer, *, locale: str = "en") -> str:
    """The plain-text part of the mail: titles, prices and links, without control characters."""
    sections = [_section(block, locale, for_text) for block in answer.blocks if block.items]
    return template("blocks.txt.j2").render(sections=sections, words_of=of_language(BUTTONS, locale))


@lru_cache(maxsize=8192)
def format_price(amount: float | None, currency: str | None, locale: str = "en") -> str:
    """An amount of money as people write it where `locale` is spoken; empty where there is no sensible amount.

    An unknown currency is written as its code; one that is no code at all is left out.
    """
    if amount is None or not 0 <= amount < 1e12:  # not a number fails this too
        return ""
    code = currency.upper() if currency else ""
    spoken = locale_of(locale)
    if re.fullmatch("[A-Z]{3}", code):
        written = format_currency(amount, code, locale=spoken)
    else:
        written = format_decimal(amount, "#,##0.00", locale=spoken)
    written = _TOUCHING.sub(" ", written)  # CHF 5: so Unicode's rules have it, and Babel leaves it out
    return _BREAKING.sub("\u00a0", written)  # a price is not broken over two lines; old fonts have no narrow space


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
    shape = block.template or (KINDS[block.block].template if block.block in KINDS else "grid")
    cards = tuple(_card(item, shape, locale, dress) for item in block.items)
    odd = len(cards) % 2
    return _Section(
        title=dress(clean(block.title, _TITLE)),
        shape=shape,
        lead=cards[0] if odd else None,
        cards=cards,
        pairs=tuple(zip(cards[odd::2], cards[odd + 1 :: 2], strict=True)),
        href=next((card.href for card in cards if card.href), None),
    )


def _card(item: Item, shape: str, locale: str, dress: _Dress) -> _Card:
    """The item with its texts clean, cut and dressed for one format."""
    longest_title, longest_reason = (_STORY_TITLE, _STORY_REASON) if shape == "story" else (_TITLE, _REASON)
    title = clean(item.title, longest_title)
    price = format_price(item.price, item.currency, locale)
    reduced = bool(price) and item.price is not None and item.list_price is not None and item.list_price > item.price
    was = format_price(item.list_price, item.currency, locale) if reduced else ""
    return _Card(
        title=dress(title),
        alt=dress(clean(title, _ALT)),
        initial=dress(title[:1].upper()),
        href=web_link(item.url),
        src=web_link(item.image_url),
        price=price,
        was="" if was == price else was,
        reason=dress(clean(item.reason or "", longest_reason)),
    )


def clean(text: str, longest: int) -> str:
    """The text on one line, without unseen characters, cut between words where it is too long."""
    line = _SPACE.sub(" ", _UNSEEN.sub("", text[: 4 * longest])).strip(" ")
    if len(line) <= longest:
        return line
    cut = line[: longest - 1]
    return cut[: cut.rfind(" ", longest // 2)].rstrip() + "…" if " " in cut[longest // 2 :] else cut + "…"


def for_html(text: str) -> str:
    """The text escaped for HTML, and for the template language of the mail platform it will pass through; in ASCII."""
    dressed = escape(text).translate(_MERGE).encode("ascii", "xmlcharrefreplace").decode("ascii")
    return Markup(dressed if len(dressed) <= _LINE else _folded(dressed))  # noqa: S704  # escaped above


def _isolated(text: str) -> str:
    """The text for HTML that runs from right to left: one in another script keeps its full stop at its own end."""
    return Markup("&#8296;") + for_html(text) + Markup("&#8297;") if text else ""


def _folded(dressed: str) -> str:
    """A long text on several lines, since mail servers break those above 998 characters wherever they please.

    Where there is no space to break at, as in Japanese, a space without width lets the break be drawn as nothing.
    """
    lines = []
    for line in textwrap.wrap(dressed, _LINE, break_long_words=False, break_on_hyphens=False):
        while len(line) > _LINE:
            at = line.rfind(";", 0, _LINE) + 1 or _LINE
            lines.append(line[:at] + "&#8203;")
            line = line[at:]
        lines.append(line)
    return "\n".join(lines)


def for_text(text: str) -> str:
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


class _Unindented(jinja2.ext.Extension):
    """Takes the indentation out of a template as it is read: a mail is clipped by its size, and text is not touched."""

    def preprocess(self, source: str, name: str | None, filename: str | None = None) -> str:
        """The source without indentation; line ends stay, because mail servers break lines above 998 characters."""
        return re.sub(r"\n\s+", "\n", source) if name and name.endswith(".html.j2") else source


def template(name: str) -> jinja2.Template:
    """One of the packaged templates; in all but plain text everything is escaped. `mail` dresses a text for HTML."""
    return _templates().get_template(name)


@cache
def _templates() -> jinja2.Environment:
    """The packaged templates, compiled once."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=jinja2.select_autoescape(disabled_extensions=("txt.j2",), default=True),
        extensions=[_Unindented],
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.filters["mail"] = for_html
    return environment
