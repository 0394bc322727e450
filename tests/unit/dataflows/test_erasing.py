"""Who is erased leaves nothing, whatever the flows are in the middle of; who said no is shown with that alone."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, Final

import pytest
from hypothesis import strategies as st

from dataflows.aggregate_people import FoldPeople
from dataflows.aggregates.neighbours import Visit
from dataflows.aggregates.people import NOBODY, User
from dataflows.aggregates.population import changes
from dataflows.erased_ids import ErasedIds
from dataflows.erasing import Erase, read_command, write_command
from dataflows.events import MINUTE, Event, Refused, parse, partition_of
from dataflows.identities import Identities
from dataflows.stages import Received
from dataflows.state import visit_key
from tests.given import NOW, an_event, histories, lists_of, seeds
from tests.unit.dataflows.doubles import Clock, Committed, Items, People, in_batches
from tests.unit.dataflows.proofs import fails, for_all, holds
from tests.unit.dataflows.streams import PARTITIONS, written

USERS: Final = ("u1", "u2")
DEVICES: Final = ("d1", "d2")
CONSENTS: Final = ("email_allowed", "profile_allowed")


class Stream:
    """What lies in the stream, and a flow that reads it; the flow may die, and read the last of it again."""

    def __init__(self, fold: type[FoldPeople] = FoldPeople, identities: type[Identities] = Identities) -> None:
        self.fold, self.identities = fold, identities
        self.committed, self.clock = Committed(), Clock()
        self.records: list[list[bytes]] = [[] for _ in range(PARTITIONS)]
        self.read = [0] * PARTITIONS
        self.start()

    def start(self, rewind: int = 0, capacity: int = 10**9) -> None:
        self.flow = People(
            self.committed, self.clock, PARTITIONS, fold=self.fold, identities=self.identities, capacity=capacity
        )
        self.flow.take(Received(partition, [], []) for partition in range(PARTITIONS))
        self.read = [max(0, place - rewind) for place in self.read]

    def put(self, key: str, raw: bytes) -> None:
        self.records[partition_of(key, PARTITIONS)].append(raw)

    def post(self, event: Event) -> None:
        self.put(event.key, written(event))

    def erase(self, user: str, key: str = "") -> None:
        self.put(key or user, write_command(Erase("e", user, key or user)))

    def catch_up(self, sizes: Callable[[], int] = lambda: 100) -> None:
        for partition, records in enumerate(self.records):
            while (at := self.read[partition]) < len(records):
                some = records[at : at + max(1, sizes())]
                self.flow.take(in_batches(partition, some, [], first=at))
                self.read[partition] = at + len(some)
        for _ in range(6):
            self.flow.expire()

    def mentions(self, *ids: str) -> list[str]:
        """Where somebody is still named."""
        found = [f"row {key}" for _, key in self.committed.rows if key in ids]
        found += [f"due {key}" for name, members in self.committed.sets.items() for key in members if key in ids]
        for (_, key), state in self.committed.states.items():
            if any(each.encode() in state for each in ids):
                found.append(f"state of {key}")
        found += [
            f"inbox {name}" for name, entries in self.committed.streams.items() for _, raw in entries
            if any(each.encode() in raw for each in ids)
        ]  # fmt: skip
        return found


def linked(user: str, device: str, at: int, number: int) -> Event:
    return an_event(event_id=f"l{number}", type="identify", user_id=user, anonymous_id=device, occurred_at=at)


STORIES: Final = lists_of(
    16, ("view", "cart", "buy", "link", "alias", "device", "device"), ("user-one", "user-two"), ("dev-one", "dev-two"),
    range(12),
)  # fmt: skip


def tell(stream: Stream, story: list[tuple[Any, ...]], tag: str) -> None:
    for number, (what, user, device, minutes) in enumerate(story):
        at = NOW - minutes * MINUTE
        common: dict[str, Any] = {"event_id": f"{tag}{number}", "occurred_at": at, "item_id": "p1"}
        if what == "link":
            stream.post(linked(user, device, at, number))
        elif what == "alias":
            other = "old-" + user
            stream.post(an_event(**{**common, "type": "add_to_wishlist", "user_id": other}))
            said = {"type": "identify", "item_id": None, "event_id": f"{tag}a{number}"}
            stream.post(an_event(**{**common, **said, "user_id": user, "properties": {"previous_id": other}}))
        elif what == "device":
            stream.post(an_event(**{**common, "user_id": None, "anonymous_id": device}))
        else:
            kind = {"view": "view", "cart": "add_to_cart", "buy": "purchase"}[what]
            stream.post(an_event(**{**common, "type": kind, "user_id": user, "price": 3.0}))


@for_all(story=STORIES, later=STORIES, seed=seeds())
def who_is_erased_is_gone(subject: type[Identities], story: list[Any], later: list[Any], seed: int) -> None:
    """Of the user, its aliases, and devices that are nobody else's nothing is left, and others keep what is theirs."""
    chance = random.Random(seed)
    stream, without = Stream(identities=subject), Stream(identities=subject)
    tell(stream, story, "s")
    if chance.random() < 0.5:
        stream.catch_up(lambda: chance.randint(1, 4))
    stream.erase("user-one")
    if chance.random() < 0.5:
        stream.catch_up(lambda: chance.randint(1, 4))
        stream.start(rewind=chance.randint(0, 5), capacity=chance.choice((0, 100)))
    stream.catch_up(lambda: chance.randint(1, 4))
    used = {device for what, user, device, _ in story if what == "link" and user == "user-one"}
    for device in used:  # a device that was named with the user and did nothing else is no part of it: it is looked for
        stream.erase("user-one", device)
    stream.catch_up()
    shared = {device for what, user, device, _ in story if what == "link" and user == "user-two"}
    assert stream.mentions("user-one", "old-user-one", *(used - shared)) == []
    assert stream.committed.received == stream.committed.outcomes.total()
    # What another user did alone is as if the first had never been.
    tell(without, [each for each in story if each[0] in ("view", "cart", "buy") and each[1] == "user-two"], "s")
    without.catch_up()
    mine = stream.committed.values().get(("user", "user-two"))
    if not any(each[0] in ("link", "alias", "device") for each in story):
        alone = without.committed.values().get(("user", "user-two"))
        assert mine == alone
    standings = [user.standing for user in stream.committed.stored([key for _, key in stream.committed.rows]).values()]
    counted: dict[str, int] = {}
    for each in stream.committed.population(PARTITIONS):
        for name, number in each.items():
            counted[name] = counted.get(name, 0) + number
    assert {name: number for name, number in counted.items() if number} == changes((None, each) for each in standings)
    # And who comes back is somebody new.
    tell(stream, [each for each in later if each[0] == "view"], "n")
    stream.catch_up()
    views = sum(1 for each in later if each[0] == "view" and each[1] == "user-one")
    row = stream.committed.values().get(("user", "user-one"))
    assert (row or NOBODY)["views_1h"] == views
    assert row is None or row["wishlist_items"] == row["purchased_items"] == row["cart_items"] == []


