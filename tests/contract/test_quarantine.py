"""Rows in quarantine over a real Redis: written once, listed, shown, released where none is newer, dropped."""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from typing import Any, Final

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataflows import quarantine as command
from dataflows import release as releasing
from dataflows.aggregates.sessions import Derived
from dataflows.connectors.letters import DeadLetter, Sent, open_letters
from dataflows.connectors.quarantine import AsideRow, Quarantine
from dataflows.derived import DerivedStream, read_event, to_event, told_by
from dataflows.events import DAY, SECOND, Refused
from dataflows.lease import Lease
from dataflows.release import release, row_of
from dataflows.stages import Aggregated, Row
from dataflows.store import Store
from feature_repo.layout import LAYOUTS, USER
from tests.contract.redis_server import RedisServer, write
from tests.given import NOW

KEPT: Final = Quarantine(1000, 0, 0)
DERIVED: Final = DerivedStream("derived", 8)
Run = Callable[..., tuple[int, str]]


@pytest.fixture
def run(server: RedisServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """The command as it is typed."""
    monkeypatch.setenv("INLAY_REDIS_URL", server.url)

    def run(*arguments: str) -> tuple[int, str]:
        code = command.main(arguments)
        said = capsys.readouterr()
        return code, said.out + said.err

    return run


@pytest.fixture
def store(server: RedisServer) -> Iterator[Store]:
    lease = Lease(server.client, "people", [0], 60)
    lease.acquire()
    yield Store(server.client, "people", lease, open_letters(f"{server.url}?stream=dead_letters", 10)[1], lambda: NOW)
    lease.release()


def a_row(key: str, at: int = NOW, *, timed: bool = False, state: bytes | None = b"state", **values: Any) -> Row:
    return Row("user", key, at, values, state, timed=timed)


def aside(server: RedisServer, *rows: AsideRow, kind: Any = "row", keep: Quarantine = KEPT) -> None:
    for each in keep.commands("people", kind, [(row, f"rule_of({row.key})") for row in rows], NOW):
        server.client.execute_command(*each)


def kept(server: RedisServer) -> list[AsideRow]:
    return [row_of(letter) for letter in KEPT.rows(server.client)]


def online(server: RedisServer, key: str) -> dict[str, Any]:
    return USER.decode(server.client.hgetall(USER.key(key)))[0]


def test_what_is_set_aside_leaves_its_state_and_no_feature(server: RedisServer, store: Store) -> None:
    batch = Aggregated((0,), {0: 7}, 2, {"applied": 2}, rows=[a_row("good", views_1h=1)])
    batch.quarantined = [(a_row("bad", views_1h=-1), "a_rule(views_1h)")]
    batch.held = [(a_row(f"h{n}", NOW + n, views_1h=n, recent_items=["é"]), "too many") for n in range(450)]
    batch.held.append((a_row("old", timed=True, state=None, views_1h=0), "too many"))
    store.commit(batch)
    assert online(server, "good") == {"views_1h": 1, "state": b"state"}
    assert online(server, "bad") == {"state": b"state"}
    assert online(server, "h3") == {"state": b"state"}
    assert online(server, "old") == {}
    rows = kept(server)
    assert rows[0] == AsideRow("user", "bad", NOW, {"views_1h": -1})
    assert rows[4] == AsideRow("user", "h3", NOW + 3, {"views_1h": 3, "recent_items": ["é"]})
    assert rows[-1] == AsideRow("user", "old", NOW, {"views_1h": 0}, timed=True)
    counts = {name.decode(): int(n) for name, n in server.client.hgetall("quarantine:counts").items()}
    assert (counts["kept:row"], counts["kept:batch"], counts["written:batch"]) == (1, 451, 451)
    assert counts["bytes"] == sum(len(letter.original) for letter in KEPT.rows(server.client))
    assert server.client.hgetall("inlay:offsets:people") == {b"0": b"7"}
    assert not server.client.exists("dead_letters")


def test_it_is_bounded_by_number_bytes_and_age(server: RedisServer) -> None:
    rows = [AsideRow("user", f"u{n}", NOW, {"views_1h": n}) for n in range(900)]
    aside(server, *rows, keep=Quarantine(300, 0, 0))
    assert [row.key for row in kept(server)] == [f"u{n}" for n in range(600, 900)]
    size = sum(len(letter.original) for letter in KEPT.rows(server.client))
    aside(server, keep=KEPT)
    for each in Quarantine(1000, 0, size // 2).commands("people", "row", [(rows[0], "x")], NOW):
        server.client.execute_command(*each)
    server.client.execute_command(*Quarantine(1000, 0, size // 2).tidy_command(NOW))
    assert 100 < len(kept(server)) < 160
    later = NOW + 90 * 86_400 * SECOND
    server.client.execute_command(*Quarantine(1000, 1, 0).tidy_command(max(later, 4 * 10**15)))
    assert kept(server) == []
    assert int(server.client.hget("quarantine:counts", "bytes")) == 0


def test_listed_shown_released_and_dropped_by_the_command(server: RedisServer, run: Run) -> None:
    assert run("list") == (0, "0 rows in quarantine\n")
    for key in ("a", "b", "c"):
        write(server, USER, key, {"views_1h": 1, "cart_items": []}, NOW - SECOND)
    aside(server, AsideRow("user", "a", NOW, {"views_1h": 5, "typical_price": None, "cart_items": ["p1"]}))
    aside(server, *(AsideRow("user", key, NOW, {"views_1h": 6}) for key in ("b", "c", "gone")), kind="batch")
    said = run("list")[1]
    assert "        1  batch  user    rule_of(b)" in said
    assert said.endswith("4 rows in quarantine\n")
    rows = [json.loads(line) for line in run("list", "--json", "--where", "key=a,c")[1].splitlines()]
    assert [(row["key"], row["kind"], row["values"]["views_1h"]) for row in rows] == [
        ("a", "row", 5),
        ("c", "batch", 6),
    ]
    assert 'cart_items               ["p1"]' in run("show", rows[0]["id"])[1]
    assert run("show", "7-7") == (1, "quarantine: no such row in quarantine; `list` shows their ids\n")
    assert run("release", "--where", "kind=batch", "--dry-run")[1].endswith("2 released, 1 forgotten since\n")
    assert len(kept(server)) == 4
    assert run("release", "--where", "key=a") == (0, "1 released\n")
    assert online(server, "a") == {"views_1h": 5, "typical_price": None, "cart_items": ["p1"]}
    assert run("drop", "--where", "key=b", "entity=user", "reason=rule_of") == (0, "1 dropped\n")
    assert online(server, "b")["views_1h"] == 1
    assert run("release", "--where", "since=1h", "until=0s")[0] == 0
    assert run("release", "--where", "entity=user") == (0, "1 released, 1 forgotten since\n")
    assert not server.client.exists(USER.key("gone"))
    counts = {name.decode(): int(n) for name, n in server.client.hgetall("quarantine:counts").items()}
    assert (counts["dropped:hand"], counts["replayed"], counts["bytes"]) == (1, 3, 0)
    assert run("list", "--where", "kind=gate")[0] == 2


def test_a_condition_that_cannot_be_used_says_what_to_write(run: Run) -> None:
    for condition in ("key", "colour=red", "since=then"):
        code, said = run("list", "--where", condition)
        assert (code, said.startswith(f"quarantine: --where {condition}: ")) == (2, True)


@settings(max_examples=60)
@given(
    stored=st.dictionaries(st.sampled_from(("views_1h", "cart_items", "segment")), st.integers(0, 4)),
    at=st.integers(0, 4),
    entity_there=st.booleans(),
)
def test_only_views_that_are_older_are_written(
    running_redis: RedisServer, stored: dict[str, int], at: int, entity_there: bool
) -> None:
    """`stored`: of a feature of each view, of when its row is."""
    server = running_redis
    server.client.flushall()
    old = {"views_1h": 1, "cart_items": ["old"], "segment": "lost"}
    new = {"views_1h": 2, "cart_items": ["new"], "segment": "loyal"}
    if entity_there:
        write(server, USER, "u", {"first_name": "Ada"}, NOW)
        for name, moment in stored.items():
            write(server, USER, "u", {name: old[name]}, NOW + moment)
    aside(server, AsideRow("user", "u", NOW + at, new))
    (letter,) = KEPT.rows(server.client)
    outcome, _ = release(server.client, KEPT, letter, DERIVED, NOW)
    expected = {name: old[name] for name in stored} if entity_there else {}
    fresh = {name for name in new if stored.get(name, -1) < at} if entity_there else set()
    found = online(server, "u")
    found.pop("first_name", None)
    assert found == {**expected, **{name: new[name] for name in fresh}}
    assert outcome == ("forgotten since" if not entity_there else "released" if fresh else "newer row there")
    assert kept(server) == []


def race(server: RedisServer, seed: int, writes: int = 150) -> list[tuple[int, int]]:
    """A flow that writes ever newer rows of a user while others of the user are released; by step what was there."""
    server.client.flushall()
    chance = random.Random(seed)
    write(server, USER, "u", {"views_1h": 0}, NOW)
    aside(
        server, *(AsideRow("user", "u", NOW + at, {"views_1h": at}) for at in chance.sample(range(2 * writes), writes))
    )
    letters = list(KEPT.rows(server.client))
    stop = threading.Event()
    seen: list[tuple[int, int]] = []

    def look() -> None:
        while not stop.is_set():
            values, times = USER.decode(server.client.hgetall(USER.key("u")))
            seen.append((values["views_1h"], times["user_activity"] - NOW))

    def flow() -> None:
        for at in range(writes, 2 * writes):
            write(server, USER, "u", {"views_1h": at}, NOW + at)

    def free(half: list[DeadLetter]) -> None:
        for letter in half:
            release(server.client, KEPT, letter, DERIVED, NOW)

    workers = [threading.Thread(target=flow)]
    workers += [threading.Thread(target=free, args=(half,)) for half in (letters[::2], letters[1::2])]
    watcher = threading.Thread(target=look)
    watcher.start()
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    stop.set()
    watcher.join()
    values, times = USER.decode(server.client.hgetall(USER.key("u")))
    seen.append((values["views_1h"], times["user_activity"] - NOW))
    return seen


def older_over_newer(seen: list[tuple[int, int]]) -> int:
    """How often a row gave way to an older one, other than by the flow, which writes what it writes."""
    return sum(after[1] < before[1] for before, after in pairwise(seen) if after[1] < 150)


@pytest.mark.parametrize("seed", range(3))
def test_a_released_row_never_overwrites_a_newer_one_whoever_writes_meanwhile(server: RedisServer, seed: int) -> None:
    seen = race(server, seed)
    assert all(value == at for value, at in seen), "values and time are of one row"
    assert older_over_newer(seen) == 0
    assert seen[-1][1] >= 2 * 150 - 1
    assert kept(server) == []


def test_a_release_that_does_not_look_is_found(server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The mutant: every stored row is taken for older."""
    monkeypatch.setattr(releasing, "read_stamp", lambda raw: 0)
    assert any(older_over_newer(race(server, seed)) or race(server, seed)[-1][1] < 299 for seed in range(3))


def test_a_row_is_written_as_the_flow_would_have(server: RedisServer) -> None:
    for layout, values in (
        (
            LAYOUTS["user"],
            {"recent_items": ["a"], "recent_at": [5], "spend_30d": 1.5, "email_allowed": False, "views_1h": 3},
        ),
        (LAYOUTS["item"], {"title": "é", "price": None, "in_stock": True, "neighbours": [], "trend": 0.0}),
        (LAYOUTS["scope"], {"items": ["a"], "scores": [1.0], "bestseller_purchases": [2]}),
    ):
        server.client.flushall()
        write(server, layout, "k", values, NOW)
        wanted = server.client.hgetall(layout.key("k"))
        server.client.delete(layout.key("k"))
        server.client.hset(layout.key("k"), "state", b"s")
        aside(server, AsideRow(layout.entity, "k", NOW, values))
        (letter,) = KEPT.rows(server.client)
        assert release(server.client, KEPT, letter, DERIVED, NOW) == ("released", 0)
        assert server.client.hgetall(layout.key("k")) == {**wanted, b"state": b"s"}


FOLLOWS: Final = (
    Derived("session_started", NOW - SECOND, {"started_at": NOW - SECOND}),
    Derived("session_ended", NOW, {}),
    Derived("browse_abandoned", NOW, {"items": ["a"]}),
    Derived("cart_abandoned", NOW, {"items": ["a"]}),
)
EVERY: Final = [each.type for each in FOLLOWS]


def waiting(user: str, events: Iterable[Derived] = FOLLOWS) -> tuple[msgspec.Raw, ...]:
    """What waits with a row."""
    return tuple(map(told_by, DERIVED.commands(user, events)))


def told(server: RedisServer, user: str = "u") -> list[str]:
    """What was told of a user, by type."""
    (_, key, *_), *_ = DERIVED.commands(user, FOLLOWS)
    events = [read_event(fields[b"event"]) for _, fields in server.client.xrange(key)]
    return [event.type for event in events if event.user_id == user]


def test_what_follows_from_a_row_is_told_with_it_and_waits_with_it(server: RedisServer, store: Store) -> None:
    def row(key: str) -> Row:
        return Row("user", key, NOW, {"views_1h": 1}, b"s", follows=DERIVED.commands(key, FOLLOWS))

    batch = Aggregated((0,), {0: 7}, rows=[row("good")])
    batch.quarantined, batch.held = [(row("bad"), "a rule")], [(row("held"), "too many")]
    store.commit(batch)
    assert [told(server, key) for key in ("good", "bad", "held")] == [EVERY, [], []]
    aside_with = {row.key: [read_event(bytes(each)) for each in row.follows] for row in kept(server)}
    assert aside_with == {key: [to_event(key, each) for each in FOLLOWS] for key in ("bad", "held")}


@pytest.mark.parametrize(
    ("acted", "timed", "later", "outcome", "expected"),
    [
        (-SECOND, False, 0, "released", EVERY),
        (-SECOND, True, DAY - 1, "released", EVERY[1:]),  # the first is older than a day
        (-SECOND, False, DAY + 1, "released", []),
        (SECOND, False, 0, "newer row there", ["session_started", "session_ended"]),  # the person came back
        (None, False, 0, "forgotten since", []),
    ],
)
def test_of_what_waited_only_what_still_holds_is_told(
    server: RedisServer, run: Run, acted: int | None, timed: bool, later: int, outcome: str, expected: list[str]
) -> None:
    """`acted`: when the newest event of the person made a row, beside the one that is released."""
    if acted is not None:
        write(server, USER, "u", {"views_1h": 1, "cart_items": ["a"], "segment": "lost"}, NOW + acted)
    only_numbers, values = {"views_1h": 5, "segment": "new"}, {"views_1h": 5, "cart_items": ["a"]}
    aside(server, AsideRow("user", "u", NOW, only_numbers if timed else values, timed, waiting("u")))
    (letter,) = KEPT.rows(server.client)
    assert "told with it: {" in run("show", letter.letter_id)[1]
    before = release(server.client, KEPT, letter, DERIVED, NOW + later, dry_run=True)
    assert told(server) == []
    assert release(server.client, KEPT, letter, DERIVED, NOW + later) == before == (outcome, len(expected))
    assert told(server) == expected
    release(server.client, KEPT, letter, DERIVED, NOW + later)
    assert told(server) == expected, "once, whoever else releases the same row"


def test_what_is_dropped_is_never_told(server: RedisServer, run: Run) -> None:
    write(server, USER, "u", {"cart_items": ["a"]}, NOW - SECOND)
    aside(server, AsideRow("user", "u", NOW, {"cart_items": ["a"]}, follows=waiting("u")))
    assert run("drop", "--where", "key=u") == (0, "1 dropped\n")
    assert run("release", "--where", "key=u") == (0, "no rows in quarantine\n")
    assert told(server) == []


def test_the_command_says_how_many_were_told(server: RedisServer, run: Run) -> None:
    now = time.time_ns() // 1000
    write(server, USER, "u", {"cart_items": ["a"]}, now - SECOND)
    fresh = [each._replace(occurred_at=now) for each in FOLLOWS]
    aside(server, AsideRow("user", "u", now, {"cart_items": ["b"]}, follows=waiting("u", fresh)))
    assert run("release", "--where", "key=u", "--dry-run")[1].endswith("1 released, 4 derived events told\n")
    assert told(server) == []
    assert run("release", "--where", "key=u") == (0, "1 released, 4 derived events told\n")
    assert told(server) == EVERY


def test_events_that_were_held_are_known_until_they_are_sent_again(server: RedisServer) -> None:
    letters = open_letters(f"{server.url}?stream=dead_letters", 100)[1]
    assert letters.held_places(server.client, "people") == set()
    for number in range(3):
        refused = Refused("gate", "gate", "held", "", b"%d" % number)
        server.client.execute_command(*letters.command("people", refused, NOW, f"{number}/7"))
    server.client.execute_command(*letters.command("items", refused, NOW, "0/8"))
    server.client.execute_command(*letters.command("people", Refused("validate", "schema", "", "", b"x"), NOW, "0/9"))
    assert letters.held_places(server.client, "people") == {(0, 7), (1, 7), (2, 7)}
    first = next(iter(letters.letters(server.client)))
    server.client.execute_command(*letters.take_out_command([Sent(first.letter_id, b"0")]))
    assert letters.held_places(server.client, "people") == {(1, 7), (2, 7)}
    assert letters.sent_again(server.client, [b"1", b"0", b"2"]) == {1}
