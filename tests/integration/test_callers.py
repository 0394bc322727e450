"""Each e-mail tool as it is known to call, against the real service over HTTP: what it sends, repeats and refuses."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from email.utils import parsedate_to_datetime
from typing import Any
from xml.etree import ElementTree as ET

import httpx
import pytest

from api.demo.embedded import free_port
from dataflows.transaction import Transaction
from feature_repo.layout import ITEM, SCOPE, USER
from tests.integration.stand import Stand

pytestmark = pytest.mark.integration

KEY = {"X-Api-Key": "k"}
BRAZE = {"Content-Type": "application/json", "Accept": "*/*", "User-Agent": "Braze Sender abc", **KEY}
ITEMS = [f"p{number:02}" for number in range(20)]
MEDIA = "{http://search.yahoo.com/mrss/}content"
FULL = "{http://purl.org/rss/1.0/modules/content/}encoded"


@pytest.fixture(scope="module")
def stand() -> Iterator[Stand]:
    """Redis with a small shop in it, and nobody who changes it."""
    with Stand({"INLAY_API_KEYS": "k", "INLAY_DEADLINE": "2"}) as stand:
        stock(stand)
        yield stand


@pytest.fixture(scope="module")
def url(stand: Stand) -> str:
    return stand.start_api()


@pytest.fixture
def tool(url: str) -> Iterator[httpx.Client]:
    """A client that follows no redirect. How long answers take is measured in the benchmarks, not here."""
    with httpx.Client(base_url=url, timeout=30, follow_redirects=False) as client:
        yield client


def stock(stand: Stand) -> None:
    at = time.time_ns() // 1000
    transaction = Transaction(stand.client)
    for item_id in ITEMS:
        row = {
            "title": f"Thing {item_id}", "url": f"https://shop.example/{item_id}", "currency": "EUR", "price": 9.5,
            "image_url": f"https://shop.example/{item_id}.png", "in_stock": True,
        }  # fmt: skip
        transaction.add_packed(ITEM.hset(item_id, row, at))
    popular = {"items": ITEMS[10:], "scores": [1.0] * 10, "bestsellers": ITEMS[12:], "bestseller_purchases": [1] * 8}
    transaction.add_packed(SCOPE.hset("all", popular, at))
    for user_id in ("anna", "bé/n &"):
        row = {"recent_items": ITEMS[:3], "cart_items": ITEMS[3:4], "views_1h": 1}
        transaction.add_packed(USER.hset(user_id, row, at))
    transaction.execute(["nobody guards this"], None)


class TestBraze:
    """GET with the user in the address, JSON headers, under two seconds, again and again; text where it is not JSON."""

    def get(self, tool: httpx.Client, **query: str) -> httpx.Response:
        answer = tool.get("/v1/blocks/weekly", params={"user_id": "bé/n &", **query}, headers=BRAZE)
        assert answer.status_code == 200, answer.text
        assert len(answer.content) < 1_000_000
        return answer

    def test_an_object_on_top(self, tool: httpx.Client) -> None:
        mail = self.get(tool).json()
        assert isinstance(mail, dict)
        assert [item["item_id"] for item in mail["blocks"][0]["items"]] == ITEMS[:3]

    def test_all_parts_of_a_mail_agree_however_often_and_at_once_they_are_asked_for(self, tool: httpx.Client) -> None:
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda _: self.get(tool, send_id="braze-1").json(), range(24)))
        assert len({json.dumps(answer["blocks"]) for answer in answers}) == 1
        shown = [item["title"] for block in answers[0]["blocks"] for item in block["items"]]
        html, text = (self.get(tool, send_id="braze-1", format=name).text for name in ("html", "text"))
        assert all(title in html and title in text for title in shown)
        assert not html.lstrip().startswith(("{", "["))

    def test_what_it_may_keep_by_its_address(self, tool: httpx.Client) -> None:
        assert self.get(tool, send_id="braze-2").headers["cache-control"] == "private, max-age=300"
        assert self.get(tool).headers["cache-control"] == "no-store"


class TestIterable:
    """GET alone, an object on top, a static token in a header."""

    def test_a_data_feed(self, tool: httpx.Client) -> None:
        answer = tool.get("/v1/blocks/weekly?user_id=anna&send_id=4711", headers={"Authorization": "Bearer k"})
        assert isinstance(answer.json(), dict)
        assert answer.headers["content-type"] == "application/json"

    def test_an_address_that_is_nearly_right_is_told_to_be_wrong_and_not_sent_elsewhere(
        self, tool: httpx.Client
    ) -> None:
        for path in ("/v1/blocks/weekly/?user_id=anna", "/v1/feeds/weekly.json/"):
            answer = tool.get(path, headers=KEY)
            assert (answer.status_code, "location" in answer.headers) == (404, False)

    def test_somebody_unknown_and_an_empty_merge_field(self, tool: httpx.Client) -> None:
        assert tool.get("/v1/blocks/weekly?user_id=stranger&send_id=", headers=KEY).json()["blocks"]
        nobody = tool.get("/v1/blocks/weekly?user_id=&send_id=s", headers=KEY)
        assert (nobody.status_code, nobody.headers["cache-control"]) == (200, "no-store")
        assert any(block["items"] for block in nobody.json()["blocks"])
        assert tool.get("/v1/blocks/weekly", headers=KEY).status_code == 422


class TestCustomerIo:
    """An answer that becomes attributes; a collection of rows of 10 KB at most."""

    def test_rows_of_a_collection(self, tool: httpx.Client) -> None:
        rows = tool.get("/v1/feeds/weekly.json").json()["items"]
        assert rows
        assert max(len(json.dumps(row)) for row in rows) < 10_000

    def test_a_workflow_that_asks(self, tool: httpx.Client) -> None:
        assert (
            tool.get("/v1/blocks/abandoned_cart?user_id=anna", headers=KEY).json()["blocks"][0]["source"] == "personal"
        )


class TestHtml:
    """A program that puts a fragment into a mail."""

    def test_a_fragment_and_its_text(self, tool: httpx.Client) -> None:
        html, text = (
            tool.get(f"/v1/blocks/weekly?user_id=anna&send_id=spring-7&format={name}", headers=KEY)
            for name in ("html", "text")
        )
        assert html.text.isascii()
        assert html.headers["content-type"].startswith("text/html")
        assert "<html" not in html.text
        assert "Thing p00" in html.text
        assert "Thing p00" in text.text


class TestMailchimp:
    """No key; is it there?; valid RSS with a picture an item; fetched again."""

    PATH = "/v1/feeds/weekly.rss"

    def test_it_is_there(self, tool: httpx.Client) -> None:
        head, got = tool.head(self.PATH), tool.get(self.PATH)
        assert (head.status_code, got.status_code, head.content) == (200, 200, b"")
        assert head.headers["content-length"] == got.headers["content-length"] == str(len(got.content))

    def test_its_items_have_what_the_merge_tags_ask_for(self, tool: httpx.Client) -> None:
        items = ET.fromstring(tool.get(self.PATH).content).findall("channel/item")  # noqa: S314  # our own
        assert items
        for item in items:
            assert item.findtext("link", "").startswith("https://")
            assert parsedate_to_datetime(item.findtext("pubDate", "")).tzinfo is not None
            picture = item.find(MEDIA)
            assert picture is not None
            assert (picture.get("medium"), picture.get("type")) == ("image", "image/png")
            assert all(item.findtext(name) for name in ("title", "guid", "description", FULL))

    def test_fetched_again_it_is_not_sent_again(self, tool: httpx.Client) -> None:
        first = tool.get(self.PATH)
        for name, value in (("If-None-Match", "etag"), ("If-Modified-Since", "last-modified")):
            again = tool.get(self.PATH, headers={name: first.headers[value]})
            assert (again.status_code, again.content) == (304, b"")


class TestKlaviyo:
    """No key, no redirect, JSON below 3.3 MB, within five seconds."""

    def test_a_web_feed(self, tool: httpx.Client) -> None:
        answer = tool.get("/v1/feeds/weekly.json", params={"country": "FR", "locale": "fr"})
        assert (answer.status_code, answer.history) == (200, [])
        assert len(answer.content) < 3_300_000
        assert {item["item_id"] for item in answer.json()["items"]} <= set(ITEMS)


class TestPushers:
    """Who fetches and posts on."""

    def test_a_batch_is_what_each_is_answered_alone(self, tool: httpx.Client) -> None:
        people = ["anna", "stranger", "bé/n &", "anna"]
        body = {"user_ids": people, "send_id": "batch-1"}
        answer = tool.post("/v1/blocks/weekly/batch", headers=KEY, json=body)
        lines = [json.loads(line) for line in answer.text.splitlines()]
        assert [line["user_id"] for line in lines] == people
        for user_id, line in zip(people, lines, strict=True):
            query = {"user_id": user_id, "send_id": "batch-1"}
            assert tool.get("/v1/blocks/weekly", params=query, headers=KEY).json()["blocks"] == line["blocks"]

    def test_personalizations_as_sendgrid_takes_them(self, tool: httpx.Client) -> None:
        people = [{"user_id": "anna", "email": f"a{number}@shop.example"} for number in range(1000)]
        body = {"recipients": people, "send_id": "sg-1"}
        told: list[dict[str, Any]] = tool.post("/v1/blocks/weekly/sendgrid", headers=KEY, json=body, timeout=60).json()[
            "personalizations"
        ]
        assert [each["to"] for each in told] == [[{"email": person["email"]}] for person in people]
        assert all(sum(map(len, each["custom_args"].values())) < 10_000 for each in told)
        assert {type(value) for value in told[0]["custom_args"].values()} == {str}
        assert len(json.dumps({"personalizations": told})) < 20_000_000

    def test_who_hangs_up_in_the_middle_leaves_a_service_that_answers(self, tool: httpx.Client) -> None:
        body = {"user_ids": [f"m{number}" for number in range(10_000)]}
        for _ in range(20):  # more than may be on their way at once
            with tool.stream("POST", "/v1/blocks/weekly/batch", headers=KEY, json=body) as answer:
                assert answer.status_code == 200
                next(answer.iter_raw())
        assert tool.get("/health/live").status_code == 200


def test_none_of_them_is_turned_away_while_redis_is_gone(stand: Stand) -> None:
    """Started with a Redis that is not there: 200 for a mail, a feed and a batch, and no 429 or 503."""
    port = free_port()
    gone = {"INLAY_REDIS_URL": f"redis://127.0.0.1:{free_port()}/0"}
    stand._spawn("an API without Redis", sys.executable, "-m", "api", "--port", port, more=gone)
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as tool:
        stand._wait("the API to listen", 120, lambda: _listens(tool))
        statuses = [
            tool.get("/v1/blocks/weekly?user_id=anna&send_id=s", headers=KEY).status_code,
            tool.get("/v1/feeds/weekly.rss").status_code,
            tool.get("/v1/feeds/weekly.json").status_code,
            tool.post("/v1/blocks/weekly/batch", headers=KEY, json={"user_ids": ["anna"]}).status_code,
        ]
    assert statuses == [200] * 4


def _listens(tool: httpx.Client) -> bool:
    try:
        return tool.get("/health/live").status_code == 200
    except httpx.TransportError:
        return False
