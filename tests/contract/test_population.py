"""The population in a real Redis: what commits add up to, and what is read of it."""

from __future__ import annotations

import random
from collections import Counter

from dataflows.aggregates.population import NOBODY, Cuts, Standing, cuts_of
from dataflows.population import POPULATION_KEY, Population, population_commands, population_counts
from tests.contract.redis_server import RedisServer
from tests.given import NOW

PARTITIONS = 3


def commit(server: RedisServer, partition: int, before: Standing | None, after: Standing | None) -> None:
    with server.client.pipeline(transaction=True) as pipeline:
        for command in population_commands(partition, [(before, after)]):
            pipeline.execute_command(*command)
        pipeline.execute()


def test_the_counts_are_those_of_the_customers_and_an_empty_bucket_is_gone(server: RedisServer) -> None:
    chance = random.Random(7)
    standings: dict[int, Standing | None] = {}
    for _ in range(400):
        user = chance.randrange(20)
        after = chance.choice(
            (None, Standing(20_000 + chance.randrange(5), chance.randrange(1, 4), chance.choice((0, 700))))
        )
        commit(server, user % PARTITIONS, standings.get(user), after)
        standings[user] = after
    read = population_counts(server.client, range(PARTITIONS))
    for partition, found in enumerate(read()):
        expected = Counter(
            f"{measure}:{bucket}"
            for user, standing in standings.items()
            if standing is not None and user % PARTITIONS == partition
            for measure, bucket in standing._asdict().items()
        )
        assert found == expected
    assert Population(read).cuts(NOW) == cuts_of(read())
    for user, standing in standings.items():
        commit(server, user % PARTITIONS, standing, None)
    assert not any(server.client.exists(POPULATION_KEY.format(partition)) for partition in range(PARTITIONS))


def test_partitions_that_nobody_wrote_yet_hold_nobody(server: RedisServer) -> None:
    read = population_counts(server.client, range(PARTITIONS))
    assert Population(read).cuts(NOW) == NOBODY
    commit(server, 2, None, Standing(20_000, 1, 700))
    assert Population(read).cuts(NOW) == Cuts((20_000,) * 4, (1,) * 4, (700,) * 4)
