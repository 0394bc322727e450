"""What a mail waits for while Redis is slow, hangs, is gone or was emptied, and how soon it is personal again after.

A process of the API, mails asked for at a fixed rate throughout, Redis behind a proxy that can be slow. Each answer
must be 200. It is healed once ten mails in a row are personal.
"""

from __future__ import annotations

import asyncio
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

import httpx

from feature_repo.layout import ITEM, SCOPE, USER
from tests.benchmarks.figures import Figure
from tests.benchmarks.open_loop import OpenLoop, getting
from tests.contract.slow_proxy import SlowProxy, slow_proxy
from tests.given import written
from tests.integration.stand import Stand

KEY: Final = "benchmark"
RATE: Final = 100
SECONDS: Final = 6.0
CONNECTIONS: Final = 16
USERS: Final = [f"u{number}" for number in range(100)]
ITEMS: Final = [f"p{number:02}" for number in range(60)]


class Fault(NamedTuple):
    """What is done to Redis, and what undoes it."""

    begin: Callable[[], Any]
    end: Callable[[], Any]


def measure() -> list[Figure]:
    with Stand() as stand, _proxied(int(stand.url.rpartition(":")[2].partition("/")[0])) as proxy:
        _stock(stand)
        redis, figures, chance = stand._processes["redis"], [], random.Random(17)
        stand._settings |= {"INLAY_REDIS_URL": proxy.url, "INLAY_API_KEYS": KEY}
        url = stand.start_api()
        faults = {
            "well": Fault(lambda: None, lambda: None),
            "slow by 200 ms": _of(proxy, "delay", lambda: 0.2),
            "stopped": Fault(lambda: redis.send_signal(signal.SIGSTOP), lambda: redis.send_signal(signal.SIGCONT)),
            "answering garbage": _of(proxy, "instead", b"\x00\xff" * 40),
            "emptied": Fault(stand.client.flushall, lambda: _stock(stand)),
            "gone": _of(proxy, "cut", 0),
            "resetting one answer in ten": _of(proxy, "resets", lambda: chance.random() < 0.1),
        }
        for name, fault in faults.items():
            _wait_until_personal(url)
            fault.begin()
            load = _load(url)
            fault.end()
            healed = _wait_until_personal(url)
            figures += [
                Figure(f"mails, Redis {name}, p99", load.p(0.99) * 1000, "ms"),
                Figure(f"mails, Redis {name}, the slowest", max(load.seconds) * 1000, "ms"),
                Figure(f"mails personal again, Redis {name}", healed, "s"),
            ]
        figures.append(Figure("connections of a process to Redis, the most", proxy.most, "of three pools of 32"))
    return figures


def _of(proxy: SlowProxy, name: str, fault: Any) -> Fault:
    """A fault that the proxy makes."""
    before = getattr(proxy, name)
    return Fault(lambda: setattr(proxy, name, fault), lambda: setattr(proxy, name, before))


def _load(url: str) -> OpenLoop:
    """Ask for mails at the rate; raises unless each is answered with 200."""
    load = OpenLoop(url, [getting(_mail(url, user), {"X-Api-Key": KEY}) for user in USERS], RATE)
    load.run(SECONDS, CONNECTIONS)
    return load


def _wait_until_personal(url: str) -> float:
    """Seconds until ten mails in a row are personal."""
    started, row, since = time.monotonic(), 0, 0.0
    with httpx.Client(headers={"X-Api-Key": KEY}) as client:
        while row < 10:
            asked = time.monotonic()
            blocks = client.get(_mail(url, USERS[row])).json()["blocks"]
            row = row + 1 if blocks[0]["source"] == "personal" else 0
            since = asked if row == 1 else since
            if asked > started + 30:
                raise TimeoutError("mails are not personal again after 30 s")
            time.sleep(0.01)
    return since - started


def _mail(url: str, user: str) -> str:
    return f"{url}/v1/blocks/abandoned_cart?user_id={user}"


def _stock(stand: Stand) -> None:
    """Put a small shop into the online store."""
    now = time.time_ns() // 1000
    rows: list[tuple[Any, str, dict[str, Any]]] = [
        (ITEM, item, {"title": f"Thing {item}", "url": f"https://shop.example/{item}", "price": 9.5, "currency": "EUR",
                      "image_url": f"https://shop.example/{item}.png", "in_stock": True})
        for item in ITEMS
    ]  # fmt: skip
    rows.append((SCOPE, "all", {"items": ITEMS[20:], "bestsellers": ITEMS[30:], "scores": [1.0] * 40}))
    rows += [
        (USER, user, {"cart_items": [ITEMS[place % 20]], "recent_items": ITEMS[:5]}) for place, user in enumerate(USERS)
    ]
    for layout, key, row in rows:
        name, fields = written(layout.hset(key, row, now))
        stand.client.hset(name, mapping=fields)


@contextmanager
def _proxied(port: int) -> Iterator[SlowProxy]:
    """A proxy before Redis, on a thread of its own."""
    started, stop = threading.Event(), threading.Event()
    made: list[SlowProxy] = []

    async def serve() -> None:
        async with slow_proxy(port) as proxy:
            made.append(proxy)
            started.set()
            while not stop.is_set():
                await asyncio.sleep(0.05)

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    started.wait()
    try:
        yield made[0]
    finally:
        stop.set()
        thread.join()
