"""Arrivals: who comes into the shop from a mail is known there by the click, though the device never said who has it.

The address that a click leads to carries a token for a few minutes. `track.js` takes it out of the address, and hands
it back with an `identify` that names the device and nobody; here it is found out whose device that is. The browser is
never told.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

import msgspec

from api.envelope import Envelope
from api.links import is_allowed
from api.metrics import ARRIVALS

PARAMETER: Final = "inlay_arrival"
"""Of the address."""
FIELD: Final = "arrival"
"""Of an `identify`."""
_PURPOSE: Final = b"inlay arrivals 1"


class Arrival(NamedTuple):
    """What a token carries: who clicked, and until which second since 1970 it is good."""

    user_id: str
    until: int


class Arrivals:
    """Gives tokens to clicks, and knows them again.

    Args:
        secrets: those of links, by name; the first seals, all of them open.
        seconds: for which a token is good; 0: no click carries one.
        hosts: that may be handed one.
        now: seconds since 1970.
    """

    def __init__(
        self,
        secrets: Mapping[str, str],
        seconds: int = 0,
        hosts: Collection[str] = (),
        now: Callable[[], float] = time.time,
    ) -> None:
        self._envelope = Envelope(secrets if seconds else {}, _PURPOSE)
        self._seconds, self._hosts, self._now = seconds, hosts, now

    def carried(self, link: str, user_id: str) -> str:
        """The address with a token for who clicked, if that is wanted and its host may have it."""
        if not self._envelope or not is_allowed(urlsplit(link).hostname or "", self._hosts):
            return link
        token = self._envelope.seal(msgspec.msgpack.encode(Arrival(user_id, int(self._now()) + self._seconds)))
        before, sign, fragment = link.partition("#")
        return f"{before}{'&' if '?' in before else '?'}{PARAMETER}={token}{sign}{fragment}"

    def settle(self, call: dict[str, Any]) -> None:
        """Put into an `identify` that hands a token back, and names nobody, who that is; and take the token out."""
        token = call.pop(FIELD, None)
        if token is None or not self._envelope or call.get("userId"):
            return
        user_id = self._who(token) if isinstance(token, str) else None
        ARRIVALS.labels("unknown" if user_id is None else "known").inc()
        if user_id is not None:
            call["userId"] = user_id

    def _who(self, token: str) -> str | None:
        found = self._envelope.open(token, _read)
        return found.user_id if found is not None and found.until >= self._now() else None


NONE: Final = Arrivals({})
"""Where no click carries a token."""
_read: Final = msgspec.msgpack.Decoder(Arrival).decode
