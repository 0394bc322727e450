"""A topic of Kafka as its administrators see it: made, checked, measured, trimmed; each question in bounded time."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Any, Final, TypeVar

from confluent_kafka import (
    Consumer,
    ConsumerGroupTopicPartitions,
    KafkaError,
    KafkaException,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, NewTopic, OffsetSpec

from dataflows.connectors import StreamDown, StreamError
from dataflows.connectors.kafka_address import Address

MAX_RECORD: Final = 4 * 1024 * 1024
"""Bytes of a record: eight times what the API takes in one request. What is larger than an event may be is refused by
the flows, and kept; only a record that Kafka itself does not take is an error of whoever publishes it."""
NEW_TOPIC: Final = {
    "cleanup.policy": "delete",
    "retention.ms": "-1",  # the flows trim what all of them have read
    "retention.bytes": "-1",
    "message.timestamp.type": "LogAppendTime",  # times that never go back, which is what is rewound by
    "max.message.bytes": str(MAX_RECORD + 1024),
}
"""How a topic is made if it is not there."""

T = TypeVar("T")

_log: Final = logging.getLogger(__name__)


class Topic:
    """What can be asked and done about a topic.

    Args:
        address: where it is.
        seconds: how long a question may take.
    """

    def __init__(self, address: Address, seconds: float) -> None:
        self._address, self._name, self.seconds = address, address.topic, seconds
        with checked_settings():
            self._admin = AdminClient(address.client())
        self._looker: Consumer | None = None
        self._told: list[Future[Any]] = []

    def open(self) -> str:
        """Make the topic if it is not there, and check it; its identity, which no other topic has.

        Raises:
            StreamError: it has another number of partitions, or we may not make or see it.
            StreamDown: no broker answers.
        """
        found = self._describe()
        if found is None:
            self._make()
            give_up_at = time.monotonic() + self.seconds
            while (found := self._describe()) is None:  # made by one broker, not yet known to the one that is asked
                if time.monotonic() > give_up_at:
                    raise StreamDown(f"the topic {self._name!r} was made, but no broker knows it yet; try again")
                time.sleep(0.05)
        if len(found.partitions) != self._address.partitions:
            raise StreamError(
                f"the topic {self._name!r} has {len(found.partitions)} partitions, its URL says "
                f"{self._address.partitions}: write partitions={len(found.partitions)}, "
                "since a user's events must stay in one partition"
            )
        return f"kafka {self._name} {found.topic_id}"

    def bounds(self, partitions: Iterable[int]) -> dict[int, tuple[int, int]]:
        """Of each partition the first offset that it holds and the next one it will have."""
        wanted = list(partitions)
        first, end = (self._offsets(wanted, which) for which in (OffsetSpec.earliest(), OffsetSpec.latest()))
        return {partition: (first[partition], end[partition]) for partition in wanted}

    def offset_before(self, partition: int, offset: int, seconds: float) -> int:
        """The first offset that was written at most `seconds` before the record at `offset`."""
        if self._looker is None:
            with checked_settings():
                self._looker = Consumer(
                    self._address.client(
                        group_id=f"{self._address.group}-look", enable_auto_commit=False, enable_partition_eof=True,
                        auto_offset_reset="earliest", fetch_message_max_bytes=65536, fetch_wait_max_ms=10,
                    )
                )  # fmt: skip
        at = self._time_of(self._looker, partition, offset)
        with answers():
            asked = [TopicPartition(self._name, partition, max(0, at - round(seconds * 1000)))]
            (found,) = self._looker.offsets_for_times(asked, self.seconds)
        if found.error is not None:
            raise down(found.error)
        return int(found.offset) if 0 <= found.offset <= offset else offset

    def remove(self, partition: int, up_to: int) -> None:
        """Give up records up to an offset."""
        asked = [TopicPartition(self._name, partition, up_to + 1)]

        def ask() -> None:
            for future in self._admin.delete_records(asked, request_timeout=self.seconds).values():
                future.result()

        self._settled(ask)

    def tell(self, group: str, after: Mapping[int, int]) -> None:
        """Commit offsets to a consumer group, for those who look at it. Nobody waits for that; a failure is logged."""
        for future in [each for each in self._told if each.done()]:
            self._told.remove(future)
            if (error := future.exception()) is not None:
                _log.warning("Kafka was not told where the flow is, and its tools show an older place: %s", error)
        places = [TopicPartition(self._name, number, offset + 1) for number, offset in after.items() if offset >= 0]
        if places:
            asked = [ConsumerGroupTopicPartitions(group, places)]
            told = self._admin.alter_consumer_group_offsets(asked, request_timeout=self.seconds)
            self._told += told.values()

    def close(self) -> None:
        """Let go of connections, when Kafka has been told where the flow is, or will not be."""
        for future in self._told:
            try:
                future.result(1.0)
            except (KafkaException, FutureTimeout) as error:
                _log.warning("Kafka was not told where the flow stopped: %s", error)
        if self._looker is not None:
            self._looker.close()

    def _describe(self) -> Any:
        asked = self._admin.describe_topics(TopicCollection([self._name]), request_timeout=self.seconds)
        try:
            return asked[self._name].result()
        except KafkaException as error:
            if error.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                return None
            raise down(error.args[0]) from None

    def _make(self) -> None:
        topic = NewTopic(self._name, self._address.partitions, self._address.replication, config=NEW_TOPIC)
        made = self._admin.create_topics([topic], request_timeout=self.seconds)
        try:
            made[self._name].result()
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:  # somebody else was quicker
                raise down(error.args[0]) from None

    def _offsets(self, partitions: list[int], which: Any) -> dict[int, int]:
        asked = {TopicPartition(self._name, partition): which for partition in partitions}

        def ask() -> dict[int, int]:
            answers = self._admin.list_offsets(asked, request_timeout=self.seconds)
            return {place.partition: int(future.result().offset) for place, future in answers.items()}

        return self._settled(ask)

    def _settled(self, ask: Callable[[], T]) -> T:
        """The answer, when the brokers agree on who leads: after one came or went, they do not for a moment."""
        give_up_at = time.monotonic() + self.seconds
        while True:
            try:
                return ask()
            except KafkaException as error:
                if error.args[0].code() not in UNSETTLED or time.monotonic() > give_up_at:
                    raise down(error.args[0]) from None
                time.sleep(0.1)

    def _time_of(self, looker: Consumer, partition: int, offset: int) -> int:
        """When the record at `offset` was written, in milliseconds; now, if there is none from there on."""
        looker.assign([TopicPartition(self._name, partition, offset)])
        try:
            give_up_at = time.monotonic() + self.seconds
            while time.monotonic() < give_up_at:
                if (message := looker.poll(0.5)) is None:
                    continue
                if (error := message.error()) is None:
                    return int(message.timestamp()[1])
                if error.code() == KafkaError._PARTITION_EOF:
                    return time.time_ns() // 1_000_000
        finally:
            looker.unassign()
        raise StreamDown(f"Kafka did not say when offset {offset} of partition {partition} was written")


class checked_settings:  # noqa: N801  # used as a statement
    """Says of a setting that librdkafka does not take that it is one of the URL."""

    def __enter__(self) -> None:
        """Nothing yet."""

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """Turn the error into one of ours."""
        if isinstance(error, KafkaException):
            raise StreamError(f"the stream's URL or properties: {error.args[0].str()}") from None


class answers:  # noqa: N801  # used as a statement
    """Turns what Kafka says instead of an answer into an error of ours."""

    def __enter__(self) -> None:
        """Nothing yet."""

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """Turn the error into one of ours."""
        if isinstance(error, KafkaException):
            raise down(error.args[0]) from None


PERMANENT: Final = frozenset(
    {
        KafkaError.CLUSTER_AUTHORIZATION_FAILED, KafkaError.GROUP_AUTHORIZATION_FAILED, KafkaError.INVALID_CONFIG,
        KafkaError.INVALID_REPLICATION_FACTOR, KafkaError.POLICY_VIOLATION, KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.TOPIC_EXCEPTION, KafkaError.UNSUPPORTED_VERSION, KafkaError._AUTHENTICATION, KafkaError._INVALID_ARG,
    }
)  # fmt: skip
"""What does not go away by waiting."""


UNSETTLED: Final = frozenset(
    {
        KafkaError.LEADER_NOT_AVAILABLE, KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError.FENCED_LEADER_EPOCH, KafkaError.UNKNOWN_LEADER_EPOCH, KafkaError.KAFKA_STORAGE_ERROR,
    }
)  # fmt: skip
"""What goes away by itself within moments."""


def down(error: KafkaError) -> StreamError:
    """The error of ours for one of Kafka's."""
    said = f"Kafka says: {error.str()}"
    return StreamError(said) if error.code() in PERMANENT else StreamDown(said)
