"""Kinds of bad data, each planted into a shop's events and led through the real flows into a real Redis and into mails.

What caught a fault and where it went is read from what the flows left behind, never written down by hand; the table in
docs/quality.md is made of it: `python -m tests.contract.planted`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final, NamedTuple

import redis.asyncio
from bytewax.testing import TestingSource, run_main

import dataflows.items
import dataflows.people
from api.features import OnlineFeatures
from api.layout import load_layouts
from api.snapshot import Snapshot, refresh
from dataflows.aggregate import Aggregate
from dataflows.connectors.redis_streams import connect
from dataflows.event_gate import judge_items, judge_people
from dataflows.events import DAY, HOUR, MINUTE, SECOND
from dataflows.gate import Gate
from dataflows.held import Ceiling, Held
from dataflows.lease import Lease
from dataflows.owning import Edges, open_edges
from dataflows.settings import flow_settings
from dataflows.stages import Received
from dataflows.state import CatalogueFacts
from dataflows.store import Store, StoreSink
from dataflows.validate import Validate
from dataflows.wiring import make_event_gate, make_gate
from feature_repo.layout import LAYOUTS
from tests.contract.redis_server import RedisServer, redis_server
from tests.contract.silent import silent_server

NOW: Final = 1_779_010_200 * SECOND
PAGE: Final = Path(__file__).parents[2] / "docs" / "quality.md"
BEGIN, END = "<!-- planted faults: made by `python -m tests.contract.planted` -->\n", "<!-- end of planted faults -->\n"
ITEMS: Final = 60
USERS: Final = 50
LAYOUTS_ASKED: Final = ("weekly", "abandoned_cart")
ASKED: Final = ("u1", "u2", "u3", "stranger", "planted", "undefined")
Fields = dict[str, Any]


def thing(number: int) -> Fields:
    """What the catalogue says of an item."""
    return {
        "item_id": f"p{number}", "title": f"Thing {number}", "url": f"https://shop.example/p{number}",
        "image_url": f"https://shop.example/p{number}.jpg", "price": 5.0 + number, "currency": "EUR",
        "category": f"Things/{number % 3}", "brand": "Ours", "in_stock": True,
    }  # fmt: skip


def feed(numbers: Iterable[int] = range(ITEMS), mark: str = "feed", **more: Any) -> list[Fields]:
    """Events of the catalogue; what is given as a function is asked for each item."""
    return [
        {
            "event_id": f"{mark}-{number}", "type": "item", "occurred_at": NOW - SECOND, **thing(number),
            **{name: value(number) if callable(value) else value for name, value in more.items()},
        }
        for number in numbers
    ]  # fmt: skip


def visits(number: int, mark: str, **more: Any) -> list[Fields]:
    """What shoppers did within the last hours, a few seconds apart."""
    types = ("view", "view", "view", "click", "add_to_cart", "purchase")
    events = []
    for n in range(number):
        item = thing(n * 7 % ITEMS)
        event = {
            "event_id": f"{mark}-{n}", "type": types[n % len(types)], "occurred_at": NOW - HOUR - n * 3 * SECOND,
            "user_id": f"u{n % USERS}", "item_id": item["item_id"], "price": item["price"], "currency": "EUR",
        }  # fmt: skip
        events.append(event | {name: value(event, n) if callable(value) else value for name, value in more.items()})
    return events


def one(**fields: Any) -> list[Fields]:
    """One event of the user `planted`, now, which is a view of the first item but for its fields."""
    return [
        {"event_id": "planted", "type": "view", "occurred_at": NOW - 1, "user_id": "planted", "item_id": "p1", **fields}
    ]


def raw(events: Iterable[Fields]) -> list[bytes]:
    return [json.dumps(event).encode() for event in events]


class Fault(NamedTuple):
    """A kind of bad data: its name in the table, what is planted, and what else must hold of the features after."""

    name: str
    planted: list[bytes]
    holds: Callable[[Callable[[str, str], Fields]], bool] = lambda read: True


def faults() -> list[Fault]:
    """Thirty kinds and some more."""
    flapping = [
        event for n in range(40) for event in feed([1], f"flap-{n}", occurred_at=NOW - n * SECOND, in_stock=bool(n % 2))
    ]
    order = [{"type": "purchase", "order_id": "o1", "price": 20.0, "quantity": 1, "event_id": "bought"}]
    return [
        Fault("nobody's: `user_id` is null", raw(one(user_id=None))),
        Fault("nobody's: the id is the word `undefined`", raw(one(user_id="undefined"))),
        Fault("nobody's: the id is empty", raw(one(user_id=""))),
        Fault("an id with an invisible character", raw(one(item_id="p\u00001"))),
        Fault("half of a surrogate pair", [raw(one(query="x"))[0].replace(b'"x"', b'"\\ud83d"')]),
        Fault("JSON that ends in the middle", [raw(one())[0][:60]]),
        Fault("an event of 2 MB", raw(one(properties={"text": "x" * 2_000_000}))),
        Fault("a number as text (`12,50`)", raw(one(price="12,50"))),
        Fault("a list where an object belongs", [b"[" + raw(one())[0] + b"]"]),
        Fault("a negative price", raw(one(price=-5.0))),
        Fault("a negative quantity", raw(one(type="add_to_cart", quantity=-3))),
        Fault("a quantity of 1e16", raw(one(type="purchase", quantity=1e16))),
        Fault("NaN", [raw(one(price=1.5))[0].replace(b"1.5", b"NaN")]),
        Fault("infinity", [raw(one(price=1.5))[0].replace(b"1.5", b"Infinity")]),
        Fault("a currency that is none (`Euro`)", raw(one(currency="Euro"))),
        Fault("a time of tomorrow", raw(one(occurred_at=NOW + DAY))),
        Fault("a time of 1970", raw(one(occurred_at=0))),
        Fault("a time without its zone", raw(one(occurred_at="2026-05-17T09:30:00"))),
        Fault("the same day sent twice", raw(visits(250, "base-0"))),
        Fault("known ids with other content", raw(visits(250, "base-0", price=lambda event, n: 1.0))),
        Fault("a clock that stands still", raw(visits(250, "late", occurred_at=NOW - HOUR))),
        Fault("shoppers' prices in cents", raw(visits(250, "cents", price=lambda event, n: 100 * event["price"]))),
        Fault(
            "two columns swapped: user and item",
            raw(visits(250, "swapped", user_id=lambda e, n: e["item_id"], item_id=lambda e, n: f"u{n % USERS}")),
        ),
        Fault("a feed in cents", raw(feed(mark="cents", price=lambda n: 100 * thing(n)["price"]))),
        Fault("a feed in another currency (yen)", raw(feed(mark="yen", price=lambda n: 171 * thing(n)["price"]))),
        Fault("a template for every title", raw(feed(mark="template", title="{{ product.title }}"))),
        Fault("half of a feed at price 0", raw(feed(mark="half", price=lambda n: n % 2 * thing(n)["price"]))),
        Fault("one price of 0", raw(feed([1], "zero", price=0))),
        Fault("an empty title", raw(feed([1], "empty", title=" "))),
        Fault("HTML in a title", raw(feed([1], "html", title='<b onclick="x()">Mug</b>'))),
        Fault("a link that is a script", raw(feed([1], "script", url="javascript:alert(1)"))),
        Fault("a picture on a disk", raw(feed([1], "disk", image_url="C:\\pictures\\1.jpg"))),
        Fault("a new item without a picture", raw([*feed([70], "bare", image_url=None), *one(item_id="p70")])),
        Fault("an item that the catalogue does not know", raw(one(type="add_to_cart", item_id="p99"))),
        Fault(
            "a stock flag that flaps, out at last", raw(flapping[::-1] + flapping),
            lambda read: read("item", "p1")["in_stock"] is False,
        ),
        Fault(
            "a refund larger than the order", raw([*one(**order[0]), *one(type="refund", order_id="o1", price=900.0)]),
            lambda read: read("user", "planted")["spend_30d"] == 0,
        ),
    ]  # fmt: skip


class Outcome(NamedTuple):
    """What became of a fault.

    Attributes:
        caught_by: the rule, or what of the product.
        went_to: where.
        seconds: from the stream into what kept it.
        shown: what is wrong in the mails that were asked for.
        alarms: what was said of batches that are held.
        accounted: whether every event received has one outcome.
    """

    caught_by: str
    went_to: str
    seconds: float
    shown: list[str]
    alarms: list[str]
    accounted: bool


class Shop:
    """Both flows on a Redis, of one partition, with a shop's base in it; each fault finds it as it was."""

    def __init__(self, server: RedisServer) -> None:
        self._url, self._client = server.url, server.client
        server.client.flushall()  # what another test left there may be of another number of partitions
        self._settings = flow_settings({"INLAY_REDIS_URL": server.url})
        self._edges: Edges = open_edges(self._settings)
        self._alarms: list[Held] = []
        entities = {"people": ["user"], "items": ["item", "scope"]}
        self._ceilings = {flow: Ceiling(flow, 0, (self._alarms.append,)) for flow in entities}
        self._gates: dict[str, Gate] = {
            flow: make_gate(self._settings, names, self._ceilings[flow]) for flow, names in entities.items()
        }
        self._event_gates = {
            flow: make_event_gate(self._settings, self._edges, flow, self._ceilings[flow], lambda: NOW)
            for flow in entities
        }
        server.client.flushall()
        self._offset = 0
        self.run(raw(feed(occurred_at=NOW - DAY)))
        for number in range(4):
            self.run(raw(visits(250, f"base-{number}")))
        assert not self._alarms, self._alarms
        self._base = {key: server.client.dump(key) for key in server.client.scan_iter()}
        self._right = {item.pop("item_id"): item for item in map(thing, range(ITEMS))}

    def run(self, values: list[bytes]) -> None:
        """Lead events through both flows, as one micro-batch."""
        batch = Received(0, list(range(self._offset, self._offset + len(values))), values)
        self._offset += len(values)
        client = connect(self._url)
        for flow in ("items", "people"):
            lease = Lease(client, flow, [0], 60)
            lease.acquire()
            store = Store(client, flow, lease, self._edges.dead_letters, lambda: NOW, quarantine=self._edges.quarantine)
            run_main(self._flow(flow, client, TestingSource([batch]), StoreSink(store)))  # type: ignore[no-untyped-call]
            lease.release()
        client.close()

    def _flow(self, flow: str, client: Any, source: Any, sink: Any) -> Any:
        validate = Validate(lambda: NOW, 5 * MINUTE, 10_000)
        committed, gate, events = {0: -1}, self._gates[flow], self._event_gates[flow]
        facts = CatalogueFacts(client, time.monotonic)
        if flow == "items":
            fold = dataflows.items.folds(client, self._settings, [0])(committed, False)
            return dataflows.items.build(
                source, sink, validate=validate, aggregate=lambda: Aggregate(fold, lambda: NOW), gate=gate,
                judge=judge_items(events, facts),
            )  # fmt: skip
        people = dataflows.people.folds(client, self._settings, 1)(committed)
        return dataflows.people.build(
            source, sink, validate=validate, look_up=facts, aggregate=lambda: Aggregate(people, lambda: NOW), gate=gate,
            judge=judge_people(events),
        )  # fmt: skip

    def plant(self, fault: Fault) -> Outcome:
        """Plant a fault and see what becomes of it."""
        self._client.flushall()
        with self._client.pipeline(transaction=False) as pipeline:
            for key, value in self._base.items():
                pipeline.restore(key, 0, value)
            pipeline.execute()
        self._alarms.clear()
        before = self._accounts()
        started = time.monotonic()
        self.run(fault.planted)
        seconds = time.monotonic() - started
        after = self._accounts()
        became = {flow: Counter(after[flow]) - Counter(before[flow]) for flow in after}
        caught_by, went_to = self._found(became)
        shown = asyncio.run(self._shown())
        if not fault.holds(self._read):
            shown.append("the features are wrong")
        accounted = all(
            counts["received"] == sum(number for name, number in counts.items() if name != "received")
            for counts in became.values()
        )
        return Outcome(caught_by, went_to, seconds, shown, [str(each) for each in self._alarms], accounted)

    def _accounts(self) -> dict[str, dict[str, int]]:
        return {
            flow: {k.decode(): int(v) for k, v in self._client.hgetall(f"inlay:outcomes:{flow}").items()}
            for flow in ("people", "items")
        }

    def _read(self, entity: str, key: str) -> Fields:
        layout = LAYOUTS[entity]
        return layout.decode(self._client.hgetall(layout.key(key)))[0]

    def _found(self, became: dict[str, Counter[str]]) -> tuple[str, str]:
        """What caught the fault, and where it went, from what is in Redis now."""
        rules: Counter[str] = Counter()
        places: Counter[str] = Counter()
        for letter in self._edges.dead_letters.letters(self._client):
            held = letter.stage == "gate"
            rules[
                _rule(letter.reason) if held else f"`{letter.stage}`: {letter.kind}, {letter.field or 'all of it'}"
            ] += 1
            places["dead letters, the whole batch" if held else "dead letters"] += 1
        for letter in self._edges.quarantine.rows(self._client):
            whole = letter.kind == "batch"
            rules[
                f"share of broken rows of `{letter.field}`" if whole else f"`{letter.field}`: {_rule(letter.reason)}"
            ] += 1
            places[f"quarantine, all rows of `{letter.field}`" if whole else "quarantine"] += 1
        for outcome in ("duplicate", "late"):
            if number := became["people"][outcome]:
                rules[f"`aggregate`: {outcome}"] += number
                places[f"counted as *{outcome}*"] += number
        if not rules:
            return "`eligibility`, and the fold", "the features; no block shows it"
        return "; ".join(rules), "; ".join(f"{place} ({number:,})" for place, number in places.items())

    async def _shown(self) -> list[str]:
        """What is wrong in mails to some users: an item of which anything is not as the catalogue said at first."""
        client = redis.asyncio.Redis.from_url(self._url, protocol=2)
        online, snapshot = OnlineFeatures(client, lambda: NOW), Snapshot()
        await refresh(snapshot, online, wide=True)
        layouts = load_layouts()
        server = silent_server(client, online, snapshot, NOW / SECOND, layouts)
        wrong, number = [], 0
        for user in ASKED:
            for name in LAYOUTS_ASKED:
                answer = await server.answer(layouts[name], user, None, ())
                for block in answer.blocks:
                    for item in block.items:
                        number += 1
                        right = self._right.get(item.item_id)
                        fields = ("title", "url", "image_url", "price", "currency")
                        if right is None or any(getattr(item, field) != right[field] for field in fields):
                            wrong.append(f"{name} to {user}: {item}")
        await online.close()
        assert number > 40, "mails that show nothing prove nothing"
        return wrong


