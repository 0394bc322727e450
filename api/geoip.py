"""Countries of addresses, from a file in MaxMind's format; the address itself goes no further than here."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import maxminddb

from dataflows.settings import SettingError

LOOK_SECONDS: Final = 60.0
"""How often it is looked whether the file was replaced, as it is every week or two."""
MAPPED: Final = "::ffff:"
"""How a socket that takes both versions writes an address of IPv4."""


class Countries:
    """The file, opened anew when another takes its place.

    Args:
        path: of a `.mmdb` file with `country.iso_code`, as GeoLite2 Country and City, or DB-IP's, have it.
        monotonic: the clock, in seconds.

    Raises:
        SettingError: there is no such file, or it is none of that format.
    """

    def __init__(self, path: Path, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._path, self._monotonic = path, monotonic
        try:
            self._version, self._reader = self._open()
        except (OSError, maxminddb.InvalidDatabaseError) as error:
            raise SettingError(f"INLAY_GEOIP={str(path)!r} cannot be used: {error}; name a .mmdb file") from None
        self._look_at = monotonic() + LOOK_SECONDS

    def __call__(self, address: str) -> str | None:
        """The country of an address (ISO 3166, two letters); None for one that is not known, or no address.

        Raises:
            maxminddb.InvalidDatabaseError: the file is damaged.
        """
        if self._monotonic() >= self._look_at:
            self._look()
        try:
            found: Any = self._reader.get(address.removeprefix(MAPPED))
        except ValueError:  # no address, or one of a version that the file does not hold
            return None
        country = (found.get("country") or found.get("registered_country")) if isinstance(found, dict) else None
        code = country.get("iso_code") if isinstance(country, dict) else None
        return code if isinstance(code, str) else None

    def _look(self) -> None:
        self._look_at = self._monotonic() + LOOK_SECONDS
        try:
            if self._stamp() != self._version:
                self._version, self._reader = self._open()
        except (OSError, maxminddb.InvalidDatabaseError) as error:  # it is being replaced: the one in memory will do
            logging.getLogger(__name__).warning("%s was not opened anew: %s", self._path, error)

    def _open(self) -> tuple[tuple[int, int, int], maxminddb.Reader]:
        return self._stamp(), maxminddb.open_database(self._path, maxminddb.MODE_AUTO)

    def _stamp(self) -> tuple[int, int, int]:
        found = self._path.stat()
        return found.st_ino, found.st_mtime_ns, found.st_size
