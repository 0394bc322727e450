"""Erasures: who was erased from the lake, and when, so that what is still on its way, or being rewritten, knows it.

Ids are kept as digests: who they were cannot be read from them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from hashlib import blake2b
from typing import Any, Final

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from dataflows.events import SECOND

SLACK: Final = 10 * SECOND
"""By how much the clock that says when an event was received may be ahead of ours."""
EVER: Final = 2**62
_COLUMNS: Final = {"events": ["user_id", "anonymous_id", "received_at"]}
_COLUMNS_OF_ROWS: Final = ["user_id", "event_timestamp"]


class Erasure(msgspec.Struct, frozen=True):
    """Digests of users and of devices, each with the moment (microseconds) up to which what they did is erased."""

    users: dict[bytes, int] = {}
    devices: dict[bytes, int] = {}

    @classmethod
    def of(cls, user_ids: Collection[str], anonymous_ids: Collection[str], at: int = EVER) -> Erasure:
        """The erasure of these ids at `at`; without it, whenever it was."""
        return cls({_digest(each): at for each in user_ids}, {_digest(each): at for each in anonymous_ids})

    @classmethod
    def all_of(cls, erasures: Iterable[Erasure]) -> Erasure:
        """Several as one."""
        whole = cls({}, {})
        for each in erasures:
            for known, more in ((whole.users, each.users), (whole.devices, each.devices)):
                known.update({digest: max(at, known.get(digest, at)) for digest, at in more.items()})
        return whole

    def columns(self, folder: str) -> list[str]:
        """The columns that tell whose a row is, and of when."""
        return _COLUMNS.get(folder, _COLUMNS_OF_ROWS)

    def concerns(self, table: pa.Table, folder: str) -> Any:
        """Which rows are theirs.

        An event is its user's, or its device's if it names no user; features are of a user or of a device.
        """
        *ids, moments = (table.column(name) for name in self.columns(folder))
        if len(ids) == 1:
            until = _until(ids[0], {**self.devices, **self.users})
        else:
            users, devices = ids
            until = pc.if_else(pc.is_valid(users), _until(users, self.users), _until(devices, self.devices))
        return pc.fill_null(pc.less_equal(pc.cast(moments, pa.int64()), until), fill_value=False)


def write_erasure(erasure: Erasure) -> pa.Buffer:
    """An erasure as a file."""
    return pa.py_buffer(_json.encode(erasure))


def read_erasure(content: bytes) -> Erasure:
    """The erasure in a file.

    Raises:
        msgspec.DecodeError: there is none.
    """
    return msgspec.json.decode(content, type=Erasure)


_json: Final = msgspec.json.Encoder()


def _digest(identity: str) -> bytes:
    return blake2b(identity.encode(), digest_size=16).digest()


def _until(column: pa.ChunkedArray, wanted: Mapping[bytes, int]) -> Any:
    """For each id of a column up to when it is erased; null if it is not. Each id is looked at once."""
    until = {
        each: wanted[digest] + SLACK
        for each in column.unique().to_pylist()
        if each is not None and (digest := _digest(each)) in wanted
    }
    places = pc.index_in(column, pa.array(until.keys(), column.type))
    return pa.array(until.values(), pa.int64()).take(pa.chunked_array(places).combine_chunks())
