"""From a mail into the shop and back: what a device did before its owner clicked is in the owner's next mail."""

from __future__ import annotations

import time
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from tests.integration.stand import Stand

pytestmark = pytest.mark.integration

KEY: Final = "arriving-secret-0123456789"
SETTINGS: Final = {
    "INLAY_API_KEYS": KEY, "INLAY_LINK_KEYS": f"k1={'s' * 40}", "INLAY_PUBLIC_URL": "https://mail.shop.example",
    "INLAY_HOME_URL": "https://shop.example", "INLAY_LINK_HOSTS": "shop.example", "INLAY_ARRIVAL_SECONDS": "600",
}  # fmt: skip
PERSON: Final = {"User-Agent": "Mozilla/5.0 (Macintosh) AppleWebKit/605 Safari"}
PATIENCE: Final = 60.0


class Caller:
    """The shop's systems and a reader, over HTTP."""

    def __init__(self, url: str) -> None:
        self._client = httpx.Client(base_url=url, timeout=30, headers={"X-Api-Key": KEY})

    def __enter__(self) -> Caller:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def send(self, *events: dict[str, Any]) -> None:
        now = time.time()
        told = [
            {"event_id": f"{now}-{number}", "occurred_at": now - 60 + number, **each}
            for number, each in enumerate(events)
        ]
        answer = self._client.post("/v1/events", json=told)
        assert (answer.status_code, answer.json()["refused"]) == (202, []), answer.text

    def click(self, user_id: str) -> str:
        """Where a link in a mail to somebody leads."""
        links = self._client.get("/v1/open-links/weekly", params={"user_id": user_id, "send_id": "s1"}).json()
        path = urlsplit(links["slots"][0]["click_url"]).path
        answer = self._client.get(path, headers=PERSON)
        assert answer.status_code == 302
        return str(answer.headers["location"])

    def identify(self, **call: str) -> None:
        assert self._client.post("/v1/identify", json=call).json() == {"success": True}

    def viewed(self, user_id: str) -> list[str]:
        """What somebody's mail says they viewed."""
        mail = self._client.get("/v1/blocks/weekly", params={"user_id": user_id}).json()
        (block,) = (each for each in mail["blocks"] if each["block"] == "recently_viewed")
        return [item["item_id"] for item in block["items"]] if block["source"] == "personal" else []


def test_what_a_device_did_before_the_click_is_in_the_next_mail() -> None:
    with Stand(SETTINGS) as stand:
        for flow in ("people", "items"):
            stand.start(flow)
        with Caller(stand.start_api()) as caller:
            _tell_the_story(stand, caller)


def _tell_the_story(stand: Stand, caller: Caller) -> None:
    caller.send(
        *(
            {
                "type": "item", "item_id": f"p{number}", "title": f"Lamp {number}", "price": 9.0, "currency": "EUR",
                "url": f"https://shop.example/p{number}", "image_url": f"https://shop.example/p{number}.jpg",
                "in_stock": True,
            }
            for number in range(1, 5)
        ),
        {"type": "view", "user_id": "anna", "item_id": "p1"},
        {"type": "view", "anonymous_id": "phone", "item_id": "p2"},
    )  # fmt: skip
    stand._wait("Anna's own view", PATIENCE, lambda: caller.viewed("anna") == ["p1"])
    link = caller.click("anna")
    (arrival,) = parse_qs(urlsplit(link).query)["inlay_arrival"]
    caller.identify(anonymousId="tablet", arrival="k1." + "A" * 60)
    caller.identify(anonymousId="phone", arrival=arrival)
    caller.send({"type": "view", "anonymous_id": "tablet", "item_id": "p4"})
    stand._wait("the tablet's view, which is nobody else's", PATIENCE, lambda: caller.viewed("tablet") == ["p4"])
    caller.send({"type": "view", "anonymous_id": "phone", "item_id": "p3"})
    stand._wait("what Anna's phone did", PATIENCE, lambda: set(caller.viewed("anna")) == {"p1", "p2", "p3"})
