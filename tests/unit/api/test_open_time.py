"""Links of mails as mail programs follow them: always a picture, never an open door, and always to the shop."""

from __future__ import annotations

import io
from typing import Any

import httpx
import pytest
import redis
from msgspec.structs import replace
from PIL import Image

from api import open_routes
from api.arrivals import FIELD, NONE, PARAMETER, Arrivals
from api.open_time import OpenTime
from api.picture import blank
from api.pictures import Pictures
from api.plans import Layout, Utm
from api.seals import Pass, Seals
from dataflows.events import DAY, SECOND
from dataflows.machines import Watch
from tests.given import NOW
from tests.unit.api.shop import LAYOUTS, SHOPPER, Shop

SEALS = Seals({"k1": "s" * 32})
TODAY = NOW // DAY
HOME = "https://shop.example"
PERSON = {"user-agent": "Mozilla/5.0 (Macintosh) AppleWebKit/605 Mail"}
LINKED: dict[str, Layout] = {
    name: replace(layout, utm=Utm(source="mail", campaign="w")) for name, layout in LAYOUTS.items()
}


class Mailbox(Shop):
    """The shop with links in its mails."""

    def __init__(self, hosts: tuple[str, ...] = (), arrivals: Arrivals = NONE, **how: Any) -> None:
        super().__init__(LINKED, **how)
        self.at = NOW
        self.photos: list[str] = []
        opening = OpenTime(
            self.server, SEALS, Pictures(self._fetch), self, Watch(), hosts, HOME,  # type: ignore[arg-type]
            arrivals, now=lambda: self.at,
        )  # fmt: skip
        self.app.include_router(open_routes.public_routes(opening))
        self.app.include_router(open_routes.link_routes(self.server, SEALS, "https://mail.shop.example", 60))

    def _fetch(self, url: str) -> bytes:
        self.photos.append(url)
        out = io.BytesIO()
        Image.new("RGB", (50, 50), "#b03020").save(out, "JPEG")
        return out.getvalue()

    def ask(self, path: str, method: str = "GET", **headers: str) -> httpx.Response:
        said = {**PERSON, **{name.replace("_", "-"): value for name, value in headers.items()}}
        return self.visit(lambda client: client.request(method, path, headers=said))

    @property
    def kinds(self) -> list[str]:
        return [event.type for event in self.told if event.type != "block_served"]


def token(user: str = "u1", send: str = "s1", layout: str = "weekly", until: int = TODAY) -> str:
    return SEALS.seal(Pass(layout, user, send, until))


@pytest.fixture
def box() -> Mailbox:
    return Mailbox()


def is_picture(answer: httpx.Response) -> bool:
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png")
    assert answer.headers["cache-control"] == "no-cache, max-age=0"
    return answer.content != blank()


def test_picture_and_click_agree_whatever_happened_in_between(box: Mailbox) -> None:
    assert is_picture(box.ask(f"/v1/open/{token()}/recently_viewed/1.png"))
    assert box.photos == ["https://shop.example/p05.jpg"]
    box.store.users["u1"] = replace(SHOPPER, recent_items=["p17"], purchased_items=["p05"])
    answer = box.ask(f"/v1/click/{token()}/recently_viewed/1")
    assert answer.status_code == 302
    assert answer.headers["location"] == "https://shop.example/p05?utm_source=mail&utm_campaign=w"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert items_of(box, "weekly", "s1") == ["p05", "p06", "p07", "p08"]


def test_a_click_before_any_picture_decides(box: Mailbox) -> None:
    location = box.ask(f"/v1/click/{token()}/recently_viewed/2").headers["location"]
    box.store.users["u1"] = replace(SHOPPER, recent_items=["p17"])
    assert location.startswith("https://shop.example/p06?")
    assert items_of(box, "weekly", "s1")[1] == "p06"


def items_of(box: Mailbox, layout: str, send: str) -> list[str]:
    return [item["item_id"] for item in box.mail(layout, send_id=send)["blocks"][0]["items"]]


BAD = (
    "x", "k1.", token()[:-1], "k9" + token()[2:], token(until=TODAY - 1), "%00", "%2F%2Fevil",
    "k1." + "A" * 3000,
)  # fmt: skip


@pytest.mark.parametrize("bad", BAD)
def test_a_token_that_is_none_shows_nothing_and_leads_nowhere(box: Mailbox, bad: str) -> None:
    assert not is_picture(box.ask(f"/v1/open/{bad}/recently_viewed/1.png"))
    answer = box.ask(f"/v1/click/{bad}/recently_viewed/1")
    assert answer.status_code == 404
    assert "location" not in answer.headers
    assert (box.kinds, box.store.kept) == ([], {})


