"""What the API counts, as Prometheus metrics; their names are asserted against the docs by a test."""

from __future__ import annotations

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

COLLECTED: Final = Counter(
    "inlay_collected_events",
    "events at the door by outcome: accepted, refused, lost (of a pixel, unheard)",
    ("outcome",),
)
SHED: Final = Counter("inlay_shed_requests", "requests that were answered 503 unread: too many at once")
SPOOLED: Final = Counter("inlay_spooled_events", "events taken onto the disk, since the stream did not take them")
SPOOL_BYTES: Final = Gauge("inlay_spool_bytes", "bytes on the disk that the stream has not taken yet")
WEBHOOKS: Final = Counter(
    "inlay_webhooks", "webhooks by platform and outcome: taken, greeting, forged, unreadable", ("platform", "outcome")
)
TOLD: Final = Counter(
    "inlay_told_events",
    "events that the service itself tells, by type and outcome: published, lost",
    ("type", "outcome"),
)
DECISIONS: Final = Counter(
    "inlay_decisions",
    "decisions of mails with a send_id by outcome: made, found, remembered (by the process), unkept (not by Redis)",
    ("outcome",),
)
PICTURES: Final = Counter(
    "inlay_pictures",
    "pictures of slots by what was given: kept (drawn before), photo, card, shed (too many at once), fallback",
    ("given",),
)
ARRIVALS: Final = Counter(
    "inlay_arrivals", "devices that hand back what a click carried, by whether it is known whose they are", ("who",)
)
CLICKS: Final = Counter("inlay_clicks", "clicks by where they led: item, home, nowhere (no token of ours)", ("to",))
BLOCKS: Final = Counter("inlay_blocks", "blocks answered, by kind and by the rung that answered", ("block", "source"))
DEGRADED: Final = Counter("inlay_degraded_answers", "answers made without the online store, by reason", ("reason",))
UNREADABLE: Final = Counter("inlay_unreadable_values", "features in the online store that hold something else")
STALE: Final = Counter(
    "inlay_stale_rows",
    "rows too old to be shown for what they say, by view and cause: age, unstamped, lag",
    ("view", "cause"),
)
CONTEXT_FAILED: Final = Counter("inlay_context_failed", "countries and devices of requests not found out", ("field",))
BLOCKS_SECONDS: Final = Histogram(
    "inlay_blocks_seconds", "seconds to answer a request for blocks",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.07, 0.1, 0.25, 0.5, 1),
)  # fmt: skip
DENIED: Final = Counter(
    "inlay_denied_requests",
    "requests refused for their key, by reason: no key, unknown, scope, network, token",
    ("reason",),
)
LIMITED: Final = Counter("inlay_limited_requests", "requests beyond a rate: answered 429, or blocks without features")
