"""What tests are given: a moment, small factories, and strategies of events, realistic and nasty.

    an_event(type="purchase", price=5.0)    an Event of user u1 at NOW
    events()                                JSON objects that are events, in all the ways they may be written
    raw_events()                            bytes, most of them no event
    histories()                             lists of Events of one user over 100 days, crowded at the edges of tiles

NOW is 2026-05-17T09:30:00Z: on the grid of five minutes, inside an hour and a day.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta, timezone
from typing import Any, Final

import hiredis
from hypothesis import strategies as st
from msgspec import convert

from dataflows.aggregates.effects import Fact
from dataflows.events import DAY, EVENT_TYPES, HOUR, MINUTE, SECOND, Event, parse

NOW: Final = 1_779_010_200 * SECOND

EVENT_DEFAULTS: Final[dict[str, Any]] = {"event_id": "e1", "type": "view", "occurred_at": NOW, "user_id": "u1"}

ITEMS: Final = ("p1", "p2", "p3", "p4", "p5", "p6")
ORDERS: Final = ("o1", "o2", "o3")
CATEGORIES: Final = ("Home", "Home/Lamps", "Home/Lamps/Floor", "Toys")
FACTS: Final = {
    "p1": Fact("Home/Lamps", 19.99),
    "p2": Fact("Home/Lamps", 5.25),
    "p3": Fact("Toys", None),
    "p4": Fact(None, 100.0),
    "p5": Fact("Home", 0.0),
}
"""What the catalogue says; p6 is not in it."""

USER_TYPES: Final = tuple(kind for kind in EVENT_TYPES if kind not in ("item", "block_served"))
"""What somebody does, or happens to them."""
FREQUENT: Final = ("view", "view", "click", "add_to_cart", "remove_from_cart", "purchase", "purchase", "refund")
EDGES: Final = (0, 1, 11, 12, 13, 23, 24, 25, 29, 30, 31, 89, 90, 91, 167, 168, 169)
"""How many tiles ago something happens at the edge of a window."""


def an_event(**fields: Any) -> Event:
    """An event: a view by user u1 at NOW, but for what `fields` say."""
    return Event(**{**EVENT_DEFAULTS, **fields})


def raw(**fields: Any) -> bytes:
    """The bytes of an event: as `an_event`; a field of None is left out."""
    content = {name: value for name, value in {**EVENT_DEFAULTS, **fields}.items() if value is not None}
    return json.dumps(content).encode()


def written(command: bytes) -> tuple[bytes, dict[bytes, bytes]]:
    """The key and the fields of `HSET key field value …` as it goes to Redis."""
    reader = hiredis.Reader()
    reader.feed(command)
    verb, key, *pairs = reader.gets()
    assert (verb, reader.has_data()) == (b"HSET", False)
    return key, dict(zip(pairs[::2], pairs[1::2], strict=True))


def rfc3339(micros: int, zone: timezone = timezone.utc) -> str:
    """A moment as RFC 3339 to the microsecond, in a time zone."""
    return (datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(microseconds=micros)).astimezone(zone).isoformat()


def moments(now: int = NOW, days: int = 100) -> st.SearchStrategy[int]:
    """Moments from some days before `now` to five minutes ahead of it; many at the edges of tiles and windows."""

    def edge(size: int, tiles: int, off: int) -> int:
        return min((now // size - tiles) * size + off, now + 5 * MINUTE)

    edges = st.builds(edge, st.sampled_from((5 * MINUTE, HOUR, DAY)), st.sampled_from(EDGES), st.sampled_from((-1, 0)))
    return st.one_of(
        st.integers(now - 2 * HOUR, now + 5 * MINUTE),
        edges,
        st.integers(now - 8 * DAY, now),
        st.integers(now - days * DAY, now),
    )


def nows() -> st.SearchStrategy[int]:
    """Moments at which rows are asked for: NOW, or up to two days later, many at the edges of tiles."""
    edges = st.builds(
        lambda size, tiles, off: (NOW // size + tiles) * size + off,
        st.sampled_from((5 * MINUTE, HOUR)), st.integers(1, 48), st.sampled_from((-1, 0)),
    )  # fmt: skip
    return st.one_of(st.just(NOW), edges, st.integers(NOW, NOW + 2 * DAY))


def seeds() -> st.SearchStrategy[int]:
    """A seed for an arrangement: an order, repeats, cuts."""
    return st.integers(0, 2**32 - 1)


def histories(
    most: int = 25, kinds: Sequence[str] = FREQUENT + USER_TYPES, users: Sequence[str] = ("u1",), days: int = 100
) -> st.SearchStrategy[list[Event]]:
    """Events with ids of their own, in no order; `days` before NOW at most, five minutes ahead at most."""

    def read(found: list[bytes]) -> list[Event]:
        return [
            told(event_id=f"e{number}", **_happening(each, kinds, users, days)) for number, each in enumerate(found)
        ]

    return _pieces(WIDTH, most).map(read)


def lists_of(most: int, *choices: Sequence[Any]) -> st.SearchStrategy[list[tuple[Any, ...]]]:
    """Lists of tuples, one value of each of `choices` (at most 256 each); quick to draw, half of them long."""
    assert all(len(each) <= 256 for each in choices)
    return _pieces(len(choices), most).map(
        lambda found: [tuple(_of(each, number) for each, number in zip(choices, piece, strict=True)) for piece in found]
    )


def occasions(most: int, choices: Sequence[Any], days: int = 100) -> st.SearchStrategy[list[tuple[Any, int]]]:
    """Lists of one of `choices` and a moment each, as crowded at the edges of tiles as histories are."""
    return _pieces(6, most).map(
        lambda found: [(_of(choices, piece[0]), _moment(tuple(piece[1:]), days)) for piece in found]
    )


def _pieces(width: int, most: int) -> st.SearchStrategy[list[bytes]]:
    """Bytes drawn at once and cut up: a draw for each field would cost ten times the time."""
    drawn = st.one_of(st.binary(max_size=width * most), st.binary(min_size=width * most // 2, max_size=width * most))
    return drawn.map(lambda whole: [whole[at : at + width] for at in range(0, len(whole) - width + 1, width)])


WIDTH: Final = 12
QUANTITIES: Final = (None, 1, 3, 0.5)
PRICES: Final = (None, 0, 1.99, 20)
WORDS: Final[tuple[dict[str, Any], ...]] = (
    {"traits": {"locale": "de", "first_name": "Ada", "email_allowed": True}},
    {"traits": {"locale": "fr", "timezone": "Europe/Paris", "country": "BE"}},
    {"properties": {"email_allowed": False, "profile_allowed": True}},
    {"properties": {"first_name": "", "locale": 7, "email_allowed": "yes", "unheard_of": [1]}},
    {"traits": {"profile_allowed": False}, "properties": {"first_name": "Bo", "profile_allowed": True}},
    {"properties": {"machine": True, "machine_reasons": ["too_fast"], "email_allowed": False}, "country": "IT"},
)


def _happening(drawn: bytes, kinds: Sequence[str], users: Sequence[str], days: int) -> dict[str, Any]:
    """The fields of an event, each chosen by one or two of the bytes; zeros choose the simplest."""
    kind, *when, who, about, extra, order, one, other = drawn
    fields: dict[str, Any] = {"type": _of(kinds, kind), "user_id": _of(users, who)}
    fields["occurred_at"] = _moment(when, days)
    lines = [_line(_of(ITEMS, about + 5 * n), (one, other)[n % 2] + n) for n in range(1 + about // 64)]
    if about < 192:
        fields.update(lines[0])
    elif about < 240:
        fields["items"] = lines
    elif fields["type"] == "purchase":
        fields["item_id"] = ITEMS[0]
    elif fields["type"] == "refund" and about % 2:
        fields["price"] = 5.0
    if fields["type"] in ("purchase", "refund") and order % 4:
        fields["order_id"] = _of(ORDERS, order)
    if extra % 4 == 1:
        fields["country"] = _of(("FR", "DE"), extra // 4)
    elif extra % 4 == 2:
        fields["category"] = _of(CATEGORIES, extra // 4)
    elif extra % 4 == 3:
        fields.update(_of(WORDS, extra // 4))
    return fields


def _moment(drawn: Sequence[int], days: int) -> int:
    """A moment, by five bytes: near NOW, at the edge of a tile, in the last week, long ago, or a little ahead."""
    when, tile, edge, low, high = drawn
    share = (high * 256 + low) / 65536
    size = (MINUTE, 5 * MINUTE, HOUR, DAY)[edge % 4]
    at = (
        NOW - int(share * 2 * HOUR),
        (NOW // size - _of(EDGES, tile)) * size - edge // 4 % 2,
        NOW - int(share * 8 * DAY),
        NOW - int(share * days * DAY),
        NOW + int(share * 5 * MINUTE),
    )[when % 5]
    return max(at, NOW - days * DAY)


def _of(choices: Sequence[Any], number: int) -> Any:
    return choices[number % len(choices)]


def _line(item_id: str, amounts: int) -> dict[str, Any]:
    line = {"item_id": item_id, "quantity": _of(QUANTITIES, amounts), "price": _of(PRICES, amounts // 4)}
    return {name: value for name, value in line.items() if value is not None}


def told(**fields: Any) -> Event:
    """An event from plain fields, its lines given as dictionaries."""
    return convert(fields, Event)


def events(now: int = NOW) -> st.SearchStrategy[dict[str, Any]]:
    """JSON objects that are events: times written in every way, ids of any script, keys that nobody knows."""
    ids = st.one_of(st.integers(0, 9).map(lambda n: f"e{n}"), st.text(PRINTABLE, min_size=1, max_size=200))
    zones = st.sampled_from((0, 60, -330, 720)).map(lambda minutes: timezone(timedelta(minutes=minutes)))
    times = st.one_of(
        st.builds(rfc3339, moments(now), zones),
        moments(now).map(lambda at: at // SECOND),
        moments(now).map(lambda at: at / SECOND),
        moments(now).map(lambda at: at // 1000),
        moments(now),
    )
    amounts = st.one_of(st.none(), st.integers(1, 5), st.floats(0.01, 1_000_000))
    line = st.fixed_dictionaries({"item_id": ids}, optional={"quantity": amounts, "price": amounts})
    anything = st.recursive(
        st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), TEXTS),
        lambda inner: st.one_of(st.lists(inner, max_size=2), st.dictionaries(TEXTS, inner, max_size=2)),
        max_leaves=4,
    )
    optional = {
        "anonymous_id": ids, "items": st.lists(line, max_size=3), "quantity": amounts, "price": amounts,
        "currency": st.sampled_from(("EUR", "USD")), "order_id": ids, "query": TEXTS, "url": TEXTS,
        "country": st.sampled_from(("FR", "DE", "")), "device": TEXTS, "slot": st.integers(0, 9),
        "traits": st.dictionaries(TEXTS, anything, max_size=2),
        "properties": st.dictionaries(TEXTS, anything, max_size=2),
        "in_stock": st.booleans(), "list_price": amounts, "category": TEXTS, "added_at": times,
        "session": anything, "Ünheard-of": anything,
    }  # fmt: skip
    required = {
        "event_id": ids,
        "type": st.sampled_from(EVENT_TYPES),
        "occurred_at": times,
        "user_id": ids,
        "item_id": ids,
    }
    return st.fixed_dictionaries(required, optional=optional)


ENCODABLE: Final = ("L", "M", "N", "P", "S", "Z", "Cc", "Cf", "Co", "Cn")
"""All categories of characters but halves of surrogate pairs."""
PRINTABLE: Final = st.characters(min_codepoint=0x20, categories=("L", "M", "N", "P", "S"))
TEXTS: Final = st.text(st.characters(exclude_characters="\x00", categories=ENCODABLE), max_size=20)

NASTY: Final[tuple[Any, ...]] = (
    None, True, False, 0, -1, 1e16, -0.0, 1e300, 10**30, "", " ", "x" * 201, "x" * 5000, "\x00", "a\x00b", "\ud800",
    "\u200b", [], {}, [[]], {"a": None}, "NaN", "2026-05-17T09:30:00", "9999-12-31T23:59:59Z",
    "0001-01-01T00:00:00+23:59",
)  # fmt: skip
"""Values that no field is waiting for."""


def raw_events(now: int = NOW) -> st.SearchStrategy[bytes]:
    """Bytes as a stream may hold them: events, events with one field spoilt, torn or spliced ones, and noise."""
    whole = events(now).map(_as_bytes)
    spoilt = st.builds(
        lambda event, field, value: _as_bytes({**event, field: value}),
        events(now), st.sampled_from((*EVENT_FIELDS, "session")), st.sampled_from(NASTY),
    )  # fmt: skip
    torn = st.builds(lambda content, share: content[: int(len(content) * share)], whole, st.floats(0, 1))
    parts = st.one_of(st.binary(max_size=3), st.sampled_from((b"\\ud800", b"\xff", b"NaN", b"[" * 2000)))
    spliced = st.builds(
        lambda content, share, part: content[: int(len(content) * share)] + part + content[int(len(content) * share) :],
        whole, st.floats(0, 1), parts,
    )  # fmt: skip
    return st.one_of(whole, spoilt, torn, spliced, st.binary(max_size=60))


def _as_bytes(event: dict[str, Any]) -> bytes:
    return json.dumps(event, ensure_ascii=len(event) % 2 == 0).encode("utf-8", "surrogatepass")


def routes_of(app: Any) -> Iterator[tuple[str, str]]:
    """Method and path of all that a service answers, by the service itself: also what its document leaves out."""
    for route in app.routes:
        if (inner := getattr(route, "original_router", None)) is not None:
            yield from routes_of(inner)
        else:
            path = getattr(route, "path_format", None) or route.path
            yield from ((method, path) for method in route.methods or ())


EVENT_FIELDS: Final = Event.__struct_fields__


def read(owner: str, kind: str, written: Sequence[bytes]) -> list[Event]:
    """Events that are told of already written, each one of that kind and owner."""
    events = [parse(raw, json.loads(raw)["occurred_at"]) for raw in written]
    found = [each for each in events if isinstance(each, Event)]
    assert [(each.user_id, each.type) for each in found] == [(owner, kind)] * len(written)
    return found
