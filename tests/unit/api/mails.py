"""Mails to render, and what a mail program makes of them."""

from __future__ import annotations

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
