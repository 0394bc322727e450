"""The HTTP service: wiring only."""

from __future__ import annotations

import asyncio
import contextlib
import gc
from collections.abc import AsyncIterator
from pathlib import Path

import redis
from fastapi import Depends, FastAPI

from api import collect, health, problems, serve
from api.access import Keys
from api.demo import pages
from api.features import OnlineFeatures, connect
from api.layout import SHIPPED, load_layouts
from api.served import Served
from api.settings import ApiSettings
from api.snapshot import Snapshot, keep_fresh, refresh
from dataflows.connectors import open_publisher
from dataflows.connectors.letters import open_letters

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
    publisher = open_publisher(settings.stream_url)
    letters_address, letters = open_letters(settings.dead_letters_url, settings.dead_letters_keep)
    keeper = connect(letters_address)
    collector = collect.Collector(publisher, letters, keeper, round(settings.max_skew * 1_000_000))

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        with contextlib.suppress(redis.RedisError, OSError):  # it is tried again every few seconds
            await refresh(snapshot, features)
        refreshing = asyncio.create_task(keep_fresh(snapshot, features))
        gc.collect()
        gc.freeze()  # a full collection of what Feast's modules hold takes 100 ms: leave it out for good
        yield
        refreshing.cancel()
        await features.close()
        await publisher.close()
        await keeper.aclose()

    app = FastAPI(title="Inlay", description=DESCRIPTION, version="0.1.0", lifespan=lifespan)
    problems.install(app)
    keyed = [Depends(Keys(settings.api_keys))]
    app.include_router(collect.routes(collector), dependencies=keyed)
    app.include_router(serve.routes(server, features), dependencies=keyed)
    app.include_router(health.routes(features))
    if settings.demo:
        app.include_router(pages.routes(settings.api_keys[0]))
    return app