def test_a_link_of_a_layout_that_is_there_no_more_leads_home(box: Mailbox) -> None:
    """Who clicks a mail of last month finds the shop, whatever became of its layout since."""
    assert not is_picture(box.ask(f"/v1/open/{token(layout='gone')}/recently_viewed/1.png"))
    answer = box.ask(f"/v1/click/{token(layout='gone')}/recently_viewed/1")
    assert (answer.status_code, answer.headers["location"]) == (302, HOME)
    assert box.kinds == ["email_click"]


@pytest.mark.parametrize(
    "rest", ["x", "x/y", "x/y/1.gif", f"{token()}/recently_viewed/1", "a/b/c/d.png", "%ff/%fe/1.png"]
)
def test_whatever_is_asked_for_there_is_a_picture(box: Mailbox, rest: str) -> None:
    for method in ("GET", "HEAD"):
        answer = box.ask(f"/v1/open/{rest}", method)
        assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png")


@pytest.mark.parametrize("slot", ["recently_viewed/5", "recently_viewed/0", "nothing/1", "recently_viewed/x"])
def test_an_empty_slot_shows_nothing_and_leads_to_the_shop(box: Mailbox, slot: str) -> None:
    assert not is_picture(box.ask(f"/v1/open/{token()}/{slot}.png"))
    answer = box.ask(f"/v1/click/{token()}/{slot}")
    assert (answer.status_code, answer.headers["location"]) == (302, f"{HOME}?utm_source=mail&utm_campaign=w")


@pytest.mark.parametrize(
    "url", ["https://evil.example/x", "//evil.example", "\\\\evil.example", "https://shop.example\r\nLocation: x"]
)
def test_a_catalogue_leads_to_no_other_host(url: str) -> None:
    box = Mailbox(("shop.example",))
    box.store.rows["p05"] = replace(box.store.rows["p05"], url=url)
    location = box.ask(f"/v1/click/{token()}/recently_viewed/1").headers["location"]
    assert location.partition("?")[0] == HOME


@pytest.mark.parametrize("failure", [redis.ConnectionError("refused"), None], ids=["gone", "hangs"])
def test_without_the_store_there_is_a_picture_and_a_way_to_the_shop(failure: Exception | None) -> None:
    box = Mailbox(deadline=0.05)
    box.store.failing = {"user": failure}
    assert is_picture(box.ask(f"/v1/open/{token()}/recently_viewed/1.png"))
    answer = box.ask(f"/v1/click/{token()}/recently_viewed/1")
    assert (answer.status_code, answer.headers["location"].partition("?")[0]) == (302, HOME)
    assert box.kinds == ["email_open", "email_click"]


def test_what_is_told_of_an_opening_and_a_click(box: Mailbox) -> None:
    for number in (1, 2, 3):
        box.ask(f"/v1/open/{token()}/recently_viewed/{number}.png")
    box.ask(f"/v1/click/{token()}/recently_viewed/2")
    assert box.kinds == ["email_open", "email_click"]
    opened, clicked = (event for event in box.told if event.type != "block_served")
    assert (opened.user_id, opened.send_id, opened.layout, opened.at) == ("u1", "s1", "weekly", NOW)
    assert opened.properties == {"user_agent": PERSON["user-agent"]}
    assert (clicked.item_id, clicked.block, clicked.slot) == ("p06", "recently_viewed", 2)
    assert clicked.url == "https://shop.example/p06?utm_source=mail&utm_campaign=w"
    box.at += 31 * 60 * SECOND
    box.ask(f"/v1/open/{token()}/recently_viewed/1.png")
    assert box.kinds == ["email_open", "email_click", "email_open"]


@pytest.mark.parametrize(
    ("method", "agent", "reason"),
    [
        ("GET", "Mozilla/5.0 (via ggpht.com GoogleImageProxy)", "image_proxy"),
        ("GET", "Mozilla/5.0", "apple_mpp"),
        ("HEAD", "Firefox", "head_request"),
    ],
)
def test_machines_are_told_apart_and_answered_alike(box: Mailbox, method: str, agent: str, reason: str) -> None:
    box.ask(f"/v1/open/{token()}/recently_viewed/1.png", method, user_agent=agent)
    assert box.ask(f"/v1/click/{token()}/recently_viewed/1", method, user_agent=agent).status_code == 302
    events = [event for event in box.told if event.type != "block_served"]
    assert [event.properties["machine_reasons"] for event in events] == [[reason]] * 2
    box.ask(f"/v1/open/{token()}/recently_viewed/1.png")
    assert "machine" not in box.told[-1].properties


