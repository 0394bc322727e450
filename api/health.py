"""Health: whether the process lives, whether it can do its work, and what the whole product counts."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable
from http import HTTPStatus

import redis
from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from api.features import OnlineFeatures
from api.quality import ReportMetrics
from dataflows.connectors.letters import LetterCounts

FLOWS = ("people", "items")


def routes(
    features: OnlineFeatures,
    letters: Callable[[], Awaitable[LetterCounts]],
    quarantine: Callable[[], Awaitable[LetterCounts]],
    report: ReportMetrics,
) -> APIRouter:
    """The routes that machines ask; none needs a key."""
    router = APIRouter(tags=["health"])

    @router.get("/health/live")
    async def live() -> dict[str, str]:
        """The process answers."""
        return {"status": "live"}

    @router.get("/health/ready")
    async def ready() -> JSONResponse:
        """The online store answers; without it blocks are still served, but nothing personal."""
        try:
            await asyncio.wait_for(features.ping(), 1)
        except (redis.RedisError, OSError, asyncio.TimeoutError):
            detail = "the online store does not answer; blocks are served from the snapshot"
            return JSONResponse({"status": "not ready", "detail": detail}, HTTPStatus.SERVICE_UNAVAILABLE)
        return JSONResponse({"status": "ready"})

    @router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
    async def metrics() -> Response:
        """What this process counts, and the flows' accounts: every event received has one outcome."""
        accounts = CollectorRegistry()
        accounts.register(report)
        accounts.register(_Accounts({flow: await _outcomes(features, flow) for flow in FLOWS}))
        with contextlib.suppress(redis.RedisError, OSError):  # a scrape without them is better than none
            accounts.register(_Audit(await features.audit()))
            accounts.register(_Letters(await letters()))
            accounts.register(_Quarantine(await quarantine()))
        return Response(generate_latest(REGISTRY) + generate_latest(accounts), media_type=CONTENT_TYPE_LATEST)

    return router


async def _outcomes(features: OnlineFeatures, flow: str) -> dict[str, int]:
    try:
        return await features.outcomes(flow)
    except (redis.RedisError, OSError):
        return {}


class _Accounts:
    """The flows' counts as they stand in the online store, where they outlive any process."""

    def __init__(self, counts: dict[str, dict[str, int]]) -> None:
        self._counts = counts

    def collect(self) -> list[CounterMetricFamily]:
        received = CounterMetricFamily("inlay_account_received", "events received, over all time", labels=["flow"])
        outcomes = CounterMetricFamily(
            "inlay_account_events", "events by outcome, over all time", labels=["flow", "outcome"]
        )
        for flow, counts in self._counts.items():
            for name, number in counts.items():
                if name == "received":
                    received.add_metric([flow], number)
                else:
                    outcomes.add_metric([flow, name], number)
        return [received, outcomes]


class _Audit:
    """The latest audit: when it was, and how much of what is online is not what the events say."""

    def __init__(self, found: dict[str, int]) -> None:
        self._found = found

    def collect(self) -> Iterable[Metric]:
        if not self._found:
            return []
        at = GaugeMetricFamily("inlay_audit_at_seconds", "when the latest audit was made", value=self._found["at"])
        compared = GaugeMetricFamily(
            "inlay_audit_compared", "rows that the latest audit compared", value=self._found["compared"]
        )
        findings = GaugeMetricFamily("inlay_audit_findings", "what it found, by kind", labels=["kind"])
        for kind, number in self._found.items():
            if kind not in ("at", "compared"):
                findings.add_metric([kind], number)
        return [at, compared, findings]


class _Letters:
    """The dead letters as they stand, by the kind of reason."""

    def __init__(self, counts: LetterCounts) -> None:
        self._counts = counts

    def collect(self) -> Iterable[Metric]:
        counts = self._counts
        kept = GaugeMetricFamily("inlay_dead_letters", "dead letters kept, by the kind of reason", labels=["kind"])
        written = CounterMetricFamily("inlay_dead_letters_written", "dead letters, over all time", labels=["kind"])
        dropped = CounterMetricFamily(
            "inlay_dead_letters_dropped", "dead letters given up, by the bound: age, number, bytes", labels=["cause"]
        )
        for family, numbers in ((kept, counts.kept), (written, counts.written), (dropped, counts.dropped)):
            for name, number in numbers.items():
                family.add_metric([name], number)
        replayed = CounterMetricFamily("inlay_dead_letters_replayed", "dead letters sent again", value=counts.replayed)
        held = GaugeMetricFamily("inlay_dead_letters_bytes", "original bytes all dead letters hold", value=counts.bytes)
        return [kept, written, dropped, replayed, held]


class _Quarantine:
    """The rows in quarantine as they stand: those that broke a rule, and those held with their batch."""

    def __init__(self, counts: LetterCounts) -> None:
        self._counts = counts

    def collect(self) -> Iterable[Metric]:
        counts = self._counts
        kept = GaugeMetricFamily("inlay_quarantine", "rows in quarantine, by kind: row, batch", labels=["kind"])
        for kind, number in counts.kept.items():
            kept.add_metric([kind], number)
        dropped = CounterMetricFamily(
            "inlay_quarantine_dropped", "rows given up, by cause: age, number, bytes, hand", labels=["cause"]
        )
        for cause, number in counts.dropped.items():
            dropped.add_metric([cause], number)
        released = CounterMetricFamily(
            "inlay_quarantine_released", "rows taken out by a release", value=counts.replayed
        )
        held = GaugeMetricFamily("inlay_quarantine_bytes", "bytes all rows in quarantine have", value=counts.bytes)
        return [kept, dropped, released, held]
