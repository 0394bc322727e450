"""A breaker: while the online store fails, requests do not wait for it; now and then one tries whether it is back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

FAILURES: Final = 3
PAUSE: Final = 0.25


class Breaker:
    """Closed at first; open after some failures in a row; each time its pause is over, one request may try.

    Args:
        monotonic: the clock, in seconds.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._failures = 0
        self._closed_from = float("-inf")

    def allows(self) -> bool:
        """Whether a request may go through; while open, it says yes once a pause."""
        if self._failures < FAILURES:
            return True
        now = self._monotonic()
        if now < self._closed_from:
            return False
        self._closed_from = now + PAUSE
        return True

    def succeeded(self) -> None:
        """A request went well: close."""
        self._failures = 0

    def failed(self) -> None:
        """A request failed."""
        self._failures += 1
        if self._failures >= FAILURES:
            self._closed_from = self._monotonic() + PAUSE
