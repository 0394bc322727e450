"""What mail programs would spoil in an HTML fragment: the rules of e-mail HTML, as a check. Pure.

The fragment is set into somebody else's mail: it owns no head, so no style sheet; Outlook for Windows draws with Word;
Gmail drops what it does not know, shows the first 102 KB and clips the rest; webmail recolours in the dark.
"""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Final

MAIL_BYTES: Final = 102 * 1024
"""What Gmail shows of a mail; the rest is clipped, and with it the pixel that counts opens."""
BLOCK_BYTES: Final = 20 * 1024
"""What a block may take of it: there is more in a mail than blocks."""
LINE: Final = 998
"""The longest line that a mail server passes on (RFC 5322)."""

TAGS: Final = frozenset({"table", "tr", "td", "a", "img", "h2", "div", "s", "b"})
PROPERTIES: Final = frozenset({
    "background-color", "border", "border-radius", "color", "display", "font-family", "font-size", "font-weight",
    "height", "line-height", "margin", "max-width", "mso-line-height-rule", "padding", "table-layout",
    "text-decoration", "white-space", "width", "word-break",
})  # fmt: skip
"""What may stand in a style; no float, position, flex or grid, which some program each does not know."""
DISPLAYS: Final = frozenset({"block", "inline-block", "inline"})
ONLY_ON: Final = {
    "padding": {"td"}, "margin": {"h2"}, "max-width": {"table", "img"}, "background-color": {"table", "td"},
}  # fmt: skip
"""Where Outlook honours them."""
FOR_LAYOUT: Final = {"role": "presentation", "cellpadding": "0", "cellspacing": "0", "border": "0"}
GHOSTS: Final = frozenset({
    '[if mso]><table role="presentation" cellpadding="0" cellspacing="0" border="0" width="600"><tr><td><![endif]',
    "[if mso]></td></tr></table><![endif]",
})  # fmt: skip
"""The only comments: a table that Outlook alone sees, since it knows no `max-width` on what stands around it."""
UNITS: Final = re.compile(r"url\(|var\(|calc\(|\d(rem|em|vw|vh)\b")
COLOUR: Final = re.compile("#[0-9a-f]{6}")
PURE: Final = frozenset({"#000000", "#000", "black"})
"""Colours of text that programs turn over in the dark where the paper stays."""


class Fragment(HTMLParser):
    """The elements, comments and texts of a fragment, each text with the colours it is written in and on."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.comments: list[str] = []
        self.open: list[tuple[str, str, str]] = [("", "", "")]
        self.bare: list[str] = []
        self.unclosed: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Remember an element, and the colours from here on."""
        attributes = dict(attrs)
        self.elements.append((tag, attributes))
        if tag == "img":
            return
        _, ink, paper = self.open[-1]
        style = declarations(attributes.get("style") or "")
        self.open.append((tag, style.get("color", ink), attributes.get("bgcolor") or paper))

    def handle_endtag(self, tag: str) -> None:
        """Go back to the colours of before."""
        if self.open[-1][0] == tag:
            self.open.pop()
        else:
            self.unclosed.append(tag)

    def handle_comment(self, data: str) -> None:
        """Remember a comment."""
        self.comments.append(data)

    def handle_data(self, data: str) -> None:
        """Remember a text without colours of its own."""
        _, ink, paper = self.open[-1]
        if data.strip() and not (COLOUR.fullmatch(ink) and COLOUR.fullmatch(paper)):
            self.bare.append(data.strip())


def declarations(style: str) -> dict[str, str]:
    """The declarations of a style attribute."""
    pairs = (each.partition(":") for each in style.split(";") if each.strip())
    return {name.strip(): value.strip() for name, _, value in pairs}


def faults(html: str) -> list[str]:
    """What mail programs would spoil in the fragment, in words; its size is asked of `too_large`."""
    fragment = Fragment(html)
    found = [f"<{tag}> is not for mail" for tag, _ in fragment.elements if tag not in TAGS]
    found += [f"comment {text!r}" for text in fragment.comments if text not in GHOSTS]
    found += [f"</{tag}> closes nothing" for tag in fragment.unclosed]
    found += [f"<{tag}> is left open" for tag, *_ in fragment.open[1:]]
    found += [f"{text!r} has no colour of its own to be read in the dark" for text in fragment.bare]
    for tag, attributes in fragment.elements:
        style = declarations(attributes.get("style") or "")
        found += _style_faults(tag, style)
        if tag == "table" and any(attributes.get(name) != value for name, value in FOR_LAYOUT.items()):
            found.append("a table that is not for layout only")
        if tag == "img":
            found += _picture_faults(attributes, style)
        if tag == "a" and "color" not in style:
            found.append("a link in the mail program's own blue")
        found += [
            f"{name}={link} is no absolute https address"
            for name in ("href", "src")
            if (link := attributes.get(name)) is not None and not re.match("https://[^/]", link)
        ]
        found += [f"{name} on <{tag}>" for name in attributes if name.startswith("on") or name in ("class", "id")]
    found += [f"line of {len(line)}" for line in html.splitlines() if len(line) > LINE]
    return found if html.isascii() else [*found, "characters that depend on the charset"]


def too_large(html: str, most: int = BLOCK_BYTES) -> list[str]:
    """Whether a fragment takes more bytes than it may."""
    size = len(html.encode())
    return [f"{size:,} bytes, of which {most:,} may be" + " shown" * (most == MAIL_BYTES)] if size > most else []


def _style_faults(tag: str, style: dict[str, str]) -> list[str]:
    found = []
    for name, value in style.items():
        if name not in PROPERTIES or tag not in ONLY_ON.get(name, TAGS):
            found.append(f"{name} on <{tag}>")
        if UNITS.search(value) or (name == "display" and value not in DISPLAYS):
            found.append(f"{name}:{value} on <{tag}>")
        if name == "margin" and value != "0":
            found.append(f"relies on {name}:{value}")
        if name == "color" and value.lower() in PURE:
            found.append(f"{name}:{value}, which turns white in the dark")
        if name == "line-height" and tag in {"div", "h2"} and style.get("mso-line-height-rule") != "exactly":
            found.append(f"line-height:{value} that Outlook will stretch on <{tag}>")
    return found


def _picture_faults(attributes: dict[str, str | None], style: dict[str, str]) -> list[str]:
    found = []
    if not (attributes.get("alt") and re.fullmatch(r"\d+", attributes.get("width") or "")):
        found.append("a picture without alt or width in pixels")
    if style.get("display") != "block" or style.get("height") != "auto":
        found.append("a picture that will leave a gap or be distorted")
    if re.search(r"\.(svg|avif|webp)($|\?)", attributes.get("src") or ""):
        found.append(f"a picture that Outlook cannot draw: {attributes.get('src')}")
    return found
