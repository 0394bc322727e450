"""Somebody else's Kafka topic as an inlet: `kafka://host:9092/topic?group=inlay-bridge`, and options as a stream has.

The consumer group shares the partitions out among several bridges, and keeps where they are. What was committed is
noted by us as well: Kafka forgets the offsets of a group that was away for a week, and would begin anew without a word.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Final

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from dataflows.connectors import Delivered, Delivery, OffsetGone, Positions, StreamDown, StreamError
from dataflows.connectors.kafka_address import Address, read_address
from dataflows.connectors.kafka_topic import checked_settings, down
from dataflows.events import Refused
from dataflows.settings import split_query

GROUP: Final = "inlay-bridge"
ANSWER_SECONDS: Final = 10.0
SESSION_MS: Final = 10_000
"""After so long a silence Kafka gives the partitions of a bridge to another."""
MOST_AT_ONCE: Final = 10_000
TAKEN_OVER: Final = frozenset(
    {
        KafkaError.ILLEGAL_GENERATION, KafkaError.REBALANCE_IN_PROGRESS, KafkaError.UNKNOWN_MEMBER_ID,
        KafkaError._ASSIGNMENT_LOST, KafkaError._STATE,
    }
)  # fmt: skip
"""Another bridge of the group reads on from the last commit."""
UNKNOWN: Final = frozenset({KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION})

_log: Final = logging.getLogger(__name__)


class KafkaTopic:
    """A foreign topic as an inlet.

    Args:
        address: where it is.
        group: of consumers.
        positions: keeps what was committed.

    Raises:
        StreamDown: no broker answers.
        StreamError: there is no such topic, or we may not read it.
    """

    shared = True

    def __init__(self, address: Address, group: str, positions: Positions) -> None:
        self.name = f"kafka://{address.brokers}/{address.topic}"
        self._topic, self._group, self._positions = address.topic, group, positions
        self._error: Exception | None = None
        with checked_settings():
            self._consumer = Consumer(
                address.client(
                    group_id=group, enable_auto_commit=False, enable_auto_offset_store=False,
                    auto_offset_reset="error", allow_auto_create_topics=False, fetch_error_backoff_ms=100,
                    queued_max_messages_kbytes=65536, socket_timeout_ms=round(ANSWER_SECONDS * 1000),
                    session_timeout_ms=SESSION_MS, heartbeat_interval_ms=SESSION_MS // 5,
                )
            )  # fmt: skip
        try:
            found = self._consumer.list_topics(self._topic, ANSWER_SECONDS).topics[self._topic]
        except KafkaException as error:
            raise down(error.args[0]) from None
        if found.error is not None:
            raise StreamError(f"{self.name} cannot be read: {found.error.str()}")
        self._consumer.subscribe([self._topic], on_assign=self._begin)

    def read(self, most: int, wait: float) -> Delivered | None:
        """What has come of the partitions that are ours."""
        self._raise_error()
        try:
            messages = self._consumer.consume(1, wait)
            if messages and most > 1:
                messages += self._consumer.consume(min(most, MOST_AT_ONCE) - 1, 0)
        except KafkaException as error:
            raise down(error.args[0]) from None
        deliveries, receipt = [], {}
        for message in messages:
            if (found := message.error()) is not None:
                self._error = self._error or self._judge(found, message)
            else:
                deliveries.append(self._delivery(message))
                receipt[message.partition()] = message.offset() + 1
        if deliveries:
            return Delivered(deliveries, receipt)  # an error among them can wait
        self._raise_error()
        return None

    def confirm(self, receipt: Mapping[int, int]) -> None:
        """Commit."""
        places = [TopicPartition(self._topic, partition, offset) for partition, offset in receipt.items()]
        try:
            answer = self._consumer.commit(offsets=places, asynchronous=False)
        except KafkaException as error:
            if error.args[0].code() in TAKEN_OVER:
                _log.warning("not committed, another bridge took over: %s", error.args[0].str())
                return
            raise down(error.args[0]) from None
        if failed := [each.error for each in answer if each.error is not None]:
            raise down(failed[0])
        self._positions.write({f"{self._group}/{partition}": str(offset) for partition, offset in receipt.items()})

    def close(self) -> None:
        """Leave the group."""
        self._consumer.close()

    def _begin(self, consumer: Consumer, assigned: list[TopicPartition]) -> None:
        """Begin where the group is; where it never was, at the first record that there is."""
        try:
            places = consumer.committed(assigned, ANSWER_SECONDS)
            known = self._positions.read()
        except Exception as error:  # a callback must not raise: librdkafka would not hear of it, and assign nothing
            self._error = down(error.args[0]) if isinstance(error, KafkaException) else StreamDown(str(error))
            consumer.unsubscribe()
            consumer.subscribe([self._topic], on_assign=self._begin)
            return
        for place in places:
            if place.offset < 0 and (was := known.get(f"{self._group}/{place.partition}")) is not None:
                self._error = OffsetGone(
                    f"the group {self._group} was at offset {was} of partition {place.partition} of {self.name}, and "
                    "Kafka does not know it any more. Set it (kafka-consumer-groups.sh --reset-offsets --to-offset "
                    f"{was}), or begin at the first record: python -m dataflows.bridge reset"
                )
                return
            if place.offset < 0:
                place.offset = _FIRST
        consumer.assign(places)

    def _delivery(self, message: Message) -> Delivery:
        place = f"{self.name}/{message.partition()}/{message.offset()}"
        value = message.value()
        nothing = Refused("read", "format", "the record has no value", "", b"")
        # A topic that is made anew counts from 0 again: the time tells its records from those of the old one.
        return Delivery(place, nothing if value is None else value, f"{place}/{message.timestamp()[1]}")

    def _judge(self, error: KafkaError, message: Message) -> Exception | None:
        if error.code() == KafkaError._AUTO_OFFSET_RESET:
            return OffsetGone(
                f"partition {message.partition()} of {self.name} no longer holds what the group {self._group} would "
                f"read next: {error.str()}. To go on all the same: kafka-consumer-groups.sh --reset-offsets"
            )
        if error.code() in UNKNOWN:
            return StreamError(f"{self.name} is gone, or lost a partition: {error.str()}")
        found = down(error)
        return None if isinstance(found, StreamDown) else found  # librdkafka tries again by itself

    def _raise_error(self) -> None:
        error, self._error = self._error, None
        if error is not None:
            raise error


_FIRST: Final = -2


def open_inlet(url: str, positions: Positions) -> KafkaTopic:
    """The topic of `kafka://host:9092/topic?group=inlay-bridge`."""
    return KafkaTopic(read_address(url), split_query(url)[1].get("group", GROUP), positions)
