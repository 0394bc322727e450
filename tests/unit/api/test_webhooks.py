"""Webhooks: one contract for every platform. What is genuine becomes the events expected of it, the rest nothing."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from functools import cache
from typing import Any
from urllib.parse import parse_qsl

import httpx
import msgspec
import pytest
import redis
from fastapi import FastAPI
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api import collect, problems
from api.collect import Collector
from api.platforms import NAMES, Delivery, find_platform, secrets_by_platform
from api.settings import api_settings
from api.webhooks import MOST_BYTES, MOST_FORGED, Hooks, routes
from dataflows.connectors.letters import DeadLetters
from dataflows.events import MINUTE, SECOND, Event, parse, partition_of
from dataflows.settings import SettingError
from tests.unit.api.senders import (
    CERTIFICATE_URL,
    NOW,
    SEALS,
    SECRETS,
    Case,
    Posted,
    cases,
    setting,
    sns_certificate,
)  # fmt: skip
from tests.unit.api.test_collect import Letterbox, Stream, is_problem
from tests.unit.dataflows.proofs import USUAL

CASES = cases()
FIRST = {case.platform: case for case in reversed(CASES) if case.expected}
"""Of each platform one delivery that something comes of."""
ABOUT_THE_BODY = {
    "Content-Type", "X-Shopify-Shop-Domain", "X-Shopify-Topic", "X-WC-Webhook-Topic", "x-amz-sns-message-type",
}  # fmt: skip
MALFORMED = [b"", b"{", b"null", b"7", b'"word"', b"[]", b"[7]", b"{}", b"\xff\xfe", b"[" * 5000, b"a=b&c", b"%%%"]


class Door:
    """The service with its doubles."""

    def __init__(self, *words: str) -> None:
        self.stream, self.box = Stream(), Letterbox()
        self.fetched: list[str] = []
        self.pages: dict[str, bytes | OSError] = {CERTIFICATE_URL: sns_certificate()}
        self.now = NOW * SECOND
        collector = Collector(self.stream, DeadLetters("letters", 1000), self.box, 5 * MINUTE, lambda: self.now)
        self.app = FastAPI()
        problems.install(self.app)
        self.hooks = Hooks(collector, secrets_by_platform(words or setting()), lambda: self.now, self._fetch)
        self.app.include_router(routes(self.hooks))

    async def _fetch(self, url: str) -> bytes:
        self.fetched.append(url)
        page = self.pages.get(url, b"")
        if isinstance(page, OSError):
            raise page
        return page

    def call(self, method: str, path: str, posted: Posted) -> httpx.Response:
        """A request as it is; raises what the service raises."""

        async def call() -> httpx.Response:
            transport = httpx.ASGITransport(self.app)
            async with httpx.AsyncClient(transport=transport, base_url="https://api") as client:
                return await client.request(method, path + posted.query, content=posted.body, headers=posted.headers)

        return asyncio.run(call())

    def post(self, platform: str, posted: Posted) -> httpx.Response:
        """Post to a platform's webhook."""
        return self.call("POST", f"/v1/webhooks/{platform}", posted)

    def status_of(self, platform: str, posted: Posted) -> int:
        """The status that a delivery is answered with; sooner told than by a request."""
        headers = {name.lower(): value for name, value in posted.headers.items()}
        query = dict(parse_qsl(posted.query.removeprefix("?")))
        delivery = Delivery(headers, posted.body, query, f"api/v1/webhooks/{platform}", self.now)
        try:
            asyncio.run(self.hooks.take(platform, delivery))
        except problems.Problem as problem:
            return problem.status
        return 200

    @property
    def events(self) -> list[dict[str, Any]]:
        """What is in the stream."""
        return [msgspec.json.decode(raw) for _, raw in self.stream.records]


@pytest.fixture
def door() -> Door:
    return Door()


def sealed(case: Case, secret: int = 0, body: bytes | None = None) -> Posted:
    """A recorded delivery, or another body, under a secret of its platform."""
    return SEALS[case.platform](case.name, case.body if body is None else body, SECRETS[case.platform][secret])


every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.platform}-{case.name}")
every_platform = pytest.mark.parametrize("case", FIRST.values(), ids=FIRST)


def test_every_platform_has_recorded_deliveries_and_a_sender() -> None:
    assert set(FIRST) == set(SEALS) == set(NAMES)


