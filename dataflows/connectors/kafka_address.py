"""What a Kafka URL says: `kafka://host:9092,host:9092/topic?partitions=8&properties=/run/secrets/kafka&linger.ms=10`.

A word of its query with a dot in it is a setting of librdkafka, handed on as it is; so are the lines of the file that
`properties` names, which is the place for a password. Settings on which the promises of the stream rest cannot be set.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from msgspec import Struct

from dataflows.connectors import StreamError
from dataflows.settings import split_query

OURS: Final = frozenset(
    {
        "acks", "allow.auto.create.topics", "auto.offset.reset", "bootstrap.servers", "enable.auto.commit",
        "enable.auto.offset.store", "enable.idempotence", "enable.partition.eof", "group.id", "isolation.level",
        "message.max.bytes", "request.required.acks",
    }
)  # fmt: skip
"""Settings of librdkafka that are not the user's: what is acknowledged, read and found gone depends on them."""
OPTIONS: Final = {"partitions": "8", "replication": "-1", "group": "inlay", "properties": ""}
"""The words of the query that are ours, each with its default."""


class Address(Struct, frozen=True):
    """A topic, where it is, and how to talk to it.

    Attributes:
        brokers: `host:port`, separated by commas.
        topic: its name.
        partitions: how many it has.
        replication: copies of each partition if it has to be made; -1: as the brokers are set.
        group: what the consumer groups of the flows are called, before a dash and the flow.
        settings: more settings of librdkafka; there may be a password among them.
    """

    brokers: str
    topic: str
    partitions: int
    replication: int
    group: str
    settings: Mapping[str, str]

    def client(self, **settings: Any) -> dict[str, Any]:
        """What a client of librdkafka is made with: what all of them need, the user's, and some more."""
        return {
            "bootstrap.servers": self.brokers,
            "client.id": "inlay",
            "reconnect.backoff.max.ms": 1000,
            "log.connection.close": False,
            "log_level": 2,  # what fails is said by whoever asked for it, and not once a second
            **{
                name if name in ("error_cb", "on_commit") else name.replace("_", "."): each
                for name, each in settings.items()
            },
            **self.settings,
        }

    def patience(self, seconds: float) -> float:
        """In how many seconds a record is acknowledged or given up: what the user says, or else `seconds`."""
        said = self.settings.get("message.timeout.ms", self.settings.get("delivery.timeout.ms", ""))
        return int(said) / 1000 if said.isdecimal() else seconds

    def __repr__(self) -> str:
        return f"Address({self.brokers!r}, {self.topic!r})"


def read_address(url: str) -> Address:
    """What a URL says.

    Raises:
        StreamError: it says too little, or something that cannot be.
    """
    parts, query = urlsplit(url), split_query(url)[1]
    topic = parts.path.strip("/")
    if not parts.netloc or not topic or "/" in topic:
        raise StreamError("a Kafka stream is written kafka://host:9092/topic?partitions=8")
    if "@" in parts.netloc:
        raise StreamError("no user or password before the host of a Kafka URL: write properties=FILE, see the manual")
    settings = {name: value for name, value in query.items() if "." in name}
    if unknown := query.keys() - settings.keys() - OPTIONS.keys():
        raise StreamError(
            f"{min(unknown)!r} is no option of a Kafka URL; it takes {', '.join(OPTIONS)} and settings of librdkafka"
        )
    options = {**OPTIONS, **query}
    if options["properties"]:
        settings = {**_properties(Path(options["properties"])), **settings}
    if forbidden := sorted(OURS & settings.keys()):
        raise StreamError(f"{forbidden[0]} cannot be set: what the stream promises depends on it")
    return Address(
        parts.netloc,
        topic,
        _number("partitions", options["partitions"], 1, 1024),
        _number("replication", options["replication"], -1, 100),
        options["group"],
        settings,
    )


def _properties(path: Path) -> dict[str, str]:
    try:
        lines: Iterable[str] = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise StreamError(f"properties={path} cannot be read: {type(error).__name__}") from None
    settings = {}
    for number, line in enumerate(map(str.strip, lines), 1):
        name, equals, value = line.partition("=")
        if line.startswith("#") or not line:
            continue
        if not equals:
            raise StreamError(f"line {number} of {path} is no name=value of librdkafka")
        settings[name.strip()] = value.strip()
    return settings


def _number(name: str, text: str, least: int, most: int) -> int:
    number = int(text) if text.removeprefix("-").isdecimal() else least - 1
    if not least <= number <= most or number == 0:
        raise StreamError(f"{name}={text!r} in the stream's URL is no number from {max(least, 1)} to {most}")
    return number
