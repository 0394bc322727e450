"""Feeds: right for whoever fetches them, the same while nothing changes, and there while the store is not."""

from __future__ import annotations

from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import Any
from xml.etree import ElementTree as ET

import httpx
import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from api.answer import Block
from api.blocks import KINDS
from api.feed import MOST_ITEMS, entries_of, feed_json, feed_rss
from api.feeds import AGAIN, FRESH, MOST_FEEDS
from api.known import CatalogueRow, ScopeFeatures
from api.plans import BlockPlan, Layout
from api.shelf import FRESH as SHELF_FRESH
from tests.unit.api.mails import answer, block, item
from tests.unit.api.shop import CATALOGUE, ITEMS, LAYOUTS, Shop
from tests.unit.api.test_render import texts

RSS, JSON = "/v1/feeds/weekly.rss", "/v1/feeds/weekly.json"
NAMES = {"content": "http://purl.org/rss/1.0/modules/content/", "media": "http://search.yahoo.com/mrss/"}
TODAY = datetime(2026, 5, 17, tzinfo=timezone.utc)
KLAVIYO = 3_300_000


@pytest.fixture
def shop() -> Shop:
    return Shop()


def channel_of(body: bytes) -> ET.Element:
    channel = ET.fromstring(body).find("channel")  # noqa: S314  # our own
    assert channel is not None
    return channel


class TestRss:
    """What Mailchimp reads."""

    def test_an_item_has_all_that_its_tags_ask_for(self, shop: Shop) -> None:
        shop.store.rows["p00"] = replace(CATALOGUE["p00"], list_price=12.0, image_url="https://shop.example/a.png?v=1")
        fetched = shop.get(RSS)
        assert (fetched.status_code, fetched.headers["content-type"]) == (200, "application/rss+xml")
        channel = channel_of(fetched.content)
        assert [channel.findtext(name) for name in ("title", "link", "language")] == [
            "Worth a look", "https://shop.example/", "en",
        ]  # fmt: skip
        first = channel.findall("item")[0]
        said = {name: first.findtext(name) for name in ("title", "link", "guid", "description")}
        assert said == {
            "title": "Thing p00", "link": "https://shop.example/p00", "guid": "p00",
            "description": "€9.50 · trending now",
        }  # fmt: skip
        assert first.find("guid").attrib == {"isPermaLink": "false"}  # type: ignore[union-attr]
        assert first.findtext("pubDate") == "Sun, 17 May 2026 00:00:00 GMT"
        assert first.find("media:content", NAMES).attrib == {  # type: ignore[union-attr]
            "url": "https://shop.example/a.png?v=1", "medium": "image", "type": "image/png",
        }  # fmt: skip
        html = first.findtext("content:encoded", "", NAMES)
        assert 'width="600"' in html
        assert "max-width:600px;height:auto" in html
        assert "<s>€12.00</s>" in html
        assert b"<![CDATA[" in fetched.content

    def test_what_it_holds_is_what_a_stranger_is_shown(self, shop: Shop) -> None:
        shown = [each["item_id"] for part in shop.mail(user_id="nobody")["blocks"] for each in part["items"]]
        assert [each.findtext("guid") for each in channel_of(shop.get(RSS).content).findall("item")] == shown
        assert [each["item_id"] for each in shop.get(JSON).json()["items"]] == shown

    def test_an_item_appeared_at_the_moment_its_block_is_about(self) -> None:
        rows = {"a": CatalogueRow(added_at=1_700_000_123), "b": CatalogueRow()}
        fresh = Block("new_arrivals", "New", "popular", (item(item_id="a"), item(item_id="b")))
        popular = Block("trending", "Hot", "popular", (item(item_id="a"),))
        at = int(TODAY.timestamp())
        dates = [entry.at for entry in entries_of(answer(fresh, popular), rows, at + 3600)]
        assert dates == [1_700_000_123, at, at]

    def test_every_moment_of_a_kind_is_one_of_an_item(self) -> None:
        moments = {kind.moment for kind in KINDS.values() if kind.moment}
        assert moments == {"added_at", "price_dropped_at", "restocked_at"} <= set(CatalogueRow.__struct_fields__)


class TestJson:
    """What Klaviyo reads."""

    def test_one_object_with_the_items_and_the_blocks(self, shop: Shop) -> None:
        feed = shop.get(JSON).json()
        assert [feed[name] for name in ("layout", "title", "locale")] == ["weekly", "Worth a look", "en"]
        assert feed["items"] == [each for part in feed["blocks"] for each in part["items"]]
        assert feed["items"][0] == {
            "item_id": "p00", "block": "recently_viewed", "title": "Thing p00", "url": "https://shop.example/p00",
            "image_url": "https://shop.example/p00.jpg", "price": 9.5, "list_price": None, "currency": "EUR",
            "price_text": "€9.50", "list_price_text": "", "reason": "trending now",
            "published_at": "2026-05-17T00:00:00Z",
        }  # fmt: skip

    def test_the_largest_layout_there_can_be_is_not_too_large(self) -> None:
        worst = item(
            title="備" * 500,
            reason="&" * 500,
            url="https://a.example/" + "{" * 680,
            image_url="https://a.example/" + "a" * 2030,
        )
        feed = answer(*[block("trending", *[worst] * 30)] * 10)
        entries = entries_of(feed, {}, 0)
        assert len(entries) == MOST_ITEMS
        assert max(len(feed_json(feed, entries)), len(feed_rss(feed, entries))) < KLAVIYO


