"""Feeds: a layout for nobody in particular, as Mailchimp and Klaviyo fetch it: at a plain address, again and again.

A feed is made once a minute at most and kept; while the online store does not answer, what was made last is served.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from email.utils import format_datetime, parsedate_to_datetime
from http import HTTPStatus
from typing import Annotated, Final, NamedTuple

from fastapi import APIRouter, Depends, Query, Request, Response

from api.access import Keys, key_of
from api.answer import Answer
from api.feed import entries_of, feed_json, feed_rss
from api.known import CatalogueRow, UserFeatures
from api.plans import Layout
from api.problems import Problem
from api.serve import BlockServer
from api.words import is_country, is_known

MOST_FEEDS: Final = 256
"""Feeds kept: layouts, with the countries, categories and languages that were asked for."""
FRESH: Final = 60
"""Seconds a feed is good for."""
AGAIN: Final = 2
"""Seconds after which one that could not be made anew is tried again."""
TYPES: Final = {"rss": "application/rss+xml", "json": "application/json"}


class Reader(NamedTuple):
    """Whom a feed is for, which is nobody: what was asked for in its address."""

    country: str | None = None
    category: str | None = None
    locale: str | None = None

    def features(self) -> UserFeatures:
        """What is known of them."""
        liked = [self.category] if self.category else []
        return UserFeatures(top_categories=liked, country=self.country, locale=self.locale)


class Version(NamedTuple):
    """A feed in one form, as it was when it last changed."""

    body: bytes
    tag: str
    since: int


class Made(NamedTuple):
    """A feed in all forms, and until when it is good, by the clock of the feeds."""

    forms: dict[str, Version]
    until: float


class Feeds:
    """Makes feeds and keeps them.

    Args:
        server: of blocks; its breaker, deadline and snapshot are the feeds' too.
        monotonic: a clock, in seconds.
    """

    def __init__(self, server: BlockServer, monotonic: Callable[[], float]) -> None:
        self._server, self._monotonic = server, monotonic
        self._kept: OrderedDict[tuple[str, Reader], Made] = OrderedDict()
        self._making = asyncio.Lock()

    async def feed(self, layout: Layout, reader: Reader, form: str) -> Version:
        """A feed in some form; never fails for want of the online store."""
        key = layout.name, reader
        if (made := self._kept.get(key)) is None or made.until <= self._monotonic():
            async with self._making:  # one at a time: those who wait find it made
                if (made := self._kept.get(key)) is None or made.until <= self._monotonic():
                    made = self._kept[key] = await self._make(layout, reader, made)
        self._kept.move_to_end(key)
        while len(self._kept) > MOST_FEEDS:
            self._kept.popitem(last=False)
        return made.forms[form]

    async def _make(self, layout: Layout, reader: Reader, last: Made | None) -> Made:
        read = await self._read(layout, reader)
        if read is None and last is not None:
            return last._replace(until=self._monotonic() + AGAIN)
        answer, catalogue = read or self._plain(layout, reader)
        now = self._server.seconds()
        entries = entries_of(answer, catalogue, now)
        forms = {}
        for form, draw in (("rss", feed_rss), ("json", feed_json)):
            body = draw(answer, entries)
            tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
            same = last is not None and last.forms[form].tag == tag
            forms[form] = last.forms[form] if last is not None and same else Version(body, tag, now)
        return Made(forms, self._monotonic() + (FRESH if read else AGAIN))

    async def _read(self, layout: Layout, reader: Reader) -> tuple[Answer, Mapping[str, CatalogueRow]] | None:
        """The feed with everything that is known; None if it could not be read in time."""
        server, shelf = self._server, self._server.shelves.current()
        about = {"": reader.features()}
        found = await server.tried(lambda: shelf.filled_all(layout, about, {}, (), server.seconds()), server.deadline)
        if found is None:
            return None
        mail, blocks = found[""]
        return server.made(layout, "", None, mail.locale, mail.known.user, blocks), shelf.catalogue

    def _plain(self, layout: Layout, reader: Reader) -> tuple[Answer, Mapping[str, CatalogueRow]]:
        """The feed from the snapshot alone."""
        server, user = self._server, reader.features()
        answer = server.made(layout, "", None, reader.locale or layout.locale, user, server.plain(layout, (), user))
        return answer, server.snapshot.catalogue


def routes(server: BlockServer, keys: Keys, monotonic: Callable[[], float] = time.monotonic) -> APIRouter:
    """The routes; a layout that is not public wants a key."""
    router = APIRouter(prefix="/v1/feeds", tags=["blocks"])
    feeds = Feeds(server, monotonic)

    async def answer(layout: str, form: str, request: Request, reader: Reader) -> Response:
        known = server.layouts.get(layout)
        if known is None or not known.public:
            await keys.allow(request, key_of(request))
        version = await feeds.feed(server.layout(layout), reader, form)
        public = known is not None and known.public
        headers = {
            "ETag": version.tag,
            "Last-Modified": format_datetime(datetime.fromtimestamp(version.since, timezone.utc), usegmt=True),
            "Cache-Control": f"{'public' if public else 'private'}, max-age={FRESH}",
        }
        if _has_it(request, version):
            return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
        return Response(version.body, headers=headers, media_type=TYPES[form])

    @router.get("/{layout}.rss", response_class=Response)
    async def rss(layout: str, request: Request, reader: Annotated[Reader, Depends(_reader)]) -> Response:
        """What a layout shows to nobody in particular, as RSS: for Mailchimp."""
        return await answer(layout, "rss", request, reader)

    @router.get("/{layout}.json", response_class=Response)
    async def json(layout: str, request: Request, reader: Annotated[Reader, Depends(_reader)]) -> Response:
        """What a layout shows to nobody in particular, as one JSON object: for Klaviyo."""
        return await answer(layout, "json", request, reader)

    for path, endpoint in (("/{layout}.rss", rss), ("/{layout}.json", json)):  # some look first whether it is there
        router.add_api_route(path, endpoint, methods=["HEAD"], include_in_schema=False, response_class=Response)
    return router


def _reader(
    country: Annotated[str, Query(max_length=2, description="two letters such as FR: what is popular there")] = "",
    category: Annotated[str, Query(max_length=200, description="a category such as Home/Lighting: its best")] = "",
    locale: Annotated[str, Query(max_length=35, description="a language such as de or pt-BR")] = "",
) -> Reader:
    """Whom a feed is for.

    Raises:
        Problem: 422, there is no such country or language.
    """
    if country and not is_country(country.upper()):
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, f"there is no country {country!r}; write two letters such as FR")
    if locale and not is_known(locale):
        raise Problem(
            HTTPStatus.UNPROCESSABLE_ENTITY, f"there is no language {locale!r}; write one such as de or pt-BR"
        )
    return Reader(country.upper() or None, category.strip("/") or None, locale or None)


def _has_it(request: Request, version: Version) -> bool:
    """Whether whoever asks has this version already, by the tag they name, or else by its time (RFC 9110, 13.2.2)."""
    if (tags := request.headers.get("if-none-match")) is not None:
        return tags.strip() == "*" or version.tag in [tag.strip().removeprefix("W/") for tag in tags.split(",")]
    try:
        return version.since <= parsedate_to_datetime(request.headers.get("if-modified-since", "")).timestamp()
    except (ValueError, TypeError, OverflowError):  # none, or no date
        return False
