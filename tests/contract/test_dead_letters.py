"""Dead letters over a real Redis: their counts, their retention, and that a replay loses nothing and keeps its past."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
import redis
import redis.asyncio

from api.app import create
from api.settings import api_settings
from dataflows import dead_letters
from dataflows.connectors.letters import DeadLetter, DeadLetters, LetterCounts, open_letters
from dataflows.connectors.redis_streams import open_stream
from dataflows.events import DAY, MINUTE, Refused
from dataflows.letter_replay import Judge, send
from dataflows.settings import with_query
from tests.contract.redis_server import RedisServer
from tests.countries import write_database

ROOT = Path(__file__).parents[2]
GOOD: dict[str, Any] = {"event_id": "e1", "type": "view", "occurred_at": 1_779_010_200, "user_id": "u1"}


def now() -> int:
    """The ids of letters are of the machine's time."""
    return time.time_ns() // 1000


def refused(kind: Any = "schema", original: bytes = b"{}", field: str = "price", reason: str = "price: no") -> Refused:
    return Refused("validate", kind, reason, field, original)


def encoded(**fields: Any) -> bytes:
    return msgspec.json.encode({**GOOD, **fields})


def write(server: RedisServer, letters: DeadLetters, *refusals: Refused, at: int | None = None) -> None:
    for number, each in enumerate(refusals):
        server.client.execute_command(*letters.command("people", each, at or now(), f"0/{number}"))


def kept(server: RedisServer, letters: DeadLetters | None = None) -> list[DeadLetter]:
    return list((letters or DeadLetters("dead_letters", 9)).letters(server.client))


def counts(server: RedisServer, letters: DeadLetters) -> LetterCounts:
    async def read() -> LetterCounts:
        client = redis.asyncio.Redis.from_url(server.url)
        found = await letters.counts(client)
        await client.aclose()
        return found

    return asyncio.run(read())


def stream(server: RedisServer) -> list[dict[str, Any]]:
    """The events published, by whatever partition."""
    return [
        json.loads(fields[b"event"])
        for partition in range(8)
        for _, fields in server.client.xrange(f"events:{partition}")
    ]


def account(server: RedisServer, letters: DeadLetters) -> None:
    """Every letter ever written is kept, given up or sent again; and what is kept is counted as it is."""
    found = counts(server, letters)
    there = Counter(letter.kind for letter in kept(server, letters))
    assert {kind: number for kind, number in found.kept.items() if number} == there
    assert sum(found.written.values()) == there.total() + sum(found.dropped.values()) + found.replayed
    assert found.bytes == sum(len(letter.original) for letter in kept(server, letters))
    ids = {letter.letter_id for letter in kept(server, letters)}
    assert {field.decode() for field in server.client.hkeys(f"{letters.name}:attempts")} <= ids


