"""Seals: what a link in a mail carries, in an envelope: layout, user, mail and last day.

The same link has the same address each time it is asked for.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import msgspec

from api.envelope import Envelope

SHORTEST_SECRET: Final = 32
_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,16}")
_PURPOSE: Final = b"inlay links 1"


class Pass(NamedTuple):
    """What a link carries: whose mail it is in, and until which day since 1970 it is good. `send_id` may be empty."""

    layout: str
    user_id: str
    send_id: str
    until: int


class Seals:
    """The keys that links are sealed with.

    Args:
        secrets: by name; the first seals, all of them open.
    """

    def __init__(self, secrets: Mapping[str, str]) -> None:
        self._envelope = Envelope(secrets, _PURPOSE)

    def __bool__(self) -> bool:
        return bool(self._envelope)

    def seal(self, what: Pass) -> str:
        """The token of a link; the same for the same."""
        return self._envelope.seal(msgspec.msgpack.encode(what))

    def open(self, token: str, today: int) -> Pass | None:
        """What a token carries; None if it is none of ours, or not good any more.

        Args:
            token: from an address.
            today: days since 1970.
        """
        what = self._envelope.open(token, _read)
        return what if what is not None and what.until >= today else None


def read_link_keys(words: Sequence[str]) -> dict[str, str]:
    """The keys in `name=secret` words, in order.

    Raises:
        ValueError: one cannot be used; says what to write.
    """
    secrets: dict[str, str] = {}
    for number, word in enumerate(words, start=1):
        name, _, secret = word.partition("=")
        if not _NAME.fullmatch(name) or name in secrets:
            raise ValueError(f"key {number} has no name of its own; write name=secret, the name in up to 16 letters")
        if len(secret) < SHORTEST_SECRET:
            raise ValueError(f"the secret of {name} has less than {SHORTEST_SECRET} characters; make it of random ones")
        secrets[name] = secret
    return secrets


_read: Final = msgspec.msgpack.Decoder(Pass).decode
