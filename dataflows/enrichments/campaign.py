"""Campaign: the UTM words of the event's address, or of Segment's `context.campaign`, and the campaign they name."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final
from urllib.parse import parse_qsl

from dataflows.enrichments import Source
from dataflows.events import Event

NAMES: Final = ("utm_source", "utm_medium", "utm_campaign", "utm_term", "utm_content", "utm_id")
MOST_PARAMETERS: Final = 100
MOST_CHARACTERS: Final = 200
_SEGMENT: Final = {"name": "utm_campaign"} | {name: f"utm_{name}" for name in ("source", "medium", "term", "content")}


def find(event: Event) -> dict[str, Any] | None:
    """`properties.utm_…`, and `campaign_id`: the UTM id, else the name of the campaign."""
    if event.url is not None and "utm_" in event.url:
        words = _words(_query(event.url))
    elif "context" in event.properties:
        context = event.properties["context"]
        campaign = context.get("campaign") if isinstance(context, dict) else None
        if not isinstance(campaign, dict):
            return None
        words = _words((_SEGMENT[name], each) for name, each in campaign.items() if name in _SEGMENT)
    else:
        return None
    found: dict[str, Any] = {"properties": words}
    if campaign_id := words.get("utm_id") or words.get("utm_campaign"):
        found["campaign_id"] = campaign_id
    return found


def _query(url: str) -> list[tuple[str, str]]:
    """The parameters of an address; none where there are too many of them."""
    try:
        return parse_qsl(url.partition("#")[0].partition("?")[2], max_num_fields=MOST_PARAMETERS)
    except ValueError:
        return []


def _words(said: Iterable[tuple[str, Any]]) -> dict[str, str]:
    """The first of each name, without what cannot be seen, as long as a campaign_id may be."""
    words: dict[str, str] = {}
    for name, value in said:
        if name in NAMES and name not in words and isinstance(value, str):
            word = value[:MOST_CHARACTERS].strip()
            if not word.isprintable():
                word = "".join(filter(str.isprintable, word)).strip()
            if word:
                words[name] = word
    return words


SOURCE: Final = Source(find, "utm_", frozenset({"context"}))
