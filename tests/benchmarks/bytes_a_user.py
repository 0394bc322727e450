"""What a user with 30 recent items takes in Redis as it comes, and as we set it; and how long packing the state takes.

The users are folded, read and stored by the product's own code: those of the sample that looked at 30 items or more,
everybody in it, and made-up ones with exactly 30 recent items and 60 events of four visits within 25 days.
"""

from __future__ import annotations

import gc
import random
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from statistics import fmean, median
from typing import Any, Final, NamedTuple

from dataflows.aggregates.effects import Fact
from dataflows.aggregates.people import ONCE_KNOWN, User
from dataflows.events import DAY, HOUR, MINUTE, Event
from dataflows.redis_memory import LIMITS
from dataflows.transaction import ask
from feature_repo.layout import USER
from tests.benchmarks import sample
from tests.benchmarks.backlog import cpu_seconds, redis_pid
from tests.benchmarks.figures import Figure
from tests.benchmarks.turns import ROUNDS
from tests.integration.stand import Stand

ITEMS: Final = 400
MADE_UP: Final = 500
OF_ALL: Final = 2000
MILLISECOND: Final = 1000
KINDS: Final = ("view",) * 30 + ("click",) * 20 + ("checkout",) * 3 + ("add_to_cart",) * 6 + ("remove_from_cart",)
DEFAULT: Final = {"hash-max-ziplist-entries": 128, "hash-max-ziplist-value": 64}
OURS: Final = {f"hash-max-ziplist-{what}": number for what, number in LIMITS.items()}
MICROS: Final = 1_000_000


class Shopper(NamedTuple):
    """A user as stored: the row, and the state."""

    user: User
    values: dict[str, Any]
    state: bytes


def measure() -> list[Figure]:
    """Bytes and microseconds by population and settings."""
    facts, events = sample.shop_facts(), defaultdict(list)
    for fields in sample.shop_events():
        event = sample.as_event(fields)
        events[event.user_id or event.anonymous_id].append(event)
    rich = [each for each in events.values() if len({event.item_id for event in each if event.type == "view"}) >= 30]
    chance = random.Random(1)
    populations = {
        "made-up, 30 recent items, 60 events": [_shopper(each, FACTS) for each in _made_up(chance)],
        "everybody in the sample": [
            _shopper(each, facts) for each in chance.sample(list(events.values()), min(OF_ALL, len(events)))
        ],
    }
    if rich:
        populations["sample, 30 recent items or more"] = [_shopper(each, facts) for each in rich]
    figures = []
    with Stand() as stand:
        for name, shoppers in populations.items():
            figures += [*_bytes(stand, name, shoppers), *_times(name, shoppers)]
    return figures


FACTS: Final = {f"item-{number}": Fact(f"Home/{number % 9}", round(3.99 + number, 2)) for number in range(ITEMS)}


def _made_up(chance: random.Random) -> Iterable[list[Event]]:
    """Visits of some twenty minutes, to the millisecond as browsers tell it."""
    end = sample.FIRST_DAY + 30 * DAY
    for number in range(MADE_UP):
        visits = [end - chance.randrange(25 * DAY) for _ in range(4)]
        items = chance.sample(range(ITEMS), 30)
        yield [
            Event(
                event_id=f"{number}-{place}", type=kind, user_id=f"user-{number}", country="FR",
                occurred_at=(chance.choice(visits) + chance.randrange(20 * MINUTE)) // MILLISECOND * MILLISECOND,
                item_id=f"item-{items[place] if kind == 'view' else chance.choice(items)}",
            )
            for place, kind in enumerate(KINDS)
        ]  # fmt: skip


def _shopper(events: list[Event], facts: dict[str, Fact]) -> Shopper:
    """A user two hours after the last event: the visit is told to be over."""
    user = User()
    for event in sorted(events, key=lambda each: each.at):
        user.apply(event, facts, event.at)
    newest = max(event.at for event in events)
    values, _ = user.row(newest + 2 * HOUR)
    user.sessions.passed(newest + 2 * HOUR, values["cart_items"], user.cart.updated_at, HOUR)
    values.update(rfm_recency=None, rfm_frequency=None, rfm_monetary=None, segment="browsers", lifecycle="active")
    user.offset, user.row_at = newest // MILLISECOND << 20, newest + 1
    return Shopper(user, values, user.pack())


def _bytes(stand: Stand, name: str, shoppers: list[Shopper]) -> list[Figure]:
    whole = {what: _memory(stand, shoppers, settings) for what, settings in (("", DEFAULT), ("ours", OURS))}
    row = _memory(stand, [each._replace(state=b"") for each in shoppers], OURS)
    states = [len(each.state) for each in shoppers]
    peer = {"default settings": median(whole["ours"][0]) / median(whole[""][0])}
    return [
        Figure(f"{name}: bytes a user, p50", median(whole["ours"][0]), "bytes", peer),
        Figure("… mean", fmean(whole["ours"][0]), "bytes"),
        Figure("… default settings of Redis, p50", median(whole[""][0]), "bytes"),
        Figure("… default settings of Redis, mean", fmean(whole[""][0]), "bytes"),
        Figure("… without its state, p50", median(row[0]), "bytes"),
        Figure("… state as packed, p50", median(states), "bytes"),
        Figure("… state as packed, mean", fmean(states), "bytes"),
        Figure("… of it the ids of events, p50", median(len(each.user.seen.pack()) for each in shoppers), "bytes"),
        Figure("… how many events, p50", median(len(each.user.seen) for each in shoppers), "events"),
        Figure("… Redis writes a row", whole["ours"][1], "µs", {"default settings": whole["ours"][1] / whole[""][1]}),
    ]


def _memory(stand: Stand, shoppers: list[Shopper], settings: dict[str, int]) -> tuple[list[int], float]:
    """Bytes of each user, and the processor time of Redis a row that is written over another."""
    client = stand.client
    for option, number in settings.items():
        client.config_set(option, number)
    keys = [f"{number:019d}" for number in range(len(shoppers))]
    commands = [
        USER.hset(key, each.values, each.user.row_at, state=each.state, omitted=ONCE_KNOWN)
        for key, each in zip(keys, shoppers, strict=True)
    ]
    ask(client, commands)
    found = [int(client.memory_usage(USER.key(key), samples=0)) for key in keys]
    rounds = 1 + 4000 // len(commands)
    pid, best = redis_pid(stand), float("inf")
    for _ in range(ROUNDS):
        before = cpu_seconds(pid)
        for _ in range(rounds):
            ask(client, commands)
        best = min(best, cpu_seconds(pid) - before)
    client.delete(*map(USER.key, keys))
    return found, best / (rounds * len(commands)) * MICROS


def _times(name: str, shoppers: list[Shopper]) -> list[Figure]:
    packed = [each.state for each in shoppers]
    users = [User.unpack(each) for each in packed]
    return [
        Figure("… reading its state", _best(lambda: [User.unpack(each) for each in packed], len(packed)), "µs"),
        Figure("… packing its state", _best(lambda: [user.pack() for user in users], len(packed)), "µs"),
    ]


def _best(work: Callable[[], object], number: int) -> float:
    best = float("inf")
    for _ in range(ROUNDS):
        gc.collect()
        gc.disable()
        before = time.process_time()
        work()
        best = min(best, time.process_time() - before)
        gc.enable()
    return best / number * MICROS