@given(texts, texts, texts, st.sampled_from(["en", "ar"]))
def test_no_text_leaves_its_place(title: str, reason: str, item_id: str, locale: str) -> None:
    def drawn(*words: str) -> list[Any]:
        said = item(title=words[0], reason=words[1], item_id=words[2])
        feed = replace(answer(block("trending", said), title_of(words[0])), locale=locale)
        channel = channel_of(feed_rss(feed, entries_of(feed, {}, 0)))
        plain = [each.text or "" for name in ("title", "description") for each in channel.iter(name)]
        assert not any(sign in text for text in plain for sign in "<>"), "a tool may set it into HTML as it stands"
        inside = [ET.fromstring(f"<i>{_closed(html)}</i>") for html in _contents(channel)]  # noqa: S314
        return [[element.tag for element in root.iter()] for root in (channel, *inside)]

    assert drawn(title, reason, item_id) == drawn("b", "b", "b")


def title_of(words: str) -> Block:
    return block("trending", item(), title=words)


def _contents(channel: ET.Element) -> list[str]:
    return [each.findtext("content:encoded", "", NAMES) for each in channel.findall("item")]


def _closed(html: str) -> str:
    """The HTML as XML: a picture closed."""
    return html.replace('border:0">', 'border:0"/>')


class TestPublic:
    """Who may fetch a feed."""

    def test_those_who_ship_with_the_product(self) -> None:
        assert {name for name, layout in LAYOUTS.items() if layout.public} == {"weekly", "welcome"}

    @pytest.mark.parametrize("form", ["rss", "json"])
    def test_a_layout_that_is_not_public_wants_a_key(self, shop: Shop, form: str) -> None:
        path = f"/v1/feeds/abandoned_cart.{form}"
        assert shop.get(path).status_code == 401
        assert shop.visit(lambda client: client.get(path, headers={"X-Api-Key": "x"})).status_code == 401
        fetched = shop.visit(lambda client: client.get(path, headers={"X-Api-Key": "k"}))
        assert (fetched.status_code, fetched.headers["cache-control"]) == (200, "private, max-age=60")

    def test_what_layouts_there_are_is_told_to_nobody_without_a_key(self, shop: Shop) -> None:
        assert shop.get("/v1/feeds/monthly.rss").status_code == 401
        known = shop.visit(lambda client: client.get("/v1/feeds/monthly.rss", headers={"X-Api-Key": "k"}))
        assert known.status_code == 404
        assert shop.get("/v1/feeds/weekly.xml").status_code == 404


class TestAgain:
    """Who fetches a feed again gets it if it changed, and no more than word that it did not."""

    def again(self, shop: Shop, **headers: str) -> httpx.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return shop.visit(lambda client: client.get(RSS, headers=named))

    def test_by_its_tag_or_by_its_time(self, shop: Shop) -> None:
        first = shop.get(RSS)
        tag, at = first.headers["etag"], first.headers["last-modified"]
        assert parsedate_to_datetime(at) == datetime(2026, 5, 17, 9, 30, tzinfo=timezone.utc)
        for has in (
            {"if_none_match": tag}, {"if_none_match": f'"x", W/{tag}'}, {"if_none_match": "*"},
            {"if_modified_since": at}, {"if_modified_since": "Mon, 18 May 2026 00:00:00 GMT"},
        ):  # fmt: skip
            known = self.again(shop, **has)
            assert (known.status_code, known.content, known.headers["etag"]) == (304, b"", tag)
        for has_not in (
            {"if_none_match": '"x"'}, {"if_none_match": '"x"', "if_modified_since": at},
            {"if_modified_since": "Sun, 17 May 2026 09:29:59 GMT"}, {"if_modified_since": "yesterday"},
        ):  # fmt: skip
            assert self.again(shop, **has_not).status_code == 200

    def test_the_head_of_it_alone(self, shop: Shop) -> None:
        got, head = shop.get(RSS), shop.visit(lambda client: client.head(RSS))
        assert (head.status_code, head.headers) == (200, got.headers)

    def test_it_is_made_once_a_minute(self, shop: Shop) -> None:
        shop.get(RSS)
        shop.store.asked.clear()
        for path in (RSS, JSON, RSS):
            shop.get(path)
        assert shop.store.asked == []
        shop.clock += FRESH
        shop.get(RSS)
        assert "scopes" in shop.store.asked

    def test_one_that_did_not_change_keeps_its_time_and_one_that_did_has_a_new_one(self, shop: Shop) -> None:
        first = shop.get(RSS).headers
        shop.clock, shop.later = shop.clock + FRESH, 7
        assert shop.get(RSS).headers == first
        shop.store.rows["p00"] = replace(CATALOGUE["p00"], price=8.0)
        shop.clock += FRESH
        changed = shop.get(RSS).headers
        assert changed["etag"] != first["etag"]
        assert changed["last-modified"] == "Sun, 17 May 2026 09:30:07 GMT"

    def test_another_process_says_the_same_of_the_same(self, shop: Shop) -> None:
        other = Shop()
        other.later = 1000
        for path in (RSS, JSON):
            assert shop.get(path).headers["etag"] == other.get(path).headers["etag"]


