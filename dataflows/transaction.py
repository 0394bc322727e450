"""A guarded transaction: everything or nothing, and nothing at all if the guard changed. WATCH, MULTI, EXEC by hand.

A micro-batch brings thousands of rows that are packed for Redis already; a client's pipeline would pack each of their
hundred parts once more, and that is a third of what storing a row costs. Retries and connections are the client's.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import redis
from hiredis import pack_command

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
        """Execute all commands if each of the guards holds what is expected, up to the moment of execution.

        Args:
            guards: keys that are watched.
            expected: what each of them must hold; None: nothing.

        Raises:
            GuardChanged: one of them does not.
            CommitUnknown: the connection broke after the commands were sent.
            redis.RedisError: Redis could not be reached, or refused a command; nothing was written.
        """
        pool = self._client.connection_pool
        connection = pool.get_connection()
        try:
            connection.retry.call_with_retry(
                lambda: _watch(connection, guards, expected), lambda error: connection.disconnect()
            )
            try:
                connection.send_packed_command([b"".join((MULTI, *self._packed, EXEC))], check_health=False)
                answers = _read(connection, len(self._packed) + 2)
            except (redis.ConnectionError, redis.TimeoutError):
                raise CommitUnknown("the connection to Redis broke in a commit; start again, nothing is lost") from None
        except BaseException:
            connection.disconnect()  # whatever it was in the middle of ends here: a watch, or half an answer
            raise
        finally:
            pool.release(connection)
        _judge(answers)


def _watch(connection: Any, guards: Sequence[str], expected: bytes | None) -> None:
    words: Any = guards  # the stub of pack_command knows tuples of one part only
    connection.send_packed_command([pack_command(("WATCH", *words)), pack_command(("MGET", *words))])
    connection.read_response()
    if any(found != expected for found in connection.read_response()):
        raise GuardChanged


def _read(connection: Any, number: int) -> list[Any]:
    """That many answers; a refusal is one of them, so that none is left behind on the connection."""
    answers = []
    for _ in range(number):
        try:
            answers.append(connection.read_response())
        except redis.ResponseError as error:
            answers.append(error)
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
