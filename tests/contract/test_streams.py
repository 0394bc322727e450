"""What every stream promises, against the real thing: one suite, each kind of stream through all of it."""

from __future__ import annotations

import asyncio
import os
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final, Protocol

import pytest
import redis

from api.demo.embedded import free_port
from dataflows.connectors import OffsetGone, Publisher, Records, Stream, StreamError, open_publisher, open_stream
from dataflows.numbering import Numbered, Place, check_identity, moved
from dataflows.receive import starting_offsets
from tests.contract.kafka_server import KafkaServer
from tests.contract.redis_server import redis_server

KINDS: Final = ("redis", "kafka")
DOWN_SECONDS: Final = float(os.environ.get("STREAM_DOWN_SECONDS", "3"))
"""How long a peer stays away; STREAM_DOWN_SECONDS=60 for the whole minute."""
NASTY: Final = [b"nope", b"\xff\x00\xfe", b"\x00", b"[" * 3000, b"x" * 2_000_000, b'{"event_id": NaN}', b"\r\n$-1\r\n"]
PARTITIONS: Final = 3


class Server(Protocol):
    """A peer that can be harmed."""

    def kill(self) -> None: ...
    def start(self) -> None: ...
    def pause(self) -> None: ...
    def resume(self) -> None: ...


class Peer:
    """A peer and the streams on it; each has a name that no other test uses.

    Args:
        kind: of stream.
        server: what it lies on.
    """

    def __init__(self, kind: str, server: Any) -> None:
        self.kind, self.server = kind, server
        self.name = f"events-{uuid.uuid4().hex[:8]}"
        self._opened = ExitStack()

    def url(self, **query: object) -> str:
        query = {"partitions": PARTITIONS, **query}
        if self.kind == "kafka":
            return str(self.server.url(self.name, **query))
        return f"{self.server.url}?stream={self.name}&" + "&".join(f"{name}={value}" for name, value in query.items())

    def impatient(self) -> Publisher:
        """The writing side, which gives up after two seconds."""
        return open_publisher(self.url(**({"message.timeout.ms": 2000} if self.kind == "kafka" else {})))

    def stream(self, **query: object) -> Stream:
        stream = open_stream(self.url(**query))
        self._opened.callback(stream.close)
        return stream

    def close(self) -> None:
        self._opened.close()


@pytest.fixture(params=KINDS)
def peer(request: pytest.FixtureRequest) -> Iterator[Peer]:
    """A stream on a peer that all tests share and none harms."""
    server = request.getfixturevalue("running_kafka" if request.param == "kafka" else "running_redis")
    peer = Peer(request.param, server)
    yield peer
    peer.close()


@pytest.fixture(scope="module", params=KINDS)
def harmed(request: pytest.FixtureRequest) -> Iterator[Server]:
    """A server that tests may do anything to, if it runs again at their end."""
    if request.param == "redis":
        with redis_server(durable=True) as server:
            yield server
    else:
        yield request.getfixturevalue("running_kafka")


@pytest.fixture
def mortal(harmed: Server) -> Iterator[Peer]:
    """A stream on a peer that may be killed."""
    peer = Peer("kafka" if isinstance(harmed, KafkaServer) else "redis", harmed)
    yield peer
    peer.close()


def numbered(first: int, number: int, partition: int = 0) -> list[tuple[int, bytes]]:
    return [(partition, b"%d" % each) for each in range(first, first + number)]


def read_all(
    stream: Stream, number: int, after: Mapping[int, int] | None = None, seconds: float = 30
) -> dict[int, Any]:
    """So many records, by partition: their offsets and their bytes. Reading on is by the offsets that were brought."""
    places = dict(after or dict.fromkeys(range(stream.partitions), -1))
    found: dict[int, tuple[list[int], list[bytes]]] = {part: ([], []) for part in places}
    give_up_at = time.monotonic() + seconds
    while sum(len(values) for _, values in found.values()) < number and time.monotonic() < give_up_at:
        for part, offsets, values in stream.read(places, 1000, 0.2):
            found[part][0].extend(offsets)
            found[part][1].extend(values)
            places[part] = offsets[-1]
    return found


def values_of(found: Mapping[int, tuple[list[int], list[bytes]]]) -> dict[int, list[bytes]]:
    return {part: values for part, (_, values) in found.items() if values}