class TestAskedFor:
    """A country, a category, a language."""

    def test_each_has_what_is_popular_there_in_its_words(self, shop: Shop) -> None:
        shop.store.popular["country:FR"] = ScopeFeatures(ITEMS[12:14], ITEMS[12:14])
        shop.store.popular["category:A/B"] = ScopeFeatures(ITEMS[15:17], ITEMS[15:17])
        welcome = "/v1/feeds/welcome.json"
        french = shop.get(welcome, country="fr").json()["items"]
        liked = shop.get(welcome, category="A/B", locale="de").json()
        assert [each["item_id"] for each in french[:2]] == ["p12", "p13"]
        assert [each["item_id"] for each in liked["items"][:2]] == ["p15", "p16"]
        assert (liked["locale"], liked["title"]) == ("de", "Unsere Bestseller")
        assert liked["items"][0]["price_text"].replace("\xa0", " ") == "9,50 €"

    @pytest.mark.parametrize("query", [{}, {"country": "", "category": "", "locale": ""}])
    def test_nothing_asked_for_is_nothing(self, shop: Shop, query: dict[str, str]) -> None:
        assert shop.get(RSS, **query).headers["etag"] == shop.get(RSS).headers["etag"]

    @pytest.mark.parametrize(
        "query",
        [{"country": "XX1"}, {"country": "ZZ9"}, {"country": "%%"}, {"locale": "nope"}, {"category": "a" * 201}],
    )
    def test_what_there_is_not_is_said(self, shop: Shop, query: dict[str, str]) -> None:
        refused = shop.get(RSS, **query)
        assert (refused.status_code, refused.headers["content-type"]) == (422, "application/problem+json")

    def test_however_many_are_asked_for_so_many_are_kept(self, shop: Shop) -> None:
        for number in range(MOST_FEEDS + 1):
            shop.get(JSON, category=f"c{number}")
        shop.clock += SHELF_FRESH + 0.1  # so that what is made now is read
        shop.store.asked.clear()
        shop.get(JSON, category=f"c{MOST_FEEDS}")
        assert shop.store.asked == []
        shop.get(JSON, category="c0")
        assert shop.store.asked


class TestDegraded:
    """Without the online store there is a feed all the same."""

    @pytest.mark.parametrize("failure", [redis.ConnectionError("refused"), OSError("gone"), None], ids=repr)
    def test_what_was_made_last_stays(self, failure: Exception | None) -> None:
        shop = Shop(deadline=30 if failure else 0.001)
        first = shop.get(RSS)
        shop.store.failing["catalogue"] = failure
        shop.store.rows["p00"] = replace(CATALOGUE["p00"], price=8.0)
        shop.clock += FRESH
        assert (shop.get(RSS).content, shop.get(RSS).headers) == (first.content, first.headers)
        del shop.store.failing["catalogue"]
        shop.clock += AGAIN
        assert shop.get(RSS).content != first.content

    def test_the_first_one_is_of_what_the_process_remembers(self, shop: Shop) -> None:
        shop.store.failing["scopes"] = redis.ConnectionError("refused")
        feed = shop.get(JSON).json()
        assert {part["source"] for part in feed["blocks"] if part["items"]} == {"static"}
        assert feed["items"][0]["item_id"] == "p02"

    def test_of_nothing_it_is_empty_and_still_a_feed(self) -> None:
        shop = Shop(snapshot=False)
        shop.store.failing["scopes"] = redis.ConnectionError("refused")
        channel = channel_of(shop.get(RSS).content)
        assert (channel.findtext("title"), channel.findall("item")) == ("weekly", [])
        assert shop.get(JSON).json()["items"] == []

    def test_an_item_without_a_link_is_in_no_rss(self) -> None:
        story = Layout("mine", (BlockPlan("trending", "Hot"),), public=True)
        feed = answer(block("trending", item(url=None), item()))
        assert story.public
        assert len(channel_of(feed_rss(feed, entries_of(feed, {}, 0))).findall("item")) == 1
