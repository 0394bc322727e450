"""Translate: what a foreign source delivers becomes events of ours, or is refused with its reason.

An event that has no id of its own gets its place in the source as one, so that the same record, read again, is known
as a duplicate.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b
from typing import Any, Final, NamedTuple

import msgspec

from dataflows.avro_wire import AvroError, AvroWire
from dataflows.connectors import Delivered, Delivery
from dataflows.events import Refused, partition_of
from dataflows.mapping import MappingError, RowReader, Sparse, apply_mapping, identity, settle_numbers, settle_times
from dataflows.stages import Received
from dataflows.validate import Validate

STAGE: Final = "translate"
LONGEST_ID: Final = 200
_read_object: Final = msgspec.json.Decoder(dict[str, Any]).decode
_encode: Final = msgspec.json.Encoder(decimal_format="number").encode


class Translated(NamedTuple):
    """What some deliveries come to: events with the partitions they belong to, what was refused with its place."""

    records: list[tuple[int, bytes]]
    refused: list[tuple[str, Refused]]
    receipt: Any


class Translate:
    """The step.

    Args:
        mapping: from the source's fields to ours; None: they are called alike.
        validate: judges the events, and ends the flow if it refuses nearly everything.
        avro: reads records in Avro.
        partitions: how many the stream has.
    """

    def __init__(
        self, mapping: Mapping[str, RowReader] | None, validate: Validate, avro: AvroWire, partitions: int
    ) -> None:
        self._mapping, self._validate, self._avro, self._partitions = mapping, validate, avro, partitions
        self._known: dict[tuple[str, ...], Mapping[str, RowReader]] = {}

    def __call__(self, delivered: Delivered) -> Translated:
        """The deliveries translated, in order.

        Raises:
            TooManyRefused: the ceiling was reached.
        """
        refused: list[tuple[str, Refused]] = []
        places, values = [], []
        for delivery in delivered.deliveries:
            value = self._read(delivery)
            if isinstance(value, Refused):
                self._validate.refuse(value)
                refused.append((delivery.place, value))
            else:
                places.append(delivery.place)
                values.append(value)
        judged = self._validate(Received(0, list(range(len(values))), values))
        refused += [(places[number], each) for number, each in judged.refused]
        records = [(partition_of(event.key, self._partitions), values[number]) for number, event in judged.events]
        return Translated(records, refused, delivered.receipt)

    def _read(self, delivery: Delivery) -> bytes | Refused:
        """The event of a delivery, not judged yet."""
        if isinstance(delivery.value, Refused):
            return delivery.value
        raw = delivery.value if isinstance(delivery.value, bytes) else b""
        try:
            row: Mapping[str, Any]
            if not isinstance(delivery.value, bytes):
                row = delivery.value
            elif self._avro.is_avro(raw):
                row = self._avro.decode(raw)
            else:
                row = _read_object(raw)
                if self._mapping is None:
                    return raw if "event_id" in row else _encode({**row, "event_id": as_id(delivery.mark)})
            event = apply_mapping(self._mapping or self._same(row), Sparse({"row": delivery.mark, **row}))
            event = settle_times(settle_numbers(event))
            event.setdefault("event_id", as_id(delivery.mark))
            return _encode(event)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            return Refused(STAGE, "format", f"neither a JSON object nor Avro: {error}", "", raw)
        except AvroError as error:
            return Refused(STAGE, "format", str(error), "", raw)
        except MappingError as error:
            return Refused(STAGE, "schema", str(error), "", raw or _as_text(delivery.value))
        except (TypeError, ValueError, UnicodeEncodeError) as error:  # a template or a value that JSON cannot write
            return Refused(STAGE, "schema", f"cannot be mapped: {error}", "", raw or _as_text(delivery.value))

    def _same(self, row: Mapping[str, Any]) -> Mapping[str, RowReader]:
        columns = tuple(row)
        if columns not in self._known:
            if len(self._known) >= 1000:  # rows of a schemaless source may all differ
                self._known.clear()
            self._known[columns] = identity(columns)
        return self._known[columns]


def as_id(mark: str) -> str:
    """An event id that says where the event comes from; a hash of that where it would be too long."""
    return mark if len(mark) <= LONGEST_ID else blake2b(mark.encode(), digest_size=16).hexdigest()


def _as_text(row: Any) -> bytes:
    """A row that was refused, for a person to read: what JSON cannot write is shown as Python does."""
    return msgspec.json.encode({str(name): _plain(value) for name, value in row.items()})


def _plain(value: Any) -> Any:
    try:
        msgspec.json.encode(value)
    except (TypeError, ValueError, UnicodeEncodeError):
        return ascii(value)
    return value