def test_what_is_published_is_read_in_its_partition_in_its_order(peer: Peer) -> None:
    stream = peer.stream()
    records = [(number % PARTITIONS, b"%d" % number) for number in range(5000)]
    for first in range(0, 5000, 700):
        stream.publish(records[first : first + 700])
    found = read_all(peer.stream(), 5000)
    assert values_of(found) == {part: [value for of, value in records if of == part] for part in range(PARTITIONS)}
    for offsets, _ in found.values():
        assert offsets == sorted(set(offsets))


def test_nothing_is_published_and_nothing_is_read(peer: Peer) -> None:
    stream = peer.stream()
    stream.publish([])
    assert stream.read({0: -1, 1: -1}, 100, 0.05) == []
    assert [tuple(stream.bounds(part)) for part in range(PARTITIONS)] == [(-1, -1)] * PARTITIONS
    assert stream.lag(dict.fromkeys(range(PARTITIONS), -1)) == dict.fromkeys(range(PARTITIONS), 0)


def test_one_reads_on_from_any_place_and_only_the_partitions_one_asks_for(peer: Peer) -> None:
    stream = peer.stream()
    stream.publish([*numbered(0, 50, 0), *numbered(100, 50, 1), *numbered(200, 50, 2)])
    offsets = read_all(stream, 150)[1][0]
    assert values_of(read_all(stream, 20, {1: offsets[29]})) == {1: [b"%d" % each for each in range(130, 150)]}
    assert values_of(read_all(stream, 50, {1: offsets[49], 2: -1})) == {2: [b"%d" % each for each in range(200, 250)]}
    assert values_of(read_all(stream, 50, {1: -1})) == {1: [b"%d" % each for each in range(100, 150)]}


def test_a_read_brings_about_as_many_as_were_asked_for(peer: Peer) -> None:
    stream = peer.stream()
    stream.publish(numbered(0, 500, 1))
    brought: list[Records] = []
    while not brought:
        brought = stream.read({1: -1}, 60, 0.2)
    assert sum(len(each.values) for each in brought) <= 60


def test_bytes_are_kept_as_they_are_whatever_they_are(peer: Peer) -> None:
    stream = peer.stream()
    stream.publish([(0, each) for each in [*NASTY, b""]])
    assert values_of(read_all(stream, len(NASTY) + 1)) == {0: [*NASTY, b""]}


def test_a_stream_knows_what_it_holds_and_how_far_one_is_behind(peer: Peer) -> None:
    stream = peer.stream()
    stream.publish([*numbered(0, 10, 0), *numbered(0, 4, 2)])
    offsets = read_all(stream, 14)[0][0]
    assert stream.bounds(0).removed < offsets[0]
    assert stream.bounds(0).last == offsets[-1]
    assert stream.lag({0: -1, 1: -1, 2: -1}) == {0: 10, 1: 0, 2: 4}
    assert stream.lag({0: offsets[6]}) == {0: 3}
    assert stream.lag({0: offsets[-1]}) == {0: 0}


def test_a_place_is_rewound_by_time(peer: Peer) -> None:
    stream = peer.stream()
    offsets = []
    for first in (0, 10, 20):
        stream.publish(numbered(first, 10))
        time.sleep(0.4)
    offsets = read_all(stream, 30)[0][0]
    rewound = stream.rewound(0, offsets[25], 0.3)
    assert values_of(read_all(stream, 10, {0: rewound}))[0][0] == b"20"
    rewound = stream.rewound(0, offsets[25], 0.7)
    assert values_of(read_all(stream, 10, {0: rewound}))[0][0] == b"10"
    assert values_of(read_all(stream, 30, {0: stream.rewound(0, offsets[25], 60)}))[0][0] == b"0"
    assert stream.rewound(0, offsets[25], 0) == offsets[25]
    assert stream.rewound(0, -1, 60) == -1


