"""What a flow counts, as Prometheus metrics; their names are asserted against the docs by a test."""

from __future__ import annotations

from typing import Final

from prometheus_client import Counter, Gauge, Histogram, start_http_server

EVENTS: Final = Counter("inlay_events", "events by outcome: applied, duplicate, late, refused", ("flow", "outcome"))
RECEIVED: Final = Counter("inlay_events_received", "events received; the outcomes add up to it", ("flow",))
REFUSED: Final = Counter(
    "inlay_refused", "refused events, by the step and the kind of reason", ("flow", "stage", "kind")
)
ENRICHMENTS_FAILED: Final = Counter("inlay_enrichments_failed", "enrichments that failed, by name", ("enrichment",))
ROWS: Final = Counter(
    "inlay_rows", "rows by outcome: stored, quarantined, held, forgotten", ("flow", "entity", "outcome")
)
HELD: Final = Counter(
    "inlay_held", "micro-batches held whole, by what of them: rows of an entity, events", ("flow", "what")
)
STEP_SECONDS: Final = Histogram(
    "inlay_step_seconds", "seconds a step took for a micro-batch", ("flow", "step"),
    buckets=(0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
)  # fmt: skip
BRIDGED: Final = Counter("inlay_bridged", "records a bridge confirmed, by outcome: published, refused", ("outcome",))
RETRIES: Final = Counter("inlay_retries", "tries that failed in a way that passes", ("what",))
LAKE_ROWS: Final = Counter("inlay_lake_rows", "rows written into the lake: event, user, item, scope", ("kind",))
COMMITTED_AT: Final = Gauge("inlay_committed_at_seconds", "when the flow last committed, in epoch seconds", ("flow",))
LAG: Final = Gauge("inlay_stream_lag", "records of the stream the flow has not committed", ("flow", "partition"))


def serve_metrics(port: int) -> None:
    """Answer `/metrics` on the loopback `port`, unless it is 0.

    Raises:
        OSError: the port is taken.
    """
    if port:
        start_http_server(port, addr="127.0.0.1")
