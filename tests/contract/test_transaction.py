"""A guarded transaction on a real Redis: all of it or nothing, whatever changes, is refused or breaks meanwhile."""

from __future__ import annotations

import socket
import threading
from contextlib import closing

import pytest
import redis
from hiredis import pack_command
from redis.backoff import NoBackoff
from redis.retry import Retry

from dataflows.connectors.redis_streams import connect
from dataflows.transaction import CommitUnknown, GuardChanged, Transaction, ask
from feature_repo.layout import USER
from tests.contract.redis_server import RedisServer

GUARD = "guard"


def of(server: RedisServer, *commands: tuple[object, ...]) -> Transaction:
    transaction = Transaction(server.client)
    for command in commands:
        transaction.add(*command)
    return transaction


@pytest.fixture
def held(server: RedisServer) -> RedisServer:
    server.client.set(GUARD, "mine")
    return server


def test_all_commands_are_executed_and_the_connection_serves_again(held: RedisServer) -> None:
    for number in range(3):
        transaction = of(held, ("SET", "a", number), ("RPUSH", "list", b"\x00\xff", "text", 1.5))
        transaction.add_packed(USER.hset("u1", {"views_1h": number, "typical_price": None}, 1, state=b"s"))
        transaction.execute([GUARD], b"mine")
    assert held.client.get("a") == b"2"
    assert held.client.lrange("list", -3, -1) == [b"\x00\xff", b"text", b"1.5"]
    assert held.client.hget(USER.key("u1"), USER.columns["views_1h"].field) == USER.columns["views_1h"].encode(2)


def test_nothing_is_executed_under_another_guard(held: RedisServer) -> None:
    for guards in ([GUARD, "other"], ["other"]):
        with pytest.raises(GuardChanged):
            of(held, ("SET", "never", 1)).execute(guards, b"mine")
    assert held.client.get("never") is None


def test_nothing_is_executed_if_the_guard_changes_on_the_way(
    held: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look at the guard and the execution another process takes over."""
    transaction = of(held, ("SET", "never", 1))
    connection = held.client.connection_pool.get_connection()
    sent = connection.send_packed_command

    def late(command: list[bytes], check_health: bool = True) -> None:
        if any(b"EXEC" in each for each in command):
            with closing(redis.Redis.from_url(held.url)) as other:
                other.set(GUARD, "theirs")
        sent(command, check_health)

    monkeypatch.setattr(connection, "send_packed_command", late)
    held.client.connection_pool.release(connection)
    with pytest.raises(GuardChanged):
        transaction.execute([GUARD], b"mine")
    assert held.client.get("never") is None


def test_a_refused_command_is_an_error_and_undoes_what_was_not_executed(held: RedisServer) -> None:
    with pytest.raises(redis.ResponseError, match="unknown command"):
        of(held, ("SET", "never", 1), ("NOSUCHCOMMAND",)).execute([GUARD], b"mine")
    assert held.client.get("never") is None
    with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
        of(held, ("RPUSH", GUARD, 1)).execute([GUARD], b"mine")
    of(held, ("SET", "after", 1)).execute([GUARD], b"mine")
    assert held.client.get("after") == b"1"


def test_many_answers_come_in_their_order_however_they_arrive(held: RedisServer) -> None:
    texts = [f"{number} {'x' * (number * 7919 % 3000)}".encode() for number in range(500)]
    questions = [pack_command(("ECHO", text)) for text in texts]
    assert ask(held.client, questions) == texts
    with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
        ask(held.client, [*questions, pack_command(("LLEN", GUARD)), *questions])
    assert ask(held.client, questions[:3]) == texts[:3]
    assert ask(held.client, ()) == []


def test_a_redis_that_says_it_is_not_there_for_us_is_not_there() -> None:
    """Whether that is its first answer or comes with another one."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            while asked := connection.recv(65536):
                late = b"$1\r\na\r\n-LOADING Redis is loading the dataset in memory\r\n"
                connection.sendall(late if b"ECHO" in asked else b"+OK\r\n" * asked.count(b"\r\nCLIENT\r\n"))

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    client = redis.Redis(port=listener.getsockname()[1], protocol=2, retry=Retry(NoBackoff(), 0))
    with pytest.raises(redis.ConnectionError, match="loading"):
        ask(client, [pack_command(("ECHO", "a"))] * 2)
    client.close()
    thread.join(10)
    listener.close()


def test_a_connection_that_went_stale_is_made_anew(own_server: RedisServer) -> None:
    client = connect(own_server.url)
    client.set(GUARD, "mine")
    own_server.client.client_kill_filter(_type="normal", skipme=True)
    transaction = Transaction(client)
    transaction.add("SET", "a", 1)
    transaction.execute([GUARD], b"mine")
    assert own_server.client.get("a") == b"1"
    client.close()


def test_a_connection_that_breaks_in_the_commit_leaves_the_outcome_open() -> None:
    """A server that hangs up once it was sent the commands."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            while (asked := connection.recv(65536)) and b"EXEC" not in asked:
                answers = b"+OK\r\n" * asked.count(b"\r\nCLIENT\r\n")  # what redis-py says of itself
                connection.sendall(answers + (b"+OK\r\n*1\r\n$4\r\nmine\r\n" if b"WATCH" in asked else b""))

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    client = redis.Redis(port=listener.getsockname()[1], protocol=2)
    transaction = Transaction(client)
    transaction.add("SET", "a", 1)
    with pytest.raises(CommitUnknown):
        transaction.execute([GUARD], b"mine")
    thread.join(10)
    listener.close()
    client.close()
