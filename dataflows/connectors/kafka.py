"""Kafka as the stream: a topic, whose partitions are the stream's; which partition a record goes to is said by us.

What is published is acknowledged by every replica in sync, record by record. One consumer reads all partitions that a
flow owns, assigned by hand: who owns what is said by the leases, and never by a rebalance of a group. The offsets that
count are those that the flow commits with its rows; a consumer group is told of them, so that Kafka's own tools see
where the flows are.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from dataflows.connectors import Bounds, OffsetGone, Records, StreamDown
from dataflows.connectors.kafka_address import Address, read_address
from dataflows.connectors.kafka_publisher import KafkaPublisher, Producing
from dataflows.connectors.kafka_topic import Group, Topic, answers, checked_settings, down

OPEN_SECONDS: Final = 30.0
"""How long a flow or a tool waits at its start for a broker that is starting too."""
ANSWER_SECONDS: Final = 5.0
"""How long a question may take once it reads: less than the lease of a flow, which is renewed in between."""
PUBLISH_SECONDS: Final = 30.0
"""How long a tool waits for an acknowledgement: longer than a broker takes to start again."""
COLLECT_SECONDS: Final = 5.0
"""How long the API waits for one: as long as a caller may be kept waiting for a 503."""
PATIENCE: Final = 120.0
"""How long a reader waits for brokers that are gone before it gives up, aloud."""
ASK_AGAIN: Final = 5.0
"""A reader that was brought nothing for so long asks whether there is anybody."""

_log: Final = logging.getLogger(__name__)


class KafkaStream:
    """A topic of Kafka as a stream; it is made if it is not there.

    Args:
        address: where it is, and how to talk to it.

    Raises:
        StreamError: it has another number of partitions, or a setting is none.
        StreamDown: no broker answers.
    """

    def __init__(self, address: Address) -> None:
        self.name, self.partitions = address.topic, address.partitions
        self._address, self._topic = address, Topic(address, OPEN_SECONDS)
        self._topic.open()
        self.identity = self._topic.identity()
        self._reader: Reader | None = None
        self._groups: dict[str, Group] = {}
        self._places: dict[str, dict[int, int]] = {}
        self._producing: Producing | None = None

    def publish(self, records: Sequence[tuple[int, bytes]]) -> None:
        """Append records to their partitions, in order."""
        if self._producing is None:
            self._producing = Producing(self._address, PUBLISH_SECONDS)
        try:
            self._producing.produce(records, patient=True).wait()
        finally:
            if self._producing.broken:
                self._producing.close()
                self._producing = None

    def read(self, after: Mapping[int, int], most: int, wait: float) -> list[Records]:
        """One multiplexed read over all partitions asked for.

        Raises:
            OffsetGone: the record behind an offset was removed.
            StreamDown: no broker has answered for two minutes.
        """
        if self._reader is None:
            self._reader = Reader(self._address)
            self._topic.seconds = ANSWER_SECONDS
        return self._reader.read(after, most, wait)

    def bounds(self, partition: int) -> Bounds:
        """From Kafka's watermarks."""
        first, end = self._topic.bounds(partition)
        return Bounds(first - 1, end - 1)

    def rewound(self, partition: int, offset: int, seconds: float) -> int:
        """By the times of the records; that of one which was removed is not known, and then it is -1."""
        if seconds <= 0 or offset < 0:
            return max(-1, offset)
        first, end = self._topic.bounds(partition)
        return self._topic.offset_before(partition, offset, seconds) - 1 if first <= offset < end else -1

    def moment(self, offset: int) -> int | None:
        """Offsets of Kafka count records."""
        return None

    def remove(self, partition: int, up_to: int) -> None:
        """Delete records, which Kafka does by whole segments, but hides at once."""
        self._topic.remove(partition, up_to)

    def lag(self, after: Mapping[int, int], most: int = 0) -> dict[int, int]:
        """From the watermarks, however many they are: those of the last fetch, of partitions that are being read."""
        ends = self._reader.ends(part for part, offset in after.items() if offset >= 0) if self._reader else {}
        lags = {part: end - after[part] - 1 for part, end in ends.items()}
        for part in after.keys() - ends.keys():
            first, end = self._topic.bounds(part)
            lags[part] = end - max(first, after[part] + 1)
        return {part: max(0, lags[part]) for part in after}

    def tell(self, flow: str, after: Mapping[int, int]) -> None:
        """Commit to the consumer group `<group>-<flow>`."""
        if flow not in self._groups:
            self._groups[flow] = Group(self._address, flow)
        self._places[flow] = dict(after)
        self._groups[flow].tell(after)

    def close(self) -> None:
        """Close the connections."""
        for flow, group in self._groups.items():
            group.close(self._places[flow])
        self._topic.close()
        if self._reader is not None:
            self._reader.close()
        if self._producing is not None:
            self._producing.close()


