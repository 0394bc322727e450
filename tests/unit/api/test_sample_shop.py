"""The sample shop: its catalogue is whole, its pictures are there, and its shoppers behave like shoppers."""

from __future__ import annotations

import itertools
import re
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable
from datetime import datetime, timedelta, timezone
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageChops, ImageStat

from api.demo import draw
from api.demo.catalogue import PICTURES, item_events, products, rfc3339, shelf
from api.demo.shoppers import OCCASIONS, history

NOW = datetime(2026, 3, 4, 15, 42, 7, 250_000, tzinfo=timezone.utc)
NIGHT = datetime(2026, 3, 4, 2, 5, tzinfo=timezone.utc)
SHOP = "http://127.0.0.1:8000"
IDS = {product.item_id for product in shelf()}
SOLD_OUT = {product.item_id for product in shelf() if not product.in_stock}
MAILS = {"email_delivered", "email_open", "email_click"}
TYPES = MAILS | {
    "view",
    "click",
    "search",
    "add_to_cart",
    "remove_from_cart",
    "add_to_wishlist",
    "checkout",
    "purchase",
    "refund",
    "sign_up",
    "profile",
}

Event = dict[str, Any]


def when(event: Event) -> datetime:
    return datetime.fromisoformat(event["occurred_at"].replace("Z", "+00:00"))


def visits(events: Iterable[Event]) -> list[list[Event]]:
    """What each shopper did in the shop, cut where nothing happened for half an hour."""
    stays: list[list[Event]] = []
    latest: dict[str, list[Event]] = {}
    for event in events:
        if event["type"] in MAILS | {"refund"}:
            continue
        stay = latest.get(event["user_id"])
        if stay is None or when(event) - when(stay[-1]) > timedelta(minutes=30):
            stay = latest[event["user_id"]] = []
            stays.append(stay)
        stay.append(event)
    return stays


@pytest.fixture(scope="module")
def told() -> list[Event]:
    return list(history(NOW))


@pytest.fixture(scope="module")
def stays(told: list[Event]) -> list[list[Event]]:
    return visits(told)


class TestCatalogue:
    def test_holds_120_products_in_10_categories_of_two_levels(self) -> None:
        assert [product.item_id for product in shelf()] == [f"p{number:03d}" for number in range(1, 121)]
        categories = Counter(product.category for product in shelf())
        assert len(categories) == 10
        assert min(categories.values()) >= 11
        assert all(category.count("/") == 1 for category in categories)
        assert len({category.split("/")[0] for category in categories}) < 10, "some share their first level"

    def test_reads_like_a_shop(self) -> None:
        assert len({product.title for product in shelf()}) == 120
        assert 5 <= len({product.brand for product in shelf()}) <= 8
        assert len(SOLD_OUT) == 4
        reduced = [product for product in shelf() if product.list_price is not None]
        assert 20 <= len(reduced) <= 28
        assert all(product.list_price > product.price for product in reduced if product.list_price is not None)

    def test_prices_spread_within_each_category(self) -> None:
        prices = defaultdict(list)
        for product in shelf():
            prices[product.category].append(product.price)
        assert all(max(some) >= 2 * min(some) > 0 for some in prices.values())

    def test_rows_are_the_fields_of_an_item_event(self) -> None:
        required = {
            "item_id",
            "title",
            "url",
            "image_url",
            "price",
            "currency",
            "category",
            "brand",
            "in_stock",
            "added_at",
        }
        for row, product in zip(products(NOW, SHOP + "/"), shelf(), strict=True):
            assert row.keys() - {"list_price"} == required
            assert ("list_price" in row) == (product.list_price is not None)
            assert row["url"] == f"http://127.0.0.1:8000/demo#/p/{product.item_id}"
            assert row["image_url"] == f"http://127.0.0.1:8000/demo/pictures/{product.item_id}.jpg"
            assert row["currency"] == "EUR"

    def test_was_filled_over_the_last_120_days(self) -> None:
        ages = sorted((NOW - when({"occurred_at": row["added_at"]})).days for row in products(NOW, SHOP))
        assert ages[0] <= 3
        assert ages[-1] >= 117
        assert ages == list(range(1, 121)), "a new one every day"

    def test_item_events_have_one_identity_whenever_they_are_sent(self) -> None:
        now, later = list(item_events(NOW, SHOP)), list(item_events(NOW + timedelta(days=2), SHOP))
        assert {event["event_id"] for event in now} == {f"sample-item-{item_id}" for item_id in IDS}
        assert [event["event_id"] for event in now] == [event["event_id"] for event in later]
        assert {event["type"] for event in now} == {"item"}
        assert {event["occurred_at"] for event in now} == {"2026-03-04T15:42:07.250Z"}

    def test_a_moment_without_time_zone_is_refused(self) -> None:
        with pytest.raises(ValueError, match=r"2026-03-04T00:00:00 has no time zone: give one"):
            rfc3339(datetime(2026, 3, 4))  # noqa: DTZ001 - the very mistake

    def test_a_moment_elsewhere_is_told_in_utc(self) -> None:
        east = timezone(timedelta(hours=2))
        assert rfc3339(datetime(2026, 3, 4, 1, 30, tzinfo=east)) == "2026-03-03T23:30:00.000Z"


