"""Round trips that callers share, with a real Redis: everybody has their own answers, and nobody is forgotten."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import pytest
import redis.asyncio
import uvloop
from hiredis import pack_command

from api.features import CONNECTIONS, connect
from dataflows.connectors.round_trips import RoundTrips
from tests.contract.redis_server import RedisServer

T = TypeVar("T")


def over(server: RedisServer, call: Callable[[redis.asyncio.Redis], Awaitable[T]]) -> T:
    async def run() -> T:
        client = connect(server.url)
        try:
            return await asyncio.wait_for(call(client), 20)
        finally:
            await client.aclose(close_connection_pool=True)  # a pool that was given is not closed otherwise

    return uvloop.run(run())


def packed(*words: Any) -> bytes:
    return bytes(pack_command(words))  # type: ignore[arg-type]  # whose stub knows tuples of one part only


@pytest.mark.parametrize("at_once", [1, 2])
def test_each_caller_has_their_own_answers_in_order(server: RedisServer, at_once: int) -> None:
    async def asking(client: redis.asyncio.Redis) -> list[list[Any]]:
        trips = RoundTrips(client, 5.0, at_once=at_once)
        asked = [[packed("ECHO", f"{caller} {number}") for number in range(caller % 4)] for caller in range(60)]
        answers = await asyncio.gather(*map(trips.ask, asked))
        assert len(client.connection_pool._in_use_connections) == 0
        assert len(client.connection_pool._available_connections) <= at_once
        return answers

    said = [[f"{caller} {number}".encode() for number in range(caller % 4)] for caller in range(60)]
    assert over(server, asking) == said


def test_who_comes_as_the_last_trip_ends_is_served(server: RedisServer) -> None:
    """One who waited for a trip that nobody makes any more would wait for ever."""

    async def asking(client: redis.asyncio.Redis) -> int:
        trips = RoundTrips(client, 5.0)

        async def again() -> int:
            return sum([(await trips.ask([packed("PING")])) == [b"PONG"] for _ in range(50)])

        return sum(await asyncio.gather(again(), again(), again()))

    assert over(server, asking) == 150


def test_a_refusal_is_an_answer_and_spoils_no_other(server: RedisServer) -> None:
    async def asking(client: redis.asyncio.Redis) -> list[Any]:
        await client.set("text", "a")
        trips = RoundTrips(client, 5.0)
        return await trips.ask([packed("HGET", "text", "a"), packed("GET", "text")])

    refused, fine = over(server, asking)
    assert isinstance(refused, redis.ResponseError)
    assert fine == b"a"


def test_who_gave_up_leaves_no_answer_to_the_next(server: RedisServer) -> None:
    async def asking(client: redis.asyncio.Redis) -> list[Any]:
        trips = RoundTrips(client, 5.0)
        impatient = asyncio.create_task(trips.ask([packed("DEBUG", "SLEEP", "0.05"), packed("ECHO", "theirs")]))
        await asyncio.sleep(0.01)
        impatient.cancel()
        answers = await trips.ask([packed("ECHO", "mine")])
        await trips.close()
        return answers

    assert over(server, asking) == [b"mine"]


def test_a_connection_that_is_gone_is_replaced_for_who_reads(server: RedisServer) -> None:
    async def asking(client: redis.asyncio.Redis) -> list[Any]:
        trips = RoundTrips(client, 5.0, tries=2)
        await trips.ask([packed("PING")])
        server.client.client_kill_filter(_type="normal", skipme=True)
        return await trips.ask([packed("PING")])

    assert over(server, asking) == [b"PONG"]


def test_redis_that_hangs_is_an_error_in_time(server: RedisServer) -> None:
    async def asking(client: redis.asyncio.Redis) -> None:
        trips = RoundTrips(client, 0.02)
        await trips.ask([packed("PING")])
        with pytest.raises(redis.TimeoutError, match=r"did not answer within 0\.02 s"):
            await trips.ask([packed("BLPOP", "nothing", "1")])
        assert await RoundTrips(client, 5.0).ask([packed("ECHO", "mine")]) == [b"mine"]

    over(server, asking)


def test_more_callers_than_connections_wait_for_one(server: RedisServer) -> None:
    """Fifty mails pulled at once are no fault of the store: the last of them have what the first have."""

    async def asking(client: redis.asyncio.Redis) -> bytes:
        pool = client.connection_pool
        taken = [await pool.get_connection() for _ in range(CONNECTIONS)]
        late = asyncio.create_task(client.echo("mine"))
        await asyncio.sleep(0.05)
        for connection in taken:
            await pool.release(connection)
        return bytes(await late)

    assert over(server, asking) == b"mine"


@pytest.mark.parametrize("told", [True, False], ids=["as ours", "as redis-py has it"])
def test_a_reset_before_writing_is_a_fault_of_the_connection(server: RedisServer, told: bool) -> None:
    """On the loop of the API, which has another word for it than asyncio's own."""
    client = connect(server.url)
    if not told:
        client.connection_pool.connection_class = redis.asyncio.Connection

    async def story() -> list[Any]:
        connection = await client.connection_pool.get_connection()
        connection._writer.transport.abort()
        await asyncio.sleep(0)
        with pytest.raises(redis.ConnectionError if told else RuntimeError):
            await connection.send_packed_command([packed("PING")], check_health=False)
        await client.connection_pool.release(connection)
        answers = await RoundTrips(client, 5.0).ask([packed("PING")])
        await client.aclose(close_connection_pool=True)
        return answers

    assert uvloop.run(story()) == [b"PONG"], "and the next one is well"
