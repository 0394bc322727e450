"""How long from a click to the mail: an event posted to the API until a block shows it, one after another.

The peer is a bare round trip to the API, which no answer could undercut.
"""

import time
import uuid

import httpx

from tests.benchmarks.figures import Figure, percentile
from tests.integration.stand import Stand

TRIES = 100
KEY = "benchmark"


def measure() -> list[Figure]:
    with Stand({"INLAY_API_KEYS": KEY}) as stand:
        stand.start("people")
        stand.start("items")
        url = stand.start_api()
        with httpx.Client(base_url=url, headers={"X-Api-Key": KEY}) as api:
            _describe_item(api)
            seconds = [_cart_to_block(api) for _ in range(TRIES)]
            trips = [_round_trip(api) for _ in range(TRIES)]
    peer = "a bare round trip"
    trip = percentile(trips, 0.5)
    return [
        Figure(f"cart to block, p{share * 100:.0f}", value, "s", {peer: value / trip})
        for share in (0.5, 0.95, 0.99)
        for value in [percentile(seconds, share)]
    ]


def _describe_item(api: httpx.Client) -> None:
    item = {
        "event_id": "item", "type": "item", "occurred_at": time.time(), "item_id": "kettle", "title": "Kettle",
        "url": "https://shop.example/kettle", "image_url": "https://shop.example/kettle.png", "price": 59.0,
        "currency": "EUR", "in_stock": True,
    }  # fmt: skip
    api.post("/v1/events", json=item).raise_for_status()


def _cart_to_block(api: httpx.Client) -> float:
    user = f"user-{uuid.uuid4()}"
    event = {
        "event_id": user, "type": "add_to_cart", "occurred_at": time.time(), "user_id": user, "item_id": "kettle",
    }  # fmt: skip
    started = time.monotonic()
    api.post("/v1/events", json=event).raise_for_status()
    while time.monotonic() < started + 30:
        block = api.get("/v1/blocks/abandoned_cart", params={"user_id": user}).json()["blocks"][0]
        if block["source"] == "personal" and [item["item_id"] for item in block["items"]] == ["kettle"]:
            return time.monotonic() - started
    raise TimeoutError(f"the cart of {user} was in no block after 30 s")


def _round_trip(api: httpx.Client) -> float:
    started = time.monotonic()
    api.get("/health/live").raise_for_status()
    return time.monotonic() - started