def jpeg_size(data: bytes) -> tuple[int, int]:
    """Width and height as the file's own frame header tells them."""
    assert data.startswith(b"\xff\xd8\xff"), "starts like a JPEG"
    assert data.endswith(b"\xff\xd9"), "ends like a JPEG"
    place = 2
    while data[place + 1] not in (0xC0, 0xC1, 0xC2):
        place += 2 + int.from_bytes(data[place + 2 : place + 4], "big")
    return int.from_bytes(data[place + 7 : place + 9], "big"), int.from_bytes(data[place + 5 : place + 7], "big")


class TestPictures:
    @pytest.mark.parametrize("item_id", sorted(IDS))
    def test_every_product_has_one(self, item_id: str) -> None:
        data = (PICTURES / f"{item_id}.jpg").read_bytes()
        assert jpeg_size(data) == (480, 480)
        assert 8_000 <= len(data) <= 30_000

    def test_nothing_else_is_there_and_all_differ(self) -> None:
        files = {path.name: path.read_bytes() for path in PICTURES.iterdir()}
        assert files.keys() == {f"{item_id}.jpg" for item_id in IDS}
        assert len(set(files.values())) == 120
        assert sum(map(len, files.values())) < 3_000_000

    def test_every_kind_of_product_can_be_drawn_and_every_drawing_is_used(self) -> None:
        assert draw.DRAWINGS.keys() == {product.kind for product in shelf()}
        assert draw.TINTS.keys() == {product.category for product in shelf()}

    @pytest.mark.parametrize("place", [5, 67, 114])
    def test_drawn_again_they_are_the_same(self, place: int) -> None:
        product = shelf()[place]
        again = draw.picture(product)
        assert again == draw.picture(product)
        # Another version of Pillow may pack the same drawing into other bytes: what is compared is what one sees.
        kept = Image.open(PICTURES / f"{product.item_id}.jpg")
        difference = ImageStat.Stat(ImageChops.difference(Image.open(BytesIO(again)), kept)).mean
        assert max(difference) < 1.5

    def test_drawing_all_leaves_exactly_the_catalogue(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(draw, "shelf", lambda: shelf()[:2])
        (tmp_path / "p999.jpg").write_bytes(b"of a product that is gone")
        assert draw.draw_all(tmp_path) == 2
        assert sorted(path.name for path in tmp_path.iterdir()) == ["p001.jpg", "p002.jpg"]

    def test_too_heavy_a_picture_is_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(draw, "LIMIT", 4_000)
        with pytest.raises(ValueError, match=r"p001 has more than 4000 bytes at quality 72: draw it more simply"):
            draw.picture(shelf()[0])

    def test_the_running_product_needs_no_pillow(self) -> None:
        code = "import sys; sys.modules['PIL'] = None; import api.demo.catalogue, api.demo.shoppers; print('fine')"
        run = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(__file__).parents[3]
        )
        assert (run.stdout.strip(), run.stderr) == ("fine", "")