def test_what_is_removed_is_gone_and_a_flow_that_was_there_says_so(peer: Peer) -> None:
    stream = peer.stream()
    stream.publish(numbered(0, 2000))
    offsets = read_all(stream, 2000)[0][0]
    stream.remove(0, offsets[1499])
    assert stream.bounds(0).removed == offsets[1499]
    assert stream.bounds(0).last == offsets[-1]
    assert starting_offsets(stream, "people", {0: offsets[1999]}, 60) == {0: offsets[1499]}
    assert values_of(read_all(stream, 500, {0: offsets[1499]}))[0][-1] == b"1999"
    with pytest.raises(OffsetGone, match=r"removed\. To go on all the same: python -m dataflows\.offsets reset people"):
        starting_offsets(stream, "people", {0: offsets[1000]}, 60)
    with pytest.raises(OffsetGone, match=r"of partition 0 of 'events-\w+', but the stream ends at"):
        starting_offsets(stream, "people", {0: offsets[-1] + 1}, 60)


def test_another_number_of_partitions_is_refused(peer: Peer) -> None:
    peer.stream()
    with pytest.raises(StreamError, match=r"has 3 partitions, its URL says 5: write partitions=3, since a user"):
        peer.stream(partitions=5)
    for wrong in ("0", "many", "2000"):
        with pytest.raises(StreamError, match=r"no number from 1 to 1024"):
            peer.stream(partitions=wrong)


def test_the_event_loop_publishes_to_the_same_partitions(peer: Peer) -> None:
    async def story(publisher: Publisher) -> None:
        await publisher.publish([])
        await publisher.publish(numbered(0, 100, 0))
        await asyncio.gather(*(persist(lambda each=each: publisher.publish([(1, b"%d" % each)])) for each in range(40)))
        await publisher.close()

    asyncio.run(story(open_publisher(peer.url())))
    found = values_of(read_all(peer.stream(), 140))
    assert found[0] == [b"%d" % each for each in range(100)]
    assert sorted(set(map(int, found[1]))) == list(range(40))


def test_the_event_loop_is_refused_another_number_of_partitions(peer: Peer) -> None:
    async def story(publisher: Publisher) -> None:
        with pytest.raises(StreamError, match=r"has 3 partitions, its URL says 5"):
            await publisher.publish([(0, b"a")])
        await publisher.close()

    peer.stream()
    asyncio.run(story(open_publisher(peer.url(partitions=5))))


def test_a_killed_peer_has_what_it_acknowledged_and_everybody_goes_on(mortal: Peer) -> None:
    stream, reader = mortal.stream(), mortal.stream()
    stream.publish(numbered(0, 1000))
    found = read_all(reader, 1000)
    after = {0: found[0][0][-1]}
    mortal.server.kill()
    mortal.server.start()
    stream.publish(numbered(1000, 500))
    assert values_of(read_all(reader, 500, after)) == {0: [b"%d" % each for each in range(1000, 1500)]}
    assert values_of(read_all(mortal.stream(), 1500)) == {0: [b"%d" % each for each in range(1500)]}


def test_while_the_peer_is_down_the_event_loop_is_told_so_in_time_and_loses_nothing(mortal: Peer) -> None:
    """What was acknowledged is there in its order; what was not may be there, and is there once it is sent again."""

    async def story(publisher: Publisher) -> list[bytes]:
        acknowledged = []
        await persist(lambda: publisher.publish([(0, b"0")]))
        mortal.server.kill()
        down_until, number = time.monotonic() + DOWN_SECONDS, 0
        while time.monotonic() < down_until:
            number += 1
            with pytest.raises((redis.RedisError, OSError)):
                await asyncio.wait_for(publisher.publish([(0, b"lost %d" % number)]), 15)
        mortal.server.start()
        for each in range(1, 100):
            acknowledged.append(b"%d" % each)
            await persist(lambda each=each: publisher.publish([(0, b"%d" % each)]))  # type: ignore[misc]
        await publisher.close()
        return acknowledged

    acknowledged = asyncio.run(story(mortal.impatient()))
    stream = mortal.stream()
    there = values_of(read_all(stream, stream.lag({0: -1})[0]))[0]
    distinct = list(dict.fromkeys(each for each in there if not each.startswith(b"lost")))
    assert distinct == [b"0", *acknowledged]


def test_a_peer_that_hangs_is_given_up_in_time(mortal: Peer) -> None:
    async def story(publisher: Publisher) -> None:
        await persist(lambda: publisher.publish([(0, b"0")]))
        mortal.server.pause()
        try:
            with pytest.raises((redis.RedisError, OSError)):
                await asyncio.wait_for(publisher.publish([(0, b"1")]), 15)
        finally:
            mortal.server.resume()
        await persist(lambda: publisher.publish([(0, b"2")]))
        await publisher.close()

    asyncio.run(story(mortal.impatient()))
    assert values_of(read_all(mortal.stream(), 2))[0][-1] == b"2"


