"""A page that somebody we trust keeps for us: the certificate that a platform signs with, the keys of an issuer."""

from __future__ import annotations

import asyncio
from typing import Final

from api.outgoing import Reach, get

SECONDS: Final = 3.0
MOST_BYTES: Final = 64 * 1024


async def fetch(url: str, reach: Reach = Reach(ports=())) -> bytes:  # noqa: B008  # a frozen value
    """What is at an https URL, of at most 64 KiB, within three seconds.

    Raises:
        OSError: it cannot be had, or is elsewhere, or may not be asked for.
    """
    # The look for the addresses of a name has a time of its own, which nobody can shorten: it is left behind.
    asked = asyncio.to_thread(get, url, reach, SECONDS, MOST_BYTES)
    try:
        return await asyncio.wait_for(asked, 2 * SECONDS)
    except asyncio.TimeoutError:  # no OSError before Python 3.11
        raise TimeoutError("it took too long") from None
