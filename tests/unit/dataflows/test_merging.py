"""Several ids as one person: logs, links, parts, and the whole they make."""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import Any

from hypothesis import strategies as st

from dataflows.aggregates import log
from dataflows.aggregates.identity import (
    MOST_LINKS,
    MOST_LOGGED,
    MOST_PART_BYTES,
    MOST_PARTS,
    MOST_TARGETS,
    SLACK,
    Identity,
    Links,
    Part,
    origin_of,
    part_name,
)
from dataflows.aggregates.merging import contribution, whole
from dataflows.aggregates.people import User
from dataflows.events import EVENT_TYPES, MINUTE, SECOND, Event
from tests.given import FACTS, NOW, an_event, histories, nows, seeds
from tests.unit.dataflows.oracle import Arrival, user_row
from tests.unit.dataflows.proofs import fails, for_all, holds


def a_user(events: Iterable[Event], user: type[User] = User) -> User:
    made = user()
    for event in events:
        made.apply(event, FACTS, NOW)
    return made


def a_device(events: Iterable[Event], *links: tuple[int, str]) -> User:
    """A device with these events in its log, and its users."""
    made = a_user(events)
    made.identity = Identity()
    made.identity.log = [log.write(event, FACTS) for event in events]
    made.identity.links = Links(links)
    return made


@for_all(events=histories(), seed=seeds(), now=nows())
def a_whole_is_the_sum_of_its_parts(user: type[User], events: list[Event], seed: int, now: int) -> None:
    """However the events lie in several users, merged in any order they give the row and the due time of one."""
    chance = random.Random(seed)
    shares = [[event for event in events if int(event.event_id[1:]) % 3 == n] for n in range(3)]
    both = user()
    for share in chance.sample(shares, 3):
        both.merge(user.unpack(a_user(share, user).pack()))
    assert both.row(now) == a_user(events, user).row(now)
    assert both.row(now)[0] == user_row([Arrival(event, NOW) for event in events], FACTS, now)


class Without(User):
    """What it merges lacks something."""

    lost = ""

    def merge(self, other: User) -> None:
        setattr(other, self.lost, getattr(User(), self.lost))
        super().merge(other)


class TakesTheNewcomersWord(User):
    def merge(self, other: User) -> None:
        super().merge(other)
        self.profile |= other.profile


class SeenFirstIsSeenLast(User):
    def merge(self, other: User) -> None:
        super().merge(other)
        self.last |= other.last


class ReplacesOrders(User):
    def merge(self, other: User) -> None:
        before = dict(self.orders.entries)
        super().merge(other)
        self.orders.entries = {**before, **other.orders.entries}


def test_a_whole_is_the_sum_of_its_parts() -> None:
    holds(a_whole_is_the_sum_of_its_parts, User)


def test_a_whole_that_loses_something_is_caught() -> None:
    for name in ("tiles", "_orders", "recent", "_cart", "_wishes", "_bought", "last", "profile"):
        assert fails(a_whole_is_the_sum_of_its_parts, type("Without", (Without,), {"lost": name})), name
    for mutant in (TakesTheNewcomersWord, SeenFirstIsSeenLast, ReplacesOrders):
        assert fails(a_whole_is_the_sum_of_its_parts, mutant), mutant


@for_all(events=histories(), now=nows())
def a_log_gives_the_row_of_its_events(written: Any, events: list[Event], now: int) -> None:
    again = User()
    for event in events:
        if a_user([event]).last:  # else it was late, or a machine's, and is not logged
            again.recall(log.read(written(event, FACTS)), NOW)
            again.recall(log.read(written(event, FACTS)), NOW)
    assert again.row(now) == a_user(events).row(now)


def test_a_log_gives_the_row_of_its_events_and_repeats_count_once() -> None:
    holds(a_log_gives_the_row_of_its_events, log.write)


def test_a_log_that_keeps_too_little_is_caught() -> None:
    def without(**fields: Any) -> Any:
        return lambda event, facts: log.write(an_event(**{**_fields(event), **fields}), facts)

    for lost in ({"country": None}, {"order_id": None}, {"price": None}, {"traits": {}}, {"properties": {}}):
        assert fails(a_log_gives_the_row_of_its_events, without(**lost)), lost
    assert fails(a_log_gives_the_row_of_its_events, lambda event, facts: log.write(event, {}))
    assert fails(a_log_gives_the_row_of_its_events, without(category="?"))


