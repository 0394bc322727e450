"""What can be set from outside: every `INLAY_*` name, its type, default and meaning, read once and typed.

One table for all parts of the product, because they share one environment: a name that no part knows is refused,
so that a misspelt setting is an error at the start and never a silent default.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qs, urlencode, urlsplit, urlunsplit

from msgspec import Struct

PREFIX: Final = "INLAY_"
SHORTEST_TTL: Final = 91
"""Days after which every event of a user is late, so that it may be forgotten that it was seen."""


class SettingError(ValueError):
    """A setting that cannot be used; the message names it and says what to write."""


class Setting(NamedTuple):
    """One row of the table: name, how to read it, its default as it would be written, and what it means."""

    name: str
    read: type | str
    default: str
    meaning: str


SETTINGS: Final = (
    Setting("INLAY_REDIS_URL", str, "redis://127.0.0.1:6379/0", "Redis of the Feast online store and of all positions"),
    Setting("INLAY_STREAM_URL", str, "", "the stream; empty: `<INLAY_REDIS_URL>?stream=events&partitions=8`"),
    Setting(
        "INLAY_DEAD_LETTERS_URL", str, "", "where refused events go; empty: `<INLAY_REDIS_URL>?stream=dead_letters`"
    ),
    Setting("INLAY_DEAD_LETTERS_KEEP", int, "100000", "how many dead letters are kept, newest first"),
    Setting("INLAY_DEAD_LETTERS_AGE", float, "2592000", "seconds a dead letter is kept; 0: for ever"),
    Setting("INLAY_DEAD_LETTERS_BYTES", int, "268435456", "original bytes all dead letters may hold; 0: any number"),
    Setting("INLAY_DERIVED_URL", str, "", "derived events; empty: `<INLAY_REDIS_URL>?stream=derived&partitions=8`"),
    Setting("INLAY_CART_IDLE", float, "3600", "seconds without a change after which a cart is abandoned"),
    Setting("INLAY_PARTITIONS", "range", "", "the partitions this process owns, such as `0-3` or `0,2`; empty: all"),
    Setting("INLAY_REWIND", float, "60", "seconds of the stream read again on resume"),
    Setting("INLAY_MAX_SKEW", float, "300", "seconds an event may lie in the future before it is refused"),
    Setting("INLAY_BATCH_EVENTS", int, "40000", "most events in one micro-batch"),
    Setting("INLAY_BATCH_WAIT", float, "0.2", "seconds between micro-batches while the load is low"),
    Setting("INLAY_STATE_CACHE", int, "100000", "decoded states kept in memory, a flow"),
    Setting("INLAY_STATE_TTL", float, "730", "days without an event after which a user is forgotten; 0: never"),
    Setting("INLAY_SEEN_EVENTS", int, "131072", "event ids the items flow remembers, a partition"),
    Setting(
        "INLAY_LEASE", float, "10", "seconds after which the partitions of a process that went silent may be taken"
    ),
    Setting("INLAY_REFUSED_RUN", int, "10000", "refused events in a row that stop a flow"),
    Setting(
        "INLAY_REFUSED_SHARE", float, "0.95", "share of refused events a flow puts up with; 1: only a row stops it"
    ),
    Setting("INLAY_GATE_RATIO", float, "0.2", "share of rows that break a rule from which their whole table is held"),
    Setting("INLAY_GATE_HELD", int, "3", "the batch held within an hour at which a flow stops; 0: it never does"),
    Setting("INLAY_QUARANTINE_KEEP", int, "200000", "how many rows are kept in quarantine, newest first"),
    Setting("INLAY_QUARANTINE_AGE", float, "2592000", "seconds a row is kept in quarantine; 0: for ever"),
    Setting("INLAY_QUARANTINE_BYTES", int, "268435456", "bytes all rows in quarantine may have; 0: any number"),
    Setting(
        "INLAY_ENRICH", "words", "campaign,referrer,device", "what is filled in from an event itself; `none`: nothing"
    ),
    Setting("INLAY_ENRICH_STRICT", "words", "", "those of them whose failure refuses the event"),
    Setting("INLAY_COUNTRY_HEADER", str, "", "request header of a browser's country, such as `CF-IPCountry`"),
    Setting("INLAY_GEOIP", str, "", "file in MaxMind's format that knows countries of addresses"),
    Setting("INLAY_STREAM_KEEP", float, "86400", "seconds the stream is kept after every flow has read it"),
    Setting(
        "INLAY_LAKE_URL",
        str,
        "",
        "where events and feature rows are kept as Parquet: a folder, or `s3://`; empty: nowhere",
    ),
    Setting("INLAY_LAKE_AGE", float, "730", "days a row of the lake is kept; 0: for ever"),
    Setting("INLAY_LAKE_WAIT", float, "5", "seconds between files of the lake while the load is low"),
    Setting(
        "INLAY_BRIDGE_FROM", str, "", "the source a bridge reads: `kinesis://`, `pubsub://`, `kafka://`, `file://`"
    ),
    Setting("INLAY_BRIDGE_MAP", str, "", "YAML that maps the source's fields to those of an event; empty: as they are"),
    Setting("INLAY_BRIDGE_BATCH", int, "2000", "most records a bridge reads and publishes at once"),
    Setting("INLAY_BRIDGE_PATIENCE", float, "300", "seconds a bridge tries again before it gives up on a system"),
    Setting(
        "INLAY_SCHEMA_REGISTRY",
        str,
        "",
        "schemas of records in Avro: `http(s)://` of a registry, or a folder of `<number>.avsc`",
    ),
    Setting("INLAY_METRICS_PORT", int, "0", "loopback port of a flow's `/metrics`; 0: none"),
    Setting("INLAY_HOST", str, "127.0.0.1", "address the API listens on"),
    Setting("INLAY_PORT", int, "8000", "port the API listens on"),
    Setting("INLAY_API_KEYS", "words", "", "keys that callers of the API may use, separated by commas"),
    Setting("INLAY_WEBHOOKS", "words", "", "platforms that may post, as `platform=secret`, separated by commas"),
    Setting("INLAY_WRITE_KEYS", "words", "", "keys that may collect events and nothing else; they may stand in a page"),
    Setting(
        "INLAY_TRUSTED_PROXIES", "words", "", "networks of proxies whose `X-Forwarded-For` counts, such as `10.0.0.0/8`"
    ),
    Setting("INLAY_RATE_KEY", str, "", "calls a key may make that has no rate of its own, such as `600/minute`"),
    Setting("INLAY_RATE_NETWORK", str, "", "calls a network may make, with whatever keys, such as `6000/minute`"),
    Setting("INLAY_RATE_TOKENS", str, "60/minute", "tokens that a key, and that a network, may ask for"),
    Setting("INLAY_OAUTH_ISSUER", str, "inlay", "issuer and audience of the tokens that the API signs"),
    Setting(
        "INLAY_OAUTH_ISSUERS", "words", "", "foreign issuers whose tokens are taken; see [access](access.md#tokens)"
    ),
    Setting(
        "INLAY_PRIVATE_HOSTS",
        "words",
        "",
        "hosts inside your network that an issuer's keys may be fetched from; empty: they lie on public addresses",
    ),
    Setting("INLAY_TOKEN_SECONDS", int, "600", "seconds a token that the API signs is good"),
    Setting("INLAY_AUDIT_KEEP", int, "100000", "calls of administrators the audit log keeps, newest first; 0: all"),
    Setting("INLAY_CONNECTIONS", int, "4096", "connections an API process has open at once; beyond: 503"),
    Setting("INLAY_IN_FLIGHT", int, "1000", "requests with events taken at once by an API process; beyond: 503"),
    Setting("INLAY_IN_FLIGHT_MB", int, "64", "megabytes of bodies taken at once by an API process; beyond: 503"),
    Setting("INLAY_PUBLISH_WAIT", float, "2", "seconds the API waits for the stream before it spools or answers 503"),
    Setting("INLAY_SPOOL", str, "", "folder for events that the stream does not take; empty: they are answered 503"),
    Setting("INLAY_SPOOL_MB", int, "1024", "megabytes the spool may have, all processes together; beyond: 503"),
    Setting("INLAY_DEADLINE", float, "0.06", "seconds a request for blocks may take before it answers with less"),
    Setting("INLAY_DECISION_TTL", int, "30", "days for which it is kept what a mail with a `send_id` showed"),
    Setting("INLAY_SNAPSHOT", str, "", "file in which the API remembers what is popular, to start without the store"),
    Setting(
        "INLAY_LINK_KEYS",
        "words",
        "",
        "keys of links in mails, as `name=secret`; the first seals, all open",
    ),
    Setting("INLAY_LINK_DAYS", int, "60", "days for which such a link is good"),
    Setting(
        "INLAY_PUBLIC_URL",
        str,
        "",
        "where mail programs reach the API, such as `https://mail.shop.example`",
    ),
    Setting("INLAY_HOME_URL", str, "", "where a click leads when its item is not known; a layout may say its own"),
    Setting(
        "INLAY_LINK_HOSTS",
        "words",
        "",
        "hosts a click may lead to, or `*.shop.example`; empty: any of the catalogue",
    ),
    Setting(
        "INLAY_ARRIVAL_SECONDS",
        int,
        "0",
        "seconds for which a click tells the shop who made it, such as 600; 0: it does not",
    ),
    Setting(
        "INLAY_IMAGE_HOSTS",
        "words",
        "",
        "hosts that photos are fetched from; empty: pictures are drawn without",
    ),
    Setting("INLAY_LAYOUTS", str, "", "folder of layout files; empty: those that ship with the product"),
    Setting(
        "INLAY_REPORT", str, "var/quality", "folder of the quality report; the API serves what lies in it at `/quality`"
    ),
    Setting("INLAY_REPORT_AGE", float, "120", "days that profiles, alarms and reports of before are kept"),
    Setting("INLAY_DEMO", bool, "", "serve the sample shop at `/demo`; set by `make demo`, never in production"),
    Setting("INLAY_VAR", str, "", "folder in which `make demo` keeps its state; empty: `var/`"),
    Setting("INLAY_SAMPLE_DATA", str, "", "folder of sample data that the tests use where it is present"),
)


class FlowSettings(Struct, frozen=True):
    """What a flow and the tools of `dataflows` are told; one field a setting, named as the setting is."""

    redis_url: str
    stream_url: str
    dead_letters_url: str
    dead_letters_keep: int
    dead_letters_age: float
    dead_letters_bytes: int
    derived_url: str
    cart_idle: float
    partitions: tuple[int, ...]
    rewind: float
    max_skew: float
    batch_events: int
    batch_wait: float
    state_cache: int
    state_ttl: float
    seen_events: int
    lease: float
    refused_run: int
    refused_share: float
    gate_ratio: float
    gate_held: int
    quarantine_keep: int
    quarantine_age: float
    quarantine_bytes: int
    enrich: tuple[str, ...]
    enrich_strict: tuple[str, ...]
    stream_keep: float
    lake_url: str
    lake_age: float
    lake_wait: float
    bridge_from: str
    bridge_map: str
    bridge_batch: int
    bridge_patience: float
    schema_registry: str
    metrics_port: int


def read_settings(environ: Mapping[str, str]) -> dict[str, Any]:
    """Every setting of the table, read from `environ`, by its name without prefix in lower case.

    Raises:
        SettingError: a name that is not in the table, or a value that cannot be read.
    """
    known = {setting.name: setting for setting in SETTINGS}
    for name in environ:
        if name.startswith(PREFIX) and name not in known:
            raise SettingError(f"{name} is no setting of Inlay; the README lists them (unset it, or mend its spelling)")
    values = {name.removeprefix(PREFIX).lower(): _read(setting, environ) for name, setting in known.items()}
    if 0 < values["state_ttl"] < SHORTEST_TTL:
        raise SettingError(
            f"INLAY_STATE_TTL={values['state_ttl']:g} is shorter than the longest window of 90 days and its last tile, "
            f"so that repeats would count again: write at least {SHORTEST_TTL}, or 0 to forget nobody"
        )
    values["stream_url"] = values["stream_url"] or with_query(values["redis_url"], stream="events", partitions="8")
    values["dead_letters_url"] = values["dead_letters_url"] or with_query(values["redis_url"], stream="dead_letters")
    values["derived_url"] = values["derived_url"] or with_query(values["redis_url"], stream="derived", partitions="8")
    return values


def flow_settings(environ: Mapping[str, str]) -> FlowSettings:
    """The settings of a flow.

    Raises:
        SettingError: as `read_settings`.
    """
    values = read_settings(environ)
    return FlowSettings(**{name: values[name] for name in FlowSettings.__struct_fields__})


def with_query(url: str, **query: str) -> str:
    """`url` with its query replaced."""
    return urlunsplit(urlsplit(url)._replace(query=urlencode(query)))


def split_query(url: str) -> tuple[str, dict[str, str]]:
    """`url` without its query, and the query as words."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(query="")), {name: values[-1] for name, values in parse_qs(parts.query).items()}


