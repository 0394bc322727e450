"""Many users in one request: a line each, in order, equal to what each alone is answered; and nothing breaks it."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Collection
from typing import Any

import pytest
import redis
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from api import batch, resolve
from api.batch import READ_AT_ONCE
from api.breaker import FAILURES
from api.bulk import LINES_AT_ONCE, MOST_BATCHES, MOST_BYTES, MOST_USERS
from api.known import Known, ScopeFeatures, UserFeatures
from api.personalizations import MOST_RECIPIENTS
from api.plans import BlockPlan, FrequencyCap, Layout
from tests.unit.api.shop import CATALOGUE, ITEMS, LAYOUTS, SHOPPER, Shop, counted, items, sources

BATCH = "/v1/blocks/weekly/batch"
SENDGRID = "/v1/blocks/weekly/sendgrid"


@pytest.fixture
def shop() -> Shop:
    return Shop()


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for a store that fails, but where a test says so."""
    monkeypatch.setattr(batch, "PATIENCE", 0.0)


class TestLines:
    """What a batch answers while all is well."""

    def test_a_line_a_user_in_order_and_twice_for_one_who_is_there_twice(self, shop: Shop) -> None:
        asked = ["nobody", "u1", "é ☃", "u1", *(f"m{number}" for number in range(2 * READ_AT_ONCE))]
        lines = shop.lines(asked, send_id="s1")
        assert [line["user_id"] for line in lines] == asked
        assert lines[1] == lines[3] == shop.mail(send_id="s1")
        assert {line["send_id"] for line in lines} == {"s1"}

    def test_what_all_need_is_read_once_and_the_users_in_chunks(self, shop: Shop) -> None:
        shop.store.asked.clear()
        shop.store.keys.clear()
        shop.lines(["u1", *(f"m{number}" for number in range(3 * READ_AT_ONCE - 1))])
        assert shop.store.asked.count("user") == 3
        assert {"scopes all", "neighbours p05", "catalogue p15"} <= set(shop.store.keys)
        assert len(shop.store.keys) == len(set(shop.store.keys))

    @pytest.mark.parametrize("format_", ["html", "text"])
    def test_the_formats(self, shop: Shop, format_: str) -> None:
        alone = shop.get("/v1/blocks/weekly", user_id="u1", format=format_).text
        whose = {"layout": "weekly", "user_id": "u1", "send_id": None}
        assert shop.lines(["u1"], format=format_) == [{**whose, format_: alone}]

    def test_blocks_are_counted_by_kind_and_source(self, shop: Shop) -> None:
        labels = {"block": "recently_viewed", "source": "personal"}
        before = counted("inlay_blocks_total", **labels)
        shop.lines(["u1", "nobody", "u1"])
        assert counted("inlay_blocks_total", **labels) == before + 1
        shop.store.failing["user"] = redis.ConnectionError("refused")
        labels["source"] = "static"
        before = counted("inlay_blocks_total", **labels)
        shop.lines(["u1", "u2"])
        assert counted("inlay_blocks_total", **labels) == before + 2

    def test_what_the_caller_leaves_out(self, shop: Shop) -> None:
        shown = {item_id for row in items(shop.lines(["u1"], exclude=["p05", "p15"])[0]) for item_id in row}
        assert not shown & {"p05", "p15"}

    def test_what_went_into_the_mails_counts_for_the_next_ones(self) -> None:
        capped = {"mine": Layout("mine", (BlockPlan("trending", "Hot", count=2, frequency_cap=FrequencyCap(1, 7)),))}
        shop = Shop(capped)
        first = shop.lines(["u1", "nobody"], "mine", send_id="s1")
        assert shop.lines(["u1", "nobody"], "mine", send_id="s1") == first
        assert items(first[0]) == [["p01", "p02"]]
        assert items(shop.mail("mine", send_id="s2")) == [["p03", "p04"]]

    def test_it_is_not_to_be_cached(self, shop: Shop) -> None:
        assert shop.post(BATCH, {"user_ids": ["u1"]}).headers["cache-control"] == "no-store"


