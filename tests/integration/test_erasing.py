"""Erasures as they are in the field: real flows, a real lake, and a process of the API that is killed in the midst.

Whatever it was at, the one that starts next ends it; then nothing of the user is anywhere, on disk or in Redis, and
who was nobody's business is as before. `ERASING_KILLS=50` kills at as many more moments.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

import httpx
import msgspec
import pytest

from api.erasure_jobs import JOBS, LEASE, Job
from api.forgetting import PROCESSES
from api.served import served_key
from dataflows.connectors.lake_files import EVENTS, FEATURES, open_lake
from dataflows.connectors.quarantine import AsideRow, Quarantine
from dataflows.erasing import ERASURE_KEY
from tests.integration.stand import Stand
from tests.unit.docs.test_privacy_page import untold

pytestmark = pytest.mark.integration

KEY: Final = "erasing-secret-0123456789"
KILLS: Final = int(os.environ.get("ERASING_KILLS", "1"))
STAYS: Final = "boris-77aa21"
SECONDS: Final = 60
HEAVY: Final = ("/pandas/", "/bytewax/", "/pyarrow/")
"""Libraries that a process of the API has not loaded, but for what the lake needs once somebody is erased."""


class Person:
    """Somebody with a device and a name of before."""

    def __init__(self, number: int) -> None:
        self.user, self.device, self.old = (f"{what}-{number}-{0x5C1F77 + number:x}" for what in ("anna", "dev", "old"))

    @property
    def ids(self) -> tuple[str, str, str]:
        return self.user, self.device, self.old

    def events(self) -> list[dict[str, Any]]:
        """What everything that is stored of somebody comes of; the last one is refused."""
        who = {"user_id": self.user}
        told: list[dict[str, Any]] = [
            {"type": "view", "anonymous_id": self.device, "item_id": "p1"},
            {"type": "identify", **who, "anonymous_id": self.device, "traits": {"first_name": "Anna", "country": "FR"}},
            {"type": "view", **who, "item_id": "p2"},
            {"type": "add_to_cart", **who, "item_id": "p2", "price": 3.0},
            {"type": "purchase", "user_id": self.old, "item_id": "p3", "price": 9.0, "order_id": f"o-{self.user}"},
            {"type": "identify", **who, "properties": {"previous_id": self.old}},
            {"type": "view", **who, "price": -1},
        ]
        now = time.time() - 60
        return [
            {"event_id": f"{self.user}-{number}", "occurred_at": now + number, **each}
            for number, each in enumerate(told)
        ]


class Shop:
    """The service and what it stores."""

    def __init__(self, stand: Stand, folder: Path) -> None:
        self.stand, self.folder, self.url = stand, folder, ""
        self.lake = open_lake(str(folder / "lake"))

    def call(self, method: str, path: str, **how: Any) -> Any:
        with httpx.Client(base_url=self.url, headers={"X-Api-Key": KEY}, timeout=SECONDS) as client:
            answer = client.request(method, path, **how)
        assert answer.status_code < 300, answer.text
        return answer.json()

    def live(self, people: Iterable[Person]) -> None:
        """Let people do what leaves something everywhere."""
        for each in people:
            assert len(self.call("POST", "/v1/events", json=each.events())["refused"]) == 1
        for each in people:
            until(lambda each=each: self.knows(each), "their features")
            self.call("GET", f"/v1/blocks/weekly?user_id={each.user}&send_id=s1")
            self.stand.client.zadd(served_key(each.user), {"s1\np1": 1})
            now = time.time_ns() // 1000
            aside = [(AsideRow("user", each.user, now, {"views_1h": -1}), "views_1h is below 0")]
            for command in Quarantine(1000, 0, 0).commands("people", "row", aside, now):
                self.stand.client.execute_command(*command)

    def knows(self, who: Person) -> bool:
        items = self.call("GET", f"/v1/users/{who.user}")["features"].get("user_items", {})
        return set(items.get("recent_items") or []) == {"p1", "p2"} and items.get("purchased_items") == ["p3"]

    def job(self, who: Person) -> Job | None:
        """The erasure of somebody, as long as it is not done."""
        found: Any = self.stand.client.hvals(JOBS)
        return next((job for raw in found if (job := _read(raw)).user_id == who.user), None)

    def erase_and_kill(self, who: Person, ripe: Callable[[Job], bool], flow: str = "") -> Job:
        """Ask for an erasure, and kill the service once it is ripe; how far it was then. A flow may sleep meanwhile."""
        if flow:
            self.stand._processes[flow].send_signal(19)
        asking = threading.Thread(target=self._ask, args=(who,))
        asking.start()
        until(lambda: (job := self.job(who)) is not None and ripe(job), "the erasure to be ripe", 0.0005)
        job = self.job(who)
        self.stand.kill("api")
        asking.join()
        if flow:
            self.stand._processes[flow].send_signal(18)
        assert job is not None, "it was killed too late"
        left = self.job(who)
        assert left is not None, "it was killed too late"
        assert left.report.state == "running"
        # Its turn, and its place among those who are alive, end after some seconds, which nobody need wait for here.
        self.stand.client.delete(LEASE.format(left.report.erasure), PROCESSES)
        return left

    def _ask(self, who: Person) -> None:
        with pytest.raises(httpx.TransportError):
            self.call("DELETE", f"/v1/users/{who.user}")

    def start(self) -> None:
        self.url = self.stand.start_api()

    def where(self, who: Person) -> list[str]:
        """Everywhere that somebody is: keys of Redis by name or content, rows of the lake, files, logs."""
        names = [each.encode() for each in who.ids]
        client: Any = self.stand.client
        found = []
        for key in client.scan_iter("*", count=1000):
            said = (key, *_words(client, key))
            if any(name in word for name in names for word in said):
                found.append(key.decode("utf-8", "replace"))
        for folder in (EVENTS, FEATURES.format("user"), FEATURES.format("item"), FEATURES.format("scope"), "held"):
            for file in self.lake.files(folder):
                said = msgspec.json.encode(self.lake.read(file.path).to_pylist(), enc_hook=str, order=None)
                found += [file.path for name in names if name in said]
        files = (path for path in self.folder.rglob("*") if path.is_file())
        logs = self.stand.folder.glob("*.log")
        return found + [str(path) for path in (*files, *logs) if any(name in path.read_bytes() for name in names)]


_read: Final = msgspec.msgpack.Decoder(Job).decode


def _words(client: Any, key: bytes) -> list[bytes]:
    """What a key holds, by commands: bytes of what was taken out of a stream are there for a while, for nobody."""
    read: dict[str, Callable[[], Any]] = {
        "none": list, "string": lambda: [client.get(key)], "hash": lambda: sum(client.hgetall(key).items(), ()),
        "zset": lambda: client.zrange(key, 0, -1), "list": lambda: client.lrange(key, 0, -1),
        "set": lambda: client.smembers(key),
        "stream": lambda: [word for _, fields in client.xrange(key) for word in (*fields, *fields.values())],
    }  # fmt: skip
    return [each for each in read[client.type(key).decode()]() if each]


def until(happened: Callable[[], bool], what: str, pause: float = 0.05) -> None:
    give_up_at = time.monotonic() + SECONDS
    while not happened():
        assert time.monotonic() < give_up_at, what
        time.sleep(pause)


def test_who_is_erased_is_nowhere_though_the_service_is_killed_in_the_midst_of_it(tmp_path: Path) -> None:
    chance = random.Random(6)
    settings = {
        "INLAY_API_KEYS": KEY, "INLAY_LAKE_URL": str(tmp_path / "lake"), "INLAY_LAKE_WAIT": "0.05",
        "INLAY_SPOOL": str(tmp_path / "spool"), "INLAY_SNAPSHOT": str(tmp_path / "snapshot"),
    }  # fmt: skip
    with Stand(settings, forked=True) as stand:
        shop = Shop(stand, tmp_path)
        for flow in ("people", "items", "lake"):
            stand.start(flow, wait=False)
        shop.start()
        people = [Person(number) for number in range(2 + KILLS)]
        shop.live(people)
        shop.call("POST", "/v1/events", json=[
            {"event_id": "b1", "type": "add_to_cart", "occurred_at": time.time(), "user_id": STAYS, "item_id": "p4"}
        ])  # fmt: skip
        until(lambda: all(shop.lake.holds([each.user], [each.device]) >= 4 for each in people), "the lake")
        loaded = Path(f"/proc/{stand._processes['api'].pid}/maps").read_text()
        assert "/msgspec/" in loaded
        assert [each for each in HEAVY if each in loaded] == []
        before = {each.user: shop.where(each) for each in people}
        for each in people:
            found = " ".join(before[each.user])
            for place in ("inlay:served", "inlay:decision", "dead_letters", "quarantine", "derived", "events:", "lake"):
                assert place in found, (place, found)

        def asked(job: Job) -> bool:  # the command is in the stream, and one of the flows that should answer sleeps
            return bool(stand.client.hexists(ERASURE_KEY.format(job.report.erasure), "items"))

        def answered(job: Job) -> bool:  # the flows are through, and the places are at hand
            found: Any = stand.client.hgetall(ERASURE_KEY.format(job.report.erasure))
            return b"people" in found and b"items" in found

        wanted, word = {"name": "made", "scopes": ["read"]}, {"Idempotency-Key": "0b7c1f6e-5a1d-4c0e"}
        first = shop.call("POST", "/v1/admin/keys", json=wanted, headers=word)
        mail = f"/v1/blocks/weekly?user_id={STAYS}&send_id=s9"
        shown = shop.call("GET", mail)
        killed = [(people[0], shop.erase_and_kill(people[0], asked, "people"))]
        shop.start()
        assert shop.call("POST", "/v1/admin/keys", json=wanted, headers=word) == first, "asked again after the kill"
        assert shop.call("GET", mail) == shown
        killed.append((people[1], shop.erase_and_kill(people[1], answered)))
        for each in people[2:]:
            shop.start()
            at = time.monotonic() + chance.uniform(0, 0.3)
            killed.append((each, shop.erase_and_kill(each, lambda _, at=at: time.monotonic() >= at)))
        shop.start()
        for each, job in killed:
            until(lambda each=each: shop.job(each) is None, f"the erasure to be done: {shop.job(each)}")
            report = shop.call("GET", f"/v1/erasures/{job.report.erasure}")
            assert (report["state"], report["ids"], set(report["left"].values())) == ("done", 3, {0}), report
            assert report["tries"] >= 2
            assert shop.where(each) == []
        assert shop.call("GET", f"/v1/users/{STAYS}")["features"]["user_items"]["cart_items"] == ["p4"]
        assert untold(stand.client.scan_iter("*", count=1000)) == []
        assert {path.relative_to(tmp_path).parts[0] for path in tmp_path.rglob("*")} <= {"lake", "spool", "snapshot"}
        assert {path.name for path in (tmp_path / "lake").iterdir()} <= {"events", "features", "held", "erased"}
    print(f"killed {len(killed)} times in the midst; found before in {sorted(map(len, before.values()))} places")
