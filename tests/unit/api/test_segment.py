"""Segment's calls: every row of the table, the time by our clock, and that whatever is sent is an event or refused."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.segment import CALLS, Untranslatable, table, translate
from dataflows.events import EVENT_TYPES, KNOWN_KEYS, SECOND, Event, Refused, parse
from tests.given import NASTY, NOW, rfc3339

TRACK: dict[str, Any] = {
    "messageId": "m1",
    "userId": "u1",
    "event": "Product Viewed",
    "timestamp": "2026-05-17T09:00:00Z",
}
AT = 1_779_008_400 * SECOND


def event_of(call: str, **fields: Any) -> Event:
    """The event that the flows will read."""
    read = parse(msgspec.json.encode(translate(call, {**TRACK, **fields}, NOW)), NOW)
    assert isinstance(read, Event), read
    return read


def test_the_table_names_only_what_there_is() -> None:
    rows = table()
    assert set(rows.events.values()) | set(rows.calls.values()) <= set(EVENT_TYPES)
    assert set(rows.fields) <= KNOWN_KEYS
    assert set(rows.calls) | {"track"} == set(CALLS)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("Products Searched", "search"), ("Product Clicked", "click"), ("Product Viewed", "view"),
        ("Product Added", "add_to_cart"), ("Product Removed", "remove_from_cart"), ("Checkout Started", "checkout"),
        ("Order Completed", "purchase"), ("Order Refunded", "refund"), ("Order Cancelled", "refund"),
        ("Product Added to Wishlist", "add_to_wishlist"), ("Product Removed from Wishlist", "remove_from_wishlist"),
        ("Email Delivered", "email_delivered"), ("Email Opened", "email_open"), ("Email Link Clicked", "email_click"),
        ("Email Bounced", "email_bounce"), ("Email Marked as Spam", "email_complaint"),
        ("Unsubscribed", "email_unsubscribe"),
        ("product  viewed", "view"), ("Coupon Applied", "custom"), ("Anything else", "custom"),
    ],
)  # fmt: skip
def test_a_name_has_a_type(name: str, kind: str) -> None:
    event = event_of("track", event=name)
    assert (event.type, event.properties["event"]) == (kind, name)


def test_a_product() -> None:
    said = {"product_id": 7, "price": "16.99", "quantity": 2, "currency": "eur", "category": "Home/Lamps", "brand": "B"}
    event = event_of("track", properties=said, context={"page": {"url": "https://shop.example/7"}})
    assert (event.event_id, event.user_id, event.at) == ("m1", "u1", AT)
    assert (event.item_id, event.price, event.quantity, event.currency) == ("7", 16.99, 2, "EUR")
    assert (event.category, event.url) == ("Home/Lamps", "https://shop.example/7")
    assert event.properties == {
        **said,
        "event": "Product Viewed",
        "context": {"page": {"url": "https://shop.example/7"}},
    }


def test_an_order() -> None:
    products = [{"product_id": "a", "price": 5, "quantity": 2}, {"sku": "b", "price": "1.50"}, {"product_id": "c"}]
    event = event_of("track", event="Order Completed", properties={"order_id": 50, "total": 11.5, "products": products})
    assert [(line.item_id, line.price, line.quantity) for line in event.lines()] == [
        ("a", 5, 2), ("b", 1.5, None), ("c", None, None),
    ]  # fmt: skip
    assert (event.order_id, event.price) == ("50", None)


@pytest.mark.parametrize("name", ["total", "revenue", "value"])
def test_an_order_without_products_is_worth_its_total(name: str) -> None:
    assert event_of("track", event="Order Completed", properties={"order_id": "o", name: "27.5"}).price == 27.5
    assert event_of("track", properties={name: "27.5"}).price is None


def test_identify_links_the_device_and_says_who_it_is() -> None:
    traits = {"firstName": "Ada", "email": "a@b.example", "address": {"country": "FR"}}
    event = event_of("identify", anonymousId="a1", traits=traits, context={"locale": "fr", "timezone": "Europe/Paris"})
    assert (event.type, event.user_id, event.anonymous_id) == ("identify", "u1", "a1")
    assert event.traits == {**traits, "first_name": "Ada", "country": "FR", "locale": "fr", "timezone": "Europe/Paris"}


def test_alias_names_the_id_from_before() -> None:
    event = event_of("alias", previousId="old")
    assert (event.type, event.user_id, event.properties) == ("identify", "u1", {"previous_id": "old"})
    with pytest.raises(Untranslatable, match="previousId"):
        translate("alias", TRACK, NOW)


@pytest.mark.parametrize("call", ["page", "screen"])
def test_a_page_is_no_view_of_a_product(call: str) -> None:
    event = event_of(call, name="Home", properties={"url": "https://shop.example/", "title": "Shop"})
    assert (event.type, event.url) == ("custom", "https://shop.example/")
    assert event.properties == {"event": call, "name": "Home", "url": "https://shop.example/", "title": "Shop"}


def test_what_is_said_of_a_group_is_not_said_of_the_person() -> None:
    event = event_of("group", groupId="g1", traits={"country": "FR"})
    assert (event.type, event.traits) == ("custom", {})
    assert event.properties == {"event": "group", "group_id": "g1", "group": {"country": "FR"}}


@given(st.integers(-(10**9), 10**9), st.integers(0, 10**9))
def test_the_clock_of_the_sender_does_not_matter(wrong: int, ago: int) -> None:
    """`receivedAt - (sentAt - timestamp)`: a clock wrong by any number of seconds gives the same moment."""
    sent = NOW + wrong * SECOND
    times = {"timestamp": rfc3339(sent - ago * SECOND), "sentAt": rfc3339(sent)}
    assert translate("track", {**TRACK, **times}, NOW)["occurred_at"] == NOW - ago * SECOND
    around = translate("track", {**TRACK, "timestamp": times["timestamp"]}, NOW, times["sentAt"])
    assert around["occurred_at"] == NOW - ago * SECOND


def test_without_a_time_it_is_now_and_sent_before_it_happened_is_too() -> None:
    message = {name: value for name, value in TRACK.items() if name != "timestamp"}
    assert translate("track", message, NOW)["occurred_at"] == NOW
    assert translate("track", {**TRACK, "sentAt": "2026-05-17T08:00:00Z"}, NOW)["occurred_at"] == NOW


def test_a_repeated_delivery_without_an_id_has_the_same_one() -> None:
    message = {name: value for name, value in TRACK.items() if name != "messageId"}
    first, again = (
        translate("track", {**message, "sentAt": at}, NOW)["event_id"] for at in (rfc3339(NOW), rfc3339(NOW + 1))
    )
    assert first == again
    assert translate("track", {**message, "event": "Product Clicked"}, NOW)["event_id"] != first
    timeless = {"userId": "u1", "event": "Product Viewed"}
    assert translate("track", timeless, NOW)["event_id"] != translate("track", timeless, NOW)["event_id"]


@pytest.mark.parametrize(
    ("call", "message", "field"),
    [
        ("track", [], ""), ("track", None, ""), ("track", {"userId": "u"}, "event"), ("track", {"event": 7}, "event"),
        ("", {"type": "look"}, "type"), ("", {"type": []}, "type"), ("", {}, "type"),
        ("track", {**TRACK, "timestamp": "yesterday"}, "timestamp"),
        ("track", {**TRACK, "timestamp": 1e300}, "timestamp"),
        ("track", {**TRACK, "timestamp": "2026-05-17T09:00:00"}, "timestamp"),
        ("track", {**TRACK, "sentAt": [1]}, "sentAt"),
    ],
)  # fmt: skip
def test_what_is_no_call_is_refused_by_its_field(call: str, message: Any, field: str) -> None:
    with pytest.raises(Untranslatable) as refused:
        translate(call, message, NOW)
    assert refused.value.field == field


ANY_FIELD = (
    "messageId", "userId", "anonymousId", "event", "type", "name", "previousId", "groupId", "timestamp",
    "originalTimestamp", "sentAt", "context", "traits", "properties",
)  # fmt: skip
ANY_PROPERTY = (
    "product_id", "sku", "quantity", "price", "currency", "order_id", "query", "category", "url", "campaign_id",
    "products", "total",
)  # fmt: skip


@given(
    st.sampled_from(("", *CALLS)),
    st.dictionaries(st.sampled_from(ANY_FIELD), st.sampled_from(NASTY), max_size=5),
    st.dictionaries(st.sampled_from(ANY_PROPERTY), st.one_of(st.sampled_from(NASTY), st.just([{"product_id": []}]))),
)
def test_whatever_is_sent_is_an_event_or_refused(call: str, spoilt: dict[str, Any], said: dict[str, Any]) -> None:
    message = {**TRACK, "type": "track", "previousId": "p", "properties": said, **spoilt}
    try:
        raw = msgspec.json.encode(translate(call, message, NOW))
    except (Untranslatable, ValueError, OverflowError):  # as the routes handle
        return
    assert isinstance(parse(raw, NOW), (Event, Refused))