class Reader:
    """One consumer for several partitions.

    Args:
        address: of the topic.
    """

    def __init__(self, address: Address) -> None:
        self._topic = address.topic
        with checked_settings():
            self._consumer = Consumer(
                address.client(
                    group_id=f"{address.group}-read", enable_auto_commit=False, enable_auto_offset_store=False,
                    auto_offset_reset="error", fetch_error_backoff_ms=100, fetch_queue_backoff_ms=20,
                    queued_max_messages_kbytes=65536, fetch_max_bytes=16 * 1024 * 1024,
                )
            )  # fmt: skip
        self._after: dict[int, int] = {}
        self._heard = self._warned = time.monotonic()

    def read(self, after: Mapping[int, int], most: int, wait: float) -> list[Records]:
        """As `KafkaStream.read`."""
        if after != self._after:
            self._after = dict(after)
            with answers():
                self._consumer.assign([TopicPartition(self._topic, part, at + 1) for part, at in after.items()])
        with answers():
            # Asked for many at once, the consumer would wait for the last of them as long as for the first.
            messages = self._consumer.consume(1, wait)
            if messages and most > 1:
                messages += self._consumer.consume(most - 1, 0)
        if found := self._sort(messages):
            self._heard = time.monotonic()
        else:
            self._ask_whether_anybody_is_there()
        return found

    def ends(self, partitions: Iterable[int]) -> dict[int, int]:
        """The next offset of each partition as of the last fetch from it; without those that are not being read."""
        ends = {}
        for part in self._after.keys() & set(partitions):
            _, end = self._consumer.get_watermark_offsets(TopicPartition(self._topic, part), cached=True)
            if end >= 0:
                ends[part] = end
        return ends

    def close(self) -> None:
        """Close the connections."""
        self._consumer.close()

    def _sort(self, messages: list[Message]) -> list[Records]:
        """The messages by partition; what is no message but an error ends the reading, after those before it."""
        found: dict[int, Records] = {}
        for message in messages:
            if (error := message.error()) is not None:
                self._judge(error, message)
                continue
            partition, offset = message.partition(), message.offset()
            records = found.get(partition) or found.setdefault(partition, Records(partition, [], []))
            records.offsets.append(offset)
            records.values.append(message.value() or b"")
        for records in found.values():
            self._after[records.partition] = records.offsets[-1]
        return list(found.values())

    def _judge(self, error: KafkaError, message: Message) -> None:
        if error.code() == KafkaError._AUTO_OFFSET_RESET:
            self._after = {}
            raise OffsetGone(
                f"partition {message.partition()} of {self._topic!r} no longer holds what comes next: {error.str()}. "
                "To go on all the same: python -m dataflows.offsets reset FLOW --to first (or --to last)"
            )
        if error.code() in (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION):
            raise OffsetGone(f"the topic {self._topic!r} is gone, or lost a partition: {error.str()}")
        if not error.retriable() and error.code() not in (KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN):
            raise down(error)

    def _ask_whether_anybody_is_there(self) -> None:
        if time.monotonic() - self._heard < ASK_AGAIN:
            return
        try:
            topic = self._consumer.list_topics(self._topic, 1.0).topics[self._topic]
            said = "" if topic.error is None else topic.error.str()
            leaderless = [
                part for part in self._after if part not in topic.partitions or topic.partitions[part].leader < 0
            ]
            if not said and leaderless:
                said = f"partition {leaderless[0]} has no leader"
        except KafkaException as error:
            said = error.args[0].str()
        now = time.monotonic()
        if not said:
            self._heard = now
            return
        if now - self._heard > PATIENCE:
            raise StreamDown(f"Kafka has not answered for {PATIENCE:.0f} s: {said}")
        if now - self._warned > ASK_AGAIN:
            self._warned = now
            _log.warning("waiting for Kafka, since %.0f s: %s", now - self._heard, said)


def open_stream(url: str) -> KafkaStream:
    """The stream of `kafka://host:port/topic?partitions=<n>`."""
    return KafkaStream(read_address(url))


def open_publisher(url: str) -> KafkaPublisher:
    """The writing side of the same."""
    return KafkaPublisher(read_address(url), COLLECT_SECONDS)
