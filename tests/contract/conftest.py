"""What contract tests share: a Redis, emptied for every test, Feast on it as `feast apply` leaves it, and a Kafka."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from feast import Entity, FeatureService, FeatureStore, FeatureView
from moto.kinesis.models import Shard
from moto.server import ThreadedMotoServer

from api.demo.embedded import free_port
from feature_repo import features
from tests.contract.kafka_server import KafkaServer, kafka_server, why_no_kafka
from tests.contract.pubsub_server import PubSubServer, find_go, pubsub_server
from tests.contract.redis_server import RedisServer, redis_server

REPO: Final = Path(features.__file__).parent


@pytest.fixture(scope="session")
def running_redis() -> Iterator[RedisServer]:
    """One Redis for all tests that do it no harm."""
    with redis_server() as server:
        yield server


@pytest.fixture
def server(running_redis: RedisServer) -> RedisServer:
    """That Redis, with nothing in it."""
    running_redis.client.flushall()
    return running_redis


@pytest.fixture
def own_server() -> Iterator[RedisServer]:
    """A Redis that a test may do anything to."""
    with redis_server() as server:
        yield server


@pytest.fixture(scope="session")
def running_kafka() -> Iterator[KafkaServer]:
    """One Kafka for all tests; each uses topics of its own. A test that kills it starts it again."""
    if missing := why_no_kafka():
        pytest.skip(missing)
    with kafka_server() as server:
        yield server


@pytest.fixture(scope="session")
def moto() -> Iterator[tuple[ThreadedMotoServer, int]]:
    """Kinesis as moto plays it; it keeps what it holds while its server is stopped."""
    # It lists all numbers of a shard to find the last one, for every record, which makes hours of a large sample.
    Shard.get_max_sequence_number = lambda shard: next(reversed(shard.records), 0)
    port = free_port()
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=port, verbose=False)
    server.start()
    yield server, port
    server.stop()


@pytest.fixture(scope="session")
def pubsub() -> Iterator[PubSubServer]:
    """Pub/Sub as Google's own fake plays it."""
    if find_go() is None:
        pytest.skip("no Go to build the fake Pub/Sub with")
    with pubsub_server() as server:
        yield server


@pytest.fixture(scope="session")
def store(running_redis: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FeatureStore]:
    """Feast over the project's own declarations and configuration, with a registry of its own."""
    repo = tmp_path_factory.mktemp("feast") / "feature_repo"
    shutil.copytree(REPO, repo, ignore=shutil.ignore_patterns("__pycache__"))
    declared = [each for each in vars(features).values() if isinstance(each, (Entity, FeatureView, FeatureService))]
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("INLAY_REDIS_URL", running_redis.url)
        store = FeatureStore(repo_path=str(repo))
        store.apply(declared)
        yield store


@pytest.fixture
def no_task_failed_unseen(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """No task may end in an error that nobody looked at."""
    yield
    assert [record.getMessage() for record in caplog.records if record.name == "asyncio"] == []