def _fields(event: Event) -> dict[str, Any]:
    return {name: getattr(event, name) for name in event.__struct_fields__}


USERS = ("u1", "u2", "u3")
PAIRS = st.lists(st.tuples(st.integers(0, 12), st.sampled_from(USERS)), min_size=1, max_size=12)


def owner_by_hand(pairs: Iterable[tuple[int, str]], at: int) -> str:
    """The user of the newest link that is not later, else of the oldest; of one moment the larger id."""
    before = [pair for pair in pairs if pair[0] <= at]
    first = min(moment for moment, _ in pairs)
    return max(before)[1] if before else max(user for moment, user in pairs if moment == first)


@for_all(pairs=PAIRS, at=st.integers(-1, 13))
def an_event_is_the_newest_links(links: type[Links], pairs: list[tuple[int, str]], at: int) -> None:
    made = links()
    for moment, user in pairs:
        made.add(moment, user)
        made.owner(at)
    assert made.owner(at) == owner_by_hand(pairs, at)


class ForgetsThatItMustSort(Links):
    def add(self, at: int, user: str) -> bool:
        before = self._ordered
        added = super().add(at, user)
        self._ordered = before
        return added


def test_an_event_is_of_the_user_of_the_newest_link_before_it() -> None:
    holds(an_event_is_the_newest_links, Links)
    assert fails(an_event_is_the_newest_links, ForgetsThatItMustSort)


@for_all(visits=st.lists(st.tuples(st.sampled_from(USERS), st.integers(1, 30)), min_size=1, max_size=9))
def those_who_come_often_push_nobody_out(links: type[Links], visits: list[tuple[str, int]]) -> None:
    """A user who is named at every page takes the place of no other user's link."""
    pairs = [(10 * n, user) for n, user in enumerate(user for user, times in visits for _ in range(times))]
    made = links()
    for at, user in pairs:
        made.add(at, user)
    assert len(made.pairs) <= MOST_LINKS
    for at, _ in pairs:
        for moment in (at - 1, at, at + 1):
            assert made.owner(moment) == owner_by_hand(pairs, moment)


class TheOldestGoes(Links):
    def add(self, at: int, user: str) -> bool:
        self.pairs.add((at, user))
        while len(self.pairs) > MOST_LINKS:
            self.pairs.discard(min(self.pairs))
        self._ordered = None
        return True


def test_those_who_come_often_push_nobody_out() -> None:
    holds(those_who_come_often_push_nobody_out, Links)
    assert fails(those_who_come_often_push_nobody_out, TheOldestGoes)


def test_of_links_that_all_change_hands_the_oldest_goes() -> None:
    links = Links()
    for n in range(MOST_LINKS + 2):
        assert links.add(n, f"u{n % 2}")
    assert not links.add(5, "u1")
    assert min(links.pairs) == (2, "u0")


def test_a_log_keeps_its_newest_events() -> None:
    events = [an_event(event_id=f"e{n}", occurred_at=NOW - n * SECOND) for n in range(MOST_LOGGED + SLACK)]
    entries = [log.write(event, {}) for event in events]
    assert not log.is_overgrown(entries)
    assert log.is_overgrown([*entries, entries[0]])
    assert log.newest(entries) == entries[:MOST_LOGGED]
    assert log.newest(entries[:MOST_LOGGED]) == entries[:MOST_LOGGED]


def test_the_numbers_of_the_types_are_stored_and_never_change() -> None:
    assert EVENT_TYPES[:23] == (
        "view", "click", "search", "add_to_cart", "remove_from_cart", "add_to_wishlist", "remove_from_wishlist",
        "checkout", "purchase", "refund", "sign_up", "identify", "profile", "consent", "email_delivered",
        "email_open", "email_click", "email_bounce", "email_complaint", "email_unsubscribe", "item", "block_served",
        "custom",
    )  # fmt: skip


def test_a_logged_view_takes_few_bytes() -> None:
    assert len(log.write(an_event(event_id="e" * 36, item_id="GGOEGAAX0104"), {})) < 45


