"""What every inlet promises, against the real thing: one suite, each kind of source through all of it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import pytest
from bytewax.inputs import AbortExecution

from dataflows.connectors import Delivered, OffsetGone, StreamError
from dataflows.validate import TooManyRefused
from tests.contract.bridge import PARTITIONS, SECONDS, Bridge
from tests.contract.inlet_peers import KINDS, FolderPeer, Keyed, KinesisPeer, Peer, make_peer
from tests.contract.redis_server import RedisServer

ROOT: Final = Path(__file__).parents[2]
DOWN_SECONDS: Final = float(os.environ.get("STREAM_DOWN_SECONDS", "1"))
"""How long a peer stays away; STREAM_DOWN_SECONDS=60 for the whole minute."""
NASTY: Final = [b"nope", b"\xff\xfe", b"\x00\x00\x00\x00\x07x", b"[" * 3000, b"[1]", b'{"type": "view"}']
"""What is no event, whatever carries it; a line of a file holds it too."""


@pytest.fixture(params=KINDS)
def peer(request: pytest.FixtureRequest, tmp_path: Path) -> Peer:
    """A source with a name of its own."""
    return make_peer(request.param, request, tmp_path)


def events(first: int, last: int, users: int = 7) -> list[Keyed]:
    """Events with their numbers; each user's in the order of these."""
    return [(f"u{n % users}", json.dumps(an_event(n, users)).encode()) for n in range(first, last)]


def an_event(number: int, users: int = 7) -> dict[str, Any]:
    return {
        "event_id": f"e{number}", "type": "view", "occurred_at": 1_779_010_200 + number,
        "user_id": f"u{number % users}", "item_id": "p1",
    }  # fmt: skip


def published(server: RedisServer) -> list[dict[str, Any]]:
    """The events in the stream, a user's in their order."""
    return [
        json.loads(fields[b"event"])
        for number in range(PARTITIONS)
        for _, fields in server.client.xrange(f"events:{number}")
    ]


def numbers(server: RedisServer) -> set[str]:
    return {event["event_id"] for event in published(server)}


def first_times(found: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    """The ids of each user's events in the order in which each came first."""
    ids: dict[str, dict[str, None]] = {}
    for event in found:
        ids.setdefault(event["user_id"], {})[event["event_id"]] = None
    return {user: list(each) for user, each in ids.items()}


def letters(server: RedisServer) -> list[dict[bytes, bytes]]:
    return [fields for _, fields in server.client.xrange("dead_letters")]


def test_what_is_sent_arrives_in_order_of_each_user_and_is_not_read_again(peer: Peer, server: RedisServer) -> None:
    sent = events(0, 500)
    with Bridge(peer, server) as bridge:
        peer.send(sent[:300])
        peer.send(sent[300:])
        bridge.until(lambda: len(numbers(server)) == 500)
    assert first_times(published(server)) == first_times([json.loads(value) for _, value in sent])
    more = events(500, 510)
    peer.send(more)
    before = len(published(server))
    with Bridge(peer, server) as bridge:
        bridge.until(lambda: len(numbers(server)) == 510)
    assert len(published(server)) == before + 10


def test_what_was_not_confirmed_comes_again_with_the_same_ids(peer: Peer, server: RedisServer) -> None:
    peer.send([(key, without_id(value)) for key, value in events(0, 40)])
    read: list[Delivered] = []
    with Bridge(peer, server) as bridge:
        while not read:
            read = bridge.crossing.read()
    with Bridge(peer, server) as bridge:
        bridge.until(lambda: len(numbers(server)) == 40)
    first = {each.mark for each in read[0].deliveries}
    assert first
    assert first <= numbers(server)


def without_id(value: bytes) -> bytes:
    return json.dumps({name: each for name, each in json.loads(value).items() if name != "event_id"}).encode()


def test_what_is_no_event_becomes_a_dead_letter_and_what_comes_behind_it_arrives(
    peer: Peer, server: RedisServer
) -> None:
    good = events(0, 20)
    peer.send([*good[:10], *(("u1", value) for value in NASTY), *good[10:]])
    with Bridge(peer, server) as bridge:
        bridge.until(lambda: len(numbers(server)) == 20 and len(letters(server)) == len(NASTY))
    found = letters(server)
    assert sorted(each[b"original"][:50] for each in found if b"event_id" not in each[b"original"]) == sorted(
        value[:50] for value in NASTY[:-1]
    )
    assert all(each[b"flow"] == b"bridge" and each[b"place"] and each[b"reason"] for each in found)


def test_a_source_that_sends_nothing_but_nonsense_stops_the_bridge(peer: Peer, server: RedisServer) -> None:
    peer.send([("u1", b"nope")] * 30)
    with Bridge(peer, server, refused_run=20) as bridge, pytest.raises(TooManyRefused, match="in a row"):
        bridge.until(lambda: False)


def test_a_peer_that_is_away_for_a_while_is_waited_for(peer: Peer, server: RedisServer) -> None:
    with Bridge(peer, server) as bridge:
        peer.send(events(0, 30))
        bridge.until(lambda: len(numbers(server)) == 30)
        peer.stop()
        back_at = time.monotonic() + DOWN_SECONDS

        def is_back() -> bool:
            if time.monotonic() < back_at:
                return False
            peer.start()
            return True

        carry_on_while_away(bridge, is_back)
        peer.send(events(30, 60))
        bridge.until(lambda: len(numbers(server)) == 60)
    assert not letters(server)


def carry_on_while_away(bridge: Bridge, is_back: Callable[[], bool]) -> None:
    """Each try that fails ends in another; between two of them, the peer may come back."""
    back = False
    renew = bridge.crossing._may_go_on

    def between() -> None:
        nonlocal back
        back = back or is_back()
        renew()

    bridge.crossing._may_go_on = between  # type: ignore[method-assign]
    bridge.until(lambda: back)
    bridge.crossing._may_go_on = renew  # type: ignore[method-assign]


def test_what_was_lost_unread_is_said_in_words(peer: Peer, server: RedisServer) -> None:
    peer.send(events(0, 20))
    with Bridge(peer, server) as bridge:
        bridge.until(lambda: len(numbers(server)) == 20)
    peer.lose()
    said = r"reset|no folder|no subscription"
    with pytest.raises((OffsetGone, StreamError), match=said), Bridge(peer, server) as bridge:
        bridge.until(lambda: False)


def test_told_to_stop_while_the_stream_is_gone_it_stops_and_the_source_keeps_what_was_read(
    peer: Peer, server: RedisServer
) -> None:
    peer.send(events(0, 10))
    with Bridge(peer, server) as bridge:
        read: list[Delivered] = []
        while not read:
            read = bridge.crossing.read()
        bridge.stop._tell(signal.SIGTERM, None)
        bridge.crossing.publish(bridge.translate(read[0]))
        with pytest.raises(AbortExecution):
            bridge.crossing.read()
    assert not published(server)
    with Bridge(peer, server) as bridge:
        bridge.until(lambda: len(numbers(server)) == 10)


class Process:
    """A real bridge, as an operator starts it."""

    def __init__(self, peer: Peer, server: RedisServer, log: Path, **more: str) -> None:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("INLAY_")}
        environment = {
            **kept, **peer.environment, "INLAY_REDIS_URL": server.url, "INLAY_BRIDGE_FROM": peer.url,
            "INLAY_STREAM_URL": f"{server.url}?stream=events&partitions={PARTITIONS}", "INLAY_BRIDGE_BATCH": "50",
            **more,
        }  # fmt: skip
        self._log = log
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "bytewax.run", "dataflows.bridge"],
                cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
            )  # fmt: skip

    def until(self, happened: Callable[[], bool], pause: float = 0.02) -> None:
        give_up_at = time.monotonic() + SECONDS
        while not happened():
            assert self._process.poll() is None, self._log.read_text()[-3000:]
            assert time.monotonic() < give_up_at, self._log.read_text()[-3000:]
            time.sleep(pause)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def stop(self) -> int:
        self._process.terminate()
        return self._process.wait(20)


