"""Draws an answer as a feed, RSS 2.0 or JSON: the same for everybody who asks for it. Pure.

What is drawn depends on what stands in it and on the day, so that two processes that know the same draw the same bytes.
"""

from __future__ import annotations

import mimetypes
from collections.abc import Iterator, Mapping
from datetime import datetime, timezone
from email.utils import format_datetime
from itertools import islice
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

import msgspec

from api.answer import Answer, Block, Item
from api.blocks import KINDS
from api.dress import clean, for_text, format_price, web_link
from api.known import CatalogueRow
from api.template import template
from api.words import BUTTONS, of_language

DAY: Final = 86_400
MOST_ITEMS: Final = 100
"""Of a feed: however long its texts and links are, it is then far below the 3.3 MB that Klaviyo takes."""
_TITLE, _REASON, _ID = 100, 120, 200


class Entry(NamedTuple):
    """An item of a feed, its texts clean, its links safe or absent; `at` is when it appeared, in seconds since 1970."""

    item: Item
    block: str
    title: str
    url: str | None
    image_url: str | None
    price: str
    list_price: str
    reason: str
    at: int

    @property
    def guid(self) -> str:
        """What it is known by, however often it changes."""
        return clean(self.item.item_id, _ID)

    @property
    def words(self) -> str:
        """In one line of plain text."""
        return " · ".join(filter(None, (self.price, self.reason)))

    @property
    def published(self) -> str:
        """When it appeared, as RFC 822 writes it."""
        return format_datetime(datetime.fromtimestamp(self.at, timezone.utc), usegmt=True)

    @property
    def picture_type(self) -> str:
        """What its picture is, by its name."""
        guessed = mimetypes.guess_type(urlsplit(self.image_url or "").path)[0] or ""
        return guessed if guessed.startswith("image/") else "image/jpeg"


def entries_of(answer: Answer, catalogue: Mapping[str, CatalogueRow], now: int) -> list[Entry]:
    """The items of an answer in order, the first hundred.

    An item appeared at the moment that its block is about (new, reduced or back since), else on the day of the feed:
    campaigns that send what is newer than their last sending then have something to send.

    Args:
        answer: what to draw.
        catalogue: the rows of its items.
        now: seconds since 1970.
    """
    today = now - now % DAY
    entries = (entry for block in answer.blocks for entry in _entries(block, catalogue, today, answer.locale))
    return list(islice(entries, MOST_ITEMS))


def _entries(block: Block, catalogue: Mapping[str, CatalogueRow], today: int, locale: str) -> Iterator[Entry]:
    moment = KINDS[block.block].moment
    for item in block.items:
        at = getattr(catalogue.get(item.item_id), moment, None) if moment else None
        reduced = item.price is not None and item.list_price is not None and item.list_price > item.price
        yield Entry(
            item, block.block, for_text(clean(item.title, _TITLE)), web_link(item.url), web_link(item.image_url),
            format_price(item.price, item.currency, locale),
            format_price(item.list_price, item.currency, locale) if reduced else "",
            for_text(clean(item.reason or "", _REASON)), today if at is None else at,
        )  # fmt: skip


def feed_rss(answer: Answer, entries: list[Entry]) -> bytes:
    """RSS 2.0 with `media:content` and `content:encoded`; what has no link is left out, since it would lead nowhere."""
    linked = [entry for entry in entries if entry.url]
    home = urlsplit(linked[0].url or "") if linked else None
    return (
        template("feed.rss.j2")
        .render(
            title=_title(answer), entries=linked, lang=answer.locale.replace("_", "-"),
            home=f"{home.scheme}://{home.netloc}/" if home else "about:blank",
            words_of=of_language(BUTTONS, answer.locale),
        )
        .encode()
    )  # fmt: skip


def feed_json(answer: Answer, entries: list[Entry]) -> bytes:
    """One object: the items in order, and the same by block."""
    items = [_item(entry) for entry in entries]
    left = iter(items)
    blocks = [
        {
            "block": block.block,
            "title": block.title,
            "source": block.source,
            "items": list(islice(left, len(block.items))),
        }
        for block in answer.blocks
    ]
    feed = {"layout": answer.layout, "title": _title(answer), "locale": answer.locale, "items": items, "blocks": blocks}
    return msgspec.json.encode(feed)


def _item(entry: Entry) -> dict[str, Any]:
    item = entry.item
    return {
        "item_id": item.item_id, "block": entry.block, "title": entry.title, "url": entry.url,
        "image_url": entry.image_url, "price": item.price, "list_price": item.list_price, "currency": item.currency,
        "price_text": entry.price, "list_price_text": entry.list_price, "reason": entry.reason,
        "published_at": datetime.fromtimestamp(entry.at, timezone.utc).isoformat().replace("+00:00", "Z"),
    }  # fmt: skip


def _title(answer: Answer) -> str:
    """What the feed is called: as its first block that shows something."""
    titles = (block.title for block in answer.blocks if block.items)
    return for_text(clean(next(titles, answer.layout), _TITLE))
