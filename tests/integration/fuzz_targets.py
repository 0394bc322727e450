"""What bytes are aimed at by `tests.integration.guided_fuzz`: each target raises where a promise is broken."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any, Final

import atheris  # type: ignore[import-not-found,unused-ignore]  # installed by hand: nothing else needs it

from api.answer import Answer, Block, Item
from api.render import render_html, render_json, render_text
from api.seals import Pass, Seals
from dataflows.events import Event, Refused, parse
from feature_repo.layout import USER, UnreadableValue

NOW: Final = 1_780_000_000_000_000
SEALS: Final = Seals({"k1": "s" * 40})
GOOD: Final = SEALS.seal(Pass("weekly", "u1", "s1", 2**40))
KINDS: Final = ("recommended", "abandoned_cart", "editorial", "message")
LOCALES: Final = ("en", "de-DE", "ar", "ja")


def read_events(data: bytes) -> None:
    """An event is read or refused, and a value of a feature is one or is said to be none."""
    assert isinstance(parse(data, NOW, max_skew=300_000_000, stage="collect"), Event | Refused)
    for column in USER.columns.values():
        with contextlib.suppress(UnreadableValue):
            column.read(data)


def open_tokens(data: bytes) -> None:
    """What we did not seal is not opened: not from the beginning, and not with a byte of a good one changed."""
    said = data.decode("latin-1")
    assert said == GOOD or SEALS.open(said, 1) is None
    if len(data) >= 2:
        place = data[0] % len(GOOD)
        spoilt = GOOD[:place] + data[1:].decode("latin-1") + GOOD[place + 1 :]
        assert spoilt == GOOD or SEALS.open(spoilt, 1) is None


class _Places(HTMLParser):
    """The tags of a mail, and the attributes that a browser would run or follow."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.bad: list[tuple[str, Any]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            followed = name in ("href", "src") and not (value or "").startswith(("https://", "http://"))
            if followed or name.startswith("on"):
                self.bad.append((name, value))


def draw_mails(data: bytes) -> None:
    """No text of a catalogue leaves its place: the tags are those that the same mail has with harmless texts."""
    provider = atheris.FuzzedDataProvider(data)

    def text() -> str:
        return str(provider.ConsumeUnicodeNoSurrogates(40))

    def number() -> float | None:
        return provider.PickValueInList([None, 0.0, 9.99, provider.ConsumeRegularFloat(), float("inf"), float("nan")])

    kind, locale = provider.PickValueInList(list(KINDS)), provider.PickValueInList([*LOCALES, text()])
    price, was, title = number(), number(), text()

    def mail(word: Callable[[], str], name: str) -> Answer:
        item = Item("p1", word() or "x", "https://shop.example/1", "https://shop.example/1.png",
                    price, was, "EUR", 1, word())  # fmt: skip
        return Answer("weekly", "u1", "s1", "v", None, (Block(kind, name or "x", "static", (item,)),))

    drawn = mail(text, title)
    render_text(drawn, locale=locale)
    render_json(drawn)
    places, harmless = _Places(), _Places()
    places.feed(render_html(drawn, locale=locale))
    assert not places.bad, places.bad
    harmless.feed(render_html(mail(lambda: "x", "x"), locale=locale))
    assert not set(places.tags) - {*harmless.tags, "s", "span", "p"}, set(places.tags) - set(harmless.tags)


TARGETS: Final = {"decoder": read_events, "tokens": open_tokens, "templates": draw_mails}
SEEDS: Final = {
    "decoder": (
        b'{"event_id":"e1","type":"view","user_id":"u1","item_id":"p1","occurred_at":1780000000,"price":9.5}',
        (b'{"event_id":"e2","type":"purchase","anonymous_id":"a1","order_id":"o1","occurred_at":"2026-05-28T20:26:40Z",'
        b'"items":[{"item_id":"p1","quantity":2,"price":1}],"country":"FR","properties":{"a":[1,null]}}'),
        b'{"event_id":"e3","type":"consent","user_id":"u1","email_allowed":false,"occurred_at":1780000000000}',
        b'{"event_id":"e4","type":"item","item_id":"p1","title":"x","in_stock":true,"category":"A/B","url":"https://x.y"}',
        b"\n\x03\x01\x02\x03",
    ),
    "tokens": (GOOD.encode(), b"\x04" + b"A" * 4),
    "templates": (bytes(range(256)), b"<script>alert(1)</script>" * 9),
}  # fmt: skip
"""What the fuzzer begins with."""