@pytest.fixture
def run(server: RedisServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """The command: its code, and what it said."""
    monkeypatch.setenv("INLAY_REDIS_URL", server.url)

    def call(*arguments: str) -> tuple[int, str]:
        code = dead_letters.main(arguments)
        said = capsys.readouterr()
        return code, said.out + said.err

    return call


LETTERS = DeadLetters("dead_letters", 1000)


def test_a_letter_is_read_as_it_was_written_whatever_its_bytes_are(server: RedisServer) -> None:
    nasty = bytes(range(256)) * 10
    write(server, LETTERS, refused("format", nasty), at=1_779_010_200_000_000)
    (letter,) = kept(server)
    assert (letter.kind, letter.stage, letter.flow, letter.place) == ("format", "validate", "people", "0/0")
    assert (letter.original, letter.refused_at, letter.attempts) == (nasty, "2026-05-17T09:30:00.000Z", ())
    assert LETTERS.find(server.client, letter.letter_id) == letter
    assert LETTERS.find(server.client, "no-such") is None
    account(server, LETTERS)


def test_in_a_transaction_a_letter_is_there_with_everything_else_or_not_at_all(server: RedisServer) -> None:
    pipeline = server.client.pipeline(transaction=True)
    pipeline.set("offset", "7")
    pipeline.execute_command(*LETTERS.command("people", refused(), now()))
    assert not kept(server)
    pipeline.execute()
    assert len(kept(server)) == 1


@pytest.mark.parametrize(
    ("letters", "expected", "cause"),
    [
        (DeadLetters("l", 3), [b"7", b"8", b"9"], "number"),
        (DeadLetters("l", 100, keep_bytes=2), [b"8", b"9"], "bytes"),
        (DeadLetters("l", 100, keep_bytes=0), [b"%d" % each for each in range(10)], None),
    ],
)
def test_the_oldest_go_when_there_are_too_many_and_are_counted(
    server: RedisServer, letters: DeadLetters, expected: list[bytes], cause: str | None
) -> None:
    for number in range(10):
        write(server, letters, refused(original=b"%d" % number))
    assert [letter.original for letter in kept(server, letters)] == expected
    assert counts(server, letters).dropped == ({cause: 10 - len(expected)} if cause else {})
    account(server, letters)


def test_one_letter_over_the_bound_of_bytes_is_kept_until_the_next(server: RedisServer) -> None:
    letters = DeadLetters("l", 100, keep_bytes=5)
    write(server, letters, refused(original=b"a"), refused(original=b"much too long"))
    assert [letter.original for letter in kept(server, letters)] == [b"much too long"]
    write(server, letters, refused(original=b"b"))
    assert [letter.original for letter in kept(server, letters)] == [b"b"]
    account(server, letters)


def test_old_letters_go_with_the_next_write_or_look_and_looking_is_rare(server: RedisServer) -> None:
    letters = DeadLetters("l", 100, keep_seconds=86_400)
    write(server, letters, refused("size"), refused("time"))
    for later, left in ((DAY - 2 * MINUTE, 2), (DAY - MINUTE - 1_000, 2), (DAY + MINUTE, 0)):
        server.client.execute_command(*letters.tidy_command(now() + later))
        assert len(kept(server, letters)) == left
    assert counts(server, letters).dropped == {"age": 2}
    account(server, letters)
    for_ever = DeadLetters("m", 100, keep_seconds=0)
    write(server, for_ever, refused())
    server.client.execute_command(*for_ever.tidy_command(now() + 10_000 * DAY))
    assert len(kept(server, for_ever)) == 1


def test_a_write_gives_up_a_bounded_number_and_the_next_one_goes_on(server: RedisServer) -> None:
    letters = DeadLetters("l", 1000, keep_seconds=86_400)
    write(server, letters, *[refused()] * 450)
    for left in (250, 50, 0):
        server.client.execute_command(*letters.tidy_command(now() + 2 * DAY))
        assert len(kept(server, letters)) == left
    account(server, letters)


def test_a_replay_takes_out_what_is_accepted_now_and_keeps_the_history_of_the_rest(
    server: RedisServer, run: Any
) -> None:
    write(server, LETTERS, refused("time", encoded()), refused("schema", encoded(event_id="e2", price=-1)))
    assert run("replay") == (0, "1 sent again, 1 refused again, and kept\n")
    assert [event["event_id"] for event in stream(server)] == ["e1"]
    run("replay", "--patch", '[{"op": "test", "path": "/price", "value": 7}]')
    (letter,) = kept(server)
    assert [(each.kind, each.field) for each in letter.attempts] == [("schema", "price")] * 2
    assert letter.attempts[0].reason == "price: must not be negative"
    assert letter.attempts[1].reason.startswith("the patch does not fit")
    assert "tried " in run("show", letter.letter_id)[1]
    account(server, LETTERS)
    fix = '[{"op": "replace", "path": "/price", "value": 1}]'
    assert run("replay", "--where", "field=price", "--patch", fix) == (0, "1 sent again\n")
    assert {event["event_id"]: event.get("price") for event in stream(server)} == {"e1": None, "e2": 1}
    assert (kept(server), run("replay")) == ([], (0, "no dead letters\n"))
    account(server, LETTERS)


def test_what_the_flow_refuses_after_a_replay_goes_on_with_its_history(server: RedisServer, run: Any) -> None:
    write(server, LETTERS, refused("enrichment", encoded()))
    run("replay", "--where", "kind=enrichment")
    write(server, LETTERS, refused("enrichment", encoded(event_id="another")), refused("enrichment", encoded()))
    another, again = kept(server)
    assert another.attempts == ()
    assert [each.reason for each in again.attempts] == ["sent again"]
    account(server, LETTERS)


def test_a_mapping_mends_and_leaves_the_rest_as_it_is(server: RedisServer, run: Any, tmp_path: Path) -> None:
    original = encoded(event_id=None, ts=1_779_010_000, properties={"a": 1, "session": "s"})
    write(server, LETTERS, refused(original=original), refused(original=original))
    mend = tmp_path / "mend.yaml"
    mend.write_text("event_id: {template: 'e-{letter_id}'}\noccurred_at: ts\nproperties.visit: properties.session\n")
    ids = {f"e-{letter.letter_id}" for letter in kept(server)}
    assert run("replay", "--patch", str(mend)) == (0, "2 sent again\n")
    sent = stream(server)
    assert {event["event_id"] for event in sent} == ids
    assert [(event["occurred_at"], event["type"]) for event in sent] == [(1_779_010_000, "view")] * 2
    assert sent[0]["properties"] == {"a": 1, "session": "s", "visit": "s"}


def test_one_id_for_several_events_is_not_sent_since_the_flow_would_take_them_for_repeats(
    server: RedisServer, run: Any
) -> None:
    write(server, LETTERS, *(refused(original=encoded(event_id="", item_id=f"p{n}")) for n in (1, 2)))
    assert run("replay", "--patch", '[{"op": "replace", "path": "/event_id", "value": "x"}]')[1].startswith("1 sent")
    (letter,) = kept(server)
    assert letter.attempts[0].field == "event_id"


def test_an_array_is_taken_apart_and_what_is_refused_of_it_stays(server: RedisServer, run: Any) -> None:
    many = [{**GOOD, "event_id": f"e{number}"} for number in range(3000)]
    many[7]["price"] = -1
    write(server, LETTERS, refused("size", msgspec.json.encode(many), ""))
    (letter,) = kept(server)
    dry = run("replay", "--dry-run")[1]
    assert "2,999 events sent again, 1 refused, the first because: price: must not be negative" in dry
    assert kept(server) == [letter]
    assert not stream(server)
    run("replay")
    assert len(stream(server)) == 2999
    (rest,) = kept(server)
    assert (rest.place, rest.stage, json.loads(rest.original)) == (f"{letter.letter_id}#0", "replay", many[7])
    assert rest.attempts == ()
    account(server, LETTERS)


@pytest.mark.parametrize("kind", ["signature"])
def test_what_was_never_proven_is_left_alone(server: RedisServer, run: Any, kind: str) -> None:
    write(server, LETTERS, refused(kind, encoded()))
    before = kept(server)
    assert run("replay") == (0, "1 left alone\n")
    assert (kept(server), stream(server)) == (before, [])


def test_the_list_says_what_and_why_and_how_often(server: RedisServer, run: Any) -> None:
    write(server, LETTERS, *(refused("size", b"x" * n, "", f"the event has {n:,} bytes") for n in (1000, 2000)))
    write(server, LETTERS, refused("format", b"\xff", "", "not JSON"))
    said = run("list")[1]
    assert "        2  size                     the event has … bytes" in said
    assert said.endswith("3 dead letters · format 1 · size 2\n")
    rows = [json.loads(line) for line in run("list", "--json")[1].splitlines()]
    assert [row.get("original") for row in rows] == ["x" * 1000, "x" * 2000, None]
    assert rows[2]["original_base64"] == "/w=="
    assert run("list", "--where", "kind=format", "--limit", "0")[1].endswith("1 dead letters · format 1\n")
    assert json.loads(run("show", rows[0]["letter_id"], "--json")[1]) == rows[0]


@pytest.mark.parametrize(
    ("arguments", "say"),
    [
        (("list", "--where", "kind=bad"), "'bad' is no kind; there are format, schema"),
        (("list", "--where", "colour=red"), "'colour' cannot be asked for"),
        (("replay", "--patch", "[{}]"), "no JSON Patch"),
        (("replay", "--patch", "mend.txt"), "name a .json, .yaml or .yml file"),
    ],
)
def test_what_cannot_be_used_is_said_and_changes_nothing(run: Any, arguments: tuple[str, ...], say: str) -> None:
    code, said = run(*arguments)
    assert code == 2
    assert say in said


def test_a_replay_killed_in_the_middle_loses_nothing_and_goes_on(server: RedisServer) -> None:
    number = 6000
    with server.client.pipeline(transaction=False) as pipeline:
        for each in range(number):
            letter = refused("time", encoded(event_id=f"e{each}", user_id=f"u{each % 7}"))
            pipeline.execute_command(*DeadLetters("dead_letters", 9999).command("people", letter, now()))
        pipeline.execute()
    environment = {**os.environ, "INLAY_REDIS_URL": server.url}
    command = (sys.executable, "-m", "dataflows.dead_letters", "replay")
    killed = 0
    for share in (0.1, 0.4, 0.7):
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL)
        while process.poll() is None and _published(server) < share * number:
            pass
        process.send_signal(signal.SIGKILL)
        killed += process.wait() == -signal.SIGKILL
        letters = {json.loads(letter.original)["event_id"] for letter in kept(server)}
        assert letters | {event["event_id"] for event in stream(server)} == {f"e{each}" for each in range(number)}
    assert killed == 3
    subprocess.run(command, cwd=ROOT, env=environment, check=True, stdout=subprocess.DEVNULL)
    assert not kept(server)
    assert {event["event_id"] for event in stream(server)} == {f"e{each}" for each in range(number)}
    account(server, DeadLetters("dead_letters", 9999))


