"""`track.js` in a real browser, in a page of a shop that is served from another origin than the API."""

from __future__ import annotations

import asyncio
import gzip
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import msgspec
import pytest
import uvicorn
from fastapi import FastAPI
from selenium import webdriver
from selenium.webdriver.common.by import By

from api import problems
from api.access import Keys
from api.app import install_door
from api.arrivals import Arrivals
from api.collect import Collector
from api.script import FILE
from api.settings import api_settings
from dataflows.connectors.letters import DeadLetters
from dataflows.events import MINUTE
from tests.browser.test_demo_page import base_url, driver  # noqa: F401  # fixtures

pytestmark = [pytest.mark.browser, pytest.mark.enable_socket]

LIMIT = 4096
PATIENCE = 15.0


class Stream:
    """A publisher that keeps what it is given, or is down."""

    partitions = 1

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.down = False

    async def publish(self, records: Sequence[tuple[int, bytes]]) -> None:
        if self.down:
            raise OSError("down")
        self.events += [msgspec.json.decode(raw) for _, raw in records]

    async def close(self) -> None:
        pass


class Letterbox:
    """The client of the dead letters: what is put in has its reasons."""

    def __init__(self) -> None:
        self.letters: list[Any] = []

    def pipeline(self, transaction: bool) -> Letterbox:
        return self

    def execute_command(self, *command: Any) -> None:
        self.letters.append(command)

    async def execute(self) -> None:
        pass


class Api:
    """The collecting routes of the product on a port of their own."""

    def __init__(self) -> None:
        self.stream, self.box = Stream(), Letterbox()
        app = FastAPI()
        problems.install(app)
        collector = Collector(self.stream, DeadLetters("letters", 10), self.box, 5 * MINUTE)
        self.arrivals = Arrivals({"k1": "s" * 40}, 600, ["localhost"])
        install_door(app, collector, Keys(["public"]), api_settings({"INLAY_API_KEYS": "k"}), self.arrivals)
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._server = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False, lifespan="off"))
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        asyncio.run(self._server.serve([self._socket]))

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join()
        self._socket.close()


SHOP = """<!doctype html><html lang="en"><title>A lamp</title>
<script async src="{api}/v1/track.js" data-key="public" {more}></script>
<script>window.inlay = window.inlay || function () {{ (inlay.q = inlay.q || []).push(arguments) }};</script>
{body}
<a id="next" href="/next">next</a></html>"""
LINKED = """<script type="application/ld+json">{"@context": "https://schema.org", "@graph": [{"@type": "WebSite"},
{"@type": "Product", "sku": "LAMP-1", "name": "Lamp", "brand": {"@type": "Brand", "name": "Meridian"},
"category": "Home/Lamps", "offers": {"@type": "Offer", "price": "129.00", "priceCurrency": "EUR"}}]}</script>"""
BUTTONS = """<button id="add" data-inlay-add data-inlay-quantity="2"><b>Add</b></button>
<button id="other" data-inlay-add="BULB" data-inlay-price="3.50" data-inlay-currency="EUR">Add a bulb</button>"""
FORM = """<form id="news" data-inlay-form action="/next"><input name="email"><button id="send">Send</button></form>
<form id="own" action="/next"><input type="hidden" name="inlay_anonymous_id"><input name="q"></form>
<form id="foreign" action="/next"><input name="q"></form>"""


