"""Avro records as Kafka's tools write them: a zero byte, the number of a schema in four bytes, and the record itself.

The schema of that number comes from a schema registry, or from a folder of files `<number>.avsc`; it is fetched once.
"""

from __future__ import annotations

import base64
import io
import json
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

import fastavro
import msgspec

from dataflows.connectors import StreamDown, StreamError
from dataflows.events import Event, Refused, parse
from dataflows.mapping import settle_times
from dataflows.retries import patiently

MAGIC: Final = b"\x00"
HEAD: Final = 5
ANSWER_SECONDS: Final = 5.0
PATIENCE: Final = 30.0
_encode: Final = msgspec.json.Encoder(decimal_format="number").encode
SchemaReader = Callable[[int], str | None]
"""What hands out the text of the schema of a number; None if there is none."""


class AvroError(ValueError):
    """A record that cannot be read; the message says why."""


class AvroWire:
    """Reads records of that form, and keeps their schemas.

    Args:
        find: hands out schemas; None: there are none, and such records are refused.
    """

    def __init__(self, find: SchemaReader | None = None) -> None:
        self._find = find
        self._schemas: dict[int, Any] = {}

    @staticmethod
    def is_avro(raw: bytes) -> bool:
        """Whether bytes begin as such a record does; no JSON begins so."""
        return raw[:1] == MAGIC

    def decode(self, raw: bytes) -> dict[str, Any]:
        """The fields of a record; those that hold nothing are left out, since a field of Avro is always there.

        Raises:
            AvroError: it is no such record, or its schema is unknown.
            StreamDown: the registry did not answer.
        """
        number = int.from_bytes(raw[1:HEAD], "big")
        schema = self._schema(number)
        content = io.BytesIO(raw[HEAD:])
        try:
            record = fastavro.schemaless_reader(content, schema, None)
        except Exception as error:  # fastavro lets through whatever the bytes make it stumble over
            said = str(error) or type(error).__name__
            raise AvroError(f"no Avro record of schema {number}: {said}") from None
        if left := len(raw) - HEAD - content.tell():
            raise AvroError(f"no Avro record of schema {number}: {left} bytes are left over")
        if not isinstance(record, dict):
            raise AvroError(f"schema {number} is of no record")
        return {name: value for name, value in record.items() if value is not None}

    def judge(self, refused: Refused, now: int, max_skew: int) -> Event | Refused:
        """The event of a record that is no JSON, if it is in Avro; else why it was refused, with its original bytes.

        Raises:
            StreamDown: the registry did not answer.
        """
        raw = refused.original
        if not self.is_avro(raw):
            return refused
        try:
            fields = settle_times(self.decode(raw))
            judged = parse(_encode(fields), now, max_skew=max_skew, stage=refused.stage)
        except (AvroError, TypeError, ValueError) as error:  # a value that JSON cannot write is no event's either
            return Refused(refused.stage, "format", str(error), "", raw)
        return msgspec.structs.replace(judged, original=raw) if isinstance(judged, Refused) else judged

    def _schema(self, number: int) -> Any:
        if number not in self._schemas:
            if self._find is None:
                raise AvroError("the record is in Avro; say in INLAY_SCHEMA_REGISTRY where its schema is")
            text = self._find(number)
            if text is None:
                raise AvroError(f"the record is in Avro, and nobody knows its schema {number}")
            try:
                self._schemas[number] = fastavro.parse_schema(json.loads(text))
            except (fastavro.schema.SchemaParseException, fastavro.schema.UnknownType, ValueError) as error:
                raise AvroError(f"schema {number} cannot be used: {error}") from None
        return self._schemas[number]


def open_avro(where: str, seconds: float = PATIENCE, before_each: Callable[[], object] = lambda: None) -> AvroWire:
    """What reads Avro with the schemas of a registry (`http://…`, `https://…`) or of a folder; empty: with none.

    Args:
        where: a URL, which may hold user and password, or a path.
        seconds: how long a registry that does not answer is asked again.
        before_each: called before each try, as `patiently` does.

    Raises:
        StreamError: it is neither.
    """
    if not where:
        return AvroWire()
    if urlsplit(where).scheme in ("http", "https"):
        address, headers = _without_password(where)
        return AvroWire(
            lambda number: patiently("schema", lambda: _fetch(address, headers, number), seconds, before_each)
        )
    folder = Path(where.removeprefix("file://"))
    if not folder.is_dir():
        raise StreamError(f"INLAY_SCHEMA_REGISTRY={where}: neither http(s)://… nor a folder of files <number>.avsc")
    return AvroWire(lambda number: _read(folder / f"{number}.avsc"))


def _read(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.exists() else None


def _fetch(address: str, headers: dict[str, str], number: int) -> str | None:
    """Ask a registry once."""
    request = urllib.request.Request(f"{address}/schemas/ids/{number}", headers=headers)  # noqa: S310  # http(s) only
    try:
        with urllib.request.urlopen(request, timeout=ANSWER_SECONDS) as answer:  # noqa: S310
            found = json.load(answer)
    except urllib.error.HTTPError as error:
        error.close()  # it holds the connection
        if error.code == 404:
            return None
        said = f"the schema registry answers {error.code} for schema {number}"
        raise StreamDown(said) if error.code in (408, 429) or error.code >= 500 else StreamError(said) from None
    except (OSError, ValueError) as error:
        raise StreamDown(f"the schema registry does not answer: {error}") from None
    if found.get("schemaType", "AVRO") != "AVRO":
        raise AvroError(f"schema {number} is {found['schemaType']}; only Avro is read")
    if found.get("references"):
        raise AvroError(f"schema {number} refers to others; register it as one that holds them")
    return str(found["schema"])


def _without_password(url: str) -> tuple[str, dict[str, str]]:
    parts = urlsplit(url)
    headers = {"Accept": "application/vnd.schemaregistry.v1+json, application/json"}
    user, at, host = parts.netloc.rpartition("@")
    if at:
        headers["Authorization"] = f"Basic {base64.b64encode(user.encode()).decode()}"
    return urlunsplit(parts._replace(netloc=host)).rstrip("/"), headers
