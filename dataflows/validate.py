"""Validate: bytes in, events out; what cannot be read is refused with its reason, and a flood of it stops the flow."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from dataflows.avro_wire import AvroWire
from dataflows.events import Placed, Refused, parse
from dataflows.stages import Received, Validated


class TooManyRefused(RuntimeError):
    """Nearly everything is refused: a person should look before more of it goes to the dead letters."""


class Validate:
    """Judge every record of a micro-batch.

    Args:
        clock: microseconds since 1970, now.
        max_skew: microseconds an event may lie in the future.
        refused_run: how many refused events in a row stop the flow.
        avro: reads records in Avro; None: they are refused as everything that is no JSON.
    """

    def __init__(
        self, clock: Callable[[], int], max_skew: int, refused_run: int, *, avro: AvroWire | None = None
    ) -> None:
        self._clock, self._max_skew, self._refused_run = clock, max_skew, refused_run
        self._run = 0
        self._avro = avro

    def refuse(self, refused: Refused) -> None:
        """Count, under the same ceiling, what was refused before it could be judged.

        Raises:
            TooManyRefused: the ceiling was reached.
        """
        self._count(refused)

    def __call__(self, batch: Received) -> Validated:
        """The micro-batch judged.

        Raises:
            TooManyRefused: the ceiling was reached.
        """
        now, max_skew = self._clock(), self._max_skew
        judged = [parse(raw, now, max_skew=max_skew) for raw in batch.values]
        last = batch.offsets[-1] if batch.offsets else -1
        if Refused not in set(map(type, judged)):
            if judged:
                self._run = 0
            return Validated(
                batch.partition, last, cast("list[Placed]", list(zip(batch.offsets, judged, strict=True))), []
            )
        if self._avro is not None:
            again = self._avro.judge
            judged = [again(each, now, max_skew) if isinstance(each, Refused) else each for each in judged]
        events: list[Placed] = []
        refused: list[tuple[int, Refused]] = []
        for offset, each in zip(batch.offsets, judged, strict=True):
            if isinstance(each, Refused):
                refused.append((offset, each))
                self._count(each)
            else:
                events.append((offset, each))
                self._run = 0
        return Validated(batch.partition, last, events, refused)

    def _count(self, refused: Refused) -> None:
        self._run += 1
        if self._run >= self._refused_run:
            raise TooManyRefused(
                f"{self._run:,} events in a row were refused, the last because: {refused.reason}. "
                "Mend their sender, or raise INLAY_REFUSED_RUN to let them go to the dead letters"
            )
