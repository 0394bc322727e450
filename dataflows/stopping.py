"""Stopping: a flow that is told to ends between two reads, so that nothing is given up in the middle."""

from __future__ import annotations

import signal
import threading
from types import FrameType


class StopSignal:
    """Whether the process was told to stop: set by SIGTERM and SIGINT once `listen` was called."""

    def __init__(self) -> None:
        self._told = threading.Event()

    def listen(self) -> None:
        """Take the signals over from Python's default."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._tell)

    def told(self) -> bool:
        """Whether it is time to stop."""
        return self._told.is_set()

    def _tell(self, number: int, frame: FrameType | None) -> None:
        self._told.set()
