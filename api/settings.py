"""What the API is told from outside; the names are rows of the one table in `dataflows.settings`."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from api.platforms import secrets_by_platform
from dataflows.settings import SettingError, read_settings


class ApiSettings(Struct, frozen=True):
    """The settings of the API; one field a setting, named as the setting is."""

    redis_url: str
    stream_url: str
    dead_letters_url: str
    dead_letters_keep: int
    dead_letters_age: float
    dead_letters_bytes: int
    max_skew: float
    host: str
    port: int
    api_keys: tuple[str, ...]
    webhooks: Mapping[str, tuple[str, ...]]
    write_keys: tuple[str, ...]
    in_flight: int
    in_flight_mb: int
    publish_wait: float
    spool: str
    spool_mb: int
    deadline: float
    layouts: str
    enrich: tuple[str, ...]
    country_header: str
    geoip: str
    demo: bool


def api_settings(environ: Mapping[str, str]) -> ApiSettings:
    """The settings of the API.

    Raises:
        SettingError: as `read_settings`; no key is given, which would leave everybody out; or INLAY_WEBHOOKS names a
            platform that there is not, or no secret.
    """
    values = read_settings(environ)
    if not values["api_keys"]:
        raise SettingError("INLAY_API_KEYS is empty, so nobody could call the API; set it to one or more secret words")
    try:
        values["webhooks"] = secrets_by_platform(values["webhooks"])
    except ValueError as error:
        raise SettingError(f"INLAY_WEBHOOKS: {error}") from None
    return ApiSettings(**{name: values[name] for name in ApiSettings.__struct_fields__})