class Shop:
    """A shop of somebody else: pages by their path, from another origin."""

    def __init__(self, api: str) -> None:
        self.pages = {
            "/": ("", LINKED + BUTTONS),
            "/granted": ('data-consent="granted"', LINKED + BUTTONS),
            "/marked": (
                'data-consent="granted"',
                '<p data-inlay-view="M1" data-inlay-price="5" data-inlay-currency="USD">',
            ),
            "/form": ('data-consent="granted"', FORM),
            "/next": ('data-consent="granted"', "next"),
            "/elsewhere": ("", ""),
        }
        self._api = api
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, self))
        self.url = f"http://localhost:{self._server.server_port}"  # another host too, so another site
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    def page(self, path: str) -> bytes:
        more, body = self.pages.get(path.partition("?")[0], ("", ""))
        return SHOP.format(api=self._api, more=more, body=body).encode()

    def stop(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    def __init__(self, shop: Shop, *rest: Any) -> None:
        self._shop = shop
        super().__init__(*rest)

    def do_GET(self) -> None:
        body = self._shop.page(self.path)
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


class Visit:
    """A visitor of the shop, and what the API got of them."""

    def __init__(self, browser: webdriver.Chrome, shop: Shop, api: Api) -> None:
        self.browser, self.shop, self.api = browser, shop, api

    def open(self, path: str) -> Visit:
        self.browser.get(self.shop.url + path)
        return self

    def click(self, selector: str) -> None:
        self.browser.find_element(By.CSS_SELECTOR, selector).click()

    def run(self, script: str) -> Any:
        return self.browser.execute_script(script)

    def call(self, arguments: str) -> None:
        self.until(lambda: self.run("return !!window.inlay && !window.inlay.q"))
        self.run(f"window.inlay({arguments})")

    def until(self, holds: Callable[[], Any]) -> None:
        give_up_at = time.monotonic() + PATIENCE
        while not holds():
            assert time.monotonic() < give_up_at, (self.api.stream.events, self.api.box.letters, self.console())
            time.sleep(0.02)

    def got(self, *names: str) -> list[dict[str, Any]]:
        """Wait for events of these names, each once, and no other; the events."""
        self.until(lambda: len({event["event_id"] for event in self.api.stream.events}) >= len(names))
        found = {event["event_id"]: event for event in self.api.stream.events}
        assert [_name(event) for event in found.values()] == list(names)
        return list(found.values())

    def stored(self) -> list[str]:
        return list(self.run("return [...Object.keys(localStorage), ...document.cookie.split('; ')].filter(Boolean)"))

    def console(self) -> list[Any]:
        return list(self.browser.get_log("browser"))  # type: ignore[no-untyped-call]


def _name(event: dict[str, Any]) -> str:
    return event["type"] if event["type"] == "identify" else event["properties"]["event"]


@pytest.fixture(scope="module")
def api() -> Iterator[Api]:
    api = Api()
    yield api
    api.stop()


@pytest.fixture(scope="module")
def shop(api: Api) -> Iterator[Shop]:
    shop = Shop(api.url)
    yield shop
    shop.stop()


@pytest.fixture
def visit(driver: webdriver.Chrome, shop: Shop, api: Api) -> Iterator[Visit]:  # noqa: F811  # the fixture
    """Somebody who was never here."""
    driver.get(shop.url + "/elsewhere")
    driver.execute_cdp_cmd("Storage.clearDataForOrigin", {"origin": shop.url, "storageTypes": "all"})
    driver.delete_all_cookies()
    api.stream.events.clear()
    api.stream.down = False
    api.box.letters.clear()
    visit = Visit(driver, shop, api)
    visit.console()
    yield visit
    assert api.box.letters == []


def test_it_is_small_and_plain() -> None:
    assert len(gzip.compress(FILE.read_bytes(), 9)) < LIMIT
    assert b"import" not in FILE.read_bytes().replace(b"important", b"")


def test_it_is_served_packed_and_kept_by_browsers(api: Api) -> None:
    answer = httpx.get(f"{api.url}/v1/track.js")
    assert answer.content == FILE.read_bytes()
    assert answer.headers["content-type"].startswith("text/javascript")
    assert (answer.headers["content-encoding"], answer.headers["vary"]) == ("gzip", "Accept-Encoding")
    assert int(answer.headers["content-length"]) < LIMIT
    assert "max-age" in answer.headers["cache-control"]
    again = httpx.get(f"{api.url}/v1/track.js", headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    plain = httpx.get(f"{api.url}/v1/track.js", headers={"Accept-Encoding": "identity"})
    assert plain.content == answer.content
    assert plain.headers["etag"] != answer.headers["etag"]


def test_a_page_and_its_product_by_json_ld(visit: Visit) -> None:
    visit.open("/granted?utm_source=news&utm_campaign=spring")
    page, view = visit.got("page", "Product Viewed")
    assert (page["type"], page["url"].startswith(visit.shop.url)) == ("custom", True)
    assert (view["type"], view["item_id"], view["price"], view["currency"]) == ("view", "LAMP-1", 129.0, "EUR")
    assert (view["category"], view["campaign_id"]) == ("Home/Lamps", "spring")
    assert view["anonymous_id"] == page["anonymous_id"] == visit.run("return window.inlay('id')")
    assert f"inlay_anonymous_id={page['anonymous_id']}" in visit.stored()
    assert visit.console() == []


def test_a_product_by_attributes(visit: Visit) -> None:
    _, view = visit.open("/marked").got("page", "Product Viewed")
    assert (view["item_id"], view["price"], view["currency"]) == ("M1", 5.0, "USD")


def test_clicks_put_into_the_cart(visit: Visit) -> None:
    visit.open("/granted").got("page", "Product Viewed")
    visit.click("#add b")
    visit.click("#other")
    *_, first, second = visit.got("page", "Product Viewed", "Product Added", "Product Added")
    assert (first["type"], first["item_id"], first["quantity"], first["price"]) == ("add_to_cart", "LAMP-1", 2, 129.0)
    assert (second["item_id"], second["price"]) == ("BULB", 3.5)


def test_who_is_known_stays_known_until_they_leave(visit: Visit) -> None:
    visit.open("/next").got("page")
    visit.call("'identify', 'u1', {email_allowed: true}")
    _, identify = visit.got("page", "identify")
    assert (identify["user_id"], identify["traits"]) == (
        "u1",
        {"email_allowed": True, "locale": visit.run("return navigator.language")},
    )
    visit.open("/next")
    assert visit.got("page", "identify", "page")[-1]["user_id"] == "u1"
    visit.call("'reset'")
    visit.open("/next")
    last = visit.got("page", "identify", "page", "page")[-1]
    assert "user_id" not in last
    assert last["anonymous_id"] != identify["anonymous_id"]


def test_who_arrives_from_a_mail_is_known_and_it_stays_in_no_address(visit: Visit) -> None:
    path = visit.api.arrivals.carried(f"{visit.shop.url}/granted?utm_source=news&a=%20x+y#top", "u7")
    visit.open(path.removeprefix(visit.shop.url))
    identify, page, _ = visit.got("identify", "page", "Product Viewed")
    assert (identify["user_id"], identify["anonymous_id"]) == ("u7", page["anonymous_id"])
    assert "user_id" not in page, "the browser is not told"
    assert visit.browser.current_url == page["url"] == f"{visit.shop.url}/granted?utm_source=news&a=%20x+y#top"
    assert not any("k1." in str(event) for event in visit.api.stream.events)
    visit.open("/next")
    assert visit.got("identify", "page", "Product Viewed", "page")[-1]["anonymous_id"] == page["anonymous_id"]


@pytest.mark.parametrize(
    ("search", "rest"),
    [
        ("?inlay_arrival=x", ""), ("?inlay_arrival=", ""), ("?inlay_arrival=x&b=2", "?b=2"),
        ("?a=1&inlay_arrival=x", "?a=1"), ("?a=1&inlay_arrival=x&b=2", "?a=1&b=2"),
        ("?my_inlay_arrival=x", "?my_inlay_arrival=x"),
    ],
)  # fmt: skip
def test_what_is_no_token_is_taken_out_of_the_address_too(visit: Visit, search: str, rest: str) -> None:
    visit.open(f"//next{search}#x").call("'consent', false")
    assert visit.browser.current_url == f"{visit.shop.url}//next{rest}#x"


def test_who_arrives_is_not_known_before_consent_nor_where_somebody_said_who_they_are(visit: Visit) -> None:
    arrived = visit.api.arrivals.carried(f"{visit.shop.url}/", "u7").removeprefix(visit.shop.url)
    visit.open(arrived).call("'track', 'Product Clicked', {product_id: 'x'}")
    assert visit.browser.current_url == f"{visit.shop.url}/"
    assert visit.api.stream.events == []
    visit.call("'consent', true")
    assert visit.got("identify", "page", "Product Viewed")[0]["user_id"] == "u7"
    visit.call("'identify', 'u1'")
    visit.got("identify", "page", "Product Viewed", "identify")
    visit.open(arrived)
    assert visit.got(*["identify", "page", "Product Viewed"] * 2)[-2]["user_id"] == "u1"


def test_forms_carry_who_it_is_and_where_they_came_from(visit: Visit) -> None:
    visit.open("/granted?utm_source=news&utm_medium=email").got("page", "Product Viewed")
    visit.open("/form")
    visit.until(lambda: visit.run("return document.forms.news.elements.inlay_anonymous_id?.value"))
    visit.click("#send")
    visit.until(lambda: "/next?" in visit.browser.current_url)
    me = visit.run("return window.inlay('id')")
    assert f"inlay_anonymous_id={me}&utm_source=news&utm_medium=email" in visit.browser.current_url
    visit.open("/form")
    visit.until(lambda: visit.run("return document.forms.own.elements.inlay_anonymous_id.value") == me)
    assert visit.run("return document.forms.foreign.elements.length") == 1
    assert visit.run("return document.forms.own.elements.length") == 2


def test_nothing_is_stored_or_sent_before_consent_and_all_is_forgotten_after_it_ends(visit: Visit) -> None:
    visit.open("/").call("'track', 'Product Clicked', {product_id: 'x'}")
    visit.click("#add")
    assert visit.run("return window.inlay('id')") is None
    assert visit.stored() == []
    visit.call("'consent', true")
    visit.got("page", "Product Viewed")
    visit.open("/")
    visit.got("page", "Product Viewed", "page", "Product Viewed")
    visit.call("'consent', false")
    assert visit.stored() == []
    visit.open("/").call("'track', 'Product Clicked', {product_id: 'x'}")
    time.sleep(0.2)  # there is nothing to wait for
    assert len(visit.api.stream.events) == 4
    assert visit.stored() == []


@pytest.mark.parametrize("sign", ["globalPrivacyControl: {get: () => true}", "doNotTrack: {get: () => '1'}"])
def test_who_asks_not_to_be_tracked_is_not(visit: Visit, sign: str) -> None:
    script = visit.browser.execute_cdp_cmd(
        "Page.addScriptToEvaluateOnNewDocument", {"source": f"Object.defineProperties(navigator, {{{sign}}})"}
    )
    try:
        visit.open("/granted").call("'consent', true")
        visit.call("'track', 'Product Clicked', {product_id: 'x'}")
        visit.click("#add")
        time.sleep(0.2)  # there is nothing to wait for
        assert visit.api.stream.events == []
        assert visit.stored() == []
    finally:
        visit.browser.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", script)


def test_what_could_not_be_sent_is_sent_later_and_once_by_its_id(visit: Visit) -> None:
    visit.api.stream.down = True
    visit.open("/granted")
    visit.until(lambda: visit.run("return JSON.parse(localStorage.inlay_queue || '[]').length") == 2)
    visit.open("/next")
    visit.until(lambda: visit.run("return JSON.parse(localStorage.inlay_queue || '[]').length") == 3)
    assert visit.api.stream.events == []
    visit.api.stream.down = False
    visit.got("page", "Product Viewed", "page")
    visit.until(lambda: "inlay_queue" not in visit.stored())


def test_the_queue_is_bounded_and_keeps_the_newest(visit: Visit) -> None:
    visit.api.stream.down = True
    visit.open("/next").call("'consent', true")
    visit.run("for (let n = 0; n < 150; n++) window.inlay('track', 'n' + n)")
    names = visit.run("return JSON.parse(localStorage.inlay_queue).map((event) => event.event)")
    assert names == [f"n{number}" for number in range(50, 150)]
    visit.api.stream.down = False
    visit.got(*(f"n{number}" for number in range(50, 150)))


def test_who_leaves_at_once_has_been_seen(visit: Visit) -> None:
    """The click that leaves the page is sent by a beacon: no timer runs any more."""
    visit.open("/next").got("page")
    visit.run(
        "addEventListener('click', () => window.inlay('track', 'Left'), {once: true});"
        "window.fetch = () => new Promise(() => {});"
        "document.getElementById('next').href = 'about:blank'"
    )
    visit.click("#next")
    visit.got("page", "Left")