def _read(setting: Setting, environ: Mapping[str, str]) -> Any:
    text = environ.get(setting.name, "").strip() or setting.default
    if setting.read is bool:
        if text.lower() not in _SWITCH:
            raise SettingError(f"{setting.name}={text!r} is neither on nor off; write 1 or 0")
        return _SWITCH[text.lower()]
    if setting.read == "words":
        return tuple(word for part in text.split(",") if (word := part.strip()))
    if setting.read == "range":
        return _range(setting.name, text)
    if setting.read is str:
        return text
    kind = int if setting.read is int else float
    try:
        number = kind(text)
    except ValueError:
        raise SettingError(f"{setting.name}={text!r} is no number; write one such as {setting.default}") from None
    if not 0 <= number < float("inf"):
        raise SettingError(f"{setting.name}={text!r} is out of range; write a number such as {setting.default}")
    return number


_SWITCH: Final = {
    "1": True,
    "true": True,
    "yes": True,
    "on": True,
    "": False,
    "0": False,
    "false": False,
    "no": False,
    "off": False,
}
_RANGE: Final = re.compile(r"([0-9]{1,4})(?:-([0-9]{1,4}))?")


def _range(name: str, text: str) -> tuple[int, ...]:
    """`0-3,6` as `(0, 1, 2, 3, 6)`; nothing as `()`."""
    found: set[int] = set()
    for part in text.replace(" ", "").split(",") if text else ():
        parts = _RANGE.fullmatch(part)
        first, last = (int(parts[1]), int(parts[2] or parts[1])) if parts else (1, 0)
        if first > last:
            raise SettingError(f"{name}={text!r} names no partitions; write them as 0-3 or 0,2")
        found.update(range(first, last + 1))
    return tuple(sorted(found))
