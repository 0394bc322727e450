"""What contract tests share: a Redis, emptied for every test, Feast on it as `feast apply` leaves it, and a Kafka."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from feast import Entity, FeatureService, FeatureStore, FeatureView

from feature_repo import features
from tests.contract.kafka_server import KafkaServer, kafka_server, why_no_kafka
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
