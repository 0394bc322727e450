"""Parts of a user's state, stored and read again as the state does it, but each by itself."""

from __future__ import annotations

from typing import Any

import msgspec

from dataflows.aggregates.packing import Writer, pack_ids, pack_times, unpack_ids, unpack_times


def packed(part: Any) -> bytes:
    """What is stored of a part, with the ids and times that it puts where all parts have theirs."""
    to = Writer()
    content = part.write(to)
    base = max((*to.times, *to.again), default=0)
    return msgspec.msgpack.encode((base, *pack_times(to, base), pack_ids(list(to.ids)), content))


def read_again(part: Any) -> Any:
    """The part that is read from what is stored of it."""
    base, unit, times, ids, content = msgspec.msgpack.decode(packed(part), strict=False)
    if content is None:
        return type(part)()
    source = unpack_times(unit, times, base)
    source.ids = unpack_ids(ids)
    return type(part).read(content, source)
