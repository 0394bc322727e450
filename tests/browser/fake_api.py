"""A double of the HTTP service, for the demo page alone: the same routes, everything in memory.

Run it by hand to look at the page: `python -m tests.browser.fake_api --port 8123 --delay 0.2`.
"""

import argparse
import json
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

PAGE = Path(__file__).resolve().parents[2] / "api" / "demo" / "page"
API_KEY = "key-of-the-double"
SHOP_NAME = "Alder & Finch"

# item_id, title, price, list_price, category, brand, in_stock, shape, ground, colour
_SHELF: list[tuple[str, str, float, float | None, str, str, bool, str, str, str]] = [
    ("101", "Stoneware mug", 18.0, None, "Kitchen", "Harrow", True, "mug", "#e9e2d6", "#5b6f6a"),
    ("102", "Oak serving board", 42.0, 56.0, "Kitchen", "Finch", True, "board", "#e7ebe6", "#b98a5a"),
    ("103", "Pour-over kettle", 89.0, None, "Kitchen", "Harrow", True, "kettle", "#e4e7ec", "#2f3437"),
    ("104", "Linen napkins, set of four", 34.0, None, "Table", "Loom & Co", True, "cloth", "#efe6e1", "#c7806a"),
    ("105", "Smoked glass carafe", 39.0, None, "Table", "Harrow", True, "carafe", "#e8ece9", "#7d8f86"),
    ("106", "Brass table lamp", 129.0, 159.0, "Light", "Meridian", True, "lamp", "#efe9dc", "#b5893c"),
    ("107", "Paper pendant", 64.0, None, "Light", "Meridian", True, "globe", "#dfe5ea", "#fbf8f1"),
    ("108", "Merino throw", 118.0, None, "Living", "Loom & Co", True, "cloth", "#e6e4ea", "#54618a"),
    ("109", "Terracotta planter", 27.0, None, "Garden", "Finch", True, "pot", "#e5ebe2", "#bd6b4a"),
    ("110", "Woven basket", 48.0, None, "Living", "Finch", True, "pot", "#efe8db", "#c3a36c"),
    ("111", "Beeswax candle", 16.0, None, "Light", "Finch", True, "candle", "#ece6ea", "#d9b75c"),
    ("112", "Cast-iron trivet", 29.0, None, "Table", "Harrow", False, "ring", "#e6e9ea", "#3b4146"),
]
_SHAPES = {
    "mug": '<rect x="92" y="105" width="96" height="110" rx="14"/>'
    '<path d="M188 128h14a26 26 0 0 1 0 56h-14" fill="none" stroke="{c}" stroke-width="13"/>',
    "board": '<rect x="104" y="96" width="92" height="148" rx="16"/>'
    '<rect x="140" y="52" width="20" height="56" rx="9"/>',
    "kettle": '<path d="M96 216l16-92h76l16 92z"/><rect x="136" y="98" width="28" height="20" rx="8"/>'
    '<path d="M104 190c-34-8-38-44-52-60" fill="none" stroke="{c}" stroke-width="11" stroke-linecap="round"/>'
    '<path d="M190 132c40-4 44 58 12 66" fill="none" stroke="{c}" stroke-width="11"/>',
    "cloth": '<rect x="84" y="92" width="132" height="30" rx="9"/><rect x="84" y="128" width="132" height="30" rx="9" '
    'opacity=".82"/><rect x="84" y="164" width="132" height="30" rx="9" opacity=".64"/>',
    "carafe": '<path d="M130 66h40l-4 58c34 18 44 94 14 108h-60c-30-14-20-90 14-108z" opacity=".88"/>',
    "lamp": '<path d="M118 72h64l26 74H92z"/><rect x="144" y="146" width="12" height="72"/>'
    '<rect x="112" y="216" width="76" height="14" rx="7"/>',
    "globe": '<rect x="148" y="0" width="4" height="84" fill="#6c747a"/><circle cx="150" cy="148" r="70"/>',
    "pot": '<path d="M92 116h116l-16 112h-84z"/><rect x="84" y="98" width="132" height="26" rx="8" opacity=".85"/>',
    "candle": '<rect x="126" y="112" width="48" height="118" rx="8"/>'
    '<path d="M150 66c16 20 12 36 0 38c-12-2-16-18 0-38z" fill="#e8873a"/>',
    "ring": '<circle cx="150" cy="150" r="62" fill="none" stroke="{c}" stroke-width="24"/>'
    '<circle cx="150" cy="150" r="22" fill="none" stroke="{c}" stroke-width="12"/>',
}
PRODUCTS: list[dict[str, Any]] = [
    {
        "item_id": item_id,
        "title": title,
        "url": f"https://shop.example/demo#/p/{item_id}",
        "image_url": f"http://shop.example/demo/pictures/{item_id}.jpg",
        "price": price,
        "list_price": list_price,
        "currency": "USD",
        "category": category,
        "brand": brand,
        "in_stock": in_stock,
    }
    for item_id, title, price, list_price, category, brand, in_stock, _shape, _ground, _colour in _SHELF
]
_BY_ID = {product["item_id"]: product for product in PRODUCTS}
_PICTURES = {
    row[
        0
    ]: f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 300 300"><rect width="300" height="300" fill="{row[8]}"/>'
    f'<ellipse cx="150" cy="234" rx="92" ry="9" opacity=".1"/><g fill="{row[9]}">'
    f"{_SHAPES[row[7]].format(c=row[9])}</g></svg>"
    for row in _SHELF
}
LAYOUTS = {
    "welcome": ["recently_viewed", "bestsellers", "new_arrivals"],
    "weekly": ["abandoned_cart", "recently_viewed", "recommended", "trending"],
    "abandoned_cart": ["abandoned_cart", "bought_together"],
    "post_purchase": ["bought_together", "bestsellers"],
}
TITLES = {
    "abandoned_cart": "Still in your cart",
    "recently_viewed": "You looked at",
    "recommended": "Picked for you",
    "bought_together": "Goes well with it",
    "trending": "Trending now",
    "bestsellers": "What people like",
    "new_arrivals": "Just in",
}


