"""Identity by example: what a shop expects of visitors who say who they are, sooner or later."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, Final

import pytest

from dataflows.aggregates.identity import Identity, Part, part_name
from dataflows.aggregates.people import User
from dataflows.erased_ids import ErasedIds
from dataflows.events import DAY, MINUTE, SECOND, Event, partition_of
from dataflows.identities import Identities
from dataflows.inbox import (
    INBOX_KEY,
    MESSAGES_AN_ENTRY,
    MESSAGES_AT_ONCE,
    READ_AT_ONCE,
    Aliased,
    Changed,
    Inbox,
    Linked,
    Message,
    posted,
)
from dataflows.stages import Received
from tests.given import FACTS, NOW, an_event
from tests.unit.dataflows.doubles import DUE, Clock, Committed, People
from tests.unit.dataflows.streams import written

PARTITIONS: Final = 13
"""So many that all ids here but two live apart."""


class Shop:
    """Partitions with a process each, as far apart as they can be."""

    def __init__(self) -> None:
        self.committed, self.clock = Committed(), Clock()
        self.offsets = dict.fromkeys(range(PARTITIONS), -1)
        self.processes = [
            People(self.committed, self.clock, PARTITIONS, owned=[partition]) for partition in range(PARTITIONS)
        ]
        for partition, process in enumerate(self.processes):
            process.take([Received(partition, [], [])])

    def happens(self, *events: Event) -> Shop:
        """Events arrive one by one."""
        for event in events:
            partition = partition_of(event.key, PARTITIONS)
            self.offsets[partition] += 1
            self.processes[partition].take([Received(partition, [self.offsets[partition]], [written(event)])], FACTS)
        return self

    def ticks(self, times: int = 1) -> Shop:
        """A second passes in every process, and as many more as are said."""
        for _ in range(times):
            for process in self.processes:
                process.expire()
        return self

    def row(self, key: str) -> dict[str, Any]:
        return self.committed.values()["user", key]


def by(device: str | None = None, user: str | None = None, at: int = NOW, **fields: Any) -> Event:
    """An event by a device, a user, or both; each has an id of its own."""
    fields = {"event_id": f"e{next(NUMBERS)}", "occurred_at": at, "anonymous_id": device, "user_id": user, **fields}
    return an_event(**fields)


NUMBERS: Final = itertools.count()


def test_a_scanner_that_clicks_is_nobodys_device() -> None:
    scanned = {"machine": True, "machine_reasons": ["security_scanner"]}
    shop = Shop().happens(by("d1", item_id="p1"), by("d1", "u1", type="email_click", properties=scanned)).ticks(2)
    assert shop.row("u1")["recent_items"] == []
    shop.happens(by("d1", type="email_open", properties=scanned), by("d1", "u1", type="identify")).ticks(2)
    assert shop.row("u1")["recent_items"] == ["p1"]
    assert shop.row("u1")["email_opens_30d"] == 0


@pytest.mark.parametrize("kind", ["identify", "sign_up", "email_click"])
def test_what_a_visitor_did_counts_once_a_link_names_the_user(kind: str) -> None:
    shop = Shop().happens(by("d1", item_id="p1", at=NOW - DAY), by("d1", type="add_to_cart", item_id="p2"))
    shop.happens(by("d1", "u1", type=kind)).ticks(2)
    assert shop.row("u1")["recent_items"] == ["p1"]
    assert shop.row("u1")["cart_items"] == ["p2"]
    assert shop.row("u1")["typical_price"] == 19.99
    assert shop.row("u1")["first_seen_at"] == (NOW - DAY) // SECOND
    assert shop.row("d1")["recent_items"] == ["p1"]


@pytest.mark.parametrize("fields", [{"type": "view"}, {"type": "identify", "device": None}, {"type": "purchase"}])
def test_other_events_link_nothing(fields: dict[str, Any]) -> None:
    device = fields.pop("device", "d1")
    shop = Shop().happens(by("d1", item_id="p1"), by(device, "u1", item_id="p2", **fields)).ticks(3)
    assert "p1" not in shop.row("u1")["recent_items"]


def test_a_late_click_links_nothing() -> None:
    shop = Shop().happens(by("d1", item_id="p1"), by("d1", "u1", type="email_click", at=NOW - 91 * DAY)).ticks(3)
    assert ("user", "u1") not in shop.committed.rows


def test_what_comes_after_the_link_counts_too() -> None:
    shop = Shop().happens(by("d1", "u1", type="identify")).ticks(2).happens(by("d1", item_id="p1")).ticks()
    assert shop.row("u1")["views_1h"] == 1


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))))
def test_the_order_of_arrival_changes_nothing(order: Sequence[int]) -> None:
    story = [
        by("d1", item_id="p1", at=NOW - 3 * MINUTE),
        by("d1", "u1", type="identify", at=NOW - 2 * MINUTE),
        by("d1", "u2", type="identify", at=NOW - MINUTE),
        by("d1", item_id="p2", at=NOW),
    ]
    shop = Shop()
    for number in order:
        shop.happens(story[number], story[number]).ticks()
    shop.ticks(2)
    assert [shop.row(user)["recent_items"] for user in ("u1", "u2")] == [["p1"], ["p2"]]
    assert [shop.row(user)["views_1h"] for user in ("u1", "u2", "d1")] == [1, 1, 2]


def test_two_devices_are_one_user() -> None:
    shop = Shop()
    for device, item_id in (("d1", "p1"), ("d2", "p2")):
        shop.happens(by(device, item_id=item_id), by(device, "u1", type="identify"))
    shop.happens(by(user="u1", item_id="p3")).ticks(3)
    assert shop.row("u1")["recent_items"] == ["p1", "p2", "p3"]
    assert shop.row("u1")["views_1h"] == 3


def test_a_link_that_comes_late_takes_events_back() -> None:
    shop = Shop().happens(by("d1", "u1", type="identify", at=NOW - DAY), by("d1", item_id="p1")).ticks(3)
    assert shop.row("u1")["views_1h"] == 1
    shop.happens(by("d1", "u2", type="identify", at=NOW - MINUTE)).ticks(3)
    assert [shop.row(user)["views_1h"] for user in ("u1", "u2")] == [0, 1]


def test_everything_of_an_alias_counts_for_the_user_past_and_future_through_any_number_of_names() -> None:
    shop = Shop().happens(by(user="a", item_id="p1"), by("d1", item_id="p2"), by("d1", "a", type="sign_up"))
    shop.happens(by(user="b", type="identify", properties={"previous_id": "a"}))
    shop.happens(by(user="c", type="identify", traits={"previous_id": "b"})).ticks(5)
    assert [shop.row(user)["views_1h"] for user in ("a", "b", "c")] == [2, 2, 2]
    shop.happens(by(user="a", item_id="p3"), by("d1", item_id="p4"), by(user="b", item_id="p5")).ticks(4)
    assert [shop.row(user)["views_1h"] for user in ("a", "b", "c")] == [4, 5, 5]


def test_aliases_in_a_circle_are_one_and_fall_silent() -> None:
    shop = Shop()
    for user, previous in (("a", "b"), ("b", "c"), ("c", "a"), ("b", "a")):
        shop.happens(by(user=user, item_id="p1"))
        shop.happens(by(user=user, type="identify", properties={"previous_id": previous})).ticks()
    shop.ticks(8)
    assert [shop.row(user)["views_1h"] for user in ("a", "b", "c")] == [4, 4, 4]
    commits = shop.committed.commits
    shop.ticks(3)
    assert shop.committed.commits == commits
    assert not any(shop.committed.streams.values())


def test_an_unknown_visitor_may_be_an_alias_and_all_it_does_counts() -> None:
    shop = Shop().happens(by("d1", item_id="p1"), by("d1", "u1", type="identify"))
    shop.happens(by(user="u2", type="identify", properties={"previous_id": "d1"})).ticks(3)
    assert [shop.row(user)["views_1h"] for user in ("u1", "u2")] == [1, 1]


@pytest.mark.parametrize("previous", ["", "u1", 7, None, "a\u200b", "x" * 201, ["a"]])
def test_an_alias_that_is_no_id_is_no_alias(previous: Any) -> None:
    shop = Shop().happens(by(user="u1", type="identify", properties={"previous_id": previous})).ticks(3)
    assert shop.committed.streams == {}
    assert list(shop.committed.rows) == [("user", "u1")]


def test_a_device_that_is_called_as_its_user_is_not_linked() -> None:
    shop = Shop().happens(by("u1", item_id="p1"), by("u1", "u1", type="identify", item_id="p2")).ticks(3)
    assert shop.committed.streams == {}
    assert shop.row("u1")["views_1h"] == 1


def test_an_event_that_comes_again_with_its_user_counts_once_whichever_comes_first() -> None:
    for turn in (1, -1):
        story = [by("d1", item_id="p1", event_id="same"), by("d1", "u1", item_id="p1", event_id="same")]
        shop = Shop().happens(by("d1", "u1", type="identify")).ticks(2)
        for event in story[::turn]:
            shop.happens(event).ticks(2)
        assert shop.row("u1")["views_1h"] == 1


def test_an_event_id_under_two_user_ids_that_are_one_counts_twice() -> None:
    """The limit: what a user came to is a sum, of which no event can be taken away."""
    shop = Shop().happens(by(user="a", event_id="same"), by(user="b", event_id="same"))
    shop.happens(by(user="b", type="identify", properties={"previous_id": "a"})).ticks(3)
    assert shop.row("b")["views_1h"] == 2


def test_a_refund_by_the_user_undoes_what_the_visitor_bought() -> None:
    shop = (
        Shop().happens(by("d1", type="purchase", item_id="p1", order_id="o1"), by("d1", "u1", type="sign_up")).ticks(2)
    )
    assert (shop.row("u1")["spend_30d"], shop.row("u1")["orders_90d"]) == (19.99, 1)
    shop.happens(by(user="u1", type="refund", order_id="o1"))
    assert (shop.row("u1")["spend_30d"], shop.row("u1")["orders_90d"]) == (0, 0)
    assert shop.row("u1")["purchased_items"] == []


def test_the_price_is_the_one_of_the_moment_whenever_the_link_comes() -> None:
    shop = Shop().happens(by("d1", type="purchase", item_id="p1", quantity=2))
    changed = {**FACTS, "p1": FACTS["p2"]}
    partition = partition_of("u1", PARTITIONS)
    link = by("d1", "u1", type="identify")
    shop.processes[partition].take([Received(partition, [0], [written(link)])], changed)
    shop.ticks(3)
    assert shop.row("u1")["spend_30d"] == 39.98


def test_a_merged_row_falls_when_its_oldest_tile_leaves() -> None:
    shop = Shop().happens(by("d1", at=NOW - 50 * MINUTE), by("d1", "u1", type="identify")).ticks(2)
    due = shop.committed.sets[DUE.format(partition_of("u1", PARTITIONS))]["u1"]
    assert due == NOW - 50 * MINUTE + 65 * MINUTE
    shop.clock.now = due - 1
    assert shop.ticks().row("u1")["views_1h"] == 1
    shop.clock.now = due
    assert shop.ticks().row("u1")["views_1h"] == 0
    while dues := [at for each in shop.committed.sets.values() for at in each.values()]:
        shop.clock.now = min(dues)
        shop.ticks()
    assert shop.row("u1")["views_30d"] == 0


def test_what_left_the_windows_of_a_merged_user_leaves_its_state() -> None:
    shop = Shop().happens(by("d1", "u1", type="identify"), by("d1"), by(user="u1")).ticks(2)
    for day in range(1, 130, 10):
        shop.clock.now = NOW + day * DAY
        shop.happens(by(user="u1", at=shop.clock.now))
    state = User.unpack(shop.committed.states["user", "u1"])
    assert all(len(grid) <= 4 for grid in state.tiles.grids)


def test_messages_are_no_events() -> None:
    shop = Shop().happens(by("d1"), by("d1", "u1", type="identify")).ticks(3)
    assert (shop.committed.received, shop.committed.outcomes) == (2, {"applied": 2})
    assert shop.committed.offsets == {partition_of("d1", PARTITIONS): 0, partition_of("u1", PARTITIONS): 0}


def test_one_commit_tells_a_change_once() -> None:
    shop = Shop().happens(by("d1", "u1", type="identify")).ticks(2)
    partition = partition_of("d1", PARTITIONS)
    values = [written(by("d1")) for _ in range(5)]
    shop.processes[partition].take([Received(partition, list(range(1, 6)), values)], FACTS)
    assert told_to(shop.committed, "u1") == [Changed("u1", "d1\0u1")]


def test_a_link_that_is_known_is_told_nobody_and_stored_by_nobody() -> None:
    link = by("d1", "u1", type="identify")
    again = by("d1", "u1", type="identify")
    shop = Shop().happens(by("d1"), link).ticks(3)
    before = shop.committed.rows["user", "d1"]
    shop.happens(again).ticks(3)
    assert shop.committed.rows["user", "d1"] == before


def told_to(committed: Committed, key: str) -> list[Message]:
    return Inbox(committed, partition_of(key, PARTITIONS)).read()


def test_news_of_nothing_takes_what_a_device_had_of_a_user_but_no_alias_and_gives_nobody_an_identity() -> None:
    committed = Committed()
    ours = Identities(Inbox(committed, 0), committed.stored, 1, ErasedIds(committed, 0))
    nobody, user = User(), User()
    identity = user.identity = Identity()
    identity.parts = {"old": Part(NOW, [b"x"]), part_name("d1", "u2"): Part(NOW, [b"y"])}
    news = [Changed(to, part) for to in ("u1", "u2") for part in ("old", part_name("d1", to))]
    assert ours.take(news, {"u1": nobody, "u2": user}, NOW).touched == {"u2"}
    assert set(identity.parts) == {"old"}
    assert nobody.identity is None


def test_an_inbox_gives_each_message_once_and_again_to_the_next_process_until_it_is_taken() -> None:
    committed = Committed()
    messages: list[Message] = [Linked("d1", "u1", NOW), Aliased("d1", "u2", NOW), Changed("d1", "u3")]
    for message in messages:
        for command, key, *arguments in posted([message], 1):
            committed.run(command, key, arguments)
    inbox = Inbox(committed, 0)
    assert inbox.read() == messages
    assert inbox.read() == []
    assert Inbox(committed, 0).read() == messages
    (taken,) = inbox.taken()
    for command, key, *arguments in posted([messages[0]], 1):
        committed.run(command, key, arguments)
    for _ in range(2):
        committed.run(taken[0], taken[1], list(taken[2:]))
        assert Inbox(committed, 0).read() == messages[:1]
    assert inbox.read() == messages[:1]


def test_an_inbox_is_read_in_portions() -> None:
    committed = Committed()
    for number in range(READ_AT_ONCE + 1):
        for command, key, *arguments in posted([Changed(f"u{number}", "d1")], 1):
            committed.run(command, key, arguments)
    inbox = Inbox(committed, 0)
    assert [len(inbox.read()) for _ in range(3)] == [READ_AT_ONCE, 1, 0]
    committed = Committed()
    for command, key, *arguments in posted([Changed(f"u{n}", "d1") for n in range(MESSAGES_AT_ONCE + 150)], 1):
        committed.run(command, key, arguments)
    inbox = Inbox(committed, 0)
    assert [len(inbox.read()) for _ in range(3)] == [MESSAGES_AT_ONCE, 150, 0]


def test_messages_go_to_the_partition_of_whom_they_are_for_several_in_one_entry() -> None:
    messages = [Changed(f"u{number}", "d1") for number in range(3 * MESSAGES_AN_ENTRY)]
    committed = Committed()
    for command, key, *arguments in posted(messages, 2):
        committed.run(command, key, arguments)
    assert [len(entries) for entries in committed.streams.values()] == [2, 2]
    for partition in (0, 1):
        expected = [message for message in messages if partition_of(message.to, 2) == partition]
        assert Inbox(committed, partition).read() == expected
    assert set(committed.streams) == {INBOX_KEY.format(0), INBOX_KEY.format(1)}
