"""Pictures of slots: drawn off the event loop, kept for the next reader, and there in time with or without a photo."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeAlias

from api import picture
from api.metrics import PICTURES
from api.picture import Card

PATIENCE: Final = 1.0
"""Seconds that a picture waits for its photo; then it is drawn without, and the photo is there for the next one."""
MOST_KEPT: Final = 500
"""Pictures, of at most 60 KB each."""
MOST_PHOTOS: Final = 200
"""Photos, as small as they are drawn."""
MOST_WAITING: Final = 64
"""Pictures and photos on their way at once, each."""
AGAIN: Final = 60.0
"""Seconds after which a photo that could not be had is asked for again."""

_Key: TypeAlias = tuple[Card, "str | None", bool]
"""A card, its photo's address, and whether it is drawn with the photo."""
_log = logging.getLogger(__name__)


class Pictures:
    """Draws and keeps pictures. All methods belong to one event loop.

    Args:
        fetch: gets the bytes of a photo; raises OSError.
        monotonic: a clock, in seconds.
    """

    def __init__(self, fetch: Callable[[str], bytes], monotonic: Callable[[], float] = time.monotonic) -> None:
        self._fetch, self._monotonic = fetch, monotonic
        self._kept: OrderedDict[_Key, bytes] = OrderedDict()
        self._photos: OrderedDict[str, tuple[float, bytes | None]] = OrderedDict()
        self._fetching: dict[str, asyncio.Task[bytes | None]] = {}
        self._drawing: dict[_Key, asyncio.Task[bytes]] = {}
        self._fetchers = ThreadPoolExecutor(4, "photo")
        self._drawers = ThreadPoolExecutor(2, "picture")

    async def picture(self, card: Card, photo_url: str | None) -> bytes:
        """The picture of a card, a PNG; one dot of nothing where there are more to draw than can be. Never fails."""
        if (found := self._kept_for((card, photo_url, True))) is not None:
            return found
        photo = await self._photo(photo_url) if photo_url else None
        key = (card, photo_url, photo is not None)
        if (found := self._kept_for(key)) is not None:
            return found
        drawing = self._drawing.get(key)
        if drawing is None:
            if len(self._drawing) >= MOST_WAITING:
                PICTURES.labels("shed").inc()
                return picture.blank()
            drawing = self._drawing[key] = asyncio.create_task(self._draw(card, photo))
            drawing.add_done_callback(lambda _: self._drawing.pop(key, None))
        png = await asyncio.shield(drawing)
        if png is not picture.blank():
            self._kept[key] = png
            if len(self._kept) > MOST_KEPT:
                self._kept.popitem(last=False)
        PICTURES.labels("photo" if photo else "card").inc()
        return png

    async def close(self) -> None:
        """Stop."""
        tasks = [*self._fetching.values(), *self._drawing.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for pool in (self._fetchers, self._drawers):
            pool.shutdown(wait=False, cancel_futures=True)

    def _kept_for(self, key: _Key) -> bytes | None:
        if (found := self._kept.get(key)) is not None:
            self._kept.move_to_end(key)
            PICTURES.labels("kept").inc()
        return found

    async def _photo(self, url: str) -> bytes | None:
        """A photo, if it is there in time."""
        until, photo = self._photos.get(url, (0.0, None))
        if photo is not None or self._monotonic() < until:
            return photo
        fetching = self._fetching.get(url)
        if fetching is None:
            if len(self._fetching) >= MOST_WAITING:
                return None
            fetching = self._fetching[url] = asyncio.create_task(self._get(url))
            fetching.add_done_callback(lambda _: self._fetching.pop(url, None))
        try:
            return await asyncio.wait_for(asyncio.shield(fetching), PATIENCE)
        except asyncio.TimeoutError:
            return None

    async def _get(self, url: str) -> bytes | None:
        loop = asyncio.get_running_loop()
        try:
            content = await loop.run_in_executor(self._fetchers, self._fetch, url)
            photo: bytes | None = await loop.run_in_executor(self._drawers, picture.shrunk, content)
        except (OSError, ValueError) as error:
            _log.info("the photo %s is not drawn: %s", url, error)
            photo = None
        self._photos[url] = (self._monotonic() + AGAIN, photo)
        if len(self._photos) > MOST_PHOTOS:
            self._photos.popitem(last=False)
        return photo

    async def _draw(self, card: Card, photo: bytes | None) -> bytes:
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._drawers, picture.draw, card, photo)
        except Exception:  # whatever a text or a photo does to the library, the mail shows no broken picture
            _log.exception("the picture of %r could not be drawn", card.title)
            return picture.blank()
