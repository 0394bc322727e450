"""Everything that reads under fire: what callers ask for, with names that exist, values that do not, and spoilt tokens.

Nothing is answered 5xx, nothing is logged as an error, no click leads to a host that is not the shop's, and a picture
always comes. `FUZZ_REQUESTS=100000` asks so often instead of 600.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import random
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, Final
from urllib.parse import quote, urlsplit

import pytest

from api.answer import Answer, Block, Item
from api.layout import load_layouts
from api.render import render_html, render_json, render_text
from api.seals import Pass, Seals
from dataflows.events import Event, Refused, parse
from tests.benchmarks.failing_store import _stock
from tests.contract.redis_server import redis_server
from tests.integration.test_fuzz_collecting import SPOILT, Service, _aim

pytestmark = pytest.mark.integration

REQUESTS: Final = int(os.environ.get("FUZZ_REQUESTS", "600"))
SECRET: Final = "s" * 40
SEALS: Final = Seals({"k1": SECRET})
STRANGERS: Final = Seals({"k1": "x" * 40})
LAYOUTS: Final = (*load_layouts(), "nowhere", "", "..", "%2e%2e", "weekly.", "\x00")
NASTY: Final = (
    "", "u1", "u2", "0", "-1", "1e9", "9" * 400, "\x00", "\ud7ff", "\U0001f525" * 50, "' OR 1=1 --", "<script>",
    "{{7*7}}",
    "${jndi:ldap://x}", "../../etc/passwd", "%00", "a" * 5000, "null", "[]", "\r\nSet-Cookie: a=b", "//evil.example",
    "\\\\evil.example", "https://evil.example", "javascript:alert(1)", "é", "‮", "u1,u2", "json", "html", "rss",
)  # fmt: skip
Draw = random.Random


def _query(chance: Draw, *names: str) -> str:
    said = [f"{name}={quote(chance.choice(NASTY))}" for name in names if chance.random() < 0.7]
    said += [f"{quote(chance.choice(NASTY))}={quote(chance.choice(NASTY))}"] * (chance.random() < 0.1)
    return "&".join(said)


def _json(chance: Draw, example: Any) -> bytes:
    """A body as the example, something in it replaced, or its bytes spoilt."""
    content = json.loads(json.dumps(example))
    if isinstance(content, dict) and chance.random() < 0.5:
        content[chance.choice([*content, "more"])] = chance.choice((None, 0, [], {}, "", -1, ["u1"] * 30, *NASTY[:12]))
    return chance.choice(SPOILT)(json.dumps(content).encode(), chance)


def _token(chance: Draw) -> str:
    what = Pass(chance.choice(LAYOUTS), chance.choice(NASTY), chance.choice(NASTY[:8]), chance.choice((0, 2**40)))
    token = chance.choice((SEALS, SEALS, SEALS, STRANGERS)).seal(what)
    if chance.random() < 0.4:
        place = chance.randrange(len(token))
        token = token[:place] + chance.choice(("", "A", ".", "/", "%0d%0a", "//", "\\")) + token[place + 1 :]
    return quote(token, safe=chance.choice(("", ".", "%", "/%")))


def _slot(chance: Draw) -> str:
    block = chance.choice(("recommended", "abandoned_cart", "trending", "//evil.example", *NASTY))
    return f"{quote(block, safe='')}/{quote(chance.choice(('1', '2', '99', *NASTY)), safe='')}"


def _of_layout(chance: Draw) -> str:
    return quote(chance.choice(LAYOUTS), safe="%")


def _form(chance: Draw) -> bytes:
    names = ("grant_type", "client_id", "client_secret", "scope", "assertion")
    fixed = {"grant_type": "client_credentials"} if chance.random() < 0.7 else {}
    return "&".join(f"{n}={quote(fixed.get(n, chance.choice(NASTY)))}" for n in names).encode()


JSON: Final = {"Content-Type": "application/json"}
Request = tuple[str, str, dict[str, Any]]
READERS: Final = {"user_ids": ["u1", "u2", "nobody"], "send_id": "s1"}
RECIPIENTS: Final = {"recipients": [{"user_id": "u1", "email": "a@b.example", "name": "A"}], "html": True}
NEW_KEY: Final = {"name": "made", "scopes": ["read"], "networks": ["10.0.0.0/8"], "rate": "6/minute"}
ASKS: Final[tuple[Callable[[Draw], Request], ...]] = (
    lambda d: ("GET", f"/v1/blocks/{_of_layout(d)}?{_query(d, 'user_id', 'send_id', 'exclude', 'format')}", {}),
    lambda d: ("GET", f"/v1/blocks/weekly?user_id=u1&{_query(d, 'send_id', 'exclude')}", {}),
    lambda d: ("POST", f"/v1/blocks/{_of_layout(d)}/batch", {"content": _json(d, READERS), "headers": JSON}),
    lambda d: ("POST", f"/v1/blocks/{_of_layout(d)}/sendgrid", {"content": _json(d, RECIPIENTS), "headers": JSON}),
    lambda d: ("GET", (f"/v1/feeds/{_of_layout(d)}.{d.choice(('rss', 'json', 'xml'))}?"
                      f"{_query(d, 'country', 'category', 'locale')}"), {}),
    lambda d: ("GET", f"/v1/open-links/{_of_layout(d)}?{_query(d, 'user_id', 'send_id', 'format')}", {}),
    lambda d: ("POST", f"/v1/open-links/{_of_layout(d)}/batch", {"content": _json(d, READERS), "headers": JSON}),
    lambda d: (d.choice(("GET", "HEAD")), f"/v1/open/{_token(d)}/{_slot(d)}.png?{_query(d, 'send_id')}", {}),
    lambda d: (d.choice(("GET", "HEAD")), f"/v1/click/{_token(d)}/{_slot(d)}?{_query(d, 'send_id', 'url')}", {}),
    lambda d: ("GET", f"/v1/users/{quote(d.choice(NASTY))}", {}),
    lambda d: ("GET", f"/v1/erasures/{quote(d.choice(NASTY))}", {}),
    lambda d: ("GET", f"/v1/admin/audit?{_query(d, 'limit')}", {}),
    lambda d: ("POST", "/v1/admin/keys", {"content": _json(d, NEW_KEY), "headers": JSON}),
    lambda d: (d.choice(("DELETE", "POST")), (f"/v1/admin/keys/{quote(d.choice(NASTY), safe='')}"
                                             f"{d.choice(('', '/rotate'))}"), {}),
    lambda d: ("POST", "/v1/oauth/token", {
        "content": _form(d), "headers": {
            "Content-Type": d.choice(("application/x-www-form-urlencoded", "application/json", "multipart/form-data")),
            "Authorization": d.choice(("", "Basic ", "Basic " + base64.b64encode(d.randbytes(20)).decode(), "x")),
        }}),
    lambda d: ("GET", d.choice(("/health/live", "/health/ready", "/metrics", "/.well-known/jwks.json",
                                "/openapi.json", "/v1/schemas/event.json", "/v1/track.js")), {}),
    lambda d: (d.choice(("PUT", "PATCH", "TRACE", "OPTIONS")), d.choice(("/v1/events", "/v1/blocks/weekly", "/")), {}),
)  # fmt: skip


@pytest.fixture
def service() -> Iterator[Service]:
    with redis_server() as server, contextlib.closing(asyncio.new_event_loop()) as loop:
        _stock(server)  # type: ignore[arg-type]
        links = {"INLAY_LINK_KEYS": f"k1={SECRET}", "INLAY_PUBLIC_URL": "https://mail.shop.example",
                 "INLAY_HOME_URL": "https://shop.example", "INLAY_LINK_HOSTS": "shop.example",
                 "INLAY_RATE_TOKENS": ""}  # fmt: skip
        service = Service(server, loop, **links)
        yield service
        service.close()


def test_whatever_is_asked_for(service: Service, caplog: pytest.LogCaptureFixture) -> None:
    chance, seen = random.Random(32), Counter[tuple[int, int]]()
    for number in range(REQUESTS):
        which = number % len(ASKS)
        method, path, how = ASKS[which](chance)
        if chance.random() < 0.1:
            stranger = chance.choice(("", "stranger", "a.b.c", "~" * 9000))
            how["headers"] = how.get("headers", {}) | {"X-Api-Key": stranger}
        answer = service.send(method, path, **how)
        seen[which, answer.status_code] += 1
        if path.startswith("/v1/open/"):
            assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png")
        if answer.status_code == 302:
            to = urlsplit(answer.headers["location"])
            assert (to.scheme, to.hostname) == ("https", "shop.example"), (path, answer.headers["location"])
    print(f"{dict(service.statuses)}")
    for which in (0, 1, 2, 4, 5, 7, 8, 12):
        assert any(status < 400 for kind, status in seen if kind == which), f"{which} never came to anything"
    wrong = [each for each in caplog.records if each.levelname in ("ERROR", "CRITICAL") or each.exc_info]
    assert [each.getMessage() for each in wrong] == []


def test_no_click_leads_anywhere_else(service: Service) -> None:
    """Spoilt tokens, blocks and slots; the good ones lead to the shop, and there are some."""
    chance, led = random.Random(29), Counter[str]()
    for number in range(REQUESTS):
        path = ASKS[8](chance)[1]
        if number % 10 == 0:
            path = f"/v1/click/{SEALS.seal(Pass('abandoned_cart', f'u{number % 100}', '', 2**40))}/abandoned_cart/1"
        answer = service.send("GET", path)
        if answer.is_redirect:
            led[urlsplit(answer.headers["location"]).netloc] += 1
        else:
            assert answer.status_code in (404, 405, 422), path
            assert "location" not in answer.headers
    print(f"{REQUESTS} clicks: {dict(led)}")
    assert set(led) == {"shop.example"}


def test_bytes_at_what_reads_and_draws() -> None:
    """The decoder of events, the opener of tokens, and the templates: none raises what nobody expects."""
    chance = random.Random(33)
    good = SEALS.seal(Pass("weekly", "u1", "s1", 2**40)).encode()
    for _ in range(REQUESTS * 5):
        read = parse(_aim(chance)[1], 1_780_000_000_000_000, max_skew=300_000_000, stage="collect")
        assert isinstance(read, Event | Refused)
        spoilt = chance.choice(SPOILT)(good, chance).decode("latin-1")
        assert spoilt == good.decode() or SEALS.open(spoilt, 1) is None
    for _ in range(REQUESTS):
        text = lambda: chance.choice((*NASTY, chance.randbytes(20).decode("utf-8", "replace")))  # noqa: E731
        number = lambda: chance.choice((None, 0.0, -1.0, 9.99, 1e300, float("inf"), float("nan")))  # noqa: E731
        item = Item(text(), text(), text(), text(), number(), number(), chance.choice((None, "EUR", text())), 1, text())
        kind = chance.choice(("recommended", "abandoned_cart", "editorial", "message"))
        answer = Answer("weekly", text(), text(), text(), None, (Block(kind, text(), "static", (item, item)),))
        for locale in ("en", "ar", text()):
            drawn = render_html(answer, locale=locale)
            assert "<script" not in drawn.lower()
            assert "javascript:" not in drawn.lower().replace("&#", "").split('href="')[-1][:11]
            render_text(answer, locale=locale)
        render_json(answer)
