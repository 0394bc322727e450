"""A user's state as bytes: what is read goes on as what was stored, and the compact forms lose nothing."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataflows.aggregates.columns import FEW, LITTLE, pack_column, unpack_column
from dataflows.aggregates.identity import Identity, Links, Part
from dataflows.aggregates.packing import (
    UNITS,
    Writer,
    pack_ids,
    pack_times,
    pack_words,
    unpack_ids,
    unpack_times,
    unpack_words,
)
from dataflows.aggregates.people import MOMENTS, PROFILE, User
from dataflows.aggregates.population import Standing
from dataflows.aggregates.recency import Recent
from dataflows.aggregates.sessions import Session
from dataflows.aggregates.stored import MOMENTS as STORED_MOMENTS
from dataflows.aggregates.stored import PROFILE as STORED_PROFILE
from dataflows.events import HOUR, SECOND, Event
from tests.given import FACTS, NOW, TEXTS, an_event, histories, nows, seeds
from tests.unit.dataflows.proofs import fails, for_all, holds
from tests.unit.dataflows.storing import read_again

OVER = ("started_at", "last_at", "begun", "ended")
"""All that is kept of a session that was told to be over."""


def parts_of(user: User) -> Any:
    """All that a state holds, as plain data in which tuples and lists are one."""
    sessions = [
        [getattr(session, name) for name in (OVER if session.ended else Session.__slots__)]
        for session in user.sessions.known
    ]
    return msgspec.msgpack.decode(
        msgspec.msgpack.encode((
            user.offset, user.row_at, user.seen.pack(), user.tiles.pack(), user.orders.entries, user.recent.newest(),
            user.cart.changes, user.cart.updated_at, user.wishes.entries, user.bought.entries, user.last, user.profile,
            user.sessions.settled_at, sessions, user.standing, user.identity and user.identity.pack(),
        )),
        strict=False,
    )  # fmt: skip


@for_all(events=histories(most=40), now=nows(), cut=st.integers(0, 40), seed=seeds())
def goes_on_as_it_was(user: type[User], events: list[Event], now: int, cut: int, seed: int) -> None:
    made = user()
    for event in events[:cut]:
        made.apply(event, FACTS, now)
    if seed % 3:  # a row was read, as before any storing
        values, _ = made.row(now)
        made.sessions.passed(now, values["cart_items"], made.cart.updated_at, HOUR)
        made.row_at = max(made.last.values(), default=0) + 1
    if seed % 5 == 0:
        made.identity = Identity()
        made.identity.links, made.identity.parts = Links([(NOW, "u2")]), {"d1": Part(NOW, [b"x"])}
        made.standing = Standing(20_000, 2, 500)
    made.offset = seed
    before = parts_of(made)
    again = user.unpack(made.pack())
    assert parts_of(again) == before
    for event in events[cut:]:
        assert again.apply(event, FACTS, now) == made.apply(event, FACTS, now)
    assert parts_of(again) == parts_of(made)
    assert again.row(now) == made.row(now)


class ToTheMillisecond(User):
    def pack(self) -> bytes:
        self.last = {name: at // 1000 * 1000 for name, at in self.last.items()}
        return super().pack()


class WithoutOrdersOfItems(User):
    def pack(self) -> bytes:
        for entry in self.bought.entries.values():
            entry[2] = 0
        return super().pack()


class OnlyWhatIsOpen(User):
    """Drops the session that is over."""

    def pack(self) -> bytes:
        self.sessions.known = [session for session in self.sessions.known if not session.ended]
        return super().pack()


def test_a_state_that_is_read_goes_on_as_it_was() -> None:
    holds(goes_on_as_it_was, User)


@pytest.mark.parametrize("mutant", [ToTheMillisecond, WithoutOrdersOfItems, OnlyWhatIsOpen])
def test_a_state_that_loses_something_is_caught(mutant: type[User]) -> None:
    assert fails(goes_on_as_it_was, mutant)


WIDE = st.integers(1, 64).flatmap(
    lambda width: st.lists(st.integers(0, 2**width - 1), max_size=6 * FEW).map(lambda numbers: (width, numbers))
)


@given(WIDE)
def test_a_column_holds_its_numbers(wide: tuple[int, list[int]]) -> None:
    width, numbers = wide
    packed = pack_column(numbers)
    assert unpack_column(packed) == numbers
    if len(numbers) > FEW:
        assert len(packed) <= 2 + len(numbers) * width // 8 + LITTLE // 8


@given(
    st.lists(st.integers(0, 2 * NOW)),
    st.lists(st.integers(0, 2 * NOW)),
    st.data(),
    st.sampled_from((1, 1000, SECOND)),
    st.booleans(),
)
def test_times_are_exact_in_the_unit_that_they_come_in(
    ages: list[int], others: list[int], data: st.DataObject, unit: int, is_ordered: bool
) -> None:
    times, rest = ([2 * NOW - age // unit * unit for age in each] for each in (ages, others))
    again = data.draw(st.lists(st.sampled_from([*times, *rest, NOW // SECOND * SECOND]), max_size=10))
    to = Writer()
    if is_ordered and times:
        times.sort()
        to.ordered, to.again = len(times), []
    to.times += times + rest
    to.again += again
    place, packed = pack_times(to, 2 * NOW)
    assert UNITS[place] >= unit
    source = unpack_times(place, msgspec.msgpack.decode(msgspec.msgpack.encode(packed)), 2 * NOW)
    assert source.times(len(times + rest)) == times + rest
    assert source.again(len(again)) == again


@given(st.lists(TEXTS))
def test_names_are_what_they_were(words: list[str]) -> None:
    assert unpack_words(pack_words(words)) == words


def test_names_that_begin_alike_tell_it_once() -> None:
    assert pack_words(("Home/Kitchen", "Home/Kitchen/Cups", "Home/Office")) == [
        "\0Home/Kitchen",
        "\x0c/Cups",
        "\x05Office",
    ]


NUMBERED = st.builds(
    lambda start, number: f"{start}{number}", st.sampled_from(("", "sku-", "sku-0", "x²", "٣")), st.integers(0, 10**18)
)


@given(st.lists(st.one_of(NUMBERED, TEXTS.filter(bool), st.sampled_from(("0", "00", "007", "7"))), unique=True))
def test_ids_are_what_they_were(ids: list[str]) -> None:
    sent = msgspec.msgpack.decode(msgspec.msgpack.encode(pack_ids(ids)))
    assert unpack_ids(sent) == ids


def test_numbered_ids_take_a_few_bytes_each() -> None:
    assert len(msgspec.msgpack.encode(pack_ids([f"item-{number}" for number in range(300, 330)]))) < 30 * 2 + 20


@given(st.lists(st.one_of(st.none(), st.integers(0, 10**6).map(lambda n: n / 100), st.floats(0, 1e300)), max_size=30))
def test_prices_are_what_they_were(prices: list[float | None]) -> None:
    recent = Recent()
    for number, price in enumerate(prices):
        recent.touch(f"p{number}", NOW - number, price, "Home")
    assert read_again(recent).entries == recent.entries


def test_every_moment_and_trait_has_its_place_in_what_is_stored() -> None:
    assert set(STORED_MOMENTS) == set(MOMENTS)
    assert set(STORED_PROFILE) == set(PROFILE)


def test_a_user_of_one_event_takes_few_bytes() -> None:
    user = User()
    user.apply(an_event(item_id="p1"), FACTS, NOW)
    user.row_at = NOW
    assert len(user.pack()) < 100
