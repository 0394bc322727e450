"""Blocks over HTTP: a known layout is answered with 200, whatever becomes of the online store."""

from __future__ import annotations

import asyncio

import httpx
import pytest
import redis
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from api.answer import Answer
from api.breaker import FAILURES, PAUSE
from api.decisions import is_personal
from api.known import CatalogueRow, ScopeFeatures, UserFeatures
from api.plans import BlockPlan, FrequencyCap, Layout
from api.shelf import FRESH
from api.snapshot import Snapshot, refresh
from tests.unit.api.shop import (
    CATALOGUE,
    ITEMS,
    LAYOUTS,
    SHOPPER,
    Shop,
    counted,
    drawn,
    items,
    sources,
)


@pytest.fixture
def shop() -> Shop:
    return Shop()


class TestAnswer:
    """What a mail holds while all is well."""

    def test_a_mail_of_blocks(self, shop: Shop) -> None:
        mail = shop.mail(send_id="s1")
        assert {name: value for name, value in mail.items() if name != "blocks"} == {
            "layout": "weekly", "user_id": "u1", "send_id": "s1", "generated_at": "2026-05-17T09:30:00.123Z",
            "features_as_of": "2023-11-14T22:13:20.123Z",
        }  # fmt: skip
        assert [(block["block"], block["title"], block["source"]) for block in drawn(mail)] == [
            ("recently_viewed", "Still on your mind", "personal"),
            ("recommended", "Picked for you", "personal"),
            ("trending", "Trending now", "popular"),
        ]
        assert items(mail) == [["p05", "p06", "p07", "p08"], ["p15", "p16", "p01", "p02"], ["p03", "p04", "p09"]]
        assert drawn(mail)[1]["items"][0] == {
            "item_id": "p15", "title": "Thing p15", "url": "https://shop.example/p15",
            "image_url": "https://shop.example/p15.jpg", "price": 9.5, "list_price": None, "currency": "EUR",
            "position": 1, "reason": "because you viewed Thing p05",
        }  # fmt: skip

    def test_a_stranger_is_shown_what_is_popular(self, shop: Shop) -> None:
        mail = shop.mail(user_id="nobody")
        assert (mail["features_as_of"], mail["send_id"]) == (None, None)
        assert sources(mail) == ["popular", "popular", "static"]
        assert [block["title"] for block in drawn(mail)] == ["Worth a look", "You might like", "Trending now"]

    @pytest.mark.parametrize("fails", [False, True])
    def test_who_is_nobody_is_shown_what_everybody_is_and_nothing_is_kept_or_told(self, fails: bool) -> None:
        """A merge field that is empty must not spoil the mail."""
        shop = Shop(deadline=30)
        if fails:
            shop.store.failing["user"] = redis.ConnectionError()
        mail = shop.mail(user_id="", send_id="s1")
        assert (mail["user_id"], mail["send_id"], mail["features_as_of"]) == ("", None, None)
        assert set(sources(mail)) <= {"popular", "static"}
        assert all(items(mail))
        assert (shop.told, shop.store.kept) == ([], {})

    @pytest.mark.parametrize("layout", ["abandoned_cart", "post_purchase", "weekly", "welcome"])
    def test_every_layout_that_is_shipped(self, shop: Shop, layout: str) -> None:
        mail = shop.mail(layout)
        shown = [item_id for row in items(mail) for item_id in row]
        assert [block["block"] for block in mail["blocks"] if not block["items"]] in ([], ["price_drop"])
        assert len(shown) == len(set(shown))
        assert "p00" not in shown
        assert ("p10" in shown) == (layout == "abandoned_cart")

    def test_what_the_caller_leaves_out(self, shop: Shop) -> None:
        shown = {item_id for row in items(shop.mail(exclude="p05,,p15,nothing")) for item_id in row}
        assert not shown & {"p05", "p15"}
        assert {"p06", "p16"} <= shown

    @pytest.mark.parametrize("failing", [[], ["user"]], ids=["well", "gone"])
    def test_a_long_list_of_what_the_caller_leaves_out(self, failing: list[str]) -> None:
        many = [f"m{number:02}" for number in range(90)]
        shop = Shop(snapshot=False)
        shop.store.rows = {item_id: replace(CATALOGUE["p01"], title=f"Thing {item_id}") for item_id in many}
        shop.store.popular = {"all": ScopeFeatures(many, many)}
        asyncio.run(refresh(shop.snapshot, shop.store))  # type: ignore[arg-type]
        shop.store.failing = dict.fromkeys(failing, redis.ConnectionError("refused"))
        mail = shop.mail("welcome", "nobody", exclude=",".join(many[:80]))
        assert items(mail) == [many[80:84], many[84:86], many[86:90]]

    @pytest.mark.parametrize(
        ("format_", "type_", "start"),
        [("json", "application/json", "{"), ("html", "text/html", "<"), ("text", "text/plain", "Still on your mind")],
    )
    def test_the_formats(self, shop: Shop, format_: str, type_: str, start: str) -> None:
        answer = shop.get("/v1/blocks/weekly", user_id="u1", format=format_)
        assert answer.status_code == 200
        assert answer.headers["content-type"].partition(";")[0] == type_
        assert answer.headers["cache-control"] == "no-store"
        assert answer.text.lstrip().startswith(start) or format_ == "text"
        assert "Thing p15" in answer.text

    def test_who_asked_may_keep_what_is_decided_and_nothing_else(self, shop: Shop) -> None:
        def kept(**query: str) -> str:
            return shop.get("/v1/blocks/weekly", user_id="u1", **query).headers["cache-control"]

        assert (kept(send_id="s1"), kept(send_id=""), kept()) == ("private, max-age=300", "no-store", "no-store")
        shop.store.failing["user"] = redis.ConnectionError("refused")
        assert kept(send_id="s2") == "no-store"

    @pytest.mark.parametrize("user_id", ["é ☃ 日本", "a/b?c=d&e#f", "x" * 200, " ", "\x00", "%2e%2e"])
    def test_any_user_id_is_a_user(self, shop: Shop, user_id: str) -> None:
        shop.store.users[user_id] = SHOPPER
        mail = shop.mail(user_id=user_id)
        assert (mail["user_id"], mail["blocks"][0]["source"]) == (user_id, "personal")

    def test_blocks_are_counted_by_kind_and_source(self, shop: Shop) -> None:
        labels = {"block": "recently_viewed", "source": "personal"}
        before = counted("inlay_blocks_total", **labels), counted("inlay_blocks_seconds_count")
        shop.mail()
        assert counted("inlay_blocks_total", **labels) == before[0] + 1
        assert counted("inlay_blocks_seconds_count") == before[1] + 1


