"""A page of a platform's own, such as the certificate that it signs with. Who asks has checked where it lies."""

from __future__ import annotations

import asyncio
from http.client import HTTPException
from typing import Any, Final
from urllib.error import HTTPError
from urllib.request import HTTPRedirectHandler, build_opener

SECONDS: Final = 3.0
MOST_BYTES: Final = 64 * 1024


class _NoRedirect(HTTPRedirectHandler):
    """A redirect would lead away from the host that was checked."""

    def redirect_request(self, *_: Any) -> None:
        """Follow none."""


async def fetch(url: str) -> bytes:
    """The first 64 KiB at an https URL, within three seconds.

    Raises:
        OSError: it cannot be had, or is elsewhere.
    """
    return await asyncio.to_thread(_fetch, url)


def _fetch(url: str) -> bytes:
    if not url.startswith("https://"):
        raise OSError("only https is fetched")
    try:
        with build_opener(_NoRedirect).open(url, timeout=SECONDS) as answer:
            content: bytes = answer.read(MOST_BYTES)
            return content
    except HTTPError as error:
        error.close()  # it is an open answer too
        raise
    except HTTPException as error:
        raise OSError(str(error)) from error
