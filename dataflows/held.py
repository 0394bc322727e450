"""Held: what is set aside as a whole, the alarm that it raises, and the ceiling at which the flow stops."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable
from typing import Final, TypeAlias

from msgspec import Struct

from dataflows.metrics import HELD

_log: Final = logging.getLogger(__name__)
SPAN: Final = 3600.0
"""Seconds in which held batches are counted together."""
LEAST_BROKEN: Final = 20
"""So many rows must break a rule before their share holds the others: a few are no sign of anything."""


class TooManyHeld(RuntimeError):
    """One batch after another is held: a person should look before more is."""


class Held(Struct, frozen=True):
    """A batch that is set aside as a whole.

    Attributes:
        flow: whose it is.
        what: rows of an entity, or events.
        number: how many.
        why: the rule and the figure that broke it, in words.
    """

    flow: str
    what: str
    number: int
    why: str

    def __str__(self) -> str:
        """In one plain sentence."""
        return f"{self.flow} holds {self.number:,} {self.what} whole, since {self.why}"


Alarm: TypeAlias = Callable[[Held], object]


def log_alarm(held: Held) -> None:
    """The alarm that is always raised: one line in the log, and a count."""
    HELD.labels(held.flow, held.what).inc()
    _log.error("%s", held)


class Ceiling:
    """How many batches a flow holds before it stops.

    Args:
        flow: its name.
        most: it stops in front of this one, of those of an hour; 0: never.
        alarms: told of each.
        monotonic: the clock, in seconds.
    """

    def __init__(
        self,
        flow: str,
        most: int,
        alarms: tuple[Alarm, ...] = (log_alarm,),
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.flow, self._most, self._alarms, self._monotonic = flow, most, alarms, monotonic
        self._times: deque[float] = deque(maxlen=most or None)

    def hold(self, what: str, number: int, why: str, *, where: str, too_many: bool = False) -> None:
        """Raise the alarm for a batch that is held.

        Args:
            what: rows of an entity, or events.
            number: how many.
            why: in words.
            where: the command that shows them.
            too_many: to be set aside.

        Raises:
            TooManyHeld: it is one too many, and is not held but stays in the stream, with all behind it.
        """
        held = Held(self.flow, what, number, why)
        now = self._monotonic()
        while self._times and now - self._times[0] > SPAN:
            self._times.popleft()
        if self._most:
            self._times.append(now)
        for alarm in self._alarms:
            alarm(held)
        if self._most and (too_many or len(self._times) >= self._most):
            which = "too many to be set aside" if too_many else f"batch {len(self._times)} within an hour"
            raise TooManyHeld(
                f"{held}. It is {which} and stays in the stream. Mend its sender and start again, or set "
                f"INLAY_GATE_HELD (0: hold all) to let it be held; what is held already: {where}"
            )
