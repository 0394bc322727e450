"""Erasing a user over a real Redis, the flows and a lake: nothing of them is anywhere, and others are as they were."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import redis

from api import erasure, erasure_jobs
from api.answer import Answer, Block, Item
from api.spool import Spool as SpoolOfEvents
from dataflows.connectors.lake_events import Arrived, to_table
from dataflows.connectors.lake_files import EVENTS, date_of, open_lake
from dataflows.events import Event
from feature_repo.layout import USER
from tests.contract.flows import flows
from tests.contract.redis_server import RedisServer
from tests.contract.service import ALL, WRITE, Service, service, stored

ANNA, DEVICE, OLD = "anna-5c1f77", "device-99ab12", "old-anna-3d2e"
BORIS = "boris-77aa21"


def run(server: RedisServer, story: Callable[[Service], Awaitable[None]], **settings: str) -> None:
    async def told() -> None:
        async with service(server, **settings) as api:
            await story(api)

    with flows(server):
        asyncio.run(asyncio.wait_for(told(), 120))


def event(number: int, kind: str, **fields: Any) -> dict[str, Any]:
    return {"event_id": f"e{number}", "type": kind, "occurred_at": int(time.time()) - 30, **fields}


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    while not await condition():
        await asyncio.sleep(0.05)


def holding(server: RedisServer, *ids: str) -> set[str]:
    """The keys of Redis that name somebody, in their names or in what they hold."""
    client: Any = server.client
    found = set()
    for key in client.scan_iter("*", count=1000):
        kind = client.type(key).decode()
        read = {
            "string": lambda key: [client.get(key)], "hash": lambda key: sum(client.hgetall(key).items(), ()),
            "zset": lambda key: client.zrange(key, 0, -1), "list": lambda key: client.lrange(key, 0, -1),
            "set": client.smembers,
            "stream": lambda key: [word for _, fields in client.xrange(key) for word in (*fields, *fields.values())],
        }[kind]  # fmt: skip
        if any(each.encode() in part for each in ids for part in (key, *read(key))):
            found.add(key.decode("utf-8", "replace"))
    return found


async def post(api: Service, *events: dict[str, Any]) -> None:
    answer = await api.call("POST", "/v1/events", json=list(events))
    assert answer.json()["refused"] == [], answer.text


async def known(api: Service, user: str) -> dict[str, Any]:
    features: dict[str, Any] = (await api.call("GET", f"/v1/users/{user}")).json()["features"]
    return features


def test_who_is_erased_is_nowhere(server: RedisServer, tmp_path: Path) -> None:
    lake = open_lake(str(tmp_path / "lake"))

    async def story(api: Service) -> None:
        told = [
            event(1, "view", anonymous_id=DEVICE, item_id="p1"),
            event(2, "identify", user_id=ANNA, anonymous_id=DEVICE, traits={"first_name": "Anna", "country": "FR"}),
            event(3, "add_to_cart", user_id=ANNA, item_id="p2", price=3.0),
            event(4, "purchase", user_id=OLD, item_id="p3", price=9.0),
            event(5, "identify", user_id=ANNA, properties={"previous_id": OLD}),
            event(6, "add_to_cart", user_id=BORIS, item_id="p4", price=5.0),
        ]
        await post(api, *told)
        now = time.time_ns() // 1000
        arrived = [Arrived(msgspec.convert(each, Event), now, 0, number) for number, each in enumerate(told)]
        lake.add(EVENTS, date_of(now), "one", to_table(arrived))
        bad = {**event(7, "view", user_id=ANNA), "price": -1}
        refused = await api.call("POST", "/v1/events", json=[bad, {**bad, "user_id": BORIS, "event_id": "e8"}])
        assert len(refused.json()["refused"]) == 2
        server.client.zadd(f"inlay:served:{ANNA}", {"s1\np1": 1})
        shown = await api.call("GET", f"/v1/blocks/weekly?user_id={ANNA}&send_id=s1")
        assert shown.status_code == 200
        server.client.xadd("quarantine", {"place": ANNA, "kind": "row", "original": b"{}", "reason": "r"})
        server.client.xadd("derived:0", {"event": msgspec.json.encode({"user_id": BORIS})})

        async def is_whole() -> bool:
            items = (await known(api, ANNA)).get("user_items", {})
            return set(items.get("recent_items") or []) == {"p1"} and items.get("purchased_items") == ["p3"]

        await until(is_whole)
        answer = await api.call("DELETE", f"/v1/users/{ANNA}")
        report = answer.json()
        assert answer.status_code == 200, answer.text
        assert report["state"] == "done", str(report)
        assert report["ids"] == 3
        erased = report["erased"]
        assert erased["features"] >= 1
        assert erased["served"] == erased["quarantine"] == 1
        assert erased["dead letters"] == 1
        assert erased["stream"] >= 5
        assert erased["lake"] == 5
        assert set(report["left"].values()) == {0}
        assert ANNA not in answer.text
        assert holding(server, ANNA, DEVICE, OLD) == set()
        assert lake.holds([ANNA, OLD], [DEVICE]) == 0
        assert lake.holds([BORIS], []) == 1
        assert (await known(api, BORIS))["user_items"]["cart_items"] == ["p4"]
        assert server.client.xlen("dead_letters") == 1
        again = (await api.call("DELETE", f"/v1/users/{ANNA}")).json()
        assert (again["state"], set(again["left"].values())) == ("done", {0})
        assert sum(number for place, number in again["erased"].items() if place != "stream") == 0
        read = await api.call("GET", f"/v1/erasures/{report['erasure']}")
        assert read.json() == report
        entries = (await api.call("GET", "/v1/admin/audit")).json()["entries"]
        assert [each["what"] for each in entries] == ["audit read", "erasures read", "users erase", "users erase"]
        assert entries[2]["about"] == report["user"]
        await post(api, event(20, "add_to_cart", user_id=ANNA, item_id="p5", price=1.0))

        async def is_back() -> bool:
            return (await known(api, ANNA)).get("user_items", {}).get("cart_items") == ["p5"]

        await until(is_back)
        assert (await known(api, ANNA))["user_activity"]["purchases_30d"] == 0

    run(server, story, INLAY_LAKE_URL=str(tmp_path / "lake"))


def test_a_stream_in_a_redis_of_its_own_is_looked_through_too(server: RedisServer, own_server: RedisServer) -> None:
    settings = {"INLAY_STREAM_URL": f"{own_server.url}?stream=events&partitions=4"}

    async def story() -> None:
        async with service(server, **settings) as api:
            await post(
                api,
                event(1, "view", anonymous_id=DEVICE, item_id="p1"),
                event(2, "identify", user_id=ANNA, anonymous_id=DEVICE),
                event(3, "view", user_id=BORIS, item_id="p4"),
            )

            async def is_whole() -> bool:
                return (await known(api, ANNA)).get("user_items", {}).get("recent_items") == ["p1"]

            await until(is_whole)
            assert holding(own_server, ANNA, DEVICE)
            report = (await api.call("DELETE", f"/v1/users/{ANNA}")).json()
            assert (report["state"], report["ids"], report["left"]["stream"]) == ("done", 2, 0), report
            assert report["erased"]["stream"] >= 2
            assert holding(server, ANNA, DEVICE) | holding(own_server, ANNA, DEVICE) == set()
            assert holding(own_server, BORIS)

    with flows(server, **settings):
        asyncio.run(asyncio.wait_for(story(), 120))


def test_a_no_outlives_an_erasure_and_is_all_that_is_shown(server: RedisServer) -> None:
    async def story(api: Service) -> None:
        await post(
            api,
            event(1, "add_to_cart", user_id=ANNA, item_id="p2", price=3.0),
            event(2, "consent", user_id=ANNA, properties={"profile_allowed": False, "email_allowed": True}),
            event(3, "add_to_cart", user_id=ANNA, item_id="p3", price=3.0),
        )
        consents = {"user_profile": {"email_allowed": True, "profile_allowed": False}}

        async def is_denied() -> bool:
            return await known(api, ANNA) == consents

        await until(is_denied)
        mail = (await api.call("GET", f"/v1/blocks/abandoned_cart?user_id={ANNA}&send_id=s1")).json()
        assert {block["source"] for block in mail["blocks"]} <= {"popular", "static"}
        report = (await api.call("DELETE", f"/v1/users/{ANNA}")).json()
        assert (report["state"], report["kept"]) == ("done", ["profile_allowed"]), report
        await post(api, event(9, "add_to_cart", user_id=ANNA, item_id="p3", price=3.0))
        await asyncio.sleep(0.3)
        assert await known(api, ANNA) == {"user_profile": {"profile_allowed": False}}

    run(server, story)


def test_what_waits_in_other_processes_goes_too(server: RedisServer, tmp_path: Path) -> None:
    """One process holds events on its disk, in its queue and what a mail showed; the other one is told to erase."""

    async def story(one: Service) -> None:
        async with service(server, INLAY_SPOOL=str(tmp_path / "other")) as other:
            for api in (one, other):
                await post(api, event(1, "add_to_cart", user_id=ANNA, item_id="p2", price=3.0))
            decisions, telling = other.app.state.decisions, other.app.state.telling
            spooled, stream = other.app.state.publisher, other.app.state.publisher._inner
            away = stream.publish
            stream.publish = refused
            held = [event(2, "purchase", user_id=ANNA, item_id="p3", price=9.0), event(3, "view", user_id=BORIS)]
            held[1]["item_id"] = "p4"
            await post(other, *held)
            assert holds_on_disk(tmp_path / "other", ANNA)
            telling.tell([msgspec.convert(event(4, "email_open", user_id=ANNA), Event)])
            await decisions.keep([an_answer(ANNA, "s1")], 1_700_000_000)
            assert decisions.remembered(ANNA, "s1", "weekly") is not None
            watch = other.app.state.hooks.watch
            delivered = {"type": "email_delivered", "occurred_at": 1, "send_id": "s1"}
            watch.judge([{**delivered, "user_id": user} for user in (ANNA, BORIS)])
            report = (await one.call("DELETE", f"/v1/users/{ANNA}")).json()
            assert report["state"] == "done", report
            erased = report["erased"]
            assert (erased["spool"] + erased["waiting"], erased["remembered"], erased["watched"]) == (2, 1, 1), report
            assert watch.readers == {BORIS}
            assert decisions.remembered(ANNA, "s1", "weekly") is None
            assert not holds_on_disk(tmp_path / "other", ANNA)
            assert holds_on_disk(tmp_path / "other", BORIS)
            stream.publish = away

            async def is_drained() -> bool:
                return spooled._spool.is_empty and telling.queued == 0

            await until(is_drained)
            assert holding(server, ANNA) == set()

            async def is_there() -> bool:
                return (await known(one, BORIS)).get("user_items", {}).get("recent_items") == ["p4"]

            await until(is_there)

    run(server, story)


def test_what_a_process_left_on_its_disk_that_was_away_meanwhile_goes_when_it_is_found(
    server: RedisServer, tmp_path: Path
) -> None:
    async def leave() -> None:
        spool = SpoolOfEvents(tmp_path / "spool", 10_000_000, 8)
        told = [event(2, "purchase", user_id=ANNA, item_id="p3", price=9.0), event(3, "view", user_id=BORIS)]
        await spool.append([(0, msgspec.json.encode({**each, "item_id": "p4"})) for each in told])
        await spool.close()

    async def story(api: Service) -> None:
        await post(api, event(1, "add_to_cart", user_id=ANNA, item_id="p2", price=3.0))
        await leave()
        assert (await api.call("DELETE", f"/v1/users/{ANNA}")).json()["state"] == "done"
        async with service(server, INLAY_SPOOL=str(tmp_path / "spool")) as other:

            async def is_drained() -> bool:
                return not list((tmp_path / "spool").iterdir()) and other.app.state.publisher._spool.is_empty

            await until(is_drained)
        assert holding(server, ANNA) == set()
        assert "user_items" not in await known(api, ANNA)
        assert holding(server, BORIS)

    run(server, story)


@pytest.mark.parametrize("at", ["the start", "the flows", "the places"])
def test_one_that_is_cut_off_is_gone_on_with_by_another_process(
    server: RedisServer, at: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed: nothing of it is given back, not even its turn."""
    monkeypatch.setattr(erasure_jobs, "LEASE_SECONDS", 1)
    monkeypatch.setattr(erasure, "RESUME_EVERY", 0.1)

    async def story(one: Service) -> None:
        await post(
            one,
            event(1, "identify", user_id=ANNA, anonymous_id=DEVICE),
            event(2, "add_to_cart", user_id=ANNA, item_id="p2", price=3.0),
        )
        server.client.zadd(f"inlay:served:{ANNA}", {"s1\np1": 1})

        async def is_whole() -> bool:
            return "user_items" in await known(one, ANNA)

        await until(is_whole)
        eraser = one.app.state.eraser
        reached = asyncio.Event()

        async def stuck(*_: Any) -> Any:
            reached.set()
            await asyncio.sleep(3600)

        cut = {
            "the start": (eraser.jobs, "mine", contextlib.asynccontextmanager(_never)),
            "the flows": (eraser._publisher, "publish", stuck), "the places": (eraser._places[2], "erase", stuck),
        }[at]  # fmt: skip
        with monkeypatch.context() as patch:
            patch.setattr(*cut)
            report, task = await eraser.start(ANNA)
            if at != "the start":
                await asyncio.wait_for(reached.wait(), 30)
        for each in asyncio.all_tasks():
            if each is task or "_renew" in repr(each.get_coro()) or "keep_resuming" in repr(each.get_coro()):
                monkeypatch.setattr(eraser.jobs, "_give_back", nothing)
                each.cancel()
        async with service(server) as other:

            async def is_done() -> bool:
                read = await other.call("GET", f"/v1/erasures/{report.erasure}")
                return bool(read.json()["state"] == "done")

            await until(is_done)
            end = (await other.call("GET", f"/v1/erasures/{report.erasure}")).json()
        assert end["tries"] == (1 if at == "the start" else 2)
        assert (end["ids"], end["erased"]["served"], set(end["left"].values())) == (2, 1, {0})
        assert end["erased"]["features"] >= 1
        assert holding(server, ANNA, DEVICE) == set()

    run(server, story)


