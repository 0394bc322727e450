"""What the API fetches: nothing of ours is called, whatever a catalogue or an issuer says, and all ends in time."""

from __future__ import annotations

import ast
import asyncio
import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from PIL import ImageFile

from api import fetch, outgoing, photos
from api.issuers import IssuerKeys, read_issuers
from api.outgoing import Reach, Refused, check_public
from api.picture import Card, draw
from api.pictures import Pictures
from api.platforms import Delivery, World, ses
from tests.contract.https_server import PUBLIC, HttpsServer, https_server

HOUSE = Path(__file__).parents[2]
OURS = (
    "127.0.0.1", "localhost", "127.1", "127.0.1", "2130706433", "0x7f000001", "0x7f.0.0.1", "0177.0.0.1",
    "017700000001", "127.000.000.001", "0", "0.0.0", "127.127.127.127", "127.0.0.1.", "localhost.", "LOCALHOST",
    "①②⑦.0.0.1", "127。0。0。1", "[::1]", "[::]", "[0:0:0:0:0:0:0:1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]",
    "[::127.0.0.1]", "[64:ff9b::7f00:1]", "[64:ff9b::127.0.0.1]", "[2002:7f00:1::]", "[::ffff:0:127.0.0.1]",
    "[0000::1]", "[::1%25lo]", "[fe80::1]", "[fc00::1]", "[fd00:ec2::254]", "[2001:0:7f00:1::]", "[ff02::1]",
    "10.0.0.1", "172.16.0.1", "192.168.0.1", "169.254.169.254", "100.64.0.1", "192.0.0.1", "198.18.0.1", "224.0.0.1",
    "255.255.255.255", "240.0.0.1",
)  # fmt: skip
FORMS = (
    "https://{host}:{port}/a.png", "https://user@{host}:{port}/a.png", "https://shop.example@{host}:{port}/",
    "http://{host}:{port}/a.png", "https://{host}:{port}\\@shop.example/",
)  # fmt: skip
CORPUS = [form.replace("{host}", host) for host in OURS for form in FORMS]

Get = Callable[[str, Reach], bytes]
USERS: dict[str, Get] = {
    "photos": lambda url, reach: photos.fetch_photo(url, ["shop.example"], reach),
    "pages": lambda url, reach: asyncio.run(fetch.fetch(url, reach)),
}
"""Everything of the API that fetches."""


@pytest.fixture(params=USERS)
def get(request: pytest.FixtureRequest) -> Get:
    return USERS[request.param]


@pytest.fixture(scope="module")
def server() -> Iterator[HttpsServer]:
    with https_server() as running:
        yield running


class Canaries:
    """What listens where nobody may come: on both loopback addresses, on one port."""

    def __init__(self) -> None:
        self.hits = 0
        self._sockets = [socket.create_server(("127.0.0.1", 0))]
        self.port = self._sockets[0].getsockname()[1]
        with contextlib.suppress(OSError):  # a machine without it
            self._sockets.append(socket.create_server(("::1", self.port), family=socket.AF_INET6))
        for each in self._sockets:
            threading.Thread(target=self._count, args=(each,), daemon=True).start()

    def _count(self, listening: socket.socket) -> None:
        with contextlib.suppress(OSError):  # it was closed
            while True:
                came, _ = listening.accept()
                self.hits += 1
                came.close()

    def close(self) -> None:
        for each in self._sockets:
            each.close()


@pytest.fixture(scope="module")
def canaries() -> Iterator[Canaries]:
    with closing(Canaries()) as each:
        yield each


