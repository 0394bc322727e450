"""The oracle of identity: whose each event is, computed the long way from `docs/features.md` over all arrivals.

An event has an id of its own as long as it is not sent under two user ids that are one person.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from tests.unit.dataflows.oracle import Arrival, by_machine, counted, user_row

LINKING: Final = ("identify", "sign_up", "email_click")


def rows(arrivals: Iterable[Arrival], facts: Mapping[str, Any], now: int) -> dict[str, dict[str, Any]]:
    """The row of every id that is named anywhere."""
    of: dict[str, list[Arrival]] = {}
    for arrival in arrivals:
        if arrival.event.type != "item":
            of.setdefault(arrival.event.user_id or arrival.event.anonymous_id, []).append(arrival)
    own = {name: counted(several) for name, several in of.items()}
    every = [event for events in own.values() for event in events]
    same = {(event.properties["previous_id"], event.user_id) for event in every if is_alias(event)}
    names = set(own) | {event.anonymous_id for event in every if is_link(event)} | {name for name, _ in same}
    return {name: user_row(whose(name, own, every, same, now), facts, now) for name in names}


def whose(name: str, own: Any, every: list[Any], same: set[tuple[str, str]], now: int) -> list[Arrival]:
    """The events that count for an id."""
    people = {name}
    while more := {one for one, other in same if other in people} - people:
        people |= more
    events = [event for each in sorted(people, key=lambda each: each != name) for event in own.get(each, ())]
    for device, theirs in own.items():
        links = sorted(
            (event.occurred_at, event.user_id) for event in every if is_link(event) and event.anonymous_id == device
        )
        for event in theirs:
            if event.user_id is None and links:
                before = [user for at, user in links if at <= event.occurred_at]
                if (before[-1] if before else first_of(links)) in people:
                    events.append(event)
    return [Arrival(event, event.occurred_at) for event in events]


def first_of(links: list[tuple[int, str]]) -> str:
    """The user of the oldest link; of several at that moment, the larger."""
    return max(user for at, user in links if at == links[0][0])


def is_link(event: Any) -> bool:
    """Whether it names a device and its user."""
    return bool(event.type in LINKING and event.user_id and event.anonymous_id and not by_machine(event))


def is_alias(event: Any) -> bool:
    """Whether it names another id of its user."""
    return bool(event.type == "identify" and event.user_id and event.properties.get("previous_id"))
