"""How fast the whole flow is: the real sample from the stream into the online store, the gate on, one process a flow.

The stream is filled first, so that the flows alone set the pace. The peer is a process that only reads the same
stream and parses the events: no flow on this machine could be faster than that.
"""

import os
import time
from pathlib import Path

from dataflows.connectors import open_stream
from dataflows.events import parse
from tests.benchmarks.figures import Figure
from tests.integration.stand import FLOWS, ROOT, Stand

SAMPLE = Path(os.environ.get("INLAY_SAMPLE_DATA") or ROOT.parent / "shared" / "data")
MAPS = ROOT / "tests" / "maps"


def measure() -> list[Figure]:
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