@pytest.fixture(autouse=True)
def _every_host_is_on_the_list(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if "canaries" in request.fixturenames:
        monkeypatch.setattr(outgoing, "is_allowed", lambda _, hosts: bool(hosts))


def look_up(host: str) -> list[str]:
    """As the machine's own, which reads addresses in all spellings; a name leads to us, as one made for it would."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except (OSError, UnicodeError):
        return ["127.0.0.1", "::1"]
    return [str(address[0]) for *_, address in found]


def test_nothing_of_ours_is_called(canaries: Canaries, get: Get) -> None:
    assert len(CORPUS) >= 200
    for url in CORPUS:
        with pytest.raises(Refused):
            get(url.replace("{port}", str(canaries.port)), Reach(ports=(), look_up=look_up))
    assert canaries.hits == 0


def test_nothing_of_ours_is_called_by_a_redirect(canaries: Canaries, server: HttpsServer, get: Get) -> None:
    for url in CORPUS[::11]:
        leads_to = quote(url.replace("{port}", str(canaries.port)), safe="")
        with pytest.raises(OSError, match="it answered 30"):
            get(f"https://shop.example/elsewhere/302/{leads_to}", server.reach())
    assert canaries.hits == 0


def test_an_issuer_that_says_its_keys_lie_with_us_makes_us_call_nobody(canaries: Canaries) -> None:
    (issuer,) = read_issuers(["https://login.example audience=a"])
    reach = Reach(ports=(), look_up=look_up)

    async def find(keys: str) -> Any:
        async def ask(url: str) -> bytes:
            if url.endswith("/.well-known/openid-configuration"):
                return json.dumps({"issuer": issuer.url, "jwks_uri": keys}).encode()
            return await fetch.fetch(url, reach)

        return await IssuerKeys(issuer, ask).find("k")

    for url in CORPUS:
        with pytest.raises(OSError, match="cannot be had"):
            asyncio.run(find(url.replace("{port}", str(canaries.port))))
    assert canaries.hits == 0


def test_a_notice_that_says_its_certificate_lies_with_us_makes_us_call_nobody(canaries: Canaries) -> None:
    """Nor one that has a subscription confirmed there; nor where the name of SNS itself leads to us."""
    world = World(0, partial(fetch.fetch, reach=Reach(ports=(), look_up=look_up)))

    async def deliver(url: str) -> bool:
        said = {"TopicArn": "arn", "SignatureVersion": "1", "Message": "m", "MessageId": "i", "Timestamp": "t",
                "Token": "t", "SubscribeURL": url, "SigningCertURL": url, "Signature": "AAAA"}  # fmt: skip
        proven = False
        for kind in ("Notification", "SubscriptionConfirmation"):
            delivery = Delivery({}, json.dumps({**said, "Type": kind}).encode(), {})
            proven |= await ses.prove(delivery, ["arn"], world)
            await ses.answer(delivery, world)
        return proven

    for url in CORPUS:
        assert not asyncio.run(deliver(url.replace("{port}", str(canaries.port))))
    with pytest.raises(Refused, match="not a public one"):
        asyncio.run(deliver("https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-1.pem"))
    assert canaries.hits == 0


def test_without_the_look_at_addresses_the_canaries_are_hit(
    canaries: Canaries, get: Get, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that the corpus is known to test something."""
    monkeypatch.setattr(outgoing, "_is_public", lambda _: True)
    before = canaries.hits
    with pytest.raises(OSError, match=r"."):
        get(f"https://127.0.0.1:{canaries.port}/a.png", Reach(ports=(), look_up=look_up))
    assert canaries.hits == before + 1


@pytest.mark.parametrize(
    "url",
    [
        "https://other.example/a.png", "https://shop.example:8443/a.png", "https://u@shop.example/a.png", "https://",
        "http://shop.example/a.png", "ftp://shop.example/a.png", "file:///etc/passwd",
        "https://shop.example.evil.example/",
        "https://shop.example\r\nX: y/", "//shop.example/a.png", "https://[shop.example/", "https://shop.example:x/",
    ],
)  # fmt: skip
def test_a_photo_that_is_not_on_the_list_is_not_even_looked_up(url: str) -> None:
    with pytest.raises(Refused):
        photos.fetch_photo(url, ("shop.example",), Reach(look_up=lambda _: pytest.fail("looked up")))


@pytest.mark.parametrize("found", [[], [PUBLIC, "127.0.0.1"], ["::1"], [PUBLIC, "fe80::1%eth0"]])
def test_a_name_with_one_address_of_ours_is_refused(found: list[str]) -> None:
    with pytest.raises(Refused):
        check_public(found)
    check_public([PUBLIC, "2606:2800:220:1::1"])


def test_a_name_is_looked_up_once_and_that_address_is_called(server: HttpsServer, get: Get) -> None:
    """Whatever it leads to the next time."""
    answers, before = iter([[PUBLIC], ["127.0.0.1"]]), len(server.called)
    assert get("https://shop.example/page", server.reach(look_up=lambda _: next(answers))) == b"a page"
    assert server.called[before:] == [(PUBLIC, 443)]


def test_an_address_that_takes_no_connection_is_passed_by(server: HttpsServer, get: Get) -> None:
    def connect(address: tuple[str, int], timeout: float) -> Any:
        if ":" in address[0]:
            raise OSError("no way there")
        return reach.connect(address, timeout)

    reach = server.reach()
    both = reach._replace(look_up=lambda _: ["2606:2800:220:1::1", PUBLIC], connect=connect)
    assert get("https://shop.example/page", both) == b"a page"
    with pytest.raises(OSError, match="no way there"):
        get("https://shop.example/page", both._replace(look_up=lambda _: ["2606:2800:220:1::1"]))


@pytest.mark.parametrize(
    ("path", "say"),
    [
        ("gone/404", "it answered 404"), ("gone/204", "it answered 204"), ("gone/500", "it answered 500"),
        ("elsewhere/301/https://shop.example/page", "it answered 301"),
        ("elsewhere/302/https://127.0.0.1/", "it answered 302"),
        ("elsewhere/303/https://other.example/page", "it answered 303"),
        ("elsewhere/307//page", "it answered 307"), ("elsewhere/308/x", "it answered 308"),
        ("large/5000000", "too large"), ("endless", "too large"), ("cut", "cut off"),
    ],
)  # fmt: skip
def test_what_is_no_answer(server: HttpsServer, get: Get, path: str, say: str) -> None:
    before = len(server.asked)
    with pytest.raises(OSError, match=say):
        get(f"https://shop.example/{path}", server.reach())
    assert len(server.asked) == before + 1, "a redirect is not followed, not to itself either"


@pytest.mark.parametrize("path", ["silent", "slow_head", "slow_body"])
def test_it_is_not_waited_for_long(server: HttpsServer, get: Get, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (fetch, photos):
        monkeypatch.setattr(module, "SECONDS", 0.3)
    with pytest.raises(OSError, match=r"took too long|timed out"):
        get(f"https://shop.example/{path}", server.reach())


def test_a_name_that_is_looked_for_long_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "SECONDS", 0.1)
    found = threading.Event()

    async def story() -> None:
        try:
            await fetch.fetch("https://shop.example/", Reach(look_up=lambda _: [PUBLIC] if found.wait(10) else []))
        finally:
            found.set()

    with pytest.raises(TimeoutError, match="took too long"):
        asyncio.run(story())


def test_a_page_is_fetched_up_to_a_bound(server: HttpsServer) -> None:
    url = f"https://shop.example/large/{fetch.MOST_BYTES}"
    assert asyncio.run(fetch.fetch(url, server.reach())) == b"x" * fetch.MOST_BYTES
    with pytest.raises(OSError, match="too large"):
        asyncio.run(fetch.fetch(url + "1", server.reach()))


def test_a_certificate_that_nobody_vouches_for_or_of_another_name(server: HttpsServer, get: Get) -> None:
    with pytest.raises(OSError, match="CERTIFICATE_VERIFY_FAILED"):
        get("https://shop.example/page", server.reach(context=None))
    with pytest.raises(OSError, match="Hostname mismatch"):
        asyncio.run(fetch.fetch("https://third.example/page", server.reach()))


def test_an_issuer_inside_is_asked_where_its_host_is_named(server: HttpsServer) -> None:
    """By its name alone; and a photo never."""
    inside = server.reach(ports=(), look_up=lambda _: ["10.1.2.3"])
    url = "https://login.inside.example:8443/page"
    for names in ((), ("inside.example",), ("login.inside.example.evil.example",)):
        with pytest.raises(Refused, match="not a public one"):
            asyncio.run(fetch.fetch(url, inside._replace(inside=names)))
    for name in ("login.inside.example", "*.inside.example", "LOGIN.inside.example"):
        assert asyncio.run(fetch.fetch(url, inside._replace(inside=(name,)))) == b"a page"
    assert server.called[-1] == ("10.1.2.3", 8443)
    (issuer,) = read_issuers(["https://login.inside.example audience=a"])

    async def find(reach: Reach) -> Any:
        return await IssuerKeys(issuer, partial(fetch.fetch, reach=reach)).find("k")

    asked = len(server.asked)
    for reach in (inside, inside._replace(inside=("login.inside.example",))):
        with pytest.raises(OSError, match="cannot be had"):  # what is there is a page, and no description
            asyncio.run(find(reach))
    assert server.asked[asked:] == ["login.inside.example/.well-known/openid-configuration"]


@pytest.mark.parametrize(
    "path",
    [
        "gone/404", "elsewhere/302/https://127.0.0.1/", "large/5000000", "cut", "packed", "picture/half.jpg",
        "picture/bomb.png", "picture/less.png", "picture/bomb.gif", "picture/bomb.webp",
        *(f"typed/{kind}" for kind in ("html", "svg", "nothing", "ps", "bmp")),
    ],
)  # fmt: skip
def test_a_picture_is_drawn_without_a_photo_that_is_none(
    server: HttpsServer, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And of what would be huge no dot is read."""
    if "half" not in path:
        monkeypatch.setattr(ImageFile.ImageFile, "load", lambda *_: pytest.fail("it was read"))
    card = Card("Enamel kettle", "€59.00", "", "View")
    assert asyncio.run(_drawn(server, card, path)) == draw(card, None)


@pytest.mark.parametrize("name", ["good.png", "good.jpg"])
def test_a_picture_has_its_photo(server: HttpsServer, name: str) -> None:
    card = Card("Enamel kettle", "€59.00", "", "View")
    assert asyncio.run(_drawn(server, card, f"picture/{name}")) != draw(card, None)


async def _drawn(server: HttpsServer, card: Card, path: str) -> bytes:
    pictures = Pictures(partial(photos.fetch_photo, hosts=["shop.example"], reach=server.reach()))
    try:
        return await pictures.picture(card, f"https://shop.example/{path}")
    finally:
        await pictures.close()


def test_nothing_else_of_the_api_fetches() -> None:
    """The modules that call somebody over HTTP, and those of the guard; a sample shop and who listens call nobody."""
    callers = {"http.client", "urllib.request", "httpx", "requests", "aiohttp", "urllib3", "socket", "ssl"}
    found = set()
    for path in sorted((HOUSE / "api").rglob("*.py")):
        names: set[str] = set()
        source = path.read_text()
        if not any(each in source for each in callers):
            continue
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Import):
                names |= {each.name for each in node.names}
            if isinstance(node, ast.ImportFrom) and node.module:
                names |= {node.module, *(f"{node.module}.{each.name}" for each in node.names)}
        if names & callers:
            found.add(str(path.relative_to(HOUSE)))
    assert found - {"api/demo/__main__.py", "api/demo/embedded.py", "api/listening.py"} == {"api/outgoing.py"}