CATEGORIES = ["A", "B", "C", "D", "E"]
users = st.builds(
    UserFeatures,
    recent_items=st.lists(st.sampled_from(ITEMS), max_size=4, unique=True),
    cart_items=st.lists(st.sampled_from(ITEMS), max_size=2, unique=True),
    purchased_items=st.lists(st.sampled_from(ITEMS), max_size=2, unique=True),
    top_categories=st.lists(st.sampled_from(CATEGORIES), max_size=5, unique=True),
    country=st.sampled_from([None, "FR", "DE"]),
    locale=st.sampled_from([None, "de", "ar"]),
)


def stocked(people: list[UserFeatures]) -> Shop:
    """A shop with some people, where something is popular in every category."""
    shop = Shop()
    shop.store.users = {f"u{number}": user for number, user in enumerate(people)}
    for at, name in enumerate(CATEGORIES):
        shop.store.popular[f"category:{name}"] = ScopeFeatures(ITEMS[3 * at : 3 * at + 8], ITEMS[3 * at :])
    return shop


@settings(max_examples=30, deadline=None)
@given(st.lists(users, min_size=1, max_size=4), st.sampled_from(list(LAYOUTS)))
def test_everybody_is_answered_as_alone(people: list[UserFeatures], layout: str) -> None:
    shop = stocked(people)
    lines = shop.lines(list(shop.store.users), layout)
    assert lines == [shop.mail(layout, user_id) for user_id in shop.store.users]


def test_a_mutant_shows_one_what_was_read_for_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """The property above sees it where everybody has the scopes at hand that somebody else likes."""
    prepare, read = resolve.prepare, dict[str, ScopeFeatures]()

    def leaking(layout: Layout, known: Known, excluded: Collection[str] = ()) -> resolve.Mail:
        read.update(known.scopes)
        return prepare(layout, replace(known, scopes=dict(read)), excluded)

    shop = stocked([UserFeatures(top_categories=["E"]), UserFeatures(top_categories=["A", "B", "C", "E"])])
    shop.store.popular |= dict.fromkeys(("category:A", "category:B", "category:C"), ScopeFeatures())
    monkeypatch.setattr(resolve, "prepare", leaking)
    mutant = shop.lines(["u0", "u1"], "welcome")
    monkeypatch.undo()
    assert mutant != [shop.mail("welcome", user_id) for user_id in ("u0", "u1")]


class TestWrongRequest:
    """What cannot be answered as asked is a problem, and nothing has been streamed."""

    @pytest.mark.parametrize(
        ("body", "status", "says"),
        [
            ({}, 422, "the body is not as it should be: Object missing required field `user_ids`"),
            ({"user_ids": []}, 422, "user_ids is empty; name whom the mail goes to"),
            ({"user_ids": ["u"] * (MOST_USERS + 1)}, 413, "user_ids has 10,001 entries; send at most 10,000 at once"),
            ({"user_ids": ["a", 7]}, 422, "expected `str`, got `int` - at `$.user_ids[1]`"),
            ({"user_ids": ["a", ""]}, 422, "$.user_ids[1]"),
            ({"user_ids": "u1"}, 422, "expected `array`, got `str`"),
            ({"user_ids": ["a"], "format": "xml"}, 422, "invalid enum value 'xml'"),
            ({"user_ids": ["a"], "layout": "b"}, 422, "unknown field `layout`"),
            ([], 422, "expected `object`, got `array`"),
        ],
    )  # fmt: skip
    def test_in_words(self, shop: Shop, body: Any, status: int, says: str) -> None:
        answer = shop.post(BATCH, body)
        assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
        assert says.lower() in answer.json()["detail"].lower()

    @pytest.mark.parametrize("body", [b"", b"{", b'{"user_ids": ["\xff"]}'])
    def test_no_json(self, shop: Shop, body: bytes) -> None:
        answer = shop.visit(lambda client: client.post(BATCH, content=body))
        assert (answer.status_code, answer.json()["detail"].partition(":")[0]) == (400, "the body is not JSON")

    def test_a_body_that_never_ends(self, shop: Shop) -> None:
        answer = shop.visit(lambda client: client.post(BATCH, content=b" " * (MOST_BYTES + 1)))
        assert answer.status_code == 413

    def test_ten_thousand_are_not_too_many(self, shop: Shop) -> None:
        layout = Layout("mine", (BlockPlan("trending", "Hot", count=1),))
        assert len(Shop({"mine": layout}).lines(["u1"] * MOST_USERS, "mine")) == MOST_USERS

    @pytest.mark.parametrize("kind", ["batch", "sendgrid"])
    def test_a_layout_that_does_not_exist(self, shop: Shop, kind: str) -> None:
        assert shop.post(f"/v1/blocks/monthly/{kind}", {}).status_code == 404


