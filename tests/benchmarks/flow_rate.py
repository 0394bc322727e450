"""How fast the whole flow is: the real sample from the stream into the online store, the gate on, one process a flow.

The stream is filled first, so that the flows alone set the pace. The peer is a process that only reads the same
stream and parses the events: no flow on this machine could be faster than that.

Once more with a stream in which every event is another user's, which is the most work an event can make: a state to
look for, a row to read, judge and write, for each.
"""

import os
import time
from pathlib import Path

from dataflows.connectors import open_stream
from dataflows.events import MINUTE, parse
from tests.benchmarks.backlog import drained_after, encode, fill, release
from tests.benchmarks.figures import Figure
from tests.integration.stand import FLOWS, ROOT, Stand

SAMPLE = Path(os.environ.get("INLAY_SAMPLE_DATA") or ROOT.parent / "shared" / "data")
MAPS = ROOT / "tests" / "maps"
STRANGERS = 240_000
ROUNDS = 3


def measure() -> list[Figure]:
    return [*_sample(), *_strangers()]


def _sample() -> list[Figure]:
    if not (SAMPLE / "ga360_events.parquet").exists():
        print(f"flow_rate: skipped, there is no sample data in {SAMPLE}")
        return []
    with Stand() as stand:
        _fill(stand)
        reading = _read_and_parse(stand)
        together = _drain(stand, FLOWS)
    with Stand() as stand:
        _fill(stand)
        alone = _drain(stand, ("people",))["people"]
    peer = "read and parse only"
    rates = {
        "people flow, items flow beside it": together["people"],
        "items flow, people flow beside it": together["items"],
        "people flow alone": alone,
    }
    return [
        *(Figure(name, rate, "events/s", {peer: rate / reading}) for name, rate in rates.items()),
        Figure(peer, reading, "events/s"),
    ]


def _strangers() -> list[Figure]:
    """The people flow, its gate on, where every event is another user's; the best of some rounds, peer in turn."""
    flow, reading = [], []
    now = time.time_ns() // 1000
    records = encode(
        {
            "event_id": f"e{number}", "type": "view", "occurred_at": now - number % (60 * MINUTE),
            "user_id": f"stranger-{number}", "item_id": f"item-{number % 400}", "price": 3.5,
        }
        for number in range(STRANGERS)
    )  # fmt: skip
    for _ in range(ROUNDS):
        with Stand() as stand:
            fill(stand, records)
            stand.start("people")
            seconds = drained_after(stand, release(stand))
            flow.append(STRANGERS / seconds)
            if (applied := stand.outcomes("people")["applied"]) != STRANGERS:
                raise RuntimeError(f"{applied:,} of {STRANGERS:,} events were applied")
            reading.append(_read_and_parse(stand))
    peer = "read and parse only"
    return [
        Figure(
            "people flow alone, every event another user's", max(flow), "events/s", {peer: max(flow) / max(reading)}
        ),
        Figure(f"{peer}, every event another user's", max(reading), "events/s"),
    ]


def _fill(stand: Stand) -> None:
    stand.replay(SAMPLE / "ga360_items.csv.gz", "--map", MAPS / "ga360_items.yaml", "--end-at-now")
    stand.replay(SAMPLE / "ga360_events.parquet", "--map", MAPS / "ga360_events.yaml", "--end-at-now")


def _drain(stand: Stand, flows: tuple[str, ...]) -> dict[str, float]:
    """Events a second of each flow, from owning its partitions to having committed the last event."""
    started, ended = {}, {}
    for flow in flows:
        stand.start(flow, wait=False)
    while len(ended) < len(flows):
        for flow in flows:
            if flow not in started and stand.outcomes(flow)["received"]:
                started[flow] = time.monotonic(), stand.outcomes(flow)["received"]
            if flow not in ended and stand.is_drained(flow):
                ended[flow] = time.monotonic()
        time.sleep(0.02)
    return {
        flow: (stand.outcomes(flow)["received"] - started[flow][1]) / (ended[flow] - started[flow][0]) for flow in flows
    }


def _read_and_parse(stand: Stand) -> float:
    stream = open_stream(f"{stand.url}?stream=events&partitions=8")
    after = dict.fromkeys(range(stream.partitions), -1)
    now, count, started = time.time_ns() // 1000, 0, time.monotonic()
    while batches := stream.read(after, 20_000, 0):
        for batch in batches:
            after[batch.partition] = batch.offsets[-1]
            count += len([parse(raw, now) for raw in batch.values])
    return count / (time.monotonic() - started)
