"""The command to erase somebody: a record of the stream among the events, so that it takes effect in their order.

What came before it goes with the user, what comes after it begins anew, whatever is retried, replayed or restarted. It
is no event and nobody can post it: whoever judges an event refuses it, and only the flows know what it is.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import Struct

ERASURE_KEY: Final = "inlay:erasure:{}"
"""What the flows answer to a command, by its id: `people` and `items` once they did it, `asked` and `answered` of those
ids that belong to the user, `kept` what must outlive it."""
IDS_KEY: Final = "inlay:erasure:{}:ids"
"""Which ids went with the user."""
ANSWER_SECONDS: Final = 86_400
"""How long that is kept, should nobody come to fetch it."""


class Erase(Struct, frozen=True, tag_field="inlay", tag="erase", forbid_unknown_fields=True):
    """Erase `user_id`, or, if `key` is another id, what that id is to them."""

    erasure: str
    user_id: str
    key: str

    def commands(self, flow: str, **answer: Any) -> list[tuple[Any, ...]]:
        """What answers it, as part of the commit that carries it out."""
        place = ERASURE_KEY.format(self.erasure)
        words = {flow: 1, **answer} if self.key == self.user_id else {}
        said: list[tuple[Any, ...]] = [("HSET", place, name, value) for name, value in words.items()]
        return [*said, ("EXPIRE", place, ANSWER_SECONDS)]


def counted(erasure: str, name: str, number: int = 1) -> list[tuple[Any, ...]]:
    """What counts answers to a command."""
    place = ERASURE_KEY.format(erasure)
    return [("HINCRBY", place, name, number), ("EXPIRE", place, ANSWER_SECONDS)]


def gone(erasure: str, key: str) -> list[tuple[Any, ...]]:
    """What says that an id went with the user."""
    place = IDS_KEY.format(erasure)
    return [("SADD", place, key), ("EXPIRE", place, ANSWER_SECONDS)]


def read_command(raw: bytes) -> Erase | None:
    """The command in the bytes of a record; None if they are something else."""
    if b'"inlay"' not in raw[:16]:
        return None
    try:
        return _decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


write_command: Final = msgspec.json.Encoder().encode
"""The bytes of a command."""
_decode: Final = msgspec.json.Decoder(Erase).decode
