"""Everywhere that a user may be found, by the settings. What keeps something of a user has a line here."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import redis.asyncio

from api.decisions import Decisions
from api.erasure import Eraser
from api.erasure_places import Decided, Due, InLake, Keyed, Letters, Place, Records, Spool, States, passed_by_all
from api.forgetting import Forgetting
from api.served import served_key
from api.settings import ApiSettings
from api.spool import SpoolFile
from dataflows.connectors import Publisher
from dataflows.connectors.letters import DeadLetters
from dataflows.connectors.quarantine import NAME as QUARANTINE
from dataflows.settings import split_query
from feature_repo.layout import USER

KAFKA: str = (
    "what a topic of Kafka still holds cannot be taken out of it: it goes with the topic's retention, and no flow that "
    "reads it again shows any of it"
)


def open_eraser(
    settings: ApiSettings,
    client: redis.asyncio.Redis,
    stream: redis.asyncio.Redis,
    publisher: Publisher,
    forgetting: Forgetting,
    letters: DeadLetters,
    decisions: Decisions,
) -> Eraser:
    """What erases users.

    Args:
        settings: of the API.
        client: the Redis of the online store, where dead letters are too.
        stream: the Redis of the stream, if it is in one.
        publisher: the stream.
        forgetting: what lets every process drop what it holds itself.
        letters: the dead letters.
        decisions: what mails showed.
    """
    partitions = publisher.partitions
    records = None
    if settings.stream_url.startswith("redis"):
        name = split_query(settings.stream_url)[1].get("stream", "events")
        records = Records("stream", stream, name, partitions, passed_by_all(client))
    derived = split_query(settings.derived_url)[1]
    places: list[Place] = [
        Keyed("features", client, USER.key, erased_by_flow=True),
        Due(client, partitions),
        Keyed("visits", client, lambda user: f"inlay:visit:{user}"),
        Keyed("served", client, served_key),
        Decided(client, decisions),
        Letters("dead letters", client, letters),
        Letters("quarantine", client, DeadLetters(QUARANTINE, 1)),
        Records("derived events", client, derived.get("stream", "derived"), int(derived.get("partitions", "8"))),
    ]
    if settings.spool:
        places.append(Spool(Path(settings.spool), _spooled))
    if settings.lake_url:
        places.append(InLake(settings.lake_url))
    if records is not None:
        places.append(records)  # last: what it holds tells of the others
    notes = [KAFKA] if records is None else []
    return Eraser(client, publisher, forgetting, places, States(client), records, notes)


def _spooled(path: Path) -> Iterator[bytes]:
    """The events in a file of the spool, whoever writes it."""
    content: Any = SpoolFile.look(path)
    yield from content
