"""The collecting API as a process: what it took arrives, though the stream is gone and the process killed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from tests.contract.redis_server import RedisServer, redis_server
from tests.integration.stand import Stand

pytestmark = pytest.mark.integration

KEY = "secret"
USERS = 8
KILL_AT = 60
"""Events of one user after which the process is killed."""


class Sender:
    """Posts the events of one user one after another, and remembers what was answered."""

    def __init__(self, url: str, user: str) -> None:
        self._url, self._user = url, user
        self.sent: list[str] = []
        self.taken: list[str] = []

    def send(self, number: int) -> None:
        """Post that many events, or until the service is gone."""
        with httpx.Client(base_url=self._url, headers={"X-Api-Key": KEY}, timeout=20) as client:
            for _ in range(number):
                event_id = f"{self._user}-{len(self.sent)}"
                self.sent.append(event_id)
                event = {"event_id": event_id, "type": "view", "occurred_at": time.time(), "user_id": self._user}
                try:
                    answer = client.post("/v1/events", json=event)
                except httpx.TransportError:
                    return
                assert answer.status_code in (202, 503), answer.text
                if answer.status_code == 202:
                    self.taken.append(event_id)


@contextmanager
def stand_with_stream(spool: Path) -> Iterator[tuple[Stand, RedisServer]]:
    """A stand whose stream lives in a Redis of its own."""
    with redis_server() as stream:
        settings = {
            "INLAY_API_KEYS": KEY, "INLAY_STREAM_URL": f"{stream.url}?stream=events&partitions=4",
            "INLAY_SPOOL": str(spool), "INLAY_PUBLISH_WAIT": "0.5",
        }  # fmt: skip
        with Stand(settings) as stand:
            yield stand, stream


def arrived(stream: RedisServer) -> list[str]:
    found: Any = [entry for part in range(4) for entry in stream.client.xrange(f"events:{part}")]
    return [msgspec.json.decode(fields[b"event"])["event_id"] for _, fields in found]


def post_all(url: str, senders: list[Sender], number: int) -> None:
    with ThreadPoolExecutor(len(senders)) as pool:
        list(pool.map(lambda sender: sender.send(number), senders))


def wait_for(happened: Any, what: str) -> None:
    give_up_at = time.monotonic() + 60
    while not happened():
        assert time.monotonic() < give_up_at, what
        time.sleep(0.05)


def test_what_was_taken_arrives_though_the_stream_is_gone_and_the_process_is_killed(tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    with stand_with_stream(spool) as (stand, stream):
        stream.kill()
        url = stand.start_api()
        senders = [Sender(url, f"u{number}") for number in range(USERS)]
        with ThreadPoolExecutor(USERS) as pool:
            sending = [pool.submit(sender.send, 10_000) for sender in senders]
            wait_for(lambda: all(len(sender.taken) >= KILL_AT for sender in senders), "events to be taken")
            stand.kill("api")
            for each in sending:
                each.result()
        taken = {event_id for sender in senders for event_id in sender.taken}
        assert len(taken) >= USERS * KILL_AT
        (torn,) = spool.iterdir()
        with torn.open("ab") as file:
            file.write(b"\x40\x00\x00\x00half of a rec")  # as a loss of power leaves it

        stream.start()
        url = stand.start_api()
        wait_for(lambda: not list(spool.iterdir()), "the spool to be drained")
        first = arrived(stream)
        assert taken <= set(first) <= {event_id for sender in senders for event_id in sender.sent}
        assert len(first) == len(set(first))
        for sender in senders:
            mine = [event_id for event_id in first if event_id.startswith(f"{sender._user}-")]
            assert mine == sorted(mine, key=lambda event_id: int(event_id.split("-")[1]))

        # The same process goes on through a stream that hangs, and through one that is well again.
        later = [Sender(url, f"v{number}") for number in range(USERS)]
        stream.pause()
        post_all(url, later, 5)
        assert all(len(sender.taken) == 5 for sender in later)
        stream.resume()
        post_all(url, later, 5)
        wait_for(lambda: not list(spool.iterdir()), "the spool to be drained again")
        expected = {event_id for sender in later for event_id in sender.taken}
        assert len(expected) == USERS * 10
        assert set(arrived(stream)) - set(first) == expected
        counts = {
            line for line in httpx.get(f"{url}/metrics").text.splitlines() if line.startswith("inlay_spool_bytes ")
        }
        assert counts == {"inlay_spool_bytes 0.0"}