def test_a_bridge_that_is_killed_goes_on_and_loses_nothing(peer: Peer, server: RedisServer, tmp_path: Path) -> None:
    sent = events(0, 1500)
    sent[700:700] = [("u1", b"nope")]
    peer.send(sent[:900])
    peer.send(sent[900:])
    first = Process(peer, server, tmp_path / "log")
    first.until(lambda: len(published(server)) > 100, pause=0.0)
    first.kill()
    second = Process(peer, server, tmp_path / "log")
    second.until(lambda: len(numbers(server)) == 1500 and len(letters(server)) == 1)
    assert second.stop() == 0
    assert first_times(published(server)) == first_times([json.loads(value) for _, value in sent if value != b"nope"])


def test_a_second_bridge_on_a_source_that_does_not_share_itself_out_refuses(
    server: RedisServer, tmp_path: Path
) -> None:
    peer = FolderPeer(tmp_path)
    process = Process(peer, server, tmp_path / "log")
    process.until(lambda: bool(server.client.exists(f"inlay:lease:bridge file://{peer.folder}:0")))
    said = subprocess.run(
        [sys.executable, "-m", "dataflows.bridge", "reset"], cwd=ROOT, capture_output=True, text=True,
        env={**os.environ, "INLAY_REDIS_URL": server.url, "INLAY_BRIDGE_FROM": peer.url},
    )  # fmt: skip
    assert said.returncode == 2
    assert "is held by process" in said.stderr
    assert process.stop() == 0


def test_a_kinesis_stream_that_is_split_and_merged_is_read_on_in_order(
    request: pytest.FixtureRequest, server: RedisServer, tmp_path: Path
) -> None:
    peer = make_peer("kinesis", request, tmp_path)
    assert isinstance(peer, KinesisPeer)
    sent = events(0, 120)
    peer.send(sent[:40])
    with Bridge(peer, server) as bridge:
        bridge.until(lambda: len(numbers(server)) == 40)
        peer.client.split_shard(
            StreamName=peer.stream, ShardToSplit="shardId-000000000000", NewStartingHashKey=str(2**126)
        )
        peer.send(sent[40:80])
        bridge.until(lambda: len(numbers(server)) == 80)
    peer.client.merge_shards(
        StreamName=peer.stream, ShardToMerge="shardId-000000000002", AdjacentShardToMerge="shardId-000000000003"
    )
    peer.send(sent[80:])
    with Bridge(peer, server) as bridge:
        bridge.until(lambda: len(numbers(server)) == 120)
    assert first_times(published(server)) == first_times([json.loads(value) for _, value in sent])