class Recorded:
    """A stream that remembers, and fails when it is told to."""

    name, partitions = "events", 1

    def __init__(self) -> None:
        self.values: list[bytes] = []
        self.fails = False

    def publish(self, records: Sequence[tuple[int, bytes]]) -> None:
        if self.fails:
            raise ConnectionError("gone")
        self.values += [value for _, value in records]


def test_a_letter_goes_only_after_its_event_is_in_the_stream(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(server, LETTERS, refused("time", encoded()))
    stream: Any = Recorded()

    def again() -> None:
        send(server.client, LETTERS, stream, map(Judge(now(), MINUTE), LETTERS.letters(server.client)), now())

    stream.fails = True
    with pytest.raises(ConnectionError):
        again()
    assert (len(kept(server)), stream.values) == (1, [])
    stream.fails = False
    with monkeypatch.context() as patched:
        patched.setattr(LETTERS, "take_out_command", lambda _: ("NO", "SUCH", "COMMAND"))
        with pytest.raises(redis.ResponseError):
            again()
    assert (len(kept(server)), stream.values) == (1, [encoded()])
    again()
    assert (kept(server), stream.values) == ([], [encoded()] * 2)  # once too often, which its event_id makes harmless


def test_a_stream_that_is_gone_keeps_the_letters(
    server: RedisServer, run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(server, LETTERS, refused("time", encoded()))
    open_stream(with_query(server.url, stream="events", partitions="8")).close()
    monkeypatch.setenv("INLAY_STREAM_URL", with_query(server.url, stream="events", partitions="4"))
    code, said = run("replay")
    assert (code, "has 8 partitions, its URL says 4" in said, "in the dead letters still" in said) == (1, True, True)
    assert len(kept(server)) == 1


def test_the_url_names_the_stream() -> None:
    assert open_letters("redis://h:1/2?stream=mine", 5)[1].name == "mine"


def _published(server: RedisServer) -> int:
    return sum(int(server.client.xlen(f"events:{partition}")) for partition in range(8))


def test_the_service_keeps_counts_and_tells_of_letters_and_of_who_sent_an_event(
    server: RedisServer, tmp_path: Path
) -> None:
    database = write_database(tmp_path / "c.mmdb", {"2.0.0.0/8": {"country": {"iso_code": "FR"}}})
    settings = {"INLAY_REDIS_URL": server.url, "INLAY_API_KEYS": "k", "INLAY_GEOIP": str(database)}
    app = create(api_settings({**settings, "INLAY_DEAD_LETTERS_BYTES": "40"}))
    bodies = (
        msgspec.json.encode({**GOOD, "price": -1}),
        b"no JSON",
        b"nor this",
        encoded(properties={"ip": "2.0.0.2"}),
    )

    async def call() -> str:
        transport = httpx.ASGITransport(app, client=("2.0.0.1", 1))
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://api", headers={"X-Api-Key": "k"}) as client,
        ):
            for body in bodies:
                await client.post("/v1/events", content=body)
            phone = {"Origin": "https://s", "User-Agent": "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X)"}
            await client.post("/v1/events", content=encoded(event_id="e2"), headers=phone)
            return (await client.get("/metrics")).text

    metrics = asyncio.run(call())
    for line in (
        'inlay_dead_letters{kind="format"} 2.0', 'inlay_dead_letters{kind="schema"} 0.0',
        'inlay_dead_letters_written_total{kind="schema"} 1.0', 'inlay_dead_letters_dropped_total{cause="bytes"} 1.0',
        "inlay_dead_letters_replayed_total 0.0", "inlay_dead_letters_bytes 15.0",
    ):  # fmt: skip
        assert line in metrics
    found = {event["event_id"]: event for event in stream(server)}
    assert (found["e1"]["country"], found["e1"]["properties"], found["e1"].get("device")) == ("FR", {}, None)
    assert (found["e2"]["country"], found["e2"]["device"]) == ("FR", "mobile")
    account(server, DeadLetters("dead_letters", 9))
