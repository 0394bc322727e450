"""Events at the door: what is accepted, what is refused in which words, and that nothing is lost in between."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import httpx
import msgspec
import pytest
import redis
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import REGISTRY

from api import collect, problems
from api.access import Keys
from api.collect import KEPT_BODY, MAX_BODY, MAX_EVENTS, Collector, routes
from dataflows.connectors.letters import DeadLetters
from dataflows.events import MINUTE, SECOND, partition_of

NOW = 1_700_000_000 * SECOND
PARTITIONS = 5
VIEW: dict[str, Any] = {
    "event_id": "e1", "type": "view", "occurred_at": 1_699_999_999, "user_id": "u1", "item_id": "p1",
}  # fmt: skip


class Stream:
    """A publisher that keeps what it is given; or fails, as one whose Redis does."""

    partitions = PARTITIONS

    def __init__(self) -> None:
        self.records: list[tuple[int, bytes]] = []
        self.failure: Exception | None = None

    async def publish(self, records: Sequence[tuple[int, bytes]]) -> None:
        if self.failure:
            raise self.failure
        self.records += records

    async def close(self) -> None:
        pass


class Letterbox:
    """The client of the dead letters: keeps the entries of a pipeline once it is executed; or fails."""

    def __init__(self) -> None:
        self.letters: list[dict[str, Any]] = []
        self.failure: Exception | None = None

    def pipeline(self, transaction: bool) -> _Queue:
        return _Queue(self)


class _Queue:
    def __init__(self, box: Letterbox) -> None:
        self._box, self._queued = box, list[dict[str, Any]]()

    def execute_command(self, *command: Any) -> None:
        assert (command[0], command[3]) == ("EVAL", "letters")
        first = command.index("flow")
        self._queued.append(dict(zip(command[first::2], command[first + 1 :: 2], strict=True)))

    async def execute(self) -> None:
        if self._box.failure:
            raise self._box.failure
        self._box.letters += self._queued


class Door:
    """The service with its doubles."""

    def __init__(self) -> None:
        self.stream, self.box = Stream(), Letterbox()
        letters = DeadLetters("letters", 1000)
        collector = Collector(self.stream, letters, self.box, 5 * MINUTE, lambda: NOW)
        self.app = FastAPI()
        problems.install(self.app)
        self.app.include_router(routes(collector, Keys(["k"])))

    def post(self, body: bytes | AsyncIterator[bytes]) -> httpx.Response:
        """Post a body as it is."""

        async def call() -> httpx.Response:
            async with httpx.AsyncClient(transport=httpx.ASGITransport(self.app), base_url="http://api") as client:
                return await client.post("/v1/events", headers={"X-Api-Key": "k"}, content=body)

        return asyncio.run(call())

    def send(self, *events: dict[str, Any]) -> httpx.Response:
        """Post an array."""
        return self.post(msgspec.json.encode(events))


@pytest.fixture
def door() -> Door:
    return Door()


def is_problem(answer: httpx.Response, status: int) -> str:
    """Make sure that the answer is a problem; its detail."""
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert body["status"] == status
    return str(body["detail"])


class TestAccepted:
    """202: it is in the stream."""

    def test_one_event(self, door: Door) -> None:
        answer = door.post(msgspec.json.encode(VIEW))
        assert (answer.status_code, answer.json()) == (202, {"accepted": 1, "refused": []})
        assert door.stream.records == [(partition_of("u1", PARTITIONS), msgspec.json.encode(VIEW))]
        assert door.box.letters == []

    def test_an_array_keeps_its_order(self, door: Door) -> None:
        events = [{**VIEW, "event_id": f"e{number}"} for number in range(20)]
        assert door.send(*events).json() == {"accepted": 20, "refused": []}
        assert [msgspec.json.decode(raw) for _, raw in door.stream.records] == events

    def test_an_empty_array_is_nothing_wrong(self, door: Door) -> None:
        answer = door.post(b" [ ] ")
        assert (answer.status_code, answer.json()) == (202, {"accepted": 0, "refused": []})

    def test_an_event_keeps_its_bytes(self, door: Door) -> None:
        """Spaces, escapes, the order of keys, keys that we do not know: all of it goes on as it came."""
        raw = (
            b'{ "user_id":"u\\u00e9" ,\n"x":{"deep":[1, 2.50,null]},\t"type":"view","event_id":"e",'
            b'"occurred_at":1.699999999e9,"item_id":"\xe2\x98\x83" }'
        )
        assert door.post(b"[" + raw + b" , " + raw + b"]").status_code == 202
        assert door.post(raw).status_code == 202
        assert door.stream.records == [(partition_of("ué", PARTITIONS), raw)] * 3

    @pytest.mark.parametrize(
        ("event", "key"),
        [
            ({**VIEW, "anonymous_id": "a1"}, "u1"),
            ({**VIEW, "user_id": None, "anonymous_id": "a1"}, "a1"),
            ({"event_id": "e", "type": "item", "occurred_at": 1_600_000_000, "item_id": "p9"}, "p9"),
            ({**VIEW, "user_id": "Ж" * 200}, "Ж" * 200),
        ],
    )
    def test_everything_of_one_key_goes_into_one_partition(self, door: Door, event: dict[str, Any], key: str) -> None:
        assert door.send(event).json()["accepted"] == 1
        assert [partition for partition, _ in door.stream.records] == [partition_of(key, PARTITIONS)]

    def test_as_many_events_as_are_allowed(self, door: Door) -> None:
        small = {"event_id": "e", "type": "view", "occurred_at": 1_600_000_000, "user_id": "u", "item_id": "p"}
        assert door.send(*[small] * MAX_EVENTS).json() == {"accepted": MAX_EVENTS, "refused": []}

    def test_as_many_bytes_as_are_allowed(self, door: Door) -> None:
        raw = msgspec.json.encode([VIEW])
        assert door.post(raw + b" " * (MAX_BODY - len(raw))).status_code == 202

    def test_an_event_a_little_ahead_of_the_clock(self, door: Door) -> None:
        ahead = [{**VIEW, "occurred_at": NOW // SECOND + seconds} for seconds in (299, 301)]
        answer = door.send(*ahead).json()
        assert answer["accepted"] == 1
        assert [(each["index"], each["field"]) for each in answer["refused"]] == [(1, "occurred_at")]


def counted(outcome: str) -> float:
    return REGISTRY.get_sample_value("inlay_collected_events_total", {"outcome": outcome}) or 0


def test_events_are_counted_by_what_became_of_them(door: Door) -> None:
    accepted, refused = counted("accepted"), counted("refused")
    door.send(VIEW, {}, VIEW)
    door.post(b"nonsense")
    assert (counted("accepted") - accepted, counted("refused") - refused) == (2, 2)
    door.stream.failure = redis.ConnectionError("refused")
    door.send(VIEW)
    assert counted("accepted") - accepted == 2


class TestRefused:
    """What is refused is named by its place and kept with its bytes; what is good goes on."""

    @pytest.mark.parametrize(
        ("event", "field", "reason"),
        [
            ({**VIEW, "event_id": ""}, "event_id", "event_id: must not be empty"),
            ({**VIEW, "type": "look"}, "type", "type: is none of the known types: 'look'"),
            ({**VIEW, "occurred_at": "yesterday"}, "occurred_at", "occurred_at: "),
            ({**VIEW, "user_id": None}, "user_id", "give user_id or anonymous_id"),
            ({**VIEW, "user_id": "a\u0000b"}, "user_id", "control character"),
            ({**VIEW, "quantity": -1}, "quantity", "quantity: must be more than 0"),
            ({**VIEW, "title": "x" * 33_000}, "", "an event may have 32,768"),
            ({"type": "view"}, "event_id", "event_id: is missing"),
        ],
    )  # fmt: skip
    def test_an_event_with_a_fault(self, door: Door, event: dict[str, Any], field: str, reason: str) -> None:
        answer = door.send(VIEW, event, VIEW)
        assert answer.status_code == 202
        body = answer.json()
        assert body["accepted"] == 2
        (refused,) = body["refused"]
        assert (refused["index"], refused["field"]) == (1, field)
        assert reason in refused["reason"]
        assert [raw for _, raw in door.stream.records] == [msgspec.json.encode(VIEW)] * 2
        (letter,) = door.box.letters
        assert letter["original"] == msgspec.json.encode(event)
        assert (letter["flow"], letter["stage"], letter["field"]) == ("api", "collect", field)
        assert letter["reason"] == refused["reason"]
        assert letter["refused_at"] == "2023-11-14T22:13:20.000Z"

    def test_one_event_alone_is_refused_with_202_too(self, door: Door) -> None:
        answer = door.post(b'{"type": "view"}')
        assert (answer.status_code, answer.json()["accepted"]) == (202, 0)
        assert [letter["original"] for letter in door.box.letters] == [b'{"type": "view"}']
        assert door.stream.records == []

    @pytest.mark.parametrize("raw", [b"null", b"7", b'"word"', b"true", b"[]"])
    def test_what_is_no_object_is_refused_as_an_event(self, door: Door, raw: bytes) -> None:
        (refused,) = door.post(b"[" + raw + b"]").json()["refused"]
        assert "an event is a JSON object" in refused["reason"]
        assert [letter["original"] for letter in door.box.letters] == [raw]

    def test_bytes_that_are_no_text_inside_an_event_leave_its_neighbours_alone(self, door: Door) -> None:
        good, bad = msgspec.json.encode(VIEW), msgspec.json.encode(VIEW).replace(b"p1", b"\xff\xfe")
        answer = door.post(b"[" + good + b"," + bad + b"]")
        assert (answer.status_code, answer.json()["accepted"]) == (202, 1)
        assert [each["index"] for each in answer.json()["refused"]] == [1]
        assert [letter["original"] for letter in door.box.letters] == [bad]


class TestBadBody:
    """400 and 413: nothing of it goes on, and it is kept whole."""

    @pytest.mark.parametrize(
        "body",
        [
            b"", b"  \n", b"{", b"[", b"nonsense", b'{"event_id": "e1",}', b"[{},]", b"[{}", b"[{}] []", b'{"a": 1} {}',
            b"\xff\xfe{}", b"\xef\xbb\xbf{}", b"user_id=u1&type=view", b"<event/>", b"[" * 10_000, b'{"a":' * 10_000,
        ],
    )  # fmt: skip
    def test_what_is_no_json_is_answered_with_400_and_kept(self, door: Door, body: bytes) -> None:
        assert is_problem(door.post(body), 400).startswith("the body is not JSON: ")
        assert [(letter["original"], letter["kind"]) for letter in door.box.letters] == [(body, "format")]
        assert door.stream.records == []

    @pytest.mark.parametrize("size", [MAX_BODY + 1, KEPT_BODY])
    def test_a_body_that_is_too_large_is_answered_with_413_and_kept(self, door: Door, size: int) -> None:
        raw = msgspec.json.encode([VIEW])
        body = raw + b" " * (size - len(raw))
        assert is_problem(door.post(body), 413) == "the body is larger than 512,000 bytes; send fewer events at once"
        assert [(letter["original"] == body, letter["kind"]) for letter in door.box.letters] == [(True, "size")]
        assert door.stream.records == []

    def test_a_body_without_end_is_not_read_to_its_end(self, door: Door) -> None:
        sent = 0

        async def endless() -> AsyncIterator[bytes]:
            nonlocal sent
            while sent < 200:  # three times what is kept: enough to tell
                sent += 1
                yield b" " * 65_536

        async def call() -> dict[str, Any]:
            body, said = endless(), dict[str, Any]()

            async def receive() -> dict[str, Any]:
                return {"type": "http.request", "body": await anext(body), "more_body": True}

            async def send(message: Any) -> None:
                said.update(message)

            scope = {
                "type": "http", "method": "POST", "path": "/v1/events", "query_string": b"",
                "headers": [(b"x-api-key", b"k")],
                "http_version": "1.1", "scheme": "http",
            }  # fmt: skip
            await door.app(scope, receive, send)
            return said

        assert asyncio.run(call())["type"] == "http.response.body"
        assert sent <= KEPT_BODY // 65_536 + 1
        assert door.box.letters == []

    def test_a_body_that_does_not_come_is_not_waited_for(self, door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(collect, "BODY_SECONDS", 0)

        async def silent() -> AsyncIterator[bytes]:
            yield b'{"event_id": '
            await asyncio.Event().wait()

        assert "did not come within 0 s" in is_problem(door.post(silent()), 408)
        assert door.stream.records == door.box.letters == []

    def test_too_many_events_are_answered_with_413(self, door: Door) -> None:
        say = is_problem(door.post(b"[" + b"{}," * MAX_EVENTS + b"{}]"), 413)
        assert say == "the array has 2,501 events; send at most 2,500 at once"
        assert door.stream.records == []

    def test_too_many_events_are_kept_whole(self, door: Door) -> None:
        body = b"[" + b"{}," * MAX_EVENTS + b"{}]"
        door.post(body)
        assert [letter["original"] for letter in door.box.letters] == [body]


FAILURES = [redis.ConnectionError("refused"), redis.TimeoutError("slow"), redis.ResponseError("OOM"), OSError("gone")]


class TestStreamDown:
    """503: nothing was taken, and the sender is told when to come again."""

    @pytest.mark.parametrize("failure", FAILURES, ids=repr)
    def test_the_stream_does_not_take_it(self, door: Door, failure: Exception) -> None:
        door.stream.failure = failure
        answer = door.send(VIEW)
        assert "send these again, with the same event_ids" in is_problem(answer, 503)
        assert int(answer.headers["retry-after"]) >= 1

    @pytest.mark.parametrize("failure", FAILURES, ids=repr)
    def test_the_dead_letters_do_not_take_it(self, door: Door, failure: Exception) -> None:
        """Refused events that cannot be kept are not taken, nor are the good ones sent with them."""
        door.box.failure = failure
        answer = door.send(VIEW, {"type": "view"})
        is_problem(answer, 503)
        assert int(answer.headers["retry-after"]) >= 1
        assert door.stream.records == []

    @pytest.mark.parametrize("body", [b"nonsense", b" " * (MAX_BODY + 1)])
    def test_a_bad_body_that_cannot_be_kept_is_to_be_sent_again(self, door: Door, body: bytes) -> None:
        door.box.failure = FAILURES[0]
        is_problem(door.post(body), 503)

    def test_the_dead_letters_are_not_needed_for_good_events(self, door: Door) -> None:
        door.box.failure = FAILURES[0]
        assert door.send(VIEW).status_code == 202

    def test_it_heals_by_itself(self, door: Door) -> None:
        door.stream.failure = FAILURES[0]
        door.send(VIEW)
        door.stream.failure = None
        assert door.send(VIEW).status_code == 202


@given(
    st.lists(
        st.one_of(
            st.sampled_from([VIEW, {**VIEW, "type": "look"}, {}, None, 3, [], "word"]),
            st.builds(lambda user: {**VIEW, "user_id": user}, st.text(max_size=5)),
        ),
        max_size=12,
    )
)
def test_every_event_is_either_in_the_stream_or_in_the_dead_letters(events: list[Any]) -> None:
    door = Door()
    raws = [msgspec.json.encode(event) for event in events]
    body = door.post(b"[" + b",".join(raws) + b"]").json()
    places = {each["index"] for each in body["refused"]}
    assert body["accepted"] + len(body["refused"]) == len(events)
    assert [raw for _, raw in door.stream.records] == [raw for place, raw in enumerate(raws) if place not in places]
    assert [letter["original"] for letter in door.box.letters] == [raws[place] for place in sorted(places)]


@given(st.binary(max_size=60))
def test_no_bytes_break_the_door(body: bytes) -> None:
    door = Door()
    answer = door.post(body)
    assert answer.status_code in (202, 400)
    if answer.status_code == 400 or answer.json() != {"accepted": 0, "refused": []}:
        assert b"".join(letter["original"] for letter in door.box.letters) in body
        assert door.box.letters
