"""Validate: bytes in, events out; what cannot be read is refused with its reason, and a flood of it stops the flow."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from dataflows.avro_wire import AvroWire
from dataflows.erasing import Erase, read_command
from dataflows.events import Placed, Refused, parse
from dataflows.stages import Received, Validated


class TooManyRefused(RuntimeError):
    """Nearly everything is refused: a person should look before more of it goes to the dead letters."""


class Validate:
    """Judge every record of a micro-batch.

    Args:
        clock: microseconds since 1970, now.
        max_skew: microseconds an event may lie in the future.
        refused_run: how many refused events in a row stop the flow, or that many beyond their share.
        refused_share: the share of refused events that is put up with; from 1 on only a row of them stops the flow.
        avro: reads records in Avro; None: they are refused as everything that is no JSON.
    """

    def __init__(
        self,
        clock: Callable[[], int],
        max_skew: int,
        refused_run: int,
        refused_share: float = 1.0,
        *,
        avro: AvroWire | None = None,
    ) -> None:
        self._clock, self._max_skew, self._refused_run = clock, max_skew, refused_run
        self._share, self._avro = refused_share, avro
        self._makes_good = refused_share / (1 - refused_share) if refused_share < 1 else float("inf")
        self._row, self._excess = 0, 0.0

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
            self._forgive(len(judged))
            placed = cast("list[Placed]", list(zip(batch.offsets, judged, strict=True)))
            return Validated(batch.partition, last, placed, [], batch if judged else None)
        if self._avro is not None:
            again = self._avro.judge
            judged = [again(each, now, max_skew) if isinstance(each, Refused) else each for each in judged]
        events: list[Placed] = []
        refused: list[tuple[int, Refused]] = []
        erasures: list[tuple[int, Erase]] = []
        for offset, each in zip(batch.offsets, judged, strict=True):
            if isinstance(each, Refused):
                if (command := read_command(each.original)) is not None:
                    erasures.append((offset, command))
                    continue
                refused.append((offset, each))
                self._count(each)
            else:
                events.append((offset, each))
                self._forgive(1)
        return Validated(batch.partition, last, events, refused, batch, erasures)

    def _forgive(self, good: int) -> None:
        if good and self._excess:
            self._row = 0
            self._excess = max(0.0, self._excess - good * self._makes_good)

    def _count(self, refused: Refused) -> None:
        self._row += 1
        self._excess += 1
        if self._excess < self._refused_run:
            return
        what = f"{self._row:,} events in a row were refused"
        if self._row < self._refused_run:
            what = f"nearly everything is refused, {self._excess:,.0f} events beyond a share of {self._share:g}"
        raise TooManyRefused(
            f"{what}, the last because: {refused.reason}. "
            "Mend their sender, or raise INLAY_REFUSED_RUN to let them go to the dead letters"
        )