class TellsNobody(Identities):
    def leave(self, key: str, user: User, erasure: str = "") -> int:
        return 0


class KeepsOthers(Identities):
    def _erase(self, message: Any, who: User, now: int) -> bool:
        return False


def test_who_is_erased_is_gone() -> None:
    holds(who_is_erased_is_gone, Identities, 120)


@pytest.mark.parametrize("mutant", [TellsNobody, KeepsOthers])
def test_what_erases_only_the_id_itself_is_caught(mutant: type[Identities]) -> None:
    assert fails(who_is_erased_is_gone, mutant)


def test_what_is_brought_back_by_what_was_on_its_way_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ErasedIds, "__contains__", lambda ids, user: False)
    assert fails(who_is_erased_is_gone, Identities)


def test_a_command_is_no_event_that_anybody_could_post() -> None:
    raw = write_command(Erase("e", "u1", "u1"))
    assert isinstance(parse(raw, NOW), Refused)
    assert read_command(raw) == Erase("e", "u1", "u1")
    assert read_command(written(an_event())) is None
    assert read_command(b'{"inlay":"erase"') is None
    assert read_command(b'{"inlay":"erase","erasure":"e","user_id":"u1","key":"u1","more":1}') is None


def test_what_was_said_no_to_outlives_an_erasure() -> None:
    stream = Stream()
    stream.post(an_event(event_id="1", type="purchase", item_id="p1", price=3.0))
    stream.post(an_event(event_id="2", type="identify", traits={"first_name": "Ada", "country": "FR"}))
    stream.post(an_event(event_id="3", type="email_unsubscribe"))
    stream.erase("u1")
    stream.catch_up()
    assert stream.committed.values()["user", "u1"] == {**NOBODY, "email_allowed": False}
    stream.start(rewind=10)
    stream.catch_up()
    assert stream.committed.values()["user", "u1"] == {**NOBODY, "email_allowed": False}


def test_the_visit_of_who_is_erased_goes() -> None:
    committed, clock = Committed(), Clock()
    flow = Items(committed, clock, PARTITIONS)
    number = partition_of("u1", PARTITIONS)
    records = [written(an_event(event_id=f"e{n}", item_id=f"p{n + 1}")) for n in range(2)]
    flow.take(in_batches(number, records, []))
    assert visit_key("u1") in committed.texts
    flow.take(in_batches(number, [write_command(Erase("e", "u1", "u1"))], [], first=2))
    assert visit_key("u1") not in committed.texts
    assert committed.outcomes == {"applied": 3, "refused": 0}
    flow.take(in_batches(number, [written(an_event(event_id="e3", item_id="p3"))], [], first=3))
    assert set(Visit.unpack(committed.texts[visit_key("u1")]).met) == {"p3"}
    both = [written(an_event(event_id="e4", item_id="p4")), write_command(Erase("f", "u1", "u1"))]
    flow.take(in_batches(number, both, [], first=4))
    assert visit_key("u1") not in committed.texts


