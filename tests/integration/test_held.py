"""A flow that holds batches is killed again and again: every event is counted once or kept once, and none is both."""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from typing import Any, Final

import pytest

from dataflows.connectors.letters import DeadLetters
from dataflows.events import HOUR, SECOND, partition_of
from feature_repo.layout import ITEM
from tests.contract.redis_server import RedisServer, write
from tests.integration.stand import PARTITIONS, Stand, StandError

pytestmark = pytest.mark.integration
USERS: Final = 40
KILLS: Final = 2


def view(number: int, price: float, now: int) -> tuple[int, bytes]:
    user = f"u{number % USERS}"
    event = {
        "event_id": f"e{number}", "type": "view", "occurred_at": now - HOUR // 2 - number * SECOND // 10,
        "user_id": user, "item_id": f"p{number % 20}", "price": price,
    }  # fmt: skip
    return partition_of(user, PARTITIONS), json.dumps(event).encode()


def publish(stand: Stand, records: list[tuple[int, bytes]]) -> None:
    for partition in range(PARTITIONS):
        stand.publish(partition, [value for place, value in records if place == partition])


def test_what_is_held_is_kept_once_and_counted_never_whenever_the_flow_is_killed() -> None:
    """Right prices and prices in cents by turns; which batch is held depends on where the kills cut them."""
    now, chance = time.time_ns() // 1000, random.Random(4)
    settings = {"INLAY_BATCH_EVENTS": "400", "INLAY_GATE_HELD": "0"}
    with Stand(settings, forked=True) as stand:
        for number in range(20):
            write(_as_server(stand), ITEM, f"p{number}", {"title": "x", "price": 10.0}, now)
        events = 0
        stand.start("people")
        for turn in range(2 * KILLS):
            cents = turn % 2 == 1
            publish(stand, [view(events + n, 1000.0 if cents else 10.0, now) for n in range(800)])
            events += 800
            if cents:
                time.sleep(chance.uniform(0.0, 0.3))
                stand.kill("people")
                stand.start("people")
        stand.wait_until_received(events, 60, ["people"])
        stand.wait_until_drained(60, ["people"])
        stand.stop("people")
        outcomes = stand.outcomes("people")
        letters = list(DeadLetters("dead_letters", 10**6).letters(stand.client))
        held = Counter(json.loads(letter.original)["event_id"] for letter in letters)
        rows = stand.read("user", [f"u{number}" for number in range(USERS)])
    assert {letter.kind for letter in letters} == {"gate"}
    assert set(held.values()) == {1}
    assert (outcomes["received"], outcomes["refused"]) == (events, len(letters))
    assert outcomes["applied"] == events - len(letters)
    assert len(letters) > 800
    by_user = Counter(int(event_id[1:]) % USERS for event_id in held)
    told = {number: rows[f"u{number}"]["views_24h"] for number in range(USERS)}
    assert told == {number: events // USERS - by_user[number] for number in range(USERS)}


def test_one_batch_too_many_stops_the_flow_in_words_and_stays_in_the_stream() -> None:
    now = time.time_ns() // 1000
    with Stand({"INLAY_GATE_HELD": "1"}, forked=True) as stand:
        for number in range(20):
            write(_as_server(stand), ITEM, f"p{number}", {"title": "x", "price": 10.0}, now)
        stand.start("people")
        publish(stand, [view(number, 1000.0, now) for number in range(100)])
        with pytest.raises(StandError, match=r"stays in the stream\. Mend its sender and start again"):
            stand.wait_until_received(100, 30, ["people"])
        assert stand.outcomes("people")["received"] == 0
        assert not stand.client.exists("dead_letters")


def _as_server(stand: Stand) -> Any:
    server = RedisServer.__new__(RedisServer)
    server.client = stand.client
    return server