class Memory:
    """What each visitor did, as a list that becomes visible `delay` seconds after an event arrives."""

    def __init__(self, delay: float, clock: Callable[[], float]) -> None:
        self._delay, self._clock = delay, clock
        self._events: list[tuple[float, dict[str, Any]]] = []

    def take(self, event: dict[str, Any]) -> None:
        """Keeps one event."""
        self._events.append((self._clock() + self._delay, event))

    def known(self, user_id: str) -> dict[str, Any]:
        """The features of one visitor from the events visible now; an unknown visitor has empty ones."""
        viewed: list[str] = []
        cart: list[str] = []
        bought: set[str] = set()
        as_of: str | None = None
        views = 0
        for visible_at, event in list(self._events):
            if event.get("user_id") != user_id or visible_at > self._clock():
                continue
            item_id = str(event.get("item_id"))
            as_of = max(as_of or "", event["occurred_at"])
            if event["type"] == "view":
                views += 1
                viewed = [item_id, *(other for other in viewed if other != item_id)]
            elif event["type"] == "add_to_cart" and item_id not in cart:
                cart = [item_id, *cart]
            elif event["type"] == "remove_from_cart":
                cart = [other for other in cart if other != item_id]
            elif event["type"] == "purchase":
                bought |= {line["item_id"] for line in event["items"]}
                cart = []
        categories = [_BY_ID[item_id]["category"] for item_id in viewed if item_id in _BY_ID]
        return {
            "as_of": as_of,
            "views_1h": views,
            "recent_items": viewed,
            "cart_items": cart,
            "purchased_items": sorted(bought),
            "top_categories": list(dict.fromkeys(categories)),
        }


def blocks(layout: str, user_id: str, known: dict[str, Any]) -> dict[str, Any]:
    """The block answer of DESIGN 3.4: no item twice, nothing bought, nothing sold out."""
    gone = {*known["purchased_items"], *(p["item_id"] for p in PRODUCTS if not p["in_stock"])}
    liked = set(known["top_categories"])
    everything = [product["item_id"] for product in PRODUCTS]
    candidates: dict[str, Iterable[str]] = {
        "abandoned_cart": known["cart_items"],
        "recently_viewed": known["recent_items"],
        "recommended": [item_id for item_id in everything if _BY_ID[item_id]["category"] in liked],
        "bought_together": everything[4:],
        "trending": everything[5:],
        "bestsellers": everything[::2],
        "new_arrivals": everything[::-1],
    }
    answer = []
    for kind in LAYOUTS[layout]:
        chosen = [item_id for item_id in candidates[kind] if item_id not in gone][:3]
        gone.update(chosen)
        personal = kind in {"abandoned_cart", "recently_viewed", "recommended"}
        items = [
            {**_BY_ID[item_id], "position": position, "reason": None}
            for position, item_id in enumerate(chosen, start=1)
        ]
        if items:
            source = "personal" if personal else "popular"
            answer.append({"block": kind, "title": TITLES[kind], "source": source, "items": items})
    now = datetime.now(timezone.utc).isoformat().replace("+00:00", "Z")
    return {
        "layout": layout,
        "user_id": user_id,
        "send_id": None,
        "generated_at": now,
        "features_as_of": known["as_of"],
        "blocks": answer,
    }


def html(answer: dict[str, Any]) -> str:
    """A plain e-mail fragment of a block answer: nested tables, inline styles."""
    rows = []
    for block in answer["blocks"]:
        cells = "".join(
            f'<td width="33%" valign="top" style="padding:6px;font:14px Arial,sans-serif;color:#222">'
            f'<a href="{escape(item["url"])}" style="color:#222;text-decoration:none">'
            f'<img src="{escape(item["image_url"])}" alt="{escape(item["title"])}" width="160" '
            f'style="display:block;width:100%;height:auto;border:0">'
            f'<span style="display:block;padding-top:8px">{escape(item["title"])}</span>'
            f"<b>${item['price']:.2f}</b></a></td>"
            for item in block["items"]
        )
        cells += '<td width="33%"></td>' * (3 - len(block["items"]))
        rows.append(
            f'<tr><td style="padding:18px 6px 6px;font:bold 18px Arial,sans-serif">{escape(block["title"])}</td></tr>'
            f'<tr><td><table role="presentation" width="100%" cellpadding="0" cellspacing="0" border="0">'
            f"<tr>{cells}</tr></table></td></tr>"
        )
    return (
        '<table role="presentation" width="100%" cellpadding="0" cellspacing="0" border="0" '
        f'style="max-width:600px;margin:0 auto">{"".join(rows)}</table>'
    )


