"""Trying again: what an outside system was asked is asked again after growing pauses, until patience ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

import redis
import stamina

from dataflows.connectors import StreamDown
from dataflows.metrics import RETRIES

Answer = TypeVar("Answer")
FIRST_PAUSE: Final = 0.1
LONGEST_PAUSE: Final = 2.0
PASSING: Final = (StreamDown, redis.ConnectionError, redis.TimeoutError, redis.OutOfMemoryError, redis.ReadOnlyError)
"""What may go away by waiting. A Redis that is full, or that is no leader any more, says so until somebody helps."""


def patiently(what: str, call: Callable[[], Answer], seconds: float, before_each: Callable[[], object]) -> Answer:
    """The answer of `call`, which is tried again while it fails in a way that passes.

    Args:
        what: is tried, as a word for the metrics.
        call: may be called any number of times.
        seconds: after which the last failure is raised.
        before_each: called before each try; what it raises ends the trying, unless it passes too.
    """
    tries = stamina.retry_context(
        on=PASSING, attempts=None, timeout=seconds, wait_initial=FIRST_PAUSE, wait_max=LONGEST_PAUSE,
        wait_jitter=FIRST_PAUSE,
    )  # fmt: skip
    for attempt in tries:
        with attempt:
            if attempt.num > 1:
                RETRIES.labels(what).inc()
            before_each()
            return call()
    raise AssertionError("stamina ends with an answer or with an error")