async def refused(*_: Any) -> None:
    raise redis.ConnectionError("the stream is away")


async def nothing(*_: Any, **__: Any) -> None: ...


async def _never(*_: Any) -> AsyncIterator[bool]:
    yield False


def holds_on_disk(folder: Path, user: str) -> bool:
    return any(user.encode() in path.read_bytes() for path in folder.iterdir())


def an_answer(user: str, send: str) -> Answer:
    block = Block(
        "trending", "", "popular", (Item("p1", "Thing", None, None, 1.0, None, "EUR", 1, None),), "grid", None
    )
    return Answer("weekly", user, send, "2026-01-01T00:00:00Z", None, (block,), "en", ())


def test_while_the_flows_stand_still_the_answer_says_that_something_is_left(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.erasure.FLOW_SECONDS", 0.3)

    async def story() -> None:
        async with service(server) as api:
            await post(api, event(1, "view", user_id=ANNA, item_id="p1"))
            server.client.hset(USER.key(ANNA), "f", "v")
            report = (await api.call("DELETE", f"/v1/users/{ANNA}")).json()
            assert report["state"] == "left", str(report)
            assert report["left"]["features"] == 1
            assert "did not answer within" in report["notes"][-2]
            assert "tried again in 1 minutes" in report["notes"][-1]
            assert server.client.hexists("inlay:erasing", report["erasure"])
            assert (await api.call("DELETE", "/v1/users/" + "x" * 201)).status_code == 422
            assert (await api.call("GET", "/v1/erasures/none")).status_code == 404

    asyncio.run(story())


def test_no_secret_is_written_anywhere(server: RedisServer, caplog: pytest.LogCaptureFixture, capfd: Any) -> None:
    """Calls of all kinds, good and bad; then every log, answer and stored byte is searched for what was sent."""
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.WARNING, "httpx")  # the caller of this test, which logs what it asks for
    answers: list[str] = []
    secrets = {ALL, WRITE, "wrong-key-5512ab"}

    async def story() -> None:
        async with service(server, INLAY_WEBHOOKS="shopify=shop-secret-77ab12") as api:
            secrets.add("shop-secret-77ab12")
            key, shown = await api.made("read", "collect", "admin")
            token = await api.token(key, shown)
            secrets.update({shown, shown.rpartition("_")[2], token, token.rpartition(".")[2]})
            calls: list[tuple[str, str, Any]] = [
                ("GET", "/v1/blocks/weekly?user_id=u1", None), ("GET", "/v1/blocks/none?user_id=u1", None),
                ("GET", "/v1/users/u1", None), ("POST", "/v1/events", b"[{}]"), ("POST", "/v1/events", b"{"),
                ("POST", "/v1/track", b'{"userId": "u1", "event": "Seen"}'), ("GET", "/v1/admin/keys", None),
                ("GET", "/v1/admin/audit", None), ("POST", "/v1/admin/keys", b'{"name": 1}'), ("GET", "/nowhere", None),
                ("POST", "/v1/admin/keys/inl_0/rotate", None), ("POST", "/v1/webhooks/shopify", b"{}"),
                ("POST", "/v1/oauth/token", b"grant_type=client_credentials"), ("PUT", "/v1/events", b""),
            ]  # fmt: skip
            for secret in (ALL, WRITE, shown, token, "wrong-key-5512ab"):
                for method, path, body in calls:
                    for carried in ({"X-Api-Key": secret}, {"Authorization": f"Bearer {secret}"}):
                        answer = await api.call(method, path, "", headers=carried, content=body)
                        answers.append(answer.text)
                wrong = {"grant_type": "client_credentials", "client_id": key.key_id, "client_secret": secret + "x"}
                answers.append((await api.client.post("/v1/oauth/token", data=wrong)).text)
                pixel = f"/v1/pixel/track?userId=u1&event=Seen&writeKey={secret}"
                answers.append((await api.call("GET", pixel, "")).text)
            await api.app.state.known_keys.tell()

    asyncio.run(story())
    out, err = capfd.readouterr()
    everywhere = [*answers, caplog.text, out, err, *(raw.decode("latin-1") for raw in stored(server))]
    for secret in secrets:
        for place in everywhere:
            assert secret not in place, place[:500]
