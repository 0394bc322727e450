"""What a Kafka URL says, and what it may not say; and that a password in it is told to nobody."""

from __future__ import annotations

from pathlib import Path

import pytest

from dataflows.connectors import StreamError
from dataflows.connectors.kafka_address import OURS, read_address


def test_a_url_names_brokers_a_topic_and_how_many_partitions_it_has() -> None:
    address = read_address("kafka://a:9092,b:9093/events?partitions=12&replication=3&group=shop&linger.ms=7")
    assert (address.brokers, address.topic, address.partitions) == ("a:9092,b:9093", "events", 12)
    assert (address.replication, address.group, address.settings) == (3, "shop", {"linger.ms": "7"})


def test_what_it_does_not_say_has_a_default() -> None:
    address = read_address("kafka://a:9092/events")
    assert (address.partitions, address.replication, address.group, address.settings) == (8, -1, "inlay", {})


def test_what_the_user_sets_goes_before_what_we_set() -> None:
    client = read_address("kafka://a:9092/events?linger.ms=7").client(linger_ms=5, error_cb=print, retry_backoff_ms=50)
    assert client["linger.ms"] == "7"
    assert client["retry.backoff.ms"] == 50
    assert client["error_cb"] is print
    assert client["bootstrap.servers"] == "a:9092"


def test_passwords_lie_in_a_file_and_are_told_to_nobody(tmp_path: Path) -> None:
    file = tmp_path / "kafka"
    file.write_text("# of the cluster\n\nsasl.username = inlay\nsasl.password=geheim=1\n")
    address = read_address(f"kafka://a:9092/events?properties={file}&sasl.username=other")
    assert address.settings == {"sasl.username": "other", "sasl.password": "geheim=1"}
    assert "geheim" not in f"{address} {address!r}"


def test_a_line_that_is_no_setting_is_named_by_its_number(tmp_path: Path) -> None:
    file = tmp_path / "kafka"
    file.write_text("sasl.username=inlay\ngeheim\n")
    with pytest.raises(StreamError, match=r"line 2 of .* is no name=value of librdkafka") as raised:
        read_address(f"kafka://a:9092/events?properties={file}")
    assert "geheim" not in str(raised.value)
    with pytest.raises(StreamError, match=r"properties=/nowhere cannot be read: FileNotFoundError"):
        read_address("kafka://a:9092/events?properties=/nowhere")


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("kafka://a:9092", r"is written kafka://host:9092/topic"),
        ("kafka:///events", r"is written kafka://host:9092/topic"),
        ("kafka://a:9092/a/b", r"is written kafka://host:9092/topic"),
        ("kafka://u:geheim@a:9092/events", r"no user or password before the host"),
        ("kafka://a:9092/events?partition=8", r"'partition' is no option of a Kafka URL; it takes partitions, "),
        ("kafka://a:9092/events?partitions=0", r"partitions='0' in the stream's URL is no number from 1 to 1024"),
        ("kafka://a:9092/events?partitions=-1", r"partitions='-1' in the stream's URL is no number from 1 to 1024"),
        ("kafka://a:9092/events?replication=0", r"replication='0' in the stream's URL is no number from 1 to 100"),
        *((f"kafka://a:9092/events?{name}=1", rf"{name} cannot be set") for name in sorted(OURS) if "." in name),
    ],
)
def test_what_cannot_be_is_refused_in_words(url: str, said: str) -> None:
    with pytest.raises(StreamError, match=said) as raised:
        read_address(url)
    assert "geheim" not in str(raised.value)


def test_acks_in_a_file_are_refused_too(tmp_path: Path) -> None:
    file = tmp_path / "kafka"
    file.write_text("acks=0")
    with pytest.raises(StreamError, match=r"acks cannot be set"):
        read_address(f"kafka://a:9092/events?properties={file}")


@pytest.mark.parametrize(
    ("query", "seconds"), [("", 5.0), ("?message.timeout.ms=1500", 1.5), ("?delivery.timeout.ms=60000", 60.0)]
)
def test_how_long_to_wait_for_an_acknowledgement_is_the_users(query: str, seconds: float) -> None:
    assert read_address(f"kafka://a:9092/events{query}").patience(5) == seconds