class TestGenuine:
    """200: its events are in the stream."""

    @every_case
    def test_it_becomes_the_expected_events(self, door: Door, case: Case) -> None:
        answer = door.post(case.platform, sealed(case))
        assert (answer.status_code, answer.json()) == (200, {"accepted": len(case.expected), "refused": 0})
        assert door.events == case.expected
        assert door.box.letters == []

    @every_case
    def test_its_events_can_be_read_and_lie_in_the_partition_of_whose_they_are(self, door: Door, case: Case) -> None:
        door.post(case.platform, sealed(case))
        for partition, raw in door.stream.records:
            event = parse(raw, door.now)
            assert isinstance(event, Event)
            assert partition == partition_of(event.key, door.stream.partitions)

    @every_case
    def test_no_address_goes_on(self, door: Door, case: Case) -> None:
        door.post(case.platform, sealed(case))
        words = re.findall(rb"[\w.+-]+(?:@|%40)[\w-]+[.]\w+(?![.\w])", case.body)
        addresses = [word.lower() for word in words if b"sample.mailgun.com" not in word]
        assert not [raw for _, raw in door.stream.records for address in addresses if address in raw.lower()]

    @every_case
    def test_delivered_again_it_is_the_same_events(self, door: Door, case: Case) -> None:
        door.post(case.platform, sealed(case))
        first = door.events
        door.stream.records.clear()
        door.now += 2 * MINUTE
        assert door.post(case.platform, sealed(case)).status_code == 200
        assert [event["event_id"] for event in door.events] == [event["event_id"] for event in first]
        assert len({event["event_id"] for event in first}) == len(first)

    @every_platform
    def test_while_a_secret_gives_way_to_another_both_are_good(self, door: Door, case: Case) -> None:
        assert door.post(case.platform, sealed(case, secret=1)).status_code == 200
        assert len(door.events) == len(case.expected)


