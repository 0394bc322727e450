"""The answer to a request for the blocks of one mail.

Every format (JSON, HTML, text, feed, picture) is drawn from these values, so that they can never disagree.
"""

from __future__ import annotations

from sys import intern
from typing import Literal

import msgspec

Source = Literal["personal", "segment", "popular", "static"]
"""The rung that answered: the person's own features, their segment, what is popular, or the layout itself."""


class Item(msgspec.Struct, frozen=True, gc=False):
    """One product (or piece of editorial) in a block, as the reader will see it.

    `position` counts from 1 within the block. Prices are in units of `currency` (ISO 4217), not in cents;
    `list_price` is the price before a reduction.
    """

    item_id: str
    title: str
    url: str | None
    image_url: str | None
    price: float | None
    list_price: float | None
    currency: str | None
    position: int
    reason: str | None


class Block(msgspec.Struct, frozen=True, omit_defaults=True):
    """One titled row of items; `block` is the kind, `template` how it is drawn if not as its kind usually is.

    `as_of` is of when the features are that chose the items (RFC 3339); JSON leaves it out where none did.
    """

    block: str
    title: str
    source: Source
    items: tuple[Item, ...]
    template: str = ""
    as_of: str | None = None


class Answer(msgspec.Struct, frozen=True, omit_defaults=True):
    """The blocks of one mail to one person. Times are RFC 3339 in UTC; `features_as_of` is None if none were read.

    `locale` is the language it speaks; JSON leaves it out where that is English. `stale` names the views of the person
    that were there and too old to be shown for what they say; JSON leaves it out where none was.
    """

    layout: str
    user_id: str
    send_id: str | None
    generated_at: str
    features_as_of: str | None
    blocks: tuple[Block, ...]
    locale: str = "en"
    stale: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """JSON leaves out the default itself, and not what only equals it, as a word that was read somewhere does."""
        msgspec.structs.force_setattr(self, "locale", intern(self.locale))