def test_a_token_without_a_mail_takes_one_from_the_address_or_is_of_none(box: Mailbox) -> None:
    standing = token(send="")
    queries = ("", "?send_id=may", "?send_id=june")
    for query, recent in zip(queries, ("p11", "p12", "p13"), strict=True):
        box.store.users["u1"] = replace(SHOPPER, recent_items=[recent])
        box.ask(f"/v1/open/{standing}/recently_viewed/1.png{query}")
    box.store.users["u1"] = replace(SHOPPER, recent_items=["p14"])
    asked = [f"/v1/click/{standing}/recently_viewed/1{query}" for query in queries]
    led = [box.ask(path).headers["location"] for path in (*asked, f"/v1/click/{token()}/recently_viewed/1?send_id=may")]
    assert [link.partition("?")[0][-3:] for link in led] == ["p11", "p12", "p13", "p14"]


class TestLinks:
    """Where the addresses come from."""

    def test_for_one_reader(self, box: Mailbox) -> None:
        told = box.get("/v1/open-links/weekly", user_id="u1", send_id="s1").json()
        names = [f"{slot['block']} {slot['slot']}" for slot in told["slots"]]
        assert names[:5] == [*(f"recently_viewed {number}" for number in range(1, 5)), "price_drop 1"]
        first = told["slots"][0]
        assert first["open_url"].startswith("https://mail.shop.example/v1/open/k1.")
        assert told == box.get("/v1/open-links/weekly", user_id="u1", send_id="s1").json()
        box.at = box.server.seconds() * SECOND
        assert is_picture(box.ask(first["open_url"].removeprefix("https://mail.shop.example")))
        location = box.ask(first["click_url"].removeprefix("https://mail.shop.example")).headers["location"]
        assert location.startswith("https://shop.example/p05?")

    def test_as_html_to_paste(self, box: Mailbox) -> None:
        html = box.get("/v1/open-links/weekly", user_id="u1", format="html").text
        assert html.count("<img ") == html.count('alt="View"') == sum(plan.count for plan in LINKED["weekly"].blocks)

    def test_for_many(self, box: Mailbox) -> None:
        body = {"user_ids": ["u1", "é"]}
        answer = box.visit(lambda client: client.post("/v1/open-links/weekly/batch", json=body))
        lines = [httpx.Response(200, text=line).json() for line in answer.text.splitlines()]
        assert [line["user_id"] for line in lines] == ["u1", "é"]
        assert is_picture(box.ask(f"/v1/open/{lines[0]['token']}/recently_viewed/1.png"))

    @pytest.mark.parametrize("body", [{}, {"user_ids": []}, {"user_ids": [""]}, {"user_ids": ["a"] * 10_001}])
    def test_bodies_that_make_no_sense(self, box: Mailbox, body: dict[str, Any]) -> None:
        answer = box.visit(lambda client: client.post("/v1/open-links/weekly/batch", json=body))
        assert answer.status_code == 422

    def test_a_layout_that_does_not_exist(self, box: Mailbox) -> None:
        assert box.get("/v1/open-links/monthly", user_id="u1").status_code == 404


class TestArriving:
    ARRIVALS = Arrivals({"k1": "s" * 32}, 600, ["shop.example"], lambda: NOW / SECOND)
    CLICK = f"/v1/click/{token()}/recently_viewed/1"

    def test_a_click_carries_who_made_it_and_nothing_that_is_told_does(self) -> None:
        box = Mailbox(arrivals=self.ARRIVALS)
        location = box.ask(self.CLICK).headers["location"]
        link, _, carried = location.partition(f"&{PARAMETER}=")
        assert link == "https://shop.example/p05?utm_source=mail&utm_campaign=w"
        call = {"type": "identify", FIELD: carried}
        self.ARRIVALS.settle(call)
        assert call["userId"] == "u1"
        (click,) = (event for event in box.told if event.type == "email_click")
        assert click.url == link

    def test_so_does_one_that_leads_to_the_front_page(self) -> None:
        location = Mailbox(arrivals=self.ARRIVALS).ask(f"/v1/click/{token()}/recently_viewed/99").headers["location"]
        assert location.startswith(f"{HOME}?utm_source=mail&utm_campaign=w&{PARAMETER}=k1.")

    @pytest.mark.parametrize(
        ("method", "agent"), [("HEAD", PERSON["user-agent"]), ("GET", "Mozilla/5.0 (Windows; GoogleImageProxy)")]
    )
    def test_a_machine_is_handed_nothing(self, method: str, agent: str) -> None:
        box = Mailbox(arrivals=self.ARRIVALS)
        answer = box.ask(self.CLICK, method, user_agent=agent)
        assert answer.headers["location"] == "https://shop.example/p05?utm_source=mail&utm_campaign=w"

    def test_nor_is_a_host_that_is_not_the_shops(self) -> None:
        elsewhere = Arrivals({"k1": "s" * 32}, 600, ["other.example"], lambda: NOW / SECOND)
        assert PARAMETER not in Mailbox(arrivals=elsewhere).ask(self.CLICK).headers["location"]