class _Handler(BaseHTTPRequestHandler):
    """One request of the page; the server carries the memory."""

    server: "_Server"
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        path, query = unquote(url.path), parse_qs(url.query)
        if path.rstrip("/") == "/demo":
            page = (PAGE / "index.html").read_text("utf-8")
            filled = page.replace("{{API_KEY}}", API_KEY).replace("{{SHOP_NAME}}", escape(SHOP_NAME))
            self._answer(200, filled, "text/html; charset=utf-8")
        elif path in {"/demo/assets/demo.css", "/demo/assets/demo.js", "/demo/assets/shop.js"}:
            kind = "text/css" if path.endswith("css") else "text/javascript"
            self._answer(200, (PAGE / Path(path).name).read_text("utf-8"), f"{kind}; charset=utf-8")
        elif path == "/demo/products.json":
            self._answer(200, json.dumps(PRODUCTS))
        elif path.startswith("/demo/pictures/") and Path(path).stem in _PICTURES:
            self._answer(200, _PICTURES[Path(path).stem], "image/svg+xml", cache="max-age=3600")
        elif path.startswith("/v1/") and self.headers.get("X-Api-Key") != API_KEY:
            self._answer(401, json.dumps({"title": "Unauthorized"}), "application/problem+json")
        elif path.startswith("/v1/blocks/") and path.split("/")[3] in LAYOUTS:
            with self.server.counted():
                self._blocks(path.split("/")[3], query["user_id"][0], query.get("format", ["json"])[0])
        elif path.startswith("/v1/users/"):
            user_id = path.split("/")[3]
            self._answer(200, json.dumps({"user_id": user_id, "features": self.server.memory.known(user_id)}))
        else:
            self._answer(404, json.dumps({"title": "Not Found"}), "application/problem+json")

    def _blocks(self, layout: str, user_id: str, form: str) -> None:
        answer = blocks(layout, user_id, self.server.memory.known(user_id))
        if form == "html":
            self._answer(200, html(answer), "text/html; charset=utf-8")
        else:
            self._answer(200, json.dumps(answer))

    def do_POST(self) -> None:
        sent = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        events = sent if isinstance(sent, list) else [sent]
        for event in events:
            self.server.posted.append(event)
            self.server.memory.take(event)
        self._answer(202, json.dumps({"accepted": len(events), "refused": []}))

    def _answer(self, status: int, body: str, kind: str = "application/json", cache: str = "no-store") -> None:
        content = body.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Cache-Control", cache)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the parent's own name)
        """Says nothing: a test reads better without an access log."""


class _Server(ThreadingHTTPServer):
    """The double's server: threads that never hold the process up."""

    daemon_threads = True
    block_on_close = False
    memory: Memory
    posted: list[dict[str, Any]]
    slowness: float

    def __init__(self, address: tuple[str, int]) -> None:
        super().__init__(address, _Handler)
        self._lock = threading.Lock()
        self._at_once = 0
        self.most_at_once = 0

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Counts the requests for blocks under way, and takes its time over each."""
        with self._lock:
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
        threading.Event().wait(self.slowness)
        try:
            yield
        finally:
            with self._lock:
                self._at_once -= 1

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that left before its answer is no error of ours; the rest is reported as usual."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class FakeApi:
    """The double as a context manager: `with FakeApi() as api: … api.url … api.posted`.

    An event shows in the blocks `delay` seconds after it came; each answer with blocks takes `slowness` seconds.
    """

    def __init__(
        self,
        delay: float = 0.0,
        slowness: float = 0.0,
        port: int = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._server = _Server(("127.0.0.1", port))
        self._server.memory = Memory(delay, clock)
        self._server.posted = []
        self._server.slowness = slowness
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    def __enter__(self) -> "FakeApi":
        """Starts to answer."""
        self._thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        """Stops and frees the port."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        """Where it answers, without a slash at the end."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def posted(self) -> list[dict[str, Any]]:
        """Every event received so far, oldest first."""
        return self._server.posted

    @property
    def most_at_once(self) -> int:
        """How many requests for blocks were under way at the same time, at most."""
        return self._server.most_at_once


def main() -> None:
    """Serves the page by hand until Ctrl-C."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=8123)
    parser.add_argument("--delay", type=float, default=0.2, help="seconds from an event to its blocks")
    arguments = parser.parse_args()
    with FakeApi(arguments.delay, port=arguments.port) as api:
        print(f"{api.url}/demo")
        threading.Event().wait()


if __name__ == "__main__":
    main()
