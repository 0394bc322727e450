"""A guarded transaction: everything or nothing, and nothing at all if the guard changed. WATCH, MULTI, EXEC by hand.

A micro-batch brings thousands of rows that are packed for Redis already; a client's pipeline would pack each of their
hundred parts once more, and that is a third of what storing a row costs. Retries and connections are the client's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any, Final

import redis
from hiredis import pack_command
from redis._parsers.hiredis import NOT_ENOUGH_DATA

MULTI: Final = pack_command(("MULTI",))
EXEC: Final = pack_command(("EXEC",))


class GuardChanged(RuntimeError):
    """The guarded keys do not hold what they should; nothing was written."""


class CommitUnknown(RuntimeError):
    """The connection broke in the middle of a commit: only a start from the committed offset tells what was stored."""


class Transaction:
    """Commands that are executed together.

    Args:
        client: of the Redis they are for.
    """

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        self._packed: list[bytes] = []

    def add(self, *command: Any) -> None:
        """Add a command by its words: texts, bytes or numbers."""
        self._packed.append(pack_command(command))

    def add_packed(self, command: bytes) -> None:
        """Add a command as Redis reads it."""
        self._packed.append(command)

    def execute(self, guards: Sequence[str], expected: bytes | None) -> None:
        """As `begin`, and wait for the outcome."""
        self.begin(guards, expected)()

    def begin(self, guards: Sequence[str], expected: bytes | None) -> Callable[[], None]:
        """Have all commands executed if each of the guards holds what is expected, up to the moment of execution.

        Args:
            guards: keys that are watched.
            expected: what each of them must hold; None: nothing.

        Returns:
            What waits until they are: it may raise all of the below.

        Raises:
            GuardChanged: one of them does not.
            CommitUnknown: the connection broke after the commands were sent.
            redis.RedisError: Redis could not be reached, or refused a command; nothing was written.
        """
        pool = self._client.connection_pool
        connection = pool.get_connection()
        with _given_up(connection, pool.release):
            connection.retry.call_with_retry(
                lambda: _watch(connection, guards, expected), lambda error: connection.disconnect()
            )
            with _unknown_if_broken():
                connection.send_packed_command([b"".join((MULTI, *self._packed, EXEC))], check_health=False)
        number = len(self._packed) + 2

        def wait() -> None:
            with _given_up(connection, pool.release), _unknown_if_broken():
                answers = _read(connection, number)
            pool.release(connection)
            _judge(answers)

        return wait


@contextmanager
def _given_up(connection: Any, release: Callable[[Any], None]) -> Iterator[None]:
    """Whatever the connection is in the middle of ends with an error: a watch, or half an answer."""
    try:
        yield
    except BaseException:
        connection.disconnect()
        release(connection)
        raise


@contextmanager
def _unknown_if_broken() -> Iterator[None]:
    try:
        yield
    except (redis.ConnectionError, redis.TimeoutError):
        raise CommitUnknown("the connection to Redis broke in a commit; start again, nothing is lost") from None


def ask(client: redis.Redis, commands: Iterable[bytes]) -> list[Any]:
    """The answers to many questions, packed as Redis reads them, in one round trip.

    Raises:
        redis.RedisError: Redis could not be reached, or refused one of them.
    """
    packed = list(commands)
    pool = client.connection_pool
    connection = pool.get_connection()

    def once() -> list[Any]:
        connection.send_packed_command([b"".join(packed)])
        return _read(connection, len(packed))

    with _given_up(connection, pool.release):
        answers: list[Any] = connection.retry.call_with_retry(once, lambda error: connection.disconnect())
    pool.release(connection)
    for answer in answers:
        if isinstance(answer, redis.ResponseError):
            raise answer
    return answers


def _watch(connection: Any, guards: Sequence[str], expected: bytes | None) -> None:
    words: Any = guards  # the stub of pack_command knows tuples of one part only
    connection.send_packed_command([pack_command(("WATCH", *words)), pack_command(("MGET", *words))])
    connection.read_response()
    if any(found != expected for found in connection.read_response()):
        raise GuardChanged


def _read(connection: Any, number: int) -> list[Any]:
    """That many answers; a refusal is one of them, so that none is left behind on the connection."""
    answers: list[Any] = []
    while len(answers) < number:
        try:
            answers.append(connection.read_response())
        except redis.ResponseError as error:
            answers.append(error)
        answers += _at_hand(connection, number - len(answers))
    return answers


def _at_hand(connection: Any, most: int) -> list[Any]:
    """The answers that came with the one before, as they are parsed: asking the client for each takes longer than that.

    Raises:
        redis.ConnectionError: one of them says that Redis is not there for us.
    """
    reader = getattr(getattr(connection, "_parser", None), "_reader", None)
    if reader is None:  # not the parser that we know: it is asked for each
        return []
    answers = list(islice(iter(reader.gets, NOT_ENOUGH_DATA), most))
    for answer in answers:
        if isinstance(answer, redis.ConnectionError):
            raise answer
    return answers


def _judge(answers: Iterable[Any]) -> None:
    *queued, executed = answers
    refused = [answer for answer in queued if isinstance(answer, redis.ResponseError)]
    if refused or isinstance(executed, redis.ResponseError):
        raise (*refused, executed)[0]
    if executed is None:
        raise GuardChanged
    for answer in executed:
        if isinstance(answer, redis.ResponseError):
            raise answer
