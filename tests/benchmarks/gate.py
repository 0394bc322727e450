"""What the gate costs a flow: the processor time of its share, on the real sample and where every event is another
user's; beside the same flow with a gate that is open.

Everything of the flow but Bytewax and the reading of the stream runs here, in one process, on a Redis of its own:
parsing, the gate of events, the fold, the gate of rows, the store. Contestants take turns, the best round counts. The
first micro-batch is left out: it has the table that Great Expectations judges whole, which comes once a minute, and
what is imported late.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

import msgspec

from dataflows.enrich import enrich
from dataflows.event_gate import judge_people
from dataflows.events import MINUTE
from dataflows.gate import Gate
from dataflows.held import Ceiling
from dataflows.lease import Lease
from dataflows.owning import open_edges, settle_memory
from dataflows.people import folds
from dataflows.settings import flow_settings
from dataflows.stages import Received
from dataflows.state import CatalogueFacts
from dataflows.store import Store
from dataflows.validate import Validate
from dataflows.wiring import make_event_gate, make_gate
from feature_repo.layout import ITEM
from tests.benchmarks.figures import Figure
from tests.benchmarks.sample import is_present, shop_events, shop_facts
from tests.contract.redis_server import RedisServer, redis_server, write

BATCH: Final = 40_000
EVENTS: Final = 120_000
ROUNDS: Final = 2


class Spent:
    """Processor time of this process, by part."""

    def __init__(self) -> None:
        self.whole = self.gate = 0.0

    def gated(self, call: Callable[[], Any]) -> Any:
        """Call, and count it for the gate."""
        started = time.process_time()
        found = call()
        self.gate += time.process_time() - started
        return found


def measure() -> list[Figure]:
    if not is_present():
        print("gate: there is no sample data; made-up events of the same shape")
    figures = []
    settle_memory()
    for name, events in (("the sample", _sample()), ("every event another user's", _strangers())):
        shares: list[float] = []
        ratios: list[float] = []
        rates: list[float] = []
        for _ in range(ROUNDS):
            with redis_server() as server:
                closed = _run(server, events, is_open=False)
            with redis_server() as server:
                open_ = _run(server, events, is_open=True)
            shares.append(closed.gate / closed.whole)
            ratios.append(closed.whole / open_.whole)
            rates.append(closed.gate / (len(events) - BATCH) * 1e6)
        figures.append(
            Figure(f"gate's share of the people flow, {name}", 100 * min(shares), "%", {"open gate": min(ratios)})
        )
        figures.append(Figure(f"gate, {name}", min(rates), "µs/event"))
    return figures


def _sample() -> list[dict[str, Any]]:
    """The newest events of the sample, moved so that the last is now."""
    events = shop_events()[-EVENTS:]
    shift = time.time_ns() // 1000 - events[-1]["occurred_at"]
    return [{**event, "occurred_at": event["occurred_at"] + shift} for event in events]


def _strangers() -> list[dict[str, Any]]:
    now = time.time_ns() // 1000
    return [
        {
            "event_id": f"e{number}", "type": "view", "occurred_at": now - number % (60 * MINUTE),
            "user_id": f"stranger-{number}", "item_id": f"item-{number % 400}", "price": 3.5,
        }
        for number in range(EVENTS)
    ]  # fmt: skip


def _run(server: RedisServer, events: list[dict[str, Any]], *, is_open: bool) -> Spent:
    """Lead events through the flow; the peer is the same with nothing in the gate's place."""
    settings = flow_settings({"INLAY_REDIS_URL": server.url})
    edges, now = open_edges(settings), time.time_ns() // 1000
    client = edges.client
    for item_id, fact in shop_facts().items():
        write(server, ITEM, item_id, {"price": fact.price, "category": fact.category}, now)
    lease = Lease(client, "people", [0], 600)
    lease.acquire()
    store = Store(client, "people", lease, edges.dead_letters, lambda: now, quarantine=edges.quarantine)
    ceiling = Ceiling("people", 0, ())
    gate: Gate = make_gate(settings, ["user"], ceiling)
    judge = judge_people(make_event_gate(settings, edges, "people", ceiling, lambda: now))
    validate = Validate(lambda: now, 5 * MINUTE, 10_000)
    facts = CatalogueFacts(client, time.monotonic)
    fold = folds(client, settings, 1)({0: -1})
    encode = msgspec.json.Encoder().encode
    records = [encode(event) for event in events]
    spent = Spent()
    for first in range(0, len(records), BATCH):
        if first == BATCH:  # the first has the table that is judged whole, once a minute
            spent = Spent()
            started = time.process_time()
        chunk = records[first : first + BATCH]
        enriched = enrich([validate(Received(0, list(range(first, first + len(chunk))), chunk))], facts)
        if not is_open:
            enriched = spent.gated(lambda enriched=enriched: judge(enriched))
        rows = fold.fold(enriched, now)
        if not is_open:
            rows = spent.gated(lambda rows=rows: gate(rows))
        store.commit(*rows)
    spent.whole = time.process_time() - started
    applied = int(client.hget("inlay:outcomes:people", "applied") or 0)
    if applied < 0.99 * len(events):
        raise RuntimeError(f"{applied:,} of {len(events):,} events were applied")
    lease.release()
    client.close()
    return spent