def consent(number: int, allowed: bool, **how: Any) -> Event:
    said = {"properties": {"profile_allowed": allowed}}
    return an_event(**{"event_id": f"c{number}", "type": "consent", "item_id": None, **said, **how})


@for_all(
    story=histories(most=12),
    said=st.lists(st.tuples(st.integers(0, 11), st.booleans()), max_size=4),
    seed=seeds(),
)
def who_said_no_has_no_profile(
    subject: type[User], story: list[Event], said: list[tuple[int, bool]], seed: int
) -> None:
    """While the newest that was said is no, nothing is known but what was said, whatever comes in which order."""
    chance = random.Random(seed)
    committed, clock = Committed(), Clock()
    flow = People(committed, clock, PARTITIONS, user=subject)
    flow.take(Received(partition, [], []) for partition in range(PARTITIONS))
    inserted = dict(said)
    newest: tuple[int, str] | None = None
    offset = 0
    for place, event in enumerate(story):
        coming = [event]
        if place in inserted:
            coming.insert(0, consent(place, inserted[place], occurred_at=NOW - chance.randint(0, 5) * MINUTE))
        for each in coming:
            flow.take(in_batches(partition_of("u1", PARTITIONS), [written(each)], [], first=offset))
            offset += 1
            if chance.random() < 0.3:
                flow = People(committed, clock, PARTITIONS, user=subject, capacity=0)
                flow.take(Received(partition, [], []) for partition in range(PARTITIONS))
            if each.type in ("consent", "profile", "identify", "sign_up"):
                for name, value in (*each.properties.items(), *each.traits.items()):
                    if name == "profile_allowed" and isinstance(value, bool):
                        newest = max(newest or (0, ""), (each.at, str(value)))
    row = committed.values().get(("user", "u1"))
    if newest is None or newest[1] == "True":
        return
    assert row is not None
    assert row["profile_allowed"] is False
    shown = {name: value for name, value in row.items() if name not in CONSENTS}
    assert shown == {name: value for name, value in NOBODY.items() if name not in CONSENTS}
    stored = committed.stored(["u1"])["u1"]
    assert stored.last == {}
    assert stored.standing is None
    assert set(stored.profile) <= set(CONSENTS)


class CountsAllTheSame(User):
    def is_denied(self) -> bool:
        return False


class KeepsWhatWas(User):
    def keep_what_must(self) -> None:
        self.last = {}


def test_who_said_no_has_no_profile() -> None:
    holds(who_said_no_has_no_profile, User, 300)


@pytest.mark.parametrize("mutant", [CountsAllTheSame, KeepsWhatWas])
def test_a_profile_of_who_said_no_is_caught(mutant: type[User]) -> None:
    assert fails(who_said_no_has_no_profile, mutant)


def test_who_says_yes_again_begins_anew() -> None:
    stream = Stream()
    stream.post(an_event(event_id="1", type="add_to_cart", item_id="p1"))
    stream.post(consent(1, False, occurred_at=NOW - 5 * MINUTE))
    stream.post(an_event(event_id="2", type="add_to_cart", item_id="p2"))
    stream.post(consent(2, True, occurred_at=NOW - MINUTE))
    stream.post(an_event(event_id="3", type="add_to_cart", item_id="p3"))
    stream.catch_up()
    row = stream.committed.values()["user", "u1"]
    assert (row["cart_items"], row["carts_1h"], row["profile_allowed"]) == (["p3"], 1, True)


def test_what_the_device_of_who_said_no_knew_goes_and_what_it_does_then_is_nobodys() -> None:
    stream = Stream()
    device = {"user_id": None, "anonymous_id": "dev-one"}
    stream.post(an_event(event_id="1", item_id="p1", **device))
    stream.post(linked("user-one", "dev-one", NOW, 1))
    stream.catch_up()
    assert stream.committed.values()["user", "user-one"]["recent_items"] == ["p1"]
    stream.post(consent(1, False, user_id="user-one"))
    stream.catch_up()
    row = stream.committed.values()["user", "user-one"]
    assert row == {**NOBODY, "profile_allowed": False}
    assert ("user", "dev-one") not in stream.committed.rows
    stream.post(an_event(event_id="2", item_id="p2", **device))
    stream.post(linked("user-one", "dev-one", NOW, 2))
    stream.catch_up()
    assert stream.committed.values()["user", "user-one"] == {**NOBODY, "profile_allowed": False}


def test_a_no_that_was_said_under_another_id_of_theirs_counts() -> None:
    stream = Stream()
    stream.post(an_event(event_id="1", type="add_to_wishlist", item_id="p1", user_id="new"))
    stream.post(an_event(event_id="2", type="identify", user_id="new", properties={"previous_id": "old"}))
    stream.post(consent(1, False, user_id="old"))
    stream.catch_up()
    assert stream.committed.values()["user", "new"] == {**NOBODY, "profile_allowed": False}
    stream.post(consent(2, True, user_id="old", occurred_at=NOW + MINUTE))
    stream.post(an_event(event_id="3", item_id="p2", user_id="new"))
    stream.catch_up()
    assert stream.committed.values()["user", "new"]["profile_allowed"] is True
