"""Alike: the events of blocks that everybody is shown at one moment, written but for whose they are.

Where more comes than can be answered whole, the same blocks go to thousands a second, and each mail is told of. Making
each event anew would take as long as making the mail.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from api.answer import Answer
from api.mail_events import id_of, micros_of, served, shown
from api.telling import is_word

_LAYOUT: Final = b',"layout":'
"""Where the send stands before; within a text its quotes would be escaped."""
_HEAD: Final = b'{"event_id":"%s","type":"block_served","occurred_at":%d,"user_id":"%s"%s%s%s'
_SEND: Final = b',"send_id":"%s"'
_NEITHER: Final = frozenset('"\\')
_encode: Final = msgspec.json.Encoder().encode


class Alike:
    """What is told of answers that have the same blocks, of the same layout, made without features.

    Args:
        answer: one of them.
        variant: which version of the layout it is.
    """

    def __init__(self, answer: Answer, variant: str) -> None:
        self.blocks = answer.blocks
        self._events: list[tuple[int, tuple[str, ...], bytes, bytes]] = []
        for event in served(msgspec.structs.replace(answer, send_id=None), variant, "-"):
            place = event.slot or 0
            rest = _encode(event).partition(b'"user_id":' + _encode(event.user_id))[2]
            items, layout, after = rest.partition(_LAYOUT)
            self._events.append((place, shown(answer.blocks[place - 1]), items, layout + after))

    def told_of(self, answer: Answer, once: str) -> Sequence[bytes]:
        """The events, as `served` makes them, encoded.

        Args:
            answer: whose user and send are plain, see `can_tell`.
            once: as in `served`.
        """
        send_id, user_id = answer.send_id or "", answer.user_id
        at, user = micros_of(answer.generated_at), user_id.encode()
        send = _SEND % send_id.encode() if send_id else b""
        return [
            _HEAD
            % (
                id_of("served", once, send_id, user_id, answer.layout, place, *what).encode(),
                at, user, items, send, after,
            )
            for place, what, items, after in self._events
        ]  # fmt: skip


def can_tell(text: str) -> bool:
    """Whether an id stands in an event as it is."""
    return is_word(text) and _NEITHER.isdisjoint(text)