class TestDegraded:
    """Whose features cannot be read has what everybody can be shown; the stream goes on."""

    def test_one_who_cannot_be_read_is_one_line(self, shop: Shop) -> None:
        shop.store.unreadable = {"bad"}
        lines = shop.lines(["u1", "bad", "u1"])
        assert [sources(line)[0] for line in lines] == ["personal", "static", "personal"]
        assert lines[1]["features_as_of"] is None

    @pytest.mark.parametrize("failure", [redis.ConnectionError("refused"), OSError("gone")])
    @pytest.mark.parametrize("reading", ["user", "scopes", "neighbours", "catalogue"])
    def test_a_store_that_fails(self, shop: Shop, reading: str, failure: Exception) -> None:
        shop.store.failing[reading] = failure
        lines = shop.lines(["u1", "u2", *(f"m{number}" for number in range(READ_AT_ONCE))])
        assert len(lines) == READ_AT_ONCE + 2
        asked = lines[:READ_AT_ONCE] if reading == "neighbours" else lines  # of the rest nobody has any
        assert {source for line in asked for source in sources(line)} == {"static"}
        assert items(lines[0]) == [["p02", "p03", "p04", "p05"], ["p06", "p07", "p08", "p09"], ["p00", "p01"]]

    def test_a_store_that_hangs(self, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(batch, "CHUNK_SECONDS", 0.001)
        shop.store.failing["user"] = None
        assert sources(shop.lines(["u1"])[0]) == ["static"] * 3

    def test_a_batch_waits_for_a_store_that_comes_back(self, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
        """A mail that is asked for alone cannot; who asks for thousands would rather wait a little."""
        monkeypatch.setattr(batch, "PATIENCE", 5.0)
        monkeypatch.setattr(batch, "PAUSE", 0.0)
        shop.store.failing["user"] = redis.ConnectionError("refused")
        answer, tries = shop.store.users_of, []

        async def third_time(user_ids: Any) -> Any:
            tries.append(user_ids)
            if len(tries) == FAILURES:
                del shop.store.failing["user"]
            return await answer(user_ids)

        shop.store.users_of = third_time  # type: ignore[method-assign]
        shop.clock = 0
        assert sources(shop.lines(["u1"])[0])[0] == "personal"
        assert len(tries) == FAILURES

    def test_a_store_that_was_emptied_is_made_up_for_by_the_snapshot(self, shop: Shop) -> None:
        shop.store.users, shop.store.popular, shop.store.near, shop.store.rows = {}, {}, {}, {}
        lines = shop.lines(["u1", "u2"])
        assert [sources(line) for line in lines] == [["static"] * 3] * 2
        assert items(lines[0]) == items(shop.mail())

    def test_a_row_that_changed_since_the_snapshot_is_read(self, shop: Shop) -> None:
        shop.store.users["u1"] = replace(SHOPPER, recent_items=["p19", "p18"])
        shop.snapshot.catalogue |= {item_id: CATALOGUE[item_id] for item_id in ("p18", "p19")}
        shop.store.rows["p19"] = replace(CATALOGUE["p19"], in_stock=False)
        assert items(shop.lines(["u1"])[0])[0] == items(shop.mail())[0] == ["p18"]

    def test_a_note_that_fails_keeps_nothing_back(self) -> None:
        capped = {"mine": Layout("mine", (BlockPlan("trending", "Hot", count=2, frequency_cap=FrequencyCap(1, 7)),))}
        shop = Shop(capped)
        shop.store.failing["note"] = redis.ConnectionError("refused")
        assert items(shop.lines(["u1"], "mine", send_id="s1")[0]) == [["p01", "p02"]]


class Caller:
    """Somebody who asks for a batch and reads as slowly as a test says, by the words of ASGI."""

    def __init__(self, shop: Shop, body: Any, path: str = BATCH) -> None:
        self.shop, self.parts, self.gone = shop, 0, asyncio.Event()
        self.may_read, self.status = asyncio.Semaphore(0), 0
        self._body, self._path, self._asked = json.dumps(body).encode(), path, False

    async def receive(self) -> dict[str, Any]:
        if not self._asked:
            self._asked = True
            return {"type": "http.request", "body": self._body, "more_body": False}
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            return
        await self.may_read.acquire()
        self.parts += 1

    async def call(self) -> None:
        scope = {
            "type": "http", "asgi": {"version": "3.0", "spec_version": "2.3"}, "method": "POST", "path": self._path,
            "raw_path": self._path.encode(), "query_string": b"", "headers": [], "http_version": "1.1",
            "scheme": "http", "client": ("127.0.0.1", 1), "server": ("api", 80), "root_path": "",
        }  # fmt: skip
        await self.shop.app(scope, self.receive, self.send)  # type: ignore[arg-type]


EVERYBODY = {"user_ids": [f"m{number}" for number in range(20 * READ_AT_ONCE)]}


async def _until_idle() -> None:
    for _ in range(2000):
        await asyncio.sleep(0)


class TestReader:
    """No more is made than is read."""

    def test_who_stops_reading_holds_it_back_and_who_hangs_up_ends_it(self, shop: Shop) -> None:
        async def story() -> None:
            caller = Caller(shop, EVERYBODY)
            task = asyncio.create_task(caller.call())
            await _until_idle()
            assert (caller.status, shop.store.asked.count("user")) == (200, 1)
            for _ in range(READ_AT_ONCE // LINES_AT_ONCE):
                caller.may_read.release()
            await _until_idle()
            assert shop.store.asked.count("user") == 2
            caller.gone.set()
            await asyncio.wait_for(task, 5)
            await _until_idle()
            assert shop.store.asked.count("user") == 2

        asyncio.run(story())

    def test_who_reads_nothing_at_all_is_let_go_without_an_end(
        self, shop: Shop, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr(batch, "STALLED", 0.01)

        async def story() -> None:
            caller = Caller(shop, EVERYBODY)
            await asyncio.wait_for(caller.call(), 5)
            assert caller.parts == 0

        with caplog.at_level(logging.WARNING):
            asyncio.run(story())
        assert "nobody read a batch" in caplog.text

    def test_so_many_at_once_and_each_that_ends_makes_room(self, shop: Shop) -> None:
        async def story() -> None:
            callers = [Caller(shop, EVERYBODY) for _ in range(MOST_BATCHES)]
            tasks = [asyncio.create_task(caller.call()) for caller in callers]
            await _until_idle()
            refused = Caller(shop, EVERYBODY)
            refused.may_read.release()
            await asyncio.wait_for(refused.call(), 5)
            assert refused.status == 503
            for caller in callers:
                caller.gone.set()
            await asyncio.wait_for(asyncio.gather(*tasks), 5)
            taken = Caller(shop, {"user_ids": ["u1"]})
            for _ in range(3):
                taken.may_read.release()
            await asyncio.wait_for(taken.call(), 5)
            assert taken.status == 200

        asyncio.run(story())


PEOPLE = [
    {"user_id": "u1", "email": "ada@shop.example", "name": "Ada L."},
    {"user_id": "nobody", "email": "n+1@shop.example"},
]


class TestSendGrid:
    """`personalizations`, ready to be posted."""

    def test_a_personalization_a_recipient(self, shop: Shop) -> None:
        answer = shop.post(SENDGRID, {"recipients": PEOPLE, "send_id": "s1"})
        assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
        first, second = answer.json()["personalizations"]
        assert first["to"] == [{"email": "ada@shop.example", "name": "Ada L."}]
        assert second["to"] == [{"email": "n+1@shop.example"}]
        assert first["custom_args"] == {"user_id": "u1", "layout": "weekly", "send_id": "s1"}
        data, mail = first["dynamic_template_data"], shop.mail(send_id="s1")
        assert data["recommended_title"] == "Picked for you"
        assert data["price_drop"] == []
        assert data["recommended"][0] == {
            "id": "p15", "name": "Thing p15", "url": "https://shop.example/p15",
            "image": "https://shop.example/p15.jpg", "price": "€9.50", "list_price": "", "amount": 9.5,
            "currency": "EUR", "reason": "because you viewed Thing p05", "position": 1,
        }  # fmt: skip
        shown = [[item["id"] for item in data[block["block"]]] for block in mail["blocks"] if block["items"]]
        assert shown == items(mail)
        assert "html" not in data

    def test_the_blocks_as_they_are_drawn(self, shop: Shop) -> None:
        body = {"recipients": PEOPLE[:1], "html": True}
        (told,) = shop.post(SENDGRID, body).json()["personalizations"]
        assert told["dynamic_template_data"]["html"] == shop.get("/v1/blocks/weekly", user_id="u1", format="html").text
        assert told["custom_args"] == {"user_id": "u1", "layout": "weekly"}

    def test_a_kind_that_is_there_twice(self) -> None:
        shop = Shop({"mine": Layout("mine", (BlockPlan("trending", "Hot", count=2),) * 3)})
        (told,) = shop.post("/v1/blocks/mine/sendgrid", {"recipients": PEOPLE[:1]}).json()["personalizations"]
        data = told["dynamic_template_data"]
        assert [name for name in data if "title" not in name] == ["trending", "trending_2", "trending_3"]
        assert len({item["id"] for name in ("trending", "trending_2", "trending_3") for item in data[name]}) == 6

    def test_the_webhook_knows_what_comes_back(self) -> None:
        from api.platforms.sendgrid import TABLE

        assert TABLE.user_id == "user_id"
        assert all(name in TABLE.fields[name].split("|") for name in ("send_id", "layout"))

    def test_a_thousand_and_no_more(self, shop: Shop) -> None:
        many = [PEOPLE[0]] * MOST_RECIPIENTS
        assert len(shop.post(SENDGRID, {"recipients": many}).json()["personalizations"]) == MOST_RECIPIENTS
        assert shop.post(SENDGRID, {"recipients": [*many, PEOPLE[0]]}).status_code == 413
        assert shop.post(SENDGRID, {"recipients": []}).status_code == 422

    @pytest.mark.parametrize(
        "email",
        [
            "",
            "ada",
            "a@b@c",
            "a b@c",
            "a@b\r\nBcc: c@d.example",
            "a@b,c@d",
            "<a@b>",
            "a@b;c@d",
            "a@b\x00",
            f"{'a' * 320}@b",
        ],
    )
    def test_what_is_no_address_is_refused_and_not_repeated(self, shop: Shop, email: str) -> None:
        answer = shop.post(SENDGRID, {"recipients": [*PEOPLE, {"user_id": "u3", "email": email}]})
        assert answer.status_code == 422
        assert "recipients[2].email" in answer.json()["detail"]
        assert not email or email not in answer.text

    def test_no_address_is_logged(self, shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
        shop.store.failing["user"] = redis.ConnectionError("refused")
        with caplog.at_level(logging.DEBUG):
            shop.post(SENDGRID, {"recipients": PEOPLE})
            shop.post(SENDGRID, {"recipients": [*PEOPLE, {"user_id": "", "email": "ada@shop.example"}]})
        assert "shop.example" not in caplog.text.replace("Thing", "")

    def test_somebody_whose_features_cannot_be_read_is_there_all_the_same(self, shop: Shop) -> None:
        shop.store.unreadable = {"u1"}
        told = shop.post(SENDGRID, {"recipients": PEOPLE}).json()["personalizations"]
        assert [item["id"] for item in told[0]["dynamic_template_data"]["recently_viewed"]] == [
            "p02",
            "p03",
            "p04",
            "p05",
        ]
