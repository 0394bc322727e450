"""What is told of a mail: which blocks were served, and that it was opened and clicked. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from hashlib import blake2b
from typing import Any, Final

import msgspec

from api.answer import Answer, Block
from api.seals import Pass
from dataflows.events import MINUTE, SECOND, Event, Line, to_micros

BLOCK_SERVED: Final = "block_served"
DEAREST: Final = 1_000_000_000
OPENED_ONCE: Final = 30 * MINUTE
CLICKED_ONCE: Final = 10 * SECOND


def served(answer: Answer, variant: str, once: str = "") -> list[Event]:
    """A `block_served` event for each block that shows something.

    Args:
        answer: what was served.
        variant: which version of the layout it is.
        once: makes the ids those of this answer alone; without it, the same blocks of the same mail have the same ids.
    """
    at, as_of = micros_of(answer.generated_at), answer.features_as_of
    known = {
        "features_as_of": as_of,
        "features_age": None if as_of is None else round(max(0, at - micros_of(as_of)) / SECOND, 3),
        "variant": variant,
    }
    whose = (answer.send_id or "", answer.user_id, answer.layout)
    return [
        Event(
            event_id=id_of("served", once, *whose, place, *shown(block)),
            type=BLOCK_SERVED,
            occurred_at=at,
            user_id=answer.user_id,
            send_id=answer.send_id or None,
            layout=answer.layout,
            block=block.block,
            slot=place,
            items=tuple([Line(item.item_id, None, _price(item.price)) for item in block.items]),
            properties={"source": block.source, "positions": [item.position for item in block.items], **known},
        )
        for place, block in enumerate(answer.blocks, start=1)
        if block.items
    ]


def opened(whose: Pass, at: int, properties: dict[str, Any]) -> Event:
    """An `email_open`: a mail whose pictures are fetched counts once in half an hour, whatever number it has."""
    what = id_of("open", *_mail(whose), _verdict(properties), at // OPENED_ONCE)
    return _of_mail(whose, "email_open", what, at, properties)


def clicked(
    whose: Pass, at: int, properties: dict[str, Any], *, block: str, slot: int, item_id: str | None, url: str
) -> Event:
    """An `email_click`: a second one within ten seconds is the same."""
    what = id_of("click", *_mail(whose), _verdict(properties), block, slot, at // CLICKED_ONCE)
    event = _of_mail(whose, "email_click", what, at, properties)
    return msgspec.structs.replace(event, block=block, slot=slot, item_id=item_id, url=url)


def _of_mail(whose: Pass, kind: Any, event_id: str, at: int, properties: dict[str, Any]) -> Event:
    return Event(
        event_id=event_id, type=kind, occurred_at=at, user_id=whose.user_id, send_id=whose.send_id or None,
        layout=whose.layout, properties=properties,
    )  # fmt: skip


def _mail(whose: Pass) -> tuple[str, str, str]:
    return whose.send_id, whose.user_id, whose.layout


def _verdict(properties: Mapping[str, Any]) -> int:
    return int(properties.get("machine") is True)


@lru_cache(maxsize=4096)
def micros_of(moment: str) -> int:
    """Microseconds since 1970 of a time as an answer has it."""
    return to_micros(datetime.fromisoformat(moment.replace("Z", "+00:00")), "generated_at")


def id_of(kind: str, *parts: str | int) -> str:
    """An event's id that is the same for the same parts, and tells nothing of them."""
    return f"{kind}-{blake2b(msgspec.msgpack.encode(parts), digest_size=16).hexdigest()}"


def shown(block: Block) -> tuple[str, ...]:
    """What a block shows and why, as far as it makes it another one."""
    return (block.block, block.source, *[item.item_id for item in block.items])


def _price(price: float | None) -> float | None:
    return price if price is not None and 0 <= price <= DEAREST else None
