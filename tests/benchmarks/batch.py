"""How many mails a second one worker makes in a batch, of three blocks of four and of the weekly layout; as JSON and
as HTML. The peer is one request a user on a connection that is kept.
"""

import random
import tempfile
import time
from pathlib import Path

import httpx

from dataflows.events import SECOND
from dataflows.transaction import Transaction
from feature_repo.layout import ITEM, SCOPE, USER
from tests.benchmarks.figures import Figure
from tests.integration.stand import Stand

KEY = "benchmark"
USERS, ITEMS = 10_000, 2_000
ALONE = 500
CATEGORIES = ["Home/Lighting", "Home/Kitchen", "Apparel/Shirts", "Office", "Drinkware", "Bags"]
SCOPES = ["all", "country:US", *(f"category:{name}" for name in CATEGORIES)]
THREE_BLOCKS = """\
name: three
blocks:
  - {block: recently_viewed, title: Seen}
  - {block: recommended, title: Picked}
  - {block: trending, title: Hot}
"""


def measure() -> list[Figure]:
    with tempfile.TemporaryDirectory() as folder:
        shipped = Path(__file__).parents[2] / "api/layouts/weekly.yaml"
        (Path(folder) / "weekly.yaml").write_text(shipped.read_text())
        (Path(folder) / "three.yaml").write_text(THREE_BLOCKS)
        with Stand({"INLAY_API_KEYS": KEY, "INLAY_LAYOUTS": folder, "INLAY_DEADLINE": "5"}) as stand:
            stock(stand)
            url = stand.start_api()
            with httpx.Client(base_url=url, headers={"X-Api-Key": KEY}, timeout=120) as api:
                return [figure for layout in ("three", "weekly") for figure in _figures(api, layout)]


def _figures(api: httpx.Client, layout: str) -> list[Figure]:
    alone = _alone(api, layout)
    found = []
    for form in ("json", "html"):
        rate = max(_batch(api, layout, form) for _ in range(3))
        found.append(Figure(f"batch, {layout}, {form}", rate, "users/s", {"one request a user": rate / alone}))
    return found


def _batch(api: httpx.Client, layout: str, form: str) -> float:
    body = {"user_ids": [f"u{number}" for number in range(USERS)], "format": form}
    started, lines = time.monotonic(), 0
    with api.stream("POST", f"/v1/blocks/{layout}/batch", json=body) as answer:
        for part in answer.iter_raw():
            lines += part.count(b"\n")
    if lines != USERS:
        raise AssertionError(f"{lines} lines for {USERS} users")
    return USERS / (time.monotonic() - started)


def _alone(api: httpx.Client, layout: str) -> float:
    started = time.monotonic()
    for number in range(ALONE):
        answer = api.get(f"/v1/blocks/{layout}", params={"user_id": f"u{number}"}).json()
        if answer["blocks"][0]["source"] != "personal":
            raise AssertionError(answer["blocks"][0])
    return ALONE / (time.monotonic() - started)


def stock(stand: Stand) -> None:
    """People who viewed, put into carts and bought; a catalogue with neighbours; what is popular."""
    chance, now = random.Random(7), int(time.time())
    items = [f"item-{number:04}" for number in range(ITEMS)]
    rows = [
        *(
            ITEM.hset(item_id, {
                "title": f"A thing with a name {item_id}", "url": f"https://shop.example/products/{item_id}",
                "image_url": f"https://shop.example/pictures/{item_id}.jpg", "price": chance.randint(5, 90) + 0.5,
                "list_price": chance.choice([None, 99.0]), "currency": "USD", "category": chance.choice(CATEGORIES),
                "brand": chance.choice(["Ours", "Theirs"]), "in_stock": chance.random() > 0.05,
                "added_at": now - chance.randint(0, 100) * 86_400,
                "price_dropped_at": chance.choice([None, None, now - 86_400]),
                "neighbours": chance.sample(items, 50), "neighbour_weights": [1 / rank for rank in range(1, 51)],
            }, now * SECOND)
            for item_id in items
        ),
        *(SCOPE.hset(scope, popular(items, chance), now * SECOND) for scope in SCOPES),
        *(USER.hset(f"u{number}", shopper(items, chance), now * SECOND) for number in range(USERS)),
    ]  # fmt: skip
    for start in range(0, len(rows), 1000):
        transaction = Transaction(stand.client)
        for row in rows[start : start + 1000]:
            transaction.add_packed(row)
        transaction.execute(["nobody guards this"], None)


def popular(items: list[str], chance: random.Random) -> dict[str, object]:
    return {
        "items": chance.sample(items, 100), "scores": [1.0] * 100,
        "bestsellers": chance.sample(items, 100), "bestseller_purchases": [1] * 100,
    }  # fmt: skip


def shopper(items: list[str], chance: random.Random) -> dict[str, object]:
    return {
        "recent_items": chance.sample(items, chance.randint(4, 25)), "wishlist_items": [],
        "cart_items": chance.sample(items, chance.randint(0, 3)),
        "purchased_items": chance.sample(items, chance.randint(0, 6)),
        "top_categories": chance.sample(CATEGORIES, 3), "country": "US", "locale": "en", "views_30d": 20,
    }  # fmt: skip
