"""A topic of Kafka as its administrators see it: made, checked, measured, trimmed; each question in bounded time."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import Final, TypeVar

from confluent_kafka import (
    Consumer,
    KafkaError,
    KafkaException,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, NewTopic

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

CLOSE_SECONDS: Final = 2.0

_log: Final = logging.getLogger(__name__)


class Topic:
    """What can be asked and done about a topic.

    What is asked again and again is asked through a consumer, which takes broken connections in its stride. The
    administrator's client does not (librdkafka 2.16 aborts the process where a question of a group runs out of time
    while brokers are gone), so it is used only for what nothing else can do, and after a broker has answered.

    Args:
        address: where it is.
        seconds: how long a question may take.
    """

    def __init__(self, address: Address, seconds: float) -> None:
        self._address, self._name, self.seconds = address, address.topic, seconds
        self._admin: AdminClient | None = None
        with checked_settings():
            self._looker = Consumer(
                address.client(
                    group_id=f"{address.group}-look", enable_auto_commit=False, enable_partition_eof=True,
                    auto_offset_reset="earliest", fetch_message_max_bytes=65536, fetch_wait_max_ms=10,
                )
            )  # fmt: skip

    def open(self) -> None:
        """Make the topic if it is not there, and check it.

        Raises:
            StreamError: it has another number of partitions, or we may not make or see it.
            StreamDown: no broker answers.
        """
        found = self._partitions()
        if not found:
            self._make()
            give_up_at = time.monotonic() + self.seconds
            while not (found := self._partitions()):  # made by one broker, not yet known to the one that is asked
                if time.monotonic() > give_up_at:
                    raise StreamDown(f"the topic {self._name!r} was made, but no broker knows it yet; try again")
                time.sleep(0.05)
        if found != self._address.partitions:
            raise StreamError(
                f"the topic {self._name!r} has {found} partitions, its URL says {self._address.partitions}: "
                f"write partitions={found}, since a user's events must stay in one partition"
            )

    def identity(self) -> str:
        """What no other topic has, not even a later one of the same name."""
        asked = self._administrator().describe_topics(TopicCollection([self._name]), request_timeout=self.seconds)
        with answers():
            return f"kafka {self._name} {asked[self._name].result().topic_id}"

    def bounds(self, partition: int) -> tuple[int, int]:
        """The first offset that a partition holds, and the next one it will have."""

        def ask() -> tuple[int, int]:
            first, end = self._looker.get_watermark_offsets(TopicPartition(self._name, partition), self.seconds)
            return int(first), int(end)

        return self._settled(ask)

    def offset_before(self, partition: int, offset: int, seconds: float) -> int:
        """The first offset that was written at most `seconds` before the record at `offset`."""
        at = self._time_of(partition, offset) - round(seconds * 1000)

        def ask() -> int:
            (found,) = self._looker.offsets_for_times([TopicPartition(self._name, partition, max(0, at))], self.seconds)
            if found.error is not None:
                raise KafkaException(found.error)
            return int(found.offset) if 0 <= found.offset <= offset else offset

        return self._settled(ask)

    def remove(self, partition: int, up_to: int) -> None:
        """Give up records up to an offset."""
        asked = [TopicPartition(self._name, partition, up_to + 1)]

        def ask() -> None:
            for future in self._administrator().delete_records(asked, request_timeout=self.seconds).values():
                future.result()

        self._settled(ask)

    def close(self) -> None:
        """Let go of connections."""
        self._looker.close()

    def _administrator(self) -> AdminClient:
        if self._admin is None:
            self._admin = AdminClient(self._address.client())
        return self._admin

    def _partitions(self) -> int:
        """How many there are; 0: there is no such topic."""
        with answers():
            found = self._looker.list_topics(self._name, self.seconds).topics[self._name]
        if found.error is None:
            return len(found.partitions)
        if found.error.code() in UNSETTLED:
            return 0
        raise down(found.error)

    def _make(self) -> None:
        topic = NewTopic(self._name, self._address.partitions, self._address.replication, config=NEW_TOPIC)
        made = self._administrator().create_topics([topic], request_timeout=self.seconds)
        try:
            made[self._name].result()
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:  # somebody else was quicker
                raise down(error.args[0]) from None

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

    def _time_of(self, partition: int, offset: int) -> int:
        """When the record at `offset` was written, in milliseconds; now, if there is none from there on."""
        self._looker.assign([TopicPartition(self._name, partition, offset)])
        try:
            give_up_at = time.monotonic() + self.seconds
            while time.monotonic() < give_up_at:
                if (message := self._looker.poll(0.5)) is None:
                    continue
                if (error := message.error()) is None:
                    return int(message.timestamp()[1])
                if error.code() == KafkaError._PARTITION_EOF:
                    return time.time_ns() // 1_000_000
        finally:
            self._looker.unassign()
        raise StreamDown(f"Kafka did not say when offset {offset} of partition {partition} was written")


class Group:
    """A consumer group without members, which is told where a flow is, for those who look at it.

    Args:
        address: of the topic.
        flow: whose group it is.
    """

    def __init__(self, address: Address, flow: str) -> None:
        self._topic = address.topic
        self._under_way = False
        with checked_settings():
            self._consumer = Consumer(
                address.client(
                    group_id=f"{address.group}-{flow}", enable_auto_commit=False, on_commit=self._committed
                )
            )  # fmt: skip

    def tell(self, after: Mapping[int, int]) -> None:
        """Commit offsets, without waiting for it: what fails is logged, and told again the next time."""
        self._consumer.poll(0)
        places = [TopicPartition(self._topic, number, offset + 1) for number, offset in after.items() if offset >= 0]
        if places and not self._under_way:
            self._under_way = True
            with answers():
                self._consumer.commit(offsets=places, asynchronous=True)

    def close(self, after: Mapping[int, int]) -> None:
        """Tell it the last place, within a few seconds, and let go of connections."""
        for _ in range(2):  # what is under way is an older place
            self.tell(after)
            give_up_at = time.monotonic() + CLOSE_SECONDS
            while self._under_way and time.monotonic() < give_up_at:
                self._consumer.poll(0.05)
        self._consumer.close()

    def _committed(self, error: KafkaError | None, places: object) -> None:
        self._under_way = False
        if error is not None:
            _log.warning("Kafka was not told where the flow is, and its tools show an older place: %s", error.str())


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
        KafkaError.FENCED_LEADER_EPOCH, KafkaError.KAFKA_STORAGE_ERROR, KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.UNKNOWN_LEADER_EPOCH, KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError._UNKNOWN_PARTITION, KafkaError._UNKNOWN_TOPIC,
    }
)  # fmt: skip
"""What goes away by itself within moments."""


def down(error: KafkaError) -> StreamError:
    """The error of ours for one of Kafka's."""
    said = f"Kafka says: {error.str()}"
    return StreamError(said) if error.code() in PERMANENT else StreamDown(said)
