"""The collecting routes over a real Redis: Segment's calls, a stream that is gone, too many at once."""

from __future__ import annotations

import asyncio
import base64
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import httpx
import msgspec
import pytest
import redis
from fastapi import FastAPI
from prometheus_client import REGISTRY

from api import problems
from api.access import Keys
from api.app import install_door
from api.calls import GIF
from api.collect import Collector
from api.features import connect
from api.publish import Bounded
from api.settings import api_settings
from dataflows.connectors import open_publisher
from dataflows.connectors.letters import DeadLetters
from dataflows.events import MAX_EVENT_BYTES, MINUTE, partition_of
from tests.contract.redis_server import RedisServer
from tests.flow.edges import CommittedSink, people, run
from tests.given import NOW
from tests.unit.dataflows.doubles import Clock, Committed, in_batches

PARTITIONS = 4
WRITE_KEY = "public"
PIXEL = f"userId=u1&event=x&writeKey={WRITE_KEY}"
VIEWED = {"userId": "u1", "event": "Product Viewed", "properties": {"product_id": "p1"}}


class Door:
    """The routes, in this process, at a Redis that has the stream and the dead letters."""

    def __init__(self, server: RedisServer, client: httpx.AsyncClient) -> None:
        self._server, self.client = server, client

    async def post(self, path: str, body: Any, **how: Any) -> httpx.Response:
        content = body if isinstance(body, bytes) else msgspec.json.encode(body)
        how.setdefault("auth", (WRITE_KEY, ""))
        return await self.client.post(f"/v1/{path}", content=content, **how)

    @property
    def events(self) -> list[dict[str, Any]]:
        """What is in the stream."""
        client: Any = self._server.client
        found = [entry for part in range(PARTITIONS) for entry in client.xrange(f"events:{part}")]
        return [msgspec.json.decode(fields[b"event"]) for _, fields in found]

    @property
    def letters(self) -> list[dict[str, str]]:
        """What was refused."""
        client: Any = self._server.client
        return [{k.decode(): v.decode() for k, v in fields.items()} for _, fields in client.xrange("letters")]


@contextlib.asynccontextmanager
async def open_door(server: RedisServer, wait: float = 5, **settings: str) -> AsyncIterator[Door]:
    publisher = Bounded(open_publisher(f"{server.url}?stream=events&partitions={PARTITIONS}"), wait)
    keeper = connect(server.url)
    collector = Collector(publisher, DeadLetters("letters", 1000), keeper, 5 * MINUTE)
    app = FastAPI()
    problems.install(app)
    install_door(app, collector, Keys([WRITE_KEY, "k"]), api_settings({"INLAY_API_KEYS": "k", **settings}))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api") as client:
        try:
            yield Door(server, client)
        finally:
            await publisher.close()
            await keeper.aclose(close_connection_pool=True)


