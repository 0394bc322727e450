"""What can be read out of an event itself and put beside it, one file a source; a new one is a file and a line here.

A source reads the event alone, without clock or I/O, and gives the fields to add, those inside `properties` as a
dictionary of their own, or None. What the event says itself always stays. Texts are cut before they are looked at, so
that the cost of one is bounded. Each says what it reads, so that the many events without it cost next to nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any, Final, NamedTuple

from dataflows.events import Event


class Source(NamedTuple):
    """What finds fields of an event, if its `url` contains `url_part` or it has one of these `properties`."""

    find: Callable[[Event], Mapping[str, Any] | None]
    url_part: str | None = None
    properties: frozenset[str] = frozenset()


_SOURCES: Final = {
    "campaign": "dataflows.enrichments.campaign",
    "referrer": "dataflows.enrichments.referrer",
    "device": "dataflows.enrichments.device",
}
NOTHING: Final = ("none",)


class EnrichmentError(ValueError):
    """No such enrichment; the message names those that there are."""


def open_sources(names: Sequence[str]) -> dict[str, Source]:
    """The sources of these names, in this order; none at all for the word `none`.

    Raises:
        EnrichmentError: there is none of a name.
    """
    found: dict[str, Source] = {}
    for name in names if tuple(names) != NOTHING else ():
        if name not in _SOURCES:
            say = f"INLAY_ENRICH: {name!r} is no enrichment; write none, or some of {', '.join(_SOURCES)}"
            raise EnrichmentError(say)
        found[name] = import_module(_SOURCES[name]).SOURCE
    return found


def inside(event: Event, name: str, *path: str) -> str:
    """The text `properties.name`, else that at `path` in `properties.context` as Segment's libraries send it."""
    properties = event.properties
    found = properties.get(name)
    if found is None and "context" in properties:
        found = properties["context"]
        for key in path:
            found = found.get(key) if isinstance(found, dict) else None
    return found if isinstance(found, str) else ""
