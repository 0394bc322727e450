"""Open-time: the picture of a slot when a mail is opened, and where its link leads when it is clicked.

Neither ever fails: a mail program that is answered an error shows a broken picture for days, and a reader who clicks
wants the shop. Both come from the one decision of the mail, so that they agree.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Collection
from typing import Any, Final, NamedTuple

from api.answer import Answer
from api.arrivals import NONE, Arrivals
from api.card import TITLE, prices
from api.dress import clean, web_link
from api.links import pick, target
from api.mail_events import clicked, opened
from api.metrics import CLICKS, PICTURES
from api.picture import Card, blank
from api.pictures import Pictures
from api.plans import Layout
from api.seals import Pass, Seals
from api.serve import BlockServer
from api.telling import Telling
from api.words import BUTTONS, locale_of, of_language
from dataflows.events import DAY, Event
from dataflows.machines import Watch

UNNAMED: Final = "open"
"""The mail of a link that names none: what it shows is decided once for all of its kind."""
MOST_AGENT: Final = 512
MOST_TOLD: Final = 10_000
"""Opens and clicks remembered, so that the pictures of one mail do not tell of one opening each."""


class Visit(NamedTuple):
    """Who fetches a picture or follows a link, as far as a request says it."""

    method: str
    user_agent: str
    address: str


class OpenTime:
    """Answers for the links of mails.

    Args:
        server: decides what a mail shows.
        seals: open the tokens of links.
        pictures: draw.
        telling: what opens and clicks are told to.
        watch: knows machines.
        hosts: that a click may lead to.
        home: where it leads when its item is not known.
        arrivals: let the shop know who comes from a mail.
        now: microseconds since 1970.
    """

    def __init__(
        self,
        server: BlockServer,
        seals: Seals,
        pictures: Pictures,
        telling: Telling,
        watch: Watch,
        hosts: Collection[str],
        home: str,
        arrivals: Arrivals = NONE,
        now: Callable[[], int] = lambda: time.time_ns() // 1000,
    ) -> None:
        self._server, self._seals, self._pictures = server, seals, pictures
        self._telling, self._watch, self._now = telling, watch, now
        self._hosts, self._home, self._arrivals = hosts, home, arrivals
        self._told: OrderedDict[str, None] = OrderedDict()

    def opens(self, token: str, send_id: str = "") -> Pass | None:
        """Whose mail a link is in, if it is one of ours; the mail's name may come beside a token without one."""
        whose = self._seals.open(token, self._now() // DAY)
        if whose is None or not (whose.layout in self._server.layouts or self._home):
            return None
        return whose if whose.send_id else whose._replace(send_id=send_id[:200] or UNNAMED)

    async def picture(self, whose: Pass | None, block: str, slot: str, visit: Visit) -> bytes:
        """The picture of a slot: always one."""
        if whose is None or whose.layout not in self._server.layouts:
            PICTURES.labels("fallback").inc()
            return blank()
        layout = self._server.layouts[whose.layout]
        answer = await self._server.answer(layout, whose.user_id, whose.send_id, ())
        self._tell(opened(whose, at := self._now(), self._judged("email_open", whose, at, "", visit)))
        if (card := _card(answer, block, slot)) is None:
            PICTURES.labels("fallback").inc()
            return blank()
        return await self._pictures.picture(*card)

    async def click(self, whose: Pass, block: str, slot: str, visit: Visit) -> str:
        """Where a link leads: to its item, and to the front page where that is not known, or the layout is gone."""
        layout = self._server.layouts.get(whose.layout)
        answer = await self._server.decided(layout, whose.user_id, whose.send_id) if layout is not None else None
        item = pick(answer, block, slot) if answer is not None else None
        found = target(item.url, self._hosts, layout.utm) if item is not None and layout is not None else None
        CLICKS.labels("item" if found else "home").inc()
        link = found or (self.home(layout) if layout is not None else self._home)
        properties = self._judged("email_click", whose, at := self._now(), link, visit)
        number = int(slot) if slot.isascii() and slot.isdigit() and len(slot) < 9 else 0
        item_id = item.item_id if item is not None else None
        self._tell(clicked(whose, at, properties, block=block[:200], slot=number, item_id=item_id, url=link[:4096]))
        return link if properties.get("machine") else self._arrivals.carried(link, whose.user_id)

    def home(self, layout: Layout) -> str:
        """The front page: of the layout, else of the shop."""
        return target(layout.home_url or self._home, (), layout.utm) or self._home

    def _judged(self, kind: str, whose: Pass, at: int, url: str, visit: Visit) -> dict[str, Any]:
        """The properties of an open or a click, with a verdict where a machine made it; the address is not kept."""
        said = {"user_agent": visit.user_agent[:MOST_AGENT], "ip": visit.address}
        event = {
            "type": kind, "occurred_at": at, "user_id": whose.user_id, "send_id": whose.send_id, "url": url,
            "properties": {name: value for name, value in said.items() if value},
        }  # fmt: skip
        (judged,) = self._watch.judge([event])
        properties: dict[str, Any] = {name: value for name, value in judged["properties"].items() if name != "ip"}
        if visit.method == "HEAD":  # no mail program asks for a head, and no browser does
            reasons = [*properties.get("machine_reasons", ()), "head_request"]
            properties |= {"machine": True, "machine_reasons": reasons}
        return properties

    def _tell(self, event: Event) -> None:
        if event.event_id in self._told:
            return
        self._told[event.event_id] = None
        if len(self._told) > MOST_TOLD:
            self._told.popitem(last=False)
        self._telling.tell([event])


def _card(answer: Answer, block: str, slot: str) -> tuple[Card, str | None] | None:
    """What the picture of a slot says, and where its photo lies; None for an empty slot."""
    if (item := pick(answer, block, slot)) is None:
        return None
    price, was = prices(item.price, item.list_price, item.currency, answer.locale)
    words = of_language(BUTTONS, answer.locale)
    rtl = locale_of(answer.locale).text_direction == "rtl"
    return Card(clean(item.title, TITLE), price, was, words.view, rtl), web_link(item.image_url)
