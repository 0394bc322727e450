"""Foreign sources, the real things: something is sent to them, they go away and come back, and what was unread is lost.

peer.send([("u1", b"{…}"), …])      # in order, each under its key
peer.url                            # for INLAY_BRIDGE_FROM
peer.environment                    # how clients find it
"""

from __future__ import annotations

import os
import shutil
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Protocol

import boto3
import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic
from google.cloud import pubsub_v1
from moto.server import ThreadedMotoServer

from tests.contract.kafka_server import KafkaServer
from tests.contract.pubsub_server import PubSubServer

REGION: Final = "eu-west-1"
KINDS: Final = ("files", "kinesis", "pubsub", "kafka")
PROJECT: Final = "shop"
ACK_SECONDS: Final = 10
Keyed = tuple[str, bytes]

MOST_QUEUED: Final = 50_000
"""Records that librdkafka is given before they are waited for; it takes 100,000."""


class Peer(Protocol):
    """A foreign source with a name that no other test uses."""

    url: str
    environment: dict[str, str]

    def send(self, records: Sequence[Keyed]) -> None:
        """Put records in, in order, each under its key."""

    def stop(self) -> None:
        """Be gone, or hang."""

    def start(self) -> None:
        """Be there again."""

    def lose(self) -> None:
        """Lose what a bridge would read next."""


class KinesisPeer:
    """A stream of two shards on moto's server."""

    environment: Final = {
        "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_EC2_METADATA_DISABLED": "true"
    }  # fmt: skip

    def __init__(self, server: ThreadedMotoServer, port: int) -> None:
        self._server, self._port = server, port
        self.stream = f"events-{uuid.uuid4().hex[:8]}"
        endpoint = f"http://127.0.0.1:{port}"
        self.url = f"kinesis://{REGION}/{self.stream}?endpoint={endpoint}"
        self.client: Any = boto3.client(
            "kinesis",
            region_name=REGION,
            endpoint_url=endpoint,
            aws_access_key_id="test",
            aws_secret_access_key="test",  # noqa: S106  # moto takes any
        )
        self.client.create_stream(StreamName=self.stream, ShardCount=2)

    def send(self, records: Sequence[Keyed]) -> None:
        for first in range(0, len(records), 500):
            answer = self.client.put_records(
                StreamName=self.stream,
                Records=[{"PartitionKey": key, "Data": value} for key, value in records[first : first + 500]],
            )
            assert not answer["FailedRecordCount"]

    def stop(self) -> None:
        self._server.stop()

    def start(self) -> None:
        self._server.__init__(ip_address="127.0.0.1", port=self._port, verbose=False)  # type: ignore[misc]
        self._server.start()

    def lose(self) -> None:
        self.client.delete_stream(StreamName=self.stream)
        time.sleep(0.01)  # two streams of one name differ in the time they were made
        self.client.create_stream(StreamName=self.stream, ShardCount=2)


class PubSubPeer:
    """A topic and a subscription in the order of keys, on Google's fake."""

    def __init__(self, server: PubSubServer) -> None:
        self._server = server
        self.environment = {"PUBSUB_EMULATOR_HOST": server.address}
        os.environ["PUBSUB_EMULATOR_HOST"] = server.address  # the clients read it, this one too
        try:
            self._publisher = pubsub_v1.PublisherClient(
                publisher_options=pubsub_v1.types.PublisherOptions(enable_message_ordering=True)
            )
            self._subscriber = pubsub_v1.SubscriberClient()
        finally:
            del os.environ["PUBSUB_EMULATOR_HOST"]
        name = f"events-{uuid.uuid4().hex[:8]}"
        self.url = f"pubsub://{PROJECT}/{name}"
        self._topic = self._publisher.topic_path(PROJECT, name)
        self._subscription = self._subscriber.subscription_path(PROJECT, name)
        self._publisher.create_topic(name=self._topic)
        self._subscriber.create_subscription(
            request={
                "name": self._subscription, "topic": self._topic, "enable_message_ordering": True,
                "ack_deadline_seconds": ACK_SECONDS,
            }
        )  # fmt: skip

    def send(self, records: Sequence[Keyed]) -> None:
        for each in [self._publisher.publish(self._topic, value, ordering_key=key) for key, value in records]:
            each.result(30)

    def stop(self) -> None:
        self._server.pause()

    def start(self) -> None:
        self._server.resume()

    def lose(self) -> None:
        self._subscriber.delete_subscription(subscription=self._subscription)


class KafkaPeer:
    """A topic of three partitions."""

    environment: Final[dict[str, str]] = {}

    def __init__(self, server: KafkaServer) -> None:
        self._server = server
        self._topic = f"shop-{uuid.uuid4().hex[:8]}"
        self._group = f"bridge-{self._topic}"
        self.url = server.url(
            self._topic, group=self._group, **{"session.timeout.ms": 1500, "heartbeat.interval.ms": 300}
        )
        self._admin = AdminClient({"bootstrap.servers": server.bootstrap})
        self._create()

    def send(self, records: Sequence[Keyed]) -> None:
        producer = Producer(
            {"bootstrap.servers": self._server.bootstrap, "enable.idempotence": True, "linger.ms": 5, "log_level": 0}
        )
        for number, (key, value) in enumerate(records, start=1):
            producer.produce(self._topic, value, key)
            if number % MOST_QUEUED == 0:
                assert producer.flush(30) == 0
        assert producer.flush(30) == 0

    def stop(self) -> None:
        self._server.kill()

    def start(self) -> None:
        self._server.start()

    def lose(self) -> None:
        """Kafka deletes, with a topic, what its groups have committed; what it does after a week anyway."""
        self._admin.delete_topics([self._topic])[self._topic].result()
        self._create()

    def _create(self) -> None:
        """Make the topic, and wait until whoever asks for it hears of it: until then it is unknown."""
        self._admin.create_topics([NewTopic(self._topic, 3, 1)])[self._topic].result()
        give_up_at = time.monotonic() + 30
        while len((found := self._admin.list_topics(self._topic, 5).topics[self._topic]).partitions) < 3:
            if time.monotonic() > give_up_at:
                raise TimeoutError(f"the topic was made, and is not known still: {found.error}")
            time.sleep(0.05)


class FolderPeer:
    """A folder: each time something is sent it is a file more."""

    environment: Final[dict[str, str]] = {}

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "drop"
        self.folder.mkdir()
        self.url = f"file://{self.folder}?settle=0.05"
        self._files = 0

    def send(self, records: Sequence[Keyed]) -> None:
        self._files += 1
        unfinished = self.folder / f"{self._files:03}.jsonl.tmp"
        unfinished.write_bytes(b"".join(value + b"\n" for _, value in records))
        unfinished.rename(unfinished.with_suffix(""))

    def stop(self) -> None:
        self.folder.rename(self.folder.with_name("away"))

    def start(self) -> None:
        self.folder.with_name("away").rename(self.folder)

    def lose(self) -> None:
        shutil.rmtree(self.folder)


def make_peer(kind: str, request: pytest.FixtureRequest, folder: Path) -> Peer:
    """A source of a kind, on the server that all tests share."""
    if kind == "kinesis":
        return KinesisPeer(*request.getfixturevalue("moto"))
    if kind == "pubsub":
        return PubSubPeer(request.getfixturevalue("pubsub"))
    if kind == "kafka":
        return KafkaPeer(request.getfixturevalue("running_kafka"))
    return FolderPeer(folder)