@pytest.mark.parametrize("kind", KINDS)
def test_a_peer_that_is_not_there_is_an_error_in_time(kind: str) -> None:
    """Nobody listens there."""
    nobody = f"127.0.0.1:{free_port()}"
    url = f"kafka://{nobody}/events?message.timeout.ms=1500" if kind == "kafka" else f"redis://{nobody}/0?stream=events"

    async def story(publisher: Publisher) -> None:
        with pytest.raises((redis.RedisError, OSError)):
            await asyncio.wait_for(publisher.publish([(0, b"1")]), 15)
        await publisher.close()

    asyncio.run(story(open_publisher(url)))


def test_kafka_that_wants_a_password_over_tls_is_talked_to_by_the_settings_of_the_user(
    running_kafka: KafkaServer, tmp_path: Path
) -> None:
    def url(password: str) -> str:
        (tmp_path / password).write_text(
            "security.protocol=SASL_SSL\nsasl.mechanism=PLAIN\nsasl.username=inlay\n"
            f"sasl.password={password}\nssl.ca.location={running_kafka.certificate}\nmessage.timeout.ms=3000\n"
        )
        return f"kafka://{running_kafka.secure}/secure-events?partitions=2&properties={tmp_path / password}"

    async def story(publisher: Publisher) -> None:
        await publisher.publish([(1, b"by the event loop")])
        await publisher.close()

    stream = open_stream(url("secret"))
    stream.publish([(0, b"by a flow")])
    asyncio.run(story(open_publisher(url("secret"))))
    found = read_all(stream, 2)
    assert values_of(found) == {0: [b"by a flow"], 1: [b"by the event loop"]}
    stream.tell("people", {part: offsets[-1] for part, (offsets, _) in found.items()})
    stream.close()
    with pytest.raises(OSError, match="Kafka") as refused:
        asyncio.run(story(open_publisher(url("wrong"))))
    assert "wrong" not in str(refused.value)


async def persist(publish: Callable[[], Any], seconds: float = 30) -> None:
    """Try until it is acknowledged, as callers of the API do."""
    give_up_at = time.monotonic() + seconds
    while True:
        try:
            return await publish()
        except (redis.RedisError, OSError):
            if time.monotonic() > give_up_at:
                raise
            await asyncio.sleep(0.2)


@pytest.mark.parametrize("to", ["first", "last"])
def test_a_flow_that_is_told_to_go_on_with_another_stream_counts_on(peer: Peer, to: str) -> None:
    """Its offsets only ever grow, so that no user takes an event of the new stream for one that was applied."""
    stream = peer.stream()
    stream.publish(numbered(0, 20))
    offsets = read_all(stream, 20)[0][0]
    old = Place("kafka events of before", {0: offsets[-1] + 1_000_000}, {0: 0})
    with pytest.raises(OffsetGone, match=r"people is somewhere in another stream.* reset people --to first"):
        check_identity(stream, "people", old)
    place = moved(stream, old, to)
    check_identity(stream, "people", place)
    same = Numbered(stream, place.added)
    assert starting_offsets(same, "people", place.committed, 60)[0] <= place.committed[0]
    stream.publish(numbered(20, 5))
    found: list[Records] = []
    while sum(len(each.values) for each in found) < (25 if to == "first" else 5):
        after = {0: found[-1].offsets[-1] if found else place.committed[0]}
        found += same.read(after, 100, 0.2)
    assert [value for each in found for value in each.values] == [
        b"%d" % each for each in range(0 if to == "first" else 20, 25)
    ]
    assert all(offset > old.committed[0] for each in found for offset in each.offsets)
    assert same.bounds(0).last == found[-1].offsets[-1]
    assert same.lag({0: place.committed[0]}) == {0: 25 if to == "first" else 5}
    there = Place(place.identity, {0: found[-1].offsets[-1]}, place.added)
    assert there.in_stream()[0] == stream.bounds(0).last
    assert moved(stream, there, "last") == there