def test_a_device_contributes_the_events_of_each_user_and_an_alias_all_it_did() -> None:
    early, late = an_event(occurred_at=NOW - 2 * MINUTE), an_event(event_id="e2")
    device = a_device([early, late], (NOW - 3 * MINUTE, "u1"), (NOW - MINUTE, "u2"))
    one, other = log.write(early, FACTS), log.write(late, FACTS)
    assert contribution(device, part_name("d1", "u1")) == Part(early.at, [one])
    assert contribution(device, part_name("d1", "u2")) == Part(late.at, [other])
    assert contribution(device, part_name("d1", "u3")) is None
    assert contribution(device, "d1") == Part(late.at, [one, other])
    assert contribution(User(), "d1") is None
    assert contribution(User(), part_name("d1", "u1")) is None


def test_an_alias_that_is_more_than_its_log_contributes_what_it_came_to() -> None:
    user = a_user([an_event(item_id="p1")])
    user.offset, user.row_at = 7, NOW
    part = contribution(user, "u1")
    assert part is not None
    assert part.entries == []
    assert part.state is not None
    found = User.unpack(part.state)
    assert (found.offset, found.row_at, found.identity) == (-1, 0, None)
    assert found.row(NOW) == user.row(NOW)
    assert part == contribution(User.unpack(user.pack()), "u1")


def test_an_alias_with_a_log_that_did_more_contributes_what_it_came_to() -> None:
    unnamed, named = an_event(item_id="p1"), an_event(event_id="e2", item_id="p2")
    user = a_device([unnamed])
    assert contribution(user, "d1") == Part(NOW, [log.write(unnamed, FACTS)])
    user.apply(named, FACTS, NOW)
    part = contribution(user, "d1")
    assert part is not None
    assert (part.entries, part.state is None) == ([], False)


def test_who_is_linked_and_who_is_an_alias_counts_elsewhere() -> None:
    identity, linked, alias = Identity(), Identity(), Identity()
    linked.links.add(NOW, "u1")
    alias.aim("u1", NOW)
    assert [each.is_counted_elsewhere() for each in (identity, linked, alias)] == [False, True, True]


def test_a_user_without_parts_is_its_own_whole() -> None:
    user = a_user([an_event()])
    assert whole(user, NOW) is user
    user.identity = Identity()
    assert whole(user, NOW) is user


def test_an_identity_survives_storing() -> None:
    device = a_device([an_event()], (NOW, "u1"), (NOW, "u2"))
    assert device.identity is not None
    device.identity.aim("u3", NOW)
    device.identity.replace("u9", Part(NOW, [b"x"], None))
    device.identity.replace("d2\0u1", Part(NOW, [], b"y"))
    again = User.unpack(device.pack()).identity
    assert again is not None
    assert again.pack() == device.identity.pack()
    assert (again.links.pairs, again.targets) == (device.identity.links.pairs, {"u3": NOW})
    assert not again.replace("u9", Part(NOW, [b"x"], None))


def test_replacing_says_whether_anything_changed() -> None:
    identity = Identity()
    assert not identity.replace("d1", None)
    assert identity.replace("d1", Part(1, [b"x"]))
    assert not identity.replace("d1", Part(1, [b"x"]))
    assert identity.replace("d1", Part(2, [b"x", b"y"]))
    assert identity.replace("d1", None)
    assert identity.parts == {}


def test_parts_are_bounded_the_newest_stay() -> None:
    identity = Identity()
    for n in range(MOST_PARTS):
        assert identity.replace(f"d{n:02}", Part(100 + n, [b"x"]))
    assert not identity.replace("old", Part(1, [b"x"]))
    assert identity.replace("new", Part(999, [b"x"]))
    assert sorted(identity.parts) == sorted([*(f"d{n:02}" for n in range(1, MOST_PARTS)), "new"])
    assert identity.replace("large", Part(1000, [b"x" * (MOST_PART_BYTES - 2)]))
    assert sorted(identity.parts) == ["d49", "large", "new"]
    assert identity.replace("larger", Part(1001, [b"x" * (MOST_PART_BYTES + 1)]))
    assert sorted(identity.parts) == ["larger"]


def test_targets_are_bounded_the_newest_stay() -> None:
    identity = Identity()
    for n in range(MOST_TARGETS):
        assert identity.aim(f"u{n:02}", 100 + n)
    assert not identity.aim("u00", 50)
    assert not identity.aim("late", 1)
    assert identity.aim("new", 999)
    assert "u00" not in identity.targets
    assert len(identity.targets) == MOST_TARGETS


def test_a_part_is_named_after_its_origin_and_whose_events_it_is() -> None:
    assert origin_of(part_name("d1", "u1")) == ("d1", "u1")
    assert origin_of("u2") == ("u2", "")
