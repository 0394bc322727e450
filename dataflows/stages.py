"""What travels from step to step: one micro-batch of a partition, with a type of its own at each stage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from msgspec import Struct, field

from dataflows.aggregates.effects import Fact
from dataflows.connectors import Records
from dataflows.erasing import Erase
from dataflows.events import Outcome, Placed, Refused

Received = Records
"""A micro-batch as it was read: offsets and bytes."""


class Validated(NamedTuple):
    """The events that can be read, the ones that were refused, and the highest offset among both; -1 if it is empty.

    `received` is what they were read from, where a later step may have to refuse one of them; `erasures` are commands
    among the events, with their offsets.
    """

    partition: int
    offset: int
    events: list[Placed]
    refused: list[tuple[int, Refused]]
    received: Received | None = None
    erasures: Sequence[tuple[int, Erase]] = ()

    def split(self, offset: int) -> tuple[Validated, Validated]:
        """What came before an offset, and what came behind it; the first is of offset -1 if that is nothing."""
        before = [each for each in self.events if each[0] < offset]
        refused = [each for each in self.refused if each[0] < offset]
        last = max((each[0] for each in (*before, *refused)), default=-1)
        rest = self._replace(
            events=[each for each in self.events if each[0] > offset],
            refused=[each for each in self.refused if each[0] > offset],
            erasures=[each for each in self.erasures if each[0] > offset],
        )
        return self._replace(offset=last, events=before, refused=refused, erasures=()), rest

    def original(self, offset: int) -> bytes:
        """The bytes that were received at an offset of it."""
        if self.received is None:
            return b""
        return self.received.values[self.received.offsets.index(offset)]


class Enriched(NamedTuple):
    """A validated micro-batch, and what the catalogue says of the items in it."""

    batch: Validated
    facts: Mapping[str, Fact]


Command = tuple[Any, ...]
"""A Redis command that is part of a commit."""


class Row(Struct, frozen=True, gc=False):
    """The features of one entity as of `at` (microseconds), and the state they were read from.

    Attributes:
        state: None if the one that is stored is to stay.
        omitted: features that need not be written where they are None, since they never had a value before.
        timed: whether `values` are only those features of the entity that time alone changes, and it alone did.
        follows: what tells of what follows from it, to be committed with the row and not without it.
        steady: features of it that are stored as they are, and need not be written again.
    """

    entity: str
    key: str
    at: int
    values: dict[str, Any]
    state: bytes | None
    omitted: frozenset[str] = frozenset()
    timed: bool = False
    follows: Sequence[Command] = ()
    steady: frozenset[str] = frozenset()


NOTHING: Final[Mapping[Outcome, int]] = {}
NO_OFFSETS: Final[Mapping[int, int]] = {}


class Aggregated(Struct):
    """What a micro-batch comes to; all of it is committed in one transaction, or nothing.

    Attributes:
        owners: the partitions under whose leases it is committed.
        offsets: the highest offset contained, by partition; none if time alone caused it.
        received: how many events were received that no earlier commit counted.
        outcomes: what became of those.
        refused: the events that go to the dead letters, with their partition and offset.
        rows: the rows to be stored.
        quarantined: rows that the gate set aside: the row, and the name of the expectation it broke.
        held: rows that the gate holds with their whole table, and why.
        forgotten: entities, with their keys, of which everything is deleted.
        commands: what else the flow keeps: due times, visits, ids it has seen.
        stored: whether it was committed.
    """

    owners: tuple[int, ...]
    offsets: Mapping[int, int] = NO_OFFSETS
    received: int = 0
    outcomes: Mapping[Outcome, int] = NOTHING
    refused: Sequence[tuple[int, int, Refused]] = ()
    rows: list[Row] = field(default_factory=list)
    quarantined: list[tuple[Row, str]] = field(default_factory=list)
    held: list[tuple[Row, str]] = field(default_factory=list)
    forgotten: list[tuple[str, str]] = field(default_factory=list)
    commands: list[Command] = field(default_factory=list)
    stored: bool = False

    def aside(self) -> list[Row]:
        """The rows that are not stored, for whatever reason."""
        return [row for row, _ in (*self.quarantined, *self.held)]