class TestForged:
    """401: nothing of it goes on, and it is kept as a dead letter, within an allowance."""

    @every_platform
    def test_the_secret_of_somebody_else(self, door: Door, case: Case) -> None:
        posted = sealed(case, secret=2)
        say = is_problem(door.post(case.platform, posted), 401)
        assert f"check the secret of {case.platform} in INLAY_WEBHOOKS" in say
        assert SECRETS[case.platform][0] not in say
        assert door.stream.records == []
        (letter,) = door.box.letters
        assert (letter["stage"], letter["kind"]) == (f"webhook:{case.platform}", "signature")
        assert letter["original"] == posted.body

    @every_platform
    def test_without_proof(self, door: Door, case: Case) -> None:
        is_problem(door.post(case.platform, Posted(case.body)), 401)
        assert door.stream.records == []

    @every_platform
    def test_with_any_header_of_the_proof_missing(self, door: Door, case: Case) -> None:
        posted = sealed(case)
        for name in posted.headers.keys() - ABOUT_THE_BODY:
            left = {other: value for other, value in posted.headers.items() if other != name}
            is_problem(door.post(case.platform, posted._replace(headers=left)), 401)
        assert door.stream.records == []

    @every_platform
    def test_with_any_header_of_the_proof_spoilt(self, door: Door, case: Case) -> None:
        posted = sealed(case)
        for name in posted.headers.keys() - ABOUT_THE_BODY:
            for spoilt in ("", "0", posted.headers[name] + "x", posted.headers[name].swapcase(), "\xe9" * 9):
                if spoilt == posted.headers[name]:
                    continue
                changed = {other: value.encode("latin-1") for other, value in posted.headers.items()}
                changed[name] = spoilt.encode("latin-1")
                is_problem(door.post(case.platform, posted._replace(headers=changed)), 401)  # type: ignore[arg-type]
        assert door.stream.records == []

    @pytest.mark.parametrize("name", [name for name in NAMES if find_platform(name).covers_body])
    def test_with_a_bit_of_the_body_flipped(self, name: str) -> None:
        door, posted = Door(), sealed(FIRST[name])
        for place in range(0, len(posted.body), max(1, len(posted.body) // 40)):
            body = bytearray(posted.body)
            body[place] ^= 1
            answer = door.post(name, posted._replace(body=bytes(body)))
            # Of an envelope of SNS, what is not signed may change, and then nothing comes of it but what was signed.
            if not (name == "ses" and answer.status_code == 200):
                is_problem(answer, 401)
        assert all(event in FIRST[name].expected for event in door.events)
        assert name == "ses" or door.events == []

    @pytest.mark.parametrize("name", ["customerio", "hubspot", "standard", "sendgrid", "mailgun"])
    def test_sent_again_too_late(self, name: str) -> None:
        window = {"sendgrid": 26 * 60 * MINUTE, "mailgun": 9 * 60 * MINUTE}.get(name, 5 * MINUTE)
        for later, status in ((window - 2 * MINUTE, 200), (window + MINUTE, 401), (-window - 2 * MINUTE, 401)):
            door = Door()
            door.now += later
            assert door.post(name, sealed(FIRST[name])).status_code == status

    def test_whoever_posts_without_proof_cannot_fill_the_dead_letters(self, door: Door) -> None:
        for _ in range(100):
            is_problem(door.post("shopify", Posted(b"x" * (MOST_FORGED + 1))), 401)
        assert [len(letter["original"]) for letter in door.box.letters] == [MOST_FORGED] * 20
        door.now += 3 * MINUTE
        for _ in range(100):
            door.post("shopify", Posted(b"x"))
        assert len(door.box.letters) == 23


class TestNotSetUp:
    """404: a platform that nobody set up, or that there is not."""

    @pytest.mark.parametrize("name", ["shopify", "nonsense", "__init__", "Postmark"])
    def test_it_takes_nothing(self, name: str) -> None:
        door = Door("postmark=word")
        for method in ("POST", "GET"):
            assert "INLAY_WEBHOOKS" in is_problem(door.call(method, f"/v1/webhooks/{name}", Posted(b"{}")), 404)
        assert door.box.letters == []

    @pytest.mark.parametrize(
        ("word", "say"),
        [
            ("shopfy=hidden", "'shopfy' names no platform"),
            ("hidden", "a word without ="),
            ("shopify=", "shopify has no secret"),
            ("shopify= ", "shopify has no secret"),
        ],
    )
    def test_a_setting_that_cannot_be_used_is_named_and_no_secret_told(self, word: str, say: str) -> None:
        with pytest.raises(SettingError) as raised:
            api_settings({"INLAY_API_KEYS": "k", "INLAY_WEBHOOKS": f"postmark=word,{word}"})
        assert str(raised.value).startswith(f"INLAY_WEBHOOKS: {say}")
        assert "hidden" not in str(raised.value)

    def test_the_setting_names_the_secrets_of_each_platform_in_order(self) -> None:
        words = "shopify=old, postmark = word ,shopify=new,"
        settings = api_settings({"INLAY_API_KEYS": "k", "INLAY_WEBHOOKS": words})
        assert settings.webhooks == {"shopify": ("old", "new"), "postmark": ("word",)}

    def test_a_secret_may_hold_what_base64_does(self) -> None:
        case = FIRST["shopify"]
        posted = SEALS["shopify"](case.name, case.body, "a+b/c==")
        assert Door("shopify=a+b/c==").post("shopify", posted).status_code == 200


class TestTriedOut:
    """What platforms do to see whether somebody is there."""

    @pytest.mark.parametrize("name", NAMES)
    @pytest.mark.parametrize("method", ["GET", "HEAD"])
    def test_a_look_at_the_url(self, door: Door, name: str, method: str) -> None:
        assert door.call(method, f"/v1/webhooks/{name}", Posted(b"")).status_code == 200

    def test_the_form_by_which_woocommerce_tries_a_url(self, door: Door) -> None:
        assert door.post("woocommerce", Posted(b"webhook_id=12")).status_code == 200
        is_problem(door.post("woocommerce", Posted(b"webhook_id=12&x=1")), 401)
        assert door.events == []


class TestMalformed:
    """With the right proof no content is answered with an error, or it would come again for days; it is kept."""

    @every_platform
    @pytest.mark.parametrize("body", MALFORMED, ids=repr)
    def test_what_makes_no_sense(self, door: Door, case: Case, body: bytes) -> None:
        if case.platform in ("mailgun", "ses"):  # their proof lies in the body, so that no such body has one
            is_problem(door.post(case.platform, Posted(body)), 401)
            return
        answer = door.post(case.platform, sealed(case, body=body))
        assert answer.status_code == 200
        assert door.events == []
        kept = [letter["original"] for letter in door.box.letters]
        assert len(kept) == answer.json()["refused"] <= 1
        assert set(kept) <= {body, body.strip(b"[]")} or case.platform == "standard"
        if body in MALFORMED[:2]:
            assert kept

    def test_what_lies_in_an_envelope_of_sns(self, door: Door) -> None:
        for message in ("", "{", "null", "[]", "{}", '{"eventType": 7}', '{"eventType": "Open", "mail": 3, "open": 1}'):
            body = msgspec.json.encode({**msgspec.json.decode(FIRST["ses"].body), "Message": message})
            assert door.post("ses", sealed(FIRST["ses"], body=body)).status_code == 200
        assert door.events == []

    @every_platform
    def test_an_event_that_is_refused_is_kept_and_its_neighbours_go_on(self, door: Door, case: Case) -> None:
        door.now = 1_500_000_000 * SECOND  # all that is recorded lies in the future then
        posted = sealed(case)
        answer = door.post(case.platform, posted)
        if answer.status_code == 200:  # where a time is signed, it is of another year
            assert answer.json() == {"accepted": 0, "refused": len(case.expected)}
            assert [letter["kind"] for letter in door.box.letters] == ["time"] * len(case.expected)

    @pytest.mark.parametrize("name", ["sendgrid", "hubspot", "klaviyo", "braze"])
    def test_of_several_things_one_that_makes_no_sense_keeps_none_of_the_others_back(self, name: str) -> None:
        door, case = Door(), FIRST[name]
        content = msgspec.json.decode(case.body)
        things = content if isinstance(content, list) else next(each for each in content.values() if type(each) is list)
        timeless = msgspec.json.decode(msgspec.json.encode(things[1]))
        for where in (timeless, timeless.get("payload", {}).get("data", {}).get("attributes", {})):
            for key in ("timestamp", "occurredAt", "time", "datetime"):
                where.pop(key, None)
        things[1:1] = [7, timeless, None]
        answer = door.post(name, sealed(case, body=msgspec.json.encode(content)))
        assert answer.json() == {"accepted": len(case.expected), "refused": 3}
        assert door.events == case.expected
        assert [letter["original"] for letter in door.box.letters] == [b"7", msgspec.json.encode(timeless), b"null"]

    def test_a_body_without_end_is_not_read_to_its_end(self, door: Door) -> None:
        is_problem(door.post("shopify", Posted(b" " * (MOST_BYTES + 1))), 413)
        assert door.box.letters == []

    def test_a_body_that_does_not_come_is_not_waited_for(self, door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(collect, "BODY_SECONDS", 0)

        async def silent() -> AsyncIterator[bytes]:
            yield b"{"
            await asyncio.Event().wait()

        async def call() -> httpx.Response:
            transport = httpx.ASGITransport(door.app)
            async with httpx.AsyncClient(transport=transport, base_url="https://api") as client:
                return await client.post("/v1/webhooks/shopify", content=silent())

        is_problem(asyncio.run(call()), 408)
        assert door.events == door.box.letters == []


class TestStreamDown:
    """503: the platform is to send it again."""

    @every_platform
    def test_the_stream_does_not_take_it(self, door: Door, case: Case) -> None:
        door.stream.failure = redis.ConnectionError("refused")
        answer = door.post(case.platform, sealed(case))
        is_problem(answer, 503)
        assert int(answer.headers["retry-after"]) >= 1

    def test_what_cannot_be_read_cannot_be_kept(self, door: Door) -> None:
        door.box.failure = redis.ConnectionError("refused")
        is_problem(door.post("shopify", sealed(FIRST["shopify"], body=b"{")), 503)


@cache
def door_of(name: str) -> Door:
    """One for all deliveries that a platform sends."""
    return Door()


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=60 * settings().max_examples // USUAL, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_random_bytes_are_never_an_error_of_ours(name: str, data: st.DataObject) -> None:
    """Whether they come with the right proof or without."""
    case = data.draw(st.sampled_from([case for case in CASES if case.platform == name]))
    kind = data.draw(st.sampled_from(["bytes", "json", "mutated"]))
    if kind == "bytes":
        body = data.draw(st.binary(max_size=300))
    elif kind == "json":
        words = st.sampled_from(["id", "event", "data", "email", "events", "type", "line_items", "user", "properties"])
        content = st.recursive(
            st.none()
            | st.booleans()
            | st.floats(allow_nan=False)
            | st.text(max_size=5)
            | st.integers(-(2**63), 2**64 - 1),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=4),
            max_leaves=12,
        )
        body = msgspec.json.encode(data.draw(content))
    else:
        body = mutated(case.body, data)
    try:
        posted = sealed(case, body=body)
    except Exception:  # a sender that looks into its body cannot seal just any
        posted = Posted(body)
    assert door_of(name).status_of(name, posted) in (200, 401)


def mutated(body: bytes, data: st.DataObject) -> bytes:
    """A recorded body in which a value gave way to another of any type."""
    try:
        content = msgspec.json.decode(body)
    except msgspec.DecodeError:
        place = data.draw(st.integers(0, len(body) - 1))
        return body[:place] + data.draw(st.binary(max_size=4)) + body[place + 1 :]
    places: list[tuple[Any, Any]] = []

    def walk(node: Any) -> None:
        for key in list(node) if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ():
            places.append((node, key))
            walk(node[key])

    walk(content)
    for _ in range(data.draw(st.integers(1, 3))):
        node, key = data.draw(st.sampled_from(places))
        node[key] = data.draw(
            st.sampled_from(
                [None, True, -1, 0, 1e300, "", " ", "x" * 300, "\x00", "1e400", "²", [], {}, [[]], {"id": []}]
            )
        )
    return msgspec.json.encode(content)
