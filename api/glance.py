"""What the bytes of a request say at a glance, before anything reads them properly: enough to send it away.

Only the plainest form is told: one request, its head whole, its body counted. Whatever else may be meant goes the long
way, so that nothing is taken here for one request that a proxy before us takes for two.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

MOST_HEAD: Final = 2048
"""Bytes of headers that are glanced at; who sends more is read."""
REMEMBERED: Final = 256
"""Headers are the same again and again; of so many different ones it is remembered what they say."""
_LINE: Final = b"\r\n"
_ENDS: Final = b"\r\n\r\n"
_VERSION: Final = b" HTTP/1.1"
_COUNTED: Final = b"content-length"
_COUNT: Final = b"\r\ncontent-length: "
_MOST_DIGITS: Final = 9
_KEPT: Final = b"\r\nconnection: keep-alive\r\n"
_UNSURE: Final = (b"transfer-encoding", b"expect", b"upgrade", b"\r\n ", b"\r\n\t")
"""What may stand nowhere in the headers: it says more of how the connection goes on than is looked for."""


def path_of(data: bytes) -> bytes:
    """The path that a request asks for, as it stands there; empty where none does."""
    return data[: data.find(b" ", 5)].partition(b" ")[2].partition(b"?")[0]


def body_to_come(data: bytes) -> int | None:
    """How many bytes of its body are still to come, of the one request that `data` is; None where it may be more."""
    line, ends = data.find(_LINE), data.find(_ENDS)
    if not 0 < ends < line + MOST_HEAD or data[line - len(_VERSION) : line] != _VERSION or b"\n" in data[:line]:
        return None
    length = _length(data[line : ends + 2])
    if length is None:
        return None
    left = length - (len(data) - ends - len(_ENDS))
    return None if left < 0 else left


@lru_cache(REMEMBERED)
def _length(head: bytes) -> int | None:
    """Bytes of the body by the headers, each between line breaks; None where they say more than that."""
    head = head.lower()
    if any(sign in head for sign in _UNSURE) or head.count(b"connection") != head.count(_KEPT):
        return None
    at = head.find(_COUNT)
    if at < 0:
        return None if _COUNTED in head else 0
    digits = head[at + len(_COUNT) : head.find(_LINE, at + len(_COUNT))]
    if head.count(_COUNTED) != 1 or not digits.isdigit() or len(digits) > _MOST_DIGITS:
        return None
    return int(digits)
