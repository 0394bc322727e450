"""The writing side of a topic: every record acknowledged by all replicas in sync, or an error in bounded time."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, Producer

from dataflows.connectors import StreamDown, StreamError
from dataflows.connectors.kafka_address import Address
from dataflows.connectors.kafka_topic import MAX_RECORD, Topic, checked_settings

GRACE: Final = 5.0
"""Seconds beyond its time after which a record of which nothing was heard is given up on."""
POLL_SECONDS: Final = 0.1


class Receipt:
    """What became of some records: how many are not yet acknowledged, and the first error.

    Args:
        records: how many they are.
        seconds: in which the producer settles them.
        settled: called once nothing is missing, on a thread of the producer.
    """

    def __init__(self, records: int, seconds: float, settled: Callable[[], None]) -> None:
        self._missing, self._seconds, self._settled = records, seconds, settled
        self._done = threading.Event()
        self._error: KafkaError | None = None
        if not records:
            self._settle()

    def delivered(self, error: KafkaError | None, message: Any) -> None:
        """Take note of one record; what a producer calls."""
        if error is not None:
            self._error = self._error or error
        self._missing -= 1
        if not self._missing:
            self._settle()

    def check(self) -> None:
        """Whether all is well.

        Raises:
            StreamDown: not everything was acknowledged; what was not may be in the stream or not.
        """
        if self._error is not None:
            raise StreamDown(f"Kafka did not acknowledge everything: {self._error.str()}")

    def wait(self) -> None:
        """Wait until it is settled, and `check`."""
        if not self._done.wait(self._seconds + GRACE):
            raise StreamDown("Kafka acknowledged nothing, and nothing was heard of the records")
        self.check()

    def _settle(self) -> None:
        self._done.set()
        self._settled()


class Producing:
    """A producer and the thread on which it reports.

    Args:
        address: of the topic.
        seconds: in which a record is acknowledged, or given up.
        linger: milliseconds a record may wait for others to be sent with.

    Attributes:
        broken: whether it will never send anything again, and another one is needed.
    """

    def __init__(self, address: Address, seconds: float, linger: int = 5) -> None:
        self._topic, self._seconds = address.topic, address.patience(seconds)
        with checked_settings():
            self._producer = Producer(
                address.client(
                    enable_idempotence=True, acks="all", message_timeout_ms=round(seconds * 1000), linger_ms=linger,
                    message_max_bytes=MAX_RECORD, queue_buffering_max_kbytes=65536, retry_backoff_ms=50,
                    error_cb=self._take_note,
                )
            )  # fmt: skip
        self.broken = False
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._report, name="kafka receipts", daemon=True)
        self._thread.start()

    def produce(
        self, records: Sequence[tuple[int, bytes]], settled: Callable[[], None] = lambda: None, *, patient: bool = False
    ) -> Receipt:
        """Hand records over, in order.

        Args:
            records: partitions and bytes.
            settled: called when all is known, on another thread.
            patient: wait while the producer has no room, rather than give up at once.

        Raises:
            StreamError: a record is larger than Kafka takes it.
            StreamDown: the producer has no room: more is written than Kafka takes.
        """
        receipt = Receipt(len(records), self._seconds, settled)
        for partition, value in records:
            try:
                self._hand_over(partition, value, receipt, self._seconds if patient else 0)
            except KafkaException as error:
                found = error.args[0]
                if found.code() == KafkaError.MSG_SIZE_TOO_LARGE:
                    raise StreamError(
                        f"a record of {len(value):,} bytes: Kafka is given at most {MAX_RECORD:,}"
                    ) from None
                raise StreamDown(f"Kafka takes nothing: {found.str()}") from None
        return receipt

    def close(self, seconds: float = 0.0) -> None:
        """Stop, after some time for what is under way."""
        self._producer.flush(seconds)
        self._closed.set()
        self._thread.join()

    def _hand_over(self, partition: int, value: bytes, receipt: Receipt, seconds: float) -> None:
        left = seconds
        while True:
            try:
                self._producer.produce(self._topic, value, partition=partition, on_delivery=receipt.delivered)
            except BufferError:
                if left <= 0:
                    raise StreamDown("more is written than Kafka takes") from None
                left -= POLL_SECONDS
                self._closed.wait(POLL_SECONDS)
            else:
                return

    def _take_note(self, error: KafkaError) -> None:
        self.broken = self.broken or error.fatal()

    def _report(self) -> None:
        while not self._closed.is_set():
            self._producer.poll(POLL_SECONDS)


class KafkaPublisher:
    """The writing side for an event loop: bounded buffers, and an answer or an error within seconds.

    Args:
        address: of the topic; nothing is asked of it before the first record.
        seconds: in which records are acknowledged, or given up.
    """

    def __init__(self, address: Address, seconds: float) -> None:
        self.partitions = address.partitions
        self._address, self._seconds = address, address.patience(seconds)
        self._producing: Producing | None = None
        self._opening = asyncio.Lock()

    async def publish(self, records: Sequence[tuple[int, bytes]]) -> None:
        """Append records to their partitions, in order."""
        producing = self._producing
        if producing is None or producing.broken:
            producing = await self._open()
        loop = asyncio.get_running_loop()
        settled = loop.create_future()
        receipt = producing.produce(records, lambda: _tell(loop, settled))
        try:
            await asyncio.wait_for(settled, self._seconds + GRACE)
        except asyncio.TimeoutError:
            raise StreamDown("Kafka acknowledged nothing in time") from None
        receipt.check()

    async def close(self) -> None:
        """Wait for what is under way, and close the connections."""
        if self._producing is not None:
            await asyncio.get_running_loop().run_in_executor(None, self._producing.close, self._seconds)

    async def _open(self) -> Producing:
        async with self._opening:
            producing = self._producing
            if producing is None or producing.broken:  # nobody else was quicker
                producing = await asyncio.get_running_loop().run_in_executor(None, self._checked, producing)
                self._producing = producing
            return producing

    def _checked(self, old: Producing | None) -> Producing:
        if old is not None:
            old.close()
        topic = Topic(self._address, self._seconds)
        try:
            topic.open()
        finally:
            topic.close()
        return Producing(self._address, self._seconds, linger=1)


def _tell(loop: asyncio.AbstractEventLoop, settled: asyncio.Future[None]) -> None:
    def settle() -> None:
        if not settled.done():  # nobody waits any more
            settled.set_result(None)

    loop.call_soon_threadsafe(settle)