class TestWrongRequest:
    """What cannot be answered as asked is a problem that says what to do."""

    def test_a_layout_that_does_not_exist(self, shop: Shop) -> None:
        answer = shop.get("/v1/blocks/monthly", user_id="u1")
        assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")
        assert answer.json() == {
            "type": "about:blank", "title": "Not Found", "status": 404,
            "detail": "there is no layout 'monthly'; there are abandoned_cart, post_purchase, weekly, welcome",
        }  # fmt: skip
        assert shop.store.asked == ["look_at_flows", "scopes", "catalogue"]  # of the snapshot

    @pytest.mark.parametrize(
        ("query", "about"),
        [
            ({}, "user_id: field required"),
            ({"user_id": "u1", "format": "xml"}, "format: input should be 'json', 'html' or 'text'"),
        ],
    )
    def test_a_parameter_that_is_missing_or_wrong(self, shop: Shop, query: dict[str, str], about: str) -> None:
        answer = shop.get("/v1/blocks/weekly", **query)
        assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
        assert answer.json()["detail"].startswith(about)

    @pytest.mark.parametrize("more", [{"send_id": "x" * 201}, {"exclude": "x, " * 5000}, {"user_id": "x" * 300}])
    def test_nothing_is_too_long_for_a_mail(self, shop: Shop, more: dict[str, str]) -> None:
        assert shop.get("/v1/blocks/weekly", **{"user_id": "u1"} | more).status_code == 200


READINGS = ("user", "scopes", "neighbours", "catalogue")
FAILURES_OF_REDIS: list[Exception | None] = [
    redis.ConnectionError("refused"), redis.TimeoutError("slow"), redis.ResponseError("WRONGTYPE"),
    redis.BusyLoadingError("loading"), redis.InvalidResponse("nonsense"), ConnectionResetError("reset"), None,
]  # fmt: skip


