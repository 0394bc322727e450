"""What the API is told from outside; the names are rows of the one table in `dataflows.settings`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from msgspec import Struct

from api.dress import web_link
from api.issuers import Issuer, read_issuers
from api.networks import Network, read_networks
from api.platforms import secrets_by_platform
from api.rates import read_rate
from api.seals import read_link_keys
from dataflows.settings import SettingError, read_settings, split_query

MOST_ARRIVAL: Final = 86_400
"""Seconds for which an address tells who clicked it: longer than a visit, and whoever finds it is taken for them."""


class ApiSettings(Struct, frozen=True):
    """The settings of the API; one field a setting, named as the setting is."""

    redis_url: str
    stream_url: str
    derived_url: str
    lake_url: str
    dead_letters_url: str
    dead_letters_keep: int
    dead_letters_age: float
    dead_letters_bytes: int
    quarantine_keep: int
    quarantine_age: float
    quarantine_bytes: int
    max_skew: float
    host: str
    port: int
    api_keys: tuple[str, ...]
    webhooks: Mapping[str, tuple[str, ...]]
    write_keys: tuple[str, ...]
    trusted_proxies: tuple[Network, ...]
    rate_key: str
    rate_network: str
    rate_tokens: str
    oauth_issuer: str
    oauth_issuers: tuple[Issuer, ...]
    private_hosts: tuple[str, ...]
    token_seconds: int
    audit_keep: int
    connections: int
    in_flight: int
    in_flight_mb: int
    publish_wait: float
    spool: str
    spool_mb: int
    deadline: float
    decision_ttl: int
    link_keys: Mapping[str, str]
    link_days: int
    public_url: str
    home_url: str
    link_hosts: tuple[str, ...]
    arrival_seconds: int
    image_hosts: tuple[str, ...]
    layouts: str
    snapshot: str
    enrich: tuple[str, ...]
    country_header: str
    geoip: str
    report: str
    demo: bool


def api_settings(environ: Mapping[str, str]) -> ApiSettings:
    """The settings of the API.

    Raises:
        SettingError: as `read_settings`; or one of those that are read here cannot be used.
    """
    values = read_settings(environ)
    if values["demo"] and not values["api_keys"]:
        raise SettingError("INLAY_DEMO needs a key in INLAY_API_KEYS, which its page uses")
    home, _ = split_query(values["redis_url"])
    for name in ("dead_letters_url", "derived_url"):  # or who is erased would be looked for where nobody is
        if split_query(values[name])[0] != home:
            raise SettingError(f"INLAY_{name.upper()} must be in the Redis of INLAY_REDIS_URL, as for the flows")
    for name, read in _READ.items():
        try:
            values[name] = read(values[name])
        except ValueError as error:
            raise SettingError(f"INLAY_{name.upper()}: {error}") from None
    return ApiSettings(**{name: values[name] for name in ApiSettings.__struct_fields__})


def _days(number: int) -> int:
    if number < 1:
        raise ValueError("less than a day; set it to the days in which mails are opened, such as 30")
    return number


def _seconds(number: int) -> int:
    if not 0 <= number <= MOST_ARRIVAL:
        raise ValueError(f"set it to at most {MOST_ARRIVAL:,} seconds, such as 600; 0: no click carries anything")
    return number


def _address(text: str) -> str:
    if text and (web_link(text) is None or any(sign in text for sign in "?#@")):
        raise ValueError(f"{text!r} is no address; write one such as https://shop.example")
    return text.rstrip("/")


def _rate(text: str) -> str:
    read_rate(text)
    return text


_READ: Final[Mapping[str, Callable[[Any], Any]]] = {
    "webhooks": secrets_by_platform, "trusted_proxies": read_networks, "oauth_issuers": read_issuers,
    "decision_ttl": _days, "link_days": _days, "link_keys": read_link_keys, "arrival_seconds": _seconds,
    "public_url": _address, "home_url": _address, "rate_key": _rate, "rate_network": _rate, "rate_tokens": _rate,
}  # fmt: skip