class TestHistory:
    def test_is_as_long_as_promised(self, told: list[Event]) -> None:
        assert 12_000 <= len(told) <= 20_000
        assert len({event["user_id"] for event in told}) == 400
        assert {event["type"] for event in told} == TYPES

    def test_is_told_the_same_every_time(self, told: list[Event]) -> None:
        assert list(history(NOW)) == told
        assert list(history(NOW, seed=8)) != told

    def test_another_number_of_shoppers_leaves_the_others_as_they_are(self, told: list[Event]) -> None:
        few = history(NOW, shoppers=150)
        assert [event for event in few if event["user_id"] == "sim-0150"] == [
            event for event in told if event["user_id"] == "sim-0150"
        ]

    def test_lies_in_the_past_in_the_order_of_time(self, told: list[Event]) -> None:
        times = [event["occurred_at"] for event in told]
        assert times == sorted(times)
        assert all(re.fullmatch(r"2026-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", time) for time in times)
        assert times[-1] <= rfc3339(NOW)
        assert times[0] >= rfc3339(NOW - timedelta(days=21))
        assert times[0] < rfc3339(NOW - timedelta(days=20))

    def test_says_that_it_is_simulated_and_numbers_each_shopper_s_events(self, told: list[Event]) -> None:
        counts: Counter[str] = Counter()
        for event in told:
            counts[event["user_id"]] += 1
            assert re.fullmatch(r"sim-\d{4}", event["user_id"])
            assert event["event_id"] == f"{event['user_id']}-{counts[event['user_id']]:06d}"

    @pytest.mark.parametrize("now", [NOW, NIGHT])
    def test_goes_on_until_now_even_at_night(self, now: datetime) -> None:
        events = list(history(now))
        recent = [event for event in events if when(event) > now - timedelta(hours=1)]
        assert len(recent) >= 100
        assert {event["user_id"] for event in recent} >= {f"sim-{number:04d}" for number in range(1, 21)}
        assert when(events[-1]) >= now - timedelta(minutes=3)

    def test_follows_the_hours_of_the_day(self, told: list[Event]) -> None:
        hours = Counter(when(event).hour for event in told if event["type"] == "view")
        assert sum(hours[hour] for hour in range(18, 22)) > 6 * sum(hours[hour] for hour in range(1, 5))

    @settings(deadline=None, max_examples=30)
    @given(
        now=st.datetimes(datetime(2020, 1, 1), datetime(2035, 1, 1), timezones=st.just(timezone.utc)),  # noqa: DTZ001
        shoppers=st.integers(1, 8),
        days=st.integers(1, 30),
        seed=st.integers(0, 10**6),
    )
    def test_law_holds_for_any_arguments(self, now: datetime, shoppers: int, days: int, seed: int) -> None:
        """Some events; in order, in the span, up to now; no id twice; no thing the shop does not sell."""
        events = list(history(now, shoppers, days, seed))
        assert now - timedelta(minutes=3, milliseconds=1) <= when(events[-1]) <= now
        assert all(when(one) <= when(next_one) for one, next_one in itertools.pairwise(events))
        assert when(events[0]) >= now - timedelta(days=days, milliseconds=1)
        assert len({event["event_id"] for event in events}) == len(events)
        assert {event["item_id"] for event in events if "item_id" in event} <= IDS

    def test_without_time_zone_or_shoppers_or_days_there_is_none(self) -> None:
        with pytest.raises(ValueError, match="has no time zone: give one"):
            next(history(datetime(2026, 3, 4)))  # noqa: DTZ001 - the very mistake
        for wrong in ({"shoppers": 0}, {"days": 0}):
            with pytest.raises(ValueError, match="needs at least one shopper and one day"):
                next(history(NOW, **wrong))