class TestDegraded:
    """Without the online store a mail is less personal, and that is all."""

    @pytest.mark.parametrize("failure", FAILURES_OF_REDIS, ids=repr)
    def test_a_failure_at_the_reading_of_a_user(self, failure: Exception | None) -> None:
        shop = Shop(deadline=30 if failure else 0.001)
        shop.store.failing["user"] = failure
        reason = "store" if failure else "deadline"
        before = counted("inlay_degraded_answers_total", reason=reason)
        mail = shop.mail()
        assert mail["features_as_of"] is None
        assert sources(mail) == ["static", "static", "static"]
        assert [block["title"] for block in drawn(mail)] == ["Worth a look", "You might like", "Trending now"]
        assert items(mail) == [["p02", "p03", "p04", "p05"], ["p06", "p07", "p08", "p09"], ["p00", "p01"]]
        assert counted("inlay_degraded_answers_total", reason=reason) == before + 1

    @pytest.mark.parametrize("failure", FAILURES_OF_REDIS, ids=repr)
    @pytest.mark.parametrize("reading", READINGS[1:])
    def test_a_failure_at_any_other_reading_leaves_the_mail_personal(
        self, reading: str, failure: Exception | None
    ) -> None:
        shop = Shop(deadline=30 if failure else 0.03)
        shop.store.failing[reading] = failure
        before = counted("inlay_degraded_answers_total", reason="skipped")
        mail = shop.mail()
        assert mail["features_as_of"] is not None
        assert sources(mail)[0] == "personal"
        assert items(mail)[0] == ["p05", "p06", "p07", "p08"]  # whose rows are remembered
        assert sum(map(len, items(mail))) >= 9  # all that may be shown of what is remembered
        assert counted("inlay_degraded_answers_total", reason="skipped") == before + 1

    def test_what_was_read_for_mails_before_serves_where_a_reading_fails(self, shop: Shop) -> None:
        shop.store.rows["p15"] = replace(CATALOGUE["p15"], title="Of the shelf")
        whole = items(shop.mail())
        shop.clock += FRESH + 0.1  # so that all would be read anew
        for reading in READINGS[1:]:
            shop.store.failing[reading] = redis.ConnectionError("refused")
        assert items(shop.mail()) == whole
        assert drawn(shop.mail())[1]["items"][0]["title"] == "Of the shelf"

    @pytest.mark.parametrize("layout", ["abandoned_cart", "post_purchase", "weekly", "welcome"])
    @pytest.mark.parametrize("format_", ["json", "html", "text"])
    def test_every_layout_in_every_format(self, shop: Shop, layout: str, format_: str) -> None:
        shop.store.failing["user"] = redis.ConnectionError("refused")
        answer = shop.get(f"/v1/blocks/{layout}", user_id="u1", format=format_)
        assert answer.status_code == 200
        assert "Thing p02" in answer.text

    def test_exclusions_hold_for_the_snapshot_too(self, shop: Shop) -> None:
        shop.store.failing["user"] = redis.ConnectionError("refused")
        shown = {item_id for row in items(shop.mail(exclude="p02,p06")) for item_id in row}
        assert not shown & {"p02", "p06"}
        assert shown

    def test_what_was_sold_out_at_the_last_look_is_not_in_it(self) -> None:
        shop = Shop(snapshot=False)
        shop.store.rows["p02"] = replace(CATALOGUE["p02"], in_stock=False)
        asyncio.run(refresh(shop.snapshot, shop.store))  # type: ignore[arg-type]
        shop.store.failing["user"] = redis.ConnectionError("refused")
        assert "p02" not in {item_id for row in items(shop.mail()) for item_id in row}

    def test_a_store_that_was_never_there_leaves_the_blocks_empty(self) -> None:
        shop = Shop(snapshot=False)
        shop.store.failing["user"] = redis.ConnectionError("refused")
        mail = shop.mail()
        assert {block["source"] for block in mail["blocks"]} == {"static"}
        assert drawn(mail) == []

    def test_a_store_that_was_emptied_is_made_up_for_by_the_snapshot(self, shop: Shop) -> None:
        shop.store.users, shop.store.popular, shop.store.near, shop.store.rows = {}, {}, {}, {}
        mail = shop.mail()
        assert sources(mail) == ["static"] * 3

    def test_the_breaker_spares_requests_the_wait(self, shop: Shop) -> None:
        shop.store.failing["user"] = redis.TimeoutError("slow")
        for _ in range(FAILURES):
            shop.mail()
        shop.store.asked.clear()
        before = counted("inlay_degraded_answers_total", reason="breaker")
        for _ in range(5):
            assert sources(shop.mail()) == ["static"] * 3
        assert shop.store.asked == []
        assert counted("inlay_degraded_answers_total", reason="breaker") == before + 5

    def test_it_heals_within_the_pause_of_the_breaker(self, shop: Shop) -> None:
        shop.store.failing["user"] = redis.ConnectionError("refused")
        for _ in range(FAILURES):
            shop.mail()
        del shop.store.failing["user"]
        assert sources(shop.mail()) == ["static"] * 3
        shop.clock += PAUSE
        for _ in range(3):
            assert sources(shop.mail()) == ["personal", "personal", "popular"]

    def test_many_at_once_share_one_try(self, shop: Shop) -> None:
        shop.store.failing["user"] = redis.ConnectionError("refused")
        for _ in range(FAILURES):
            shop.mail()
        shop.clock += PAUSE
        shop.store.asked.clear()

        async def storm(client: httpx.AsyncClient) -> list[httpx.Response]:
            asking = [client.get("/v1/blocks/weekly", params={"user_id": f"u{n}"}) for n in range(50)]
            return list(await asyncio.gather(*asking))

        answers = shop.visit(storm)
        assert {answer.status_code for answer in answers} == {200}
        assert shop.store.asked == ["user"]


