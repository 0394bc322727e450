"""What is told of blocks that many are shown alike is, byte by byte, what is told of each by itself."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from api.alike import Alike, can_tell
from api.answer import Answer, Block, Item
from api.mail_events import served
from dataflows.events import Event, parse
from tests.unit.api.shop import LAYOUTS, Shop

WORDS = st.text(max_size=30) | st.sampled_from([',"layout":', '"user_id":"-"', "%s%d%%", "\\", "é", '"'])
ITEMS = st.builds(
    Item, item_id=WORDS.filter(bool), title=WORDS, url=st.none(), image_url=st.none(),
    price=st.none() | st.floats(-1, 2e9), list_price=st.none(), currency=st.none(), position=st.integers(1, 9),
    reason=WORDS,
)  # fmt: skip
BLOCKS = st.lists(
    st.builds(
        Block,
        block=WORDS,
        title=WORDS,
        source=st.sampled_from(["popular", "static"]),
        items=st.lists(ITEMS, max_size=4).map(tuple),
    ),
    max_size=3,
).map(tuple)
TIMES = st.sampled_from(["2026-05-17T09:30:00Z", "2026-05-17T09:30:00.123Z", "2031-01-01T00:00:00.999Z"])
TELLABLE = st.text("abcdefXYZ019 -_.@%{}:,", min_size=1, max_size=30)


@given(BLOCKS, WORDS, TELLABLE, st.none() | TELLABLE, TIMES, st.sampled_from(["", "once"]))
def test_events_are_the_same_as_if_each_were_made(
    blocks: Any, layout: str, user_id: str, send_id: str | None, at: str, once: str
) -> None:
    first = Answer(layout, "whoever was first", "s0", "2020-01-01T00:00:00Z", None, blocks)
    its = Answer(layout, user_id, send_id, at, None, blocks)
    assert can_tell(user_id)
    assert Alike(first, "v1").told_of(its, once) == [msgspec.json.encode(each) for each in served(its, "v1", once)]


@given(st.text(max_size=250))
def test_an_id_that_can_be_told_is_one_and_stands_in_json_as_it_is(text: str) -> None:
    if not text or not can_tell(text):
        return
    assert msgspec.json.encode(text) == f'"{text}"'.encode()
    raw = b'{"event_id":"e","type":"block_served","occurred_at":1764000000,"user_id":"%s"}' % text.encode()
    assert isinstance(parse(raw, 1_764_000_000_000_000), Event)


def test_control_characters_quotes_and_long_ids_are_not_told_so() -> None:
    for text in ('a"b', "a\\b", "a\x00", "a\x7f", "ä", "x" * 201):
        assert not can_tell(text)


def test_plain_mails_are_told_of_whoever_they_go_to() -> None:
    """Those after the first two are written another way; nothing of it shows."""
    shop, layout = Shop(), LAYOUTS["weekly"]
    asked: list[tuple[str, str | None, tuple[str, ...]]] = [
        ("u1", None, ()), ("u2", "s1", ()), ("u3", "s1", ()), ("u4", None, ()), ('u"5', "s1", ()),
        ("u6", "s1", ("p01",)), ("u7", "s1", ()), ("", None, ()), ("u8", None, ()),
    ]  # fmt: skip
    for user_id, send_id, excluded in asked:
        shop.server.answer_plainly(layout, user_id, send_id, excluded)
    by_user = {user: [each for each in shop.told if each.user_id == user] for user, _, _ in asked if user}
    assert sum(map(len, by_user.values())) == len(shop.told)
    shown = {
        user: [(each.block, each.slot, [line.item_id for line in each.items]) for each in events]
        for user, events in by_user.items()
    }
    assert shown["u1"]
    assert all(blocks == shown["u1"] for user, blocks in shown.items() if user != "u6")
    assert shown["u6"] != shown["u1"]
    assert not any("p01" in items for _, _, items in shown["u6"])
    sends = {user: {each.send_id for each in events} for user, events in by_user.items()}
    assert sends == {user: {send_id} for user, send_id, _ in asked if user}
    assert len({each.event_id for each in shop.told}) == len(shop.told)
