"""What Redis has to be told so that a user takes a third of the memory: to keep hashes of this size in one piece.

By default a hash with a value of more than 64 bytes becomes a table with an entry, two strings and a pointer a field.
"""

from __future__ import annotations

import redis

LIMITS = {"entries": 128, "value": 4096}
"""The fields of a user are some 55; the state of nearly everybody is below 4 KB, and who has more may have a table."""


def advice(client: redis.Redis) -> str | None:
    """The command to type where the limits are lower; None if they are not, or Redis does not tell.

    Args:
        client: of the online store.
    """
    try:
        found = client.config_get("hash-max-*")
    except redis.ResponseError:  # forbidden, as hosted ones have it: whoever runs it knows what it is set to
        return None
    kind = "listpack" if "hash-max-listpack-value" in found else "ziplist"
    low = [
        f"hash-max-{kind}-{what} {least}"
        for what, least in LIMITS.items()
        if int(found.get(f"hash-max-{kind}-{what}", least)) < least
    ]
    return f"redis-cli CONFIG SET {' '.join(low)}" if low else None