class TestSnapshot:
    """What is kept for when the store is gone."""

    def test_bestsellers_come_first_then_the_trend_then_the_newest(self) -> None:
        rows = {"a": CatalogueRow(added_at=1), "b": CatalogueRow(), "c": CatalogueRow(added_at=3), "d": CatalogueRow()}
        snapshot = Snapshot()
        snapshot.take(ScopeFeatures(["d", "b"], ["b"]), rows)
        assert snapshot.fallback == ("b", "d", "c", "a")

    def test_an_emptied_store_leaves_what_was_read_last(self, shop: Shop) -> None:
        before = shop.snapshot.fallback
        shop.store.popular = {}
        asyncio.run(refresh(shop.snapshot, shop.store))  # type: ignore[arg-type]
        assert shop.snapshot.fallback == before == (*ITEMS[2:10], "p00", "p01")

    @pytest.mark.parametrize("reading", ["scopes", "catalogue"])
    def test_a_failed_look_leaves_what_was_read_last(self, shop: Shop, reading: str) -> None:
        before = shop.snapshot.fallback, dict(shop.snapshot.catalogue)
        shop.store.popular = {"all": ScopeFeatures(["p19"], ["p19"])}
        shop.store.failing[reading] = redis.ConnectionError("refused")
        with pytest.raises(redis.ConnectionError):
            asyncio.run(refresh(shop.snapshot, shop.store))  # type: ignore[arg-type]
        assert (shop.snapshot.fallback, shop.snapshot.catalogue) == before


CAPPED = {"mine": Layout("mine", (BlockPlan("trending", "Hot", count=2, frequency_cap=FrequencyCap(1, 7)),))}


class TestFrequencyCap:
    """An item goes to the same person so often and no more; a mail asked for again is the same mail."""

    def test_the_next_mail_holds_what_the_one_before_did_not(self) -> None:
        shop = Shop(CAPPED)
        first = items(shop.mail("mine", send_id="s1"))
        assert items(shop.mail("mine", send_id="s1")) == first == [["p01", "p02"]]
        assert items(shop.mail("mine", send_id="s2")) == [["p03", "p04"]]
        assert items(shop.mail("mine", send_id="s1")) == first
        assert items(shop.mail("mine", "nobody", send_id="s2")) == [["p00", "p01"]]

    def test_a_mail_without_a_send_id_is_held_to_it_and_does_not_count(self) -> None:
        shop = Shop(CAPPED)
        shop.mail("mine", send_id="s1")
        assert items(shop.mail("mine")) == items(shop.mail("mine")) == [["p03", "p04"]]

    def test_every_mail_counts_once_some_layout_has_a_cap(self) -> None:
        shop = Shop({**CAPPED, "other": Layout("other", (BlockPlan("trending", "Hot", count=3),))})
        shop.mail("other", send_id="s1")
        assert items(shop.mail("mine", send_id="s2")) == [["p04", "p05"]]

    def test_without_a_cap_nothing_is_noted_or_asked(self, shop: Shop) -> None:
        shop.mail(send_id="s1")
        assert not {"note", "before"} & set(shop.store.asked)

    @pytest.mark.parametrize("failure", FAILURES_OF_REDIS, ids=repr)
    def test_a_mail_is_not_kept_back_for_want_of_a_note(self, failure: Exception | None) -> None:
        shop = Shop(CAPPED, deadline=30 if failure else 0.05)
        shop.store.failing["note"] = failure
        assert items(shop.mail("mine", send_id="s1")) == [["p01", "p02"]]


