"""Stored states carry the version of what wrote them first, so that none is ever misread."""

from __future__ import annotations

from typing import Any, Final

import msgspec

_decode: Final = msgspec.msgpack.Decoder(list[Any], strict=False).decode
"""Made once: making one takes five times as long as reading a state does."""


class UnknownVersion(RuntimeError):
    """A state was written by a version of the product that this one cannot read."""


def unpack_versioned(packed: bytes, version: int, whose: str, oldest: int | None = None) -> list[Any]:
    """What follows the version in a packed state; see `unpack_any`."""
    return unpack_any(packed, version, whose, oldest)[1]


def unpack_any(packed: bytes, version: int, whose: str, oldest: int | None = None) -> tuple[int, list[Any]]:
    """The version of a packed state, and what follows it.

    Args:
        packed: msgpack of an array, the version first.
        version: the one that this release writes.
        whose: whose state it is, for the message.
        oldest: the first one whose content is still read as it is; `version` itself if None.

    Raises:
        UnknownVersion: another version wrote it.
    """
    found, *content = _decode(packed)
    if not (version if oldest is None else oldest) <= found <= version:
        raise UnknownVersion(
            f"{whose} state has version {found}, this release reads {version}: "
            "run the release that wrote it, or rebuild the features from the stream"
        )
    return found, content
