"""Dress: texts, prices and links, made safe and fit for the place they go to. Pure.

A catalogue may hold any text; whatever comes from outside goes through here before it stands in a mail or a feed.
"""

from __future__ import annotations

import re
import textwrap
from functools import lru_cache
from urllib.parse import urlsplit

from babel.numbers import format_currency, format_decimal
from markupsafe import Markup, escape

from api.words import locale_of

_URL, _LINE = 2_048, 700  # the longest link that is set, and the longest line that is written, in characters

# Characters that draw nothing or turn the direction of what follows them: with these a title could leave its place.
_UNSEEN = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x9f\u200b\u202a-\u202e\u2060-\u2069\ufeff\ufff9-\uffff\ud800-\udfff]")
_SPACE = re.compile("[\t\n\x0b\x0c\r \u2028\u2029]+")
# The fragment passes through a mail platform's own template language; these begin or end its tags.
_MERGE = {ord(sign): f"&#{ord(sign)};" for sign in "{}[]|%"}
_MERGE_IN_TEXT = re.compile(r"([{*%\[])(?=[{%|\[#=])")
_TOUCHING = re.compile(r"(?<=[^\W\d_])(?=\d)|(?<=\d)(?=[^\W\d_])")  # a letter and a digit
_BREAKING = re.compile("[ \u202f]")
_IN_URL = {ord(sign): f"%{ord(sign):02X}" for sign in "{}|<>\"'`^"}


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


def clean(text: str, longest: int) -> str:
    """The text on one line, without unseen characters, cut between words where it is too long."""
    line = _SPACE.sub(" ", _UNSEEN.sub("", text[: 4 * longest])).strip(" ")
    if len(line) <= longest:
        return line
    cut = line[: longest - 1]
    return cut[: cut.rfind(" ", longest // 2)].rstrip() + "…" if " " in cut[longest // 2 :] else cut + "…"


def for_html(text: str) -> Markup:
    """The text escaped for HTML, and for the template language of the mail platform it will pass through; in ASCII."""
    dressed = escape(text).translate(_MERGE).encode("ascii", "xmlcharrefreplace").decode("ascii")
    return Markup(dressed if len(dressed) <= _LINE else _folded(dressed))  # noqa: S704  # escaped above


def isolated(text: str) -> Markup:
    """The text for HTML that runs from right to left: one in another script keeps its full stop at its own end."""
    return Markup("&#8296;") + for_html(text) + Markup("&#8297;") if text else Markup()


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
