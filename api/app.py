"""The HTTP service: wiring only."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import time
from collections.abc import AsyncIterator, Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import redis
from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute

from api import (
    admin,
    bulk,
    calls,
    collect,
    erasure_routes,
    feeds,
    health,
    oauth,
    open_routes,
    problems,
    quality,
    reading_routes,
    schemas,
    script,
    serve,
    webhooks,
)
from api.access import SCOPES, Access, Keys, fixed
from api.arrivals import NONE, Arrivals
from api.audit import Audit
from api.bearers import Bearers
from api.context import Context, KeepScope
from api.counter import COUNTER, Counter
from api.crowd import CROWD, Crowd
from api.decisions import Decisions
from api.demo import pages
from api.door import Door
from api.edge import Edge
from api.erasing import open_eraser
from api.features import OnlineFeatures, connect
from api.fetch import fetch
from api.forgetting import Forgetting
from api.geoip import Countries
from api.hatch import Hatch
from api.issuers import IssuerKeys
from api.keyring import KeyRing, KnownKeys
from api.layout import chosen_layouts
from api.networks import Proxies
from api.open_time import OpenTime
from api.openapi import Routes
from api.outgoing import Reach
from api.photos import fetch_photo
from api.pictures import Pictures
from api.plans import Layout
from api.publish import Bounded, Spooled
from api.rates import Rates, read_rate
from api.remembered import keep_remembering, recall, remember_last
from api.seals import Seals
from api.served import Served
from api.settings import ApiSettings
from api.signing import SigningKeys
from api.snapshot import Snapshot, keep_fresh, refresh
from api.spool import Spool
from api.telling import Telling
from dataflows.connectors import Publisher, open_publisher
from dataflows.connectors.letters import connect_keeper, open_letters
from dataflows.connectors.quarantine import Quarantine
from dataflows.enrichments.device import device_of
from dataflows.settings import SettingError, split_query

DAY_SECONDS = 86_400
YOUNG = 10_000
"""Objects made before young garbage is looked for: what a request makes goes by itself, so looking finds nothing."""
DESCRIPTION = "Live, personal blocks for e-mail: events in, blocks out."


def create(settings: ApiSettings, open_hooks: Callable[..., webhooks.Hooks] = webhooks.Hooks) -> FastAPI:
    """The service.

    Args:
        settings: as the environment says them.
        open_hooks: what makes the receiver of webhooks from a collector and the secrets.

    Raises:
        LayoutError: a layout file cannot be used.
        StreamError: the stream's URL cannot be used.
    """
    client = connect(settings.redis_url)
    features = OnlineFeatures(client)
    snapshot, remembered = Snapshot(), Path(settings.snapshot) if settings.snapshot else None
    layouts = chosen_layouts(settings.layouts)
    letters_address, letters = open_letters(
        settings.dead_letters_url,
        settings.dead_letters_keep,
        settings.dead_letters_age,
        settings.dead_letters_bytes,
    )
    keeper = connect_keeper(letters_address)
    stream_address, _ = split_query(settings.stream_url)
    is_elsewhere = stream_address.startswith("redis") and stream_address != letters_address
    stream_keeper = connect_keeper(stream_address) if is_elsewhere else keeper
    forgetting = Forgetting(keeper)
    publisher = _publisher(settings, forgetting)
    telling = Telling(publisher, ready=forgetting.look_lately)
    decisions = Decisions(client, settings.decision_ttl * DAY_SECONDS, time.monotonic)
    server = serve.BlockServer(features, snapshot, layouts, settings.deadline, Served(client), decisions, telling)
    for place, forget in (("waiting", telling.forget), ("remembered", decisions.forget_remembered)):
        forgetting.add(place, forget)
    if isinstance(publisher, Spooled):
        forgetting.add("spool", publisher.forget)
    eraser = open_eraser(settings, keeper, stream_keeper, publisher, forgetting, letters, decisions)
    ring, audit = KeyRing(keeper), Audit(keeper, settings.audit_keep)
    rates = Rates(keeper, settings.rate_key, settings.rate_network)
    signing = SigningKeys(keeper, settings.token_seconds)
    access = _access(settings, signing, rates)
    known = KnownKeys(ring, access)
    context = Context(
        settings.country_header,
        Countries(Path(settings.geoip)) if settings.geoip else None,
        device_of if (knows_devices := "device" in settings.enrich) else None,
    )
    collector = collect.Collector(
        publisher, letters, keeper, round(settings.max_skew * 1_000_000), complete=context.complete
    )

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
        if remembered:
            recall(snapshot, remembered)  # until what is now is read
        with contextlib.suppress(redis.RedisError, OSError):  # it is tried again every few seconds
            await refresh(snapshot, features)
        with contextlib.suppress(redis.RedisError, OSError):  # likewise
            await known.look()
        if isinstance(publisher, Spooled):
            publisher.start()
        always = (
            keep_fresh(snapshot, features), known.keep_fresh(), rates.keep_sharing(), forgetting.keep_looking(),
            eraser.keep_resuming(),
        )  # fmt: skip
        tasks = list(map(asyncio.create_task, always))
        if remembered:
            tasks.append(asyncio.create_task(keep_remembering(snapshot, remembered)))
        server.warm()
        if knows_devices:
            device_of("Mozilla/5.0")  # prepares its rules, a quarter of a second in which no other thread runs
        gc.collect()
        gc.set_threshold(YOUNG)
        gc.freeze()  # what the modules hold is there for good: no collection need look through it
        yield {CROWD: crowd, COUNTER: counter}
        while pending := [task for task in tasks if not task.done()]:
            # More than once: what is cancelled as its own time runs out takes that for the reason, and goes on.
            for task in pending:
                task.cancel()
            await asyncio.wait(pending, timeout=0.5)
        await eraser.close()
        if remembered:
            remember_last(snapshot, remembered)
        with contextlib.suppress(redis.RedisError, OSError):  # when a key was last used is good to know, no more
            await known.tell()
        await pictures.close()
        await features.close()
        await telling.close()
        await publisher.close()
        await forgetting.close()
        await keeper.aclose()
        await stream_keeper.aclose()

    app = FastAPI(
        title="Inlay", description=DESCRIPTION, version="0.1.0", lifespan=lifespan,
        redirect_slashes=False,  # who fetches for mails follows no redirect: an address is right, or told to be wrong
    )  # fmt: skip
    problems.install(app)

    guarded = Routes(app, access)
    guarded.add(reading_routes.block_routes(server), "read", plain=True)  # first: routes are tried one after another
    paths: set[str] = set()
    arrivals = Arrivals(settings.link_keys, settings.arrival_seconds, settings.link_hosts)
    for collecting in install_door(app, collector, Keys(access, "collect"), settings, arrivals):
        guarded.note(collecting, "collect")
        paths |= {route.path for route in collecting.routes if isinstance(route, APIRoute)}
    crowd = Crowd(settings.deadline, paths, settings.connections)
    guarded.add(bulk.routes(server), "read")
    feeding = feeds.routes(server, Keys(access, "read", plain=True))  # which ask for a key where a layout is not public
    guarded.note(feeding, "read")
    app.include_router(feeding)
    guarded.add(reading_routes.user_routes(features), "read")
    guarded.add(admin.routes(ring, audit), "admin")
    guarded.add(erasure_routes.routes(eraser, audit), "admin")
    desk = oauth.TokenDesk(access, signing, settings.oauth_issuer, rates, read_rate(settings.rate_tokens))
    app.include_router(oauth.routes(desk))
    hooks = open_hooks(collector, settings.webhooks)
    forgetting.add("watched", hooks.forget)
    app.include_router(webhooks.routes(hooks))
    seals = _seals(settings, layouts)
    pictures = Pictures(partial(fetch_photo, hosts=settings.image_hosts))
    opening = OpenTime(
        server, seals, pictures, telling, hooks.watch, settings.link_hosts, settings.home_url, arrivals
    )  # fmt: skip
    app.include_router(open_routes.public_routes(opening))
    guarded.add(open_routes.link_routes(server, seals, settings.public_url, settings.link_days), "read")
    app.include_router(
        health.routes(
            features,
            partial(letters.counts, keeper),
            partial(_quarantine(settings).counts, client),
            quality.ReportMetrics(Path(settings.report)),
        )
    )
    app.include_router(schemas.routes())
    app.include_router(
        quality.routes(Path(settings.report), None if settings.demo else Keys(access, "read"))
    )  # whose reader is a browser
    if settings.demo:
        app.include_router(pages.routes(settings.api_keys[0]))
    reading, proxies = Keys(access, "read", plain=True), Proxies(settings.trusted_proxies)
    counter = Counter(server, reading, proxies)
    app.state.publisher, app.state.telling, app.state.decisions = publisher, telling, decisions
    app.state.eraser, app.state.hooks, app.state.counter = eraser, hooks, counter
    app.state.known_keys, app.state.signing, app.state.rates, app.state.routes = known, signing, rates, guarded
    app.add_middleware(KeepScope)
    app.add_middleware(Hatch, server=server, keys=reading)
    app.add_middleware(Edge, proxies=proxies)  # last, so that it is around whatever answers
    return app


def install_door(
    app: FastAPI, collector: collect.Collector, keys: Keys, settings: ApiSettings, arrivals: Arrivals = NONE
) -> list[APIRouter]:
    """Everything that collects, and the door in front of it; the routes that ask for a key."""
    collecting = [
        collect.routes(collector, keys), calls.routes(collector, keys, arrivals), calls.pixel_routes(collector, keys)
    ]  # fmt: skip
    routers = [*collecting, script.routes()]
    for router in routers:
        app.include_router(router)
    app.add_middleware(
        Door, routers=routers, most_requests=settings.in_flight,
        most_bytes=settings.in_flight_mb * 1_000_000, body_limit=collect.KEPT_BODY,
        unheard=("/v1/pixel/", calls.lost_picture),
    )  # fmt: skip
    return collecting


def _access(settings: ApiSettings, signing: SigningKeys, rates: Rates) -> Access:
    """Who may call: keys of the environment, those that are stored once they are read, and tokens."""
    callers = fixed(settings.write_keys, ["collect"], "write") | fixed(settings.api_keys, SCOPES)
    ask = partial(fetch, reach=Reach(ports=(), inside=settings.private_hosts))
    foreign = [(issuer, IssuerKeys(issuer, ask)) for issuer in settings.oauth_issuers]
    bearers = Bearers(signing, settings.oauth_issuer, foreign)
    access = bearers.access = Access(callers, bearers, rates)
    return access


def _seals(settings: ApiSettings, layouts: Mapping[str, Layout]) -> Seals:
    """What seals links, if there are to be any; then it must be known where they lead."""
    if settings.link_keys:
        if not settings.public_url:
            raise SettingError("INLAY_LINK_KEYS is set, so set INLAY_PUBLIC_URL to where mail programs reach it")
        lost = [name for name, layout in layouts.items() if not layout.home_url]
        if lost and not settings.home_url:
            raise SettingError(
                f"INLAY_LINK_KEYS is set, so set INLAY_HOME_URL to the shop, or home_url in {', '.join(lost)}: a click"
                " must lead somewhere when its item is not known"
            )
    if settings.arrival_seconds and not (settings.link_keys and settings.link_hosts):
        raise SettingError(
            "INLAY_ARRIVAL_SECONDS is set, so set INLAY_LINK_KEYS, which seal what a click carries, and"
            " INLAY_LINK_HOSTS to the hosts of the shop: nobody else is to be handed it"
        )
    return Seals(settings.link_keys)


def _publisher(settings: ApiSettings, forgetting: Forgetting) -> Publisher:
    """The stream, and the spool behind it where there is one."""
    bounded = Bounded(open_publisher(settings.stream_url), settings.publish_wait)
    if not settings.spool:
        return bounded
    spool = Spool(Path(settings.spool), settings.spool_mb * 1_000_000, bounded.partitions)
    return Spooled(bounded, spool, forgetting.look_lately, forgetting.was_before)


def _quarantine(settings: ApiSettings) -> Quarantine:
    """What is in quarantine, which the API only counts."""
    return Quarantine(settings.quarantine_keep, settings.quarantine_age, settings.quarantine_bytes)
