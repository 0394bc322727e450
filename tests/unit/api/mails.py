"""Mails to render, and a lint of what mail programs would spoil."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import msgspec

from api.answer import Answer, Block, Item

PLAIN = Item(
    item_id="12",
    title="Stoneware carafe",
    url="https://shop.example/p/12?utm_source=mail&utm_campaign=weekly",
    image_url="https://shop.example/i/12.jpg",
    price=16.99,
    list_price=None,
    currency="USD",
    position=1,
    reason="because you viewed Stoneware cups",
)
TAGS = {"table", "tr", "td", "a", "img", "h2", "div", "s", "b"}
PROPERTIES = {
    "background-color", "border", "border-radius", "color", "display", "font-family", "font-size", "font-weight",
    "height", "line-height", "margin", "max-width", "mso-line-height-rule", "padding", "table-layout",
    "text-decoration", "white-space", "width", "word-break",
}  # fmt: skip
ONLY_ON = {"padding": {"td"}, "margin": {"h2"}, "max-width": {"table", "img"}, "background-color": {"table", "td"}}
GHOST = ['[if mso]><table role="presentation" cellpadding="0" cellspacing="0" border="0" width="600"><tr><td><![endif]',
         "[if mso]></td></tr></table><![endif]"]  # fmt: skip


def item(**changes: object) -> Item:
    return msgspec.structs.replace(PLAIN, **changes)


def block(kind: str, *items: Item, title: str = "Picked for you") -> Block:
    return Block(block=kind, title=title, source="personal", items=items)


def answer(*blocks: Block) -> Answer:
    return Answer("weekly", "u1", None, "2024-05-01T08:00:00Z", None, blocks)


class Parsed(HTMLParser):
    """What a mail program makes of a fragment: its skeleton, the text in it and the links out of it."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.skeleton: list[tuple[object, ...]] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.comments: list[str] = []
        self.texts: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self.skeleton.append((tag, *((name, "…" if name in {"alt", "aria-label"} else value) for name, value in attrs)))

    def handle_endtag(self, tag: str) -> None:
        self.skeleton.append(("end", tag))

    def handle_comment(self, data: str) -> None:
        self.comments.append(data)
        self.skeleton.append(("comment", data))

    def handle_decl(self, decl: str) -> None:
        self.skeleton.append(("declaration", decl))

    def unknown_decl(self, data: str) -> None:
        self.skeleton.append(("declaration", data))

    def handle_pi(self, data: str) -> None:
        self.skeleton.append(("instruction", data))

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.texts.append(data.strip())

    def all_of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    def links(self) -> list[str]:
        found = [attributes.get(name) for _, attributes in self.elements for name in ("href", "src")]
        return [link for link in found if link is not None]


def faults(html: str) -> list[str]:
    """What mail programs would spoil in the fragment, in words."""
    parsed = Parsed(html)
    found = [f"<{tag}> is not for mail" for tag, _ in parsed.elements if tag not in TAGS]
    found += [f"comment {text!r}" for text in parsed.comments if text not in GHOST]
    for tag, attributes in parsed.elements:
        style = attributes.get("style") or ""
        for declaration in filter(None, style.split(";")):
            name, _, value = declaration.partition(":")
            if name not in PROPERTIES or tag not in ONLY_ON.get(name, TAGS):
                found.append(f"{name} on <{tag}>")
            if "url(" in value or "var(" in value or "calc(" in value or re.search(r"\d(rem|em|vw|vh)\b", value):
                found.append(f"{declaration} on <{tag}>")
            if name == "margin" and value != "0":
                found.append(f"relies on {declaration}")
            if name == "line-height" and tag in {"div", "h2"} and f"mso-line-height-rule:exactly;{name}" not in style:
                found.append(f"{declaration} that Outlook will stretch on <{tag}>")
        if tag == "table" and [attributes.get(n) for n in ("role", "cellpadding", "cellspacing", "border")] != [
            "presentation", "0", "0", "0",
        ]:  # fmt: skip
            found.append("a table that is not for layout only")
        if tag == "img" and not (attributes.get("alt") and re.fullmatch(r"\d+", attributes.get("width") or "")):
            found.append("a picture without alt or width in pixels")
        if tag == "img" and not {"display:block", "height:auto"} <= set(style.split(";")):
            found.append("a picture that will leave a gap or be distorted")
        if tag == "a" and not re.search("(^|;)color:", style):
            found.append("a link in the mail program's own blue")
    found += [f"relative link {link}" for link in parsed.links() if not re.match("https?://[^/]", link)]
    found += [f"line of {len(line)}" for line in html.splitlines() if len(line) > 998]
    return found if html.isascii() else [*found, "characters that depend on the charset"]


SAMPLES = {
    "a whole mail": answer(
        block("abandoned_cart", *[item(list_price=20.0)] * 4),
        block("recommended", *[item(list_price=20.0)] * 4),
        block("trending", *[item()] * 4),
    ),
    "one item": answer(block("similar", item())),
    "odd": answer(block("trending", *[item()] * 5)),
    "bare items": answer(
        block("recommended", *[item(url=None, image_url=None, price=None, reason=None, currency=None)] * 3),
        block("abandoned_cart", item(url=None, image_url=None, price=None, reason=None)),
        block("message", item(url=None, image_url=None, price=None, reason=None)),
    ),
    "stories": answer(block("editorial", item(price=None)), block("message", item(price=None, image_url=None))),
    "other scripts": answer(
        block("recommended", *[item(title="備前焼の花瓶 " * 9, reason="ご覧になった商品 " * 6)] * 4)
    ),
}