class TestUser:
    """`GET /v1/users/{user_id}`: what is known."""

    def test_what_is_known_of_somebody(self, shop: Shop) -> None:
        views = {"user_items": {"cart_items": ["p10"], "typical_price": None}, "user_activity": {"views_1h": 0}}
        shop.store.views["u1"] = views, {"user_items": 1_700_000_000_123_456, "user_activity": 0}
        answer = shop.get("/v1/users/u1")
        assert (answer.status_code, answer.json()) == (200, {
            "user_id": "u1", "known": True, "features": views,
            "as_of": {"user_items": "2023-11-14T22:13:20.123Z", "user_activity": "1970-01-01T00:00:00.000Z"},
        })  # fmt: skip

    def test_somebody_never_seen(self, shop: Shop) -> None:
        answer = shop.get("/v1/users/nobody")
        assert (answer.status_code, answer.json()) == (
            200, {"user_id": "nobody", "known": False, "features": {}, "as_of": {}},
        )  # fmt: skip

    @pytest.mark.parametrize("failure", [redis.ConnectionError("refused"), redis.TimeoutError("slow"), OSError("gone")])
    def test_without_the_store_it_is_said_when_to_ask_again(self, shop: Shop, failure: Exception) -> None:
        shop.store.failing["everything"] = failure
        answer = shop.get("/v1/users/u1")
        assert (answer.status_code, answer.headers["content-type"]) == (503, "application/problem+json")
        assert answer.json()["detail"] == "the online store does not answer; ask again"
        assert int(answer.headers["retry-after"]) >= 1

    def test_an_id_with_a_slash(self, shop: Shop) -> None:
        answer = shop.get("/v1/users/a%2Fb")
        assert (answer.status_code, answer.json().get("user_id")) == (200, "a/b")


@settings(max_examples=100)
@given(
    st.text(min_size=1, max_size=20), st.text(max_size=40), st.text(max_size=20),
    st.sampled_from(["json", "html", "text"]), st.sampled_from(list(LAYOUTS)),
    st.sampled_from([*READINGS, "nothing"]), st.sampled_from(FAILURES_OF_REDIS[:-1]),
)  # fmt: skip
def test_a_known_layout_is_always_answered(
    user_id: str, exclude: str, send_id: str, format_: str, layout: str, reading: str, failure: Exception
) -> None:
    shop = Shop()
    shop.store.failing[reading] = failure
    answer = shop.get(f"/v1/blocks/{layout}", user_id=user_id, exclude=exclude, send_id=send_id, format=format_)
    assert answer.status_code == 200
    assert "Thing p" in answer.text


def test_a_layout_of_ones_own_is_answered_too() -> None:
    shop = Shop({"mine": Layout("mine", (BlockPlan("trending", "Hot", count=2),) * 2)})
    assert items(shop.mail("mine")) == [["p01", "p02"], ["p03", "p04"]]