class TestShoppers:
    def test_buy_exactly_what_is_in_their_cart(self, told: list[Event]) -> None:
        carts: dict[str, dict[str, int]] = defaultdict(dict)
        bought = 0
        for event in told:
            cart = carts[event["user_id"]]
            if event["type"] == "add_to_cart":
                assert event["item_id"] not in SOLD_OUT
                assert (event["quantity"], event["currency"]) in {(1, "EUR"), (2, "EUR")}
                cart[event["item_id"]] = event["quantity"]
            elif event["type"] == "remove_from_cart":
                assert cart.pop(event["item_id"]) == event["quantity"]
            elif event["type"] in {"checkout", "purchase"}:
                assert {line["item_id"]: line["quantity"] for line in event["items"]} == cart
                if event["type"] == "purchase":
                    bought += len(cart)
                    cart.clear()
        assert bought > 300

    def test_look_at_what_is_sold_out_but_cannot_have_it(self, told: list[Event]) -> None:
        assert {event["item_id"] for event in told if event["type"] == "view"} == IDS
        lines = [line for event in told for line in event.get("items", ())]
        assert {line["item_id"] for line in lines} <= IDS - SOLD_OUT
        prices = {product.item_id: product.price for product in shelf()}
        assert all(line["price"] == prices[line["item_id"]] for line in lines)

    def test_give_back_only_what_they_bought(self, told: list[Event]) -> None:
        orders: dict[str, list[Event]] = {}
        refunds = 0
        for event in told:
            if event["type"] == "purchase":
                assert event["order_id"] not in orders
                orders[event["order_id"]] = event["items"]
            if event["type"] == "refund":
                refunds += 1
                assert event["items"][0] in orders[event["order_id"]]
        assert 5 <= refunds <= len(orders) / 5

    def test_leave_about_two_carts_of_three(self, stays: list[list[Event]]) -> None:
        filled = [{event["type"] for event in stay} for stay in stays if any(e["type"] == "add_to_cart" for e in stay)]
        left = sum("purchase" not in types for types in filled)
        assert 0.55 < left / len(filled) < 0.75

    def test_keep_to_their_tastes(self, told: list[Event]) -> None:
        category = {product.item_id: product.category for product in shelf()}
        views = defaultdict(Counter)
        for event in told:
            if event["type"] == "view":
                views[event["user_id"]][category[event["item_id"]]] += 1
        of_some = [counts for counts in views.values() if counts.total() >= 20]
        share = sum(sum(n for _, n in counts.most_common(3)) for counts in of_some) / sum(c.total() for c in of_some)
        assert len(of_some) > 100
        assert share > 0.6, "three of ten categories hold most of what one looks at"

    def test_run_after_bestsellers(self, told: list[Event]) -> None:
        views = Counter(event["item_id"] for event in told if event["type"] == "view")
        assert sum(count for _, count in views.most_common(12)) > 0.22 * views.total()

    def test_look_at_things_that_go_together(self, stays: list[list[Event]]) -> None:
        kind = {product.item_id: product.kind for product in shelf()}
        pairs = {pair for row in OCCASIONS for pair in itertools.permutations(row, 2)}
        steps, shuffled = [], []
        seen = [[kind[event["item_id"]] for event in stay if event["type"] == "view"] for stay in stays]
        for stay in seen:
            steps += itertools.pairwise(stay)
        everything = list(itertools.chain.from_iterable(seen))
        shuffled = list(zip(everything, everything[len(everything) // 2 :], strict=False))
        together = sum(step in pairs for step in steps) / len(steps)
        by_chance = sum(step in pairs for step in shuffled) / len(shuffled)
        assert together > 5 * by_chance

    def test_kinds_that_go_together_are_sold(self) -> None:
        assert {kind for row in OCCASIONS for kind in row} == {product.kind for product in shelf()}

    def test_come_from_six_countries_most_from_the_first(self, told: list[Event]) -> None:
        home = {event["user_id"]: event["country"] for event in told if "country" in event}
        ranked = Counter(home.values()).most_common()
        assert {country for country, _ in ranked} == {"FR", "DE", "NL", "BE", "ES", "IE"}
        assert ranked[0][0] == "FR"
        assert ranked[0][1] > 4 * ranked[-1][1]
        assert all(event["country"] == home[event["user_id"]] for event in told if "country" in event)
        assert {event["device"] for event in told if "device" in event} == {"mobile", "desktop", "tablet"}

    def test_introduce_themselves_once_and_first(self, told: list[Event]) -> None:
        met: set[str] = set()
        for event in told:
            if event["user_id"] not in met:
                assert event["type"] in {"sign_up", "profile"}
                assert event["traits"].keys() == {"first_name", "country"}
                met.add(event["user_id"])
            else:
                assert event["type"] not in {"sign_up", "profile"}

    def test_open_only_delivered_mails_and_click_only_opened_ones(self, told: list[Event]) -> None:
        reached: dict[str, set[tuple[str, str, str]]] = defaultdict(set)
        before = {"email_open": "email_delivered", "email_click": "email_open"}
        for event in told:
            if event["type"] in MAILS:
                mail = (event["user_id"], event["campaign_id"], event["send_id"])
                assert mail not in reached[event["type"]], "a send is one mail to one person"
                if event["type"] in before:
                    assert mail in reached[before[event["type"]]]
                reached[event["type"]].add(mail)
        sizes = [len(reached[name]) for name in ("email_delivered", "email_open", "email_click")]
        assert sizes == sorted(sizes, reverse=True)
        assert sizes[-1] > 50
        assert {campaign for _, campaign, _ in reached["email_delivered"]} == {
            "weekly-1",
            "weekly-2",
            "weekly-3",
            "abandoned-cart",
        }

    def test_search_for_what_the_shop_has(self, told: list[Event]) -> None:
        queries = Counter(event["query"] for event in told if event["type"] == "search")
        assert queries.keys() <= {product.kind.replace("_", " ") for product in shelf()}
        assert len(queries) > 30
