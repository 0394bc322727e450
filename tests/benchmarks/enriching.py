"""What filling events in costs, by what there is to fill in, against parsing the same events."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

import msgspec

from dataflows.enrich import Complete
from dataflows.enrichments import open_sources
from dataflows.events import Event, parse
from dataflows.stages import Validated
from tests.benchmarks.figures import Figure
from tests.benchmarks.turns import best_rates
from tests.given import EVENT_DEFAULTS, NOW

EVENTS: Final = 20_000
CASES: Final[dict[str, Callable[[int], dict[str, Any]]]] = {
    "nothing": lambda number: {},
    "an address and properties that no source reads": lambda number: {
        "url": f"https://shop.example/p/{number}", "properties": {"session": f"s{number}", "position": 3},
    },
    "a campaign": lambda number: {"url": f"https://shop.example/p/{number}?utm_source=mail&utm_campaign=may"},
    "a referrer": lambda number: {"properties": {"referrer": f"https://www.google.com/search?q={number}"}},
    "one of 50 user agents": lambda number: {
        "properties": {"user_agent": f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) Chrome/{number % 50}.0 Safari/537.36"},
    },
}  # fmt: skip


def measure() -> list[Figure]:
    """Microseconds of processor time an event."""
    complete = Complete(open_sources(("campaign", "referrer", "device")))
    figures = []
    for name, fields in CASES.items():
        raws = [
            msgspec.json.encode({**EVENT_DEFAULTS, "event_id": f"e{number}", **fields(number)})
            for number in range(EVENTS)
        ]
        events = [each for raw in raws if isinstance(each := parse(raw, NOW), Event)]
        batch = Validated(0, EVENTS - 1, list(enumerate(events)), [])

        def parsing(raws: list[bytes] = raws) -> None:
            for raw in raws:
                parse(raw, NOW)

        def enriching(batch: Validated = batch) -> None:
            complete(batch)

        enriching()
        rates = best_rates({"parsing": lambda run=parsing: _rate(run), "own": lambda run=enriching: _rate(run)})
        ratio = {"the rate of parsing": rates["own"] / rates["parsing"]}
        figures.append(Figure(f"filling in, {name}", 1_000_000 / rates["own"], "µs/event", ratio))
    return figures


def _rate(run: Callable[[], None]) -> float:
    started = time.process_time()
    run()
    return EVENTS / (time.process_time() - started)