class TestDecisions:
    """A mail with a `send_id` is decided once, and what is served is told."""

    def test_a_mail_asked_for_again_is_the_same_whatever_happened_since(self, shop: Shop) -> None:
        first = shop.mail(send_id="s1")
        shop.store.users["u1"] = replace(SHOPPER, recent_items=["p17"], purchased_items=["p05"])
        shop.store.rows["p06"] = replace(CATALOGUE["p06"], price=1.0)
        assert shop.mail(send_id="s1", exclude="p06") == first
        assert items(shop.mail(send_id="s2"))[0] == items(shop.mail())[0] == ["p17"]

    @pytest.mark.parametrize("send_id", ["s1", ""])
    def test_what_is_served_is_told_once_a_mail_and_each_time_without_one(self, shop: Shop, send_id: str) -> None:
        for format_ in ("json", "html", "text"):
            shop.get("/v1/blocks/weekly", user_id="u1", send_id=send_id, format=format_)
        blocks = [event.block for event in shop.told]
        assert blocks == ["recently_viewed", "recommended", "trending"] * (1 if send_id else 3)
        assert len({event.event_id for event in shop.told}) == len(blocks)
        assert {event.send_id for event in shop.told} == {send_id or None}
        assert shop.store.kept.keys() == ({("u1", "s1", "weekly")} if send_id else set())
        first = shop.told[0]
        assert [line.item_id for line in first.items] == ["p05", "p06", "p07", "p08"]
        assert (first.properties["source"], first.properties["positions"]) == ("personal", [1, 2, 3, 4])
        assert first.properties["variant"]

    def test_who_is_slower_serves_and_tells_what_was_decided(self, shop: Shop) -> None:
        shop.mail(send_id="s1")
        told = len(shop.told)
        shop.store.users["u1"] = replace(SHOPPER, recent_items=["p17"])
        shop.store.blind = True
        assert items(shop.mail(send_id="s1"))[0] == ["p05", "p06", "p07", "p08"]
        assert len(shop.told) == told

    @pytest.mark.parametrize("failing", [{}, {"keep": redis.ConnectionError()}, {"user": redis.ConnectionError()}])
    def test_parts_that_are_asked_for_at_once_agree_whether_it_can_be_kept_or_not(
        self, shop: Shop, failing: dict[str, Exception | None]
    ) -> None:
        """As the pictures of a mail are: half of them must not be of another decision."""
        shop.store.failing, shop.store.asked = failing, []

        async def at_once() -> list[Answer]:
            asking = (shop.server.answer(LAYOUTS["weekly"], "u1", "s1", ()) for _ in range(8))
            others = (shop.server.answer(LAYOUTS["weekly"], *whose, ()) for whose in (("u1", "s2"), ("u2", "s1")))
            return list(await asyncio.gather(*asking, *others))

        *answers, other, another = asyncio.run(at_once())
        assert answers == [answers[0]] * 8
        assert len({(each.user_id, each.send_id) for each in (answers[0], other, another)}) == 3
        assert shop.store.asked.count("user") <= 3
        assert len({event.event_id for event in shop.told}) == len(shop.told)

    def test_who_hangs_up_takes_nothing_from_the_others(self, shop: Shop) -> None:
        async def one_hangs_up() -> list[Answer]:
            asking = [asyncio.create_task(shop.server.answer(LAYOUTS["weekly"], "u1", "s1", ())) for _ in range(3)]
            await asyncio.sleep(0)
            asking[0].cancel()
            return list(await asyncio.gather(*asking[1:]))

        one, other = asyncio.run(one_hangs_up())
        assert one == other
        assert is_personal(one)

    @pytest.mark.parametrize("failure", [redis.ConnectionError("refused"), None], ids=["gone", "hangs"])
    def test_a_mail_that_cannot_be_kept_is_served_personal_all_the_same(self, failure: Exception | None) -> None:
        shop = Shop(deadline=0.2)
        shop.store.failing = {"keep": failure}
        before = counted("inlay_decisions_total", outcome="unkept")
        assert sources(shop.mail(send_id="s1")) == ["personal", "personal", "popular"]
        assert counted("inlay_decisions_total", outcome="unkept") == before + 1
        assert len(shop.told) == 3

    def test_what_is_served_in_place_of_what_could_not_be_read_is_kept_behind_the_answer(self, shop: Shop) -> None:
        shop.store.failing = {"user": redis.ConnectionError("refused")}
        first = shop.mail(send_id="s1")
        assert set(sources(first)) == {"static"}
        shop.store.failing = {}
        assert shop.mail(send_id="s1") == first
        assert len(shop.told) == len(sources(first))


class TestConsent:
    """Who does not want a profile is shown what everybody is, and in their language and country."""

    WITHHELD = replace(UserFeatures(), profile_allowed=False, country="FR", locale="fr", purchased_items=["p00"])

    def test_nothing_of_the_profile_is_shown(self, shop: Shop) -> None:
        shop.store.users["u1"] = self.WITHHELD
        mail = shop.mail()
        stranger = shop.mail(user_id="stranger", exclude="p00")
        assert (mail["features_as_of"], mail["locale"]) == (None, "fr")
        assert set(sources(mail)) <= {"popular", "static"}
        assert items(mail) == items(stranger)

    @pytest.mark.parametrize("allowed", [True, None])
    def test_who_allows_it_or_says_nothing_has_one(self, shop: Shop, allowed: bool | None) -> None:
        shop.store.users["u1"] = replace(SHOPPER, profile_allowed=allowed)
        assert sources(shop.mail())[0] == "personal"

    def test_what_was_decided_before_is_not_shown_any_more(self, shop: Shop) -> None:
        assert sources(shop.mail(send_id="s1"))[0] == "personal"
        shop.store.users["u1"] = self.WITHHELD
        mail = shop.mail(send_id="s1")
        assert set(sources(mail)) <= {"popular", "static"}
        assert shop.mail(send_id="s1") == mail
        assert not is_personal(shop.store.kept["u1", "s1", "weekly"])