def counted(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0


def test_each_call_becomes_an_event(server: RedisServer) -> None:
    async def story() -> None:
        async with open_door(server) as door:
            calls = {
                "track": VIEWED, "identify": {"userId": "u1", "anonymousId": "a1", "traits": {"firstName": "Ada"}},
                "alias": {"userId": "u1", "previousId": "u0"}, "page": {"anonymousId": "a1"},
                "screen": {"anonymousId": "a1"}, "group": {"userId": "u1", "groupId": "g"},
            }  # fmt: skip
            for call, body in calls.items():
                answer = await door.post(call, body)
                assert (answer.status_code, answer.json()) == (200, {"success": True})
                assert answer.headers["access-control-allow-origin"] == "*"
            assert sorted(event["type"] for event in door.events) == ["custom"] * 3 + ["identify"] * 2 + ["view"]
            assert door.letters == []

    asyncio.run(story())


def test_a_batch_shares_its_context_and_each_call_has_one_outcome(server: RedisServer) -> None:
    async def story() -> None:
        async with open_door(server) as door:
            large = {**VIEWED, "type": "track", "properties": {"text": "x" * MAX_EVENT_BYTES}}
            batch = [
                {**VIEWED, "type": "track"},
                {"type": "look"},
                7,
                large,
                {"type": "page"},
                {**VIEWED, "type": "track"},
            ]
            body = {"batch": batch, "context": {"campaign": {"name": "spring"}}, "writeKey": WRITE_KEY}
            answer = await door.post("batch", body, auth=None)
            assert (answer.status_code, answer.json()) == (200, {"success": True})
            assert [event["campaign_id"] for event in door.events] == ["spring"] * 2
            assert [letter["field"] for letter in door.letters] == ["type", "", "", "user_id"]
            assert [letter["kind"] for letter in door.letters] == ["schema", "schema", "size", "schema"]

    asyncio.run(story())


@pytest.mark.parametrize(
    ("call", "body"),
    [
        ("track", b"{"), ("track", b""), ("batch", b"[1"), ("batch", b"[]"), ("batch", b"{}"),
        ("batch", b'{"batch": 1}'),
        ("track", msgspec.json.encode({**VIEWED, "x": "x" * MAX_EVENT_BYTES})), ("batch", b" " * 512_001),
        ("batch", msgspec.json.encode({"batch": [1] * 2501})),
    ],
)  # fmt: skip
def test_a_body_that_is_no_json_or_too_large_is_400_and_kept(server: RedisServer, call: str, body: bytes) -> None:
    async def story() -> None:
        async with open_door(server) as door:
            answer = await door.post(call, body)
            assert answer.status_code == 400, answer.text
            assert [letter["original"] for letter in door.letters] == [body.decode()]
            assert door.events == []

    asyncio.run(story())


def test_a_key_is_asked_for_wherever_segments_clients_put_it(server: RedisServer) -> None:
    async def story() -> None:
        async with open_door(server) as door:
            for how in (
                {"auth": (WRITE_KEY, "")}, {"auth": ("k", "x")}, {"headers": {"X-Api-Key": WRITE_KEY}, "auth": None},
                {"headers": {"Authorization": f"Bearer {WRITE_KEY}"}, "auth": None},
            ):  # fmt: skip
                assert (await door.post("track", VIEWED, **how)).status_code == 200
            assert (await door.post("track", {**VIEWED, "writeKey": WRITE_KEY}, auth=None)).status_code == 200
            assert len(door.events) == 5
            for body in (VIEWED, {**VIEWED, "writeKey": "other"}, {**VIEWED, "writeKey": 7}, b"nonsense"):
                assert (await door.post("track", body, auth=None)).status_code == 401
                assert (await door.post("track", body, auth=("other", ""))).status_code == 401
            assert len(door.events) == 5
            assert door.letters == []

    asyncio.run(story())


def _data(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def test_a_pixel_always_comes_and_its_call_is_an_event_or_a_dead_letter(server: RedisServer) -> None:
    async def story() -> None:
        good = msgspec.json.encode({"userId": "u1", "event": "Email Opened", "writeKey": WRITE_KEY})
        queries = [
            f"data={_data(good)}", f"data={base64.b64encode(good).decode()}",
            f"userId=u1&event=Email+Opened&properties.email_id=7&writeKey={WRITE_KEY}",
        ]  # fmt: skip
        bad = [
            "", "data=", "data=!!!", f"data={_data(b'nonsense')}", f"data={_data(good)[:20]}", "data=%FF%00",
            "userId=u1&event=x&writeKey=other", f"writeKey={WRITE_KEY}&userId=u1", "a=1&a.b=2",
            f"data={_data(b'[1]')}&writeKey={WRITE_KEY}",
        ]  # fmt: skip
        async with open_door(server) as door:
            for query in (*queries, *bad):
                answer = await door.client.get(f"/v1/pixel/track?{query}")
                assert (answer.status_code, answer.content) == (200, GIF), query
                assert answer.headers["content-type"] == "image/gif"
            for path in ("pixel", "pixel/track/and/more"):
                answer = await door.client.get(f"/v1/{path}")
                assert (answer.status_code, answer.content) == (200, GIF)
            for path, data in (
                ("look", good),
                ("look", msgspec.json.encode({**msgspec.json.decode(good), "type": "track"})),
            ):
                answer = await door.client.get(f"/v1/pixel/{path}?data={_data(data)}")
                assert (answer.status_code, answer.content) == (200, GIF)
            assert [event["type"] for event in door.events] == ["email_open"] * 4
            assert len(door.letters) == len(bad) + 3
            assert all(letter["reason"] for letter in door.letters)

    asyncio.run(story())


def test_what_is_posted_fifty_times_at_once_and_again_counts_once(server: RedisServer) -> None:
    """The `event_id` is all it takes, also where another body comes under it later."""

    async def story() -> None:
        event = {"event_id": "e1", "type": "view", "occurred_at": NOW, "user_id": "u1", "item_id": "p1"}
        async with open_door(server) as door:
            answers = await asyncio.gather(*(door.post("events", event) for _ in range(50)))
            answers.append(await door.post("events", [event, {**event, "type": "purchase"}]))
            assert [answer.status_code for answer in answers] == [202] * 51
            assert {answer.content for answer in answers[:50]} == {b'{"accepted":1,"refused":[]}'}

    asyncio.run(story())
    committed = Committed()
    stream: Any = server.client.xrange(f"events:{partition_of('u1', PARTITIONS)}")
    values = [fields[b"event"] for _, fields in stream]
    assert len(values) == 52
    run(people(committed, Clock()), in_batches(0, values, [9] * 10), CommittedSink(committed))
    row = committed.values()["user", "u1"]
    assert (row["views_24h"], row["purchases_24h"], row["recent_items"]) == (1, 0, ["p1"])


def test_a_browser_may_ask_first(server: RedisServer) -> None:
    async def story() -> None:
        async with open_door(server) as door:
            for path in ("events", "track", "batch"):
                answer = await door.client.options(
                    f"/v1/{path}", headers={"Origin": "https://shop.example", "Access-Control-Request-Method": "POST"}
                )
                assert answer.status_code == 204
                assert answer.headers["access-control-allow-origin"] == "*"
                assert "x-api-key" in answer.headers["access-control-allow-headers"]
            refused = await door.client.post("/v1/events", content=b"{}")
            assert (refused.status_code, refused.headers["access-control-allow-origin"]) == (401, "*")
            assert (await door.client.get("/v1/events")).status_code == 405

    asyncio.run(story())


def test_a_stream_that_hangs_or_is_gone_is_answered_503_in_time_and_heals(own_server: RedisServer) -> None:
    async def story() -> None:
        async with open_door(own_server, wait=0.2) as door:
            assert (await door.post("track", VIEWED)).status_code == 200
            lost = counted("inlay_collected_events_total", outcome="lost")
            own_server.pause()
            for path in ("track", "events"):
                event = {"event_id": "e", "type": "view", "occurred_at": 1_700_000_000, "user_id": "u"}
                answer = await asyncio.wait_for(door.post(path, VIEWED if path == "track" else event), 10)
                assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
            assert (await door.client.get(f"/v1/pixel/track?{PIXEL}")).status_code == 200
            assert counted("inlay_collected_events_total", outcome="lost") == lost + 1
            own_server.resume()
            assert await _heals(door)
            own_server.kill()
            assert (await door.post("track", VIEWED)).status_code == 503
            own_server.start()
            assert await _heals(door)

    asyncio.run(story())


async def _heals(door: Door) -> bool:
    for _ in range(100):
        if (await door.post("track", VIEWED)).status_code == 200:
            return True
        await asyncio.sleep(0.05)
    return False


def test_more_than_can_be_borne_is_sent_away_at_once(own_server: RedisServer) -> None:
    async def story() -> None:
        async with open_door(own_server, wait=1, INLAY_IN_FLIGHT="10", INLAY_IN_FLIGHT_MB="1") as door:
            await door.post("track", VIEWED)
            own_server.pause()
            shed = counted("inlay_shed_requests_total")
            answers = await asyncio.gather(*(door.post("track", VIEWED) for _ in range(50)))
            assert {answer.status_code for answer in answers} == {503}
            assert all(answer.headers["retry-after"] for answer in answers)
            assert counted("inlay_shed_requests_total") - shed == 40
            webhooks = await asyncio.gather(
                *(door.post("track", VIEWED) for _ in range(10)), door.post("webhooks/shopify", b"{}")
            )
            assert (webhooks[-1].status_code, webhooks[-1].headers["retry-after"]) == (503, "1")
            lost = counted("inlay_collected_events_total", outcome="lost")
            pictures = await asyncio.gather(*(door.client.get(f"/v1/pixel/track?{PIXEL}") for _ in range(15)))
            assert {(each.status_code, each.content) for each in pictures} == {(200, GIF)}
            assert counted("inlay_collected_events_total", outcome="lost") == lost + 15
            large = await asyncio.gather(*(door.post("batch", b" " * 400_000) for _ in range(3)))
            assert sum(b"more comes in" in answer.content for answer in large) == 1
            own_server.resume()
            assert await _heals(door)

    asyncio.run(story())


def test_the_publisher_keeps_each_callers_order_and_tells_each_its_own_fault(server: RedisServer) -> None:
    async def story() -> None:
        publisher = open_publisher(f"{server.url}?stream=events&partitions={PARTITIONS}")
        server.client.set("events:3", "no stream")

        async def call(number: int) -> str:
            try:
                await publisher.publish([(number % PARTITIONS, b"%d.%d" % (number, each)) for each in range(5)])
            except redis.ResponseError:
                return "refused"
            return "taken"

        outcomes = await asyncio.gather(*map(call, range(400)))
        assert outcomes == ["refused" if number % PARTITIONS == 3 else "taken" for number in range(400)]
        for part in range(3):
            entries: Any = server.client.xrange(f"events:{part}")
            expected = [b"%d.%d" % (number, each) for number in range(part, 400, PARTITIONS) for each in range(5)]
            assert [fields[b"event"] for _, fields in entries] == expected
        await publisher.close()

    asyncio.run(story())


def test_a_caller_that_gave_up_before_its_records_went_takes_them_back(own_server: RedisServer) -> None:
    async def story() -> None:
        publisher = open_publisher(f"{own_server.url}?stream=events&partitions={PARTITIONS}")
        await publisher.publish([(0, b"first")])
        own_server.pause()
        under_way = asyncio.create_task(publisher.publish([(0, b"under way")]))
        await asyncio.sleep(0)
        given_up = asyncio.create_task(publisher.publish([(0, b"given up")]))
        await asyncio.sleep(0.1)
        given_up.cancel()
        own_server.resume()
        await under_way
        await publisher.publish([(0, b"last")])
        entries: Any = own_server.client.xrange("events:0")
        assert [fields[b"event"] for _, fields in entries] == [b"first", b"under way", b"last"]
        await publisher.close()

    asyncio.run(story())


def test_everything_of_one_person_is_in_one_partition(server: RedisServer) -> None:
    async def story() -> None:
        async with open_door(server) as door:
            await asyncio.gather(*(door.post("track", {**VIEWED, "userId": f"u{n % 7}"}) for n in range(50)))
            client: Any = server.client
            for part in range(PARTITIONS):
                for _, fields in client.xrange(f"events:{part}"):
                    assert partition_of(msgspec.json.decode(fields[b"event"])["user_id"], PARTITIONS) == part
            assert len(door.events) == 50

    asyncio.run(story())
