"""What a request tells of the person behind it: country and device, put into events that do not say them.

Only a browser speaks for its person: it says `Origin` or `Sec-Fetch-Site` with what it posts. A shop's server or an
e-mail platform would lend everybody its own country and no device; what they know they say in the event, and the
address of the person as `properties.ip` or Segment's `context.ip`: it becomes a country here, and is taken out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any, Final, NamedTuple

import msgspec
from starlette.types import ASGIApp, Receive, Scope, Send

from api.metrics import CONTEXT_FAILED
from dataflows.events import MAX_EVENT_BYTES, Event

Find = Callable[[str], str | None]

COUNTRY: Final = re.compile("[A-Z]{2}")
UNKNOWN: Final = ("XX", "ZZ")
"""How those who set such headers write that they do not know."""
ADDRESS_KEYS: Final = (("properties", "ip"), ("properties", "context", "ip"), ("context", "ip"), ("ip",))
_SIGN: Final = b'"ip"'


class Person(NamedTuple):
    """What a request tells of the person behind it."""

    country: str | None = None
    device: str | None = None


NOBODY: Final = Person()


class Context:
    """Reads requests and completes events.

    Args:
        country_header: that a proxy sets to the country of the address; empty: none does.
        country_of: the country of an address.
        device_of: the device of a user agent.
    """

    def __init__(self, country_header: str = "", country_of: Find | None = None, device_of: Find | None = None) -> None:
        self._header = country_header.lower()
        self._country_of, self._device_of = country_of, device_of

    def person(self, headers: Mapping[str, str], address: str) -> Person:
        """What a request tells: nothing, unless a browser made it.

        Args:
            headers: of the request; names in lower case.
            address: of its sender.
        """
        if "origin" not in headers and "sec-fetch-site" not in headers:
            return NOBODY
        named = headers.get(self._header, "").upper() if self._header else ""
        country = named if COUNTRY.fullmatch(named) and named not in UNKNOWN else self._country(address)
        return Person(country, self._asked("device", self._device_of, headers.get("user-agent", "")))

    def complete(self, raw: bytes, event: Event) -> bytes:
        """The bytes of an event with what its request tells and it does not, and without any address.

        Args:
            raw: as it was sent.
            event: what was read from it.
        """
        person = self._sender()
        country = event.country or person.country
        device = event.device or person.device
        if _SIGN in raw and (found := _without_address(raw)):
            raw, address = found
            country = country or self._country(address)
        added = [
            f',"{name}":"{value}"'.encode()
            for name, value, said in (("country", country, event.country), ("device", device, event.device))
            if value and value != said
        ]
        if not added:
            return raw
        completed = b"".join((raw.rstrip()[:-1], *added, b"}"))  # of a key that is there as null, the last one counts
        return completed if len(completed) <= MAX_EVENT_BYTES else raw

    def _sender(self) -> Person:
        """The person behind the request that is being answered; looked at once, however many events it brings."""
        scope = _scope.get()
        if scope is None:
            return NOBODY
        person: Person | None = scope.get(_PERSON)
        if person is None:
            headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
            person = scope[_PERSON] = self.person(headers, (scope.get("client") or ("",))[0])
        return person

    def _country(self, address: str) -> str | None:
        found = self._asked("country", self._country_of, address)
        return found if found and COUNTRY.fullmatch(found) else None

    def _asked(self, name: str, find: Find | None, text: str) -> str | None:
        if find is None or not text:
            return None
        try:
            return find(text)
        except Exception:  # whatever a library stumbles over, the event is worth more
            CONTEXT_FAILED.labels(name).inc()
            return None


class KeepScope:
    """An ASGI middleware that leaves the request where `complete` finds it.

    Args:
        app: what answers.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on; each request is a task of its own, so that nothing has to be put back."""
        if scope["type"] == "http":
            _scope.set(scope)
        await self._app(scope, receive, send)


_PERSON: Final = "inlay.person"
_scope: Final[ContextVar[Scope | None]] = ContextVar("scope", default=None)


def _without_address(raw: bytes) -> tuple[bytes, str] | None:
    """An event without the addresses in it, and the first of them; None if there are none."""
    content: dict[str, Any] = msgspec.json.decode(raw)
    found: list[Any] = []
    for *outer, last in ADDRESS_KEYS:
        inside: Any = content
        for key in outer:
            inside = inside.get(key) if isinstance(inside, dict) else None
        if isinstance(inside, dict) and last in inside:
            found.append(inside.pop(last))
    if not found:
        return None
    return msgspec.json.encode(content), found[0] if isinstance(found[0], str) else ""
