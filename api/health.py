"""Health: whether the process lives, whether it can do its work, and what the whole product counts."""

from __future__ import annotations

import asyncio
from http import HTTPStatus

import redis
from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily

from api.features import OnlineFeatures

FLOWS = ("people", "items")


def routes(features: OnlineFeatures) -> APIRouter:
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

    @router.get("/metrics")
    async def metrics() -> Response:
        """What this process counts, and the flows' accounts: every event received has one outcome."""
        accounts = CollectorRegistry()
        accounts.register(_Accounts({flow: await _outcomes(features, flow) for flow in FLOWS}))
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
