"""Photos of products, fetched for pictures: from hosts that are named alone, since a catalogue is others' text."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from api.outgoing import Reach, get

SECONDS: Final = 5.0
"""For all of a photo."""
MOST_BYTES: Final = 4 * 1024 * 1024


def fetch_photo(url: str, hosts: Collection[str], reach: Reach = Reach()) -> bytes:  # noqa: B008  # a frozen value
    """The bytes at an address.

    Args:
        url: of the photo.
        hosts: from which photos are fetched (INLAY_IMAGE_HOSTS), `*.shop.example` for all below.
        reach: what else may be said of what is called.

    Raises:
        OSError: it cannot be had in time, or is too large, or elsewhere, or may not be asked for.
    """
    return get(url, reach._replace(hosts=hosts), SECONDS, MOST_BYTES, "image/*")
