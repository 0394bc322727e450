"""The HTTP service: wiring only."""

from __future__ import annotations

import asyncio
import contextlib
import gc
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import redis
from fastapi import Depends, FastAPI

from api import bulk, calls, collect, feeds, health, problems, schemas, script, serve, webhooks
from api.access import Keys
from api.context import Context, KeepScope
from api.demo import pages
from api.door import Door
from api.features import OnlineFeatures, connect
from api.geoip import Countries
from api.layout import SHIPPED, load_layouts
from api.publish import Bounded, Spooled
from api.served import Served
from api.settings import ApiSettings
from api.snapshot import Snapshot, keep_fresh, refresh
from api.spool import Spool
from dataflows.connectors import Publisher, open_publisher
from dataflows.connectors.letters import connect_keeper, open_letters
from dataflows.enrichments.device import device_of

DESCRIPTION = "Live, personal blocks for e-mail: events in, blocks out."


def create(settings: ApiSettings) -> FastAPI:
    """The service.

    Raises:
        LayoutError: a layout file cannot be used.
        StreamError: the stream's URL cannot be used.
    """
    client = connect(settings.redis_url)
    features = OnlineFeatures(client)
    snapshot = Snapshot()
    layouts = load_layouts(Path(settings.layouts) if settings.layouts else SHIPPED)
    server = serve.BlockServer(features, snapshot, layouts, settings.deadline, Served(client))
    publisher = _publisher(settings)
    letters_address, letters = open_letters(
        settings.dead_letters_url,
        settings.dead_letters_keep,
        settings.dead_letters_age,
        settings.dead_letters_bytes,
    )
    keeper = connect_keeper(letters_address)
    context = Context(
        settings.country_header,
        Countries(Path(settings.geoip)) if settings.geoip else None,
        device_of if (knows_devices := "device" in settings.enrich) else None,
    )
    collector = collect.Collector(
        publisher, letters, keeper, round(settings.max_skew * 1_000_000), complete=context.complete
    )

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        with contextlib.suppress(redis.RedisError, OSError):  # it is tried again every few seconds
            await refresh(snapshot, features)
        if isinstance(publisher, Spooled):
            publisher.start()
        refreshing = asyncio.create_task(keep_fresh(snapshot, features))
        gc.collect()
        gc.freeze()  # a full collection of what Feast's modules hold takes 100 ms: leave it out for good
        warming = asyncio.create_task(asyncio.to_thread(device_of, "Mozilla/5.0" if knows_devices else ""))
        yield
        await warming
        refreshing.cancel()
        await features.close()
        await publisher.close()
        await keeper.aclose()

    app = FastAPI(title="Inlay", description=DESCRIPTION, version="0.1.0", lifespan=lifespan)
    problems.install(app)
    keyed = [Depends(Keys(settings.api_keys))]
    install_door(app, collector, Keys((*settings.api_keys, *settings.write_keys)), settings)
    app.include_router(serve.routes(server, features), dependencies=keyed)
    app.include_router(bulk.routes(server), dependencies=keyed)
    app.include_router(feeds.routes(server, Keys(settings.api_keys)))
    app.include_router(webhooks.routes(webhooks.Hooks(collector, settings.webhooks)))
    app.include_router(health.routes(features, partial(letters.counts, keeper)))
    app.include_router(schemas.routes())
    if settings.demo:
        app.include_router(pages.routes(settings.api_keys[0]))
    app.add_middleware(KeepScope)  # last, so that it is around whatever answers
    return app


def install_door(app: FastAPI, collector: collect.Collector, keys: Keys, settings: ApiSettings) -> None:
    """Everything that collects, and the door in front of it."""
    routers = [
        collect.routes(collector, keys), calls.routes(collector, keys), calls.pixel_routes(collector, keys),
        script.routes(),
    ]  # fmt: skip
    for router in routers:
        app.include_router(router)
    app.add_middleware(
        Door, routers=routers, most_requests=settings.in_flight,
        most_bytes=settings.in_flight_mb * 1_000_000, body_limit=collect.KEPT_BODY,
    )  # fmt: skip


def _publisher(settings: ApiSettings) -> Publisher:
    """The stream, and the spool behind it where there is one."""
    bounded = Bounded(open_publisher(settings.stream_url), settings.publish_wait)
    if not settings.spool:
        return bounded
    return Spooled(bounded, Spool(Path(settings.spool), settings.spool_mb * 1_000_000, bounded.partitions))