def _rule(reason: str) -> str:
    """The rule in a reason, with the column that it is about."""
    start = reason.index("expect_")
    name, _, rest = reason[start:].partition("(")
    return f"{name.removeprefix('expect_')}({rest.partition(')')[0]})" if rest else name.removeprefix("expect_")


def magnitude(seconds: float) -> str:
    """How long something took, as the order of magnitude that it is on any machine."""
    return next(f"< {bound:g} s" for bound in (0.1, 1, 10, 100) if seconds < bound)


def table(outcomes: dict[str, Outcome]) -> str:
    """The table of the page."""
    lines = ["| planted | caught by | went to | took |", "|---|---|---|---|"]
    for name, outcome in outcomes.items():
        lines.append(f"| {name} | {outcome.caught_by} | {outcome.went_to} | {magnitude(outcome.seconds)} |")
    return "\n".join(lines) + "\n"


def without_times(text: str) -> list[str]:
    """The lines of a table without the last column."""
    return [line.rsplit("|", 2)[0] for line in text.strip().splitlines()]


def main() -> None:
    """Write the table of the page anew."""
    argparse.ArgumentParser(prog="python -m tests.contract.planted", description=__doc__).parse_args()
    with redis_server() as server:
        shop = Shop(server)
        outcomes = {fault.name: shop.plant(fault) for fault in faults()}
    for name, outcome in outcomes.items():
        print(
            f"{outcome.seconds:6.3f} s  {name}: {outcome.caught_by} -> {outcome.went_to}", outcome.shown, outcome.alarms
        )
    text = PAGE.read_text()
    before, _, rest = text.partition(BEGIN)
    PAGE.write_text(before + BEGIN + "\n" + table(outcomes) + "\n" + END + rest.partition(END)[2])


if __name__ == "__main__":
    main()
